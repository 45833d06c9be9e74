//! The sync engine: scheduler → source → ingest.
//!
//! * `scheduler` is one task that starts the syncs, at most `sync.workers` at the same time; `timetable` knows when each
//!   mailbox is due, `owners` who is active, `crowds` what each server bears, `planning` what the store says of mailboxes.
//! * `watches` keeps connections open that wait for new mail (IMAP IDLE).
//! * `worker` syncs one mailbox, in the `passes` that a sync consists of: new mail, `changes`, older mail, `departures`;
//!   `known` is what the store knows of a folder, `troubles` which folders do not open. `outcome` records what came of it.
//! * [`source`] is what a mail server must be able to answer; `imap` answers it, in the order that `plan` works out and
//!   for the folders that `folders` picks; `listing` is what such a folder has.
//! * `ingest` parses, recognises and deduplicates, and commits messages and cursor together: every message once.
//!
//! * `on_demand` fetches octets that are not stored, for whoever reads a message.
//!
//! Uses `connect` and what lies below it; reached from above through [`SyncEngine`] and its [`SyncHandle`].

mod changes;
mod conversation;
mod crowds;
mod departures;
mod folders;
mod imap;
mod ingest;
mod known;
mod listing;
pub mod on_demand;
mod outcome;
mod owners;
mod passes;
mod plan;
mod planning;
mod recognise;
mod scheduler;
mod screen;
pub mod source;
mod timetable;
mod troubles;
mod watches;
mod worker;

use crate::config::SyncConfig;
use crate::connect::Connector;
use crate::connect::hosts::{Hosts, host};
use crate::domain::mailbox::Mailbox;
use crate::domain::time::Timestamp;
use crate::runtime::{Runtime, Tasks};
use crate::store::Store;
use on_demand::OnDemand;
use outcome::Quiet;
use owners::Owners;
use scheduler::Scheduler;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

pub use timetable::slot_after;

/// How many requests to sync may wait for the scheduler.
const COMMANDS: usize = 1024;

/// The engine is told of one user's activity at most so often, in milliseconds: a request is cheap, and many come.
const TOLD: i64 = 30_000;

/// What the parts of the engine share.
struct Parts {
    store: Store,
    connector: Connector,
    runtime: Runtime,
    config: SyncConfig,
    tasks: Tasks,
    polls: Polls,
    owners: Mutex<Owners>,
    /// The servers in trouble.
    hosts: Hosts,
    /// Mailboxes wait for those that are being synced.
    crowded: AtomicBool,
    /// Where blocking workers hand their commits.
    handle: tokio::runtime::Handle,
}

impl Parts {
    fn owners(&self) -> MutexGuard<'_, Owners> {
        lock(&self.owners)
    }
}

#[derive(Clone, Copy)]
enum Command {
    /// A person asks: whatever the last sync met, it is tried now.
    SyncNow(u64),
    /// Somebody needs a recent sync: not before its time if it failed.
    SyncSoon(u64),
    /// A sign that a user is at work.
    OwnerActive(u64),
}

/// How far the older mail of a folder has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// As people see its name.
    pub folder: String,
    /// Messages that are stored.
    pub done: u64,
    /// Those and the ones that are known to follow.
    pub total: u64,
}

/// When each mailbox was last synced. Polls that found nothing are written to disk only every few minutes; in between
/// this knows better than the store.
#[derive(Clone)]
struct Polls {
    whole: Arc<Mutex<HashMap<u64, Timestamp>>>,
    inboxes: Arc<Mutex<HashMap<u64, Timestamp>>>,
    /// When each is due next.
    next: Arc<Mutex<HashMap<u64, Timestamp>>>,
    quiet: Arc<Mutex<HashMap<u64, Quiet>>>,
    /// How far the older mail of a folder has come, while it is fetched.
    progress: Arc<Mutex<HashMap<u64, Progress>>>,
    news: broadcast::Sender<u64>,
}

impl Polls {
    fn new() -> Self {
        Self {
            whole: Arc::default(),
            inboxes: Arc::default(),
            next: Arc::default(),
            quiet: Arc::default(),
            progress: Arc::default(),
            news: broadcast::channel(COMMANDS).0,
        }
    }

    fn note(&self, mailbox: u64, at: Timestamp) {
        lock(&self.whole).insert(mailbox, at);
    }

    /// The inbox alone was synced, whatever becomes of the other folders.
    fn note_inbox(&self, mailbox: u64, at: Timestamp) {
        lock(&self.inboxes).insert(mailbox, at);
        // Nobody need be listening.
        let _ = self.news.send(mailbox);
    }

    fn note_progress(&self, mailbox: u64, progress: Option<Progress>) {
        match progress {
            Some(progress) => drop(lock(&self.progress).insert(mailbox, progress)),
            None => drop(lock(&self.progress).remove(&mailbox)),
        }
    }

