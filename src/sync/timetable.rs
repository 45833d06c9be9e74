//! When each mailbox is polled next: what is known of every mailbox that is synced, and the order of their due times.
//! Arithmetic only: no store, no clock.
//!
//! Regular polls lie on a grid: each mailbox has a place of its own within its period, given by its number. So ten
//! thousand mailboxes spread evenly and stay spread, whatever happens in between: after a start, a sync on demand, a
//! failure, the next regular poll is back on the grid. No poll comes later than the period and a tenth of it (a minute
//! at most) after the one before.

use super::owners::Owners;
use crate::domain::mailbox::{Mailbox, SideStatus};
use crate::domain::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A regular poll that would follow another sync within a tenth of the period, or this, is left out.
const CLOSE: Duration = Duration::from_mins(1);

/// What is known of a mailbox that is synced.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub owner: u64,
    pub generation: u64,
    /// Seconds between polls, while the owner is active and else.
    active: u32,
    passive: u32,
    /// Never synced to its end so far.
    pub fresh: bool,
    /// It failed: the next sync is a probe, and only a person may pull it forward.
    pub held: bool,
    /// The end of the last sync, well or not.
    pub finished_at: Option<Timestamp>,
    /// When the last sync began.
    pub began_at: Option<Timestamp>,
    /// When it last brought something new.
    pub news_at: Option<Timestamp>,
    /// Somebody waits for what it brings: once due, it goes before those that are merely overdue, until it begins.
    pub awaited: bool,
    /// `None` while it is being synced, or waits for a place.
    due: Option<Timestamp>,
}

impl Planned {
    /// What the store knows of a mailbox; not due yet.
    pub fn new(mailbox: &Mailbox, side: &SideStatus) -> Self {
        let seconds = |frequency: Duration| u32::try_from(frequency.as_secs()).unwrap_or(u32::MAX).max(1);
        Self {
            owner: mailbox.user_id,
            generation: mailbox.generation,
            active: seconds(mailbox.settings.active_frequency()),
            passive: seconds(mailbox.settings.passive_frequency()),
            fresh: side.success_at.is_none(),
            held: side.failure.is_some(),
            finished_at: side.finished_at,
            began_at: None,
            news_at: None,
            awaited: false,
            due: None,
        }
    }

    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// How long after a sync the next one is due.
    pub fn period(&self, owners: &Owners, now: Timestamp) -> Duration {
        let seconds = if owners.is_active(self.owner, now) { self.active } else { self.passive };
        Duration::from_secs(u64::from(seconds))
    }

    /// The next regular poll of a mailbox that was not synced just now; in the past if it is overdue.
    pub fn regular(&self, id: u64, owners: &Owners, now: Timestamp) -> Timestamp {
        let Some(finished) = self.finished_at else { return now };
        let period = self.period(owners, now);
        let latest = finished.plus(period);
        // A clock that was set back must not leave it unseen for longer than a period.
        slot_after(id, now, period).min(latest)
    }
}

/// The next regular poll after a sync that ends `now`, where one is due every `period`.
pub(super) fn after_sync(mailbox: u64, period: Duration, now: Timestamp) -> Timestamp {
    slot_after(mailbox, now.plus((period / 10).min(CLOSE)), period)
}

