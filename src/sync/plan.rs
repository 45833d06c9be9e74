//! The order in which the messages of one folder are fetched, and the cursor that is true after each step.
//! Arithmetic only: no server, no store.

use crate::domain::message::FolderCursor;

/// What is to be fetched of one folder.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    cursor: FolderCursor,
    /// UIDs above `cursor.high`, ascending; the lowest go first, so that the cursor never spans a hole.
    newer: Vec<u32>,
    /// How many of `newer` are done.
    newer_done: usize,
    /// UIDs below `cursor.low`, ascending; the highest go first.
    older: Vec<u32>,
    /// Whether `older` is all there is; else a later sync asks again.
    older_complete: bool,
    /// Whether the cursor differs from the one that is stored, so that it has to be committed even without messages.
    moved: bool,
}

/// Which end a step works at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Newer,
    Older,
}

impl Plan {
    /// The first sync of a folder: everything at or below `top`, the highest UID of the folder, is old mail.
    pub fn first(uid_validity: u32, top: u32, older: Vec<u32>, older_complete: bool) -> Self {
        // Nothing is stored yet: the range from `low` to `high` is empty.
        let cursor = FolderCursor { uid_validity, low: top.saturating_add(1), high: top, ..FolderCursor::default() };
        let mut plan = Self { cursor, newer: Vec::new(), newer_done: 0, older, older_complete, moved: true };
        plan.cursor.backfilled = plan.is_backfilled();
        plan
    }

    /// A later sync: what is new above the cursor, and what is still missing below it.
    pub fn resumed(known: &FolderCursor, newer: Vec<u32>, older: Vec<u32>, older_complete: bool) -> Self {
        let mut plan = Self { cursor: known.clone(), newer, newer_done: 0, older, older_complete, moved: false };
        let backfilled = known.backfilled || plan.is_backfilled();
        plan.moved = backfilled != known.backfilled;
        plan.cursor.backfilled = backfilled;
        plan
    }

    /// Messages between the ends of the cursor that are not stored, ascending.
    pub fn between(known: &FolderCursor, uids: Vec<u32>) -> Self {
        Self { newer: uids, ..Self::resumed(known, Vec::new(), Vec::new(), known.backfilled) }
    }

    /// The UIDs that come next, ascending, all from one end, at most `limit`; `None` if nothing is left.
    pub fn next(&self, limit: usize) -> Option<(Direction, &[u32])> {
        let newer = &self.newer[self.newer_done..];
        if !newer.is_empty() {
            return Some((Direction::Newer, &newer[..newer.len().min(limit)]));
        }
        let from = self.older.len().saturating_sub(limit);
        (!self.older.is_empty()).then(|| (Direction::Older, &self.older[from..]))
    }

    /// Takes `count` of the UIDs that [`Plan::next`] gave: the lowest of the newer ones, the highest of the older ones.
    /// `seen` is the highest of them that the server knew anything of. Only that moves the upper end of the cursor: a
    /// number that the server named by mistake must not hide the mail that will come below it.
    pub fn take(&mut self, direction: Direction, count: usize, seen: Option<u32>) {
        match direction {
            Direction::Newer => {
                self.newer_done = (self.newer_done + count).min(self.newer.len());
                // The cursor of messages in between stands beyond them already.
                self.cursor.high = self.cursor.high.max(seen.unwrap_or(0));
            }
            Direction::Older => {
                let keep = self.older.len().saturating_sub(count);
                if let Some(low) = self.older.get(keep) {
                    self.cursor.low = *low;
                }
                self.older.truncate(keep);
                self.cursor.backfilled = self.is_backfilled();
            }
        }
        self.moved = true;
    }

    /// The cursor as it is to be committed with what was taken last; `None` if it has not moved since it was last asked for.
    pub fn commit(&mut self) -> Option<FolderCursor> {
        std::mem::take(&mut self.moved).then(|| self.cursor.clone())
    }

    /// The cursor as it stands.
    pub fn cursor(&self) -> &FolderCursor {
        &self.cursor
    }

    pub fn has_newer(&self) -> bool {
        self.newer_done < self.newer.len()
    }

    pub fn remaining(&self) -> u64 {
        (self.newer.len() - self.newer_done + self.older.len()) as u64
    }

