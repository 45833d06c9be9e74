//! The one task that decides which mailbox is synced next: it owns the [`Timetable`], a bounded number of workers, and
//! which servers may have how many of them.

use super::crowds::{Crowds, Impression};
use super::outcome::{Next, Settled, settle, write_quiet};
use super::timetable::{Planned, Timetable};
use super::watches::Watches;
use super::{Command, Parts, worker};
use crate::connect::caps::{Permit, Purpose};
use crate::connect::hosts::Host;
use crate::domain::limits::Moment;
use crate::domain::mailbox::Mailbox;
use crate::domain::time::Timestamp;
use crate::runtime::contain;
use crate::store::{StoreError, get};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A mailbox that found no place at its server asks again after this long, and up to as long again.
const CROWDED: Duration = Duration::from_secs(2);
/// What came up during a sync is looked at no sooner than this after it began.
const GAP: Duration = Duration::from_secs(3);
/// How often what needs no exact time is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Polls that found nothing are written this often.
const QUIET: Duration = Duration::from_mins(3);
/// A wall clock that was set by more than this, in milliseconds, moves every time that was worked out before.
const JUMP: u64 = 5_000;
/// A store that refuses work is asked again after this long.
const STORE_PAUSE: Duration = Duration::from_mins(1);

pub(super) struct Scheduler {
    pub(super) parts: Arc<Parts>,
    commands: mpsc::Receiver<Command>,
    pub(super) timetable: Timetable,
    /// The servers of the mailboxes that are planned.
    pub(super) hosts: HashMap<u64, Arc<Host>>,
    crowds: Crowds,
    pub(super) running: HashMap<u64, Running>,
    /// Asked for while they were being synced: they run once more.
    pub(super) again: HashSet<u64>,
    /// Asked for by a person: a server in trouble is tried nevertheless.
    pub(super) asked: HashSet<u64>,
    /// First syncs, which may take long, get half of the workers; these wait for one to end.
    fresh: VecDeque<u64>,
    pub(super) watches: Watches,
    pub(super) seen: u64,
    /// The wall clock less the steady one, as last looked at.
    skew: i64,
    quiet_written: Duration,
    ended: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
}

/// A sync under way.
pub(super) struct Running {
    pub cancel: CancellationToken,
    pub generation: u64,
    fresh: bool,
}

struct Ended {
    mailbox: u64,
    generation: u64,
    host: Host,
    settled: Result<Settled, StoreError>,
}

impl Scheduler {
    pub fn new(parts: Arc<Parts>, commands: mpsc::Receiver<Command>) -> Self {
        let room = usize::try_from(parts.config.workers).unwrap_or(usize::MAX);
        Self {
            crowds: Crowds::new(parts.config.workers),
            skew: skew(&parts),
            quiet_written: parts.runtime.clock.elapsed(),
            parts,
            commands,
            timetable: Timetable::default(),
            hosts: HashMap::new(),
            running: HashMap::new(),
            again: HashSet::new(),
            asked: HashSet::new(),
            fresh: VecDeque::new(),
            watches: Watches::new(),
            seen: 0,
            ended: mpsc::channel(room),
        }
    }

    /// Runs until the instance stops; syncs under way are waited for.
    pub async fn run(mut self) {
        let stopping = self.parts.tasks.stopping();
        let mut events = self.parts.store.events();
        self.seen = *events.borrow_and_update();
        if let Err(error) = self.plan_all().await {
            tracing::error!(%error, "the mailboxes could not be read");
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stopping.is_cancelled() {
            self.start_workers();
            let clock = self.parts.runtime.clock.clone();
            let next = self.timetable.next().filter(|_| !self.is_full());
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(ended) = self.ended.1.recv() => self.ended(ended),
                Some(command) = self.commands.recv() => self.obey(command),
                Some(report) = self.watches.report() => self.hear_watch(report),
                Ok(()) = events.changed() => {
                    let latest = *events.borrow_and_update();
                    self.follow(latest).await;
                }
                () = async { clock.sleep_until(next.unwrap_or_default()).await }, if next.is_some() => {}
                _ = tick.tick() => self.tick().await,
            }
        }
        while !self.running.is_empty() {
            match self.ended.1.recv().await {
                Some(ended) => self.ended(ended),
                None => break,
            }
        }
        write_quiet(&self.parts).await;
    }

    fn is_full(&self) -> bool {
        self.running.len() >= usize::try_from(self.parts.config.workers).unwrap_or(usize::MAX)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.runtime.clock.now()
    }

