//! A mailbox at a server that misbehaves by rules.

use crate::support::client::Client;
use crate::support::instance::Instance;
use postroom::domain::event::EventKind;
use postroom::domain::time::Timestamp;
use postroom::mailserver::{Act, Count, MailServer, Options, Point, Rule};
use postroom::store::events_after;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const ANN: &str = "ann@demo.test";
pub const PASSWORD: &str = "ann's secret";

/// How many messages the inbox has unless a test wants more.
pub const MESSAGES: u32 = 12;

/// Every message is this long, so that a rule can name the size.
pub const SIZE: usize = 400;

/// The number-th message: NUL and bytes above 127 in the header as well as in the body.
pub fn mail(number: u32) -> Vec<u8> {
    let mut mail =
        format!("From: Bob <bob@demo.test>\r\nMessage-ID: <{number}@demo.test>\r\nSubject: {number} ").into_bytes();
    mail.extend_from_slice(b"caf\xe9 \x80\r\n\r\nBody \0 \xff\xfe {1000}\r\n* 1 EXPUNGE\r\n");
    while mail.len() < SIZE - 2 {
        mail.push(b'.');
        if mail.len() % 80 == 0 {
            mail.extend_from_slice(b"\r\n");
        }
    }
    mail.truncate(SIZE - 2);
    mail.extend_from_slice(b"\r\n");
    mail
}

/// A server with so many messages in Ann's inbox.
pub async fn server(messages: u32) -> MailServer {
    server_with(Options::default(), messages).await
}

pub async fn server_with(options: Options, messages: u32) -> MailServer {
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account(ANN, PASSWORD);
    for number in 1..=messages {
        server.append(ANN, "INBOX", &mail(number)).expect("Ann has an inbox");
    }
    server
}

pub fn settings(server: &MailServer) -> Value {
    json!({
        "imapHost": "127.0.0.1", "imapPort": server.imap().port(), "imapSsl": false,
        "username": ANN, "password": PASSWORD, "sendDisabled": true,
    })
}

/// The commands that open a folder.
pub const OPENING: [&str; 2] = ["EXAMINE", "SELECT"];

