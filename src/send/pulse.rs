//! How long the lanes have been at what they are at: one that hangs on a slow server holds no worker.

use crate::domain::time::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Of one lane, for as long as it runs.
pub(super) struct Pulse(Arc<AtomicI64>);

impl Pulse {
    /// Another mailing is taken up, at a steady time.
    pub fn beat(&self, now: Timestamp) {
        self.0.store(now.millis(), Ordering::Relaxed);
    }
}

/// Of all lanes.
#[derive(Default)]
pub(super) struct Pulses(Vec<Weak<AtomicI64>>);

impl Pulses {
    /// A lane begins.
    pub fn begin(&mut self, now: Timestamp) -> Pulse {
        self.0.retain(|pulse| pulse.strong_count() > 0);
        let pulse = Arc::new(AtomicI64::new(now.millis()));
        self.0.push(Arc::downgrade(&pulse));
        Pulse(pulse)
    }

    /// How many have been at one mailing for longer than this.
    pub fn older_than(&self, age: Duration, now: Timestamp) -> u32 {
        let since = now.minus(age).millis();
        let beats = self.0.iter().filter_map(Weak::upgrade).map(|pulse| pulse.load(Ordering::Relaxed));
        u32::try_from(beats.filter(|beat| *beat < since).count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_grow_slow_until_they_take_up_another_mailing_or_end() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let mut pulses = Pulses::default();
        let (first, second) = (pulses.begin(at(0)), pulses.begin(at(30)));
        let minute = Duration::from_mins(1);
        assert_eq!([60, 61, 91].map(|now| pulses.older_than(minute, at(now))), [0, 1, 2]);
        first.beat(at(80));
        assert_eq!(pulses.older_than(minute, at(100)), 1);
        drop(second);
        assert_eq!(pulses.older_than(minute, at(100)), 0);
        drop(first);
        let _third = pulses.begin(at(200));
        assert_eq!(pulses.0.len(), 1, "nothing is kept of those that ended");
    }
}
