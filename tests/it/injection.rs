//! Nothing that a client writes becomes a header field, a command or a second message of its own.

use crate::attachments::{noise, uploaded, with_attachments};
use crate::mailing_edits::{mail_server, smtp};
use crate::support::instance::Instance;
use mail_parser::MessageParser;
use postroom::mime;
use serde_json::{Value, json};

/// What ends a line somewhere, with what it would bring in.
const BREAKS: [&str; 5] = ["\r", "\n", "\r\n", "\0", "\u{2028}"];

/// The same for readers that decode before they look.
const ENCODED: [&str; 3] =
    ["a=0D=0ABcc: eve@evil.test", "=?utf-8?q?a=0D=0ABcc:_eve@evil.test?=", "=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLnRlc3Q=?="];

type Poison = fn(&str) -> Value;

/// Everything that a client says and that ends in a header, with the place that an error blames.
const FIELDS: [(&str, Poison); 10] = [
    ("to", |bad| json!({"to": [format!("{bad} <bert@demo.test>")]})),
    ("cc", |bad| json!({"cc": [format!("\"{bad}\" <cora@demo.test>")]})),
    ("bcc", |bad| json!({"bcc": [format!("{bad} <dora@demo.test>")]})),
    ("to", |bad| json!({"to": [format!("{bad}@demo.test")]})),
    ("replyTo", |bad| json!({"replyTo": format!("{bad} <ann@demo.test>")})),
    ("subject", |bad| json!({"subject": bad})),
    ("headers/X-Campaign", |bad| json!({"headers": {"X-Campaign": bad}})),
    ("inReplyTo", |bad| json!({"inReplyTo": format!("<{bad}@demo.test>")})),
    ("fromAlias", |bad| json!({"fromAlias": format!("{bad}@demo.test")})),
    ("subject", |bad| json!({"subject": "{{name}}", "variables": {"name": bad}})),
];

fn document(mailbox: u64, attributes: &Value) -> Value {
    let mut all = json!({"to": ["bert@demo.test"], "subject": "s", "bodyText": "t"});
    for (name, value) in attributes.as_object().expect("attributes") {
        all[name] = value.clone();
    }
    with_attachments(mailbox, &all, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_takes_a_line_break() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    for line_break in BREAKS {
        let bad = format!("a{line_break}Bcc: eve@evil.test");
        for (place, poison) in FIELDS {
            let refused = postroom.client.post("/api/v2/mailings", &document(mailbox, &poison(&bad))).await.expect(422);
            let pointer = format!("/data/attributes/{place}");
            // A NUL in a variable is refused as such.
            let blamed = refused.blamed().unwrap_or_default();
            assert!(blamed == pointer || blamed == "/data/attributes/variables/name", "{bad:?}: {}", refused.text);
        }
        let name = document(mailbox, &json!({"headers": {format!("X-A{line_break}Bcc"): "eve@evil.test"}}));
        let refused = postroom.client.post("/api/v2/mailings", &name).await.expect(422);
        assert!(refused.blamed().unwrap_or_default().starts_with("/data/attributes/headers/X-A"), "{}", refused.text);
        for attribute in ["filename", "contentType"] {
            let mut attributes = json!({"filename": "a", "content": "YQ=="});
            attributes[attribute] = json!(bad);
            let upload = json!({"data": {"type": "attachment", "attributes": attributes}});
            let refused = postroom.client.post("/api/v2/attachments", &upload).await.expect(422);
            assert_eq!(refused.blamed(), Some(format!("/data/attributes/{attribute}").as_str()));
        }
    }
    assert_eq!(postroom.client.get("/api/v2/mailings").await.expect(200).json["meta"]["count"], 0);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_line_breaks_stay_the_text_that_they_are() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mut sent = 0;
    for sly in ENCODED {
        for (_, poison) in FIELDS {
            let answer = postroom.client.post("/api/v2/mailings", &document(mailbox, &poison(sly))).await;
            match answer.status {
                422 => continue,
                201 => sent += 1,
                _ => panic!("{}", answer.text),
            }
            let id = answer.json["data"]["id"].as_u64().unwrap();
            postroom.until_state(id, "delivered").await;
            let accepted = server.wait_accepted(sent).await;
            let mail = accepted.last().unwrap();
            assert_eq!(accepted.len() as u64, sent, "one message each");
            assert!(!mail.recipients.iter().any(|recipient| recipient.contains("eve")), "{:?}", mail.recipients);
            let raw = String::from_utf8_lossy(&mail.raw).into_owned();
            assert!(!raw.to_ascii_lowercase().contains("\r\nbcc") && !mail.bare_cr && !mail.bare_lf, "{raw}");
            let read = mime::parse(&mail.raw);
            assert!(read.bcc.is_empty(), "{raw}");
            let shown = &answer.json["data"]["attributes"];
            assert_eq!(read.subject.as_deref(), shown["subject"].as_str(), "{raw}");
        }
        let document = json!({"data": {"type": "attachment", "attributes": {"filename": sly, "content": "YQ=="}}});
        let name = postroom.client.post("/api/v2/attachments", &document);
        let id = name.await.expect(201).json["data"]["id"].as_u64().unwrap();
        let attributes = json!({"to": ["bert@demo.test"], "subject": "s", "bodyText": "t"});
        let made =
            postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &[id])).await.expect(201);
        postroom.until_state(made.json["data"]["id"].as_u64().unwrap(), "delivered").await;
        sent += 1;
        let accepted = server.wait_accepted(sent).await;
        let raw = accepted.last().unwrap().raw.clone();
        let message = MessageParser::default().parse(&raw[..]).unwrap();
        assert!(message.bcc().is_none() && message.attachment_count() == 1, "{}", String::from_utf8_lossy(&raw));
    }
    assert!(sent > 10, "most of it is harmless text: {sent}");
    postroom.stop().await;
}

