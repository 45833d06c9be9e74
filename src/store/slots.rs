//! The slots of the sending limits.
//!
//! An attempt *holds* a slot from the commit that starts it: while it is under way the mail may leave at any moment, so
//! a held slot counts in every window. When it ends, the slot is given back, or *spent*: from then on it counts from the
//! moment of that commit, the latest at which the mail may have left. Spent slots are numbered one after the other and
//! carry a running total of their recipients, so that the n-th latest, and how many lie in a window, are a look-up and
//! a binary search however long the window is.
//!
//! A slot that was spent in doubt can be given back when it turns out that the mail had not left. It keeps its number
//! and its place in the totals; the few that were given back are listed apart and taken off every answer.

use super::codec::{Key, decode, encode, trailing_id};
use super::mailings::due_of;
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::tables::{SLOTS_BEFORE, SLOTS_HELD, SLOTS_RETURNED, SLOTS_SPENT};
use super::{StoreError, Work};
use crate::domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Spent slots older than the longest window count nowhere.
const KEPT: Duration = Duration::from_hours(8 * 24);
/// How many of them go with each new one.
const PRUNED: usize = 2;

/// One spent slot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spent {
    /// In steady time.
    at: Timestamp,
    /// Recipients of all slots before this one.
    before: u64,
    recipients: u64,
}

/// The slots of one mailbox, as a reader sees them.
pub struct Slots<'r, R> {
    reader: &'r R,
    mailbox: u64,
    /// Numbers of the spent slots: from the first to before the end.
    first: u64,
    end: u64,
    last: Option<Spent>,
    held: u64,
    held_recipients: u64,
    /// Numbers and recipients of the spent slots that were given back, ascending.
    returned: Vec<(u64, u64)>,
}

/// Looks at the slots of a mailbox.
pub fn slots<R: Reader>(reader: &R, mailbox: u64) -> Result<Slots<'_, R>, StoreError> {
    let keys = || Keys::prefix(Key::new().id(mailbox).build());
    let (mut first, mut end, mut last) = (0, 0, None);
    reader.scan(SLOTS_SPENT, keys(), false, |key, _| {
        first = trailing_id(key)?;
        STOP
    })?;
    reader.scan(SLOTS_SPENT, keys(), true, |key, value| {
        end = trailing_id(key)? + 1;
        last = Some(decode(value)?);
        STOP
    })?;
    let (mut held, mut held_recipients) = (0, 0);
    reader.scan(SLOTS_HELD, keys(), false, |_, value| {
        held += 1;
        held_recipients += decode::<u64>(value)?;
        GO_ON
    })?;
    let mut returned = Vec::new();
    reader.scan(SLOTS_RETURNED, keys(), false, |key, value| {
        let number = trailing_id(key)?;
        if number >= first {
            returned.push((number, decode::<u64>(value)?));
        }
        GO_ON
    })?;
    Ok(Slots { reader, mailbox, first, end, last, held, held_recipients, returned })
}

