//! The time in which sending limits are counted: it runs with the monotonic clock, so that a wall clock that is set
//! moves no window, and goes on over restarts.
//!
//! *Steady* time is the wall clock's less a skew. Within a run the skew takes up every jump of the wall clock; it is kept
//! with the commits, so that the next run goes on in the same time. What cannot be seen is a clock that was set forward
//! while nothing ran: that is time that passed. A clock that stands before the last commit was set back, or was never
//! set (a small machine without a battery): nothing is known about windows then, and sending holds until it is right, or
//! until somebody says that it is: then the last commit was made under a wrong one.

use super::StoreError;
use super::codec::{decode, encode};
use super::reader::Reader;
use super::tables::META;
use crate::domain::limits::Moment;
use crate::domain::time::Timestamp;
use crate::runtime::Clock;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

const CLOCK_KEY: &[u8] = b"clock";

/// How exactly the skew is kept, in milliseconds. A new run begins so much earlier, to err on the safe side.
const EXACTNESS: i64 = 5;
/// The moment of the last commit is written at most so often, in milliseconds.
const OFTEN: i64 = 1_000;

/// A key and a value of the table of which there is one each.
type Row = (&'static [u8], Vec<u8>);

/// What is kept of the clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The wall clock at the last commit.
    latest: Timestamp,
    /// Wall clock less steady time, in milliseconds.
    skew: i64,
}

/// Steady time of one running instance.
pub(super) struct Timeline {
    clock: Arc<dyn Clock>,
    /// As the last run left it.
    before: Kept,
    /// Steady time and monotonic reading from which this run counts; unset while the wall clock cannot be right.
    anchor: OnceLock<(Timestamp, Duration)>,
    written: Mutex<Kept>,
}

impl Timeline {
    pub fn open(reader: &impl Reader, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let before = reader.with(META, CLOCK_KEY, decode::<Kept>)?.transpose()?;
        let timeline = Self {
            clock,
            before: before.map_or_else(Kept::default, |kept| Kept { skew: kept.skew + EXACTNESS, ..kept }),
            anchor: OnceLock::new(),
            written: Mutex::new(before.unwrap_or_default()),
        };
        timeline.moment();
        Ok(timeline)
    }

    /// The present, in both times.
    pub fn moment(&self) -> Moment {
        // In this order a pause between the two readings makes steady time earlier, never later.
        let elapsed = self.clock.elapsed();
        let now = self.clock.now();
        if self.anchor.get().is_none() {
            let steady = shifted(now, self.before.skew);
            if now < self.before.latest {
                // At least so late it is: what is recorded now was no earlier.
                let steady = shifted(self.before.latest, self.before.skew).plus(elapsed);
                return Moment { now, steady, behind: Some(self.before.latest) };
            }
            self.anchor.get_or_init(|| (steady, elapsed));
        }
        let (start, since) = self.anchor.get().copied().unwrap_or((now, elapsed));
        Moment { now, steady: start.plus(elapsed.saturating_sub(since)), behind: None }
    }

    /// Takes a wall clock that stands before the last commit for right: steady time goes on from that commit, as if
    /// nothing had passed since, so that no window can hold too much. `false` if nothing spoke against the clock.
    pub fn accept(&self) -> bool {
        let elapsed = self.clock.elapsed();
        if self.moment().behind.is_none() {
            return false;
        }
        self.anchor.get_or_init(|| (shifted(self.before.latest, self.before.skew), elapsed));
        true
    }

    /// The row that a commit has to carry along, if any.
    pub fn row(&self) -> Result<Option<Row>, StoreError> {
        let moment = self.moment();
        if moment.behind.is_some() {
            return Ok(None);
        }
        let kept = Kept { latest: moment.now, skew: moment.skew() };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = (kept.latest.millis_since(written.latest)).unsigned_abs() >= OFTEN.unsigned_abs()
            || kept.skew.abs_diff(written.skew) > EXACTNESS.unsigned_abs();
        if !stale {
            return Ok(None);
        }
        *written = kept;
        Ok(Some((CLOCK_KEY, encode(&kept)?)))
    }
}

fn shifted(wall: Timestamp, skew: i64) -> Timestamp {
    Timestamp::from_millis(wall.millis().saturating_sub(skew))
}
