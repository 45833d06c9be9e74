//! The one thread that writes. Units of work that arrive together share one commit, and with it one sync of the disk;
//! nobody gets an answer before the commit that carries it.
//!
//! redb has no savepoint inside a dirty transaction. So a unit checks everything before its first write; one that
//! fails later makes the group start over, each member in a transaction of its own.

use super::reader::Reader as _;
use super::space::Space;
use super::tables::META;
use super::timeline::Timeline;
use super::work::Work;
use super::{Held, StoreError, schema};
use crate::runtime::{Runtime, contain_blocking};
use crate::vault::Vault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{oneshot, watch};

/// How many units may wait for the writer; more are refused with `Busy`.
const QUEUE: usize = 4096;
/// How many units share a commit at most.
const GROUP: usize = 256;
/// How many octets they write at most; the one that goes beyond is the last of its group. That bounds the memory of a
/// commit, and what it can take of a disk that is nearly full.
const GROUP_OCTETS: usize = 8 << 20;

/// A unit of work with the way back to whoever waits for it.
trait Unit: Send {
    /// Runs it; `Err` if the store itself failed.
    fn run(&mut self, work: &mut Work) -> Ran;
    /// Answers: after the commit with `Ok`, else with what went wrong.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

enum Ran {
    Done,
    /// It refused and its refusal is the answer.
    Refused,
    Panicked(String),
}

struct Waiting<F, T, E> {
    work: F,
    /// Whether it is refused while the disk has too little room.
    takes_in: bool,
    result: Option<Result<T, E>>,
    back: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Unit for Waiting<F, T, E>
where
    F: FnMut(&mut Work) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, work: &mut Work) -> Ran {
        if let Some(shortage) = work.shortage().filter(|_| self.takes_in) {
            self.result = Some(Err(StoreError::Full(shortage).into()));
            return Ran::Refused;
        }
        match contain_blocking(|| (self.work)(work)) {
            Ok(result) => {
                let ran = if result.is_ok() { Ran::Done } else { Ran::Refused };
                self.result = Some(result);
                ran
            }
            Err(panic) => Ran::Panicked(panic),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { work, result, back, .. } = *self;
        // What the unit holds is let go before anybody can act on its answer.
        drop(work);
        let result = match (committed, result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Stopped("the unit of work did not run".into()).into()),
            (Err(error), _) => Err(error.into()),
        };
        // Whoever asked may have gone away; the work stands all the same.
        let _ = back.send(result);
    }
}

