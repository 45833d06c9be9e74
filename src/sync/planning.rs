//! What the scheduler learns from the store: every mailbox at the start, and what changed since from the event log.

use super::scheduler::{Running, Scheduler};
use super::timetable::Planned;
use crate::connect::hosts::host;
use crate::domain::event::EventKind;
use crate::domain::list::{ListQuery, Page};
use crate::domain::mailbox::Mailbox;
use crate::domain::user::User;
use crate::store::{Snapshot, StoreError, events_after, get, list, status};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How many events are read at a time, and how many times in a row before every mailbox is planned anew instead.
const EVENTS: usize = 2000;
const PAGES: usize = 50;
/// What is overdue after a start is spread over this time and a little more per mailbox, so that not all begin at once.
const SPREAD: Duration = Duration::from_secs(20);
const SPREAD_EACH: Duration = Duration::from_millis(30);
/// The longest wait of [`crate::domain::backoff::Backoff::MAILBOX`], with its jitter.
const LATEST_PROBE: Duration = Duration::from_hours(8);

impl Scheduler {
    /// Takes in every mailbox of the store.
    pub(super) async fn plan_all(&mut self) -> Result<(), StoreError> {
        let mut query = ListQuery { count: false, ..ListQuery::all() }.size(ListQuery::MAX_SIZE);
        let (mut overdue, mut known) = (Vec::new(), HashSet::new());
        loop {
            let snapshot = self.parts.store.read()?;
            let page = list::<Mailbox>(&snapshot, &query)?;
            for mailbox in &page.items {
                known.insert(mailbox.id);
                if self.plan(&snapshot, mailbox)? {
                    overdue.push(mailbox.id);
                }
            }
            let Some(cursor) = page.next else { break };
            query.page = Page::After(cursor);
            // Ten thousand take a while, and others want this thread too.
            tokio::task::yield_now().await;
        }
        let gone: Vec<u64> = self.timetable.iter().map(|(id, _)| id).filter(|id| !known.contains(id)).collect();
        for id in gone {
            self.forget(id);
        }
        let each = SPREAD_EACH.saturating_mul(u32::try_from(overdue.len()).unwrap_or(u32::MAX));
        for id in overdue {
            let at = self.now().plus(self.jitter(SPREAD + each));
            self.set_due(id, at);
        }
        Ok(())
    }

    /// Takes in what the store knows of a mailbox and decides when it is synced next. `true`: it was synced before, and
    /// should have been again by now.
    fn plan(&mut self, snapshot: &Snapshot, mailbox: &Mailbox) -> Result<bool, StoreError> {
        let id = mailbox.id;
        let is_other = |running: &Running| running.generation != mailbox.generation;
        let settings = self.parts.connector.sync_settings(mailbox).ok();
        let Some(settings) = settings.filter(|_| mailbox.settings.sync_disabled != Some(true)) else {
            self.forget(id);
            return Ok(false);
        };
        if let Some(running) = self.running.get(&id).filter(|running| is_other(running)) {
            running.cancel.cancel();
        }
        let now = self.now();
        let health = status(snapshot, id)?.sync;
        if let Some(active) = get::<User>(snapshot, mailbox.user_id)?.and_then(|owner| owner.last_active_at) {
            self.parts.owners().note(mailbox.user_id, active);
        }
        let before = self.timetable.get(id).cloned();
        let host = host(&settings.endpoint);
        if self.hosts.get(&id).is_none_or(|known| **known != host) {
            self.hosts.insert(id, Arc::new(host));
        }
        let mut planned = Planned::new(mailbox, &health);
        let polled = self.parts.polls.last(id);
        planned.finished_at = planned.finished_at.max(polled);
        planned.news_at = before.as_ref().and_then(|before| before.news_at);
        planned.began_at = before.as_ref().and_then(|before| before.began_at);
        planned.awaited = before.as_ref().is_some_and(|before| before.awaited);
        let is_new = before.as_ref().is_none_or(|before| before.generation != planned.generation);
        let is_pardoned = before.as_ref().is_some_and(|before| before.held) && !planned.held;
        let regular = planned.regular(id, &self.parts.owners(), now);
        self.timetable.insert(id, planned);
        self.watches.keep_only(id, Some(mailbox.generation));
        self.watches.choose_anew();
        if self.running.contains_key(&id) {
            // What is under way ends with a time of its own; what was begun with other settings is followed by another.
            if is_new {
                self.again.insert(id);
            }
            return Ok(false);
        }
        let at = match (&before, health.probe_at) {
            // Whoever changed something wants to see what comes of it.
            (Some(_), _) if is_new || is_pardoned => now,
            // A clock that was set back must not put it off for ever.
            (_, Some(probe)) if health.failure.is_some() => probe.min(now.plus(LATEST_PROBE)),
            _ => regular,
        };
        self.set_due(id, at);
        Ok(before.is_none() && at <= now && health.finished_at.is_some())
    }

    /// The mailbox is gone or not synced: what is under way ends soon, and nothing follows.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(running) = self.running.get(&id) {
            running.cancel.cancel();
        }
        self.timetable.remove(id);
        self.hosts.remove(&id);
        self.again.remove(&id);
        self.asked.remove(&id);
        self.watches.forget(id);
        self.parts.polls.forget(id);
    }

    /// Reads what happened since the last look.
    pub(super) async fn follow(&mut self, latest: u64) {
        if let Err(error) = self.read_events(latest).await {
            tracing::error!(%error, "the event log could not be read");
        }
    }

    async fn read_events(&mut self, latest: u64) -> Result<(), StoreError> {
        let mut changed = HashSet::new();
        let snapshot = self.parts.store.read()?;
        for page in 0.. {
            if page == PAGES {
                self.seen = latest;
                drop(snapshot);
                return self.plan_all().await;
            }
            let events = events_after(&snapshot, self.seen, EVENTS)?;
            self.seen = events.last().map_or(latest.max(self.seen), |event| event.id);
            changed.extend(events.iter().filter(|event| matters(event.kind)).filter_map(|event| event.mailbox_id));
            if events.len() < EVENTS {
                break;
            }
        }
        for id in changed {
            match get::<Mailbox>(&snapshot, id)? {
                Some(mailbox) => {
                    self.plan(&snapshot, &mailbox)?;
                }
                None => self.forget(id),
            }
        }
        Ok(())
    }
}

/// Whether an event may change when its mailbox is synced. `MailboxSyncRecovered` may come from a test that passed.
fn matters(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::MailboxCreated
            | EventKind::MailboxUpdated
            | EventKind::MailboxDestroyed
            | EventKind::MailboxSyncRecovered
    )
}
