//! A floor of free disk space. Below it nothing new is taken in: a disk that is really full would make a commit fail,
//! and what was under way could no longer be recorded. What ends or removes something is written all the same; the
//! floor is the room for that.

use crate::runtime::Clock;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Whoever only looks is told what was measured no longer ago than this.
const RECENT: Duration = Duration::from_millis(500);

/// Less disk space is left than has to stay free. Prints as a sentence for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is left, in octets.
    pub free: u64,
    /// What has to stay free, in octets.
    pub floor: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |octets: u64| octets / (1 << 20);
        write!(
            f,
            "The disk of the store has {} MiB left, and {} MiB have to stay free (store.free_space). Nothing new is \
             taken in, sent or synced until there is more room; what is stored is safe.",
            mib(self.free),
            mib(self.floor)
        )
    }
}

type Measure = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// Watches over the floor. Without one there is never a shortage.
pub(super) struct Space {
    clock: Arc<dyn Clock>,
    watched: OnceLock<(u64, Measure)>,
    /// When the disk was last asked, by the monotonic clock, and what followed.
    last: Mutex<Option<(Duration, Option<Shortage>)>>,
}

impl Space {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, watched: OnceLock::new(), last: Mutex::new(None) }
    }

    /// From now on `floor` octets are kept free, as `measure` tells; only the first call counts.
    pub fn keep_free(&self, floor: u64, measure: impl Fn() -> io::Result<u64> + Send + Sync + 'static) {
        let _ = self.watched.set((floor, Box::new(measure)));
    }

    /// What is missing, as of a moment ago.
    pub fn shortage(&self) -> Option<Shortage> {
        self.watched.get()?;
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((at, known)) if self.clock.elapsed().saturating_sub(at) < RECENT => known,
            _ => self.measured(),
        }
    }

    /// What is missing now. A disk that does not answer is not held against anybody: the commit will tell.
    pub fn measured(&self) -> Option<Shortage> {
        let (floor, measure) = self.watched.get()?;
        let shortage = measure().ok().filter(|free| free < floor).map(|free| Shortage { free, floor: *floor });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (last.and_then(|(_, known)| known), &shortage) {
            (None, Some(shortage)) => tracing::error!("{shortage}"),
            (Some(_), None) => tracing::info!("the disk has room again; work goes on"),
            _ => {}
        }
        *last = Some((self.clock.elapsed(), shortage));
        shortage
    }
}
