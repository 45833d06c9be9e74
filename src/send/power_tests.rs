//! The power goes at every sync of the disk while mail is being sent, and again while the next start takes it up. What
//! was queued is sent; nothing is sent whose record the disk refuses; a second copy goes out only of what was in doubt.

use super::keyring::Keyring;
use super::outlook::Outlook;
use super::*;
use crate::domain::list::ListQuery;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, Mailing, Phase, Recipient, RecipientKind, State};
use crate::domain::user::{Role, User};
use crate::mailserver::{MailServer, Options, Recipients};
use crate::net::{EgressRules, Network, SystemDialer, Trust};
use crate::runtime::{NoFailpoints, SeededRandom, SystemClock};
use crate::store::powercut::Disk;
use crate::store::{StoreError, list};
use crate::vault::{MasterKey, Vault};
use serde_json::json;
use std::collections::BTreeMap;

const MAILINGS: u64 = 3;

async fn sink() -> MailServer {
    MailServer::start(Options { recipients: Recipients::Anybody, ..Options::default() }).await.unwrap()
}

fn open(disk: &Disk) -> Result<Store, StoreError> {
    let runtime = Runtime {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SeededRandom::new(1)),
        failpoints: Arc::new(NoFailpoints),
    };
    Store::open_with(disk.clone(), 1 << 20, Vault::new(&MasterKey::ephemeral(&SeededRandom::new(7))), runtime)
}

/// A mailbox at a server, with mailings that are due.
async fn prepare(disk: &Disk, port: u16, policy: &'static str) {
    let store = open(disk).unwrap();
    let queue = store.write(move |work| {
        let now = work.now();
        work.create_user(User::new("admin@example.org", Role::Admin, now))?;
        let mailbox: Mailbox = serde_json::from_value(json!({
            "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "created_at": now, "updated_at": now,
            "settings": {
                "email": "ann@demo.test", "smtpHost": "127.0.0.1", "smtpPort": port, "smtpSsl": false,
                "doubtPolicy": policy,
            },
            "smtp_reach_private": true,
        }))
        .unwrap();
        work.create_mailbox(mailbox, &[])?;
        for number in 0..MAILINGS {
            let recipient =
                Recipient { id: 0, kind: RecipientKind::To, name: None, address: "b@demo.test".into(), outcome: None };
            let mailing: Mailing = serde_json::from_value(json!({
                "id": 0, "mailbox_id": 1, "user_id": 1, "mailbox_address": "ann@demo.test", "created_at": now,
                "updated_at": now, "state": State::Queued, "state_changed_at": now, "due": now,
                "mailing_type": "single", "message_id": format!("{number}@demo.test"), "recipients": [recipient],
            }))
            .unwrap();
            work.create_mailing(mailing, &Content { text: Some("Hello".into()), ..Content::default() })?;
        }
        Ok::<_, StoreError>(())
    });
    queue.await.unwrap();
    assert!(store.close().await);
}

fn mailings(store: &Store) -> Vec<Mailing> {
    list::<Mailing>(&store.read().unwrap(), &ListQuery::all().size(100)).unwrap().items
}

fn is_settled(mailing: &Mailing) -> bool {
    matches!(mailing.state, State::Delivered | State::Failed)
}

