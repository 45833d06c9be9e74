//! What comes back after a mailing, from the mail server's inbox to the mailing, its recipients, the suppressions and the
//! events: bounces, complaints, automatic replies, opt-outs by mail, replies; and forgeries of all of them.

use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::instance::Instance;
use crate::support::server::Server;
use crate::unsubscribe::{field, mail_server, opt_out_path, sending};
use postroom::domain::link::{Link, Purpose};
use postroom::mailserver::{Act, MailServer, Options, Point, Recipients, Rule};
use postroom::runtime::{Random as _, Runtime, SeededRandom};
use postroom::store::{Store, StoreError, events_after};
use postroom::vault::{KeyFile, Vault};
use serde_json::{Value, json};
use std::time::Duration;

const ANN: &str = "ann@demo.test";

/// A mailbox that sends and syncs, with the server that it does so on.
struct Scene {
    server: MailServer,
    postroom: Instance,
    mailbox: u64,
}

impl Scene {
    async fn new(attributes: Value) -> Self {
        Self::on(mail_server().await, attributes).await
    }

    async fn on(server: MailServer, mut attributes: Value) -> Self {
        attributes["imapHost"] = json!("127.0.0.1");
        attributes["imapPort"] = json!(server.imap().port());
        let (postroom, mailbox) = sending(&server, attributes).await;
        Self { server, postroom, mailbox }
    }

    /// Sends a mailing; its id and its Message-ID without brackets.
    async fn sent(&self, attributes: Value) -> (u64, String) {
        let mut all = json!({"subject": "Offer", "bodyText": "Hello"});
        for (name, value) in attributes.as_object().expect("attributes") {
            all[name] = value.clone();
        }
        let mailing = self.postroom.mailing(self.mailbox, all).await;
        let shown = self.postroom.until_state(mailing, "delivered").await;
        let id = shown["messageId"].as_str().expect("a Message-ID").trim_matches(['<', '>']).to_owned();
        (mailing, id)
    }

