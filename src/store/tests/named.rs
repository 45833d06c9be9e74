use super::slots::Counted;
use super::*;
use crate::domain::list::{Scalar, SortKey, Test};
use crate::domain::message::Message;
use std::cell::Cell;

fn named(ids: impl IntoIterator<Item = i64>) -> ListQuery {
    ListQuery::all().and("id", Test::OneOf(ids.into_iter().map(Scalar::Integer).collect()))
}

#[tokio::test]
async fn records_that_are_named_by_their_ids_are_looked_up_however_many_there_are() {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    let many = store.write(|work| {
        (1..=500).try_for_each(|number| work.create_user(user(&format!("user{number}@example.org"))).map(drop))
    });
    many.await.unwrap();
    let snapshot = store.read().unwrap();
    let looked_up = |query: &ListQuery| {
        let reader = Counted(&snapshot, Cell::new(0));
        let listing = list::<User>(&reader, query).unwrap();
        let ids: Vec<u64> = listing.items.iter().map(|user| user.id).collect();
        assert_eq!(listing.count.map(|count| (count.matches, count.truncated)), Some((ids.len(), false)));
        assert!(reader.1.get() < 20, "{} rows for {query:?}", reader.1.get());
        ids
    };
    assert_eq!(looked_up(&named([400, 7, 7, -1, 999])), [7, 400]);
    let newest = SortKey { field: "id".into(), descending: true };
    assert_eq!(looked_up(&ListQuery { sort: vec![newest], ..named([400, 7]) }), [400, 7]);
    // Every other condition holds beside it.
    let email = Test::OneOf(vec!["user7@example.org".into()]);
    assert_eq!(looked_up(&named([400, 7]).and("email", email)), [7]);
    assert_eq!(looked_up(&named([400, 7]).and("id", Test::OneOf(vec![Scalar::Integer(400)]))), [400]);
    assert_eq!(looked_up(&ListQuery { among: Some([7, 8].into()), ..named([400, 7]) }), [7]);
    assert!(looked_up(&named([])).is_empty());
}

/// The index holds those alone that have a value.
#[tokio::test]
async fn what_has_no_value_is_found_where_a_list_asks_for_it_among_others() {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    let made = store.write(|work| {
        for mailing_id in [Some(5), None, Some(6)] {
            let message = Message { mailing_id, ..super::format_1::message() };
            work.create_message(message, &format!("{mailing_id:?}"), b"Subject: s\r\n\r\nText\r\n")?;
        }
        Ok::<_, StoreError>(())
    });
    made.await.unwrap();
    let snapshot = store.read().unwrap();
    let found = |values: Vec<Scalar>| -> Vec<u64> {
        let query = ListQuery::all().and("mailing.id", Test::OneOf(values));
        list::<Message>(&snapshot, &query).unwrap().items.iter().map(|message| message.id).collect()
    };
    assert_eq!(found(vec![Scalar::Integer(5)]), [1]);
    assert_eq!(found(vec![Scalar::Integer(5), Scalar::Null]), [1, 2]);
}
