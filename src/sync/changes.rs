//! What changed among the messages of an IMAP folder that are stored already: flags, and messages that went.
//!
//! A server with QRESYNC says both since a mod-sequence; one with CONDSTORE says the flags; of any other the flags of the
//! newest messages are compared at every sync and those of the others by turns. What went is noticed, without QRESYNC, by
//! counting: the place of one message that is known to be there tells how many are left below it. Only where that does
//! not add up the whole list is asked for.

use super::imap::is_settled;
use super::listing::{Keep, listed};
use super::source::{Changes, Stored};
use crate::connect::imap::{Abilities, FolderState, ImapSession};
use crate::domain::failure::Failure;
use crate::domain::message::FolderCursor;
use std::ops::RangeInclusive;

/// Changes are asked for among so many stored messages at a time, so that every answer is bounded.
const WINDOW: usize = 10_000;
/// Flags are compared of so many of the newest messages at every sync, and of so many others by turns.
const COMPARED: usize = 200;
/// Flags are read of so many messages at a time where all have to be compared.
const READ: usize = 5_000;

/// A folder that was opened and begun.
pub(super) struct Opened {
    /// The cursor that it was begun with; `None` at the first time.
    pub known: Option<FolderCursor>,
    /// The cursor once all batches are stored.
    pub cursor: FolderCursor,
    pub state: FolderState,
    /// Something newer was found.
    pub news: bool,
}

impl Opened {
    pub fn changes(self, session: &mut ImapSession, stored: &dyn Stored) -> Result<Changes, Failure> {
        let abilities = session.abilities()?;
        let mod_seq = self.state.mod_seq.filter(|_| abilities.condstore);
        let mut changes = Changes { cursor: self.cursor.clone(), ..Changes::default() };
        let Some(known) = &self.known else {
            // What is fetched from now on is fetched as it is now.
            changes.cursor.mod_seq = mod_seq;
            return Ok(changes);
        };
        let quiet = is_settled(known, &self.state);
        let told = match (mod_seq, known.mod_seq) {
            (Some(now), Some(before)) if now == before => abilities.qresync,
            (Some(now), Some(before)) if now > before => Self::told(session, stored, before, abilities, &mut changes)?,
            // A server that counts backwards, or begins to count, says nothing of what was before.
            (Some(_), _) => {
                Self::read_all(session, stored, &mut changes)?;
                false
            }
            (None, _) => {
                Self::read_some(session, stored, known.flags_seen, &mut changes)?;
                false
            }
        };
        changes.cursor.mod_seq = mod_seq;
        if told {
            changes.cursor.place = None;
        } else if !quiet || known.place.is_none() {
            self.count(session, stored, known, &mut changes)?;
        }
        changes.gone.sort_unstable();
        changes.gone.dedup();
        let is_sure = told || changes.cursor.place.is_some();
        let all_quiet = is_sure && !self.news && changes.gone.is_empty();
        changes.cursor.settled = self.state.uid_next.filter(|_| all_quiet).map(|next| (self.state.exists, next));
        Ok(changes)
    }

    /// What the server says has changed since a mod-sequence; whether it said everything that went.
    fn told(
        session: &mut ImapSession,
        stored: &dyn Stored,
        since: u64,
        abilities: Abilities,
        changes: &mut Changes,
    ) -> Result<bool, Failure> {
        let (mut last, mut all_told) = (0, abilities.qresync);
        loop {
            let window = stored.uids_after(last, WINDOW)?;
            let (Some(first), Some(end)) = (window.first(), window.last()) else { return Ok(all_told) };
            let found = session.changes(&(*first..=*end), since, abilities.qresync, window.len() as u64)?;
            changes.gone.extend(inside(&window, &found.gone));
            changes.flags.extend(found.flags);
            all_told &= found.complete;
            last = *end;
        }
    }

    fn read_all(session: &mut ImapSession, stored: &dyn Stored, changes: &mut Changes) -> Result<(), Failure> {
        let mut last = 0;
        loop {
            let window = stored.uids_after(last, READ)?;
            let Some(end) = window.last() else { return Ok(()) };
            changes.flags.extend(session.flags(&window)?);
            last = *end;
        }
    }

    /// Reads the flags of the newest messages, and of some others by turns.
    fn read_some(
        session: &mut ImapSession,
        stored: &dyn Stored,
        seen: u32,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let newest = newest(stored, changes.cursor.high)?;
        let turn = stored.uids_after(seen, COMPARED)?;
        // At the end it begins again.
        changes.cursor.flags_seen = turn.last().copied().filter(|_| turn.len() == COMPARED).unwrap_or(0);
        let mut uids = [turn, newest].concat();
        uids.sort_unstable();
        uids.dedup();
        if !uids.is_empty() {
            changes.flags.extend(session.flags(&uids)?);
        }
        Ok(())
    }

