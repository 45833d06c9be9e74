//! Messages and their raw octets. Where servers keep them: `places`.

use super::codec::{Key, decode, encode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::record::{Index, Record, get};
use super::tables::{
    MESSAGE_IDENTITIES, MESSAGE_PLACES, MESSAGES, MESSAGES_BY_MAILBOX, MESSAGES_BY_MAILING, MESSAGES_BY_RECEIPT,
    MESSAGES_BY_THREAD, MESSAGES_BY_TIME, RAW, THREAD_MARKS, Table,
};
use super::{StoreError, Work};
use crate::domain::event::{Event, EventKind};
use crate::domain::message::Message;
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};
use std::ops::Bound;

impl Record for Message {
    const TABLE: Table = MESSAGES;
    const INDEXES: &'static [Index] = &[
        Index::by("mailbox.id", MESSAGES_BY_MAILBOX),
        Index::by("mailbox.id", MESSAGES_BY_RECEIPT).sorted("receivedAt"),
        Index::all_sorted("receivedAt", MESSAGES_BY_TIME),
        Index::by("mailing.id", MESSAGES_BY_MAILING).where_present(),
        Index::by("thread.id", MESSAGES_BY_THREAD),
    ];
    const COUNTER: &'static str = "messages";

    fn id(&self) -> u64 {
        self.id
    }
}

/// Raw octets are stored in chunks of this size, before compression. redb gives a large value a power of two of
/// octets: 256 KiB take a chunk that compression made a little larger (attachments) and its key, but not twice that.
const CHUNK: usize = 252 * 1024;

/// The message of a mailbox with an identity (its Message-ID, or a hash of what it says).
pub fn message_by_identity(reader: &impl Reader, mailbox: u64, identity: &str) -> Result<Option<u64>, StoreError> {
    let known = reader.with(MESSAGE_IDENTITIES, &Key::new().id(mailbox).text(identity).build(), decode)?.transpose()?;
    // What identified a message that is gone goes a little later.
    let is_there = |id: &u64| reader.with(MESSAGES, &Key::new().id(*id).build(), |_| ());
    Ok(match known {
        Some(id) if is_there(&id)?.is_some() => Some(id),
        _ => None,
    })
}

/// The raw octets of a message, as they were synced; `None` where none are kept.
pub fn raw(reader: &impl Reader, message: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut octets: Option<Vec<u8>> = None;
    reader.scan(RAW, Keys::prefix(Key::new().id(message).build()), false, |_, value| {
        let chunk =
            lz4_flex::decompress_size_prepended(value).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        octets.get_or_insert_default().extend_from_slice(&chunk);
        GO_ON
    })?;
    Ok(octets)
}

