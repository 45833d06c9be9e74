//! Which UIDs a folder has: asked for in windows, so that no answer is long however large the folder is.

use crate::connect::imap::ImapSession;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::time::Timestamp;
use std::ops::RangeInclusive;

/// A search looks at this many messages at a time, so that its answer stays short however large the folder is.
const SEARCH_WINDOW: u32 = 100_000;

/// How many UIDs are planned in one sync of a folder; what lies beyond waits for the next one.
const PLAN_LIMIT: usize = 1_000_000;

/// More windows than this no folder has: a hundred million messages.
const WINDOW_LIMIT: u32 = 1_000;

/// Which UIDs to keep of more than can be planned at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Lowest,
    Highest,
}

/// The UIDs of the open folder within `uids`, ascending, and whether that is all of them.
pub(super) fn listed(
    session: &mut ImapSession,
    exists: u32,
    uids: &RangeInclusive<u32>,
    since: Option<Timestamp>,
    keep: Keep,
) -> Result<(Vec<u32>, bool), Failure> {
    if exists <= SEARCH_WINDOW {
        let found = if exists == 0 { Vec::new() } else { session.search(None, uids, since)? };
        return Ok((found, true));
    }
    // From the newest down: a message that is removed meanwhile moves others into a window, never past one.
    let (mut found, mut complete, mut end) = (Vec::new(), true, exists);
    for _ in 0..WINDOW_LIMIT {
        let start = end.saturating_sub(SEARCH_WINDOW - 1).max(1);
        let window = session.search(Some(&(start..=end)), uids, since)?;
        let nothing_new = keep == Keep::Lowest && window.is_empty();
        found.extend(window);
        complete &= !kept(&mut found, keep);
        // UIDs ascend: below a window without new mail there is none.
        if start == 1 || nothing_new || (keep == Keep::Highest && !complete) {
            return Ok((found, complete));
        }
        end = start - 1;
    }
    Err(Failure::new(
        FailureKind::Permanent,
        Scope::Mailbox,
        Stage::Select,
        format!("{} claims that the folder has {exists} messages.", session.host()),
    ))
}

/// Sorts, and cuts to what can be planned; whether anything was cut.
fn kept(found: &mut Vec<u32>, keep: Keep) -> bool {
    found.sort_unstable();
    found.dedup();
    let excess = found.len().saturating_sub(PLAN_LIMIT);
    match keep {
        Keep::Lowest => found.truncate(PLAN_LIMIT),
        Keep::Highest => drop(found.drain(..excess)),
    }
    excess > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_uids_than_can_be_planned_are_cut_at_the_end_that_waits() {
        let many = || (1..=u32::try_from(PLAN_LIMIT).unwrap() + 5).rev().collect::<Vec<_>>();
        let (mut lowest, mut highest) = (many(), many());
        assert!(kept(&mut lowest, Keep::Lowest) && kept(&mut highest, Keep::Highest));
        assert_eq!((lowest.len(), lowest[0]), (PLAN_LIMIT, 1));
        assert_eq!((highest.len(), highest[0]), (PLAN_LIMIT, 6));
        let mut few = vec![3, 1, 3];
        assert!(!kept(&mut few, Keep::Lowest));
        assert_eq!(few, [1, 3]);
    }
}
