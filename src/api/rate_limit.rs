//! How many requests a user may make in an hour, and how many are left: shown on every answer.

use crate::jsonapi::ApiError;
use crate::runtime::Clock;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const HOUR: i64 = 3_600_000;

/// Counts by user and clock hour. Lost with a restart, which only ever allows more.
pub struct RateLimit {
    clock: Arc<dyn Clock>,
    /// Requests per user and hour.
    limit: u64,
    counts: Mutex<(i64, HashMap<u64, u64>)>,
}

/// What one request was counted as.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    limit: u64,
    remaining: u64,
    /// When the hour ends, in seconds since 1970.
    reset: i64,
}

impl RateLimit {
    /// Allows a user `limit` requests in an hour.
    pub fn new(clock: Arc<dyn Clock>, limit: u64) -> Self {
        Self { clock, limit, counts: Mutex::default() }
    }

    /// Counts a request; what it was counted as, and an error once the hour's share is used up.
    pub fn count(&self, user: u64) -> (Counted, Result<(), ApiError>) {
        let now = self.clock.now().millis();
        let hour = now.div_euclid(HOUR);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != hour {
            *counts = (hour, HashMap::new());
        }
        let used = counts.1.entry(user).or_default();
        *used += 1;
        let reset = (hour + 1) * HOUR;
        let admitted = if *used > self.limit {
            Err(ApiError::rate_limited(Duration::from_millis((reset - now).unsigned_abs())))
        } else {
            Ok(())
        };
        (Counted { limit: self.limit, remaining: self.limit.saturating_sub(*used), reset: reset / 1000 }, admitted)
    }
}

impl Counted {
    /// Adds the headers that say so.
    pub fn show(self, headers: &mut HeaderMap) {
        let mut set = |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
        set("x-ratelimit-limit", HeaderValue::from(self.limit));
        set("x-ratelimit-remaining", HeaderValue::from(self.remaining));
        set("x-ratelimit-reset", HeaderValue::from(self.reset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::runtime::ManualClock;

    const LIMIT: u64 = 1_000_000;

    #[test]
    fn the_count_is_per_user_and_starts_anew_with_the_hour() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(10 * HOUR + 5)));
        let limit = RateLimit::new(clock.clone(), LIMIT);
        assert_eq!(limit.count(1).0.remaining, LIMIT - 1);
        assert_eq!(limit.count(1).0.remaining, LIMIT - 2);
        let other = limit.count(2).0;
        assert_eq!((other.remaining, other.reset), (LIMIT - 1, 11 * HOUR / 1000));
        limit.counts.lock().unwrap().1.insert(1, LIMIT);
        let (refused, admitted) = limit.count(1);
        assert!(refused.remaining == 0 && admitted.is_err());
        clock.advance(Duration::from_hours(1));
        assert_eq!(limit.count(1).0.remaining, LIMIT - 1);
    }
}
