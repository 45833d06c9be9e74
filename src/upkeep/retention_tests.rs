use super::*;
use crate::domain::event::{Event, EventKind};
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::runtime::{ManualClock, Runtime, SeededRandom};
use crate::store::{
    Placed, ServerPlace, Work, events_after, get, latest_event, message_at, message_by_identity, places_of, raw,
};
use crate::vault::{MasterKey, Vault};
use std::sync::Arc;

const DAY: Duration = Duration::from_hours(24);

fn store(folder: &std::path::Path) -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
    let runtime = Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), ..Runtime::system() };
    let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
    (Store::open(&folder.join("store.redb"), 1 << 20, vault, runtime).unwrap(), clock)
}

fn kept(messages: Option<Duration>, deleted: Option<Duration>) -> Kept {
    Kept {
        messages: Retention { messages, bodies: None, deleted },
        octets: None,
        events: 30 * DAY,
        events_most: 1_000_000,
    }
}

fn place(uid: u32) -> ServerPlace<'static> {
    ServerPlace { mailbox: 1, folder: "INBOX\0", uid_validity: 7, uid }
}

/// Stores a message of the mailbox 1 with a place on the server.
fn receive(work: &mut Work, uid: u32, received_at: Option<Timestamp>) -> Result<u64, StoreError> {
    let message: Message = serde_json::from_value(serde_json::json!({
        "id": 0, "mailbox_id": 1, "direction": "inbound", "message_id": format!("{uid}@x"), "in_reply_to": [],
        "references": [], "from": [], "to": [], "cc": [], "bcc": [], "reply_to": [], "subject": null, "snippet": "",
        "sent_at": null, "received_at": received_at, "folder": "INBOX", "flags": [], "size": 3,
        "classification": "other", "attachments": [], "authentication_results": [], "parse_problems": [],
        "created_at": work.now(), "mailing_id": null,
    }))
    .unwrap();
    let id = work.create_message(message, &format!("identity {uid}"), b"raw")?;
    work.identify_message(1, &format!("<{uid}@x>"), id)?;
    work.place_message(&place(uid), id, &Placed { folder: "INBOX".into(), flags: Vec::new() })?;
    Ok(id)
}