/// Sends from a disk until nothing is left to do or its power is gone. `false` if it did not even open.
async fn send_from(disk: &Disk) -> bool {
    let Ok(store) = open(disk) else { return false };
    let network = Network::new(Arc::new(SystemDialer), &Trust::nobody(), EgressRules::default());
    let connector = Connector::new(network, store.vault().clone());
    // One lane, so that the syncs come in the same order at every cut.
    let config = SendConfig { connections_per_mailbox: 1, ..SendConfig::default() };
    let engine = SendEngine::start(store.clone(), connector, config, Outlook::default(), None, Keyring::default());
    let give_up = store.runtime().clock.now().plus(Duration::from_mins(1));
    while !disk.is_dead() && !mailings(&store).iter().all(is_settled) {
        assert!(store.runtime().clock.now() < give_up, "never settled: {:#?}", mailings(&store));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Time in which an engine that does not see that nothing is recorded any more would go on.
    if disk.is_dead() {
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert!(engine.stop(Duration::from_mins(1)).await);
    store.close().await;
    true
}

fn copies(sink: &MailServer) -> BTreeMap<String, u64> {
    let mut copies = BTreeMap::new();
    for message in sink.accepted() {
        let text = String::from_utf8_lossy(&message.raw).into_owned();
        let line = text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap();
        *copies.entry(line["Message-ID: ".len()..].trim_matches(['<', '>']).to_owned()).or_default() += 1;
    }
    copies
}

/// What a disk says after a cut: every mailing is there, and whatever the server has is known to be under way. Returns
/// the Message-IDs of those in doubt.
fn check_records(disk: &Disk, sink: &MailServer, cut: u64) -> Vec<String> {
    let store = open(&disk.restarted(u64::MAX)).unwrap();
    let kept = mailings(&store);
    assert_eq!(kept.len() as u64, MAILINGS, "cut {cut}");
    let in_data = |mailing: &&Mailing| mailing.attempt.as_ref().is_some_and(|attempt| attempt.phase == Phase::Data);
    let accepted = copies(sink);
    for mailing in kept.iter().filter(|mailing| accepted.contains_key(&mailing.message_id)) {
        assert!(is_settled(mailing) || in_data(&mailing), "cut {cut}: sent without a record: {mailing:#?}");
    }
    kept.iter().filter(in_data).map(|mailing| mailing.message_id.clone()).collect()
}

async fn cut_at_every_sync(policy: &'static str) {
    let whole = sink().await;
    let full = Disk::with_cut_at(u64::MAX);
    prepare(&full, whole.smtp().port(), policy).await;
    let measured = full.restarted(u64::MAX);
    assert!(send_from(&measured).await);
    let syncs = measured.syncs();
    assert_eq!((whole.accepted().len() as u64, syncs > 8), (MAILINGS, true), "{syncs} syncs");
    let (mut doubts, mut partly) = (0, false);
    for cut in 1..=syncs {
        // The second cut falls into the next start and what it takes up; 0 stands for none.
        for second in 0..3 {
            let sink = sink().await;
            let prepared = Disk::with_cut_at(u64::MAX);
            prepare(&prepared, sink.smtp().port(), policy).await;
            let mut disk = prepared.restarted(cut);
            send_from(&disk).await;
            let mut in_doubt = check_records(&disk, &sink, cut);
            partly |= (1..MAILINGS).contains(&(copies(&sink).len() as u64));
            if second > 0 {
                disk = disk.restarted(second);
                send_from(&disk).await;
                in_doubt.extend(check_records(&disk, &sink, cut));
            }
            let disk = disk.restarted(u64::MAX);
            assert!(send_from(&disk).await);
            doubts += in_doubt.len();
            let sent = copies(&sink);
            let store = open(&disk.restarted(u64::MAX)).unwrap();
            for mailing in mailings(&store) {
                let copies = sent.get(&mailing.message_id).copied().unwrap_or(0);
                let was_in_doubt = in_doubt.iter().filter(|id| **id == mailing.message_id).count() as u64;
                let held = mailing.state == State::Failed;
                assert!(copies > 0 || held, "cut {cut}, then {second}: lost: {mailing:#?}");
                assert!(!held || (policy == "hold" && was_in_doubt > 0), "cut {cut}, then {second}: {mailing:#?}");
                let most = if policy == "hold" { 1 } else { 1 + was_in_doubt };
                assert!(copies <= most, "cut {cut}, then {second}: {copies} copies of {mailing:#?}");
            }
        }
    }
    assert!(doubts > 0 && partly, "no cut met a mailing on its way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_sync_loses_nothing_and_sends_nothing_unrecorded() {
    cut_at_every_sync("resend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_policy_hold_no_power_cut_doubles_anything() {
    cut_at_every_sync("hold").await;
}