/// What some server somewhere takes for the end of a message.
const ENDS: [&[u8]; 9] =
    [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n\0.\r\n", b"\r\n.\r\n", b"\n\r.\n\r", b"\r\n..\r\n"];

const SMUGGLED: &[u8] =
    b"MAIL FROM:<eve@evil.test>\r\nRCPT TO:<victim@demo.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";

/// The end at the start, in the middle, and around the borders of the blocks in which a message goes out.
fn bodies(end: &[u8]) -> Vec<Vec<u8>> {
    const BLOCK: usize = 32 << 10;
    let after = |length: usize| -> Vec<u8> {
        let line = format!("{}\r\n", "x".repeat(62)).into_bytes();
        let mut body: Vec<u8> = line.iter().copied().cycle().take(length).collect();
        body.extend_from_slice(end);
        body.extend_from_slice(SMUGGLED);
        body
    };
    let mut all = vec![after(0), after(100)];
    // Header fields come before; wherever the border falls, one of these lies across it.
    all.extend((0..10).map(|step| after(BLOCK - 600 + step * 67)));
    all
}

fn lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_and_no_file_ends_the_message_early() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mut sent = 0;
    for end in ENDS {
        for body in bodies(end) {
            let text = String::from_utf8(body.clone()).expect("text");
            let file = uploaded(&postroom.client, "f.bin", &body).await;
            let both = json!({"to": ["bert@demo.test"], "subject": "s", "bodyText": text, "bodyHtml": format!("<pre>{text}</pre>")});
            let made = postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &both, &[file])).await;
            if text.contains('\0') {
                // Texts hold no NUL; files may.
                made.expect(422);
                let only = json!({"to": ["bert@demo.test"], "subject": "s", "bodyText": "t"});
                postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &only, &[file])).await.expect(201);
                sent += 1;
                let accepted = server.wait_accepted(sent).await;
                let mail = accepted.last().unwrap();
                let message = MessageParser::default().parse(&mail.raw[..]).unwrap();
                assert!(message.attachment(0).unwrap().contents() == body && !mail.bare_cr && !mail.bare_lf);
                continue;
            }
            made.expect(201);
            sent += 1;
            let accepted = server.wait_accepted(sent).await;
            assert_eq!(accepted.len() as u64, sent, "exactly one message: {:?}", end.escape_ascii().to_string());
            let mail = accepted.last().unwrap();
            assert_eq!((mail.sender.as_str(), mail.recipients.len()), ("ann@demo.test", 1));
            assert!(!mail.bare_cr && !mail.bare_lf, "{}", end.escape_ascii());
            let message = MessageParser::default().parse(&mail.raw[..]).unwrap();
            assert_eq!(lf(message.body_text(0).as_deref().unwrap_or_default()), lf(&text));
            assert_eq!(lf(message.body_html(0).as_deref().unwrap_or_default()), lf(&format!("<pre>{text}</pre>")));
            assert!(message.attachment(0).unwrap().contents() == body, "{}", end.escape_ascii());
        }
    }
    // And whatever octets there are.
    let octets = noise(100_000);
    let file = uploaded(&postroom.client, "noise.bin", &octets).await;
    let attributes = json!({"to": ["bert@demo.test"], "subject": "s"});
    postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &[file])).await.expect(201);
    let accepted = server.wait_accepted(sent + 1).await;
    let mail = accepted.last().unwrap();
    assert!(MessageParser::default().parse(&mail.raw[..]).unwrap().attachment(0).unwrap().contents() == octets);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_script_is_carried_or_refused_with_a_reason() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let attributes =
        json!({"to": ["Jürgen Groß <info@bücher.example>"], "subject": "日本語 ✓ עברית", "bodyText": "Ελλάδα"});
    let mailing = postroom.mailing(mailbox, attributes).await;
    postroom.until_state(mailing, "delivered").await;
    let mail = server.wait_accepted(1).await.remove(0);
    assert_eq!(mail.recipients, ["info@xn--bcher-kva.example"]);
    assert!(mail.raw.is_ascii());
    let read = mime::parse(&mail.raw);
    assert_eq!((read.subject.as_deref(), read.to[0].name.as_deref()), (Some("日本語 ✓ עברית"), Some("Jürgen Groß")));
    // A local part that is not ASCII needs a server that takes it.
    let mailing = postroom.mailing(mailbox, json!({"to": ["jürgen@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let failed = postroom.until_state(mailing, "failed").await;
    assert!(failed["errorReason"].as_str().unwrap().contains("SMTPUTF8"), "{failed:#}");
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendErroredAt"], Value::Null);
    postroom.stop().await;
}
