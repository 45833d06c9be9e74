//! Recipients as records: made alone, or kept with the list of their mailing.

use super::codec::Key;
use super::loose::Loose;
use super::record::{Index, Record, get};
use super::tables::{RECIPIENTS, RECIPIENTS_BY_MAILING, RECIPIENTS_LOOSE, Table};
use super::{Reader, StoreError, Work};
use crate::domain::mailing::{Mailing, RecipientKind};
use crate::domain::recipient::RecipientRecord;
use crate::domain::time::Timestamp;

impl Record for RecipientRecord {
    const TABLE: Table = RECIPIENTS;
    const INDEXES: &'static [Index] = &[Index::by("mailing.id", RECIPIENTS_BY_MAILING)];
    const COUNTER: &'static str = "recipients";

    fn id(&self) -> u64 {
        self.id
    }
}

const LOOSE: Loose = Loose(RECIPIENTS_LOOSE);

impl Work<'_> {
    /// Adds a recipient that no mailing names yet; its id is ignored.
    pub fn create_recipient(&mut self, mut recipient: RecipientRecord) -> Result<RecipientRecord, StoreError> {
        recipient.id = self.next_id(RecipientRecord::COUNTER)?;
        self.put_record(None, &recipient)?;
        LOOSE.add(self, recipient.created_at, recipient.id)?;
        Ok(recipient)
    }

    /// Makes the records of a mailing's recipients what its list says, and gives an id to who has none.
    pub(super) fn mirror_recipients(
        &mut self,
        before: Option<&Mailing>,
        after: &mut Mailing,
    ) -> Result<(), StoreError> {
        let new = after.recipients.iter().filter(|recipient| recipient.id == 0).count();
        let mut next = self.next_ids(RecipientRecord::COUNTER, new as u64)?;
        let primary = after.recipients.iter().position(|recipient| recipient.kind == RecipientKind::To);
        let now = self.now();
        let mut list = std::mem::take(&mut after.recipients);
        for (position, recipient) in list.iter_mut().enumerate() {
            let old: Option<RecipientRecord> = if recipient.id == 0 {
                recipient.id = next;
                next += 1;
                None
            } else {
                get(self, recipient.id)?
            };
            let mut record = old.clone().unwrap_or_else(|| RecipientRecord {
                id: recipient.id,
                mailing_id: None,
                mailbox_id: None,
                creator_id: after.user_id,
                created_at: now,
                updated_at: now,
                kind: recipient.kind,
                address: recipient.address.clone(),
                primary: primary == Some(position),
                prospect_id: None,
                user_id: None,
            });
            record.mailing_id = Some(after.id);
            record.mailbox_id = Some(after.mailbox_id);
            record.kind = recipient.kind;
            record.address.clone_from(&recipient.address);
            if old.as_ref() == Some(&record) {
                continue;
            }
            record.updated_at = now;
            if let Some(old) = &old
                && old.mailing_id.is_none()
            {
                LOOSE.remove(self, old.created_at, old.id)?;
            }
            self.put_record(old.as_ref(), &record)?;
        }
        after.recipients = list;
        for gone in before.into_iter().flat_map(|mailing| &mailing.recipients) {
            if !after.recipients.iter().any(|recipient| recipient.id == gone.id) {
                self.remove_recipient(gone.id)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_recipients(&mut self, mailing: &Mailing) -> Result<(), StoreError> {
        mailing.recipients.iter().try_for_each(|recipient| self.remove_recipient(recipient.id))
    }

    fn remove_recipient(&mut self, id: u64) -> Result<(), StoreError> {
        match get::<RecipientRecord>(self, id)? {
            Some(record) => self.remove_record(&record),
            None => Ok(()),
        }
    }

    /// Forgets up to `limit` recipients that were made before a moment and that no mailing names; how many.
    pub fn sweep_recipients(&mut self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let old = LOOSE.before(self, before, limit)?;
        for (at, id) in &old {
            LOOSE.remove(self, *at, *id)?;
            self.remove_recipient(*id)?;
        }
        Ok(old.len())
    }

    /// The first of `count` ids that follow each other.
    pub(super) fn next_ids(&mut self, counter: &'static str, count: u64) -> Result<u64, StoreError> {
        use super::codec::{decode, encode};
        use super::tables::COUNTERS;
        if count == 0 {
            return Ok(0);
        }
        let key = Key::new().octets(counter.as_bytes()).build();
        let last = self.with(COUNTERS, &key, decode::<u64>)?.transpose()?.unwrap_or(0);
        self.put(COUNTERS, &key, &encode(&(last + count))?)?;
        Ok(last + 1)
    }
}
