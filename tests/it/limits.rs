//! Sending limits as a mail server sees them: its own clock is the judge.

use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::instance::Instance;
use crate::support::server::Server;
use postroom::domain::time::Timestamp;
use postroom::mailserver::{Act, Count, MailServer, Options, Point, Recipients, Rule};
use postroom::runtime::{Random as _, SeededRandom};
use serde_json::{Value, json};
use std::time::Duration;

async fn mail_server() -> MailServer {
    let options = Options { recipients: Recipients::Anybody, require_auth: false, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    for address in ["ann@demo.test", "bob@demo.test"] {
        server.add_account(address, "secret");
    }
    server
}

fn sending(server: &MailServer) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "password": "secret"})
}

fn both_ways(server: &MailServer) -> Value {
    let mut settings = sending(server);
    (settings["imapHost"], settings["imapPort"]) = (json!("127.0.0.1"), json!(server.imap().port()));
    settings
}

async fn mailing(postroom: &Instance, mailbox: u64, subject: &str) -> u64 {
    postroom.mailing(mailbox, json!({"to": ["x@demo.test"], "subject": subject, "bodyText": "t"})).await
}

/// The same time, as two looks at two clocks tell it.
fn is_about(one: &Value, other: &Value) -> bool {
    let [one, other] = [one, other].map(|time| Timestamp::parse(time.as_str().expect("a time")).expect("a time"));
    one.millis_since(other).abs() < 1_000
}

#[tokio::test(flavor = "multi_thread")]
async fn no_window_holds_more_than_its_limit_over_restarts_by_the_servers_own_clock() {
    const COUNT: usize = 3;
    const PERIOD: i64 = 2_000;
    const MAILINGS: usize = 20;
    let (server, mut postroom) = (mail_server().await, Instance::start().await);
    let mut settings = sending(&server);
    (settings["sendThreshold"], settings["sendPeriod"]) = (json!(COUNT), json!(PERIOD / 1000));
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    for number in 0..MAILINGS {
        mailing(&postroom, mailbox, &number.to_string()).await;
    }
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if server.accepted().len() >= MAILINGS {
            break;
        }
        postroom = postroom.restart().await;
    }
    let times: Vec<i64> = server.accepted().iter().map(|accepted| accepted.at.millis()).collect();
    assert_eq!(times.len(), MAILINGS);
    for window in times.windows(COUNT + 1) {
        assert!(window[COUNT] - window[0] >= PERIOD, "more than {COUNT} in {PERIOD} ms: {times:?}");
    }
    postroom.stop().await;
}

