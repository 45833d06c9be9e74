//! Sliding windows: when the next mailing may start so that no window ever holds more than its limit.

use super::time::Timestamp;
use std::time::Duration;

pub const DAY: Duration = Duration::from_hours(24);
pub const WEEK: Duration = Duration::from_hours(7 * 24);

/// The present, by the wall clock and in *steady* time: the time in which sending limits count. Steady time goes on
/// evenly whatever is done to the wall clock, and over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub now: Timestamp,
    pub steady: Timestamp,
    /// The wall clock stands before this moment, at which something was recorded already: it cannot be right.
    pub behind: Option<Timestamp>,
}

impl Moment {
    /// Wall clock less steady time, in milliseconds.
    pub fn skew(&self) -> i64 {
        self.now.millis_since(self.steady)
    }

    /// A steady time by the wall clock.
    pub fn by_the_wall(&self, steady: Timestamp) -> Timestamp {
        Timestamp::from_millis(steady.millis().saturating_add(self.skew()))
    }

    /// What speaks against the wall clock and what to do about it, for people; `None` if nothing does.
    pub fn fault(&self) -> Option<String> {
        let before = self.behind?;
        Some(format!(
            "The clock of this machine shows {}, but something was recorded at {before} already. Sending waits until the \
             clock is right. If it is right now and was wrong then: postroom clock accept",
            self.now
        ))
    }

    /// A wall-clock time in steady time.
    pub fn in_steady(&self, wall: Timestamp) -> Timestamp {
        Timestamp::from_millis(wall.millis().saturating_sub(self.skew()))
    }
}

/// At most `count` starts in any `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub count: u64,
    pub period: Duration,
}

impl Window {
    /// When the next start is allowed, given the `count`-th most recent start (`None`: there were fewer).
    /// A start counts for `period` from its own moment; at exactly `start + period` it no longer does.
    /// A limit of 0 never allows one: `None`.
    pub fn opens_at(&self, count_th_latest: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        if self.count == 0 {
            return None;
        }
        Some(count_th_latest.map_or(now, |start| start.plus(self.period).max(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Starting whenever the window says so, no sliding window ever holds more than its count.
        #[test]
        fn no_window_ever_holds_more_than_its_count(count in 1_u64..6, period in 1_u64..50, steps in prop::collection::vec(0_u64..40, 1..200)) {
            let window = Window { count, period: Duration::from_millis(period) };
            let mut starts: Vec<i64> = Vec::new();
            let mut now = 0_i64;
            for step in steps {
                now += i64::try_from(step).unwrap();
                let back = usize::try_from(count).unwrap();
                let nth = starts.len().checked_sub(back).map(|index| Timestamp::from_millis(starts[index]));
                if window.opens_at(nth, Timestamp::from_millis(now)) == Some(Timestamp::from_millis(now)) {
                    starts.push(now);
                }
            }
            let period = i64::try_from(period).unwrap();
            for (index, start) in starts.iter().enumerate() {
                let inside = starts[index..].iter().filter(|other| **other < start + period).count();
                prop_assert!(inside as u64 <= count);
            }
        }
    }
}
