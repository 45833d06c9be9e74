use super::*;
use crate::domain::time::Timestamp;
use crate::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
use crate::store::Store;
use crate::store::powercut::Disk;
use crate::vault::{MasterKey, Vault};
use serde_json::json;
use std::sync::Arc;

/// A draft as two clients read it.
async fn read() -> (Store, Mailing, Content) {
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
    let runtime = Runtime { clock, random: Arc::new(SeededRandom::new(1)), failpoints: Arc::new(NoFailpoints) };
    let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(7)));
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault, runtime).unwrap();
    let old = Content { subject: Some("before".into()), text: Some("before".into()), ..Content::default() };
    let content = old.clone();
    let made = store.write(move |work| {
        let now = work.now();
        let mailing: Mailing = serde_json::from_value(json!({
            "id": 0, "mailbox_id": 1, "user_id": 1, "mailbox_address": "ann@demo.test", "created_at": now,
            "updated_at": now, "state": "drafted", "state_changed_at": now, "mailing_type": "single",
            "message_id": "1@demo.test",
            "recipients": [{"id": 0, "kind": "to", "name": null, "address": "b@demo.test", "outcome": null}],
        }))
        .unwrap();
        work.create_mailing(mailing, &content)
    });
    let mailing = made.await.unwrap();
    (store, mailing, old)
}

async fn saved(store: &Store, read: &Mailing, old: &Content, new: Content) -> Result<Mailing, Refusal> {
    let (read, old, change) = (read.clone(), old.clone(), base(read, new));
    store.write(move |work| save(work, &read, &old, &change)).await
}

#[tokio::test]
async fn of_two_edits_of_one_reading_the_second_is_refused_and_changes_nothing() {
    let (store, mailing, old) = read().await;
    let first = Content { subject: Some("after".into()), ..old.clone() };
    let second = Content { text: Some("after".into()), ..old.clone() };
    let after = saved(&store, &mailing, &old, first.clone()).await.unwrap();
    assert_eq!(after.revision, mailing.revision + 1);
    let refused = saved(&store, &mailing, &old, second).await;
    let Err(Refusal::Conflict(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("changed by somebody else"), "{why}");
    assert_eq!(content(&store.read().unwrap(), mailing.id).unwrap(), first);
    // Whoever reads again is heard.
    let both = Content { text: Some("after".into()), ..first.clone() };
    saved(&store, &after, &first, both.clone()).await.unwrap();
    assert_eq!(content(&store.read().unwrap(), mailing.id).unwrap(), both);
}

#[tokio::test]
async fn an_edit_of_what_was_deleted_meanwhile_finds_nothing() {
    let (store, mailing, old) = read().await;
    let gone = mailing.clone();
    store.write(move |work| work.delete_mailing(&gone)).await.unwrap();
    let refused = saved(&store, &mailing, &old, Content::default()).await;
    assert!(matches!(refused, Err(Refusal::NotFound(_, id)) if id == mailing.id), "{refused:?}");
}
