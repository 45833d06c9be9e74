//! Folders that the server lists and does not open.

use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// After so many refusals in a row a folder is set aside, so that it is no failure of the mailbox any more.
const PATIENCE: u32 = 3;
/// When a folder that was set aside is tried again.
const AGAIN: Duration = Duration::from_hours(6);

/// How one folder has failed to open, without a success in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderTrouble {
    pub failures: u32,
    /// When it began.
    pub since: Timestamp,
    /// What the server said last, in a sentence.
    pub reason: String,
    /// Set aside until then.
    pub again_at: Option<Timestamp>,
}

impl FolderTrouble {
    /// What follows from one more refusal.
    pub fn failed(before: Option<&Self>, reason: &str, now: Timestamp) -> Self {
        let failures = before.map_or(0, |trouble| trouble.failures).saturating_add(1);
        Self {
            failures,
            since: before.map_or(now, |trouble| trouble.since),
            reason: reason.to_owned(),
            again_at: (failures >= PATIENCE).then(|| now.plus(AGAIN)),
        }
    }

    /// Whether it is left alone at a moment.
    pub fn is_aside(&self, now: Timestamp) -> bool {
        self.again_at.is_some_and(|at| now < at)
    }

    /// Whether it is no failure of the mailbox any more.
    pub fn is_known(&self) -> bool {
        self.again_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_refusal_sets_a_folder_aside_and_each_later_one_does_so_again() {
        let now = Timestamp::parse("2026-07-08T18:40:47Z").unwrap();
        let first = FolderTrouble::failed(None, "No.", now);
        let second = FolderTrouble::failed(Some(&first), "No.", now.plus(AGAIN));
        assert!(!second.is_known() && second.since == now);
        let third = FolderTrouble::failed(Some(&second), "Never.", now.plus(AGAIN));
        assert!(third.is_aside(now.plus(AGAIN)) && !third.is_aside(now.plus(AGAIN * 2)));
        let fourth = FolderTrouble::failed(Some(&third), "Never.", now.plus(AGAIN * 2));
        assert!(fourth.is_known() && fourth.is_aside(now.plus(AGAIN * 2)) && fourth.failures == 4);
    }
}