/// The same with the real binary, killed every few seconds: what was in doubt is sent again and counts again.
/// `POSTROOM_TORTURE=long` kills it every five seconds for ten minutes, with two mailings a minute.
#[tokio::test(flavor = "multi_thread")]
async fn no_window_holds_more_than_its_limit_over_kills_by_the_servers_own_clock() {
    let long = std::env::var("POSTROOM_TORTURE").is_ok_and(|form| form == "long");
    let (count, period, lives, life, least) = if long { (2, 60, 120, 5_000, 15) } else { (3, 2, 8, 1_300, 9) };
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let (sink, home) = (mail_server().await, Home::new());
    let token = home.administrator();
    let mut server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));
    let settings = json!({
        "email": "ann@demo.test", "smtpHost": "127.0.0.1", "smtpPort": sink.smtp().port(), "smtpSsl": false,
        "sendThreshold": count, "sendPeriod": period, "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
    });
    client.create("mailbox", "mailboxes", &settings).await;
    for number in 0..lives * 3 {
        let document = json!({"data": {
            "type": "mailing", "attributes": {"to": ["x@demo.test"], "subject": number.to_string(), "bodyText": "t"},
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": 1}}},
        }});
        client.post("/api/v2/mailings", &document).await.expect(201);
    }
    // Some replies come late, so that kills meet mailings in doubt.
    sink.script(Rule::new(Point::FinalReply, Act::Delay(Duration::from_millis(300))).count(Count::EveryNth(2)));
    for _ in 0..lives {
        tokio::time::sleep(Duration::from_millis(life / 2 + random.below(life))).await;
        server.kill();
        server = Server::start(&home);
    }
    server.kill();
    let times: Vec<i64> = sink.accepted().iter().map(|accepted| accepted.at.millis()).collect();
    println!("{} accepted over {lives} kills", times.len());
    assert!(times.len() >= least, "too few to mean anything: {}", times.len());
    for window in times.windows(count + 1) {
        assert!(window[count] - window[0] >= period * 1000, "more than {count} in {period} s: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_syncs_sends_only_after_a_sync_and_asks_for_it() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    // No sync can have come through when the mailing is queued.
    let silent = server.script(Rule::new(Point::ImapConnect, Act::Drop));
    let mailbox = postroom.mailbox("ann@demo.test", both_ways(&server)).await;
    let waiting = mailing(&postroom, mailbox, "s").await;
    let held = postroom.until("mailings", waiting, |shown| shown["delayReason"].is_string()).await;
    assert!(held["delayReason"].as_str().unwrap().contains("sendRequiresSync"), "{held:#}");
    let health = postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == "paused").await;
    assert!(health["sendStateReason"].as_str().unwrap().contains("synced"), "{health:#}");
    assert_eq!(server.accepted().len(), 0);
    server.clear(silent);
    postroom.client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    postroom.until_state(waiting, "delivered").await;
    // After a restart the sync is not due for a long time; sending asks for it.
    let postroom = postroom.restart().await;
    let next = mailing(&postroom, mailbox, "after a restart").await;
    postroom.until_state(next, "delivered").await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_others_put_into_the_mailbox_counts_and_copies_of_our_own_count_once() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    for number in 0..3 {
        let raw = format!("From: x@else.test\r\nMessage-ID: <{number}@else.test>\r\nSubject: s\r\n\r\nt\r\n");
        server.append("ann@demo.test", "INBOX", raw.as_bytes()).expect("it is filed");
    }
    let mut settings = both_ways(&server);
    settings["maxEmailsPerDay"] = json!(5);
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    postroom.until("mailboxes", mailbox, |shown| shown["emailsInDay"] == 3).await;
    let to_itself = json!({"to": ["ann@demo.test"], "subject": "to myself", "bodyText": "t"});
    let first = postroom.mailing(mailbox, to_itself).await;
    postroom.until_state(first, "delivered").await;
    postroom.client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    let listed = format!("/api/v2/messages?filter[mailbox][id]={mailbox}");
    for _ in 0..200 {
        if postroom.client.get(&listed).await.json["data"].as_array().is_some_and(|all| all.len() == 4) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(postroom.client.get(&listed).await.json["data"].as_array().unwrap().len(), 4);
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["emailsInDay"], 4);
    let second = mailing(&postroom, mailbox, "the fifth").await;
    postroom.until_state(second, "delivered").await;
    let third = mailing(&postroom, mailbox, "one too many").await;
    let held = postroom.until("mailings", third, |shown| shown["state"] == "scheduled").await;
    assert!(held["delayReason"].as_str().unwrap().contains("5 emails in 24 hours"), "{held:#}");
    let health = postroom.attributes("mailboxes", mailbox).await;
    assert_eq!((health["sendState"].as_str(), health["sentInDay"].as_u64()), (Some("limited"), Some(2)), "{health:#}");
    assert!(health["nextSendAt"].is_string(), "{health:#}");
    assert_eq!(server.accepted().len(), 2);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_costs_one_mailing_a_retry_and_all_its_mailboxes_wait() {
    let closed = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.local_addr().expect("its number").port()
    };
    let postroom = Instance::start().await;
    let settings = json!({"smtpHost": "127.0.0.1", "smtpPort": closed, "password": "secret"});
    let ann = postroom.mailbox("ann@demo.test", settings.clone()).await;
    let met = mailing(&postroom, ann, "meets it").await;
    postroom.until("mailings", met, |shown| shown["retryCount"] == 1).await;
    let bob = postroom.mailbox("bob@demo.test", settings).await;
    let mut waiting = vec![mailing(&postroom, ann, "waits too").await];
    for _ in 0..3 {
        waiting.push(mailing(&postroom, bob, "waits").await);
    }
    for id in waiting {
        let held = postroom.until("mailings", id, |shown| shown["delayReason"].is_string()).await;
        assert_eq!(held["retryCount"], 0, "{held:#}");
        assert_eq!(held["attempts"], json!([]), "{held:#}");
    }
    let health = postroom.attributes("mailboxes", bob).await;
    assert_eq!(health["sendState"], "erroring", "{health:#}");
    assert!(health["sendStateReason"].as_str().unwrap().contains("is in trouble"), "{health:#}");
    assert!(health["nextSendAt"].is_string(), "{health:#}");
    postroom.stop().await;
}

/// What a provider counts are people: the mailbox is asked about the mailing that is next, whomever that goes to.
#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_says_that_its_next_mailing_has_too_many_recipients_for_the_day() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mut settings = sending(&server);
    // Of the provider only what it counts: its servers are not asked.
    (settings["emailProvider"], settings["syncDisabled"]) = (json!("office_365"), json!(true));
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let spent = postroom.app.store().write(move |work| {
        work.hold_slot(mailbox, 999, 9_999)?;
        work.spend_slot(mailbox, 999).map(drop)
    });
    spent.await.expect("it is stored");
    let two = json!({"to": ["x@demo.test", "y@demo.test"], "subject": "s", "bodyText": "t"});
    let waiting = postroom.mailing(mailbox, two).await;
    let held = postroom.until("mailings", waiting, |shown| shown["state"] == "scheduled").await;
    assert!(held["delayReason"].as_str().unwrap().contains("10000 recipients a day"), "{held:#}");
    let health = postroom.attributes("mailboxes", mailbox).await;
    assert_eq!(health["sendState"], "limited", "{health:#}");
    assert!(is_about(&health["nextSendAt"], &held["nextAttemptAt"]), "{health:#}");
    assert_eq!(server.accepted().len(), 0);
    postroom.stop().await;
}

