mod lists;
mod named;
mod places;
mod slots;
mod suppressions;

use super::powercut::Disk;
use super::*;
use crate::domain::list::ListQuery;
use crate::domain::mailing::{Content, Mailing, State};
use crate::domain::time::Timestamp;
use crate::domain::user::{Role, User};
use crate::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
use crate::vault::MasterKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn runtime() -> (Runtime, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
    (
        Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), failpoints: Arc::new(NoFailpoints) },
        clock,
    )
}

fn vault(seed: u64) -> Vault {
    Vault::new(&MasterKey::ephemeral(&SeededRandom::new(seed)))
}

fn open(disk: &Disk) -> Result<Store, StoreError> {
    Store::open_with(disk.clone(), 1 << 20, vault(1), runtime().0)
}

fn user(email: &str) -> User {
    let now = Timestamp::default();
    User::new(email, Role::Admin, now)
}

fn mailing(mailbox: u64, due: i64) -> Mailing {
    let now = Timestamp::from_millis(due);
    Mailing {
        id: 0,
        mailbox_id: mailbox,
        user_id: 1,
        mailbox_address: "ann@example.org".into(),
        created_at: now,
        updated_at: now,
        state: State::Queued,
        state_changed_at: now,
        scheduled_at: None,
        due: Some(now),
        mailing_type: "single".into(),
        message_id: format!("{mailbox}.{due}@example.org"),
        recipients: Vec::new(),
        attempt: None,
        attempts: Vec::new(),
        doubt_resends: 0,
        stop_resends: 0,
        stops: 0,
        doubted: None,
        doubt: None,
        sent_copy: None,
        size: None,
        retry_at: None,
        retry_count: 0,
        retry_interval: None,
        error_reason: None,
        delivered_at: None,
        opened_at: None,
        open_count: 0,
        clicked_at: None,
        click_count: 0,
        replied_at: None,
        bounced_at: None,
        marked_as_spam_at: None,
        unsubscribed_at: None,
        track_links: false,
        track_opens: false,
        asked_at: None,
        revision: 0,
        include_unsubscribe_link: false,
        crm_ids: BTreeMap::new(),
    }
}

/// Ten rounds of a few concurrent creates; the addresses of those that were acknowledged.
async fn work_until_the_power_goes(store: &Store) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        let writes = (0..3).map(|number| {
            let email = format!("user{round}.{number}@example.org");
            let record = user(&email);
            async move { store.write(move |work| work.create_user(record.clone())).await.map(|_| email) }
        });
        acknowledged.extend(futures_util::future::join_all(writes).await.into_iter().flatten());
    }
    acknowledged
}

fn check_all_kept(store: &Store, acknowledged: &[String], cut: u64) {
    let snapshot = store.read().unwrap();
    for email in acknowledged {
        assert!(user_by_email(&snapshot, email).unwrap().is_some(), "{email} was acknowledged and is lost; cut {cut}");
    }
    let users = list::<User>(&snapshot, &ListQuery::all().size(1000)).unwrap();
    let events = events_after(&snapshot, 0, 1000).unwrap();
    assert_eq!(users.items.len(), events.len(), "every user has its event; cut {cut}");
}

#[tokio::test]
async fn every_acknowledged_write_survives_a_power_cut_at_every_sync() {
    let whole = Disk::with_cut_at(u64::MAX);
    let acknowledged = work_until_the_power_goes(&open(&whole).unwrap()).await;
    assert_eq!(acknowledged.len(), 30);
    let syncs = whole.syncs();
    assert!(syncs > 10, "{syncs}");
    let mut seen_partial = false;
    for cut in 1..=syncs {
        let disk = Disk::with_cut_at(cut);
        let acknowledged = match open(&disk) {
            Ok(store) => work_until_the_power_goes(&store).await,
            Err(error) => {
                // Cut while the file was being made: it never got its name (`Store::open`), the next start makes it anew.
                assert!(disk.is_dead(), "{error}");
                continue;
            }
        };
        seen_partial |= (1..30).contains(&acknowledged.len());
        // The second cut falls into the recovery, at each of its syncs.
        for second in 1.. {
            let recovering = disk.restarted(second);
            if let Ok(store) = open(&recovering)
                && !recovering.is_dead()
            {
                check_all_kept(&store, &acknowledged, cut);
                break;
            }
            let third = recovering.restarted(u64::MAX);
            check_all_kept(&open(&third).unwrap(), &acknowledged, cut);
        }
    }
    assert!(seen_partial);
}

