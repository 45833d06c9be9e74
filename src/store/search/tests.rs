use super::*;
use crate::domain::list::{Filter, ListQuery, Page, SortKey, Test};
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::domain::words::terms;
use crate::runtime::{Runtime, SeededRandom};
use crate::store::{Store, list};
use crate::vault::{MasterKey, Vault};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn store(folder: &std::path::Path) -> Store {
    let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
    Store::open(&folder.join("store.redb"), 1 << 20, vault, Runtime::system()).unwrap()
}

fn message(mailbox: u64, received_at: i64) -> Message {
    serde_json::from_value(serde_json::json!({
        "id": 0, "mailbox_id": mailbox, "direction": "inbound", "message_id": null, "in_reply_to": [],
        "references": [], "from": [], "to": [], "cc": [], "bcc": [], "reply_to": [], "subject": null, "snippet": "",
        "sent_at": null, "received_at": Timestamp::from_millis(received_at), "folder": "INBOX", "flags": [], "size": 3,
        "classification": "other", "attachments": [], "authentication_results": [], "parse_problems": [],
        "created_at": Timestamp::from_millis(0), "mailing_id": null,
    }))
    .unwrap()
}

/// Stores messages with these texts in one commit.
async fn add(store: &Store, texts: &[&str]) -> Vec<u64> {
    let words: Vec<Words> = texts.iter().map(|text| Words::of([*text])).collect();
    store
        .write(move |work| {
            let mut ids = Vec::new();
            for (number, of_one) in words.iter().enumerate() {
                let time = i64::try_from(number).unwrap();
                let identity = format!("{} {number}", of_one.iter().collect::<String>());
                ids.push(work.create_message(message(1 + number as u64 % 3, time), &identity, b"")?);
            }
            let all: Vec<Option<u64>> = ids.iter().copied().map(Some).collect();
            work.index_words(&WordsOfBatch::of(&words), &all)?;
            Ok::<_, StoreError>(ids)
        })
        .await
        .unwrap()
}

fn found(store: &Store, query: &str) -> Vec<u64> {
    search(&store.read().unwrap(), &terms(query)).unwrap()
}

async fn begin_merge(store: &Store) -> Option<Merge> {
    let begun = store.write(|work| {
        let merge = work.begin_merge()?;
        Ok::<_, StoreError>(merge)
    });
    begun.await.unwrap()
}

/// Merges as long as there is anything to merge, and sweeps; how many merges.
async fn tidy(store: &Store) -> usize {
    let mut merges = 0;
    while let Some(mut merge) = begin_merge(store).await {
        merges += 1;
        loop {
            let merged = Arc::new(merge.next(&store.read().unwrap()).unwrap());
            let step = merge.clone();
            match store.write(move |work| work.put_merged(&step, &merged)).await.unwrap() {
                Some(rest) => merge = rest,
                None => break,
            }
        }
    }
    while store.write(|work| work.sweep_segments(50)).await.unwrap() {}
    merges
}

fn rows(store: &Store, table: Table) -> u64 {
    store.read().unwrap().rows(table).unwrap()
}

#[tokio::test]
async fn messages_are_found_by_all_of_the_words_and_the_beginning_of_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let ids = add(&store, &["Red apples from Łódź", "green apple pie", "東京の天気", "red"]).await;
    assert_eq!(found(&store, "RED "), [ids[0], ids[3]]);
    assert_eq!(found(&store, "red apples"), [ids[0]]);
    assert_eq!(found(&store, "appl"), [ids[0], ids[1]]);
    assert_eq!(found(&store, "apple "), [ids[1]]);
    assert_eq!(found(&store, "lodz"), [ids[0]]);
    assert_eq!(found(&store, "天気"), [ids[2]]);
    assert_eq!(found(&store, "京"), [ids[2]]);
    assert_eq!(found(&store, "気"), [ids[2]]);
    assert!(found(&store, "red nothing").is_empty());
}

#[tokio::test]
async fn segments_are_merged_swept_and_lose_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for batch in 0..70 {
        let texts: Vec<String> = (0..5).map(|n| format!("common even{} w{batch} x{n}", (batch * 5 + n) % 2)).collect();
        let ids = add(&store, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for (text, id) in texts.iter().zip(ids) {
            text.split(' ').for_each(|word| expected.entry(format!("{word} ")).or_default().push(id));
        }
    }
    let check = |expected: &BTreeMap<String, Vec<u64>>| {
        for (word, ids) in expected {
            assert_eq!(found(&store, word), *ids, "{word}");
        }
    };
    check(&expected);
    assert_eq!(rows(&store, SEARCH_SEGMENTS), 70);
    assert!(tidy(&store).await >= 8);
    assert!(rows(&store, SEARCH_SEGMENTS) < 16, "{}", rows(&store, SEARCH_SEGMENTS));
    check(&expected);

    // What is gone leaves with the next merge.
    let gone: Vec<u64> = expected["even0 "].clone();
    let forgotten = gone.clone();
    store.write(move |work| work.forget_messages(&forgotten)).await.unwrap();
    assert_eq!(found(&store, "even0 "), gone, "whoever reads looks whether it is there");
    let later: Vec<String> = (0..64).map(|number| format!("later x{number}")).collect();
    let later: Vec<&str> = later.iter().map(String::as_str).collect();
    for _ in 0..8 {
        add(&store, &later).await;
    }
    // The last few that were too few for a merge so far.
    for _ in 0..2 {
        add(&store, &later[..5]).await;
    }
    tidy(&store).await;
    assert!(found(&store, "even0 ").is_empty());
    assert_eq!(found(&store, "common "), expected["even1 "]);
    assert_eq!(found(&store, "later ").len(), 8 * 64 + 2 * 5);
    assert!(rows(&store, SEARCH_SEGMENTS) <= 21);
}

