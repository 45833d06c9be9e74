//! The main job, over the API only, between servers that others wrote: Dovecot for what comes back, smtp-sink for what
//! goes out, Python's mail parser as the judge of every message.

use crate::peers::dovecot::{self, Dovecot};
use crate::peers::mime_check;
use crate::peers::smtp_sink::{self, SmtpSink};
use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::server::Server;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

const MAILINGS: usize = 200;

/// Subjects and bodies of every kind: plain, folded, accented, emoji, right to left, dots, long lines, empty.
fn content(number: usize) -> (String, Value) {
    let subject = match number % 6 {
        0 => format!("Plain {number}"),
        1 => format!("Grüße aus Köln, Straße {number}"),
        2 => format!("🚀 {number} 日本語の件名"),
        3 => format!("שלום {number}"),
        4 => format!("{number} {}", "a long subject that has to be folded ".repeat(6).trim_end()),
        _ => format!("=?utf-8?q?not_encoded?= {number}"),
    };
    let text = match number % 4 {
        0 => "Hello,\n.\n..\nBye\n".to_owned(),
        1 => "x".repeat(3000),
        2 => "Zeile eins äöü\r\nZeile zwei\n".to_owned(),
        _ => format!("Number {number}: 漢字 ✓"),
    };
    let html = format!("<p>Number {number}</p><p>{}</p>", text.trim());
    let attributes = match number % 3 {
        0 => json!({"bodyText": text}),
        1 => json!({"bodyHtml": html}),
        _ => json!({"bodyText": text, "bodyHtml": html}),
    };
    (subject, attributes)
}

async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_mailings_arrive_once_and_a_reply_is_recognised() {
    let (Some(dovecot), Some(sink)) =
        (Dovecot::start(&dovecot::Options::default()), SmtpSink::start(&smtp_sink::Options::default()))
    else {
        return;
    };
    let home = Home::new();
    home.configure(&format!("extra_ca_file = {:?}\n", dovecot.authority_file));
    let token = home.administrator();
    let server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));

    let mailbox = client
        .create(
            "mailbox",
            "mailboxes",
            &json!({
                "email": "ann@mail.test", "password": "ann's secret",
                "imapHost": dovecot.host(), "imapPort": dovecot.imaps.port(), "imapSsl": true,
                "smtpHost": sink.address.ip().to_string(), "smtpPort": sink.address.port(), "smtpSsl": false,
                "sendThreshold": null, "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
                "validateSend": true, "validateSync": true,
            }),
        )
        .await["id"]
        .as_u64()
        .expect("an id");

    let mut written = BTreeMap::new();
    for number in 0..MAILINGS {
        let (subject, mut attributes) = content(number);
        attributes["subject"] = json!(subject);
        attributes["to"] = json!([format!("Bert Bäcker {number} <bert{number}@partner.test>")]);
        let document = json!({"data": {
            "type": "mailing", "attributes": attributes,
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
        }});
        let answer = client.post("/api/v2/mailings", &document).await.expect(201);
        let data = &answer.json["data"];
        let message_id = data["attributes"]["messageId"].as_str().expect("a Message-ID").to_owned();
        written.insert(message_id, (number, data["id"].as_u64().expect("an id"), attributes));
    }
    until("every mailing is delivered", async || {
        let path = format!("/api/v2/mailings?filter[state]=delivered&filter[mailbox][id]={mailbox}&page[size]=1");
        let delivered = client.get(&path).await.expect(200);
        (delivered.json["meta"]["count"] == MAILINGS).then_some(())
    })
    .await;

    let received = sink.wait_for(MAILINGS);
    assert_eq!(received.len(), MAILINGS, "each exactly once");
    let raws: Vec<&[u8]> = received.iter().map(|message| message.raw.as_slice()).collect();
    let readings = mime_check::read_flawless(&raws).expect("python3 reads them");
    let mut seen = HashSet::new();
    for (reading, envelope) in readings.iter().zip(&received) {
        let message_id = reading.message_id.clone().expect("a Message-ID");
        let (number, _, attributes) = written.get(&message_id).expect("a mailing of ours");
        assert!(seen.insert(message_id), "{number} came twice");
        assert_eq!(envelope.sender, "ann@mail.test");
        assert_eq!(envelope.recipients, [format!("bert{number}@partner.test")]);
        assert_eq!(reading.subject.as_deref(), attributes["subject"].as_str(), "{number}");
        assert_eq!(reading.to[0].name, format!("Bert Bäcker {number}"));
        assert_eq!(reading.from[0].address, "ann@mail.test");
        let same = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
        if let Some(text) = attributes["bodyText"].as_str() {
            assert_eq!(reading.text.as_deref().map(same), Some(same(text)), "{number}");
        }
        let html = reading.html.as_deref().map(same);
        assert_eq!(html, attributes["bodyHtml"].as_str().map(same), "{number}");
        assert!(reading.text.as_deref().is_some_and(|text| !text.trim().is_empty()), "{number} has a text part");
    }

    // Somebody answers one of them; a vacation notice answers another.
    let (answered, (_, answered_id, _)) = written.iter().next().expect("a mailing");
    let (noticed, (_, noticed_id, _)) = written.iter().nth(1).expect("a mailing");
    let reply = |to: &str, extra: &str, id: &str| {
        format!(
            "From: Bert <bert@partner.test>\r\nTo: ann@mail.test\r\nSubject: Re: something else\r\n\
             Message-ID: <{id}@partner.test>\r\nIn-Reply-To: {to}\r\nReferences: <other@x.test> {to}\r\n{extra}\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nThank you!\r\n"
        )
    };
    dovecot.append("ann@mail.test", "INBOX", reply(answered, "", "reply1").as_bytes());
    dovecot.append("ann@mail.test", "INBOX", reply(noticed, "Auto-Submitted: auto-replied\r\n", "notice").as_bytes());
    client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    let replied = until("the reply is recognised", async || {
        let shown = client.get(&format!("/api/v2/mailings/{answered_id}")).await.expect(200);
        (shown.json["data"]["attributes"]["state"] == "replied").then_some(shown)
    })
    .await;
    assert!(replied.json["data"]["attributes"]["repliedAt"].is_string());
    let messages = until("both messages are stored", async || {
        let path = format!("/api/v2/messages?filter[mailbox][id]={mailbox}&sort=receivedAt");
        let messages = client.get(&path).await.expect(200);
        (messages.json["meta"]["count"] == 2).then_some(messages)
    })
    .await;
    let by_class = |class: &str| {
        let all = messages.json["data"].as_array().expect("a list");
        all.iter().find(|message| message["attributes"]["classification"] == class).cloned().expect(class)
    };
    assert_eq!(by_class("reply")["relationships"]["mailing"]["data"]["id"], *answered_id);
    let notice = by_class("autoReply");
    assert_eq!(notice["relationships"]["mailing"]["data"]["id"], *noticed_id);
    let unmoved = client.get(&format!("/api/v2/mailings/{noticed_id}")).await.expect(200);
    assert_eq!(unmoved.json["data"]["attributes"]["state"], "delivered", "a notice is no reply");

    // The raw message comes back octet for octet.
    let id = by_class("reply")["id"].as_u64().expect("an id");
    let raw = client.get_raw(&format!("/api/v2/messages/{id}/raw")).await;
    assert_eq!(raw, reply(answered, "", "reply1"));

    // A second sync brings nothing twice.
    client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let messages = client.get(&format!("/api/v2/messages?filter[mailbox][id]={mailbox}")).await.expect(200);
    assert_eq!(messages.json["meta"]["count"], 2);
    assert!(server.stop().success());
}