#[tokio::test]
async fn a_file_whose_making_was_interrupted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postroom.redb");
    std::fs::write(path.with_extension("redb.new"), b"half a file").unwrap();
    let store = Store::open(&path, 1 << 20, vault(1), runtime().0).unwrap();
    store.write(|work| work.create_user(user("ann@example.org"))).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(matches!(Store::open(&path, 1 << 20, vault(1), runtime().0), Err(StoreError::InUse)));
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_written_any_more() {
    let disk = Disk::with_cut_at(12);
    let store = open(&disk).unwrap();
    let acknowledged = work_until_the_power_goes(&store).await;
    assert!(acknowledged.len() < 30);
    let answer = store.write(|work| work.create_user(user("late@example.org"))).await;
    assert!(matches!(answer, Err(StoreError::Stopped(_))), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_key_and_a_newer_format_are_refused_and_change_nothing() {
    let disk = Disk::with_cut_at(u64::MAX);
    drop(open(&disk).unwrap());
    let wrong = disk.restarted(u64::MAX);
    let Err(StoreError::WrongKey(text)) = Store::open_with(wrong.clone(), 1 << 20, vault(2), runtime().0) else {
        panic!("a wrong key opened the store");
    };
    assert!(text.contains("key"), "{text}");
    open(&wrong).unwrap();
}

#[tokio::test]
async fn a_unit_that_fails_after_writing_takes_nobody_else_down() {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    let good = (0..20).map(|number| {
        let record = user(&format!("good{number}@example.org"));
        store.write(move |work| work.create_user(record.clone()))
    });
    let bad = (0..5).map(|number| {
        let record = user(&format!("bad{number}@example.org"));
        store.write(move |work| {
            work.create_user(record.clone())?;
            Err::<User, _>(StoreError::Corrupt("changed its mind".into()))
        })
    });
    let panicking = store.write(|work| -> Result<User, StoreError> {
        work.create_user(user("panic@example.org"))?;
        panic!("oh no")
    });
    let (good, bad, panicked) =
        tokio::join!(futures_util::future::join_all(good), futures_util::future::join_all(bad), panicking);
    assert!(good.iter().all(Result::is_ok));
    assert!(bad.iter().all(Result::is_err));
    assert_eq!(panicked.unwrap_err(), StoreError::Panicked("oh no".into()));
    let users = list::<User>(&store.read().unwrap(), &ListQuery::all()).unwrap();
    assert_eq!(users.items.iter().map(|user| user.id).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert_eq!(users.count.unwrap().matches, 20);
}

#[tokio::test]
async fn followers_of_the_event_log_are_woken_by_the_commit() {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    let mut events = store.events();
    events.mark_unchanged();
    store.write(|work| work.create_user(user("ann@example.org"))).await.unwrap();
    assert!(events.has_changed().unwrap());
    assert_eq!(*events.borrow_and_update(), 1);
    // A unit that writes no event wakes nobody.
    store.write(|_| Ok::<_, StoreError>(())).await.unwrap();
    assert!(!events.has_changed().unwrap());
}

#[tokio::test]
async fn below_the_floor_nothing_new_is_taken_in_and_work_goes_on_when_there_is_room_again() {
    let (runtime, clock) = runtime();
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault(1), runtime).unwrap();
    let free = Arc::new(std::sync::atomic::AtomicU64::new(1000));
    let told = free.clone();
    store.keep_free(500, move || Ok(told.load(std::sync::atomic::Ordering::Relaxed)));
    let create = async |email: &'static str| store.write(move |work| work.create_user(user(email))).await;
    create("ann@example.org").await.unwrap();
    free.store(499, std::sync::atomic::Ordering::Relaxed);
    clock.advance(Duration::from_secs(1));
    let shortage = Shortage { free: 499, floor: 500 };
    assert_eq!(create("bob@example.org").await.err(), Some(StoreError::Full(shortage)));
    // What was begun is recorded all the same, and everything can be read.
    store.write_patiently(|work| work.spend_slot(1, 7)).await.unwrap();
    let snapshot = store.read().unwrap();
    assert_eq!(snapshot.shortage(), Some(shortage));
    assert_eq!(slots(&snapshot, 1).unwrap().held(), 0);
    assert!(user_by_email(&snapshot, "bob@example.org").unwrap().is_none());
    free.store(500, std::sync::atomic::Ordering::Relaxed);
    clock.advance(Duration::from_secs(1));
    create("bob@example.org").await.unwrap();
    assert!(!store.is_broken());
}

#[tokio::test]
async fn a_commit_is_bounded_in_octets_and_the_rest_of_its_group_follows() {
    let disk = Disk::with_cut_at(u64::MAX);
    let store = open(&disk).unwrap();
    let before = disk.syncs();
    // All of them wait for the writer before it takes the first.
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let held = store.write(move |_| {
        let _ = gate.lock().unwrap().recv();
        Ok::<_, StoreError>(())
    });
    let large = |number: u64| {
        let content = Content { text: Some("x".repeat(1 << 20)), ..Content::default() };
        store.write(move |work| work.create_mailing(mailing(1, i64::try_from(number).unwrap_or(0)), &content))
    };
    let all = futures_util::future::join_all((0..20).map(large));
    let release = async {
        tokio::task::yield_now().await;
        go.send(()).unwrap();
    };
    let (held, all, ()) = tokio::join!(held, all, release);
    held.unwrap();
    assert!(all.iter().all(Result::is_ok));
    assert!(disk.syncs() - before >= 3, "{} syncs for 20 MiB", disk.syncs() - before);
    let query = ListQuery { count: false, ..ListQuery::all() };
    assert_eq!(list::<Mailing>(&store.read().unwrap(), &query).unwrap().items.len(), 20);
}

#[tokio::test]
async fn what_waits_is_found_by_its_mailbox_and_time() {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    store
        .write(|work| {
            for (mailbox, due) in [(1, 500), (1, 300), (2, 100), (1, 300), (9, -5)] {
                work.create_mailing(mailing(mailbox, due), &Content::default())?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let heads = due_heads(&store.read().unwrap()).unwrap();
    assert_eq!(
        heads.iter().map(|(mailbox, due)| (*mailbox, due.millis())).collect::<Vec<_>>(),
        [(1, 300), (2, 100), (9, -5)]
    );
    assert_eq!(waiting_mailings(&store.read().unwrap(), 1, 10).unwrap(), [2, 4, 1]);
    store
        .write(|work| {
            let before = work.mailing(2)?.unwrap();
            let mut after = before.clone();
            assert!(after.apply(crate::domain::mailing::Trigger::Start, work.now()));
            work.save_mailing(&before, &after)
        })
        .await
        .unwrap();
    assert_eq!(due_head(&store.read().unwrap(), 1).unwrap(), Some((Timestamp::from_millis(300), 4)));
}

/// A store of format 1 as a released version left it: every later version must open it and find everything in it.
mod format_1 {
    use super::*;
    use crate::domain::classification::Classification;
    use crate::domain::mailbox::{Mailbox, SecretField, Settings, Status};
    use crate::domain::message::{Direction, FolderCursor, Message};
    use crate::domain::user::{Token, TokenKind};
    use secrecy::{ExposeSecret, SecretString};

    const FIXTURE: &[u8] = include_bytes!("fixtures/format-1.redb.lz4");
    const RAW: &[u8] = b"From: bert@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n";

    fn mailbox() -> Mailbox {
        let now = Timestamp::from_millis(1_783_536_047_000);
        Mailbox {
            id: 0,
            user_id: 1,
            creator_id: 1,
            updater_id: 1,
            created_at: now,
            updated_at: now,
            settings: Settings { email: "ann@example.org".into(), send_threshold: Some(2), ..Settings::default() },
            secrets: std::collections::BTreeMap::new(),
            smtp_reach_private: true,
            imap_reach_private: false,
            generation: 3,
        }
    }

    pub fn message() -> Message {
        Message {
            id: 0,
            mailbox_id: 1,
            direction: Direction::Inbound,
            message_id: Some("1@example.org".into()),
            in_reply_to: vec!["2@example.org".into()],
            references: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: Some("Grüße".into()),
            snippet: "Hello".into(),
            sent_at: None,
            received_at: Some(Timestamp::from_millis(5)),
            folder: "INBOX".into(),
            flags: vec!["\\Seen".into()],
            size: 63,
            classification: Classification::Reply,
            attachments: Vec::new(),
            authentication_results: Vec::new(),
            parse_problems: Vec::new(),
            created_at: Timestamp::from_millis(6),
            mailing_id: Some(1),
            deleted_at: None,
            provider_thread: None,
            thread_id: None,
            body_stored: true,
            by_content: false,
            bounces: Vec::new(),
        }
    }

    async fn fill(store: &Store) {
        store
            .write(|work| {
                work.create_user(user("admin@example.org"))?;
                let token = Token {
                    id: 0,
                    user_id: 1,
                    name: Some("laptop".into()),
                    hash: [7; 32],
                    created_at: Timestamp::from_millis(1),
                    expires_at: None,
                    kind: TokenKind::Machine,
                };
                work.create_token(token)?;
                let password = SecretChange::Set(SecretString::from("hunter2".to_owned()));
                work.create_mailbox(mailbox(), &[(SecretField::Password, password)])?;
                let mut status = Status::default();
                status.send.succeeded(Timestamp::from_millis(9));
                work.put_status(1, &status)?;
                let content =
                    Content { subject: Some("Grüße".into()), text: Some("Hello".into()), ..Content::default() };
                work.create_mailing(mailing(1, 500), &content)?;
                work.hold_slot(1, 1, 1)?;
                work.spend_slot(1, 1)?;
                let id = work.create_message(message(), "<1@example.org>", RAW)?;
                let place = ServerPlace { mailbox: 1, folder: "INBOX", uid_validity: 4, uid: 9 };
                let placed = Placed { folder: "INBOX".into(), flags: vec!["\\Seen".into()] };
                work.place_message(&place, id, &placed)?;
                work.put_cursor(
                    1,
                    "INBOX",
                    &FolderCursor { uid_validity: 4, low: 9, high: 9, backfilled: true, ..FolderCursor::default() },
                )
            })
            .await
            .unwrap();
    }

    /// Writes the fixture. Run by hand, once, when a format is released: `cargo test --lib format_1 -- --ignored`.
    #[tokio::test]
    #[ignore = "writes the fixture of the format that is being released"]
    async fn write_the_fixture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let store = Store::open(&path, 1 << 20, vault(1), runtime().0).unwrap();
        fill(&store).await;
        assert!(store.close().await);
        let octets = lz4_flex::compress_prepend_size(&std::fs::read(&path).unwrap());
        std::fs::write("src/store/fixtures/format-1.redb.lz4", octets).unwrap();
    }

    #[tokio::test]
    async fn a_store_of_format_1_opens_with_everything_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        std::fs::write(&path, lz4_flex::decompress_size_prepended(FIXTURE).unwrap()).unwrap();
        let store = Store::open(&path, 1 << 20, vault(1), runtime().0).unwrap();
        let snapshot = store.read().unwrap();
        assert_eq!(user_by_email(&snapshot, "Admin@Example.org").unwrap().unwrap().role, Role::Admin);
        assert_eq!(token_by_hash(&snapshot, &[7; 32]).unwrap().unwrap().name.as_deref(), Some("laptop"));
        let found = mailbox_by_email(&snapshot, "ann@example.org").unwrap().unwrap();
        let password = open_secret(store.vault(), &found, SecretField::Password).unwrap().unwrap();
        assert_eq!(password.expose_secret(), "hunter2");
        assert_eq!(Mailbox { id: 0, secrets: std::collections::BTreeMap::new(), ..found }, mailbox());
        assert_eq!(status(&snapshot, 1).unwrap().send.success_at, Some(Timestamp::from_millis(9)));
        let sent = get::<Mailing>(&snapshot, 1).unwrap().unwrap();
        assert_eq!(Mailing { id: 0, ..sent }, mailing(1, 500));
        assert_eq!(content(&snapshot, 1).unwrap().subject.as_deref(), Some("Grüße"));
        assert_eq!(due_head(&snapshot, 1).unwrap(), Some((Timestamp::from_millis(500), 1)));
        assert_eq!(slots(&snapshot, 1).unwrap().nth_latest(1).unwrap(), Some(Timestamp::from_millis(400)));
        let received = get::<Message>(&snapshot, 1).unwrap().unwrap();
        assert_eq!(Message { id: 0, ..received }, message());
        assert_eq!(raw(&snapshot, 1).unwrap().as_deref(), Some(RAW));
        assert_eq!(message_by_identity(&snapshot, 1, "<1@example.org>").unwrap(), Some(1));
        assert_eq!(cursor(&snapshot, 1, "INBOX").unwrap().unwrap().high, 9);
        assert_eq!(events_after(&snapshot, 0, 100).unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        std::fs::write(&path, lz4_flex::decompress_size_prepended(FIXTURE).unwrap()).unwrap();
        {
            let database = redb::Database::open(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            schema::pretend(&transaction, schema::FORMAT + 1);
            transaction.commit().unwrap();
        }
        let opened = Store::open(&path, 1 << 20, vault(1), runtime().0);
        let Err(StoreError::NewerFormat { found, known }) = opened else { panic!("it opened") };
        assert_eq!((found, known), (schema::FORMAT + 1, schema::FORMAT));
        let text = StoreError::NewerFormat { found, known }.to_string();
        assert!(text.contains("nothing was changed"), "{text}");
        // What refused it changed nothing: the newer version finds all that it wrote.
        {
            let database = redb::Database::open(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            schema::pretend(&transaction, schema::FORMAT);
            transaction.commit().unwrap();
        }
        let store = Store::open(&path, 1 << 20, vault(1), runtime().0).unwrap();
        assert_eq!(events_after(&store.read().unwrap(), 0, 100).unwrap().len(), 4);
    }
}

#[tokio::test]
async fn a_first_answer_is_given_again_for_a_day_and_then_forgotten() {
    let (runtime, clock) = runtime();
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault(1), runtime).unwrap();
    let keep = async |user: u64, key: &'static str, mark: u8| {
        let kept = store.write(move |work| {
            let answer =
                FirstAnswer { request: [mark; 32], location: "l".into(), document: "d".into(), at: work.now() };
            work.keep_answer(user, key, &answer)
        });
        kept.await.unwrap();
    };
    let found = |user: u64, key: &str| {
        let now = store.runtime().clock.now();
        first_answer(&store.read().unwrap(), user, key, now).unwrap().map(|answer| answer.request[0])
    };
    keep(1, "a", 1).await;
    keep(1, "ab", 2).await;
    keep(2, "a", 3).await;
    assert_eq!((found(1, "a"), found(1, "ab"), found(2, "a"), found(2, "ab")), (Some(1), Some(2), Some(3), None));
    clock.advance(Duration::from_hours(23));
    assert_eq!(found(1, "a"), Some(1));
    clock.advance(Duration::from_hours(1));
    assert_eq!((found(1, "a"), found(2, "a")), (None, None));
    // A key may be used again, and what is old goes with it: one row a kind is left.
    keep(1, "a", 4).await;
    assert_eq!(found(1, "a"), Some(4));
    clock.advance(Duration::from_secs(1));
    keep(1, "a", 5).await;
    let snapshot = store.read().unwrap();
    assert_eq!(found(1, "a"), Some(5));
    for table in [tables::IDEMPOTENCY, tables::IDEMPOTENCY_BY_TIME] {
        assert_eq!(snapshot.rows(table).unwrap(), 1);
    }
}
