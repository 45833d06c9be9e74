//! What is known of the folders that the server does not open: written down at once, so that a restart knows it too.

use super::Parts;
use super::source::WantedFolder;
use super::worker::store_failure;
use crate::domain::failure::Failure;
use crate::domain::mailbox::{FolderTrouble, Mailbox};
use crate::domain::time::Timestamp;
use crate::store::{StoreError, get, status};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Troubles<'p> {
    parts: &'p Arc<Parts>,
    mailbox: u64,
    /// The settings that the sync runs with; what it finds says nothing about others.
    generation: u64,
    known: BTreeMap<String, FolderTrouble>,
    now: Timestamp,
}

impl<'p> Troubles<'p> {
    pub fn of(parts: &'p Arc<Parts>, mailbox: &Mailbox) -> Result<Self, Failure> {
        let known = parts.store.read().and_then(|snapshot| status(&snapshot, mailbox.id));
        Ok(Self {
            parts,
            mailbox: mailbox.id,
            generation: mailbox.generation,
            known: known.map_err(|error| store_failure(&error))?.folder_troubles,
            now: parts.runtime.clock.now(),
        })
    }

    /// Whether a folder is left out of this sync.
    pub fn is_aside(&self, folder: &WantedFolder) -> bool {
        self.known.get(&folder.title).is_some_and(|trouble| trouble.is_aside(self.now))
    }

    /// Forgets the folders that are wanted no longer.
    pub fn keep_only(&mut self, folders: &[WantedFolder]) -> Result<(), Failure> {
        let before = self.known.len();
        self.known.retain(|title, _| folders.iter().any(|folder| folder.title == *title));
        if self.known.len() == before { Ok(()) } else { self.write() }
    }

    /// A folder is as new as the server's.
    pub fn opened(&mut self, folder: &WantedFolder) -> Result<(), Failure> {
        if self.known.remove(&folder.title).is_some() { self.write() } else { Ok(()) }
    }

    /// A folder could not be synced; whether it is set aside now, and no failure of the mailbox.
    pub fn refused(&mut self, folder: &WantedFolder, failure: &Failure) -> Result<bool, Failure> {
        let trouble = FolderTrouble::failed(self.known.get(&folder.title), &failure.explain(), self.now);
        let is_known = trouble.is_known();
        if is_known {
            let (mailbox, folder) = (self.mailbox, folder.title.as_str());
            tracing::warn!(mailbox, folder, %failure, "a folder is left out: the server does not open it");
        }
        self.known.insert(folder.title.clone(), trouble);
        self.write()?;
        Ok(is_known)
    }

    fn write(&self) -> Result<(), Failure> {
        let (mailbox, generation, known) = (self.mailbox, self.generation, self.known.clone());
        let written = self.parts.store.write_patiently(move |work| {
            if get::<Mailbox>(work, mailbox)?.is_some_and(|mailbox| mailbox.generation == generation) {
                let mut health = status(work, mailbox)?;
                health.folder_troubles.clone_from(&known);
                work.put_status(mailbox, &health)?;
            }
            Ok::<_, StoreError>(())
        });
        self.parts.handle.block_on(written).map_err(|error| store_failure(&error))
    }
}
