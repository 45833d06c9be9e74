use super::*;
use crate::domain::list::{Filter, Page, Scalar, SortKey, Test};
use proptest::prelude::*;

/// Walks a list page by page and returns the ids in the order in which they came.
fn walk(store: &Store, query: &ListQuery, backwards: bool) -> Vec<u64> {
    let snapshot = store.read().unwrap();
    let mut ids = Vec::new();
    let mut query = query.clone();
    loop {
        let page = list::<Mailing>(&snapshot, &query).unwrap();
        assert!(page.items.len() <= query.size);
        let on_page: Vec<u64> = page.items.iter().map(|mailing| mailing.id).collect();
        if backwards {
            ids.splice(0..0, on_page);
        } else {
            ids.extend(on_page);
        }
        query.page = match if backwards { page.prev.map(Page::Before) } else { page.next.map(Page::After) } {
            Some(next) => next,
            None => return ids,
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever the index, sort and page size: the walk is what filtering and sorting everything would give.
    #[test]
    fn every_walk_is_complete_and_in_order(rows in prop::collection::vec((1_u64..4, 0_i64..5), 0..40), size in 1_usize..7) {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
        let records: Vec<_> = rows.iter().map(|(mailbox, due)| mailing(*mailbox, *due)).collect();
        tokio.block_on(store.write({
            let records = records.clone();
            move |work| {
                for record in &records {
                    work.create_mailing(record.clone(), &Content::default())?;
                }
                Ok::<_, StoreError>(())
            }
        })).unwrap();
        let by_mailbox = Filter { field: "mailbox.id".into(), test: Test::OneOf(vec![Scalar::Integer(2)]) };
        let by_two = Filter { field: "mailbox.id".into(), test: Test::OneOf(vec![Scalar::Integer(3), Scalar::Integer(1)]) };
        let late = Filter { field: "createdAt".into(), test: Test::Range { from: Some(Timestamp::from_millis(2).into()), to: None } };
        let named = |ids: &[i64]| Filter { field: "id".into(), test: Test::OneOf(ids.iter().map(|id| Scalar::Integer(*id)).collect()) };
            let by_id = vec![named(&[9, 2, 7, 2, 99]), by_two.clone(), named(&[1, 2, 7, 9, 30])];
            for filters in [vec![], vec![by_mailbox.clone()], vec![by_two.clone()], vec![late.clone()], vec![by_mailbox.clone(), late], vec![by_two, by_mailbox], by_id] {
            for sort in [vec![], vec![("createdAt", false)], vec![("createdAt", true)], vec![("id", true)], vec![("mailbox.id", true), ("createdAt", false)]] {
                let query = ListQuery {
                    filters: filters.clone(),
                    sort: sort.iter().map(|(field, descending)| SortKey { field: (*field).into(), descending: *descending }).collect(),
                    page: Page::Start,
                    size,
                    count: true,
                    among: None,
                };
                let mut expected: Vec<Mailing> = records.iter().enumerate()
                    .map(|(index, record)| Mailing { id: index as u64 + 1, ..record.clone() })
                    .filter(|record| filters.iter().all(|filter| filter.test.holds(&crate::domain::list::Listed::field(record, &filter.field).unwrap())))
                    .collect();
                expected.sort_by(|a, b| {
                    let mut order = std::cmp::Ordering::Equal;
                    for (field, descending) in &sort {
                        let (x, y) = (crate::domain::list::Listed::field(a, field), crate::domain::list::Listed::field(b, field));
                        order = order.then(if *descending { y.cmp(&x) } else { x.cmp(&y) });
                    }
                    let ids = a.id.cmp(&b.id);
                    order.then(if sort.first().is_some_and(|key| key.1) { ids.reverse() } else { ids })
                });
                let expected: Vec<u64> = expected.iter().map(|record| record.id).collect();
                prop_assert_eq!(&walk(&store, &query, false), &expected);
                let count = list::<Mailing>(&store.read().unwrap(), &query).unwrap().count.unwrap();
                prop_assert_eq!(count.matches, expected.len());
                let offset = ListQuery { page: Page::Offset(2), ..query.clone() };
                let page = list::<Mailing>(&store.read().unwrap(), &offset).unwrap();
                let ids: Vec<u64> = page.items.iter().map(|record| record.id).collect();
                prop_assert_eq!(ids, expected.iter().copied().skip(2).take(size).collect::<Vec<_>>());
                if let Some(last) = expected.last() {
                    let record = records[usize::try_from(*last).unwrap() - 1].clone();
                    let keys = sort.iter().map(|(field, _)| crate::domain::list::Listed::field(&Mailing { id: *last, ..record.clone() }, field).unwrap()).collect();
                    let backwards = ListQuery { page: Page::Before(crate::domain::list::Cursor { keys, id: *last }), ..query.clone() };
                    prop_assert_eq!(walk(&store, &backwards, true), expected[..expected.len() - 1].to_vec());
                }
            }
        }
    }
}
