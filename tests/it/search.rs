//! Synced messages are found by their words: over the API, beside other filters, after a restart of the process.

use crate::support::client::Client;
use crate::support::instance::Instance;
use postroom::mailserver::{MailServer, Options};
use serde_json::{Value, json};
use std::time::Duration;

const PASSWORD: &str = "secret";

/// A mail with a text in UTF-8, or in HTML.
fn mail(number: u32, subject: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{number}@else.test>\r\nFrom: Rosa M\u{fc}ller <rosa@else.test>\r\nTo: ann@demo.test\r\n\
         Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

async fn synced(postroom: &Instance, server: &MailServer, user: &str, count: usize) -> u64 {
    let settings = json!({
        "imapHost": "127.0.0.1", "imapPort": server.imap().port(), "imapSsl": false, "password": PASSWORD,
        "sendDisabled": true,
    });
    let mailbox = postroom.mailbox(user, settings).await;
    for _ in 0..600 {
        let listed = postroom.client.get(&format!("/api/v2/messages?filter[mailbox][id]={mailbox}")).await.expect(200);
        if listed.json["meta"]["count"] == count {
            return mailbox;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{user} is not synced");
}

/// The subjects that a search finds, in their order.
async fn found(client: &Client, query: &str) -> Vec<String> {
    let path = format!("/api/v2/messages?fields[message]=subject&{query}");
    let listed = client.get(&path).await.expect(200);
    let subject = |message: &Value| message["attributes"]["subject"].as_str().expect("a subject").to_owned();
    listed.json["data"].as_array().expect("a list").iter().map(subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_subject_people_text_and_attachments_in_any_script() {
    let server = MailServer::start(Options::default()).await.expect("a mail server on loopback");
    let postroom = Instance::start().await;
    for user in ["ann@demo.test", "bob@demo.test"] {
        server.add_account(user, PASSWORD);
    }
    let attached = "Message-ID: <9@else.test>\r\nFrom: x@else.test\r\nSubject: with a file\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee there\r\n--b\r\n\
        Content-Type: application/pdf; name=\"Quarterly-Report.pdf\"\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n";
    for (minutes, raw) in [
        (1, mail(1, "first", "plain", "Die Stra\u{df}e nach \u{141}\u{f3}d\u{17a}")),
        (2, mail(2, "second", "html", "<style>p{color:red}</style><p>strasse &amp; <b>bri</b>dge</p>")),
        (3, mail(3, "third", "plain", "\u{6771}\u{4eac}\u{306e}\u{5929}\u{6c17}")),
        (4, attached.into()),
    ] {
        let at = postroom::domain::time::Timestamp::parse("2026-11-01T10:00:00Z").expect("a time");
        let at = at.plus(Duration::from_mins(minutes));
        server.append_at("ann@demo.test", "INBOX", &raw, at).expect("Ann has an inbox");
    }
    server.append("bob@demo.test", "INBOX", &mail(5, "fifth", "plain", "strasse")).expect("Bob has an inbox");
    let ann = synced(&postroom, &server, "ann@demo.test", 4).await;
    let bob = synced(&postroom, &server, "bob@demo.test", 1).await;
    let client = &postroom.client;
    // Newest first, unless another order is wanted.
    assert_eq!(found(client, "filter[q]=STRASSE").await, ["fifth", "second", "first"]);
    assert_eq!(found(client, "filter[q]=strasse&sort=receivedAt").await, ["first", "second", "fifth"]);
    assert_eq!(found(client, &format!("filter[q]=strasse&filter[mailbox][id]={ann}")).await, ["second", "first"]);
    assert_eq!(found(client, &format!("filter[q]=strasse&filter[mailbox][id]={bob}")).await, ["fifth"]);
    assert_eq!(found(client, "filter[q]=lodz").await, ["first"]);
    assert_eq!(found(client, "filter[q]=strasse%20brid").await, ["second"], "the last word as it is typed");
    assert_eq!(found(client, "filter[q]=brid%20strasse").await, [""; 0]);
    assert_eq!(found(client, "filter[q]=color").await, [""; 0], "a style is no text");
    assert_eq!(found(client, "filter[q]=%E5%A4%A9%E6%B0%97").await, ["third"]);
    assert_eq!(found(client, "filter[q]=quarterly%20report").await, ["with a file"]);
    assert_eq!(found(client, "filter[q]=rosa%40else.test%20muller%20second").await, ["second"]);

    // Pages follow each other.
    let page = client.get("/api/v2/messages?filter[q]=else&page[size]=2&fields[message]=subject").await.expect(200);
    assert_eq!(page.json["meta"]["count"], 5);
    let next = page.json["links"]["next"].as_str().expect("another page").to_owned();
    let next = &next[next.find("/api/").expect("a path")..];
    let rest = client.get(next).await.expect(200);
    assert_eq!(rest.json["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest.json["data"][0]["attributes"]["subject"], "third");

    // What cannot be looked for says so.
    for query in ["filter[q]=", "filter[q]=%20-%20", &format!("filter[q]={}", "x".repeat(501))] {
        let refused = client.get(&format!("/api/v2/messages?{query}")).await.expect(400);
        assert_eq!(refused.json["errors"][0]["source"]["parameter"], "filter[q]", "{query}");
    }
    client.get("/api/v2/mailboxes?filter[q]=x").await.expect(400);

    // A message that goes is found no longer.
    client.delete(&format!("/api/v2/mailboxes/{bob}")).await.expect(204);
    for _ in 0..600 {
        if found(client, "filter[q]=strasse").await == ["second", "first"] {
            postroom.stop().await;
            server.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Bob's message is still found");
}