/// One chunk of the raw octets, numbered from 0; `None` behind the last.
pub fn raw_chunk(reader: &impl Reader, message: u64, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
    let key = Key::new().id(message).octets(&number.to_be_bytes()).build();
    let chunk = reader.with(RAW, &key, lz4_flex::decompress_size_prepended)?;
    chunk.transpose().map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// How many raw octets are kept of a message.
pub fn raw_size(reader: &impl Reader, message: u64) -> Result<u64, StoreError> {
    let mut size = 0;
    reader.scan(RAW, Keys::prefix(Key::new().id(message).build()), false, |_, value| {
        // Each chunk begins with its size.
        let octets = value.first_chunk::<4>().ok_or_else(|| StoreError::Corrupt("a chunk without its size".into()))?;
        size += u64::from(u32::from_le_bytes(*octets));
        GO_ON
    })?;
    Ok(size)
}

/// Fills the index by time in a store that did not have it.
pub(super) fn adopt(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut by_time = transaction.open_table(MESSAGES_BY_TIME)?;
    if !by_time.is_empty()? {
        return Ok(());
    }
    for row in transaction.open_table(MESSAGES)?.iter()? {
        let message: Message = decode(row?.1.value())?;
        by_time.insert(Index::all_sorted("receivedAt", MESSAGES_BY_TIME).key(&message).as_slice(), [].as_slice())?;
    }
    Ok(())
}

impl Work<'_> {
    /// Adds a message with its raw octets; the id of `message` is ignored.
    pub fn create_message(&mut self, mut message: Message, identity: &str, raw: &[u8]) -> Result<u64, StoreError> {
        message.id = self.next_id(Message::COUNTER)?;
        let id = message.id;
        self.thread(&mut message)?;
        self.put_record(None, &message)?;
        self.count_message(&message)?;
        self.put(MESSAGE_IDENTITIES, &Key::new().id(message.mailbox_id).text(identity).build(), &encode(&id)?)?;
        for (number, chunk) in raw.chunks(CHUNK).enumerate() {
            let key = Key::new().id(id).octets(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()).build();
            self.put(RAW, &key, &lz4_flex::compress_prepend_size(chunk))?;
        }
        let mut event = Event::new(EventKind::MessageCreated, self.now()).mailbox(message.mailbox_id).message(id);
        event.mailing_id = message.mailing_id;
        self.event(event)?;
        Ok(id)
    }

    /// Lets a message be found by a further identity; the first one that has it keeps it.
    pub fn identify_message(&mut self, mailbox: u64, identity: &str, message: u64) -> Result<(), StoreError> {
        if message_by_identity(self, mailbox, identity)?.is_none() {
            self.put(MESSAGE_IDENTITIES, &Key::new().id(mailbox).text(identity).build(), &encode(&message)?)?;
        }
        Ok(())
    }

    /// Lets an identity lead to another message from now on.
    pub fn reidentify_message(&mut self, mailbox: u64, identity: &str, message: u64) -> Result<(), StoreError> {
        self.put(MESSAGE_IDENTITIES, &Key::new().id(mailbox).text(identity).build(), &encode(&message)?)
    }

    /// Removes up to `limit` rows of a deleted mailbox's messages; `true` once nothing is left.
    pub fn sweep_messages(&mut self, mailbox: u64, limit: usize) -> Result<bool, StoreError> {
        let mut ids = Vec::new();
        self.scan(MESSAGES_BY_MAILBOX, Keys::prefix(mailbox_prefix(mailbox)), false, |key, _| {
            ids.push(trailing_id(key)?);
            if ids.len() == limit { STOP } else { GO_ON }
        })?;
        for id in &ids {
            if let Some(message) = get::<Message>(self, *id)? {
                self.remove_message(&message)?;
            }
            self.forget_places(*id)?;
        }
        let mut left = ids.len() == limit;
        for table in [MESSAGE_IDENTITIES, MESSAGE_PLACES, THREAD_MARKS].into_iter().chain(super::traffic::TABLES) {
            left |= self.clear(table, &Key::new().id(mailbox).build(), limit)? == limit;
        }
        Ok(!left)
    }

    /// Removes a message with its octets; who knows of its places and identities sees to those.
    pub(super) fn remove_message(&mut self, message: &Message) -> Result<(), StoreError> {
        self.leave_thread(message)?;
        self.remove_record(message)?;
        self.clear(RAW, &Key::new().id(message.id).build(), usize::MAX).map(|_| ())
    }

    pub(super) fn clear(&mut self, table: Table, prefix: &[u8], limit: usize) -> Result<usize, StoreError> {
        let mut keys = Vec::new();
        self.scan(table, Keys::prefix(prefix.to_vec()).from(Bound::Included(prefix.to_vec())), false, |key, _| {
            keys.push(key.to_vec());
            if keys.len() == limit { STOP } else { GO_ON }
        })?;
        keys.iter().try_for_each(|key| self.remove(table, key))?;
        Ok(keys.len())
    }
}

fn mailbox_prefix(mailbox: u64) -> Vec<u8> {
    Key::new().scalar(&mailbox.into()).build()
}
