//! The seams that tests hold: clock, randomness, cancellation, panic containment, named failpoints; and the room that a
//! disk has left.
//!
//! Everything above reads the time through [`Clock`] and draws bytes through [`Random`]; nothing else in the house
//! touches the wall clock or the system's generator, so a test can replay any run from a seed.
//! Uses `domain` for [`crate::domain::time::Timestamp`] only.

mod clock;
mod contain;
mod disk;
mod failpoints;
mod random;
mod tasks;

pub use clock::{Clock, ManualClock, SystemClock};
pub use contain::{contain, contain_blocking, contain_deep};
pub use disk::free_space;
pub use failpoints::{FAILPOINTS, Failpoints, NoFailpoints};
pub use random::{Random, SeededRandom, SystemRandom};
pub use tasks::Tasks;

use std::sync::Arc;

/// The clock, the generator and the failpoints of one running instance, handed to every part that needs them.
#[derive(Clone)]
pub struct Runtime {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub failpoints: Arc<dyn Failpoints>,
}

impl Runtime {
    /// The machine's own clock and generator.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom::new()),
            failpoints: Arc::new(NoFailpoints),
        }
    }
}
