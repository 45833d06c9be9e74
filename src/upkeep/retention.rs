//! Forgets what was kept long enough: messages as the configuration says, and old events, a small batch at a time.
//!
//! A kill between two batches costs nothing: what is left is found again by the next round.

use crate::config::{ByteSize, StoreConfig, SyncConfig};
use crate::domain::retention::Retention;
use crate::store::{Budget, Store, StoreError, beyond_budget, look_through};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked for what can go.
const PERIOD: Duration = Duration::from_hours(6);
/// Not while a start has other things to do.
const FIRST: Duration = Duration::from_mins(2);
/// Messages looked at in one go, and how long others have the processor in between.
const WINDOW: usize = 500;
const REST: Duration = Duration::from_millis(20);
/// Rows that one commit removes.
const BATCH: usize = 200;
const EVENTS: usize = 2_000;

/// What is kept how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub messages: Retention,
    /// How many octets of messages.
    pub octets: Option<u64>,
    pub events: Duration,
    /// How many of them at most.
    pub events_most: u64,
}

impl Kept {
    pub fn of(sync: &SyncConfig, store: &StoreConfig) -> Self {
        let octets = sync.keep_octets.map(ByteSize::bytes);
        Self { messages: sync.retention(), octets, events: store.keep_events, events_most: store.events.into() }
    }
}

/// Forgets now and then until it is told to stop.
pub(super) async fn keep_forgetting(store: Store, kept: Kept, stopping: CancellationToken) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match forget(&store, kept, &stopping).await {
            Ok(0) => {}
            Ok(messages) => tracing::info!(messages, "messages that were kept long enough were removed"),
            Err(error) => tracing::error!(%error, "what was kept long enough could not be removed"),
        }
        wait = PERIOD;
    }
}

/// One round; how many messages went.
async fn forget(store: &Store, kept: Kept, stopping: &CancellationToken) -> Result<usize, StoreError> {
    forget_events(store, kept, stopping).await?;
    let forgotten = forget_messages(store, kept.messages, stopping).await?;
    if forgotten > 0 {
        forget_identities(store, stopping).await?;
    }
    if let Some(most) = kept.octets {
        forget_oldest_bodies(store, most, stopping).await?;
    }
    Ok(forgotten)
}

async fn forget_events(store: &Store, kept: Kept, stopping: &CancellationToken) -> Result<(), StoreError> {
    while !stopping.is_cancelled() {
        let step = store.write_patiently(move |work| {
            let before = work.now().minus(kept.events);
            work.forget_events(before, kept.events_most, EVENTS)
        });
        if step.await? < EVENTS {
            break;
        }
    }
    Ok(())
}

async fn forget_messages(
    store: &Store,
    retention: Retention,
    stopping: &CancellationToken,
) -> Result<usize, StoreError> {
    let (mut after, mut forgotten) = (0, 0);
    if retention == Retention::default() {
        return Ok(0);
    }
    while !stopping.is_cancelled() {
        let now = store.runtime().clock.now();
        let stretch = look_through(&store.read()?, after, WINDOW, |message| retention.is_over(message, now))?;
        let Some(last) = stretch.last else { break };
        if retention.bodies.is_some() {
            let snapshot = store.read()?;
            let bodies = look_through(&snapshot, after, WINDOW, |message| retention.is_body_over(message, now))?.found;
            drop(snapshot);
            forget_bodies(store, &bodies).await?;
        }
        after = last;
        for batch in stretch.found.chunks(BATCH) {
            let batch = batch.to_vec();
            forgotten += batch.len();
            store.write_patiently(move |work| work.forget_messages(&batch)).await?;
        }
        tokio::time::sleep(REST).await;
    }
    Ok(forgotten)
}

async fn forget_bodies(store: &Store, ids: &[u64]) -> Result<(), StoreError> {
    for batch in ids.chunks(BATCH) {
        let batch = batch.to_vec();
        store.write_patiently(move |work| work.forget_bodies(&batch)).await?;
    }
    Ok(())
}

async fn forget_oldest_bodies(store: &Store, most: u64, stopping: &CancellationToken) -> Result<(), StoreError> {
    let (mut budget, mut is_more) = (Budget::default(), true);
    while is_more && !stopping.is_cancelled() {
        let beyond;
        (beyond, is_more) = beyond_budget(&store.read()?, &mut budget, most, WINDOW)?;
        forget_bodies(store, &beyond).await?;
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

async fn forget_identities(store: &Store, stopping: &CancellationToken) -> Result<(), StoreError> {
    let mut after = Some(Vec::new());
    while let Some(key) = after.filter(|_| !stopping.is_cancelled()) {
        after = store.write_patiently(move |work| work.forget_identities(&key, WINDOW)).await?;
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
