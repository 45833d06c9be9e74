//! Threads over the API: what answers each other is one, with its messages, for those who may see the mailbox; and
//! mailings that join one.

use crate::support::instance::Instance;
use postroom::domain::user::Role;
use postroom::mailserver::{MailServer, Options};
use serde_json::{Value, json};
use std::time::Duration;

const ANN: &str = "ann@demo.test";

fn mail(id: &str, subject: &str, head: &str) -> String {
    format!("{id}From: bert@else.test\r\nTo: {ANN}\r\nSubject: {subject}\r\n{head}\r\nText\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_answers_a_message_that_came_in() {
    let server = MailServer::start(Options::default()).await.expect("a mail server on loopback");
    server.add_account(ANN, "secret");
    for raw in [
        mail("Message-ID: <3@else.test>\r\n", "third", "References: <1@else.test> <2@else.test>\r\n"),
        mail("Message-ID: <2@else.test>\r\n", "second", "In-Reply-To: <1@else.test>\r\n"),
        mail("Message-ID: <4@else.test>\r\n", "two above", "In-Reply-To: <1@else.test> <2@else.test>\r\n"),
        mail("", "nameless", ""),
    ] {
        server.append(ANN, "INBOX", raw.as_bytes()).expect("Ann has an inbox");
    }
    let postroom = Instance::start().await;
    let client = &postroom.client;
    let settings = json!({
        "imapHost": "127.0.0.1", "imapPort": server.imap().port(), "imapSsl": false, "password": "secret",
        "sendDisabled": true,
    });
    let mailbox = postroom.mailbox(ANN, settings).await;
    let mut messages = Vec::new();
    for _ in 0..600 {
        messages = client.get("/api/v2/messages").await.expect(200).json["data"].as_array().expect("a list").clone();
        if messages.len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let id = |subject: &str| {
        let found = messages.iter().find(|message| message["attributes"]["subject"] == subject);
        found.unwrap_or_else(|| panic!("{subject} has not come: {messages:#?}"))["id"].clone()
    };
    let content = |answered: &Value| json!({"to": ["b@else.test"], "subject": "s", "bodyText": "t", "state": "drafted", "inReplyTo": answered});
    let [first, second, third, fourth] = ["<1@else.test>", "<2@else.test>", "<3@else.test>", "<4@else.test>"];
    for (answered, in_reply_to, references) in [
        (json!({"type": "message", "id": id("third")}), third, json!([first, second, third])),
        (json!(third), third, json!([first, second, third])),
        // RFC 5322 §3.6.4: without References, what it answered, if that is one.
        (json!({"type": "message", "id": id("second")}), second, json!([first, second])),
        (json!({"type": "messages", "id": id("two above").to_string()}), fourth, json!([fourth])),
        (json!("<9@else.test>"), "<9@else.test>", json!(["<9@else.test>"])),
    ] {
        let mailing = postroom.mailing(mailbox, content(&answered)).await;
        let shown = postroom.attributes("mailings", mailing).await;
        assert_eq!((shown["inReplyTo"].as_str(), &shown["references"]), (Some(in_reply_to), &references), "{answered}");
    }
    let document = |mailbox: &Value, answered: &Value| {
        json!({"data": {"type": "mailing", "attributes": content(answered),
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}})
    };
    let nameless = document(&json!(mailbox), &json!({"type": "message", "id": id("nameless")}));
    let refused = client.post("/api/v2/mailings", &nameless).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/attributes/inReplyTo"));
    assert!(refused.text.contains("no Message-ID"), "{}", refused.text);
    // Whoever does not see the message learns nothing of its thread, by neither name.
    let stranger = postroom.person("stranger", Role::Member).await;
    let own = json!({"email": "s@demo.test", "sendDisabled": true});
    let own = stranger.client.create("mailbox", "mailboxes", &own).await["id"].clone();
    let hidden = document(&own, &json!({"type": "message", "id": id("third")}));
    let refused = stranger.client.post("/api/v2/mailings", &hidden).await.expect(422);
    assert!(refused.text.contains("There is no such message"), "{}", refused.text);
    let made = stranger.client.post("/api/v2/mailings", &document(&own, &json!(third))).await.expect(201);
    assert_eq!(made.json["data"]["attributes"]["references"], json!([third]));
    postroom.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_answer_each_other_are_a_thread() {
    let server = MailServer::start(Options::default()).await.expect("a mail server on loopback");
    server.add_account(ANN, "secret");
    let mail = |number: u32, head: &str| {
        format!(
            "Message-ID: <{number}@else.test>\r\nFrom: {number}@else.test\r\nTo: {ANN}\r\n{head}\r\nText {number}\r\n"
        )
    };
    let at = postroom::domain::time::Timestamp::parse("2026-11-01T10:00:00Z").expect("a time");
    for (minutes, folder, raw) in [
        (1, "INBOX", mail(1, "Subject: Plan\r\n")),
        (2, "Sent", mail(2, "Subject: Re: Plan\r\nIn-Reply-To: <1@else.test>\r\n")),
        (3, "INBOX", mail(3, "Subject: AW: Plan\r\nReferences: <1@else.test> <2@else.test>\r\n")),
        (4, "INBOX", mail(4, "Subject: Plan\r\n")),
    ] {
        let at = at.plus(Duration::from_mins(minutes));
        server.append_at(ANN, folder, raw.as_bytes(), at).expect("Ann has the folder");
    }
    let postroom = Instance::start().await;
    let client = &postroom.client;
    let settings = json!({
        "imapHost": "127.0.0.1", "imapPort": server.imap().port(), "imapSsl": false, "password": "secret",
        "sendDisabled": true,
    });
    let mailbox = postroom.mailbox(ANN, settings).await;
    let mut listed = json!(null);
    for _ in 0..600 {
        if client.get("/api/v2/messages?page[size]=1").await.expect(200).json["meta"]["count"] == 4 {
            listed = client.get("/api/v2/threads?sort=lastMessageAt").await.expect(200).json;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed["meta"]["count"], 2, "{listed:#}");
    let thread = &listed["data"][0];
    assert_eq!(thread["type"], "thread");
    let attributes = &thread["attributes"];
    assert_eq!(attributes["messageCount"], 3);
    assert_eq!((&attributes["subject"], &attributes["snippet"]), (&json!("Plan"), &json!("Text 3")));
    assert_eq!(attributes["firstMessageAt"], "2026-11-01T10:01:00.000Z");
    assert_eq!(attributes["lastMessageAt"], "2026-11-01T10:03:00.000Z");
    assert_eq!(attributes["participants"].as_array().map(Vec::len), Some(4));
    assert_eq!(thread["relationships"]["mailbox"]["data"]["id"], mailbox);

    // From the thread to its messages and back.
    let link = thread["relationships"]["messages"]["links"]["related"].as_str().expect("a link");
    let of_thread = client.get(&link[link.find("/api/").expect("a path")..]).await.expect(200).json;
    assert_eq!(of_thread["meta"]["count"], 3, "{link}");
    let message = &of_thread["data"][0];
    assert_eq!(message["relationships"]["thread"]["data"], json!({"type": "thread", "id": thread["id"]}));
    let shown = client.get(&format!("/api/v2/messages/{}?include=thread", message["id"])).await.expect(200).json;
    assert_eq!(shown["included"][0]["attributes"]["messageCount"], 3);
    let own =
        client.get(&format!("/api/v2/threads?filter[mailbox][id]={mailbox}&sort=-lastMessageAt")).await.expect(200);
    assert_eq!(own.json["data"][1]["id"], thread["id"]);
    client.get("/api/v2/threads/4711").await.expect(404);

    // With the mailbox its threads go.
    client.delete(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(204);
    for _ in 0..600 {
        if client.get("/api/v2/threads").await.expect(200).json["meta"]["count"] == 0 {
            postroom.stop().await;
            server.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the threads of a deleted mailbox stay");
}