async fn round(store: &Store, kept: Kept) -> usize {
    forget(store, kept, &CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn old_messages_go_and_what_stands_for_them_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = store(folder.path());
    let count = u32::try_from(WINDOW + BATCH).unwrap();
    store
        .write(move |work| {
            let now = work.now();
            for uid in 1..=count {
                let received = (uid % 5 > 0).then(|| now.minus(if uid % 5 == 1 { 9 * DAY } else { DAY }));
                receive(work, uid, received)?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    assert_eq!(round(&store, kept(None, Some(DAY))).await, 0, "kept for ever, unless it is said otherwise");
    assert_eq!(round(&store, kept(Some(10 * DAY), None)).await, 0);
    let fifth = usize::try_from(count / 5).unwrap();
    assert_eq!(round(&store, kept(Some(8 * DAY), None)).await, fifth);
    let snapshot = store.read().unwrap();
    for uid in 1..=count {
        let (id, is_old) = (u64::from(uid), uid % 5 == 1);
        assert_eq!(get::<Message>(&snapshot, id).unwrap().is_none(), is_old, "{uid}");
        assert_eq!(raw(&snapshot, id).unwrap().is_none(), is_old);
        assert_eq!(places_of(&snapshot, id).unwrap(), usize::from(!is_old));
        // The server still has it: it is known there, and not taken for new.
        assert_eq!(message_at(&snapshot, &place(uid)).unwrap(), Some(if is_old { 0 } else { id }));
        for identity in [format!("identity {uid}"), format!("<{uid}@x>")] {
            assert_eq!(message_by_identity(&snapshot, 1, &identity).unwrap(), (!is_old).then_some(id));
        }
    }
    drop(snapshot);
    // Without a date of its own a message counts from when it was stored.
    clock.advance(8 * DAY);
    assert_eq!(round(&store, kept(Some(8 * DAY), None)).await, 3 * fifth);
    clock.advance(Duration::from_millis(1));
    assert_eq!(round(&store, kept(Some(8 * DAY), None)).await, fifth);
}

#[tokio::test]
async fn what_the_server_has_no_longer_is_kept_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = store(folder.path());
    store
        .write(|work| {
            for uid in 1..=3 {
                receive(work, uid, None)?;
            }
            work.vanish(&place(2))
        })
        .await
        .unwrap();
    clock.advance(30 * DAY);
    assert_eq!(round(&store, kept(None, Some(30 * DAY))).await, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(round(&store, kept(None, Some(30 * DAY))).await, 1);
    let snapshot = store.read().unwrap();
    assert!(get::<Message>(&snapshot, 2).unwrap().is_none());
    assert_eq!(message_at(&snapshot, &place(2)).unwrap(), None, "there it is new if it comes back");
    assert!(get::<Message>(&snapshot, 1).unwrap().is_some() && get::<Message>(&snapshot, 3).unwrap().is_some());
}

#[tokio::test]
async fn bodies_go_by_age_and_by_size_the_oldest_first_and_only_where_a_server_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store(folder.path());
    store
        .write(|work| {
            let now = work.now();
            for uid in 1..=6 {
                // The first is the newest.
                receive(work, uid, Some(now.minus(uid * 10 * DAY)))?;
            }
            work.vanish(&place(6))
        })
        .await
        .unwrap();
    let stored = || {
        let snapshot = store.read().unwrap();
        let is_stored = |id: &u64| {
            let kept = get::<Message>(&snapshot, *id).unwrap().unwrap().body_stored;
            assert_eq!(raw(&snapshot, *id).unwrap().is_some(), kept);
            kept
        };
        (1..=6).filter(is_stored).collect::<Vec<_>>()
    };
    let by_age = |days: u32| Kept {
        messages: Retention { bodies: Some(days * DAY), ..Retention::default() },
        ..kept(None, None)
    };
    assert_eq!(round(&store, by_age(100)).await, 0);
    assert_eq!(stored(), [1, 2, 3, 4, 5, 6]);
    round(&store, by_age(45)).await;
    assert_eq!(stored(), [1, 2, 3, 4, 6], "what no server has stays");
    // Three octets each.
    let by_size = |octets| Kept { octets: Some(octets), ..kept(None, None) };
    round(&store, by_size(15)).await;
    assert_eq!(stored(), [1, 2, 3, 4, 6]);
    round(&store, by_size(8)).await;
    assert_eq!(stored(), [1, 2, 6]);
    // The record is whole but for its octets, and its place is known.
    assert_eq!(message_at(&store.read().unwrap(), &place(5)).unwrap(), Some(5));
    assert_eq!(places_of(&store.read().unwrap(), 5).unwrap(), 1);
}

#[tokio::test]
async fn the_event_log_is_bounded_by_age_and_by_number_and_never_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = store(folder.path());
    let fill = |count: usize| {
        move |work: &mut Work| {
            let now = work.now();
            (0..count).try_for_each(|_| work.event(Event::new(EventKind::MailboxSynced, now)).map(|_| ()))
        }
    };
    let ids = |store: &Store| {
        let events = events_after(&store.read().unwrap(), 0, usize::MAX).unwrap();
        (events.first().map(|event| event.id), events.len())
    };
    store.write(fill(EVENTS + 100)).await.unwrap();
    clock.advance(DAY);
    store.write(fill(400)).await.unwrap();
    let last = u64::try_from(EVENTS + 500).unwrap();
    let kept = |events_most: u64, days: u32| Kept { events_most, events: days * DAY, ..kept(None, None) };
    round(&store, kept(1_000_000, 1)).await;
    assert_eq!(ids(&store), (Some(1), EVENTS + 500));
    round(&store, kept(last - 10, 1)).await;
    assert_eq!(ids(&store), (Some(11), EVENTS + 490));
    clock.advance(Duration::from_millis(1));
    round(&store, kept(1_000_000, 1)).await;
    assert_eq!(ids(&store), (Some(last - 399), 400));
    clock.advance(2 * DAY);
    round(&store, kept(1_000_000, 1)).await;
    assert_eq!(ids(&store), (Some(last), 1));
    assert_eq!(latest_event(&store.read().unwrap()).unwrap(), last);
    store.write(fill(1)).await.unwrap();
    assert_eq!(latest_event(&store.read().unwrap()).unwrap(), last + 1, "numbers go on");
}
