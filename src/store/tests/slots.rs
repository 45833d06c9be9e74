use super::*;

#[tokio::test]
async fn slots_answer_for_any_window() {
    let (runtime, clock) = runtime();
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault(1), runtime).unwrap();
    let start = store.moment().steady;
    let second = |number| start.plus(Duration::from_secs(number));
    for mailing in 0..5 {
        store
            .write(move |work| {
                work.hold_slot(7, mailing, mailing + 1)?;
                if mailing == 3 { work.free_slot(7, mailing) } else { work.spend_slot(7, mailing).map(drop) }
            })
            .await
            .unwrap();
        clock.advance(Duration::from_secs(1));
    }
    store.write(|work| work.hold_slot(7, 9, 2)).await.unwrap();
    store.write(|work| work.spend_slot(8, 10)).await.unwrap();
    let snapshot = store.read().unwrap();
    let seen = slots(&snapshot, 7).unwrap();
    // Spent at 0, 1, 2 and 4 seconds for 1, 2, 3 and 5 recipients; one more is under way.
    let nth: Vec<_> = (0..6).map(|nth| seen.nth_latest(nth).unwrap()).collect();
    assert_eq!(nth, [None, Some(second(4)), Some(second(2)), Some(second(1)), Some(second(0)), None]);
    assert_eq!((seen.held(), seen.held_recipients()), (1, 2));
    assert_eq!(seen.spent_after(second(1)).unwrap(), 2);
    assert_eq!(seen.recipients_after(second(0)).unwrap(), 10);
    assert_eq!(seen.first_after(second(2)).unwrap(), Some(second(4)));
    assert_eq!(seen.last_beyond_recipients(8).unwrap(), Some(second(1)));
    assert_eq!(seen.last_beyond_recipients(11).unwrap(), None);
    let other = slots(&snapshot, 9).unwrap();
    assert_eq!((other.nth_latest(1).unwrap(), other.spent_after(start).unwrap()), (None, 0));
    assert_eq!(other.last_beyond_recipients(0).unwrap(), None);
}

/// A reader that counts the rows it is asked for.
pub(super) struct Counted<'r>(pub &'r crate::store::Snapshot, pub std::cell::Cell<usize>);

impl crate::store::reader::Reader for Counted<'_> {
    fn with<T>(&self, table: tables::Table, key: &[u8], see: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        self.1.update(|rows| rows + 1);
        self.0.with(table, key, see)
    }

    fn scan(
        &self,
        table: tables::Table,
        keys: crate::store::reader::Keys,
        backwards: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> crate::store::reader::Visit,
    ) -> Result<(), StoreError> {
        self.0.scan(table, keys, backwards, |key, value| {
            self.1.update(|rows| rows + 1);
            visit(key, value)
        })
    }

    fn rows(&self, table: tables::Table) -> Result<u64, StoreError> {
        self.0.rows(table)
    }

    fn shortage(&self) -> Option<Shortage> {
        self.0.shortage()
    }
}

#[tokio::test]
async fn a_window_of_five_thousand_slots_costs_about_the_same_as_one_of_five() {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    let spend = async |mailbox: u64, count: u64| {
        let work =
            store.write(move |work| (0..count).try_for_each(|mailing| work.spend_slot(mailbox, mailing).map(drop)));
        work.await.unwrap();
    };
    spend(1, 5).await;
    spend(2, 5_000).await;
    let cost = |mailbox: u64, count: u64| {
        let snapshot = store.read().unwrap();
        let reader = Counted(&snapshot, std::cell::Cell::new(0));
        let seen = slots(&reader, mailbox).unwrap();
        assert!(seen.nth_latest(count).unwrap().is_some() && seen.nth_latest(count + 1).unwrap().is_none());
        let moment = store.moment().steady;
        assert_eq!(seen.spent_after(moment.minus(Duration::from_hours(24))).unwrap(), count);
        assert_eq!(seen.recipients_after(moment.minus(Duration::from_hours(24))).unwrap(), count);
        reader.1.get()
    };
    let (few, many) = (cost(1, 5), cost(2, 5_000));
    assert!(few <= 12 && many <= 34, "{few} and {many} rows");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    /// Whichever slots were given back, every answer is the one of a plain list without them.
    #[test]
    fn slots_given_back_count_nowhere(steps in proptest::collection::vec((1_u64..5, 0_u64..4, proptest::bool::ANY), 1..30)) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let (runtime, clock) = runtime();
            let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault(1), runtime).unwrap();
            let start = store.moment().steady;
            let (mut left, mut back) = (Vec::new(), Vec::new());
            for (mailing, (recipients, pause, given_back)) in (0_u64..).zip(&steps) {
                let recipients = *recipients;
                let spend = store.write(move |work| {
                    work.hold_slot(1, mailing, recipients)?;
                    work.spend_slot(1, mailing)
                });
                let number = spend.await.unwrap();
                if *given_back { back.push(number) } else { left.push((store.moment().steady, recipients)) }
                clock.advance(Duration::from_millis(*pause));
            }
            // Given back later, in another order, and one of them twice.
            back.reverse();
            back.extend(back.first().copied());
            store.write(move |work| back.iter().try_for_each(|number| work.return_slot(1, *number))).await.unwrap();
            let snapshot = store.read().unwrap();
            let seen = slots(&snapshot, 1).unwrap();
            for nth in 0..=steps.len() + 1 {
                let wanted = left.len().checked_sub(nth).filter(|_| nth > 0).map(|index| left[index].0);
                assert_eq!(seen.nth_latest(nth as u64).unwrap(), wanted, "{nth}");
            }
            for millis in 0..100 {
                let moment = start.plus(Duration::from_millis(millis)).minus(Duration::from_millis(1));
                let inside = || left.iter().filter(|(at, _)| *at > moment);
                assert_eq!(seen.spent_after(moment).unwrap(), inside().count() as u64);
                assert_eq!(seen.recipients_after(moment).unwrap(), inside().map(|(_, recipients)| recipients).sum::<u64>());
                assert_eq!(seen.first_after(moment).unwrap(), inside().next().map(|(at, _)| *at));
            }
            for room in 0..150 {
                let fits = |from: usize| left[from..].iter().map(|(_, recipients)| recipients).sum::<u64>() <= room;
                let stays = (0..=left.len()).find(|from| fits(*from)).unwrap();
                let wanted = stays.checked_sub(1).map(|leaves| left[leaves].0);
                assert_eq!(seen.last_beyond_recipients(room).unwrap(), wanted, "{room}");
            }
        });
    }
}

#[tokio::test]
async fn a_slot_that_is_forgotten_is_not_given_back() {
    let (runtime, clock) = runtime();
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault(1), runtime).unwrap();
    let number = store.write(|work| work.spend_slot(1, 1)).await.unwrap();
    store.write(move |work| work.return_slot(1, number)).await.unwrap();
    clock.advance(Duration::from_hours(9 * 24));
    // The next two take the old one along, with what was noted about it.
    for mailing in 2..4 {
        store.write(move |work| work.spend_slot(1, mailing)).await.unwrap();
    }
    assert_eq!(store.read().unwrap().rows(tables::SLOTS_RETURNED).unwrap(), 0);
    store.write(move |work| work.return_slot(1, number)).await.unwrap();
    assert_eq!(store.read().unwrap().rows(tables::SLOTS_RETURNED).unwrap(), 0);
}