impl<R: Reader> Slots<'_, R> {
    /// Attempts under way.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Their recipients.
    pub fn held_recipients(&self) -> u64 {
        self.held_recipients
    }

    /// The moment of the `nth` most recent spent slot (1 is the latest), in steady time.
    pub fn nth_latest(&self, nth: u64) -> Result<Option<Timestamp>, StoreError> {
        let Some(mut number) = self.end.checked_sub(nth).filter(|_| nth > 0) else { return Ok(None) };
        // One step further back for each that was given back on the way.
        for (returned, _) in self.returned.iter().rev() {
            if *returned < number {
                break;
            }
            let Some(before) = number.checked_sub(1) else { return Ok(None) };
            number = before;
        }
        if number < self.first || self.end == 0 { Ok(None) } else { Ok(Some(self.at(number)?.at)) }
    }

    /// How many slots were spent after a moment.
    pub fn spent_after(&self, moment: Timestamp) -> Result<u64, StoreError> {
        let from = self.first_where(|_, slot| slot.at > moment)?;
        let returned = self.returned_from(from).count();
        Ok((self.end - from).saturating_sub(u64::try_from(returned).unwrap_or(u64::MAX)))
    }

    /// How many recipients they had.
    pub fn recipients_after(&self, moment: Timestamp) -> Result<u64, StoreError> {
        let from = self.first_where(|_, slot| slot.at > moment)?;
        if from == self.end {
            return Ok(0);
        }
        Ok(self.recipients_from(from, &self.at(from)?))
    }

    /// The first slot spent after a moment.
    pub fn first_after(&self, moment: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut from = self.first_where(|_, slot| slot.at > moment)?;
        for (returned, _) in self.returned_from(from) {
            if returned != from {
                break;
            }
            from += 1;
        }
        if from == self.end { Ok(None) } else { Ok(Some(self.at(from)?.at)) }
    }

    /// The slot that has to leave a window before no more than `room` recipients are left in it; `None` if there are
    /// no more than that anyway.
    pub fn last_beyond_recipients(&self, room: u64) -> Result<Option<Timestamp>, StoreError> {
        // The first slot that may stay: everything from it on fits. The one before it does count, or it might stay too.
        let stays = self.first_where(|number, slot| self.recipients_from(number, slot) <= room)?;
        if stays == self.first { Ok(None) } else { Ok(Some(self.at(stays - 1)?.at)) }
    }

    fn total(&self) -> u64 {
        self.last.map_or(0, |last| last.before + last.recipients)
    }

    /// The recipients of a slot and of all after it.
    fn recipients_from(&self, number: u64, slot: &Spent) -> u64 {
        let returned: u64 = self.returned_from(number).map(|(_, recipients)| recipients).sum();
        (self.total() - slot.before).saturating_sub(returned)
    }

    /// What was given back of the slots from a number on.
    fn returned_from(&self, number: u64) -> impl Iterator<Item = (u64, u64)> {
        let from = self.returned.partition_point(|(returned, _)| *returned < number);
        self.returned[from..].iter().copied()
    }

    /// The number of the first spent slot that is so; slots that are so come after all that are not.
    fn first_where(&self, is_so: impl Fn(u64, &Spent) -> bool) -> Result<u64, StoreError> {
        let (mut low, mut high) = (self.first, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_so(middle, &self.at(middle)?) { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    fn at(&self, number: u64) -> Result<Spent, StoreError> {
        self.reader
            .with(SLOTS_SPENT, &spent_key(self.mailbox, number), decode)?
            .transpose()?
            .ok_or_else(|| StoreError::Corrupt(format!("slot {number} of mailbox {} is missing", self.mailbox)))
    }
}

fn spent_key(mailbox: u64, number: u64) -> Vec<u8> {
    Key::new().id(mailbox).id(number).build()
}

fn held_key(mailbox: u64, mailing: u64) -> Vec<u8> {
    Key::new().id(mailbox).id(mailing).build()
}

impl Work<'_> {
    /// An attempt begins: its slot counts in every window until it is given back or spent.
    pub fn hold_slot(&mut self, mailbox: u64, mailing: u64, recipients: u64) -> Result<(), StoreError> {
        self.put(SLOTS_HELD, &held_key(mailbox, mailing), &encode(&recipients)?)
    }

    /// Gives a slot back: the mail certainly did not leave.
    pub fn free_slot(&mut self, mailbox: u64, mailing: u64) -> Result<(), StoreError> {
        self.remove(SLOTS_HELD, &held_key(mailbox, mailing))
    }

    /// The mail left, or may have: from now on its slot counts from this moment. Without a held slot a new one is spent.
    /// Returns its number, by which it can be given back.
    pub fn spend_slot(&mut self, mailbox: u64, mailing: u64) -> Result<u64, StoreError> {
        let key = held_key(mailbox, mailing);
        let recipients = self.with(SLOTS_HELD, &key, decode::<u64>)?.transpose()?.unwrap_or(1);
        self.remove(SLOTS_HELD, &key)?;
        let (now, first, end, last) = {
            let slots = slots(self, mailbox)?;
            (self.moment().steady, slots.first, slots.end, slots.last)
        };
        let own = end.max(1);
        let spent = Spent {
            // Numbers and moments ascend together, whatever the clock did between two runs.
            at: last.map_or(now, |last| last.at.max(now)),
            before: last.map_or(0, |last| last.before + last.recipients),
            recipients,
        };
        self.put(SLOTS_SPENT, &spent_key(mailbox, own), &encode(&spent)?)?;
        let oldest = now.minus(KEPT);
        for number in (first..end).take(PRUNED) {
            let key = spent_key(mailbox, number);
            let old = self.with(SLOTS_SPENT, &key, decode::<Spent>)?.transpose()?;
            if old.is_none_or(|slot| slot.at >= oldest) {
                break;
            }
            self.remove(SLOTS_SPENT, &key)?;
            self.remove(SLOTS_RETURNED, &key)?;
        }
        Ok(own)
    }

    /// Gives a spent slot back: the mail that may have left certainly had not. One that counts nowhere any more stays
    /// forgotten; giving back twice is giving back once.
    pub fn return_slot(&mut self, mailbox: u64, number: u64) -> Result<(), StoreError> {
        let key = spent_key(mailbox, number);
        match self.with(SLOTS_SPENT, &key, decode::<Spent>)?.transpose()? {
            Some(slot) => self.put(SLOTS_RETURNED, &key, &encode(&slot.recipients)?),
            None => Ok(()),
        }
    }
}

/// Takes over the slots of a store that kept them by their moment, as spent ones: they count as they did.
pub(super) fn adopt(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut before = transaction.open_table(SLOTS_BEFORE)?;
    let mut spent = transaction.open_table(SLOTS_SPENT)?;
    let (mut of, mut number) = (0, 0);
    for row in before.iter()? {
        let (mailbox, at, _) = due_of(row?.0.value())?;
        number = if mailbox == of { number + 1 } else { 1 };
        of = mailbox;
        let slot = Spent { at, before: number - 1, recipients: 1 };
        spent.insert(spent_key(mailbox, number).as_slice(), encode(&slot)?.as_slice())?;
    }
    before.retain(|_, _| false)?;
    Ok(())
}
