//! Syncs that a test asks for, and the event log that they leave behind.

use super::binary::Home;
use super::client::{Client, Request};
use postroom::domain::event::EventKind;
use postroom::domain::time::Timestamp;
use postroom::runtime::Runtime;
use postroom::store::{Store, events_after};
use postroom::vault::{KeyFile, Vault};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub async fn sync_now(client: &Client, mailbox: u64) {
    let path = format!("/api/v2/mailboxes/{mailbox}/actions/sync");
    // Too many requests in a row are refused; there will be others.
    let _ = client.try_send(Request { method: "POST", path: &path, ..Request::default() }).await;
}

/// Exactly one sync, whatever it comes to; nobody else may be asking.
pub async fn one_sync(client: &Client, mailbox: u64) -> Value {
    let path = format!("/api/v2/mailboxes/{mailbox}");
    let shown = async || client.get(&path).await.expect(200).json["data"]["attributes"].clone();
    let ended = |shown: &Value| [&shown["syncFinishedAt"], &shown["syncErroredAt"]].map(Value::to_string);
    let before = ended(&shown().await);
    sync_now(client, mailbox).await;
    for _ in 0..1200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let shown = shown().await;
        if ended(&shown) != before {
            return shown;
        }
    }
    panic!("the sync does not end");
}

/// A sync that begins after this call and ends well: of two that end, the second.
pub async fn quiet_sync(client: &Client, mailbox: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let mut since = i64::try_from(now.as_millis()).expect("a time in range");
    for _ in 0..2 {
        since = next_success(client, mailbox, since).await;
    }
}

/// When, after a moment, a sync ended well, in milliseconds since 1970.
async fn next_success(client: &Client, mailbox: u64, since: i64) -> i64 {
    let mut shown = Value::Null;
    for turn in 0..1200 {
        if turn % 40 == 0 {
            sync_now(client, mailbox).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = client.get(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(200);
        shown = answer.json["data"]["attributes"].clone();
        let success = shown["syncSuccessAt"].as_str().and_then(Timestamp::parse).map_or(0, Timestamp::millis);
        if shown["syncState"] == "ok" && success > since {
            return success;
        }
    }
    panic!("no sync ended well: {shown:#}");
}

/// How often each message was announced as new, by the log of a store that nobody serves now.
pub async fn announced(home: &Home, mailbox: u64) -> BTreeMap<u64, u32> {
    let key = KeyFile::at(&home.key_file(), &home.data()).and_then(|file| file.load()).expect("the key");
    let path = home.data().join("postroom.redb");
    let store = Store::open(&path, 64 << 20, Vault::new(&key), Runtime::system()).expect("the store");
    let (mut after, mut times) = (0, BTreeMap::new());
    loop {
        let events = store.read().and_then(|snapshot| events_after(&snapshot, after, 1000)).expect("the event log");
        let Some(last) = events.last() else { break };
        after = last.id;
        for event in events {
            if event.kind == EventKind::MessageCreated && event.mailbox_id == Some(mailbox) {
                *times.entry(event.message_id.expect("a message")).or_default() += 1;
            }
        }
    }
    assert!(store.close().await, "nobody else holds the store");
    times
}