/// Hands units of work to the writer thread.
pub(super) struct Writer {
    queue: Sender<Box<dyn Unit>>,
    broken: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread. `committed` tells the id of the last durable event after every commit. The thread ends, and
    /// lets go of the database, when the writer is dropped.
    pub fn start(
        database: Arc<Held>,
        (vault, runtime, timeline, space): (Vault, Runtime, Arc<Timeline>, Arc<Space>),
        committed: watch::Sender<u64>,
    ) -> Result<Self, StoreError> {
        let (queue, mut units) = channel(QUEUE);
        let broken = Arc::new(AtomicBool::new(false));
        let mut thread =
            Thread { database, vault, runtime, timeline, space, committed, broken: None, is_broken: broken.clone() };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.serve(&mut units))
            .map_err(|error| StoreError::Storage(error.to_string()))?;
        Ok(Self { queue, broken })
    }

    /// Whether a commit failed; nothing is written until the next start.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub async fn write<T, E>(&self, work: impl FnMut(&mut Work) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (back, answer) = oneshot::channel();
        self.queue.try_send(Box::new(Waiting { work, takes_in: true, result: None, back })).map_err(
            |error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Closed(_) => StoreError::Stopped("the writer has ended".into()),
            },
        )?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Stopped("the writer has ended".into()).into()))
    }

    /// As [`Self::write`], but waits for a place in the queue, and is let through while the disk has little room: for
    /// work that must not be lost.
    pub async fn write_patiently<T, E>(
        &self,
        work: impl FnMut(&mut Work) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let ended = || E::from(StoreError::Stopped("the writer has ended".into()));
        let (back, answer) = oneshot::channel();
        self.queue.send(Box::new(Waiting { work, takes_in: false, result: None, back })).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

struct Thread {
    database: Arc<Held>,
    vault: Vault,
    runtime: Runtime,
    timeline: Arc<Timeline>,
    space: Arc<Space>,
    committed: watch::Sender<u64>,
    /// After a failed commit nothing is written any more: what the disk holds is unknown until the next start.
    broken: Option<String>,
    is_broken: Arc<AtomicBool>,
}

impl Thread {
    fn serve(&mut self, units: &mut Receiver<Box<dyn Unit>>) {
        while let Some(first) = units.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(unit) = units.try_recv()
            {
                group.push(unit);
            }
            if let Some(why) = &self.broken {
                let why = StoreError::Stopped(why.clone());
                for unit in group {
                    unit.answer(Err(why.clone()));
                }
                continue;
            }
            self.commit_group(group);
        }
    }

    fn commit_group(&mut self, mut group: Vec<Box<dyn Unit>>) {
        match self.attempt(&mut group) {
            Ok(Attempt::Committed(members)) => {
                let rest = group.split_off(members);
                for unit in group {
                    unit.answer(Ok(()));
                }
                if !rest.is_empty() {
                    self.commit_group(rest);
                }
            }
            Ok(Attempt::Spoiled(panic)) if group.len() == 1 => {
                let answer = panic.map_or(Ok(()), |panic| Err(StoreError::Panicked(panic)));
                for unit in group {
                    unit.answer(answer.clone());
                }
            }
            Ok(Attempt::Spoiled(_)) => {
                for unit in group {
                    if let Some(why) = &self.broken {
                        unit.answer(Err(StoreError::Stopped(why.clone())));
                    } else {
                        self.commit_group(vec![unit]);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the store failed; no more writes until a restart");
                self.broken = Some(error.to_string());
                self.is_broken.store(true, Ordering::Relaxed);
                for unit in group {
                    unit.answer(Err(error.clone()));
                }
            }
        }
    }

    fn attempt(&mut self, group: &mut [Box<dyn Unit>]) -> Result<Attempt, StoreError> {
        let mut transaction = self.database.begin_write()?;
        schema::tune(&mut transaction);
        let before = *self.committed.borrow();
        let mut last_event = before;
        let mut dirty = false;
        let shortage = self.space.measured();
        let (mut members, mut written) = (0, 0);
        for unit in group.iter_mut() {
            if written >= GROUP_OCTETS {
                break;
            }
            members += 1;
            let surroundings = (self.timeline.moment(), shortage);
            let mut work = Work::new(&transaction, &self.vault, &self.runtime, surroundings, last_event);
            let ran = unit.run(&mut work);
            let wrote = work.is_dirty();
            last_event = work.last_event();
            written += work.written();
            dirty |= wrote;
            let panic = match ran {
                Ran::Done => continue,
                Ran::Refused if !wrote => continue,
                Ran::Refused => None,
                Ran::Panicked(panic) => Some(panic),
            };
            transaction.abort()?;
            return Ok(Attempt::Spoiled(panic));
        }
        if dirty {
            if let Some((key, row)) = self.timeline.row()? {
                transaction.open_table(META)?.insert(key, row.as_slice())?;
            }
            transaction.commit()?;
            if last_event != before {
                self.committed.send_replace(last_event);
            }
        } else {
            transaction.abort()?;
        }
        Ok(Attempt::Committed(members))
    }
}

enum Attempt {
    /// So many members of the group, from its beginning; the others are still to come.
    Committed(usize),
    /// A member failed after it had written; the transaction was taken back.
    Spoiled(Option<String>),
}
