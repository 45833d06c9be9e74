//! How many messages a mailbox had in the last day, by their own dates, whoever sent them. Only the last two days are
//! kept: older mail counts nowhere, so fetching an archive costs nothing here.
//!
//! A message of ours that comes back as a synced copy is left out: its slot counts for it already.

use super::codec::{Key, decode, encode};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::tables::{TRAFFIC, TRAFFIC_COUNTS};
use super::{StoreError, Work};
use crate::domain::mailing::Mailing;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use ring::digest::{SHA256, digest};
use std::ops::Bound;
use std::time::Duration;

const KEPT: Duration = Duration::from_hours(48);
/// Among how many rows a message without a date is looked for.
const LOOKED_AT: usize = 1_000;
/// How many old rows go with each new one.
const PRUNED: usize = 4;

/// Messages are counted in bins of an hour and of a minute (in milliseconds), so that a day is a hundred look-ups.
const BINS: [i64; 2] = [3_600_000, 60_000];

fn row_key(mailbox: u64, at: Timestamp, message: u64) -> Vec<u8> {
    Key::new().id(mailbox).number(at.millis()).id(message).build()
}

fn bin_key(mailbox: u64, bin: i64, at: i64) -> Vec<u8> {
    Key::new().id(mailbox).number(bin).number(at.div_euclid(bin)).build()
}

/// How many messages of a mailbox are dated after a moment (of the last two days); own mailings are not among them.
pub fn messages_after(reader: &impl Reader, mailbox: u64, moment: Timestamp) -> Result<u64, StoreError> {
    let mut count = 0;
    // From the first millisecond inside, up to where the next bin begins: bin by bin, each coarser than the one before.
    let mut from = moment.millis().saturating_add(1);
    let [hour, minute] = BINS;
    let next_minute = from.div_euclid(minute).saturating_add(1).saturating_mul(minute);
    let rows = Keys::prefix(Key::new().id(mailbox).build())
        .from(Bound::Included(Key::new().id(mailbox).number(from).build()))
        .to(Bound::Excluded(Key::new().id(mailbox).number(next_minute).build()));
    reader.scan(TRAFFIC, rows, false, |_, _| {
        count += 1;
        GO_ON
    })?;
    from = next_minute;
    let next_hour = from.div_euclid(hour).saturating_mul(hour);
    let next_hour = if next_hour < from { next_hour.saturating_add(hour) } else { next_hour };
    for (bin, to) in [(minute, Some(next_hour)), (hour, None)] {
        let prefix = Key::new().id(mailbox).number(bin);
        let mut keys = Keys::prefix(prefix.build()).from(Bound::Included(bin_key(mailbox, bin, from)));
        if let Some(to) = to {
            keys = keys.to(Bound::Excluded(bin_key(mailbox, bin, to)));
        }
        reader.scan(TRAFFIC_COUNTS, keys, false, |_, value| {
            count += decode::<u64>(value)?;
            GO_ON
        })?;
        from = to.unwrap_or(from);
    }
    Ok(count)
}

/// The date that a message counts by: what it says of itself, but never later than it was received, as senders may say
/// anything.
fn date(message: &Message) -> Timestamp {
    match (message.sent_at, message.received_at) {
        (Some(sent), Some(received)) => sent.min(received),
        (Some(sent), None) => sent,
        (None, Some(received)) => received,
        (None, None) => message.created_at,
    }
}

impl Work<'_> {
    /// Counts a message that has just been stored.
    pub(super) fn count_message(&mut self, message: &Message) -> Result<(), StoreError> {
        let at = date(message);
        let oldest = self.now().minus(KEPT);
        if at < oldest || self.is_own_mailing(message)? {
            return Ok(());
        }
        self.count_row(message.mailbox_id, at, message.id)
    }

    /// Counts a message that is not stored, being excluded. It is known by its identity: wherever it is met again, it
    /// counts once.
    pub fn count_excluded(&mut self, message: &Message, identity: &str) -> Result<(), StoreError> {
        let at = date(message);
        // No message has an id with the highest bit.
        let hash = digest(&SHA256, identity.as_bytes());
        let name = hash.as_ref().first_chunk::<8>().map_or(0, |octets| u64::from_be_bytes(*octets)) | 1 << 63;
        let key = row_key(message.mailbox_id, at, name);
        if at < self.now().minus(KEPT) || self.with(TRAFFIC, &key, |_| ())?.is_some() {
            return Ok(());
        }
        // Without a date of its own it is dated by each place where it lies.
        if message.sent_at.is_none() && self.has_row_of(message.mailbox_id, name)? {
            return Ok(());
        }
        self.count_row(message.mailbox_id, at, name)
    }

    /// Whether one of a mailbox's latest rows is of this message, whatever its date.
    fn has_row_of(&self, mailbox: u64, name: u64) -> Result<bool, StoreError> {
        let (mut seen, mut found) = (0, false);
        self.scan(TRAFFIC, Keys::prefix(Key::new().id(mailbox).build()), true, |key, _| {
            seen += 1;
            found = key.ends_with(&name.to_be_bytes());
            if found || seen == LOOKED_AT { STOP } else { GO_ON }
        })?;
        Ok(found)
    }

    fn count_row(&mut self, mailbox: u64, at: Timestamp, name: u64) -> Result<(), StoreError> {
        let oldest = self.now().minus(KEPT);
        self.put(TRAFFIC, &row_key(mailbox, at, name), &[])?;
        self.change_bins(mailbox, at, |count| count + 1)?;
        let mut old = Vec::new();
        let keys = Keys::prefix(Key::new().id(mailbox).build())
            .to(Bound::Excluded(Key::new().id(mailbox).number(oldest.millis()).build()));
        self.scan(TRAFFIC, keys, false, |key, _| {
            old.push(key.to_vec());
            if old.len() == PRUNED { STOP } else { GO_ON }
        })?;
        for key in old {
            let millis = key.get(8..16).and_then(|octets| octets.try_into().ok()).map(u64::from_be_bytes);
            let Some(millis) = millis else {
                return Err(StoreError::Corrupt("a traffic key of the wrong length".into()));
            };
            self.remove(TRAFFIC, &key)?;
            let at = Timestamp::from_millis((millis ^ (1 << 63)).cast_signed());
            self.change_bins(mailbox, at, |count| count.saturating_sub(1))?;
        }
        Ok(())
    }

    /// Whether a message is the copy of a mailing of its own mailbox.
    fn is_own_mailing(&self, message: &Message) -> Result<bool, StoreError> {
        let Some(mailing) = message.mailing_id else { return Ok(false) };
        let mailing: Option<Mailing> = self.mailing(mailing)?;
        Ok(mailing.is_some_and(|mailing| {
            mailing.mailbox_id == message.mailbox_id && Some(&mailing.message_id) == message.message_id.as_ref()
        }))
    }

    fn change_bins(&mut self, mailbox: u64, at: Timestamp, change: impl Fn(u64) -> u64) -> Result<(), StoreError> {
        for bin in BINS {
            let key = bin_key(mailbox, bin, at.millis());
            let count = change(self.with(TRAFFIC_COUNTS, &key, decode::<u64>)?.transpose()?.unwrap_or(0));
            if count == 0 {
                self.remove(TRAFFIC_COUNTS, &key)?;
            } else {
                self.put(TRAFFIC_COUNTS, &key, &encode(&count)?)?;
            }
        }
        Ok(())
    }
}

/// The rows of a mailbox, for removing them with it.
pub(super) const TABLES: [super::tables::Table; 2] = [TRAFFIC, TRAFFIC_COUNTS];
