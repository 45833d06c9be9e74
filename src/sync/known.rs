//! What the store knows of a folder, as a source asks for it.

use super::Parts;
use super::ingest::{Origin, provider_identity};
use super::source::{Recognise, Sighting, Stored};
use super::worker::store_failure;
use crate::domain::failure::Failure;
use crate::domain::message::Message;
use crate::store::{Snapshot, StoreError, get, message_at, message_by_identity, placed, stale_places, uids_after};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many rows are counted at a time.
const WINDOW: usize = 20_000;

/// The UIDs of a folder with their flags, at one moment.
pub(super) struct StoredUids {
    snapshot: Snapshot,
    origin: Origin,
    validity: u32,
}

impl StoredUids {
    pub fn new(snapshot: Snapshot, origin: Origin, validity: u32) -> Self {
        Self { snapshot, origin, validity }
    }

    pub fn count(&self) -> Result<u64, Failure> {
        let (mut count, mut last) = (0, 0);
        loop {
            let window = self.uids_after(last, WINDOW)?;
            let Some(end) = window.last() else { return Ok(count) };
            count += window.len() as u64;
            last = *end;
        }
    }

    /// Those of the flags that are not stored as they are.
    pub fn changed(&self, flags: Vec<(u32, Vec<String>)>) -> Result<Vec<(u32, Vec<String>)>, Failure> {
        let mut changed = Vec::new();
        for (uid, now) in flags {
            if self.flags(uid).map_err(|error| store_failure(&error))?.is_some_and(|before| before != now) {
                changed.push((uid, now));
            }
        }
        Ok(changed)
    }

    fn flags(&self, uid: u32) -> Result<Option<Vec<String>>, StoreError> {
        let place = self.origin.place(self.validity, uid);
        let Some(message) = message_at(&self.snapshot, &place)? else { return Ok(None) };
        if let Some(placed) = placed(&self.snapshot, &place, message)? {
            return Ok(Some(placed.flags));
        }
        // Stored before the flags of each place were.
        Ok(get::<Message>(&self.snapshot, message)?.map(|message| message.flags))
    }
}

impl Stored for StoredUids {
    fn uids_after(&self, uid: u32, limit: usize) -> Result<Vec<u32>, Failure> {
        let found = uids_after(&self.snapshot, &self.origin.place(self.validity, uid), limit);
        Ok(found.map_err(|error| store_failure(&error))?.into_iter().map(|(uid, _)| uid).collect())
    }
}

/// How messages of the open folder are recognised without their texts: by the provider's own numbers where it has such;
/// by Message-ID, size and date while the folder still shows places of another numbering.
pub(super) fn recognise(
    parts: &Parts,
    origin: &Origin,
    validity: u32,
    by_number: bool,
) -> Result<Option<Recognise>, Failure> {
    let snapshot = parts.store.read().map_err(|error| store_failure(&error))?;
    let renumbered = looks(&snapshot, origin, validity).map_err(|error| store_failure(&error))?;
    let by_message_id = !renumbered.is_empty();
    if !by_message_id && !by_number {
        return Ok(None);
    }
    // A snapshot for each look-up: one that is held while a folder is fetched would keep old pages from being used again.
    drop(snapshot);
    let (store, mailbox) = (parts.store.clone(), origin.mailbox);
    let find = move |sighting: &Sighting| {
        // What cannot be read is fetched again: nothing is lost by that.
        let by_number = sighting.provider_id.and_then(|number| {
            let snapshot = store.read().ok()?;
            message_by_identity(&snapshot, mailbox, &provider_identity(number)).ok().flatten()
        });
        by_number.or_else(|| {
            let look = Look::of(sighting.message_id?, sighting.size?, sighting.internal_date?.millis());
            renumbered.get(&look).copied().flatten()
        })
    };
    Ok(Some(Recognise { by_message_id, find: Box::new(find) }))
}

/// What a message looks like from outside, as a hash: a million of them have to fit into memory.
#[derive(PartialEq, Eq, Hash)]
struct Look(u64);

impl Look {
    fn of(message_id: &str, size: u64, received_at: i64) -> Self {
        let mut hasher = DefaultHasher::new();
        (message_id, size, received_at).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The messages with places of another numbering, by their looks; `None` where several look the same.
fn looks(snapshot: &Snapshot, origin: &Origin, validity: u32) -> Result<HashMap<Look, Option<u64>>, StoreError> {
    let mut looks: HashMap<Look, Option<u64>> = HashMap::new();
    for (_, _, id) in stale_places(snapshot, origin.mailbox, &origin.folder, Some(validity), usize::MAX)? {
        let Some(message) = get::<Message>(snapshot, id)? else { continue };
        let (Some(message_id), Some(received_at)) = (&message.message_id, message.received_at) else { continue };
        match looks.entry(Look::of(message_id, message.size, received_at.millis())) {
            Entry::Vacant(entry) => {
                entry.insert(Some(id));
            }
            Entry::Occupied(mut entry) if *entry.get() != Some(id) => {
                entry.insert(None);
            }
            Entry::Occupied(_) => {}
        }
    }
    Ok(looks)
}
