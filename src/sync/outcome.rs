//! What a sync came to: what it says about the server, the mailbox's health, and when the next one is due.
//!
//! A failure of the server is backed off once, however many mailboxes met it. Polls that found nothing are noted in
//! memory and written together every few minutes.

use super::crowds::Impression;
use super::timetable::after_sync;
use super::worker::{End, Run};
use super::{Parts, Polls};
use crate::connect::caps::Login;
use crate::connect::hosts::News;
use crate::domain::backoff::Backoff;
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::{Mailbox, SideState, Status};
use crate::domain::time::Timestamp;
use crate::providers::texts::wants_fewer_connections;
use crate::store::{StoreError, Work, get, status};
use serde_json::json;
use std::time::Duration;

/// How many mailboxes' quiet polls are written in one commit.
const BATCH: usize = 500;

/// What the scheduler has to know of a sync that ended.
pub(super) struct Settled {
    pub impression: Impression,
    pub next: Next,
    /// Whether there was new mail.
    pub news: bool,
    /// Mailboxes that waited for the server and need wait no longer.
    pub freed: Vec<u64>,
}

/// When a mailbox is due again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It was synced to its end.
    Poll(Timestamp),
    /// It failed.
    Probe(Timestamp),
    /// It was not synced, and bears no failure.
    Wait(Timestamp),
    /// As soon as those who were waiting had their turn.
    Turn,
    /// It is not what it was: the store says.
    Unknown,
}

/// Takes in how a sync ended that began in steady time `begun`. The place at the server is still held.
pub(super) async fn settle(parts: &Parts, run: &Run, login: &Login, begun: Timestamp) -> Result<Settled, StoreError> {
    let (impression, bears_it, freed) = hear(parts, run, login, begun);
    let news = run.new > 0;
    let next = match &run.end {
        End::Stopped => Next::Unknown,
        End::Failed(failure) if !bears_it => {
            // Somebody else met the same before: known, and no second failure.
            let moment = parts.store.moment();
            let until = parts.hosts.trouble(&login.host, &moment).map_or(moment.steady, |(until, _)| until);
            tracing::debug!(mailbox = run.mailbox, %failure, "the server is known to be in trouble");
            Next::Wait(moment.by_the_wall(until))
        }
        _ => record(parts, run, login).await?,
    };
    Ok(Settled { impression, next, news, freed })
}

/// What a sync says about the server; whether the mailbox bears a failure; whom its success frees.
fn hear(parts: &Parts, run: &Run, login: &Login, begun: Timestamp) -> (Impression, bool, Vec<u64>) {
    let now = parts.store.moment().steady;
    let host = &login.host;
    match &run.end {
        End::Everything | End::Turn => (Impression::Well, true, parts.hosts.answered(host, now)),
        End::Stopped => (Impression::Nothing, true, Vec::new()),
        End::Failed(failure) if wants_fewer_connections(failure) => {
            parts.connector.caps().lower(login, now);
            (Impression::Trouble, true, Vec::new())
        }
        End::Failed(failure) if concerns_the_mailbox(failure) => {
            let freed = if failure.stage >= Stage::Authentication && failure.stage != Stage::Store {
                parts.hosts.answered(host, now)
            } else {
                Vec::new()
            };
            (Impression::Nothing, true, freed)
        }
        End::Failed(failure) => {
            let roll = parts.runtime.random.below(401);
            let news = parts.hosts.failed(host, run.mailbox, failure, (begun, now), roll);
            (Impression::Trouble, news != News::Known, Vec::new())
        }
    }
}

fn concerns_the_mailbox(failure: &Failure) -> bool {
    failure.scope != Scope::Host || failure.kind != FailureKind::Temporary
}

/// Writes what a sync came to into the mailbox's health, and decides when the next one is due.
async fn record(parts: &Parts, run: &Run, login: &Login) -> Result<Next, StoreError> {
    let (id, generation) = (run.mailbox, run.generation);
    let snapshot = parts.store.read()?;
    // What a run of older settings met says nothing about the new ones.
    let Some(mailbox) = get::<Mailbox>(&snapshot, id)?.filter(|mailbox| mailbox.generation == generation) else {
        parts.polls.forget(id);
        return Ok(Next::Unknown);
    };
    let mut health = status(&snapshot, id)?;
    drop(snapshot);
    let now = parts.runtime.clock.now();
    let before = health.sync.state();
    let next = match &run.end {
        End::Everything => {
            let at = after_sync(id, period(parts, &mailbox, now), now);
            parts.polls.note(id, now);
            if run.new == 0 && before == SideState::Ok && health.sync.success_at.is_some() {
                parts.polls.note_quiet(id, Quiet { generation, at: now, next: at });
                return Ok(Next::Poll(at));
            }
            parts.polls.written(id);
            health.sync.succeeded(now);
            health.next_sync_at = Some(at);
            Next::Poll(at)
        }
        End::Failed(failure) => {
            let at = probe_at(parts, failure, health.sync.failures + 1, login, now);
            parts.polls.written(id);
            health.sync.failed(failure.clone(), now, at);
            health.next_sync_at = Some(at);
            Next::Probe(at)
        }
        End::Turn | End::Stopped => {
            if before == SideState::Ok {
                return Ok(Next::Turn);
            }
            // It got through: what failed before does so no longer.
            health.sync.pardoned(now);
            Next::Turn
        }
    };
    let new = run.new;
    parts.store.write_patiently(move |work| write(work, id, generation, &health, new)).await?;
    Ok(next)
}