    fn is_backfilled(&self) -> bool {
        self.older.is_empty() && self.older_complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Runs a plan to its end, `limit` UIDs at a time; stops after `steps`.
    fn run(plan: &mut Plan, limit: usize, steps: usize) -> (Vec<u32>, Option<FolderCursor>) {
        let (mut seen, mut last) = (Vec::new(), None);
        for _ in 0..steps {
            let Some((direction, uids)) = plan.next(limit).map(|(direction, uids)| (direction, uids.to_vec())) else {
                last = plan.commit().or(last);
                break;
            };
            seen.extend(&uids);
            plan.take(direction, uids.len(), uids.last().copied());
            last = Some(plan.commit().unwrap());
        }
        (seen, last)
    }

    #[test]
    fn a_first_sync_goes_from_the_newest_down_and_ends_backfilled() {
        let mut plan = Plan::first(7, 50, vec![3, 10, 20, 50], true);
        assert_eq!(plan.next(3), Some((Direction::Older, &[10, 20, 50][..])));
        plan.take(Direction::Older, 2, None);
        let cursor =
            |low, high, backfilled| FolderCursor { uid_validity: 7, low, high, backfilled, ..FolderCursor::default() };
        assert_eq!(plan.commit(), Some(cursor(20, 50, false)));
        assert_eq!(plan.commit(), None);
        plan.take(Direction::Older, 2, None);
        assert_eq!(plan.commit(), Some(cursor(3, 50, true)));
        assert_eq!((plan.next(3), plan.remaining()), (None, 0));
    }

    #[test]
    fn an_empty_folder_still_gets_a_cursor_and_a_quiet_one_none() {
        let mut plan = Plan::first(7, 0, vec![], true);
        let cursor = plan.commit().unwrap();
        assert_eq!(cursor, FolderCursor { uid_validity: 7, low: 1, backfilled: true, ..FolderCursor::default() });
        assert_eq!(Plan::resumed(&cursor, vec![], vec![], true).commit(), None);
        let half = FolderCursor { backfilled: false, ..cursor };
        assert!(Plan::resumed(&half, vec![], vec![], true).commit().unwrap().backfilled);
        assert_eq!(Plan::resumed(&half, vec![], vec![], false).commit(), None);
    }

    #[test]
    fn newer_mail_comes_before_older_mail_and_moves_the_upper_end_without_a_hole() {
        let known = FolderCursor { uid_validity: 1, low: 10, high: 20, ..FolderCursor::default() };
        let mut plan = Plan::resumed(&known, vec![21, 25, 30], vec![4, 9], true);
        assert_eq!(plan.next(2), Some((Direction::Newer, &[21, 25][..])));
        plan.take(Direction::Newer, 2, Some(25));
        assert_eq!(plan.commit().unwrap().high, 25);
        assert_eq!(plan.next(2), Some((Direction::Newer, &[30][..])));
        // Gone, or never there: the next sync may ask again.
        plan.take(Direction::Newer, 1, None);
        assert_eq!(plan.commit().unwrap().high, 25);
        assert_eq!(plan.next(2), Some((Direction::Older, &[4, 9][..])));
    }

    proptest! {
        #[test]
        fn whenever_it_is_interrupted_every_uid_comes_exactly_once(
            before in proptest::collection::btree_set(1u32..500, 0..60),
            after in proptest::collection::btree_set(500u32..1000, 0..60),
            limit in 1usize..20,
            steps in 0usize..10,
        ) {
            let all: Vec<u32> = before.iter().copied().collect();
            let top = all.last().copied().unwrap_or(0);
            let (mut seen, cursor) = run(&mut Plan::first(1, top, all.clone(), true), limit, steps);
            // Interrupted; meanwhile new mail arrived.
            let mut plan = if let Some(known) = cursor {
                let older = all.iter().copied().filter(|uid| *uid < known.low).collect();
                let newer = before.iter().chain(&after).copied().filter(|uid| *uid > known.high).collect();
                Plan::resumed(&known, newer, if known.backfilled { vec![] } else { older }, true)
            } else {
                let all: Vec<u32> = before.iter().chain(&after).copied().collect();
                Plan::first(1, all.last().copied().unwrap_or(0), all, true)
            };
            let (rest, _) = run(&mut plan, limit, usize::MAX);
            seen.extend(rest);
            let expected: BTreeSet<u32> = before.union(&after).copied().collect();
            prop_assert_eq!(seen.len(), expected.len());
            prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
