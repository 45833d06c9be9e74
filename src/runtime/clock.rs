use crate::domain::time::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Where the house reads the time. Wall-clock time in milliseconds, and a monotonic reading for durations.
pub trait Clock: Send + Sync {
    /// The wall clock, UTC.
    fn now(&self) -> Timestamp;
    /// Time since this clock was made; never goes backwards.
    fn elapsed(&self) -> Duration;
    /// Completes once `now()` has reached `until`. A wall clock that jumps is noticed within a minute.
    fn sleep_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                let left = until.millis_since(self.now());
                if left <= 0 {
                    return;
                }
                // Slices, so that a clock set forward does not leave a sleeper behind for hours.
                let slice = Duration::from_millis(left.unsigned_abs()).min(Duration::from_mins(1));
                tokio::time::sleep(slice).await;
            }
        })
    }
}

/// A clock that stands still until a test moves it.
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    /// Microseconds by which the clock was moved on; setting the wall clock is no passing of time.
    passed: AtomicU64,
}

impl ManualClock {
    pub fn at(start: Timestamp) -> Self {
        Self { now: watch::Sender::new(start), passed: AtomicU64::new(0) }
    }

    /// Moves time forward and wakes every sleeper whose time has come.
    pub fn advance(&self, by: Duration) {
        self.passed.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.now.send_modify(|now| *now = now.plus(by));
    }

    /// Sets the wall clock, backwards too, as an operator or NTP does: no time passes.
    pub fn set(&self, to: Timestamp) {
        self.now.send_replace(to);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.passed.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut changes = self.now.subscribe();
        Box::pin(async move {
            // The sender lives as long as `self`, which this future borrows.
            let _ = changes.wait_for(|now| *now >= until).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_when_it_is_moved() {
        let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep_until(Timestamp::from_millis(2_000)).await;
                clock.now()
            })
        };
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(sleeper.await.unwrap(), Timestamp::from_millis(2_500));
        assert_eq!(clock.elapsed(), Duration::from_millis(1_500));
        // A wall clock that is set moves no time.
        clock.set(Timestamp::from_millis(500));
        assert_eq!((clock.now(), clock.elapsed()), (Timestamp::from_millis(500), Duration::from_millis(1_500)));
    }
}