/// Whoever has put the server right need not wait until it is asked again: a passed test is proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_ends_the_wait_for_the_server() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let down = server.script(Rule::new(Point::SmtpConnect, Act::Reply("421 4.3.2 Down, back in 20 minutes".into())));
    let mut waiting = Vec::new();
    for name in ["ann", "bob"] {
        let mailbox = postroom.mailbox(&format!("{name}@demo.test"), sending(&server)).await;
        waiting.push((mailbox, mailing(&postroom, mailbox, "waits").await));
        // The time is that of a mailing that waits; for a moment it is still under way.
        let waits = |shown: &Value| shown["sendState"] == "erroring" && shown["nextSendAt"].is_string();
        postroom.until("mailboxes", mailbox, waits).await;
    }
    let (bob, second) = waiting[1];
    postroom.until("mailings", second, |shown| shown["delayReason"].is_string()).await;
    server.clear(down);
    postroom.client.act(&format!("/api/v2/mailboxes/{bob}/actions/testSend")).await.expect(200);
    postroom.until_state(second, "delivered").await;
    // The one that had met it has a retry of its own to wait for, and is paused no longer.
    let (ann, first) = waiting[0];
    assert_eq!(postroom.attributes("mailings", first).await["retryCount"], 1);
    assert_eq!(postroom.attributes("mailboxes", ann).await["sendState"], "ok");
    let next = mailing(&postroom, ann, "at once").await;
    postroom.until_state(next, "delivered").await;
    postroom.stop().await;
}

/// A list says of each mailing what its own page does.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_why_mailings_wait_for_a_limit_and_until_when() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mut settings = sending(&server);
    settings["maxMailingsPerDay"] = json!(1);
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let first = mailing(&postroom, mailbox, "goes").await;
    postroom.until_state(first, "delivered").await;
    for number in 0..3 {
        mailing(&postroom, mailbox, &number.to_string()).await;
    }
    let health = postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == "limited").await;
    assert!(health["sendStateReason"].as_str().unwrap().contains("1 mailings in 24 hours"), "{health:#}");
    assert_eq!((&health["sentInDay"], &health["sentInWeek"]), (&json!(1), &json!(1)), "{health:#}");
    let listed = postroom.client.get("/api/v2/mailings?sort=id").await.expect(200);
    let all = listed.json["data"].as_array().expect("a list");
    assert_eq!(all.len(), 4);
    assert_eq!(all[0]["attributes"]["delayReason"], Value::Null);
    for waiting in &all[1..] {
        let shown = &waiting["attributes"];
        assert!(is_about(&shown["nextAttemptAt"], &health["nextSendAt"]), "{shown:#}");
        let (reason, next) = (shown["delayReason"].as_str().expect("a reason"), &shown["nextAttemptAt"]);
        assert!(reason.contains("(maxMailingsPerDay)") && reason.contains(next.as_str().expect("a time")), "{reason}");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_daily_limit_stays_below_the_providers() {
    let postroom = Instance::start().await;
    for (email, day) in [("ann@gmail.com", 450), ("ann@outlook.com", 270), ("ann@corp.example", 500)] {
        let made = postroom.client.create("mailbox", "mailboxes", &json!({"email": email})).await;
        assert_eq!(made["attributes"]["maxMailingsPerDay"], day, "{email}");
        assert_eq!(made["attributes"]["maxMailingsPerWeek"], 5000, "{email}");
    }
    let own = json!({"email": "bob@gmail.com", "maxMailingsPerDay": 2000});
    let made = postroom.client.create("mailbox", "mailboxes", &own).await;
    assert_eq!(made["attributes"]["maxMailingsPerDay"], 2000);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_has_no_more_connections_than_it_may() {
    let mut config = postroom::config::Config::default();
    config.send.connections_per_host = 2;
    let (server, postroom) = (mail_server().await, Instance::start_with(config).await);
    let gate = postroom::mailserver::Gate::new();
    server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let mut mailings = Vec::new();
    for name in ["ann", "bob", "cora", "dora"] {
        let mut settings = sending(&server);
        settings["username"] = json!("ann@demo.test");
        let mailbox = postroom.mailbox(&format!("{name}@demo.test"), settings).await;
        mailings.push(mailing(&postroom, mailbox, name).await);
    }
    gate.arrived(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.connections().smtp, 2);
    gate.open();
    for id in mailings {
        postroom.until_state(id, "delivered").await;
    }
    postroom.stop().await;
}
