//! Where servers keep messages. A message has a place for each folder that shows it; its record follows the first of
//! them (folder and flags), and knows since when it has none.

use super::codec::{Key, decode, encode};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::record::get;
use super::tables::{CURSORS, MESSAGE_PLACES, MESSAGES, PLACES_BY_MESSAGE};
use super::{StoreError, Work};
use crate::domain::event::{Event, EventKind};
use crate::domain::message::{FolderCursor, Message};
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Bound;

/// A place on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPlace<'a> {
    pub mailbox: u64,
    /// The server's name of the folder.
    pub folder: &'a str,
    pub uid_validity: u32,
    pub uid: u32,
}

impl ServerPlace<'_> {
    fn key(&self) -> Vec<u8> {
        folder_key(self.mailbox, self.folder)
            .octets(&self.uid_validity.to_be_bytes())
            .octets(&self.uid.to_be_bytes())
            .build()
    }

    fn reverse_key(&self, message: u64) -> Vec<u8> {
        Key::new()
            .id(message)
            .text(self.folder)
            .octets(&self.uid_validity.to_be_bytes())
            .octets(&self.uid.to_be_bytes())
            .build()
    }
}

/// What stands for a message at a place where one is that is not stored. No message has this id.
const NOT_STORED: u64 = 0;

/// What is kept of a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The name of the folder that people see.
    pub folder: String,
    pub flags: Vec<String>,
}

fn folder_key(mailbox: u64, folder: &str) -> Key {
    Key::new().id(mailbox).text(folder)
}

/// The message that a server keeps at a place.
pub fn message_at(reader: &impl Reader, place: &ServerPlace) -> Result<Option<u64>, StoreError> {
    reader.with(MESSAGE_PLACES, &place.key(), decode)?.transpose()
}

/// What is kept of a place of a message; `None` if it is not there, or was kept before flags were.
pub fn placed(reader: &impl Reader, place: &ServerPlace, message: u64) -> Result<Option<Placed>, StoreError> {
    reader.with(PLACES_BY_MESSAGE, &place.reverse_key(message), decode)?.transpose()
}

/// How many places a message has.
pub fn places_of(reader: &impl Reader, message: u64) -> Result<usize, StoreError> {
    let mut count = 0;
    reader.scan(PLACES_BY_MESSAGE, Keys::prefix(Key::new().id(message).build()), false, |_, _| {
        count += 1;
        GO_ON
    })?;
    Ok(count)
}

/// Where servers keep a message: the server's name of the folder, UIDVALIDITY and UID.
pub fn places_list(reader: &impl Reader, message: u64) -> Result<Vec<(String, u32, u32)>, StoreError> {
    let mut found = Vec::new();
    reader.scan(PLACES_BY_MESSAGE, Keys::prefix(Key::new().id(message).build()), false, |key, _| {
        let folder = folder_of(key.get(..key.len().saturating_sub(8)).unwrap_or_default())?;
        found.push((folder, validity_of(key)?, uid_of(key)?));
        GO_ON
    })?;
    Ok(found)
}

/// UIDs of a folder with their messages, ascending: those after `after`, at most `limit`.
pub fn uids_after(reader: &impl Reader, place: &ServerPlace, limit: usize) -> Result<Vec<(u32, u64)>, StoreError> {
    let mut found = Vec::new();
    let prefix = folder_key(place.mailbox, place.folder).octets(&place.uid_validity.to_be_bytes()).build();
    let keys = Keys::prefix(prefix).from(Bound::Excluded(place.key()));
    reader.scan(MESSAGE_PLACES, keys, false, |key, value| {
        found.push((uid_of(key)?, decode(value)?));
        if found.len() == limit { STOP } else { GO_ON }
    })?;
    Ok(found)
}

/// Places of a folder that are not of its present numbering, at most `limit`: (UIDVALIDITY, UID, message).
pub fn stale_places(
    reader: &impl Reader,
    mailbox: u64,
    folder: &str,
    present: Option<u32>,
    limit: usize,
) -> Result<Vec<(u32, u32, u64)>, StoreError> {
    let mut found = Vec::new();
    let prefix = folder_key(mailbox, folder);
    // The present numbering is stepped over, however much it holds.
    let ranges = match present {
        None => vec![Keys::prefix(prefix.build())],
        Some(present) => {
            let at = |validity: u32| prefix.clone().octets(&validity.to_be_bytes()).build();
            let all = || Keys::prefix(prefix.clone().build());
            let below = all().to(Bound::Excluded(at(present)));
            let above = present.checked_add(1).map(|next| all().from(Bound::Included(at(next))));
            std::iter::once(below).chain(above).collect()
        }
    };
    for keys in ranges {
        reader.scan(MESSAGE_PLACES, keys, false, |key, value| {
            if found.len() == limit {
                return STOP;
            }
            found.push((validity_of(key)?, uid_of(key)?, decode(value)?));
            GO_ON
        })?;
    }
    Ok(found)
}

