//! Inboxes that are watched: new mail is there without a poll.

use super::rig::{Fleet, PASSWORD, clock, mail_server, until};
use postroom::config::SyncConfig;
use postroom::mailserver::{Act, Capabilities, Gate, MailServer, Options, Point, Rule};
use serde_json::json;
use std::time::Duration;

const MAIL: &[u8] = b"Message-ID: <1@x>\r\nFrom: x@example.org\r\nSubject: news\r\n\r\nbody\r\n";

/// Counts the IDLE commands of a user.
fn idles(server: &MailServer, user: &str) -> Gate {
    let counter = Gate::new();
    counter.open();
    server.script(Rule::new(Point::ImapCommand("IDLE"), Act::Hold(counter.clone())).user(user));
    counter
}

async fn fleet(options: Options, idle: u32) -> (MailServer, Fleet) {
    let clock = clock();
    let server = mail_server(&clock, options).await;
    for user in ["ann@well.test", "bob@well.test"] {
        server.add_account(user, PASSWORD);
    }
    let config = SyncConfig { idle, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    (server, fleet)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_mail_is_there_without_a_poll_and_the_active_owners_mailbox_is_the_one_that_is_watched() {
    let (server, fleet) = fleet(Options::default(), 1).await;
    let (anns, bobs) = (idles(&server, "ann@well.test"), idles(&server, "bob@well.test"));
    let ann = fleet.mailbox("ann", "well.test", json!({})).await;
    // No regular poll of Bob's comes into the way.
    let bob = fleet.mailbox("bob", "well.test", json!({"syncActiveFrequency": 86_400})).await;
    fleet.edit(bob, |mailbox| mailbox.user_id = 2).await;
    fleet.settled(&[ann, bob]).await;
    fleet.handle().owner_active(2);
    bobs.arrived(1).await;
    until("only one is watched", || server.connections().imap_open == 1).await;
    // Syncs that a watch brings on keep a distance; no regular one is due.
    fleet.pass(Duration::from_secs(5), Duration::from_secs(5), &[ann, bob]).await;
    let before = fleet.messages().len();
    server.append("bob@well.test", "INBOX", MAIL).expect("Bob's inbox");
    // The sync that the watch brings on keeps a distance from the one before, by a clock that the test moves.
    for _ in 0..10 {
        fleet.pass(Duration::from_secs(1), Duration::from_secs(1), &[ann, bob]).await;
        if fleet.messages().len() > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("the new mail is there", || fleet.messages().len() == before + 1).await;
    // Bob dozes off, Ann is at work.
    let watched = anns.arrivals();
    fleet.pass(Duration::from_mins(11), Duration::from_mins(1), &[ann, bob]).await;
    fleet.handle().owner_active(1);
    anns.arrived(watched + 1).await;
    until("only one is watched", || server.connections().imap_open == 1).await;
    // And a mailbox that is gone is watched no longer.
    fleet.delete(ann).await;
    bobs.arrived(2).await;
    fleet.delete(bob).await;
    until("nobody is watched", || server.connections().imap_open == 0).await;
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_idle_is_polled_and_not_asked_again_and_again() {
    let options = Options { imap_capabilities: Capabilities::without(&["IDLE"]), ..Options::default() };
    let (server, fleet) = fleet(options, 16).await;
    let ann = fleet.mailbox("ann", "well.test", json!({"syncPassiveFrequency": 60})).await;
    fleet.settled(&[ann]).await;
    until("a watch was tried", || server.connections().imap == 2).await;
    server.append("ann@well.test", "INBOX", MAIL).expect("Ann's inbox");
    fleet.pass(Duration::from_mins(10), Duration::from_secs(10), &[ann]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.messages().len(), 1);
    assert_eq!(server.connections().imap, 12, "ten polls, and no second watch");
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_dropped_at_once_is_tried_later_and_later() {
    let (server, fleet) = fleet(Options::default(), 16).await;
    server.script(Rule::new(Point::ImapCommand("IDLE"), Act::Drop));
    let ann = fleet.mailbox("ann", "well.test", json!({"syncPassiveFrequency": 86_400})).await;
    fleet.settled(&[ann]).await;
    let tries = || server.connections().logins - 1;
    until("a watch was tried", || tries() == 1).await;
    for wait in [30, 60, 120] {
        until("the watch has ended", || fleet.open("well.test", "ann@well.test") == 0).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = tries();
        fleet.clock.advance(Duration::from_secs(wait * 7 / 10));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(tries(), before, "not within {wait} s");
        for _ in 0..40 {
            if tries() > before {
                break;
            }
            fleet.clock.advance(Duration::from_secs(wait * 6 / 10));
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        assert_eq!(tries(), before + 1, "once after {wait} s");
    }
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_idle_switched_off_nobody_is_watched() {
    let (server, fleet) = fleet(Options::default(), 0).await;
    let ann = fleet.mailbox("ann", "well.test", json!({})).await;
    fleet.settled(&[ann]).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((server.connections().imap, server.connections().imap_open), (1, 0));
    fleet.stop().await;
    server.stop().await;
}
