//! Follows the event log, tells what happens and counts it.

use super::sentences::{Told, tell};
use super::summary::{Summary, Tally};
use crate::domain::event::EventKind;
use crate::domain::failure::clean;
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError, events_after};
use std::io::Write;
use tokio_util::sync::CancellationToken;

/// How many events are read at a time.
const EVENTS: usize = 500;

#[derive(Clone)]
pub(super) struct Narrator {
    store: Store,
    /// What the times of the lines are counted from.
    started: Timestamp,
    /// The last event that was told.
    seen: u64,
    tally: Tally,
}

impl Narrator {
    /// Tells from the first event on.
    pub fn new(store: Store, started: Timestamp) -> Self {
        Self { store, started, seen: 0, tally: Tally::default() }
    }

    /// Writes a line for whatever is worth one, until it is asked to stop.
    pub async fn follow(mut self, mut output: impl Write + Send, stopping: CancellationToken) -> Self {
        let mut events = self.store.events();
        loop {
            events.borrow_and_update();
            if let Err(error) = self.catch_up(&mut output) {
                tracing::error!(%error, "the event log could not be read");
            }
            tokio::select! {
                () = stopping.cancelled() => return self,
                changed = events.changed() => if changed.is_err() { return self },
            }
        }
    }

    /// Counts what happened since, without a word.
    pub fn finish(mut self) -> Summary {
        if let Err(error) = self.catch_up(&mut std::io::sink()) {
            tracing::error!(%error, "the event log could not be read");
        }
        self.tally.summary()
    }

    fn catch_up(&mut self, output: &mut impl Write) -> Result<(), StoreError> {
        loop {
            let snapshot = self.store.read()?;
            let events = events_after(&snapshot, self.seen, EVENTS)?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                self.seen = event.id;
                let Told { line, delayed } = tell(&snapshot, &event, self.store.runtime().clock.now(), self.started)?;
                self.tally.delayed.extend(delayed);
                if let Some(mailing) = event.mailing_id {
                    self.count(event.kind, mailing);
                }
                if let Some(line) = line {
                    // Whoever reads may have gone away. Strangers' words must not steer the terminal.
                    let _ = writeln!(output, "{:>8} {}", since(event.at, self.started), clean(&line));
                }
            }
            let _ = output.flush();
        }
    }

    fn count(&mut self, kind: EventKind, mailing: u64) {
        let tally = &mut self.tally;
        match kind {
            EventKind::MailingCreated => tally.created.insert(mailing),
            EventKind::MailingDelivered => tally.delivered.insert(mailing),
            EventKind::MailingReplied => tally.replied.insert(mailing),
            EventKind::MailingFailed => tally.failed.insert(mailing),
            _ => false,
        };
    }
}

/// Seconds since the demo was ready, with one decimal; what was before counts as 0.
pub(super) fn since(at: Timestamp, started: Timestamp) -> String {
    let millis = at.millis_since(started).max(0);
    format!("{}.{}s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_the_start() {
        let at = |millis| since(Timestamp::from_millis(millis), Timestamp::from_millis(1_000));
        assert_eq!((at(500), at(1_050), at(13_990)), ("0.0s".into(), "0.0s".into(), "12.9s".into()));
    }
}