    /// Lets a message come in, and waits until it has been synced; its attributes and mailing.
    async fn receives(&self, subject: &str, raw: &str) -> (Value, Value) {
        self.server.append(ANN, "INBOX", raw.replace('\n', "\r\n").as_bytes()).expect("an inbox");
        self.sync().await;
        for _ in 0..600 {
            let listed = self.postroom.client.get("/api/v2/messages?page[size]=50&include=mailing").await.expect(200);
            let all = listed.json["data"].as_array().expect("a list").clone();
            if let Some(found) = all.iter().find(|message| message["attributes"]["subject"] == subject) {
                let mailing = found["relationships"]["mailing"]["data"]["id"].clone();
                return (found["attributes"].clone(), mailing);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{subject} never came");
    }

    async fn sync(&self) {
        let path = format!("/api/v2/mailboxes/{}/actions/sync", self.mailbox);
        self.postroom.client.act(&path).await.expect(200);
    }

    async fn mailing(&self, id: u64) -> Value {
        self.postroom.attributes("mailings", id).await
    }

    /// Address and reason of every suppression.
    async fn suppressed(&self) -> Vec<(String, String)> {
        suppressed(&self.postroom.client).await
    }
}

async fn suppressed(client: &Client) -> Vec<(String, String)> {
    let listed = client.get("/api/v2/suppressions").await.expect(200);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let shown = |one: &Value| (text(&one["attributes"]["email"]), text(&one["attributes"]["reason"]));
    listed.json["data"].as_array().expect("a list").iter().map(shown).collect()
}

/// A report after RFC 3464.
fn report(subject: &str, recipient: &str, diagnosis: &str, original: &str) -> String {
    let status = diagnosis.split(' ').nth(1).expect("an enhanced code");
    format!(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.demo.test\nTo: {ANN}\nSubject: {subject}\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nSorry.\n--b\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.demo.test\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnosis}\n--b\n\
         Content-Type: text/rfc822-headers\n\nMessage-ID: <{original}>\nSubject: Offer\n\n--b--\n"
    )
}

fn complaint(subject: &str, recipient: &str, original: &str) -> String {
    format!(
        "From: fbl@isp.test\nTo: {ANN}\nSubject: {subject}\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nA complaint.\n--b\n\
         Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: {recipient}\n--b\n\
         Content-Type: message/rfc822\n\nMessage-ID: <{original}>\nSubject: Offer\n\n--b--\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_marks_mailing_and_recipient_and_suppresses_whom_it_blames() {
    let scene = Scene::new(json!({})).await;
    // By the standard, of one of two recipients.
    let (two, id) = scene.sent(json!({"to": ["bert@demo.test", "cora@demo.test"]})).await;
    let raw = report("first", "bert@demo.test", "550 5.1.1 User unknown", &id);
    let (shown, mailing) = scene.receives("first", &raw).await;
    assert_eq!((&shown["classification"], &mailing), (&json!("bounce"), &json!(two)));
    let bounce = &shown["bounces"][0];
    assert_eq!((&bounce["code"], &bounce["enhancedCode"]), (&json!(550), &json!("5.1.1")), "{bounce}");
    assert_eq!((&bounce["severity"], &bounce["reason"]), (&json!("hard"), &json!("badAddress")), "{bounce}");
    let after = scene.mailing(two).await;
    assert!(after["bouncedAt"].is_string() && after["state"] == "delivered", "one was reached: {after:#}");
    let states: Vec<&Value> = (0..2).map(|at| &after["recipientOutcomes"][at]["state"]).collect();
    assert_eq!(states, [&json!("bounced"), &json!("accepted")]);
    // In sentences, of the only one.
    let (one, id) = scene.sent(json!({"to": ["dora@demo.test"]})).await;
    let raw = format!(
        "From: MAILER-DAEMON@lists.demo.test\nTo: {ANN}\nSubject: failure notice\n\n\
         Hi. This is the qmail-send program at lists.demo.test.\n\
         I'm afraid I wasn't able to deliver your message to the following addresses.\n\n\
         <dora@demo.test>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n\
         --- Below this line is a copy of the message.\n\nMessage-ID: <{id}>\nSubject: Offer\n\nHello\n"
    );
    let (_, mailing) = scene.receives("failure notice", &raw).await;
    assert_eq!(mailing, json!(one));
    assert_eq!(scene.mailing(one).await["state"], "bounced");
    let hard = |address: &str| (address.to_owned(), "hardBounce".to_owned());
    let mut suppressed = scene.suppressed().await;
    suppressed.sort();
    assert_eq!(suppressed, [hard("bert@demo.test"), hard("dora@demo.test")]);
    let listed =
        scene.postroom.client.get("/api/v2/suppressions?include=message,mailing&fields[message]=subject").await;
    let included = listed.expect(200).json["included"].as_array().expect("included").clone();
    let subjects: Vec<&Value> =
        included.iter().filter(|one| one["type"] == "message").map(|one| &one["attributes"]).collect();
    assert_eq!(subjects, [&json!({"subject": "first"}), &json!({"subject": "failure notice"})]);
    // What says nothing about the address suppresses nobody.
    for (subject, diagnosis) in [("policy", "550 5.7.1 Blocked by policy"), ("full", "552 5.2.2 Mailbox full")] {
        let (mailing, id) = scene.sent(json!({"to": ["emil@demo.test"]})).await;
        scene.receives(subject, &report(subject, "emil@demo.test", diagnosis, &id)).await;
        assert_eq!(scene.mailing(mailing).await["state"], "bounced", "{subject}");
    }
    assert_eq!(scene.suppressed().await.len(), 2);
    scene.postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_ends_a_doubt_and_nothing_is_sent_twice() {
    let scene = Scene::new(json!({"doubtPolicy": "resend"})).await;
    // The server takes the message and never says so; its sent folder has no copy.
    scene.server.script(Rule::new(Point::FinalReply, Act::Drop));
    for (subject, state) in [("bounce", "bounced"), ("answer", "replied")] {
        let content = json!({"to": ["bert@demo.test"], "subject": subject, "bodyText": "Hello"});
        let mailing = scene.postroom.mailing(scene.mailbox, content).await;
        let doubtful = scene.postroom.until("mailings", mailing, |shown| shown["attempts"][0].is_object()).await;
        assert_eq!(doubtful["state"], "delivering", "{doubtful:#}");
        let id = doubtful["messageId"].as_str().unwrap().trim_matches(['<', '>']).to_owned();
        let raw = match subject {
            "bounce" => report(subject, "bert@demo.test", "552 5.2.2 Mailbox full", &id),
            _ => format!("From: bert@demo.test\nTo: {ANN}\nSubject: {subject}\nIn-Reply-To: <{id}>\n\nYes\n"),
        };
        scene.receives(subject, &raw).await;
        let after = scene.postroom.until_state(mailing, state).await;
        let outcome = &after["recipientOutcomes"][0];
        assert_eq!(outcome["state"], if state == "bounced" { "bounced" } else { "accepted" }, "{after:#}");
        assert!(after["deliveredAt"].is_string() && after["retryAt"].is_null(), "{after:#}");
    }
    assert_eq!(scene.server.accepted().len(), 2);
    scene.postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn complaints_count_and_machines_and_forgeries_do_not() {
    let scene = Scene::new(json!({})).await;
    let (mailing, id) = scene.sent(json!({"to": ["bert@demo.test"]})).await;
    let other = json!({
        "imapHost": "127.0.0.1", "imapPort": scene.server.imap().port(), "smtpHost": "127.0.0.1",
        "smtpPort": scene.server.smtp().port(), "password": "bob's secret",
    });
    scene.server.add_account("bob@demo.test", "bob's secret");
    let other = scene.postroom.mailbox("bob@demo.test", other).await;
    let bounce = |subject: &str, recipient: &str, id: &str| report(subject, recipient, "550 5.1.1 User unknown", id);
    for (subject, raw) in [
        ("a guess", bounce("a guess", "bert@demo.test", "guess@demo.test")),
        ("a stranger", bounce("a stranger", "stranger@else.test", &id)),
        ("a stranger complains", complaint("a stranger complains", "stranger@else.test", &id)),
        (
            "Automatic reply: Offer",
            format!("From: bert@demo.test\nSubject: Automatic reply: Offer\nIn-Reply-To: <{id}>\n\nAway\n"),
        ),
        ("Re: Offer", "From: bert@demo.test\nSubject: Re: Offer\n\nThe subject alone\n".to_owned()),
    ] {
        scene.receives(subject, &raw).await;
        let after = scene.mailing(mailing).await;
        let nothing = ["bouncedAt", "markedAsSpamAt", "repliedAt", "unsubscribedAt"];
        assert!(after["state"] == "delivered" && nothing.iter().all(|at| after[*at].is_null()), "{subject}: {after:#}");
    }
    // A report in another mailbox than the one that sent.
    let elsewhere = bounce("elsewhere", "bert@demo.test", &id).replace('\n', "\r\n");
    scene.server.append("bob@demo.test", "INBOX", elsewhere.as_bytes()).expect("an inbox");
    scene.postroom.client.act(&format!("/api/v2/mailboxes/{other}/actions/sync")).await.expect(200);
    let listed = format!("/api/v2/messages?filter[mailbox][id]={other}");
    for _ in 0..600 {
        if scene.postroom.client.get(&listed).await.expect(200).json["meta"]["count"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.postroom.client.get(&listed).await.expect(200).json["meta"]["count"], 1);
    assert!(scene.mailing(mailing).await["bouncedAt"].is_null());
    assert_eq!(scene.suppressed().await, []);

    let (shown, about) = scene.receives("spam", &complaint("spam", "bert@demo.test", &id)).await;
    assert_eq!((&shown["classification"], about), (&json!("complaint"), json!(mailing)));
    assert!(scene.mailing(mailing).await["markedAsSpamAt"].is_string());
    assert_eq!(scene.suppressed().await, [("bert@demo.test".to_owned(), "complaint".to_owned())]);
    scene.postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_mail_is_not_stored_but_what_concerns_a_mailing_acts() {
    let scene = Scene::new(json!({"prospectEmailExclusions": "*@home.test\n*@mx.demo.test"})).await;
    let (mailing, id) = scene.sent(json!({"to": ["kid@home.test"]})).await;
    let private = format!("From: kid@home.test\r\nTo: {ANN}\r\nSubject: private\r\n\r\nsecret\r\n");
    scene.server.append(ANN, "INBOX", private.as_bytes()).expect("an inbox");
    let raw = report("a report", "kid@home.test", "550 5.1.1 User unknown", &id);
    assert_eq!(scene.receives("a report", &raw).await.1, json!(mailing));
    assert_eq!(scene.mailing(mailing).await["state"], "bounced");
    let reply = format!(
        "From: kid@home.test\nTo: {ANN}\nSubject: Re: Offer\nIn-Reply-To: <{id}>\n\nYes, please.\n\n\
         On Tue, 10 Feb 2026 at 09:12, Ann <{ANN}> wrote:\n> Hello\n"
    );
    let (shown, _) = scene.receives("Re: Offer", &reply).await;
    assert_eq!((&shown["classification"], &shown["replyText"]), (&json!("reply"), &json!("Yes, please.")));
    let listed = scene.postroom.client.get("/api/v2/messages?page[size]=50").await.expect(200);
    let subjects: Vec<&Value> =
        listed.json["data"].as_array().expect("a list").iter().map(|one| &one["attributes"]["subject"]).collect();
    assert!(!subjects.contains(&&json!("private")), "{subjects:?}");
    // It is not fetched again either: what is asked for from now on is what is new.
    let fetched = scene.server.connections();
    for number in 0..3 {
        let subject = format!("new {number}");
        scene.receives(&subject, &format!("From: x@else.test\nTo: {ANN}\nSubject: {subject}\n\nhi\n")).await;
    }
    let bodies = scene.server.connections().imap_literals - fetched.imap_literals;
    assert_eq!(bodies, 3, "bodies that were fetched for three messages");
    scene.postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_by_mail_is_offered_where_it_is_read_and_suppresses() {
    let scene = Scene::new(json!({})).await;
    let campaign = |to: &str| json!({"to": [to], "mailingType": "campaign"});
    let (mailing, _) = scene.sent(campaign("bert@demo.test")).await;
    let mail = scene.server.wait_accepted(1).await.remove(0);
    // RFC 8058: the https one first, with the field that makes one click enough.
    assert!(opt_out_path(&mail).starts_with("/u/"));
    assert_eq!(field(&mail, "List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
    let ways = field(&mail, "List-Unsubscribe").expect("the field");
    let mailto = ways.split("<mailto:").nth(1).and_then(|rest| rest.strip_suffix('>')).expect("a way by mail");
    let (address, subject) = mailto.split_once("?subject=").expect("a subject");
    assert_eq!(address, ANN);
    let subject = subject.replace("%20", " ");
    let token = subject.strip_prefix("unsubscribe ").expect("the word").to_owned();
    // Forged, and of another purpose.
    let open = {
        let key = scene.postroom.app.store().write(|work| {
            let key = work.link_key()?;
            Ok::<_, StoreError>(key)
        });
        let key = key.await.expect("the key");
        let detail = "bert@demo.test".into();
        key.token(&Link { purpose: Purpose::Open, mailbox: scene.mailbox, mailing, detail })
    };
    let forged = format!("{}{}", &token[..token.len() - 4], if token.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    for bad in [forged, open] {
        let subject = format!("unsubscribe {bad}");
        let (shown, _) = scene.receives(&subject, &format!("From: bert@demo.test\nSubject: {subject}\n\n")).await;
        assert_eq!(shown["classification"], "other", "{subject}");
        assert_eq!(scene.suppressed().await, []);
    }
    let (shown, about) = scene.receives(&subject, &format!("From: bert@demo.test\nSubject: {subject}\n\n")).await;
    assert_eq!((&shown["classification"], about), (&json!("unsubscribe"), json!(mailing)));
    assert_eq!(scene.suppressed().await, [("bert@demo.test".to_owned(), "unsubscribe".to_owned())]);
    assert!(scene.mailing(mailing).await["unsubscribedAt"].is_string());
    // Where nobody reads it, it is not offered.
    let off = json!({"data": {"type": "mailbox", "id": scene.mailbox, "attributes": {"syncDisabled": true}}});
    scene.postroom.client.patch(&format!("/api/v2/mailboxes/{}", scene.mailbox), &off).await.expect(200);
    scene.sent(campaign("cora@demo.test")).await;
    let ways = field(&scene.server.wait_accepted(2).await[1], "List-Unsubscribe").expect("the field");
    assert!(!ways.contains("mailto:") && ways.contains("https://"), "{ways}");
    scene.postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gmails_thread_tells_what_a_reply_without_a_reference_to_the_mailing_answers() {
    let options = Options { recipients: Recipients::Anybody, require_auth: false, ..Options::gmail() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account(ANN, "ann's secret");
    let scene = Scene::on(server, json!({"saveSentCopy": "always"})).await;
    let (mailing, id) = scene.sent(json!({"to": ["bert@demo.test"], "inReplyTo": "<root@else.test>"})).await;
    // The copy is filed and synced; the thread is that of what the mailing answered.
    scene.sync().await;
    let copies = "/api/v2/messages?filter[direction]=outbound";
    let mut copied = false;
    for _ in 0..600 {
        let listed = scene.postroom.client.get(copies).await.expect(200);
        let shown = &listed.json["data"][0]["attributes"]["messageId"];
        copied = shown.as_str().is_some_and(|shown| shown.contains(&id));
        if copied {
            break;
        }
        scene.sync().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(copied, "the copy was never synced");
    let other = "From: bert@demo.test\nSubject: Re: Offer\nReferences: <other@else.test>\n\nnot this one\n";
    assert_eq!(scene.receives("Re: Offer", other).await.0["classification"], "other");
    let reply = "From: bert@demo.test\nSubject: RE: Offer\nReferences: <root@else.test>\n\nYes\n";
    let (shown, about) = scene.receives("RE: Offer", reply).await;
    assert_eq!((&shown["classification"], about), (&json!("reply"), json!(mailing)));
    assert_eq!(scene.mailing(mailing).await["state"], "replied");
    scene.postroom.stop().await;
}

/// The real binary, killed again and again while reports come in: each acts exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn over_kills_each_bounce_acts_exactly_once() {
    const MAILINGS: u64 = 6;
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let (sink, home) = (mail_server().await, Home::new());
    let token = home.administrator();
    let mut server = Server::start(&home);
    let mut client = Client::new(&server.url, Some(&token));
    let settings = json!({
        "email": ANN, "password": "ann's secret", "smtpHost": "127.0.0.1", "smtpPort": sink.smtp().port(),
        "smtpSsl": false, "imapHost": "127.0.0.1", "imapPort": sink.imap().port(), "imapSsl": false,
        "sendThreshold": null, "maxMailingsPerDay": null, "maxMailingsPerWeek": null, "saveSentCopy": "never",
    });
    client.create("mailbox", "mailboxes", &settings).await;
    for number in 0..MAILINGS {
        let document = json!({"data": {
            "type": "mailing",
            "attributes": {"to": [format!("r{number}@demo.test")], "subject": "Offer", "bodyText": "t"},
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": 1}}},
        }});
        client.post("/api/v2/mailings", &document).await.expect(201);
    }
    for mail in sink.wait_accepted(MAILINGS).await {
        let id = field(&mail, "Message-ID").expect("a Message-ID");
        let to = mail.recipients[0].clone();
        let raw = report("bounce", &to, "550 5.1.1 User unknown", id.trim_matches(['<', '>'])).replace('\n', "\r\n");
        sink.append(ANN, "INBOX", raw.as_bytes()).expect("an inbox");
    }
    let bounced = "/api/v2/mailings?filter[state]=bounced";
    for _ in 0..4 {
        client.act("/api/v2/mailboxes/1/actions/sync").await;
        tokio::time::sleep(Duration::from_millis(random.below(120))).await;
        server.kill();
        server = Server::start(&home);
        client = Client::new(&server.url, Some(&token));
    }
    for _ in 0..300 {
        if client.get(bounced).await.expect(200).json["meta"]["count"] == MAILINGS {
            break;
        }
        client.act("/api/v2/mailboxes/1/actions/sync").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get(bounced).await.expect(200).json["meta"]["count"], MAILINGS);
    assert_eq!(client.get("/api/v2/messages").await.expect(200).json["meta"]["count"], MAILINGS);
    assert_eq!(suppressed(&client).await.len() as u64, MAILINGS);
    assert!(server.stop().success());
    // What happened is in the log once each.
    let events = events_of(&home);
    for kind in ["MailingBounced", "SuppressionCreated", "MessageCreated"] {
        let count = events.iter().filter(|event| *event == kind).count() as u64;
        assert_eq!(count, MAILINGS, "{kind}: {events:?}");
    }
}

/// The kinds of all events in a home that nobody holds.
fn events_of(home: &Home) -> Vec<String> {
    let key = KeyFile::at(&home.key_file(), &home.data()).and_then(|file| file.load()).expect("the key");
    let file = home.data().join("postroom.redb");
    let store = Store::open(&file, 1 << 20, Vault::new(&key), Runtime::system()).expect("the store");
    let events = events_after(&store.read().expect("a snapshot"), 0, 10_000).expect("the log");
    events.into_iter().map(|event| format!("{:?}", event.kind)).collect()
}
