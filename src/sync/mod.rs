//! The sync engine: scheduler → source → ingest.
//!
//! * `scheduler` is one task with a heap of due times; at most `sync.workers` mailboxes are synced at the same time.
//! * [`source`] is what a mail server must be able to answer; `imap` answers it, in the order that `plan` works out and
//!   for the folders that `folders` picks.
//! * `ingest` parses, recognises and deduplicates, and commits messages and cursor together: every message once.
//!
//! Uses `connect` and what lies below it; reached from above through [`SyncEngine`] and its [`SyncHandle`].

mod folders;
mod imap;
mod ingest;
mod plan;
mod scheduler;
pub mod source;
mod troubles;
mod worker;

use crate::config::SyncConfig;
use crate::connect::Connector;
use crate::domain::time::Timestamp;
use crate::runtime::{Runtime, Tasks};
use crate::store::Store;
use scheduler::Scheduler;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// How many requests to sync may wait for the scheduler.
const COMMANDS: usize = 1024;

/// What the parts of the engine share.
struct Parts {
    store: Store,
    connector: Connector,
    runtime: Runtime,
    config: SyncConfig,
    tasks: Tasks,
    polls: Polls,
    /// Where blocking workers hand their commits.
    handle: tokio::runtime::Handle,
}

#[derive(Clone, Copy)]
enum Command {
    SyncNow(u64),
}

/// When each mailbox was last synced. Polls that found nothing are written to disk only every few minutes; in between
/// this knows better than the store.
#[derive(Clone)]
struct Polls {
    whole: Arc<Mutex<HashMap<u64, Timestamp>>>,
    inboxes: Arc<Mutex<HashMap<u64, Timestamp>>>,
    news: broadcast::Sender<u64>,
}

impl Polls {
    fn new() -> Self {
        Self { whole: Arc::default(), inboxes: Arc::default(), news: broadcast::channel(COMMANDS).0 }
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

    fn forget(&self, mailbox: u64) {
        lock(&self.whole).remove(&mailbox);
        lock(&self.inboxes).remove(&mailbox);
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
}

impl SyncHandle {
    /// Pulls the next sync of a mailbox to now; asked several times, it runs once. `false`: too many requests wait.
    pub fn sync_now(&self, mailbox: u64) -> bool {
        self.commands.try_send(Command::SyncNow(mailbox)).is_ok()
    }

    /// The end of the last successful sync since the start, where it is later than the store knows.
    pub fn last_success(&self, mailbox: u64) -> Option<Timestamp> {
        self.polls.last(mailbox)
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
        let polls = Polls::new();
        let parts = Parts {
            runtime: store.runtime().clone(),
            store,
            connector,
            config,
            tasks: tasks.clone(),
            polls: polls.clone(),
            handle: tokio::runtime::Handle::current(),
        };
        tasks.spawn(Scheduler::new(Arc::new(parts), received).run());
        Self { tasks, handle: SyncHandle { commands, polls } }
    }

    pub fn handle(&self) -> SyncHandle {
        self.handle.clone()
    }

    /// Starts nothing new and waits for the syncs in flight; `false` if some were still running after `patience`.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.tasks.stop(patience).await
    }
}
