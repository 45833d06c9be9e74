//! Forgetting what was kept long enough, a little at a time: messages, and the beginning of the event log.
//!
//! What stands for a message that was forgotten stays: its places on the server, so that it is not taken for new there.

use super::codec::{Key, decode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::record::get;
use super::tables::{EVENTS, MESSAGE_IDENTITIES, MESSAGES, MESSAGES_BY_TIME, RAW};
use super::{StoreError, Work};
use crate::domain::event::Event;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::ops::Bound;

/// A stretch of all messages, by id.
pub struct Stretch {
    /// Those among them that were wanted.
    pub found: Vec<u64>,
    /// The last one that was looked at; `None` if there were none.
    pub last: Option<u64>,
}

/// Looks through up to `window` messages after one, for those that are wanted.
pub fn look_through(
    reader: &impl Reader,
    after: u64,
    window: usize,
    is_wanted: impl Fn(&Message) -> bool,
) -> Result<Stretch, StoreError> {
    let (mut found, mut last, mut seen) = (Vec::new(), None, 0);
    let keys = Keys::all().from(Bound::Excluded(Key::new().id(after).build()));
    reader.scan(MESSAGES, keys, false, |key, value| {
        let id = trailing_id(key)?;
        if is_wanted(&decode(value)?) {
            found.push(id);
        }
        (last, seen) = (Some(id), seen + 1);
        if seen == window { STOP } else { GO_ON }
    })?;
    Ok(Stretch { found, last })
}

/// How far a walk through the newest messages has come.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// Octets of the bodies so far.
    pub octets: u64,
    /// The last row that was looked at.
    place: Option<Vec<u8>>,
}

/// Goes on from the newest messages to older ones, up to `window` of them: those with a body that is stored and lies
/// beyond the budget of `most` octets. `false`: there are no more.
pub fn beyond_budget(
    reader: &impl Reader,
    budget: &mut Budget,
    most: u64,
    window: usize,
) -> Result<(Vec<u64>, bool), StoreError> {
    let keys = budget.place.take().map_or_else(Keys::all, |place| Keys::all().to(Bound::Excluded(place)));
    let (mut rows, mut found) = (Vec::new(), Vec::new());
    reader.scan(MESSAGES_BY_TIME, keys, true, |key, _| {
        rows.push(key.to_vec());
        if rows.len() == window { STOP } else { GO_ON }
    })?;
    for row in &rows {
        let id = trailing_id(row)?;
        let Some(message) = get::<Message>(reader, id)?.filter(|message| message.body_stored) else { continue };
        budget.octets = budget.octets.saturating_add(message.size);
        // Those that no server has stay with the message.
        if budget.octets > most && message.deleted_at.is_none() {
            found.push(id);
        }
    }
    let is_more = rows.len() == window;
    budget.place = rows.pop();
    Ok((found, is_more))
}

impl Work<'_> {
    /// Forgets messages, all but that they were there.
    pub fn forget_messages(&mut self, ids: &[u64]) -> Result<(), StoreError> {
        for id in ids {
            if let Some(message) = get::<Message>(self, *id)? {
                self.pass_over_places(message.mailbox_id, *id)?;
                self.remove_message(&message)?;
            }
        }
        Ok(())
    }

    /// Forgets the octets of messages; the rest of them stays.
    pub fn forget_bodies(&mut self, ids: &[u64]) -> Result<(), StoreError> {
        for id in ids {
            if let Some(before) = get::<Message>(self, *id)?.filter(|message| message.body_stored) {
                self.put_record(Some(&before), &Message { body_stored: false, ..before.clone() })?;
                self.clear(RAW, &Key::new().id(*id).build(), usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Removes what identified messages that are gone, among up to `window` identities after a key. The key to go on
    /// after; `None` at the end.
    pub fn forget_identities(&mut self, after: &[u8], window: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let mut seen: Vec<(Vec<u8>, u64)> = Vec::new();
        self.scan(MESSAGE_IDENTITIES, Keys::all().from(Bound::Excluded(after.to_vec())), false, |key, value| {
            seen.push((key.to_vec(), decode(value)?));
            if seen.len() == window { STOP } else { GO_ON }
        })?;
        let mut is_there: HashMap<u64, bool> = HashMap::new();
        for (key, id) in &seen {
            let there = match is_there.get(id) {
                Some(there) => *there,
                None => get::<Message>(self, *id)?.is_some(),
            };
            is_there.insert(*id, there);
            if !there {
                self.remove(MESSAGE_IDENTITIES, key)?;
            }
        }
        Ok(seen.pop().filter(|_| seen.len() + 1 == window).map(|(key, _)| key))
    }

    /// Removes up to `limit` of the oldest events: those from before a moment, and those beyond the `most` newest. The
    /// newest one stays. How many were removed.
    pub fn forget_events(&mut self, before: Timestamp, most: u64, limit: usize) -> Result<usize, StoreError> {
        let rows = self.rows(EVENTS)?;
        let mut excess = rows.saturating_sub(most.max(1));
        let mut old: Vec<Vec<u8>> = Vec::new();
        self.scan(EVENTS, Keys::all(), false, |key, value| {
            let is_last = old.len() as u64 + 1 >= rows;
            if old.len() == limit || is_last || (excess == 0 && decode::<Event>(value)?.at >= before) {
                return STOP;
            }
            excess = excess.saturating_sub(1);
            old.push(key.to_vec());
            GO_ON
        })?;
        old.iter().try_for_each(|key| self.remove(EVENTS, key))?;
        Ok(old.len())
    }
}
