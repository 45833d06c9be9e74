use super::options::Options;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Numbers that no two folders or messages of one server share.
#[derive(Debug)]
pub(super) struct Numbering {
    uid_validity: AtomicU32,
    message: AtomicU64,
    /// How many expunged UIDs a folder remembers.
    pub expunged_kept: usize,
}

impl Numbering {
    /// UIDVALIDITY begins at the clock's seconds, so that a server started later never repeats an earlier one's.
    pub fn new(options: &Options) -> Self {
        let seconds = options.clock.now().millis().div_euclid(1_000);
        let first = u32::try_from(seconds).unwrap_or(1).max(1);
        Self {
            uid_validity: AtomicU32::new(first),
            message: AtomicU64::new(FIRST_MESSAGE),
            expunged_kept: options.expunged_kept,
        }
    }

    /// A UIDVALIDITY for a new folder.
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity.fetch_add(1, Ordering::Relaxed)
    }

    /// A number for a new message.
    pub fn message(&self) -> u64 {
        self.message.fetch_add(1, Ordering::Relaxed)
    }
}

/// Beyond what fits into 53 bits, as Gmail's numbers are: whoever keeps them in a float loses some.
const FIRST_MESSAGE: u64 = (1 << 60) + 1;