fn uid_of(key: &[u8]) -> Result<u32, StoreError> {
    key.last_chunk::<4>().map(|octets| u32::from_be_bytes(*octets)).ok_or_else(short)
}

fn validity_of(key: &[u8]) -> Result<u32, StoreError> {
    let octets = key.len().checked_sub(8).and_then(|at| key.get(at..at + 4));
    octets.and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes).ok_or_else(short)
}

fn short() -> StoreError {
    StoreError::Corrupt("the key of a place is too short".into())
}

/// How far a folder is synced; `None` before its first sync.
pub fn cursor(reader: &impl Reader, mailbox: u64, folder: &str) -> Result<Option<FolderCursor>, StoreError> {
    reader.with(CURSORS, &folder_key(mailbox, folder).build(), decode)?.transpose()
}

/// How far each folder of a mailbox is synced, by the server's names.
pub fn cursors(reader: &impl Reader, mailbox: u64) -> Result<HashMap<String, FolderCursor>, StoreError> {
    let mut found = HashMap::new();
    reader.scan(CURSORS, Keys::prefix(Key::new().id(mailbox).build()), false, |key, value| {
        found.insert(folder_of(key)?, decode(value)?);
        GO_ON
    })?;
    Ok(found)
}

/// The folder's name in the key of a cursor.
fn folder_of(key: &[u8]) -> Result<String, StoreError> {
    let name = key.get(8..key.len().saturating_sub(2)).unwrap_or_default();
    let mut octets = Vec::with_capacity(name.len());
    let mut rest = name.iter();
    while let Some(octet) = rest.next() {
        octets.push(*octet);
        if *octet == 0 {
            rest.next();
        }
    }
    String::from_utf8(octets).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Fills the places of each message in a store that did not keep them.
pub(super) fn adopt(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut reverse = transaction.open_table(PLACES_BY_MESSAGE)?;
    if !reverse.is_empty()? {
        return Ok(());
    }
    let (places, messages) = (transaction.open_table(MESSAGE_PLACES)?, transaction.open_table(MESSAGES)?);
    for row in places.iter()? {
        let (key, value) = row?;
        let (key, id) = (key.value(), decode::<u64>(value.value())?);
        let Some(message) = messages.get(Key::new().id(id).build().as_slice())? else { continue };
        let message: Message = decode(message.value())?;
        let name = folder_of(key.get(..key.len().saturating_sub(8)).unwrap_or_default())?;
        let place = ServerPlace { mailbox: 0, folder: &name, uid_validity: validity_of(key)?, uid: uid_of(key)? };
        let placed = Placed { folder: name.clone(), flags: message.flags };
        reverse.insert(place.reverse_key(id).as_slice(), encode(&placed)?.as_slice())?;
    }
    Ok(())
}

impl Work<'_> {
    pub fn put_cursor(&mut self, mailbox: u64, folder: &str, cursor: &FolderCursor) -> Result<(), StoreError> {
        self.put(CURSORS, &folder_key(mailbox, folder).build(), &encode(cursor)?)
    }

    pub fn remove_cursor(&mut self, mailbox: u64, folder: &str) -> Result<(), StoreError> {
        self.remove(CURSORS, &folder_key(mailbox, folder).build())
    }

    /// Records where a server keeps a message, and under which flags. What was said to be there is not.
    pub fn place_message(&mut self, place: &ServerPlace, message: u64, placed: &Placed) -> Result<(), StoreError> {
        if message_at(self, place)?.is_some_and(|other| other != message) {
            self.vanish(place)?;
        }
        self.put(MESSAGE_PLACES, &place.key(), &encode(&message)?)?;
        self.put(PLACES_BY_MESSAGE, &place.reverse_key(message), &encode(placed)?)
    }

    /// Records that the message at a place is not stored, and need not be fetched again.
    pub fn pass_over(&mut self, place: &ServerPlace) -> Result<(), StoreError> {
        self.put(MESSAGE_PLACES, &place.key(), &encode(&NOT_STORED)?)
    }

    /// The same for every place of a message that is to be forgotten.
    pub(super) fn pass_over_places(&mut self, mailbox: u64, message: u64) -> Result<(), StoreError> {
        let mut places = Vec::new();
        self.scan(PLACES_BY_MESSAGE, Keys::prefix(Key::new().id(message).build()), false, |key, _| {
            // Behind the number of the message both keys are the same.
            places.push(Key::new().id(mailbox).octets(key.get(8..).unwrap_or_default()).build());
            GO_ON
        })?;
        for place in places {
            self.put(MESSAGE_PLACES, &place, &encode(&NOT_STORED)?)?;
        }
        self.forget_places(message)
    }

    /// A message that had been gone is back, at a place.
    pub fn restore_message(&mut self, message: u64, placed: &Placed) -> Result<(), StoreError> {
        let Some(before) = get::<Message>(self, message)?.filter(|message| message.deleted_at.is_some()) else {
            return Ok(());
        };
        let (folder, flags) = (placed.folder.clone(), placed.flags.clone());
        self.change_message(&before, &Message { deleted_at: None, folder, flags, ..before.clone() })
    }

    /// Takes over the flags of a place; whether they had changed.
    pub fn reflag(&mut self, place: &ServerPlace, flags: &[String]) -> Result<bool, StoreError> {
        let Some(id) = message_at(self, place)? else { return Ok(false) };
        let Some(message) = get::<Message>(self, id)? else { return Ok(false) };
        let known = placed(self, place, id)?;
        if known.as_ref().is_some_and(|known| known.flags == flags) {
            return Ok(false);
        }
        let folder = known.map_or_else(|| message.folder.clone(), |known| known.folder);
        let shown = Placed { folder, flags: flags.to_vec() };
        self.put(PLACES_BY_MESSAGE, &place.reverse_key(id), &encode(&shown)?)?;
        if message.folder == shown.folder && message.flags != flags {
            self.change_message(&message, &Message { flags: flags.to_vec(), ..message.clone() })?;
        }
        Ok(true)
    }

    /// The server has a message no longer at a place: its record follows another one, or is gone from now on.
    pub fn vanish(&mut self, place: &ServerPlace) -> Result<(), StoreError> {
        let Some(id) = message_at(self, place)? else { return Ok(()) };
        self.remove(MESSAGE_PLACES, &place.key())?;
        self.remove(PLACES_BY_MESSAGE, &place.reverse_key(id))?;
        let Some(before) = get::<Message>(self, id)? else { return Ok(()) };
        // The record goes on to show what it shows if a place is left that does, else one in the same folder, else another.
        let likeness = |placed: &Placed| (placed.folder == before.folder, placed.flags == before.flags);
        let mut next: Option<Placed> = None;
        self.scan(PLACES_BY_MESSAGE, Keys::prefix(Key::new().id(id).build()), false, |_, value| {
            let other: Placed = decode(value)?;
            if next.as_ref().is_none_or(|next| likeness(next) < likeness(&other)) {
                next = Some(other);
            }
            GO_ON
        })?;
        match next {
            Some(next) if likeness(&next) == (true, true) => Ok(()),
            Some(Placed { folder, flags }) => {
                self.change_message(&before, &Message { folder, flags, ..before.clone() })
            }
            None if before.deleted_at.is_none() => {
                let deleted_at = Some(self.now());
                self.change_message(&before, &Message { deleted_at, ..before.clone() })
            }
            None => Ok(()),
        }
    }

    /// Writes a message that is stored already; `before` is as it is now.
    pub fn change_message(&mut self, before: &Message, after: &Message) -> Result<(), StoreError> {
        self.put_record(Some(before), after)?;
        let event = Event::new(EventKind::MessageUpdated, self.now()).mailbox(after.mailbox_id).message(after.id);
        self.event(event)?;
        Ok(())
    }

    /// Forgets how far the folders of a mailbox are synced: it is another account now.
    pub fn reset_cursors(&mut self, mailbox: u64) -> Result<(), StoreError> {
        let mut places = Vec::new();
        self.scan(MESSAGE_PLACES, Keys::prefix(Key::new().id(mailbox).build()), false, |key, value| {
            places.push((key.to_vec(), decode::<u64>(value)?));
            GO_ON
        })?;
        for (key, message) in places {
            self.remove(MESSAGE_PLACES, &key)?;
            self.forget_places(message)?;
        }
        let mut keys = Vec::new();
        self.scan(CURSORS, Keys::prefix(Key::new().id(mailbox).build()), false, |key, _| {
            keys.push(key.to_vec());
            GO_ON
        })?;
        keys.iter().try_for_each(|key| self.remove(CURSORS, key))
    }

    /// Removes what is known of the places of a message, for a message that goes or an account that changed.
    pub(super) fn forget_places(&mut self, message: u64) -> Result<(), StoreError> {
        self.clear(PLACES_BY_MESSAGE, &Key::new().id(message).build(), usize::MAX).map(|_| ())
    }
}
