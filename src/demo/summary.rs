//! What the demo came to.

use std::collections::BTreeSet;
use std::fmt;

/// How many mailings went which way. A replied mailing was delivered too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub created: usize,
    pub delivered: usize,
    pub replied: usize,
    pub failed: usize,
    /// Had to wait for a limit, whatever became of them.
    pub delayed: usize,
    /// Neither delivered nor failed yet.
    pub waiting: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, delivered, replied, failed, delayed, waiting } = self;
        write!(f, "Of {created} mailings: {delivered} delivered, {replied} replied, {failed} failed, ")?;
        write!(f, "{delayed} delayed by a limit, {waiting} still waiting.")
    }
}

/// The ids of the mailings behind the counts: an event that comes twice counts once.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub created: BTreeSet<u64>,
    pub delivered: BTreeSet<u64>,
    pub replied: BTreeSet<u64>,
    pub failed: BTreeSet<u64>,
    pub delayed: BTreeSet<u64>,
}

impl Tally {
    pub fn summary(&self) -> Summary {
        let settled = |id: &&u64| self.delivered.contains(id) || self.failed.contains(id);
        Summary {
            created: self.created.len(),
            delivered: self.delivered.len(),
            replied: self.replied.len(),
            failed: self.failed.len(),
            delayed: self.delayed.len(),
            waiting: self.created.len() - self.created.iter().filter(settled).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replied_mailing_counts_as_delivered_and_what_is_neither_waits() {
        let mut tally = Tally { created: (1..=4).collect(), ..Tally::default() };
        tally.delivered.extend([1, 2]);
        tally.replied.insert(2);
        tally.failed.insert(3);
        tally.delayed.insert(1);
        let text = "Of 4 mailings: 2 delivered, 1 replied, 1 failed, 1 delayed by a limit, 1 still waiting.";
        assert_eq!(tally.summary().to_string(), text);
    }
}