/// The first moment after `after` at which the grid has a mailbox polled that is polled every `period`.
pub fn slot_after(mailbox: u64, after: Timestamp, period: Duration) -> Timestamp {
    let period = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
    // Multiples of the golden ratio are spread evenly for any run of numbers.
    let place = u128::from(mailbox.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let phase = i64::try_from((place * u128::from(period.unsigned_abs())) >> 64).unwrap_or(0);
    let periods = after.millis().saturating_sub(phase).div_euclid(period).saturating_add(1);
    Timestamp::from_millis(periods.saturating_mul(period).saturating_add(phase))
}

/// All mailboxes that are synced.
#[derive(Default)]
pub(super) struct Timetable {
    planned: HashMap<u64, Planned>,
    /// Those that are due, the awaited ones apart.
    by_time: BTreeSet<(Timestamp, u64)>,
    awaited: BTreeSet<(Timestamp, u64)>,
}

impl Timetable {
    pub fn get(&self, mailbox: u64) -> Option<&Planned> {
        self.planned.get(&mailbox)
    }

    /// What is known of a mailbox, all but its due time and its place in line.
    pub fn get_mut(&mut self, mailbox: u64) -> Option<&mut Planned> {
        self.planned.get_mut(&mailbox)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Planned)> {
        self.planned.iter().map(|(id, planned)| (*id, planned))
    }

    /// Adds a mailbox, or what is new of one; it is not due then.
    pub fn insert(&mut self, mailbox: u64, planned: Planned) {
        self.remove(mailbox);
        self.planned.insert(mailbox, planned);
    }

    pub fn remove(&mut self, mailbox: u64) {
        self.clear(mailbox);
        self.planned.remove(&mailbox);
    }

    /// Sets when a mailbox is due; one that is not planned is passed over.
    pub fn set(&mut self, mailbox: u64, at: Timestamp) {
        self.clear(mailbox);
        if let Some(planned) = self.planned.get_mut(&mailbox) {
            planned.due = Some(at);
            let line = if planned.awaited { &mut self.awaited } else { &mut self.by_time };
            line.insert((at, mailbox));
        }
    }

    /// The same, unless the mailbox is due earlier, or is under way.
    pub fn pull(&mut self, mailbox: u64, at: Timestamp) {
        if self.get(mailbox).and_then(Planned::due).is_some_and(|due| due > at) {
            self.set(mailbox, at);
        }
    }

    /// Somebody waits for the next sync of a mailbox: it goes first once it is due.
    pub fn await_next(&mut self, mailbox: u64) {
        let due = self.clear(mailbox);
        if let Some(planned) = self.planned.get_mut(&mailbox) {
            planned.awaited = true;
        }
        if let Some(at) = due {
            self.set(mailbox, at);
        }
    }

    /// When the next mailbox is due.
    pub fn next(&self) -> Option<Timestamp> {
        let firsts = self.awaited.first().into_iter().chain(self.by_time.first());
        firsts.map(|(at, _)| *at).min()
    }

    /// The mailbox that is awaited and due for longest, else the one that is due for longest; it is not due any more.
    pub fn take_due(&mut self, now: Timestamp) -> Option<u64> {
        let mut firsts = self.awaited.first().into_iter().chain(self.by_time.first());
        let (_, mailbox) = *firsts.find(|(at, _)| *at <= now)?;
        self.clear(mailbox);
        Some(mailbox)
    }

    /// Takes a mailbox out of the line it stands in; when it was due.
    fn clear(&mut self, mailbox: u64) -> Option<Timestamp> {
        let planned = self.planned.get_mut(&mailbox)?;
        let due = planned.due.take()?;
        let line = if planned.awaited { &mut self.awaited } else { &mut self.by_time };
        line.remove(&(due, mailbox));
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn planned() -> Planned {
        Planned {
            owner: 1,
            generation: 1,
            active: 60,
            passive: 600,
            fresh: false,
            held: false,
            finished_at: None,
            began_at: None,
            news_at: None,
            awaited: false,
            due: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn ten_thousand_mailboxes_spread_evenly_over_their_period() {
        let mut seconds = [0u32; 600];
        for mailbox in 1..=10_000 {
            let slot = slot_after(mailbox, at(0), Duration::from_mins(10));
            seconds[usize::try_from(slot.millis() / 1000 % 600).unwrap()] += 1;
        }
        // 16.7 on average.
        assert!(seconds.iter().all(|count| (14..=20).contains(count)), "{seconds:?}");
    }

    #[test]
    fn an_active_owner_shortens_the_period() {
        let mut owners = Owners::default();
        assert_eq!(planned().period(&owners, at(0)), Duration::from_mins(10));
        owners.note(1, at(0));
        assert_eq!(planned().period(&owners, at(30)), Duration::from_mins(1));
        assert_eq!(planned().period(&owners, at(601)), Duration::from_mins(10));
    }

    #[test]
    fn the_one_that_is_due_for_longest_comes_first_and_only_once() {
        let mut table = Timetable::default();
        for (mailbox, seconds) in [(1, 30), (2, 10), (3, 20)] {
            table.insert(mailbox, planned());
            table.set(mailbox, at(seconds));
        }
        table.set(9, at(0));
        table.pull(1, at(15));
        table.pull(2, at(40));
        assert_eq!(table.next(), Some(at(10)));
        assert_eq!((table.take_due(at(9)), table.take_due(at(15)), table.take_due(at(15))), (None, Some(2), Some(1)));
        assert_eq!(table.take_due(at(15)), None);
        table.pull(2, at(0));
        assert_eq!(table.next(), Some(at(20)), "what is under way is not pulled");
        table.remove(3);
        assert_eq!(table.next(), None);
    }

    #[test]
    fn whoever_is_awaited_goes_before_all_that_are_overdue_but_not_before_their_time() {
        let mut table = Timetable::default();
        for (mailbox, seconds) in [(1, 10), (2, 20), (3, 30), (4, 90)] {
            table.insert(mailbox, planned());
            table.set(mailbox, at(seconds));
        }
        for awaited in [4, 3, 2, 9] {
            table.await_next(awaited);
        }
        assert_eq!(table.next(), Some(at(10)));
        let taken: Vec<_> = std::iter::from_fn(|| table.take_due(at(60))).collect();
        assert_eq!(taken, [2, 3, 1]);
        // What found no place yet comes back to the same line.
        table.set(1, at(61));
        table.set(3, at(62));
        assert_eq!((table.take_due(at(70)), table.next()), (Some(3), Some(at(61))));
        table.remove(4);
        assert_eq!((table.take_due(at(99)), table.take_due(at(99))), (Some(1), None));
    }

    proptest! {
        #[test]
        fn the_next_poll_is_never_later_than_the_period_and_a_little(
            mailbox in any::<u64>(),
            now in 0i64..4_000_000_000_000,
            period in 1u32..100_000,
        ) {
            let now = Timestamp::from_millis(now);
            let frequency = Duration::from_secs(u64::from(period));
            let wait = after_sync(mailbox, frequency, now).millis_since(now);
            let period = i64::from(period) * 1000;
            let close = (period / 10).min(60_000);
            prop_assert!(wait > close && wait <= period + close);
            // And from one place on the grid to the next it is exactly a period.
            let slot = slot_after(mailbox, now, frequency);
            let next = after_sync(mailbox, frequency, slot.plus(Duration::from_millis(1)));
            prop_assert_eq!(next.millis_since(slot), period);
        }
    }
}