    fn note_next(&self, mailbox: u64, at: Timestamp) {
        lock(&self.next).insert(mailbox, at);
    }

    fn forget(&self, mailbox: u64) {
        lock(&self.quiet).remove(&mailbox);
        lock(&self.progress).remove(&mailbox);
        for times in [&self.whole, &self.inboxes, &self.next] {
            lock(times).remove(&mailbox);
        }
    }

    fn last(&self, mailbox: u64) -> Option<Timestamp> {
        lock(&self.whole).get(&mailbox).copied()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running engine.
pub struct SyncEngine {
    tasks: Tasks,
    handle: SyncHandle,
}

/// What the API may ask of the engine.
#[derive(Clone)]
pub struct SyncHandle {
    commands: mpsc::Sender<Command>,
    polls: Polls,
    store: Store,
    connector: Connector,
    hosts: Hosts,
    tasks: Tasks,
    on_demand: OnDemand,
    /// Of whose activity the engine was told when.
    told: Arc<Mutex<HashMap<u64, Timestamp>>>,
}

impl SyncHandle {
    /// Pulls the next sync of a mailbox to now; asked several times, it runs once. `false`: too many requests wait.
    pub fn sync_now(&self, mailbox: u64) -> bool {
        self.commands.try_send(Command::SyncNow(mailbox)).is_ok()
    }

    /// The same for whoever needs a recent sync and is no person: after a failure it waits for the next try.
    pub fn sync_soon(&self, mailbox: u64) -> bool {
        self.commands.try_send(Command::SyncSoon(mailbox)).is_ok()
    }

    /// A sign that a user is at work: their mailboxes are synced at the active frequency, from now on for ten minutes.
    pub fn owner_active(&self, user: u64) {
        let now = self.store.runtime().clock.now();
        let mut told = lock(&self.told);
        if told.get(&user).is_some_and(|at| now.millis_since(*at).abs() < TOLD) {
            return;
        }
        // One that is lost is followed by another as long as it matters.
        if self.commands.try_send(Command::OwnerActive(user)).is_ok() {
            told.retain(|_, at| now.millis_since(*at).abs() < TOLD);
            told.insert(user, now);
        }
    }

    /// When the next sync of a mailbox is due, as decided since the start.
    pub fn next(&self, mailbox: u64) -> Option<Timestamp> {
        lock(&self.polls.next).get(&mailbox).copied()
    }

    /// Until when the server of a mailbox is left alone, by the wall clock, and why; whichever mailbox met it.
    pub fn server_trouble(&self, mailbox: &Mailbox) -> Option<(Timestamp, String)> {
        let settings = self.connector.sync_settings(mailbox).ok()?;
        let moment = self.store.moment();
        let (until, sentence) = self.hosts.trouble(&host(&settings.endpoint), &moment)?;
        Some((moment.by_the_wall(until), sentence))
    }

    /// The end of the last successful sync since the start, where it is later than the store knows.
    pub fn last_success(&self, mailbox: u64) -> Option<Timestamp> {
        self.polls.last(mailbox)
    }

    /// How far the older mail of a mailbox has come; `None` while none is fetched.
    pub fn progress(&self, mailbox: u64) -> Option<Progress> {
        lock(&self.polls.progress).get(&mailbox).cloned()
    }

    /// When the inbox was last synced since the start, whatever became of the other folders.
    pub fn inbox_synced_at(&self, mailbox: u64) -> Option<Timestamp> {
        lock(&self.polls.inboxes).get(&mailbox).copied()
    }

    /// The mailboxes whose inboxes are synced from now on.
    pub fn inbox_news(&self) -> broadcast::Receiver<u64> {
        self.polls.news.subscribe()
    }
}

impl SyncEngine {
    pub fn start(store: Store, connector: Connector, config: SyncConfig) -> Self {
        let tasks = Tasks::new();
        let (commands, received) = mpsc::channel(COMMANDS);
        let (polls, hosts) = (Polls::new(), Hosts::default());
        let handle = SyncHandle {
            commands,
            polls: polls.clone(),
            store: store.clone(),
            connector: connector.clone(),
            hosts: hosts.clone(),
            tasks: tasks.clone(),
            on_demand: OnDemand::new(),
            told: Arc::default(),
        };
        let parts = Parts {
            runtime: store.runtime().clone(),
            store,
            connector,
            config,
            tasks: tasks.clone(),
            polls: polls.clone(),
            owners: Mutex::default(),
            hosts: hosts.clone(),
            crowded: AtomicBool::new(false),
            handle: tokio::runtime::Handle::current(),
        };
        tasks.spawn(Scheduler::new(Arc::new(parts), received).run());
        Self { tasks, handle }
    }

    pub fn handle(&self) -> SyncHandle {
        self.handle.clone()
    }

    /// Starts nothing new and waits for the syncs in flight; `false` if some were still running after `patience`.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.tasks.stop(patience).await
    }
}
