//! The one task that decides which mailbox is synced next: a heap of due times, a bounded number of workers.

use super::worker::{self, Run};
use super::{Command, Parts};
use crate::domain::backoff::Backoff;
use crate::domain::event::EventKind;
use crate::domain::failure::FailureKind;
use crate::domain::list::ListQuery;
use crate::domain::mailbox::Mailbox;
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::{StoreError, events_after, get, list, status};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const EVENTS: usize = 2000;
/// First syncs after a start are spread over this time, so that a thousand mailboxes do not all begin at once.
const SPREAD: Duration = Duration::from_secs(20);

pub(super) struct Scheduler {
    parts: Arc<Parts>,
    commands: mpsc::Receiver<Command>,
    due: HashMap<u64, Timestamp>,
    by_time: BTreeSet<(Timestamp, u64)>,
    running: HashSet<u64>,
    /// Asked for while they were being synced: they run once more.
    again: HashSet<u64>,
    seen: u64,
    ended: (mpsc::Sender<Run>, mpsc::Receiver<Run>),
}

impl Scheduler {
    pub fn new(parts: Arc<Parts>, commands: mpsc::Receiver<Command>) -> Self {
        let room = usize::try_from(parts.config.workers).unwrap_or(usize::MAX);
        Self {
            parts,
            commands,
            due: HashMap::new(),
            by_time: BTreeSet::new(),
            running: HashSet::new(),
            again: HashSet::new(),
            seen: 0,
            ended: mpsc::channel(room),
        }
    }

    pub async fn run(mut self) {
        let stopping = self.parts.tasks.stopping();
        let mut events = self.parts.store.events();
        self.seen = *events.borrow_and_update();
        if let Err(error) = self.plan_all() {
            tracing::error!(%error, "the mailboxes could not be read");
        }
        while !stopping.is_cancelled() {
            self.start_workers();
            let clock = self.parts.runtime.clock.clone();
            let full = self.running.len() >= self.workers();
            let next = self.by_time.first().map(|(at, _)| *at).filter(|_| !full);
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(run) = self.ended.1.recv() => self.ended(run).await,
                Some(command) = self.commands.recv() => self.obey(command),
                Ok(()) = events.changed() => self.follow(*events.borrow_and_update()),
                () = async { clock.sleep_until(next.unwrap_or_default()).await }, if next.is_some() => {}
            }
        }
        while !self.running.is_empty() {
            match self.ended.1.recv().await {
                Some(run) => self.ended(run).await,
                None => break,
            }
        }
    }

    fn workers(&self) -> usize {
        usize::try_from(self.parts.config.workers).unwrap_or(usize::MAX)
    }

    fn plan_all(&mut self) -> Result<(), StoreError> {
        let snapshot = self.parts.store.read()?;
        let mut query = ListQuery { count: false, ..ListQuery::all() }.size(ListQuery::MAX_SIZE);
        loop {
            let page = list::<Mailbox>(&snapshot, &query)?;
            for mailbox in &page.items {
                self.plan(mailbox)?;
            }
            match page.next {
                Some(cursor) => query.page = crate::domain::list::Page::After(cursor),
                None => return Ok(()),
            }
        }
    }

    /// Decides when a mailbox is synced next, from what the store knows of it.
    fn plan(&mut self, mailbox: &Mailbox) -> Result<(), StoreError> {
        self.set_due(mailbox.id, None);
        if mailbox.settings.sync_disabled == Some(true) || self.parts.connector.sync_settings(mailbox).is_err() {
            return Ok(());
        }
        let snapshot = self.parts.store.read()?;
        let now = self.parts.runtime.clock.now();
        let side = status(&snapshot, mailbox.id)?.sync;
        let owner = get::<User>(&snapshot, mailbox.user_id)?;
        let at = match (side.probe_at, side.finished_at) {
            (Some(probe), _) if side.failure.is_some() => probe,
            (_, Some(finished)) => finished.plus(mailbox.settings.sync_frequency(owner.as_ref(), now)),
            (_, None) => now,
        };
        let late = at.millis_since(now) <= 0 && side.finished_at.is_some();
        let at = if late { now.plus(self.jitter(SPREAD)) } else { at };
        self.set_due(mailbox.id, Some(at));
        Ok(())
    }

    fn jitter(&self, within: Duration) -> Duration {
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.parts.runtime.random.below(millis.max(1)))
    }

    fn start_workers(&mut self) {
        let now = self.parts.runtime.clock.now();
        while self.running.len() < self.workers() {
            let Some((at, mailbox)) = self.by_time.first().copied() else { return };
            if at > now {
                return;
            }
            self.set_due(mailbox, None);
            if !self.running.insert(mailbox) {
                self.again.insert(mailbox);
                continue;
            }
            let (parts, ended) = (self.parts.clone(), self.ended.0.clone());
            self.parts.tasks.spawn(async move {
                let run = worker::run(parts, mailbox).await;
                // The owner outlives its workers.
                let _ = ended.send(run).await;
            });
        }
    }

    async fn ended(&mut self, run: Run) {
        self.running.remove(&run.mailbox);
        let now = self.parts.runtime.clock.now();
        let roll = self.parts.runtime.random.below(401);
        let next = worker::record(&self.parts, &run, now, |failures, kind| {
            let backoff = match kind {
                FailureKind::Temporary | FailureKind::Doubt => Backoff::HOST,
                _ => Backoff::MAILBOX,
            };
            backoff.wait(failures, roll)
        })
        .await;
        let at = match next {
            Ok(Some(at)) => Some(at),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(mailbox = run.mailbox, %error, "the outcome of a sync could not be recorded");
                Some(now.plus(Duration::from_mins(1)))
            }
        };
        let again = self.again.remove(&run.mailbox);
        self.set_due(run.mailbox, if again { Some(now) } else { at });
    }

    fn obey(&mut self, command: Command) {
        let Command::SyncNow(mailbox) = command;
        if self.running.contains(&mailbox) {
            self.again.insert(mailbox);
        } else {
            self.set_due(mailbox, Some(self.parts.runtime.clock.now()));
        }
    }

    fn follow(&mut self, latest: u64) {
        let result = self.parts.store.read().and_then(|snapshot| {
            let events = events_after(&snapshot, self.seen, EVENTS)?;
            self.seen = latest.max(events.last().map_or(self.seen, |event| event.id));
            if events.len() == EVENTS {
                return self.plan_all();
            }
            let changed: HashSet<u64> = events
                .iter()
                .filter(|event| {
                    matches!(
                        event.kind,
                        EventKind::MailboxCreated | EventKind::MailboxUpdated | EventKind::MailboxDestroyed
                    )
                })
                .filter_map(|event| event.mailbox_id)
                .collect();
            for id in changed {
                match get::<Mailbox>(&snapshot, id)? {
                    Some(mailbox) => self.plan(&mailbox)?,
                    None => self.set_due(id, None),
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            tracing::error!(%error, "the event log could not be read");
        }
    }

    fn set_due(&mut self, mailbox: u64, at: Option<Timestamp>) {
        if let Some(old) = self.due.remove(&mailbox) {
            self.by_time.remove(&(old, mailbox));
        }
        if let Some(at) = at {
            self.due.insert(mailbox, at);
            self.by_time.insert((at, mailbox));
        }
    }
}