#[tokio::test]
async fn a_merge_that_was_cut_off_changes_nothing_and_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for batch in 0..8 {
        add(&store, &[&format!("common w{batch}")]).await;
    }
    let before = rows(&store, SEARCH_BLOCKS);
    let merge = begin_merge(&store).await.unwrap();
    let merged = Arc::new(Merged { last: Some("w3".into()), ..merge.next(&store.read().unwrap()).unwrap() });
    store.write(move |work| work.put_merged(&merge, &merged)).await.unwrap().expect("it is not done");
    assert!(rows(&store, SEARCH_BLOCKS) > before);
    assert_eq!(found(&store, "common ").len(), 8);
    while store.write(|work| work.sweep_segments(1)).await.unwrap() {}
    assert_eq!(rows(&store, SEARCH_BLOCKS), before);
    assert_eq!(found(&store, "common ").len(), 8);
}

#[tokio::test]
async fn a_common_word_goes_over_many_blocks_and_is_merged_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut all = Vec::new();
    for batch in 0..8 {
        let texts = vec!["a common zebra"; 3_000];
        let texts: Vec<String> = texts.iter().enumerate().map(|(n, text)| format!("{text} n{batch}x{n}")).collect();
        all.extend(add(&store, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await);
    }
    assert_eq!(found(&store, "common zebra "), all);
    assert_eq!(tidy(&store).await, 1);
    assert_eq!(rows(&store, SEARCH_SEGMENTS), 1);
    for query in ["common ", "a zebra ", "zebr"] {
        assert_eq!(found(&store, query), all, "{query}");
    }
    assert_eq!(found(&store, "n7x2999"), [all[all.len() - 1]]);
}

/// What a list of found messages has to be, worked out one by one.
fn expected(all: &[Message], query: &ListQuery) -> Vec<u64> {
    let among: BTreeSet<u64> = query.among.as_ref().unwrap().iter().copied().collect();
    let holds = |filter: &Filter, message: &Message| match (&filter.test, filter.field.as_str()) {
        (Test::OneOf(values), "mailbox.id") => values.contains(&message.mailbox_id.into()),
        _ => unreachable!(),
    };
    let mut found: Vec<&Message> = all
        .iter()
        .filter(|message| among.contains(&message.id) && query.filters.iter().all(|filter| holds(filter, message)))
        .collect();
    match query.sort.first() {
        Some(key) if key.descending => {
            found.sort_by_key(|message| std::cmp::Reverse((message.received_at, message.id)));
        }
        Some(_) => found.sort_by_key(|message| (message.received_at, message.id)),
        None => found.sort_by_key(|message| message.id),
    }
    found.iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn found_messages_are_listed_in_any_order_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let ids = add(&store, &vec!["common"; 2_500]).await;
    let all: Vec<Message> = list(&store.read().unwrap(), &ListQuery::all().size(5_000)).unwrap().items;
    for (among, mailboxes) in [(2_500, vec![]), (2_500, vec![2]), (2_500, vec![1, 3]), (90, vec![]), (90, vec![1, 2])] {
        for sort in [None, Some(false), Some(true)] {
            let mut query = ListQuery { among: Some(ids[..among].into()), ..ListQuery::all().size(170) };
            if !mailboxes.is_empty() {
                let values = mailboxes.iter().map(|id: &u64| (*id).into()).collect();
                query = query.and("mailbox.id", Test::OneOf(values));
            }
            query.sort =
                sort.map(|descending| SortKey { field: "receivedAt".into(), descending }).into_iter().collect();
            let wanted = expected(&all, &query);
            let (mut seen, mut pages) = (Vec::new(), 0);
            loop {
                let page = list::<Message>(&store.read().unwrap(), &query).unwrap();
                let count = page.count.unwrap();
                assert!(count.truncated || count.matches == wanted.len(), "{count:?}");
                seen.extend(page.items.iter().map(|message| message.id));
                pages += 1;
                assert!(pages < 40);
                let Some(next) = page.next else { break };
                query.page = Page::After(next);
            }
            assert_eq!(seen, wanted, "{among} {mailboxes:?} {sort:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn the_index_finds_what_looking_at_every_message_finds(
        texts in proptest::collection::vec(proptest::collection::vec("[ab]{1,3}", 0..5), 1..60),
        queries in proptest::collection::vec("[ab]{1,3}( [ab]{1,3})? ?", 1..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = store(folder.path());
            let mut ids = Vec::new();
            for (number, words) in texts.iter().enumerate() {
                let text = words.join(" ");
                let unique = format!("{text} u{number}");
                ids.push((add(&store, &[&unique]).await[0], words.clone()));
                if number % 17 == 16 {
                    tidy(&store).await;
                }
            }
            for query in &queries {
                let wanted: Vec<u64> = ids
                    .iter()
                    .filter(|(_, words)| {
                        terms(query).iter().all(|term| {
                            words.iter().any(|word| *word == term.word || (term.is_beginning && word.starts_with(&term.word)))
                        })
                    })
                    .map(|(id, _)| *id)
                    .collect();
                assert_eq!(found(&store, query), wanted, "{query:?}");
            }
        });
    }
}
