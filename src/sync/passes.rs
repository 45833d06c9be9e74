//! One sync, folder by folder: first what is newer everywhere, then what changed, then what is older, as long as its turn
//! lasts. What the server has no longer is taken away last, once it is known where else it may have gone to: a message
//! that was moved is not gone in between.

use super::Parts;
use super::departures::{Departures, Settled};
use super::ingest::{self, FolderRole, Origin, Ready};
use super::known::{StoredUids, recognise};
use super::screen::Screen;
use super::source::{Batch, Beginning, Folders, Part, Source, WantedFolder};
use super::troubles::Troubles;
use super::worker::{panicked, store_failure};
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::message::FolderCursor;
use crate::store::{Snapshot, cursor, stale_places};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// After so long a sync makes room for others that wait for a worker; it goes on behind them.
const TURN: Duration = Duration::from_mins(1);
/// For so long older mail is fetched in one go; then the sync ends, and the next one begins with what is new.
const STRETCH: Duration = Duration::from_secs(30);
/// A folder that is numbered anew more often than this in a row is left alone.
const RENUMBERED: u32 = 5;
/// Batches that are fetched and not committed yet.
const UNDER_WAY: usize = 2;
/// Progress is told in so many steps.
const STEPS: u64 = 20;

/// How far a sync came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// All wanted folders are as new as the server's.
    Everything,
    /// There is more to do, and what is new comes first.
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

/// One sync of a mailbox; counts the messages that were new.
pub(super) fn sync(
    parts: &Arc<Parts>,
    mailbox: &Mailbox,
    cancel: &CancellationToken,
    new: &mut usize,
) -> Result<Reached, Failure> {
    let leave = Leave { parts, cancel, begun: parts.runtime.clock.elapsed(), has_moved: Cell::new(false) };
    let mut source = super::imap::open(parts, mailbox, cancel)?;
    let Folders { wanted, listed } = source.folders(mailbox.settings.sync_folders.as_deref())?;
    let mut troubles = Troubles::of(parts, mailbox)?;
    troubles.keep_only(&wanted)?;
    let screen = parts.store.read().and_then(|snapshot| Screen::of(&snapshot, mailbox));
    let mut visit = Visit {
        parts,
        mailbox,
        leave,
        source: &mut *source,
        screen: Arc::new(screen.map_err(|error| store_failure(&error))?),
        departures: Departures::new(parts, mailbox),
        is_caught_up: false,
        new,
    };
    let reached = visit.every_folder(&wanted, &mut troubles);
    let departed = match (&reached, &listed) {
        // A folder that was renamed is found under its new name before the old one goes.
        (Ok(Reached::Everything), Some(listed)) => visit.departures.deleted_folders(listed),
        _ => Ok(()),
    };
    // Only once every folder was looked at is it known what was moved and what is gone.
    let settled = if visit.is_caught_up { visit.departures.settle() } else { Ok(()) };
    source.close();
    let reached = reached?;
    departed.and(settled)?;
    Ok(reached)
}

struct Visit<'a> {
    parts: &'a Arc<Parts>,
    mailbox: &'a Mailbox,
    leave: Leave<'a>,
    source: &'a mut dyn Source,
    /// Whose mail is not stored.
    screen: Arc<Screen>,
    departures: Departures<'a>,
    /// Every folder has what is new.
    is_caught_up: bool,
    new: &'a mut usize,
}

