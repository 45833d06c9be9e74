//! Live tests cost a connection to somebody's server: few run at the same time, and nobody can run them in a loop.

use crate::domain::time::Timestamp;
use crate::jsonapi::ApiError;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

const AT_ONCE: usize = 8;
/// Tests per user and minute.
const PER_MINUTE: usize = 60;

/// Admits live tests.
pub struct Throttle {
    running: Semaphore,
    recent: Mutex<HashMap<u64, VecDeque<Timestamp>>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { running: Semaphore::new(AT_ONCE), recent: Mutex::default() }
    }
}

impl Throttle {
    /// A place for one test; keep it while the test runs.
    pub async fn admit(&self, user: u64, now: Timestamp) -> Result<SemaphorePermit<'_>, ApiError> {
        self.count(user, now)?;
        self.running.acquire().await.map_err(|_| ApiError::internal())
    }

    fn count(&self, user: u64, now: Timestamp) -> Result<(), ApiError> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.minus(Duration::from_mins(1));
        recent.retain(|_, times| {
            times.retain(|at| *at > since);
            !times.is_empty()
        });
        let times = recent.entry(user).or_default();
        if times.len() >= PER_MINUTE {
            return Err(ApiError::rate_limited(Duration::from_mins(1)));
        }
        times.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_who_tests_in_a_loop_is_slowed_down_and_others_are_not() {
        let throttle = Throttle::default();
        let now = Timestamp::from_millis(0);
        for _ in 0..PER_MINUTE {
            drop(throttle.admit(1, now).await.unwrap());
        }
        assert!(throttle.admit(1, now).await.is_err());
        assert!(throttle.admit(2, now).await.is_ok());
        assert!(throttle.admit(1, now.plus(Duration::from_mins(2))).await.is_ok());
    }
}
