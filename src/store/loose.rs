//! What was made ahead of the mailing that is to name it: in the order in which it can be forgotten.

use super::codec::{Key, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::tables::Table;
use super::{StoreError, Work};
use crate::domain::time::Timestamp;
use std::ops::Bound;

/// A table of (moment, id).
#[derive(Clone, Copy)]
pub(super) struct Loose(pub Table);

impl Loose {
    fn key(at: Timestamp, id: u64) -> Vec<u8> {
        Key::new().number(at.millis()).id(id).build()
    }

    pub fn add(self, work: &mut Work, at: Timestamp, id: u64) -> Result<(), StoreError> {
        work.put(self.0, &Self::key(at, id), &[])
    }

    pub fn remove(self, work: &mut Work, at: Timestamp, id: u64) -> Result<(), StoreError> {
        work.remove(self.0, &Self::key(at, id))
    }

    /// Up to `limit` of those from before a moment, the oldest first.
    pub fn before(self, work: &Work, moment: Timestamp, limit: usize) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        let mut found = Vec::new();
        let until = Key::new().number(moment.millis()).build();
        work.scan(self.0, Keys::all().to(Bound::Excluded(until)), false, |key, _| {
            let millis = key
                .first_chunk::<8>()
                .map(|octets| (u64::from_be_bytes(*octets) ^ (1 << 63)).cast_signed())
                .ok_or_else(|| StoreError::Corrupt("a key without its moment".into()))?;
            found.push((Timestamp::from_millis(millis), trailing_id(key)?));
            if found.len() == limit { STOP } else { GO_ON }
        })?;
        Ok(found)
    }
}
