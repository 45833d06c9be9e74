//! What a client says of a mailing, in the message that leaves, as a parser that is not ours reads it.

use crate::mailing_edits::{mail_server, smtp};
use crate::support::instance::Instance;
use mail_parser::MessageParser;
use postroom::domain::user::Role;
use postroom::mailserver::Accepted;
use serde_json::{Value, json};

/// The lines of the header, unfolded.
fn header(mail: &Accepted) -> String {
    let raw = String::from_utf8_lossy(&mail.raw).replace("\r\n ", " ").replace("\r\n\t", " ");
    raw.split("\r\n\r\n").next().unwrap_or_default().to_owned()
}

fn has_field(mail: &Accepted, name: &str) -> bool {
    let name = format!("{}:", name.to_ascii_lowercase());
    header(mail).lines().any(|line| line.to_ascii_lowercase().starts_with(&name))
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_to_and_further_fields_are_in_the_header() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let content = json!({
        "to": ["bert@demo.test"], "subject": "s", "bodyText": "t", "replyTo": "Bücher, Desk <desk@demo.test>",
        "headers": {"X-Campaign": "Frühling 7", "List-Id": "<news.demo.test>", "Precedence": "bulk"},
    });
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until_state(mailing, "delivered").await;
    let plain = postroom.mailing(mailbox, json!({"to": ["bert@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until_state(plain, "delivered").await;
    let mails = server.wait_accepted(2).await;
    let read = MessageParser::default().parse(&mails[0].raw[..]).expect("a message");
    let reply_to = read.reply_to().and_then(|found| found.first()).expect("Reply-To");
    assert_eq!((reply_to.name(), reply_to.address()), (Some("Bücher, Desk"), Some("desk@demo.test")));
    // RFC 2047: in words that 7-bit servers carry.
    for line in ["X-Campaign: =?utf-8?q?Fr=C3=BChling_7?=", "List-Id: <news.demo.test>", "Precedence: bulk"] {
        assert!(header(&mails[0]).lines().any(|found| found == line), "{line} is not in {}", header(&mails[0]));
    }
    for name in ["Reply-To", "X-Campaign", "List-Id", "Precedence"] {
        assert!(has_field(&mails[0], name) && !has_field(&mails[1], name), "{name}");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_carries_the_name_of_the_mailboxs_owner() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let owners = [
        ("ann", Some(("Ann", "O'Neill, \"Jr.\"")), Some("Ann O'Neill, \"Jr.\"")),
        ("asa", Some(("Åsa", "Öberg")), Some("Åsa Öberg")),
        ("bob", None, None),
    ];
    for (number, (local, names, expected)) in owners.into_iter().enumerate() {
        let owner = postroom.person_named(local, Role::Admin, names).await;
        let email = format!("{local}@demo.test");
        let mut settings = smtp(&server);
        for (name, value) in [("email", json!(email)), ("smtpSsl", json!(false)), ("sendThreshold", Value::Null)] {
            settings[name] = value;
        }
        let mailbox = owner.client.create("mailbox", "mailboxes", &settings).await["id"].as_u64().expect("an id");
        // Whoever writes it: it is sent by the mailbox.
        let content = json!({"to": ["c@demo.test"], "subject": "s", "bodyText": "t"});
        let mailing = postroom.mailing(mailbox, content).await;
        postroom.until_state(mailing, "delivered").await;
        let mail = server.wait_accepted(number as u64 + 1).await.remove(number);
        assert_eq!(mail.sender, email);
        let read = MessageParser::default().parse(&mail.raw[..]).expect("a message");
        let from: Vec<_> = read.from().expect("From").iter().map(|one| (one.name(), one.address())).collect();
        assert_eq!(from, [(expected, Some(email.as_str()))], "{}", header(&mail));
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_of_copies_alone_has_no_empty_fields_and_names_no_blind_copy() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let blind = postroom.mailing(mailbox, json!({"bcc": ["dora@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until_state(blind, "delivered").await;
    let copies = json!({"cc": ["cora@demo.test"], "bcc": ["dora@demo.test"], "subject": "s", "bodyText": "t"});
    let copies = postroom.mailing(mailbox, copies).await;
    postroom.until_state(copies, "delivered").await;
    let mails = server.wait_accepted(2).await;
    assert_eq!(mails[0].recipients, ["dora@demo.test"]);
    assert_eq!(mails[1].recipients, ["cora@demo.test", "dora@demo.test"]);
    for mail in &mails {
        let raw = String::from_utf8_lossy(&mail.raw);
        assert!(!raw.contains("dora") && !has_field(mail, "Bcc"), "{raw}");
        // A group without members (RFC 5322 §3.4): there has to be an address in the field.
        assert!(header(mail).lines().any(|line| line == "To: undisclosed-recipients:;"), "{raw}");
    }
    assert!(!has_field(&mails[0], "Cc"));
    assert!(header(&mails[1]).lines().any(|line| line == "Cc: cora@demo.test"), "{}", header(&mails[1]));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_whom_none_may_be_mailed_fail_before_any_connection() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    for email in ["cora@demo.test", "dora@demo.test"] {
        postroom.client.create("suppression", "suppressions", &json!({"email": email})).await;
    }
    let content = json!({"cc": ["cora@demo.test"], "bcc": ["dora@demo.test"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, content).await;
    let failed = postroom.until_state(mailing, "failed").await;
    assert_eq!(failed["errorReason"], "Every recipient is suppressed.");
    for outcome in failed["recipientOutcomes"].as_array().expect("outcomes") {
        assert_eq!(outcome["state"], "failed");
        assert!(outcome["answer"].as_str().is_some_and(|why| why.contains("suppressed")), "{outcome}");
    }
    assert_eq!((&failed["attempts"], server.connections().smtp), (&json!([]), 0));
    postroom.stop().await;
}