impl Visit<'_> {
    fn every_folder(&mut self, wanted: &[WantedFolder], troubles: &mut Troubles<'_>) -> Result<Reached, Failure> {
        let mut failed = None;
        let mut unfinished = Vec::new();
        for part in [Part::Newer, Part::Whole] {
            let folders: Vec<&WantedFolder> = match part {
                Part::Newer => wanted.iter().filter(|folder| !troubles.is_aside(folder)).collect(),
                Part::Whole => std::mem::take(&mut unfinished),
            };
            let begun = self.parts.runtime.clock.elapsed();
            for folder in folders {
                let until = (part == Part::Whole).then(|| begun + STRETCH);
                match self.folder(folder, part, until) {
                    Ok(ended @ (Reached::Stop | Reached::Turn)) => return Ok(ended),
                    Ok(Reached::Everything) if part == Part::Newer && !self.is_backfilled(folder)? => {
                        unfinished.push(folder);
                    }
                    Ok(Reached::Everything) => troubles.opened(folder)?,
                    // The others go on; the inbox is what the mailbox is for.
                    Err(failure) if self.concerns_only(folder, &failure) => {
                        if !troubles.refused(folder, &failure)? {
                            failed = failed.or(Some(failure));
                        }
                    }
                    Err(failure) => return Err(failure),
                }
                if folder.role == FolderRole::Inbox && part == Part::Newer {
                    self.parts.polls.note_inbox(self.mailbox.id, self.parts.runtime.clock.now());
                }
            }
            self.is_caught_up = true;
        }
        self.parts.polls.note_progress(self.mailbox.id, None);
        failed.map_or(Ok(Reached::Everything), Err)
    }

    fn concerns_only(&self, folder: &WantedFolder, failure: &Failure) -> bool {
        self.source.is_usable() && failure.stage != Stage::Store && folder.role != FolderRole::Inbox
    }

    fn snapshot(&self) -> Result<Snapshot, Failure> {
        self.parts.store.read().map_err(|error| store_failure(&error))
    }

    fn cursor(&self, folder: &WantedFolder) -> Result<Option<FolderCursor>, Failure> {
        cursor(&self.snapshot()?, self.mailbox.id, &folder.name).map_err(|error| store_failure(&error))
    }

    fn is_backfilled(&self, folder: &WantedFolder) -> Result<bool, Failure> {
        Ok(self.cursor(folder)?.is_some_and(|cursor| cursor.backfilled))
    }

    fn folder(&mut self, folder: &WantedFolder, part: Part, until: Option<Duration>) -> Result<Reached, Failure> {
        let origin = Origin::of(self.mailbox, folder, &self.screen).keeping(self.parts.config.retention());
        let validity = self.source.open(&folder.name)?;
        let known = self.cursor(folder)?;
        let renumbered = self.renumbered(folder, known.as_ref(), validity)?;
        let by_number = self.source.has_provider_numbers()?;
        let matcher = recognise(self.parts, &origin, validity, by_number)?;
        let beginning = self.source.begin(known, part, matcher)?;
        if beginning == Beginning::Renumbered {
            let (mailbox, folder) = (self.mailbox.id, folder.title.as_str());
            tracing::info!(mailbox, folder, times = renumbered, "the server has numbered this folder's messages anew");
        }
        let progress = until.map(|_| Progress::of(self, &origin, validity)).transpose()?;
        let renumbering = (renumbered, self.mailbox.generation);
        if let Some(ended) = self.pour(&origin, renumbering, until, progress)? {
            return Ok(ended);
        }
        if part == Part::Newer {
            let missing = self.changes(&origin, (validity, renumbered), beginning)?;
            if !missing.is_empty() {
                let (mailbox, folder, count) = (origin.mailbox, origin.title.as_str(), missing.len());
                tracing::info!(mailbox, folder, count, "the server has messages that it did not show before");
                self.source.fetch_missing(missing);
                if let Some(ended) = self.pour(&origin, renumbering, until, None)? {
                    return Ok(ended);
                }
            }
        }
        if self.cursor(folder)?.is_some_and(|cursor| cursor.backfilled) {
            // Everything that is still there has its present number.
            self.departures.stale(&origin, validity)?;
        }
        Ok(Reached::Everything)
    }

    /// Fetches and commits batch by batch; why that ended early, if it did.
    fn pour(
        &mut self,
        origin: &Origin,
        (renumbered, generation): (u32, u64),
        until: Option<Duration>,
        mut progress: Option<Progress>,
    ) -> Result<Option<Reached>, Failure> {
        // While one batch is being committed the next one is parsed and the one after that fetched; commits stay in order.
        let mut under_way: VecDeque<JoinHandle<Result<usize, Failure>>> = VecDeque::new();
        let mut before = None;
        loop {
            let mut ends = self.leave.ends();
            if until.is_some_and(|until| self.leave.has_moved.get() && self.parts.runtime.clock.elapsed() >= until) {
                ends = ends.or(Some(Reached::Turn));
            }
            let batch = if ends.is_some() { Ok(None) } else { self.source.next_batch() };
            // Whatever became of the next one: what was fetched is stored before the sync ends.
            let left = if matches!(batch, Ok(Some(_))) { UNDER_WAY - 1 } else { 0 };
            while under_way.len() > left {
                let Some(commit) = under_way.pop_front() else { break };
                *self.new += finish(self.parts, commit)?;
            }
            let Some(batch) = batch? else { return Ok(ends) };
            self.leave.has_moved.set(true);
            let event = progress.as_mut().and_then(|progress| progress.step(self, &batch));
            let (mailbox, fetched, remaining) = (origin.mailbox, batch.messages.len(), batch.remaining);
            tracing::debug!(mailbox, folder = origin.title, fetched, remaining, "a batch");
            let cursor = FolderCursor { renumbered, generation, ..batch.cursor.clone() };
            let (done, is_done) = oneshot::channel();
            let order = (before.replace(is_done), done);
            under_way.push_back(commit(self.parts, origin.clone(), Batch { cursor, ..batch }, event, order));
        }
    }

    /// How many times in a row the folder has been numbered anew, this time included; too many are an error.
    fn renumbered(&self, folder: &WantedFolder, known: Option<&FolderCursor>, validity: u32) -> Result<u32, Failure> {
        let Some(known) = known else { return Ok(0) };
        if known.uid_validity == validity {
            return Ok(known.renumbered);
        }
        // An edit of the mailbox is a new chance.
        let before = if known.generation == self.mailbox.generation { known.renumbered } else { 0 };
        if before >= RENUMBERED {
            let sentence = format!(
                "The server has numbered the messages of the folder {} anew {} times in a row (UIDVALIDITY), so nothing \
                 can be relied on there.",
                folder.title,
                before + 1
            );
            let failure = Failure::new(FailureKind::Config, Scope::Mailbox, Stage::Select, sentence);
            return Err(failure.advice(
                "Have the mail server repaired; then save the mailbox again, and the folder is synced from the start.",
            ));
        }
        Ok(before + 1)
    }

    /// Takes over what changed among the stored messages; what went is left for the end of the sync. Messages that are not
    /// stored and should be.
    fn changes(
        &mut self,
        origin: &Origin,
        (validity, renumbered): (u32, u32),
        beginning: Beginning,
    ) -> Result<Vec<u32>, Failure> {
        let stored = StoredUids::new(self.snapshot()?, origin.clone(), validity);
        let changes = self.source.changes(&stored)?;
        let flags = stored.changed(changes.flags)?;
        self.departures.flags(origin, validity, &flags)?;
        // A numbering that has held from one sync to the next counts no more.
        let renumbered = if beginning == Beginning::Resumed { 0 } else { renumbered };
        let cursor = FolderCursor { renumbered, generation: self.mailbox.generation, ..changes.cursor };
        self.departures.later(Settled { origin: origin.clone(), gone: changes.gone, cursor });
        Ok(changes.missing)
    }
}

