//! One sync of one mailbox: open a source, ask each wanted folder for what is new, commit batch by batch.

use super::Parts;
use super::ingest::{self, FolderRole, Origin, Prepared};
use super::source::{Batch, Beginning, Source, WantedFolder};
use super::troubles::Troubles;
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::{Mailbox, SideState};
use crate::domain::message::FolderCursor;
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::runtime::contain_blocking;
use crate::store::{StoreError, cursor, get, status};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Success that brought nothing is written to disk at most this often.
const QUIET: Duration = Duration::from_mins(3);

/// What a sync came to.
pub(super) struct Run {
    pub mailbox: u64,
    /// The settings it ran with; a run of older settings says nothing about the new ones.
    pub generation: u64,
    pub new: usize,
    /// `None` where there was nothing to sync any more.
    pub result: Option<Result<(), Failure>>,
}

pub(super) async fn run(parts: Arc<Parts>, id: u64) -> Run {
    let mut run = Run { mailbox: id, generation: 0, new: 0, result: None };
    let mailbox = match parts.store.read().and_then(|snapshot| get::<Mailbox>(&snapshot, id)) {
        Ok(Some(mailbox)) if mailbox.settings.sync_disabled != Some(true) => mailbox,
        Ok(_) => return run,
        Err(error) => {
            run.result = Some(Err(store_failure(&error)));
            return run;
        }
    };
    run.generation = mailbox.generation;
    let blocking = {
        let parts = parts.clone();
        parts.tasks.clone().spawn_blocking(move || {
            let mut new = 0;
            let result = contain_blocking(|| sync(&parts, &mailbox, &mut new));
            (new, result)
        })
    };
    let (new, result) = match blocking.await {
        Ok(outcome) => outcome,
        Err(error) => (0, Err(error.to_string())),
    };
    run.new = new;
    let result = result.unwrap_or_else(|panic| {
        tracing::error!(mailbox = id, panic, "a sync panicked");
        Err(Failure::new(
            FailureKind::Temporary,
            Scope::Mailbox,
            Stage::Fetch,
            "Postroom failed while it read this mailbox. Please report this with the log.",
        ))
    });
    run.result = match result {
        Ok(Reached::Everything) => Some(Ok(())),
        // Broken off in order: neither a success nor a failure, and the next start goes on from the cursors.
        Ok(Reached::Stop) => None,
        Err(failure) => Some(Err(failure)),
    };
    run
}

/// How far a sync came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// All wanted folders are as new as the server's.
    Everything,
    /// The instance is stopping.
    Stop,
}

fn sync(parts: &Arc<Parts>, mailbox: &Mailbox, new: &mut usize) -> Result<Reached, Failure> {
    let mut source = super::imap::open(parts, mailbox)?;
    let folders = source.folders(mailbox.settings.sync_folders.as_deref())?;
    let mut troubles = Troubles::of(parts, mailbox)?;
    troubles.keep_only(&folders)?;
    let mut failed = None;
    for folder in &folders {
        if troubles.is_aside(folder) {
            continue;
        }
        match sync_folder(parts, mailbox, &mut *source, folder, new) {
            Ok(Reached::Stop) => {
                source.close();
                return Ok(Reached::Stop);
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
        let stopping = parts.tasks.stopping().is_cancelled();
        let batch = if stopping { None } else { source.next_batch()? };
        if let Some(commit) = committing.take() {
            *new += finish(parts, commit)?;
        }
        let Some(Batch { messages, cursor, remaining }) = batch else {
            return Ok(if stopping { Reached::Stop } else { Reached::Everything });
        };
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

/// Writes what a sync came to into the mailbox's health, and decides when the next one is due.
pub(super) async fn record(
    parts: &Parts,
    run: &Run,
    now: Timestamp,
    backoff: impl Fn(u32, FailureKind) -> Duration,
) -> Result<Option<Timestamp>, StoreError> {
    let id = run.mailbox;
    let Some(result) = run.result.clone() else {
        parts.polls.forget(id);
        return Ok(None);
    };
    let snapshot = parts.store.read()?;
    let Some(mailbox) = get::<Mailbox>(&snapshot, id)? else {
        parts.polls.forget(id);
        return Ok(None);
    };
    if mailbox.generation != run.generation {
        // The settings changed meanwhile; what this run met says nothing about the new ones.
        parts.polls.forget(id);
        return Ok(Some(now));
    }
    let mut status = status(&snapshot, id)?;
    let owner = get::<User>(&snapshot, mailbox.user_id)?;
    drop(snapshot);
    let before = status.sync.state();
    let regular = now.plus(mailbox.settings.sync_frequency(owner.as_ref(), now));
    let next = match result {
        Ok(()) => {
            parts.polls.note(id, now);
            let last_written = status.sync.success_at;
            status.sync.succeeded(now);
            let quiet = run.new == 0
                && before == SideState::Ok
                && last_written.is_some_and(|at| now.millis_since(at) < i64::try_from(QUIET.as_millis()).unwrap_or(0));
            if quiet {
                return Ok(Some(regular));
            }
            regular
        }
        Err(failure) => {
            let asked = Duration::from_secs(failure.retry_after.unwrap_or(0));
            let wait = backoff(status.sync.failures + 1, failure.kind).max(asked);
            let at = now.plus(wait);
            status.sync.failed(failure, now, at);
            at
        }
    };
    status.next_sync_at = Some(next);
    let new = run.new;
    let generation = run.generation;
    parts
        .store
        .write_patiently(move |work| {
            let Some(mailbox) = get::<Mailbox>(work, id)?.filter(|mailbox| mailbox.generation == generation) else {
                return Ok::<_, StoreError>(());
            };
            // Only this side: the other one may have moved since it was read.
            let mut current = crate::store::status(work, id)?;
            current.sync = status.sync.clone();
            current.next_sync_at = status.next_sync_at;
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
        })
        .await?;
    Ok(Some(next))
}
