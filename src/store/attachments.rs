//! Attachments: their octets in compressed chunks, and which mailings use them.

use super::codec::{Key, decode, encode, trailing_id};
use super::loose::Loose;
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::record::{Index, Record, get};
use super::tables::{
    ATTACHMENT_CHUNKS, ATTACHMENT_USES, ATTACHMENTS, ATTACHMENTS_BY_USER, ATTACHMENTS_LOOSE, ATTACHMENTS_LOOSE_SINCE,
    Table,
};
use super::{StoreError, Work};
use crate::domain::attachment::Attachment;
use crate::domain::time::Timestamp;
use std::ops::ControlFlow;

impl Record for Attachment {
    const TABLE: Table = ATTACHMENTS;
    const INDEXES: &'static [Index] = &[Index::by("user.id", ATTACHMENTS_BY_USER)];
    const COUNTER: &'static str = "attachments";

    fn id(&self) -> u64 {
        self.id
    }
}

/// Octets come and are stored in chunks of at most this size, before compression.
pub const ATTACHMENT_CHUNK: usize = 256 * 1024;

const LOOSE: Loose = Loose(ATTACHMENTS_LOOSE);

/// Shows the octets of an attachment, chunk by chunk, in their order.
pub fn attachment_content(
    reader: &impl Reader,
    id: u64,
    mut see: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    reader.scan(ATTACHMENT_CHUNKS, Keys::prefix(Key::new().id(id).build()), false, |_, value| {
        let chunk =
            lz4_flex::decompress_size_prepended(value).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(see(&chunk))
    })
}

/// One chunk of an attachment, numbered from 0; `None` behind the last.
pub fn attachment_chunk(reader: &impl Reader, id: u64, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
    let key = Key::new().id(id).octets(&number.to_be_bytes()).build();
    let chunk = reader.with(ATTACHMENT_CHUNKS, &key, lz4_flex::decompress_size_prepended)?;
    chunk.transpose().map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A mailing that uses an attachment; `None` if none does.
pub fn user_of_attachment(reader: &impl Reader, id: u64) -> Result<Option<u64>, StoreError> {
    let mut mailing = None;
    reader.scan(ATTACHMENT_USES, Keys::prefix(Key::new().id(id).build()), false, |key, _| {
        mailing = Some(trailing_id(key)?);
        STOP
    })?;
    Ok(mailing)
}

/// Every mailing that uses an attachment.
pub fn users_of_attachment(reader: &impl Reader, id: u64) -> Result<Vec<u64>, StoreError> {
    let mut mailings = Vec::new();
    reader.scan(ATTACHMENT_USES, Keys::prefix(Key::new().id(id).build()), false, |key, _| {
        mailings.push(trailing_id(key)?);
        GO_ON
    })?;
    Ok(mailings)
}

impl Work<'_> {
    /// Begins an upload; the id of `attachment` is ignored.
    pub fn begin_attachment(&mut self, mut attachment: Attachment) -> Result<Attachment, StoreError> {
        attachment.id = self.next_id(Attachment::COUNTER)?;
        self.put_record(None, &attachment)?;
        self.loosen_attachment(attachment.id)?;
        Ok(attachment)
    }

    /// Adds a chunk; the first has the number 0.
    pub fn put_attachment_chunk(&mut self, id: u64, number: u32, octets: &[u8]) -> Result<(), StoreError> {
        let key = Key::new().id(id).octets(&number.to_be_bytes()).build();
        self.put(ATTACHMENT_CHUNKS, &key, &lz4_flex::compress_prepend_size(octets))
    }

    /// Ends an upload: from now on it can be used.
    pub fn finish_attachment(&mut self, before: &Attachment, size: u64) -> Result<Attachment, StoreError> {
        let after = Attachment { size, complete: true, ..before.clone() };
        self.put_record(Some(before), &after)?;
        Ok(after)
    }

    /// Removes an attachment with its octets. The caller knows that no mailing uses it.
    pub fn delete_attachment(&mut self, id: u64) -> Result<(), StoreError> {
        self.tie_attachment(id)?;
        if let Some(attachment) = get::<Attachment>(self, id)? {
            self.remove_record(&attachment)?;
        }
        let mut keys = Vec::new();
        self.scan(ATTACHMENT_CHUNKS, Keys::prefix(Key::new().id(id).build()), false, |key, _| {
            keys.push(key.to_vec());
            GO_ON
        })?;
        keys.iter().try_for_each(|key| self.remove(ATTACHMENT_CHUNKS, key))
    }

    /// Notes which attachments a mailing uses in place of those that it used before.
    pub(super) fn use_attachments(&mut self, mailing: u64, before: &[u64], after: &[u64]) -> Result<(), StoreError> {
        for id in after.iter().filter(|id| !before.contains(id)) {
            self.put(ATTACHMENT_USES, &Key::new().id(*id).id(mailing).build(), &[])?;
            self.tie_attachment(*id)?;
        }
        for id in before.iter().filter(|id| !after.contains(id)) {
            self.remove(ATTACHMENT_USES, &Key::new().id(*id).id(mailing).build())?;
            if user_of_attachment(self, *id)?.is_none() {
                self.loosen_attachment(*id)?;
            }
        }
        Ok(())
    }

    /// Forgets up to `limit` attachments that no mailing has used since before a moment; how many.
    pub fn sweep_attachments(&mut self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let old = LOOSE.before(self, before, limit)?;
        for (_, id) in &old {
            self.delete_attachment(*id)?;
        }
        Ok(old.len())
    }

    /// From now on nobody uses it.
    fn loosen_attachment(&mut self, id: u64) -> Result<(), StoreError> {
        let now = self.now();
        self.put(ATTACHMENTS_LOOSE_SINCE, &Key::new().id(id).build(), &encode(&now)?)?;
        LOOSE.add(self, now, id)
    }

    /// It is used, or gone.
    fn tie_attachment(&mut self, id: u64) -> Result<(), StoreError> {
        let key = Key::new().id(id).build();
        if let Some(since) = self.with(ATTACHMENTS_LOOSE_SINCE, &key, decode::<Timestamp>)?.transpose()? {
            self.remove(ATTACHMENTS_LOOSE_SINCE, &key)?;
            LOOSE.remove(self, since, id)?;
        }
        Ok(())
    }
}
