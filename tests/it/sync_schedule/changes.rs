//! A mailbox that changes while it is being synced.

use super::rig::{Fleet, PASSWORD, clock, mail_server, until};
use postroom::config::SyncConfig;
use postroom::mailserver::{Act, Gate, MailServer, Options, Point, Rule};
use serde_json::json;
use std::time::Duration;

const ANNS: &[u8] = b"Message-ID: <1@ann>\r\nFrom: x@example.org\r\nSubject: for Ann\r\n\r\nbody\r\n";
const BOBS: &[u8] = b"Message-ID: <1@bob>\r\nFrom: x@example.org\r\nSubject: for Bob\r\n\r\nbody\r\n";

/// A mailbox of Ann's whose sync has logged in and stands at a gate.
async fn caught(gate: &Gate) -> (MailServer, Fleet, u64) {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    server.add_account("ann@well.test", PASSWORD);
    server.add_account("bob@well.test", PASSWORD);
    server.append("ann@well.test", "INBOX", ANNS).expect("Ann's inbox");
    server.append("bob@well.test", "INBOX", BOBS).expect("Bob's inbox");
    server.script(Rule::new(Point::ImapCommand("FETCH"), Act::Hold(gate.clone())).user("ann@well.test"));
    let config = SyncConfig { idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let id = fleet.mailbox("ann", "well.test", json!({})).await;
    gate.arrived(1).await;
    (server, fleet, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_synced_at_once_and_nothing_of_the_old_one_comes() {
    let gate = Gate::new();
    let (server, fleet, id) = caught(&gate).await;
    fleet.edit(id, |mailbox| mailbox.settings.username = Some("bob@well.test".into())).await;
    // The gate is still closed: the old sync was broken off, it did not come to its end.
    until("the new account is synced", || fleet.messages().len() == 1).await;
    until("the old session is closed", || fleet.open("well.test", "ann@well.test") == 0).await;
    gate.open();
    fleet.settled(&[id]).await;
    let subjects: Vec<_> = fleet.messages().into_iter().map(|message| message.subject).collect();
    assert_eq!(subjects, [Some("for Bob".to_owned())]);
    assert_eq!(fleet.status(id).sync.failures, 0, "breaking it off is no failure");
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_mailbox_leaves_no_connection_and_nothing_in_the_store() {
    let gate = Gate::new();
    let (server, fleet, id) = caught(&gate).await;
    fleet.delete(id).await;
    until("the session is closed", || fleet.open("well.test", "ann@well.test") == 0).await;
    gate.open();
    until("nothing is planned for it", || fleet.handle().next(id).is_none()).await;
    fleet.clock.advance(Duration::from_hours(1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.connections().imap, 1, "nobody came again");
    assert_eq!(fleet.status(id), postroom::domain::mailbox::Status::default());
    assert!(fleet.messages().is_empty());
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncing_that_is_disabled_stops_and_goes_on_when_it_is_enabled() {
    let gate = Gate::new();
    let (server, fleet, id) = caught(&gate).await;
    fleet.edit(id, |mailbox| mailbox.settings.sync_disabled = Some(true)).await;
    until("the session is closed", || fleet.open("well.test", "ann@well.test") == 0).await;
    gate.open();
    fleet.clock.advance(Duration::from_hours(1));
    assert!(fleet.handle().sync_now(id));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((server.connections().imap, fleet.messages().len()), (1, 0));
    fleet.edit(id, |mailbox| mailbox.settings.sync_disabled = Some(false)).await;
    until("it goes on", || fleet.messages().len() == 1).await;
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_during_a_sync_are_one_more_sync() {
    let gate = Gate::new();
    let (server, fleet, id) = caught(&gate).await;
    for _ in 0..50 {
        assert!(fleet.handle().sync_now(id));
    }
    gate.open();
    until("both have come", || server.connections().logins == 2).await;
    fleet.settled(&[id]).await;
    assert_eq!(server.connections().imap, 2);
    fleet.stop().await;
    server.stop().await;
}
