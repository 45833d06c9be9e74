//! One sync of one mailbox: open a source, ask each wanted folder for what is new, commit batch by batch.

use super::Parts;
use super::ingest::{self, FolderRole, Origin, Prepared};
use super::source::{Batch, Beginning, Source, WantedFolder};
use super::troubles::Troubles;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::message::FolderCursor;
use crate::runtime::contain_blocking;
use crate::store::{StoreError, cursor};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// After so long a sync makes room for others that wait for a worker; it goes on behind them.
const TURN: Duration = Duration::from_mins(1);

/// What a sync came to.
pub(super) struct Run {
    pub mailbox: u64,
    /// The settings it ran with; a run of older settings says nothing about the new ones.
    pub generation: u64,
    pub new: usize,
    pub end: End,
}

/// How a sync ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// All wanted folders are as new as the server's.
    Everything,
    /// There is more to do, and others were waiting.
    Turn,
    /// Broken off in order: the instance stops, or the mailbox is not what it was. Neither a success nor a failure.
    Stopped,
    Failed(Failure),
}

/// Syncs a mailbox as it was read; firing `cancel` ends that wherever it stands.
pub(super) async fn run(parts: &Arc<Parts>, mailbox: Mailbox, cancel: CancellationToken) -> Run {
    let (id, generation) = (mailbox.id, mailbox.generation);
    let blocking = {
        let (parts, cancel) = (parts.clone(), cancel.clone());
        parts.tasks.clone().spawn_blocking(move || {
            let mut new = 0;
            let result = contain_blocking(|| sync(&parts, &mailbox, &cancel, &mut new));
            (new, result)
        })
    };
    let (new, result) = match blocking.await {
        Ok(outcome) => outcome,
        Err(error) => (0, Err(error.to_string())),
    };
    let result = result.unwrap_or_else(|panic| {
        tracing::error!(mailbox = id, panic, "a sync panicked");
        Err(Failure::new(
            FailureKind::Temporary,
            Scope::Mailbox,
            Stage::Fetch,
            "Postroom failed while it read this mailbox. Please report this with the log.",
        ))
    });
    let end = match result {
        Ok(Reached::Everything) => End::Everything,
        Ok(Reached::Turn) => End::Turn,
        Ok(Reached::Stop) => End::Stopped,
        // What a session says that was cancelled is no failure of the server.
        Err(_) if cancel.is_cancelled() => End::Stopped,
        Err(failure) => End::Failed(failure),
    };
    Run { mailbox: id, generation, new, end }
}

/// How far a sync came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// All wanted folders are as new as the server's.
    Everything,
    /// Somebody else's turn.
    Turn,
    /// Told to stop.
    Stop,
}

/// Whether a sync may go on.
struct Leave<'a> {
    parts: &'a Parts,
    cancel: &'a CancellationToken,
    begun: Duration,
    /// Whether a batch was fetched since: without that a turn would be for nothing.
    has_moved: Cell<bool>,
}

impl Leave<'_> {
    /// Why the sync is to end before its next batch, if it is.
    fn ends(&self) -> Option<Reached> {
        if self.cancel.is_cancelled() {
            return Some(Reached::Stop);
        }
        let took = self.parts.runtime.clock.elapsed().saturating_sub(self.begun);
        (self.has_moved.get() && took >= TURN && self.parts.crowded.load(Ordering::Relaxed)).then_some(Reached::Turn)
    }
}

fn sync(
    parts: &Arc<Parts>,
    mailbox: &Mailbox,
    cancel: &CancellationToken,
    new: &mut usize,
) -> Result<Reached, Failure> {
    let leave = Leave { parts, cancel, begun: parts.runtime.clock.elapsed(), has_moved: Cell::new(false) };
    let mut source = super::imap::open(parts, mailbox, cancel)?;
    let folders = source.folders(mailbox.settings.sync_folders.as_deref())?;
    let mut troubles = Troubles::of(parts, mailbox)?;
    troubles.keep_only(&folders)?;
    let mut failed = None;
    for folder in &folders {
        if troubles.is_aside(folder) {
            continue;
        }
        match sync_folder(parts, mailbox, &leave, &mut *source, folder, new) {
            Ok(ended @ (Reached::Stop | Reached::Turn)) => {
                source.close();
                return Ok(ended);
            }
            Ok(Reached::Everything) => troubles.opened(folder)?,
            // The others go on; the inbox is what the mailbox is for.
            Err(failure) if source.is_usable() && failure.stage != Stage::Store && folder.role != FolderRole::Inbox => {
                if !troubles.refused(folder, &failure)? {
                    failed = failed.or(Some(failure));
                }
            }
            Err(failure) => return Err(failure),
        }
        if folder.role == FolderRole::Inbox {
            parts.polls.note_inbox(mailbox.id, parts.runtime.clock.now());
        }
    }
    source.close();
    failed.map_or(Ok(Reached::Everything), Err)
}

fn sync_folder(
    parts: &Arc<Parts>,
    mailbox: &Mailbox,
    leave: &Leave<'_>,
    source: &mut dyn Source,
    folder: &WantedFolder,
    new: &mut usize,
) -> Result<Reached, Failure> {
    let origin = Origin::of(mailbox, folder);
    let folder = &folder.name;
    let known = parts.store.read().and_then(|snapshot| cursor(&snapshot, mailbox.id, folder));
    let beginning = source.begin(folder, known.map_err(|error| store_failure(&error))?)?;
    if let Beginning::Renumbered { before } = beginning {
        tracing::info!(mailbox = mailbox.id, folder, before, "the server has numbered this folder's messages anew");
    }
    // While one batch is being committed the next one is fetched; commits stay in order.
    let mut committing: Option<JoinHandle<Result<usize, StoreError>>> = None;
    loop {
        let ends = leave.ends();
        let batch = if ends.is_some() { None } else { source.next_batch()? };
        if let Some(commit) = committing.take() {
            *new += finish(parts, commit)?;
        }
        let Some(Batch { messages, cursor, remaining }) = batch else {
            return Ok(ends.unwrap_or(Reached::Everything));
        };
        leave.has_moved.set(true);
        tracing::debug!(mailbox = mailbox.id, folder, fetched = messages.len(), remaining, "a batch was fetched");
        let prepared: Vec<Prepared> = messages.into_iter().map(|fetched| ingest::prepare(&origin, fetched)).collect();
        committing = Some(commit(parts, origin.clone(), prepared, cursor));
    }
}

fn commit(
    parts: &Arc<Parts>,
    origin: Origin,
    batch: Vec<Prepared>,
    cursor: FolderCursor,
) -> JoinHandle<Result<usize, StoreError>> {
    let store = parts.store.clone();
    parts
        .handle
        .spawn(async move { store.write_patiently(move |work| ingest::commit(work, &origin, &batch, &cursor)).await })
}

fn finish(parts: &Arc<Parts>, commit: JoinHandle<Result<usize, StoreError>>) -> Result<usize, Failure> {
    parts
        .handle
        .block_on(commit)
        .map_err(|error| Failure::temporary(Stage::Store, error.to_string()))?
        .map_err(|error| store_failure(&error))
}

pub(super) fn store_failure(error: &StoreError) -> Failure {
    Failure::new(FailureKind::Temporary, Scope::Mailbox, Stage::Store, error.to_string())
}
