//! A server that numbers a folder anew (UIDVALIDITY): what is stored is recognised by itself. Nothing is lost, doubled,
//! announced again or fetched again; a server that does it time and again is stopped, and the mailbox says so.
//!
//! `POSTROOM_TORTURE=long` takes 10,000 messages, else it is 1,500.

use crate::peers::dovecot::{Dovecot, Notes, Options};
use crate::peers::process::is_root;
use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::journal::{announced, one_sync, quiet_sync};
use crate::support::server::Server;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, chown};

const ANN: &str = "ann@mail.test";

/// A message of 3 KB; a few have a Message-ID of their own in no way, or one that others have too.
fn mail(number: usize) -> String {
    let id = match number % 500 {
        7 => String::new(),
        8 => "Message-ID: <the same@partner.test>\n".to_owned(),
        _ => format!("Message-ID: <{number}@partner.test>\n"),
    };
    let lines = format!("Line of message {number}.\n").repeat(120);
    format!("From: Bob <bob@partner.test>\nTo: {ANN}\nSubject: Message {number}\n{id}\n{lines}")
}

fn filled(count: usize) -> Option<Dovecot> {
    let dovecot = Dovecot::start(&Options { notes: Notes::Conversations, ..Options::default() })?;
    // The folder exists once somebody has looked.
    assert_eq!(dovecot.count(ANN, "INBOX"), 0);
    let new = dovecot.authority_file.with_file_name("mail").join(ANN).join("mail/new");
    let owner = std::fs::metadata(&new).expect("a Maildir");
    for number in 0..count {
        let file = new.join(format!("{number}.test"));
        std::fs::write(&file, mail(number)).expect("a message");
        if is_root() {
            chown(&file, Some(owner.uid()), Some(owner.gid())).expect("root may give files away");
        }
    }
    assert_eq!(dovecot.count(ANN, "INBOX") as usize, count);
    Some(dovecot)
}

fn settings(dovecot: &Dovecot) -> Value {
    json!({
        "email": ANN, "password": "ann's secret", "imapHost": dovecot.host(), "imapPort": dovecot.imaps.port(),
        "imapSsl": true, "sendDisabled": true,
    })
}

struct Postroom {
    home: Home,
    server: Server,
    client: Client,
    mailbox: u64,
}

impl Postroom {
    async fn start(dovecot: &Dovecot) -> Self {
        let home = Home::new();
        home.configure(&format!("extra_ca_file = '{}'\n", dovecot.authority_file.display()));
        let token = home.administrator();
        let server = Server::start(&home);
        let client = Client::new(&server.url, Some(&token));
        let mailbox = client.create("mailbox", "mailboxes", &settings(dovecot)).await["id"].as_u64().expect("an id");
        Self { home, server, client, mailbox }
    }

    async fn count(&self, filter: &str) -> u64 {
        let path = format!("/api/v2/messages?filter[mailbox][id]={}&page[size]=1{filter}", self.mailbox);
        self.client.get(&path).await.expect(200).json["meta"]["count"].as_u64().expect("a count")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_numbered_anew_is_recognised_without_fetching_it_again() {
    let is_long = std::env::var("POSTROOM_TORTURE").is_ok_and(|form| form == "long");
    let count = if is_long { 10_000 } else { 1_500 };
    let Some(dovecot) = filled(count) else { return };
    let postroom = Postroom::start(&dovecot).await;
    quiet_sync(&postroom.client, postroom.mailbox).await;
    let stored = count as u64;
    assert_eq!(postroom.count("").await, stored);
    let first = dovecot.said();

    dovecot.set_uid_validity(ANN, "INBOX", 2_000_000_001);
    for _ in 0..2 {
        quiet_sync(&postroom.client, postroom.mailbox).await;
    }
    assert_eq!(postroom.count("").await, stored, "none doubled");
    for order in ["deletedAt", "-deletedAt"] {
        let first = postroom.client.get(&format!("/api/v2/messages?sort={order}&page[size]=1")).await.expect(200);
        assert!(first.json["data"][0]["attributes"]["deletedAt"].is_null(), "none lost: {:#}", first.json["data"][0]);
    }
    let second = dovecot.said() - first;
    println!("{count} messages: {first} octets in the first sync, {second} once they were numbered anew");
    // A line of facts and a header field or two each, and the few that only their texts tell apart.
    assert!(second < count * 600, "{second} octets of {first}");

    // What arrives and goes under the new numbers is seen.
    dovecot.append(ANN, "INBOX", mail(count + 1).as_bytes());
    dovecot.expunge(ANN, "INBOX", &["subject", "Message 1001"]);
    quiet_sync(&postroom.client, postroom.mailbox).await;
    assert_eq!(postroom.count("").await, stored + 1);
    let found = postroom.client.get("/api/v2/messages?filter[messageId]=%3C1001@partner.test%3E").await.expect(200);
    assert!(found.json["data"][0]["attributes"]["deletedAt"].is_string(), "{:#}", found.json);
    assert!(postroom.server.stop().success());
    let announced = announced(&postroom.home, postroom.mailbox).await;
    assert_eq!(announced.len(), count + 1);
    assert!(announced.values().all(|times| *times == 1), "none is announced again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_numbered_anew_time_and_again_is_stopped_until_the_mailbox_is_saved() {
    let Some(dovecot) = filled(5) else { return };
    let postroom = Postroom::start(&dovecot).await;
    quiet_sync(&postroom.client, postroom.mailbox).await;
    // Two syncs that meet the same numbers are peace: then it counts from the start.
    for times in [1, 2, 3, 4, 5, 11, 12, 13, 14, 15] {
        dovecot.set_uid_validity(ANN, "INBOX", 2_000_000_000 + times);
        let shown = one_sync(&postroom.client, postroom.mailbox).await;
        assert_eq!(shown["syncState"], "ok", "{times}: {shown:#}");
        if times == 5 {
            one_sync(&postroom.client, postroom.mailbox).await;
        }
    }
    dovecot.set_uid_validity(ANN, "INBOX", 2_000_000_016);
    let shown = one_sync(&postroom.client, postroom.mailbox).await;
    assert!(["paused", "erroring"].contains(&shown["syncState"].as_str().unwrap_or_default()), "{shown:#}");
    assert!(shown["syncStateReason"].as_str().is_some_and(|reason| reason.contains("UIDVALIDITY")), "{shown:#}");
    assert_eq!(shown["lastError"]["stage"], "select", "{shown:#}");
    assert_eq!(postroom.count("").await, 5, "what is stored stays");

    // Whoever saves the mailbox again has had the server repaired.
    let path = format!("/api/v2/mailboxes/{}", postroom.mailbox);
    let document = json!({"data": {
        "type": "mailbox", "id": postroom.mailbox, "attributes": {"password": "ann's secret"},
    }});
    postroom.client.patch(&path, &document).await.expect(200);
    quiet_sync(&postroom.client, postroom.mailbox).await;
    assert_eq!(postroom.count("").await, 5);
    assert!(postroom.server.stop().success());
    let announced = announced(&postroom.home, postroom.mailbox).await;
    assert_eq!(announced.values().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1]));
}
