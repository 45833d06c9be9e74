//! How long to wait after a failure: doubling, with jitter, up to a ceiling.

use std::time::Duration;

/// A schedule of waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub ceiling: Duration,
}

impl Backoff {
    /// A mailing after a transient failure: 5 minutes doubling to 12 hours, ten tries in about two days.
    pub const MAILING: Self = Self { first: Duration::from_mins(5), ceiling: Duration::from_hours(12) };
    /// A mailbox that failed for a reason of its own: 30 minutes doubling to 6 hours.
    pub const MAILBOX: Self = Self { first: Duration::from_mins(30), ceiling: Duration::from_hours(6) };
    /// A server that does not answer: half a minute doubling to half an hour.
    pub const HOST: Self = Self { first: Duration::from_secs(30), ceiling: Duration::from_mins(30) };

    /// The wait after the `failures`-th failure in a row (1 is the first), with ±20 % jitter drawn by `roll` in 0..=400.
    pub fn wait(&self, failures: u32, roll: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let base = self.first.saturating_mul(1 << doublings).min(self.ceiling);
        let permille = 800 + roll.min(400);
        base.saturating_mul(u32::try_from(permille).unwrap_or(1000)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_retries_of_a_mailing_take_about_two_days() {
        let total: Duration = (1..=10).map(|failure| Backoff::MAILING.wait(failure, 200)).sum();
        assert!(total > Duration::from_hours(36) && total < Duration::from_hours(60), "{total:?}");
        assert_eq!(Backoff::MAILING.wait(1, 0), Duration::from_mins(4));
        assert_eq!(Backoff::MAILING.wait(1, 400), Duration::from_mins(6));
        assert_eq!(Backoff::MAILING.wait(u32::MAX, 200), Duration::from_hours(12));
    }
}
