//! The event log.

use super::StoreError;
use super::codec::{Key, decode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::tables::EVENTS;
use crate::domain::event::Event;
use std::ops::Bound;

/// The id of the newest event; 0 before the first.
pub fn latest_event(reader: &impl Reader) -> Result<u64, StoreError> {
    let mut latest = 0;
    reader.scan(EVENTS, Keys::all(), true, |key, _| {
        latest = trailing_id(key)?;
        STOP
    })?;
    Ok(latest)
}

/// Up to `limit` events after one, oldest first.
pub fn events_after(reader: &impl Reader, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    let keys = Keys::all().from(Bound::Excluded(Key::new().id(after).build()));
    reader.scan(EVENTS, keys, false, |_, value| {
        if events.len() == limit {
            return STOP;
        }
        events.push(decode(value)?);
        GO_ON
    })?;
    Ok(events)
}
