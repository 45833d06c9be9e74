//! First answers of creates, kept for clients that ask again with the same `Idempotency-Key`.

use super::codec::{Key, decode, encode};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::tables::{IDEMPOTENCY, IDEMPOTENCY_BY_TIME};
use super::{StoreError, Work};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::time::Duration;

/// How long a first answer is given again.
const KEPT: Duration = Duration::from_hours(24);
/// How many old answers each new one takes along: more than one, so that they never pile up.
const PRUNED: usize = 8;

/// What a create answered, and a mark of the request that it answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// Equal for equal requests; says nothing about them to whoever reads the file.
    pub request: [u8; 32],
    pub location: String,
    /// The JSON of the response. Never holds a secret, as no answer does.
    pub document: String,
    pub at: Timestamp,
}

fn key_of(user: u64, key: &str) -> Vec<u8> {
    Key::new().id(user).text(key).build()
}

fn time_key(at: Timestamp, user: u64, key: &str) -> Vec<u8> {
    Key::new().number(at.millis()).octets(&key_of(user, key)).build()
}

/// The answer that a user's create with this key got, if that was within the last 24 hours.
pub fn first_answer(
    reader: &impl Reader,
    user: u64,
    key: &str,
    now: Timestamp,
) -> Result<Option<FirstAnswer>, StoreError> {
    let found: Option<FirstAnswer> = reader.with(IDEMPOTENCY, &key_of(user, key), decode)?.transpose()?;
    Ok(found.filter(|answer| answer.at > now.minus(KEPT)))
}

impl Work<'_> {
    /// Keeps the answer of a create in the unit of work that creates, so that neither is there without the other.
    /// Forgets a few answers that are too old to be given again.
    pub fn keep_answer(&mut self, user: u64, key: &str, answer: &FirstAnswer) -> Result<(), StoreError> {
        self.forget_old_answers()?;
        let place = key_of(user, key);
        // An expired answer may still be there under the same key; its row by time would outlive it.
        if let Some(old) = self.with(IDEMPOTENCY, &place, decode::<FirstAnswer>)?.transpose()? {
            self.remove(IDEMPOTENCY_BY_TIME, &time_key(old.at, user, key))?;
        }
        self.put(IDEMPOTENCY, &place, &encode(answer)?)?;
        self.put(IDEMPOTENCY_BY_TIME, &time_key(answer.at, user, key), &[])
    }

    fn forget_old_answers(&mut self) -> Result<(), StoreError> {
        let mut old = Vec::new();
        let until = Key::new().number(self.now().minus(KEPT).millis()).build();
        self.scan(IDEMPOTENCY_BY_TIME, Keys::all().to(Bound::Excluded(until)), false, |key, _| {
            old.push(key.to_vec());
            if old.len() == PRUNED { STOP } else { GO_ON }
        })?;
        for key in old {
            // Behind the moment stands the key of the answer itself.
            if let Some(place) = key.get(8..) {
                self.remove(IDEMPOTENCY, place)?;
            }
            self.remove(IDEMPOTENCY_BY_TIME, &key)?;
        }
        Ok(())
    }
}
