//! The one task that decides which mailbox sends next.
//!
//! It sleeps until the earliest mailing is due, a commit on the event log may have changed something, or a lane ends.
//! It keeps one line per mailbox, however much waits there; the store is the truth, this only a cache of it.

use super::crowds::Crowds;
use super::lane::{self, LaneEnd};
use super::pulse::Pulses;
use super::{Parts, set_back, settle};
use crate::connect::hosts::Host;
use crate::domain::event::EventKind;
use crate::domain::list::{ListQuery, Page, Scalar, Test};
use crate::domain::mailing::{Mailing, State};
use crate::domain::time::Timestamp;
use crate::store::{StoreError, due_head, due_heads, events_after, list};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc};

/// How many events are read at a time; when more came, every head is read anew instead.
const EVENTS: usize = 2000;
/// A store that refuses work is asked again after this long.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How many lanes there are at most, slow ones included, for each worker.
const LANES_PER_WORKER: u32 = 4;

/// A clock that cannot be right is looked at again after this long.
const CLOCK_PAUSE: Duration = Duration::from_millis(500);
/// How often idle sessions are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// A wall clock that was set by more than this, in milliseconds, moves every time that was worked out before.
const JUMP: u64 = 1_000;

/// How lanes report to their owner: the mailbox, its server and why it ended.
type End = (u64, Option<Host>, LaneEnd);
type Ended = (mpsc::Sender<End>, mpsc::Receiver<End>);

pub(super) struct Scheduler {
    parts: Arc<Parts>,
    /// When each mailbox may have something to send.
    ready: HashMap<u64, Timestamp>,
    by_time: BTreeSet<(Timestamp, u64)>,
    /// Lanes under way.
    lanes: BTreeMap<u64, u32>,
    pulses: Pulses,
    /// Mailboxes that became ready while they had all the lanes they may have.
    crowded: HashSet<u64>,
    crowds: Crowds,
    running: u32,
    seen: u64,
    /// Something may have happened that could not be read: every head is read anew.
    stale: bool,
    /// Times were put right after the clock was set back.
    righted: Arc<Notify>,
    /// The wall clock less steady time, as last looked at.
    skew: i64,
    ended: Ended,
}

impl Scheduler {
    pub fn new(parts: Arc<Parts>) -> Self {
        let room = usize::try_from(parts.config.workers.saturating_mul(LANES_PER_WORKER)).unwrap_or(usize::MAX);
        Self {
            parts,
            ready: HashMap::new(),
            by_time: BTreeSet::new(),
            lanes: BTreeMap::new(),
            pulses: Pulses::default(),
            crowded: HashSet::new(),
            crowds: Crowds::default(),
            running: 0,
            seen: 0,
            stale: false,
            righted: Arc::default(),
            skew: 0,
            ended: mpsc::channel(room),
        }
    }