    pub(super) fn jitter(&self, within: Duration) -> Duration {
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.parts.runtime.random.below(millis.max(1)))
    }

    fn start_workers(&mut self) {
        let moment = self.parts.store.moment();
        while !self.is_full() {
            let Some(mailbox) = self.take_next() else { break };
            if self.running.contains_key(&mailbox) {
                self.again.insert(mailbox);
                continue;
            }
            if let Err(error) = self.begin(mailbox, &moment) {
                tracing::error!(mailbox, %error, "a mailbox could not be read");
                self.set_due(mailbox, self.now().plus(STORE_PAUSE));
            }
        }
        // Told to long syncs, which then make room.
        let somebody_waits = (self.is_full() && self.timetable.next().is_some_and(|at| at <= self.now()))
            || !self.fresh.is_empty()
            || self.crowds.is_anybody_waiting();
        self.parts.crowded.store(somebody_waits, Ordering::Relaxed);
    }

    /// Whose turn it is: a first sync that waited, if there is room for one, else whoever is awaited, else whoever has been
    /// due for longest.
    fn take_next(&mut self) -> Option<u64> {
        if !self.fresh.is_empty() && self.fresh_running() < self.fresh_room() {
            return self.fresh.pop_front();
        }
        self.timetable.take_due(self.now())
    }

    /// Begins a sync, unless its server is left alone for now or has as many as it may.
    fn begin(&mut self, id: u64, moment: &Moment) -> Result<(), StoreError> {
        let (Some(planned), Some(host)) = (self.timetable.get(id), self.hosts.get(&id).cloned()) else {
            return Ok(());
        };
        let (fresh, asked, awaited) = (planned.fresh, self.asked.contains(&id), planned.awaited);
        if fresh && self.fresh_running() >= self.fresh_room() {
            self.fresh.retain(|waiting| *waiting != id);
            if awaited {
                self.fresh.push_front(id);
            } else {
                self.fresh.push_back(id);
            }
            return Ok(());
        }
        if let Some((until, _)) = self.parts.hosts.trouble(&host, moment).filter(|_| !asked) {
            self.set_due(id, moment.by_the_wall(until));
            return Ok(());
        }
        if !self.crowds.enter(&host, id, self.parts.hosts.is_down(&host), awaited) {
            return Ok(());
        }
        let admitted = self.admit(id, &host, moment);
        match admitted {
            Ok(Some((mailbox, place))) => {
                self.asked.remove(&id);
                self.spawn(mailbox, place, moment.steady, fresh);
            }
            Ok(None) => self.crowds.turned_back(&host),
            Err(error) => {
                self.crowds.turned_back(&host);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The mailbox as it is now, and a place among the connections of its log-in; `None` if there is nothing to sync, or
    /// no place yet.
    fn admit(&mut self, id: u64, host: &Host, moment: &Moment) -> Result<Option<(Mailbox, Permit)>, StoreError> {
        let mailbox = get::<Mailbox>(&self.parts.store.read()?, id)?;
        let mailbox = mailbox.filter(|mailbox| mailbox.settings.sync_disabled != Some(true));
        let login = mailbox.as_ref().and_then(|mailbox| self.parts.connector.login(mailbox).ok());
        let (Some(mailbox), Some(login)) = (mailbox, login) else {
            self.forget(id);
            return Ok(None);
        };
        let place = self.parts.connector.caps().try_enter(&login, Purpose::Session, moment.steady);
        if let Some(place) = place.filter(|_| login.host == *host) {
            return Ok(Some((mailbox, place)));
        }
        let at = self.now().plus(CROWDED + self.jitter(CROWDED));
        self.set_due(id, at);
        Ok(None)
    }

    fn spawn(&mut self, mailbox: Mailbox, place: Permit, begun: Timestamp, fresh: bool) {
        let (id, generation) = (mailbox.id, mailbox.generation);
        let cancel = self.parts.tasks.stopping().child_token();
        self.running.insert(id, Running { cancel: cancel.clone(), generation, fresh });
        let now = self.now();
        if let Some(planned) = self.timetable.get_mut(id) {
            (planned.began_at, planned.awaited) = (Some(now), false);
        }
        let (parts, ended) = (self.parts.clone(), self.ended.0.clone());
        self.parts.tasks.spawn(async move {
            let settled = contain(async {
                let run = worker::run(&parts, mailbox, cancel).await;
                settle(&parts, &run, place.login(), begun).await
            });
            let settled = settled.await.unwrap_or_else(|panic| Err(StoreError::Corrupt(panic)));
            let host = place.login().host.clone();
            drop(place);
            // The owner outlives its workers.
            let _ = ended.send(Ended { mailbox: id, generation, host, settled }).await;
        });
    }

    fn fresh_running(&self) -> usize {
        self.running.values().filter(|running| running.fresh).count()
    }

    fn fresh_room(&self) -> usize {
        usize::try_from((self.parts.config.workers / 2).max(1)).unwrap_or(1)
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { mailbox: id, generation, host, settled } = ended;
        let now = self.now();
        self.running.remove(&id);
        let settled = settled.unwrap_or_else(|error| {
            tracing::error!(mailbox = id, %error, "the outcome of a sync could not be recorded");
            let next = Next::Wait(now.plus(STORE_PAUSE));
            Settled { impression: Impression::Nothing, next, news: false, freed: Vec::new() }
        });
        for waiting in self.crowds.left(&host, settled.impression, self.parts.hosts.is_down(&host)) {
            self.set_due(waiting, now);
        }
        for freed in settled.freed {
            if freed != id && !self.running.contains_key(&freed) {
                self.timetable.pull(freed, now);
            }
        }
        let (again, asked) = (self.again.remove(&id), self.asked.contains(&id));
        let Some(planned) = self.timetable.get_mut(id).filter(|planned| planned.generation == generation) else {
            // Gone, or another one now.
            self.set_due(id, now);
            return;
        };
        if settled.news {
            planned.news_at = Some(now);
        }
        let before = (planned.fresh, planned.held);
        let at = match settled.next {
            Next::Poll(at) => {
                (planned.fresh, planned.held, planned.finished_at) = (false, false, Some(now));
                at
            }
            Next::Probe(at) => {
                (planned.held, planned.finished_at) = (true, Some(now));
                at
            }
            Next::Wait(at) => at,
            Next::Turn => now,
            Next::Unknown => now.plus(STORE_PAUSE),
        };
        let again = again.then(|| if asked { now } else { planned.not_before(GAP).map_or(now, |at| at.max(now)) });
        if settled.news || before != (planned.fresh, planned.held) {
            self.watches.choose_anew();
        }
        self.set_due(id, again.unwrap_or(at));
    }

    /// Something may be new: a sync is due, so long after the last one began.
    pub(super) fn news(&mut self, id: u64, gap: Duration) {
        if self.running.contains_key(&id) {
            self.again.insert(id);
            return;
        }
        let now = self.now();
        if let Some(planned) = self.timetable.get(id).filter(|planned| !planned.held) {
            let at = planned.not_before(gap).map_or(now, |at| at.max(now));
            self.pull(id, at);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::SyncNow(mailbox) if self.running.contains_key(&mailbox) => {
                self.again.insert(mailbox);
                self.asked.insert(mailbox);
                self.timetable.await_next(mailbox);
            }
            Command::SyncNow(mailbox) => {
                if self.timetable.get(mailbox).is_some() {
                    self.asked.insert(mailbox);
                    self.timetable.await_next(mailbox);
                    self.set_due(mailbox, now);
                }
            }
            Command::SyncSoon(mailbox) => {
                if self.timetable.get(mailbox).is_some_and(|planned| !planned.held) {
                    self.pull(mailbox, now);
                }
            }
            Command::OwnerActive(user) => self.owner_active(user, now),
        }
    }

    /// A sign of activity. Whoever wakes up sees their mailboxes as new as if they had been awake all the time.
    fn owner_active(&mut self, user: u64, now: Timestamp) {
        let store = self.parts.store.clone();
        self.parts.tasks.spawn(async move {
            if let Err(error) = store.write_patiently(move |work| work.note_activity(user, now)).await {
                tracing::error!(user, %error, "a user's activity could not be recorded");
            }
        });
        if !self.parts.owners().note(user, now) {
            return;
        }
        self.watches.choose_anew();
        let owners = self.parts.owners();
        let earlier: Vec<(u64, Timestamp)> = self
            .timetable
            .iter()
            .filter(|(_, planned)| planned.owner == user && !planned.held)
            .map(|(id, planned)| (id, planned.regular(id, &owners, now).max(now)))
            .collect();
        drop(owners);
        for (id, at) in earlier {
            self.pull(id, at);
        }
    }

    /// What needs no exact time.
    async fn tick(&mut self) {
        for waiting in self.crowds.stranded() {
            self.set_due(waiting, self.now());
        }
        self.choose_watches();
        let elapsed = self.parts.runtime.clock.elapsed();
        if elapsed.saturating_sub(self.quiet_written) >= QUIET {
            self.quiet_written = elapsed;
            self.parts.owners().prune(self.now());
            let parts = self.parts.clone();
            self.parts.tasks.spawn(async move { write_quiet(&parts).await });
        }
        let skew = skew(&self.parts);
        if skew.abs_diff(self.skew) >= JUMP {
            tracing::warn!(milliseconds = skew.saturating_sub(self.skew), "the clock was set; syncs are planned anew");
            self.skew = skew;
            if let Err(error) = self.plan_all().await {
                tracing::error!(%error, "the mailboxes could not be read");
            }
        }
    }

    pub(super) fn set_due(&mut self, mailbox: u64, at: Timestamp) {
        self.timetable.set(mailbox, at);
        if self.timetable.get(mailbox).is_some() {
            self.parts.polls.note_next(mailbox, at);
        }
    }

    /// Makes a mailbox due earlier, unless it is under way.
    fn pull(&mut self, mailbox: u64, at: Timestamp) {
        self.timetable.pull(mailbox, at);
        if let Some(due) = self.timetable.get(mailbox).and_then(Planned::due) {
            self.parts.polls.note_next(mailbox, due);
        }
    }
}

/// The wall clock less the steady one, in milliseconds.
fn skew(parts: &Parts) -> i64 {
    let elapsed = i64::try_from(parts.runtime.clock.elapsed().as_millis()).unwrap_or(i64::MAX);
    parts.runtime.clock.now().millis().saturating_sub(elapsed)
}