/// When a failed mailbox is tried again.
fn probe_at(parts: &Parts, failure: &Failure, failures: u32, login: &Login, now: Timestamp) -> Timestamp {
    let backoff = match failure.kind {
        FailureKind::Temporary | FailureKind::Doubt => Backoff::HOST,
        _ => Backoff::MAILBOX,
    };
    let asked = Duration::from_secs(failure.retry_after.unwrap_or(0));
    let own = now.plus(backoff.wait(failures, parts.runtime.random.below(401)).max(asked));
    let moment = parts.store.moment();
    let servers = parts.hosts.trouble(&login.host, &moment).map(|(until, _)| moment.by_the_wall(until));
    servers.map_or(own, |at| at.max(own))
}

/// How long after a sync the next one is due.
pub(super) fn period(parts: &Parts, mailbox: &Mailbox, now: Timestamp) -> Duration {
    if parts.owners().is_active(mailbox.user_id, now) {
        mailbox.settings.active_frequency()
    } else {
        mailbox.settings.passive_frequency()
    }
}

fn write(work: &mut Work, id: u64, generation: u64, health: &Status, new: usize) -> Result<(), StoreError> {
    let Some(mailbox) = get::<Mailbox>(work, id)?.filter(|mailbox| mailbox.generation == generation) else {
        return Ok(());
    };
    // Only this side: the other one may have moved since it was read.
    let mut current = status(work, id)?;
    let before = current.sync.state();
    current.sync = health.sync.clone();
    current.next_sync_at = health.next_sync_at;
    work.put_status(id, &current)?;
    let after = current.sync.state();
    let event = |kind| Event::new(kind, work.now()).mailbox(id).user(mailbox.user_id);
    let event = match (&current.sync.failure, before == after) {
        (Some(failure), false) => event(EventKind::MailboxSyncErrored)
            .payload(json!({"stage": failure.stage.name(), "text": failure.explain()})),
        (None, false) => event(EventKind::MailboxSyncRecovered),
        (None, true) => event(EventKind::MailboxSynced).payload(json!({"newMessages": new})),
        (Some(_), true) => return Ok(()),
    };
    if before != after {
        work.touch_mailbox(&mailbox)?;
    }
    work.event(event)?;
    Ok(())
}

/// A poll that found nothing and is not on disk yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    generation: u64,
    at: Timestamp,
    next: Timestamp,
}

/// Writes the polls that found nothing since the last time, many in one commit.
pub(super) async fn write_quiet(parts: &Parts) {
    let quiet = parts.polls.take_quiet();
    for batch in quiet.chunks(BATCH) {
        let batch = batch.to_vec();
        let written = parts.store.write_patiently(move |work| {
            for (id, quiet) in &batch {
                write_one_quiet(work, *id, *quiet)?;
            }
            Ok::<_, StoreError>(())
        });
        if let Err(error) = written.await {
            // They are known in memory, and a later success is written with the next ones.
            tracing::error!(%error, "the times of the last syncs could not be recorded");
            return;
        }
    }
}

fn write_one_quiet(work: &mut Work, id: u64, quiet: Quiet) -> Result<(), StoreError> {
    if get::<Mailbox>(work, id)?.is_none_or(|mailbox| mailbox.generation != quiet.generation) {
        return Ok(());
    }
    let mut health = status(work, id)?;
    let is_newer = health.sync.finished_at.is_none_or(|at| at < quiet.at);
    if health.sync.failure.is_none() && is_newer {
        health.sync.succeeded(quiet.at);
        health.next_sync_at = Some(quiet.next);
        work.put_status(id, &health)?;
    }
    Ok(())
}

impl Polls {
    /// A mailbox was synced and nothing was new.
    fn note_quiet(&self, mailbox: u64, quiet: Quiet) {
        super::lock(&self.quiet).insert(mailbox, quiet);
    }

    /// A later sync is on disk.
    fn written(&self, mailbox: u64) {
        super::lock(&self.quiet).remove(&mailbox);
    }

    fn take_quiet(&self) -> Vec<(u64, Quiet)> {
        std::mem::take(&mut *super::lock(&self.quiet)).into_iter().collect()
    }
}