    /// Finds what went by counting.
    fn count(
        &self,
        session: &mut ImapSession,
        stored: &dyn Stored,
        known: &FolderCursor,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let high = self.cursor.high;
        if let Some((mark, before)) = known.place {
            let since = count_between(stored, mark, high)?;
            if session.place(if since == 0 { mark } else { high })? == Some(before.saturating_add(since)) {
                changes.cursor.place = Some(if since == 0 { (mark, before) } else { (high, before + since) });
                return Ok(());
            }
        }
        let (there, complete) = if high == 0 {
            (Vec::new(), true)
        } else {
            listed(session, self.state.exists.max(1), &(1..=high), None, Keep::Highest)?
        };
        let listed = u32::try_from(there.len()).unwrap_or(u32::MAX);
        if !complete || listed < self.state.exists {
            // More than can be held, or fewer than the server itself counts: nothing can be said of what is not listed.
            changes.cursor.place = None;
            return Ok(());
        }
        let (mut last, mut found) = (0, vec![false; there.len()]);
        loop {
            let window = stored.uids_after(last, WINDOW)?;
            let Some(end) = window.last() else { break };
            for uid in window.iter().filter(|uid| **uid <= high) {
                match there.binary_search(uid) {
                    Ok(at) => found[at] = true,
                    Err(_) => changes.gone.push(*uid),
                }
            }
            last = *end;
        }
        // A server that was wrong once must not have hidden a message for ever.
        let unknown = there.iter().zip(&found).filter(|(_, found)| !**found).map(|(uid, _)| *uid);
        changes.missing = unknown.filter(|uid| *uid >= self.cursor.low).collect();
        changes.cursor.place = there.last().map(|uid| (*uid, listed));
        Ok(())
    }
}

/// How many stored UIDs lie above one and up to another.
fn count_between(stored: &dyn Stored, above: u32, to: u32) -> Result<u32, Failure> {
    let (mut count, mut last) = (0_u32, above);
    loop {
        let window = stored.uids_after(last, WINDOW)?;
        count =
            count.saturating_add(u32::try_from(window.iter().filter(|uid| **uid <= to).count()).unwrap_or(u32::MAX));
        match window.last() {
            Some(end) if *end < to => last = *end,
            _ => return Ok(count),
        }
    }
}

/// The newest stored UIDs, about as many as are compared at every sync, ascending.
fn newest(stored: &dyn Stored, high: u32) -> Result<Vec<u32>, Failure> {
    // UIDs have gaps: reach further down until there are enough.
    let mut reach = u32::try_from(COMPARED).unwrap_or(u32::MAX);
    loop {
        let (mut found, mut last) = (Vec::new(), high.saturating_sub(reach));
        loop {
            let window = stored.uids_after(last, WINDOW)?;
            let Some(end) = window.last() else { break };
            last = *end;
            found.extend(window);
            let surplus = found.len().saturating_sub(COMPARED);
            found.drain(..surplus);
        }
        if found.len() >= COMPARED || reach >= high {
            return Ok(found);
        }
        reach = reach.saturating_mul(4);
    }
}

/// Those of `uids` (ascending) that lie in one of the ranges.
fn inside(uids: &[u32], ranges: &[RangeInclusive<u32>]) -> Vec<u32> {
    let mut found = Vec::new();
    for range in ranges {
        // Either end may come first (RFC 3501 section 9, seq-range).
        let (first, last) = (range.start().min(range.end()), range.start().max(range.end()));
        let from = uids.partition_point(|uid| uid < first);
        found.extend(uids[from..].iter().take_while(|uid| *uid <= last));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct List(Vec<u32>);

    impl Stored for List {
        fn uids_after(&self, uid: u32, limit: usize) -> Result<Vec<u32>, Failure> {
            Ok(self.0.iter().copied().filter(|known| *known > uid).take(limit).collect())
        }
    }

    #[test]
    fn ranges_that_name_everything_find_only_what_is_stored() {
        assert_eq!(inside(&[3, 5, 9], &[1..=u32::MAX]), [3, 5, 9]);
        assert_eq!(inside(&[3, 5, 9], &[4..=5, 9..=9]), [5, 9]);
        let backwards = RangeInclusive::new(5, 1);
        assert_eq!(inside(&[3, 5, 9], &[backwards]), [3, 5]);
        assert!(inside(&[], &[1..=u32::MAX]).is_empty());
    }

    #[test]
    fn the_newest_are_found_whatever_the_gaps() {
        let dense = List((1..=10_000).collect());
        assert_eq!(newest(&dense, 10_000).unwrap(), (9_801..=10_000).collect::<Vec<_>>());
        let sparse = List((1..=300).map(|number| number * 100_000).collect());
        let found = newest(&sparse, 30_000_000).unwrap();
        assert_eq!((found.len(), found[0], found[199]), (200, 10_100_000, 30_000_000));
        assert_eq!(newest(&List(vec![7]), 9).unwrap(), [7]);
    }

    #[test]
    fn counting_goes_from_one_message_to_another() {
        let list = List(vec![2, 4, 6, 8]);
        assert_eq!(count_between(&list, 2, 6).unwrap(), 2);
        assert_eq!(count_between(&list, 8, 8).unwrap(), 0);
        assert_eq!(count_between(&list, 0, 100).unwrap(), 4);
    }
}