/// One rule at each of several commands.
pub fn at_each(verbs: &[&'static str], act: &Act) -> Vec<Rule> {
    verbs.iter().map(|verb| Rule::new(Point::ImapCommand(verb), act.clone())).collect()
}

pub fn at(verb: &'static str, act: &Act) -> Vec<Rule> {
    at_each(&[verb], act)
}

pub fn edit(from: &str, to: &str) -> Act {
    Act::Edit(from.into(), to.into())
}

pub fn nth(rules: Vec<Rule>, n: u64) -> Vec<Rule> {
    rules.into_iter().map(|rule| rule.count(Count::Nth(n))).collect()
}

/// What a misbehaviour has to come to while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comes {
    /// Nobody notices.
    ToNothing,
    /// The sync fails at this stage, and the mailbox says so.
    To(&'static str),
    /// As above or not at all; the end is the same.
    ToNothingOr(&'static str),
}

/// An address that no other mailbox has.
pub fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("ann{}@demo.test", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Lets a mailbox meet a server that follows the rules, then a server that behaves, and checks what is left of it.
pub async fn meets(postroom: &Instance, name: &str, rules: Vec<Rule>, comes: Comes) {
    meets_one_with(Options::default(), postroom, name, rules, comes).await;
}

/// The same with a server that is not the usual kind.
pub async fn meets_one_with(options: Options, postroom: &Instance, name: &str, rules: Vec<Rule>, comes: Comes) {
    let server = server_with(options, MESSAGES).await;
    let rules: Vec<_> = rules.into_iter().map(|rule| server.script(rule)).collect();
    let mailbox = postroom.mailbox(&address(), settings(&server)).await;
    let shown = settled(&postroom.client, mailbox, name).await;
    match comes {
        Comes::ToNothing => assert_eq!(shown["syncState"], "ok", "{name}: {shown:#}"),
        Comes::To(stage) => failed(&shown, stage, name),
        Comes::ToNothingOr(stage) if shown["syncState"] != "ok" => failed(&shown, stage, name),
        Comes::ToNothingOr(_) => {}
    }
    let stored = stored(&postroom.client, mailbox).await;
    assert!(stored.values().all(|ids| ids.len() == 1), "{name}: {stored:?}");

    for rule in rules {
        server.clear(rule);
    }
    // Also mail that arrives later must not be hidden by what was said before.
    server.append(ANN, "INBOX", &mail(MESSAGES + 1)).expect("Ann has an inbox");
    ends_well(postroom, mailbox, MESSAGES + 1, name).await;
    server.stop().await;
}

/// What a mailbox says of its sync once the first one is over.
pub async fn settled(client: &Client, mailbox: u64, name: &str) -> Value {
    until(client, mailbox, name, |shown| !shown["syncFinishedAt"].is_null()).await
}

pub async fn until(client: &Client, mailbox: u64, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut shown = Value::Null;
    for _ in 0..1200 {
        let answer = client.get(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(200);
        shown = answer.json["data"]["attributes"].clone();
        if wanted(&shown) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name}: never became as wanted: {shown:#}");
}

/// The failure is there for people and for programs, and as long as people read.
pub fn failed(shown: &Value, stage: &str, name: &str) {
    assert!(["erroring", "paused"].contains(&shown["syncState"].as_str().unwrap_or_default()), "{name}: {shown:#}");
    assert_eq!(shown["lastError"]["side"], "sync", "{name}: {shown:#}");
    assert_eq!(shown["lastError"]["stage"], stage, "{name}: {shown:#}");
    for text in [&shown["syncStateReason"], &shown["lastError"]["text"]] {
        let is_readable = |text: &str| {
            !text.is_empty() && text.len() < 2048 && !text.chars().any(|char| char.is_control() && char != '\n')
        };
        assert!(text.as_str().is_some_and(is_readable), "{name}: {shown:#}");
    }
    assert!(shown["syncErroredAt"].is_string(), "{name}: {shown:#}");
}

/// The ids under which each Message-ID is stored.
pub async fn stored(client: &Client, mailbox: u64) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    // Without their texts: a list of large messages takes memory of its own.
    for message in messages(client, mailbox, "&fields[message]=messageId").await {
        let message_id = message["attributes"]["messageId"].as_str().unwrap_or("(none)").to_owned();
        found.entry(message_id).or_default().push(message["id"].as_u64().expect("an id"));
    }
    found
}

/// Every message of a mailbox; `parameters` are added to the query.
async fn messages(client: &Client, mailbox: u64, parameters: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = Some(format!("/api/v2/messages?filter[mailbox][id]={mailbox}&page[size]=100{parameters}"));
    while let Some(path) = next {
        let page = client.get(&path).await.expect(200).json;
        all.extend(page["data"].as_array().cloned().unwrap_or_default());
        next = page["links"]["next"].as_str().map(str::to_owned);
    }
    all
}

/// Syncs until all is well, then: every message is there once, whole, announced once, and not taken for deleted.
pub async fn ends_well(postroom: &Instance, mailbox: u64, messages_there: u32, name: &str) {
    let since = Timestamp::from_millis(now_millis());
    postroom.client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    until(&postroom.client, mailbox, name, |shown| {
        let at = shown["syncSuccessAt"].as_str().and_then(Timestamp::parse);
        shown["syncState"] == "ok" && at.is_some_and(|at| at >= since)
    })
    .await;
    let stored = stored(&postroom.client, mailbox).await;
    let wanted: Vec<String> = (1..=messages_there).map(|number| format!("<{number}@demo.test>")).collect();
    for message_id in &wanted {
        assert_eq!(stored.get(message_id).map(Vec::len), Some(1), "{name}: {message_id} in {stored:?}");
    }
    assert_eq!(stored.len(), wanted.len(), "{name}: {stored:?}");
    for message in messages(&postroom.client, mailbox, "").await {
        assert!(message["attributes"]["deletedAt"].is_null(), "{name}: {message:#}");
    }
    for number in [1, messages_there / 2, messages_there] {
        let id = stored[&format!("<{number}@demo.test>")][0];
        let raw = postroom.client.get_raw(&format!("/api/v2/messages/{id}/raw")).await;
        assert_eq!(raw, String::from_utf8_lossy(&mail(number)), "{name}");
    }
    let announced = announced(postroom, mailbox);
    assert_eq!(announced.len(), wanted.len(), "{name}: {announced:?}");
    assert!(announced.values().all(|times| *times == 1), "{name}: {announced:?}");
}

fn now_millis() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(now.as_millis()).expect("a time in range")
}

/// How often each stored message of a mailbox was announced as new.
fn announced(postroom: &Instance, mailbox: u64) -> BTreeMap<u64, u32> {
    let snapshot = postroom.app.store().read().expect("a snapshot");
    let (mut after, mut times) = (0, BTreeMap::new());
    loop {
        let events = events_after(&snapshot, after, 1000).expect("the event log");
        let Some(last) = events.last() else { return times };
        after = last.id;
        for event in events {
            if event.kind == EventKind::MessageCreated && event.mailbox_id == Some(mailbox) {
                *times.entry(event.message_id.expect("a message")).or_default() += 1;
            }
        }
    }
}