    /// Runs until the instance stops; lanes under way are waited for.
    pub async fn run(mut self) {
        let stopping = self.parts.tasks.stopping();
        let mut events = self.parts.store.events();
        self.seen = *events.borrow_and_update();
        if let Some(fault) = self.parts.store.moment().fault() {
            tracing::error!("{fault}");
        }
        // What was being handed over may have left at any moment until now: it takes a clock to say when that is.
        let mut recorded = None;
        while let Some(latest) = self.parts.store.moment().behind {
            recorded = Some(latest);
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(CLOCK_PAUSE) => {}
            }
        }
        while let Err(error) = self.recover().await {
            tracing::error!(%error, "what was under way before the start could not be taken up");
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(STORE_PAUSE) => {}
            }
        }
        let moment = self.parts.store.moment();
        self.skew = moment.skew();
        self.parts.outlook.clock_seen(&moment);
        if let Some(latest) = recorded.filter(|latest| *latest > moment.now) {
            // Taken for right by whoever runs this: the last run's clock was ahead.
            self.put_right(latest.millis_since(moment.now));
        }
        let mut inboxes = self.parts.outlook.inboxes.as_ref().map(|inboxes| inboxes.news());
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if stopping.is_cancelled() {
                break;
            }
            self.start_lanes();
            let clock = self.parts.runtime.clock.clone();
            let next = self.by_time.first().map(|(at, _)| *at).filter(|_| self.has_a_worker());
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(end) = self.ended.1.recv() => self.lane_ended(&end),
                news = next_inbox(&mut inboxes) => self.inbox_synced(news),
                () = self.righted.notified() => self.read_everything(),
                Ok(()) = events.changed() => self.follow(*events.borrow_and_update()),
                () = async { clock.sleep_until(next.unwrap_or_default()).await }, if next.is_some() => {}
                _ = sweep.tick() => {
                    self.close_idle(self.parts.pool.expired());
                    self.look_at_the_clock();
                    if self.stale {
                        self.read_everything();
                    }
                }
            }
        }
        while self.running > 0 {
            match self.ended.1.recv().await {
                Some(end) => self.lane_ended(&end),
                None => break,
            }
        }
        for session in self.parts.pool.drain() {
            session.quit().await;
        }
    }

    /// Takes up what the last run left under way, then learns what waits.
    async fn recover(&mut self) -> Result<(), StoreError> {
        let failpoints = self.parts.runtime.failpoints.clone();
        let mut query = ListQuery { count: false, ..ListQuery::all() }
            .and("state", Test::OneOf(vec![Scalar::from(State::Delivering.name())]))
            .size(ListQuery::MAX_SIZE);
        loop {
            let page = list::<Mailing>(&self.parts.store.read()?, &query)?;
            // What is in doubt stays so until its sent folder has answered.
            let left: Vec<u64> =
                page.items.iter().filter(|mailing| mailing.doubt.is_none()).map(|mailing| mailing.id).collect();
            if !left.is_empty() {
                tracing::info!(mailings = left.len(), "taking up what was under way at the last stop");
                failpoints.pass("recover.before_commit").await;
                self.parts
                    .store
                    .write_patiently(move |work| left.iter().try_for_each(|id| settle::recover(work, *id)))
                    .await?;
                failpoints.pass("recover.after_commit").await;
            }
            let Some(next) = page.next else { break };
            query.page = Page::After(next);
        }
        self.read_all_heads()
    }

    fn read_all_heads(&mut self) -> Result<(), StoreError> {
        for (mailbox, at) in due_heads(&self.parts.store.read()?)? {
            self.set_ready(mailbox, at);
        }
        Ok(())
    }

    /// Reads what happened since the last look and notes which mailboxes it may let send.
    fn follow(&mut self, latest: u64) {
        let changed = self.parts.store.read().and_then(|snapshot| {
            let events = events_after(&snapshot, self.seen, EVENTS)?;
            self.seen = latest.max(events.last().map_or(self.seen, |event| event.id));
            if events.len() == EVENTS {
                self.crowds.forget_all();
                return Ok(None);
            }
            let mut heads = BTreeMap::new();
            for event in events {
                if matches!(event.kind, EventKind::MailboxUpdated | EventKind::MailboxDestroyed)
                    && let Some(mailbox) = event.mailbox_id
                {
                    self.crowds.forget(mailbox);
                }
                let matters = !matches!(
                    event.kind,
                    EventKind::MailingDelivering
                        | EventKind::MailingDelivered
                        | EventKind::MailingFailed
                        | EventKind::MessageCreated
                        | EventKind::MailboxSynced
                );
                if let Some(mailbox) = event.mailbox_id.filter(|_| matters)
                    && let std::collections::btree_map::Entry::Vacant(entry) = heads.entry(mailbox)
                {
                    entry.insert(due_head(&snapshot, mailbox)?.map(|(at, _)| at));
                }
            }
            Ok(Some(heads))
        });
        let result = match changed {
            Ok(Some(heads)) => {
                // Behind whatever is ready already, however long it has waited: a busy mailbox does not overtake others.
                let now = self.parts.runtime.clock.now();
                for (mailbox, head) in heads {
                    match head {
                        Some(at) => self.set_ready(mailbox, at.max(now)),
                        None => self.clear_ready(mailbox),
                    }
                }
                Ok(())
            }
            Ok(None) => self.read_all_heads(),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the event log could not be read");
            self.stale = true;
        }
    }

    /// Reads all heads; if that fails, once more later.
    fn read_everything(&mut self) {
        self.crowds.forget_all();
        let result = self.read_all_heads();
        self.stale = result.is_err();
        if let Err(error) = result {
            tracing::error!(%error, "what waits could not be read");
        }
    }

    fn start_lanes(&mut self) {
        let moment = self.parts.store.moment();
        let now = moment.now;
        while self.has_a_worker() {
            let Some((at, mailbox)) = self.by_time.first().copied() else { return };
            if at > now {
                return;
            }
            self.clear_ready(mailbox);
            let lanes = self.lanes.get(&mailbox).copied().unwrap_or(0);
            if lanes >= self.parts.config.connections_per_mailbox {
                // A lane may have looked just before what made the mailbox ready: it is asked again when one ends.
                self.crowded.insert(mailbox);
                continue;
            }
            let host = self.crowds.host(&self.parts, mailbox);
            if let Some(host) = &host
                && !self.crowds.admit(&self.parts, host, mailbox, &moment)
            {
                continue;
            }
            *self.lanes.entry(mailbox).or_default() += 1;
            let wants_another = lanes + 1 < self.parts.config.connections_per_mailbox;
            self.running += 1;
            let (parts, ended) = (self.parts.clone(), self.ended.0.clone());
            let pulse = self.pulses.begin(moment.steady);
            self.parts.tasks.spawn(async move {
                let end = lane::run(&parts, mailbox, &pulse).await;
                drop(pulse);
                // The owner outlives its lanes.
                let _ = ended.send((mailbox, host, end)).await;
            });
            if wants_another {
                self.offer_another_lane(mailbox, now);
            }
        }
    }

    /// Whether another lane may start: there is a worker for it, or some of them hang on servers that are slow.
    fn has_a_worker(&mut self) -> bool {
        let workers = self.parts.config.workers;
        if self.running < workers {
            return true;
        }
        let slow = self.pulses.older_than(self.parts.config.slow_after, self.parts.store.moment().steady);
        self.running < workers.saturating_mul(LANES_PER_WORKER) && self.running.saturating_sub(slow) < workers
    }

    fn inbox_synced(&mut self, news: Option<u64>) {
        let now = self.parts.runtime.clock.now();
        let result = match news {
            Some(mailbox) => {
                self.parts.outlook.synced(mailbox);
                self.parts.store.read().and_then(|snapshot| due_head(&snapshot, mailbox)).map(|head| {
                    if let Some((due, _)) = head {
                        self.set_ready(mailbox, due.max(now));
                    }
                })
            }
            None => self.read_all_heads(),
        };
        if let Err(error) = result {
            tracing::error!(%error, "what waits for a sync could not be read");
            self.stale = true;
        }
    }

    /// A wall clock that was set: what was to happen at a time of the old clock is worked out anew.
    fn look_at_the_clock(&mut self) {
        let moment = self.parts.store.moment();
        let skew = moment.skew();
        self.parts.outlook.clock_seen(&moment);
        if skew.abs_diff(self.skew) < JUMP {
            return;
        }
        let change = skew.saturating_sub(self.skew);
        tracing::warn!(milliseconds = change, "the clock of this machine was set");
        self.skew = skew;
        self.put_right(change.saturating_neg());
        self.read_everything();
    }

    /// Records where the clock stands now, and brings forward what would wait if it was set back by so many milliseconds.
    fn put_right(&self, millis: i64) {
        let (parts, righted) = (self.parts.clone(), self.righted.clone());
        self.parts.tasks.spawn(async move {
            // On disk before anything else happens: after a crash it would look like time that passed.
            if let Err(error) = parts.store.keep_the_clock().await {
                tracing::error!(%error, "a clock that was set could not be recorded");
            }
            let back = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
            if back.is_zero() {
                return;
            }
            if let Err(error) = set_back::put_right(&parts, back).await {
                tracing::error!(%error, "what waits could not be brought forward");
            }
            righted.notify_one();
        });
    }

    /// More than one mailing waits, and the lane that was just started takes one: another connection may help. Lanes under
    /// way have taken theirs, most of them; one too many finds nothing and ends.
    fn offer_another_lane(&mut self, mailbox: u64, now: Timestamp) {
        let waiting = self
            .parts
            .store
            .read()
            .and_then(|snapshot| crate::store::waiting_mailings(&snapshot, mailbox, 2))
            .map_or(0, |waiting| waiting.len());
        if waiting > 1 {
            // Behind the other mailboxes that are ready now.
            self.set_ready(mailbox, now);
        }
    }

    fn lane_ended(&mut self, (mailbox, host, end): &End) {
        let mailbox = *mailbox;
        let now = self.parts.runtime.clock.now();
        self.running -= 1;
        if let Some(host) = host {
            for waiting in self.crowds.leave(host, self.parts.config.connections_per_host) {
                self.set_ready(waiting, now);
            }
        }
        if let Some(lanes) = self.lanes.get_mut(&mailbox) {
            *lanes -= 1;
            if *lanes == 0 {
                self.lanes.remove(&mailbox);
            }
        }
        if self.crowded.remove(&mailbox) {
            self.set_ready(mailbox, now);
        }
        match end {
            LaneEnd::NotBefore(at) => self.set_ready(mailbox, *at),
            LaneEnd::Nothing => {}
            LaneEnd::Turn => self.set_ready(mailbox, now),
            LaneEnd::StoreFailed(error) => {
                tracing::error!(mailbox, %error, "sending waits for the store");
                self.set_ready(mailbox, now.plus(STORE_PAUSE));
            }
        }
    }

    fn close_idle(&self, sessions: Vec<crate::connect::smtp::SmtpSession>) {
        for session in sessions {
            self.parts.tasks.spawn(session.quit());
        }
    }

    /// Notes when a mailbox may have something to send. The earlier of two times counts: a lane too early finds
    /// nothing, one too late keeps mail waiting.
    fn set_ready(&mut self, mailbox: u64, at: Timestamp) {
        let at = self.ready.get(&mailbox).map_or(at, |known| at.min(*known));
        self.clear_ready(mailbox);
        self.ready.insert(mailbox, at);
        self.by_time.insert((at, mailbox));
    }

    fn clear_ready(&mut self, mailbox: u64) {
        if let Some(at) = self.ready.remove(&mailbox) {
            self.by_time.remove(&(at, mailbox));
        }
    }
}

/// The next mailbox whose inbox is synced; `None` inside where some were missed. Never completes without a source.
async fn next_inbox(inboxes: &mut Option<broadcast::Receiver<u64>>) -> Option<u64> {
    let Some(receiver) = inboxes else { return std::future::pending().await };
    match receiver.recv().await {
        Ok(mailbox) => Some(mailbox),
        Err(broadcast::error::RecvError::Lagged(_)) => None,
        Err(broadcast::error::RecvError::Closed) => {
            *inboxes = None;
            std::future::pending().await
        }
    }
}