/// How far the older mail of a folder has come.
struct Progress {
    folder: String,
    done: u64,
    told: u64,
}

impl Progress {
    fn of(visit: &Visit<'_>, origin: &Origin, validity: u32) -> Result<Self, Failure> {
        let done = StoredUids::new(visit.snapshot()?, origin.clone(), validity).count()?;
        Ok(Self { folder: origin.title.clone(), done, told: u64::MAX })
    }

    /// Notes a batch; an event where that is worth telling.
    fn step(&mut self, visit: &Visit<'_>, batch: &Batch) -> Option<Event> {
        self.done += (batch.messages.len() + batch.known.len()) as u64;
        let total = self.done + batch.remaining;
        let told = super::Progress { folder: self.folder.clone(), done: self.done, total };
        visit.parts.polls.note_progress(visit.mailbox.id, Some(told));
        let step = self.done * STEPS / total.max(1);
        if step == self.told {
            return None;
        }
        self.told = step;
        let payload = serde_json::json!({"folder": self.folder, "done": self.done, "total": total});
        let event = Event::new(EventKind::MailboxSyncProgressed, visit.parts.runtime.clock.now());
        Some(event.mailbox(visit.mailbox.id).user(visit.mailbox.user_id).payload(payload))
    }
}

/// Parses a batch, and commits it once the one before it is committed: never without, as its cursor stands for both.
fn commit(
    parts: &Arc<Parts>,
    origin: Origin,
    batch: Batch,
    event: Option<Event>,
    (before, done): (Option<oneshot::Receiver<()>>, oneshot::Sender<()>),
) -> JoinHandle<Result<usize, Failure>> {
    let (store, tasks, mailbox) = (parts.store.clone(), parts.tasks.clone(), origin.mailbox);
    parts.handle.spawn(async move {
        let preparing = tasks.spawn_blocking(move || {
            let new = batch.messages.into_iter().map(|fetched| ingest::prepare(&origin, fetched)).collect();
            (Ready::of(new, batch.known, batch.cursor), origin)
        });
        let (ready, origin) = preparing.await.map_err(|panic| panicked(mailbox, &panic.to_string()))?;
        if let Some(before) = before
            && before.await.is_err()
        {
            return Err(Failure::temporary(Stage::Store, "An earlier batch could not be stored."));
        }
        let committed = store.write_patiently(move |work| {
            let new = ingest::commit(work, &origin, &ready)?;
            if let Some(event) = event.clone().filter(|_| ingest::is_current(work, &origin).unwrap_or(false)) {
                work.event(event)?;
            }
            Ok(new)
        });
        let new = committed.await.map_err(|error| store_failure(&error))?;
        // Perhaps nothing follows.
        let _ = done.send(());
        Ok(new)
    })
}

fn finish(parts: &Arc<Parts>, commit: JoinHandle<Result<usize, Failure>>) -> Result<usize, Failure> {
    parts.handle.block_on(commit).map_err(|error| Failure::temporary(Stage::Store, error.to_string()))?
}

/// Whether a folder still shows places of another numbering.
pub(super) fn has_stale_places(snapshot: &Snapshot, origin: &Origin, validity: u32) -> Result<bool, Failure> {
    let stale = stale_places(snapshot, origin.mailbox, &origin.folder, Some(validity), 1);
    Ok(!stale.map_err(|error| store_failure(&error))?.is_empty())
}
