//! What is taken away at the end of a sync: messages that a server has no longer, places of an older numbering, folders
//! that were deleted. Until then they stay, so that what was moved to another folder is found there first.

use super::Parts;
use super::ingest::{Origin, is_current};
use super::passes::has_stale_places;
use super::worker::store_failure;
use crate::domain::failure::Failure;
use crate::domain::mailbox::Mailbox;
use crate::domain::message::FolderCursor;
use crate::store::{ServerPlace, StoreError, Work, cursor, cursors, stale_places};
use std::sync::Arc;

/// How many places are changed in one commit.
const BATCH: usize = 500;

/// What becomes true of a folder once what went has been taken away.
pub(super) struct Settled {
    pub origin: Origin,
    /// UIDs that the server has no longer.
    pub gone: Vec<u32>,
    pub cursor: FolderCursor,
}

pub(super) struct Departures<'p> {
    parts: &'p Arc<Parts>,
    mailbox: &'p Mailbox,
    settled: Vec<Settled>,
    /// Folders with places of a numbering that is not this one any more.
    stale: Vec<(Origin, u32)>,
    /// The server's names of folders that are there no longer.
    deleted: Vec<String>,
}

impl<'p> Departures<'p> {
    pub fn new(parts: &'p Arc<Parts>, mailbox: &'p Mailbox) -> Self {
        Self { parts, mailbox, settled: Vec::new(), stale: Vec::new(), deleted: Vec::new() }
    }

    pub fn later(&mut self, settled: Settled) {
        self.settled.push(settled);
    }

    /// All messages of the folder that are still there have places of the present numbering.
    pub fn stale(&mut self, origin: &Origin, validity: u32) -> Result<(), Failure> {
        let snapshot = self.parts.store.read().map_err(|error| store_failure(&error))?;
        if has_stale_places(&snapshot, origin, validity)? {
            self.stale.push((origin.clone(), validity));
        }
        Ok(())
    }

    /// Finds the folders that were synced and are not listed any more.
    pub fn deleted_folders(&mut self, listed: &[String]) -> Result<(), Failure> {
        let known = self.parts.store.read().and_then(|snapshot| cursors(&snapshot, self.mailbox.id));
        let known = known.map_err(|error| store_failure(&error))?;
        let is_listed = |name: &String| listed.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        self.deleted = known.into_keys().filter(|name| !is_listed(name)).collect();
        Ok(())
    }

    /// Takes over flags that changed.
    pub fn flags(&self, origin: &Origin, validity: u32, flags: &[(u32, Vec<String>)]) -> Result<(), Failure> {
        for batch in flags.chunks(BATCH) {
            let (origin, batch) = (origin.clone(), batch.to_vec());
            self.write(move |work| {
                if is_current(work, &origin)? {
                    for (uid, flags) in &batch {
                        work.reflag(&origin.place(validity, *uid), flags)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Takes everything away that is to go.
    pub fn settle(&mut self) -> Result<(), Failure> {
        for settled in std::mem::take(&mut self.settled) {
            self.settle_folder(settled)?;
        }
        for (origin, validity) in std::mem::take(&mut self.stale) {
            while self.vanish_some(&origin, Some(validity))? {}
        }
        for name in std::mem::take(&mut self.deleted) {
            tracing::info!(mailbox = self.mailbox.id, folder = name, "a folder is there no longer");
            let origin = Origin { folder: name, ..Origin::of_mailbox(self.mailbox) };
            while self.vanish_some(&origin, None)? {}
            self.write(move |work| {
                if is_current(work, &origin)? {
                    work.remove_cursor(origin.mailbox, &origin.folder)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn settle_folder(&self, settled: Settled) -> Result<(), Failure> {
        let Settled { origin, gone, cursor: wanted } = settled;
        let validity = wanted.uid_validity;
        for batch in gone.chunks(BATCH) {
            let (origin, batch) = (origin.clone(), batch.to_vec());
            self.write(move |work| {
                if is_current(work, &origin)? {
                    batch.iter().try_for_each(|uid| work.vanish(&origin.place(validity, *uid)))?;
                }
                Ok(())
            })?;
        }
        let merged = move |stored: &FolderCursor| FolderCursor {
            mod_seq: wanted.mod_seq,
            place: wanted.place,
            settled: wanted.settled,
            flags_seen: wanted.flags_seen,
            renumbered: wanted.renumbered,
            generation: wanted.generation,
            ..stored.clone()
        };
        // A poll that found nothing writes nothing.
        let stored = self.parts.store.read().and_then(|snapshot| cursor(&snapshot, origin.mailbox, &origin.folder));
        let stored = stored.map_err(|error| store_failure(&error))?;
        if stored.is_none_or(|stored| merged(&stored) == stored) {
            return Ok(());
        }
        self.write(move |work| {
            if let Some(stored) = cursor(work, origin.mailbox, &origin.folder)?
                && stored.uid_validity == validity
                && is_current(work, &origin)?
            {
                work.put_cursor(origin.mailbox, &origin.folder, &merged(&stored))?;
            }
            Ok(())
        })
    }

    /// Takes some places away that are not of a numbering; whether there may be more.
    fn vanish_some(&self, origin: &Origin, present: Option<u32>) -> Result<bool, Failure> {
        let origin = origin.clone();
        self.write(move |work| {
            if !is_current(work, &origin)? {
                return Ok(false);
            }
            let places = stale_places(work, origin.mailbox, &origin.folder, present, BATCH)?;
            for (uid_validity, uid, _) in &places {
                let place = ServerPlace {
                    mailbox: origin.mailbox,
                    folder: &origin.folder,
                    uid_validity: *uid_validity,
                    uid: *uid,
                };
                work.vanish(&place)?;
            }
            Ok(places.len() == BATCH)
        })
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Work) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        self.parts.handle.block_on(self.parts.store.write_patiently(work)).map_err(|error| store_failure(&error))
    }
}
