//! Attachments: uploaded, sent with mailings, bounded by our limit and the server's.

use crate::mailing_edits::{mail_server, smtp};
use crate::support::client::{Answer, Client, Request};
use crate::support::instance::Instance;
use mail_parser::{MessageParser, MimeHeaders};
use postroom::config::{ByteSize, Config};
use postroom::domain::user::Role;
use postroom::mailserver::{Capabilities, MailServer, Options, Recipients};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

pub async fn upload(client: &Client, query: &str, headers: &[(&str, &str)], octets: &[u8]) -> Answer {
    let path = format!("/api/v2/attachments{query}");
    client.send(Request { method: "POST", path: &path, headers, body: Some(octets) }).await.checked()
}

pub async fn uploaded(client: &Client, name: &str, octets: &[u8]) -> u64 {
    let answer = upload(client, &format!("?filename={name}"), &[], octets).await.expect(201);
    answer.json["data"]["id"].as_u64().expect("an id")
}

pub fn with_attachments(mailbox: u64, attributes: &Value, ids: &[u64]) -> Value {
    let ids: Vec<Value> = ids.iter().map(|id| json!({"type": "attachment", "id": id})).collect();
    json!({"data": {"type": "mailing", "attributes": attributes, "relationships": {
        "mailbox": {"data": {"type": "mailbox", "id": mailbox}}, "attachments": {"data": ids},
    }}})
}

/// Octets of every value, without a pattern that a compressor would love.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_as_they_were_uploaded() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let large = noise(700_001);
    let pdf = upload(
        &postroom.client,
        "?filename=R%C3%A9sum%C3%A9%20%E2%9C%93.pdf",
        &[("Content-Type", "application/pdf")],
        &large,
    )
    .await
    .expect(201);
    let shown = &pdf.json["data"]["attributes"];
    assert_eq!(
        (shown["filename"].as_str(), shown["contentType"].as_str()),
        (Some("Résumé ✓.pdf"), Some("application/pdf"))
    );
    assert_eq!(shown["size"], 700_001);
    let disposition = [
        ("Content-Disposition", "attachment; filename=\"a b.txt\""),
        ("Content-Type", "Text/Plain; Charset=\"utf-8\""),
    ];
    let text = upload(&postroom.client, "", &disposition, "Grüße\n.\n".as_bytes()).await.expect(201);
    assert_eq!(text.json["data"]["attributes"]["contentType"], "text/plain; charset=utf-8");
    let small = json!({"filename": "/etc/small.json", "contentType": "application/json", "content": "e30="});
    let small = postroom.client.create("attachment", "attachments", &small).await;
    assert_eq!(
        (small["attributes"]["filename"].as_str(), small["attributes"]["size"].as_u64()),
        (Some("small.json"), Some(2))
    );
    assert!(small["attributes"].get("content").is_none());
    let empty = uploaded(&postroom.client, "empty.bin", b"").await;

    let ids = [&pdf.json["data"]["id"], &text.json["data"]["id"], &small["id"]].map(|id| id.as_u64().unwrap());
    let ids = [ids[0], ids[1], ids[2], empty];
    let attributes =
        json!({"to": ["b@demo.test"], "subject": "Files", "bodyText": "Hello\n.\n", "bodyHtml": "<p>Hello</p>"});
    let made =
        postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &ids)).await.expect(201);
    let relationship = &made.json["data"]["relationships"]["attachments"];
    assert_eq!(relationship["meta"]["count"], 4);
    let listed = postroom.client.get(relationship["links"]["related"].as_str().expect("a link")).await.expect(200);
    assert_eq!(listed.json["meta"]["count"], 4);
    postroom.until_state(made.json["data"]["id"].as_u64().unwrap(), "delivered").await;
    let accepted = server.wait_accepted(1).await;
    assert!(!accepted[0].bare_cr && !accepted[0].bare_lf);
    let message = MessageParser::default().parse(&accepted[0].raw[..]).expect("a message");
    assert_eq!(message.attachment_count(), 4);
    let expected: [(&str, &[u8]); 4] =
        [("Résumé ✓.pdf", &large), ("a b.txt", "Grüße\n.\n".as_bytes()), ("small.json", b"{}"), ("empty.bin", b"")];
    for (number, (name, octets)) in expected.into_iter().enumerate() {
        let attachment = message.attachment(u32::try_from(number).unwrap()).expect("an attachment");
        assert_eq!(attachment.attachment_name(), Some(name));
        assert!(attachment.contents() == octets, "{name} is another file");
    }
    assert_eq!(message.body_text(0).as_deref().map(str::trim_end), Some("Hello\r\n."));
    assert_eq!(message.body_html(0).as_deref(), Some("<p>Hello</p>"));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_by_us_or_said_to_be_so_by_the_server() {
    let options = Options {
        recipients: Recipients::Anybody,
        smtp_capabilities: Capabilities { hidden: vec!["SIZE".into()], extra: vec!["SIZE 100000".into()] },
        ..Options::default()
    };
    let server = MailServer::start(options).await.expect("the mail server starts");
    let mut config = Config::default();
    config.server.attachment_size = ByteSize::mib(1);
    let postroom = Instance::start_with(config).await;
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let limit = 1 << 20;
    let refused = upload(&postroom.client, "?filename=a", &[], &noise(limit + 1)).await.expect(413);
    assert!(refused.text.contains("attachment_size"), "{}", refused.text);
    // Nothing of it is left.
    assert_eq!(postroom.client.get("/api/v2/attachments").await.expect(200).json["meta"]["count"], 0);
    let (whole, one) =
        (uploaded(&postroom.client, "a", &noise(limit)).await, uploaded(&postroom.client, "b", b"x").await);
    let attributes = json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"});
    let refused = postroom
        .client
        .post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &[whole, one]))
        .await
        .expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/attachments"));
    let made =
        postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &[whole])).await.expect(201);
    let failed = postroom.until_state(made.json["data"]["id"].as_u64().unwrap(), "failed").await;
    assert!(failed["errorReason"].as_str().unwrap().contains("the server takes at most 100000"), "{failed:#}");
    assert_eq!(
        postroom.attributes("mailboxes", mailbox).await["sendErroredAt"],
        Value::Null,
        "no error of the mailbox"
    );
    assert_eq!(server.accepted().len(), 0);
    for (query, headers, body, status) in [
        ("?filename=", &[][..], &b"x"[..], 400),
        ("?filename=..%2F", &[][..], b"x", 400),
        ("?filename=a%0D%0Ab", &[][..], b"x", 400),
        ("?name=x", &[][..], b"x", 400),
        ("", &[][..], b"x", 415),
        (
            "",
            &[("Content-Type", "application/vnd.api+json")][..],
            br#"{"data": {"type": "attachment", "attributes": {"filename": "a"}}}"#,
            422,
        ),
        (
            "",
            &[("Content-Type", "application/vnd.api+json")][..],
            br#"{"data": {"type": "attachment", "attributes": {"filename": "a", "content": "%"}}}"#,
            422,
        ),
        (
            "",
            &[("Content-Type", "application/vnd.api+json")][..],
            br#"{"data": {"type": "attachment", "attributes": {"content": ""}}}"#,
            422,
        ),
    ] {
        upload(&postroom.client, query, headers, body).await.expect(status);
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_their_owners_and_stay_while_a_mailing_uses_them() {
    let postroom = Instance::start().await;
    let (member, viewer) =
        (postroom.person("member", Role::Member).await, postroom.person("viewer", Role::Viewer).await);
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    let id = uploaded(&postroom.client, "a.txt", b"abc").await;
    let path = format!("/api/v2/attachments/{id}");
    upload(&viewer.client, "?filename=a", &[], b"x").await.expect(403);
    let nameless = upload(&postroom.client, "", &[("Content-Type", "text/plain")], b"x").await.expect(415);
    assert!(nameless.text.contains("?filename="), "{}", nameless.text);
    for client in [&member.client, &viewer.client] {
        client.get(&path).await.expect(404);
        client.delete(&path).await.expect(404);
        assert_eq!(client.get("/api/v2/attachments").await.expect(200).json["meta"]["count"], 0);
    }
    let own = json!({"data": {"type": "mailbox", "attributes": {"email": "m@demo.test", "sendDisabled": true}}});
    let own = member.client.post("/api/v2/mailboxes", &own);
    let own = own.await.expect(201).json["data"]["id"].as_u64().unwrap();
    let attributes = json!({"to": ["b@demo.test"], "state": "drafted"});
    let refused = member.client.post("/api/v2/mailings", &with_attachments(own, &attributes, &[id])).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/attachments"));

    let made =
        postroom.client.post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &[id])).await.expect(201);
    let mailing = made.json["data"]["id"].as_u64().unwrap();
    let used = postroom.client.delete(&path).await.expect(409);
    assert!(used.text.contains(&format!("The mailing {mailing} uses")), "{}", used.text);
    let none = json!({"data": {"type": "mailing", "id": mailing, "relationships": {"attachments": {"data": []}}}});
    postroom.client.patch(&format!("/api/v2/mailings/{mailing}"), &none).await.expect(200);
    postroom.client.delete(&path).await.expect(204);
    postroom.client.get(&path).await.expect(404);
    postroom.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_passes_through_in_little_memory() {
    use crate::support::binary::Home;
    use crate::support::server::Server;
    const SIZE: usize = 25 << 20;
    let options = Options { recipients: Recipients::Anybody, max_message: 64 << 20, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    let home = Home::new();
    let token = home.administrator();
    let running = Server::start(&home);
    let client = Client::new(&running.url, Some(&token));
    let mut settings = smtp(&server);
    for (name, value) in [("email", json!("ann@demo.test")), ("smtpSsl", json!(false)), ("imapSsl", json!(false))] {
        settings[name] = value;
    }
    let mailbox = client.create("mailbox", "mailboxes", &settings).await["id"].as_u64().unwrap();
    let before = running.peak_memory();
    let id = uploaded(&client, "large.bin", &noise(SIZE)).await;
    let with_upload = running.peak_memory();
    let attributes = json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"});
    client.post("/api/v2/mailings", &with_attachments(mailbox, &attributes, &[id])).await.expect(201);
    server.wait_accepted(1).await;
    let in_the_end = running.peak_memory();
    // The upload is never in memory as a whole (the store's cache fills up with the end of it), the message once.
    assert!(with_upload - before < SIZE as u64, "{before} {with_upload}");
    assert!(in_the_end - before < 2 * SIZE as u64, "{before} {in_the_end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_read_back_by_its_owner_and_administrators_only() {
    let postroom = Instance::start().await;
    let (owner, other, viewer) = (
        postroom.person("owner", Role::Member).await.client,
        postroom.person("other", Role::Member).await.client,
        postroom.person("viewer", Role::Viewer).await.client,
    );
    let large = noise(700_001);
    for (name, content_type, octets) in [
        ("R%C3%A9sum%C3%A9%20%22%E2%9C%93.html", "text/html", &large[..]),
        ("empty.bin", "application/octet-stream", b"".as_slice()),
    ] {
        let made = upload(&owner, &format!("?filename={name}"), &[("Content-Type", content_type)], octets).await;
        let id = made.expect(201).json["data"]["id"].as_u64().expect("an id");
        let path = format!("/api/v2/attachments/{id}/content");
        let get =
            async |client: &Client| client.send(Request { method: "GET", path: &path, headers: &[], body: None }).await;
        for client in [&owner, &postroom.client] {
            let answer = get(client).await;
            assert_eq!(answer.status, 200);
            assert!(answer.octets == octets, "{} octets of {}", answer.octets.len(), octets.len());
            assert_eq!(answer.header("content-type"), Some(content_type));
            assert_eq!(answer.header("content-length"), Some(octets.len().to_string().as_str()));
            // Whatever it is, no browser renders it under our origin.
            assert!(
                answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment; filename="))
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(answer.header("content-security-policy").is_some_and(|value| value.contains("sandbox")));
        }
        for client in [&other, &viewer] {
            assert_eq!(get(client).await.status, 404);
        }
        let disposition = get(&owner).await.header("content-disposition").expect("one").to_owned();
        if name.contains('%') {
            assert!(disposition.contains("filename*=UTF-8''R%C3%A9sum%C3%A9%20%22%E2%9C%93.html"), "{disposition}");
        }
    }
    assert_eq!(postroom.client.get("/api/v2/attachments/99/content").await.status, 404);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_repeated_with_its_key_gives_its_first_answer_and_stores_nothing() {
    let mut postroom = Instance::start().await;
    let octets = noise(600_000);
    let key = [("Idempotency-Key", "one"), ("Content-Type", "text/plain")];
    let first = upload(&postroom.client, "?filename=a.txt", &key, &octets).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    for _ in 0..2 {
        let again = upload(&postroom.client, "?filename=a.txt", &key, &octets).await.expect(201);
        assert_eq!((again.text.as_str(), again.header("location")), (first.text.as_str(), first.header("location")));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        // The same key for anything else.
        let mut other = octets.clone();
        other[599_999] ^= 1;
        let other_type = [("Idempotency-Key", "one"), ("Content-Type", "text/html")];
        for (query, headers, octets) in [
            ("?filename=a.txt", &key, &other),
            ("?filename=b.txt", &key, &octets),
            ("?filename=a.txt", &other_type, &octets),
        ] {
            upload(&postroom.client, query, headers, octets).await.expect(422);
        }
        let document = json!({"filename": "a.txt", "content": "e30="});
        let document = json!({"data": {"type": "attachment", "attributes": document}});
        postroom
            .client
            .write("POST", "/api/v2/attachments", &document, &[("Idempotency-Key", "one")])
            .await
            .expect(422);
        assert_eq!(postroom.client.get("/api/v2/attachments").await.expect(200).json["meta"]["count"], 1);
        postroom = postroom.restart().await;
    }
    // In a document too.
    let document = json!({"data": {"type": "attachment", "attributes": {"filename": "c", "content": "e30="}}});
    for _ in 0..2 {
        postroom
            .client
            .write("POST", "/api/v2/attachments", &document, &[("Idempotency-Key", "two")])
            .await
            .expect(201);
    }
    assert_eq!(postroom.client.get("/api/v2/attachments").await.expect(200).json["meta"]["count"], 2);
    // One that broke off keeps nothing, and its key is free again.
    let person = postroom.person("hasty", Role::Member).await.client;
    let mut stream =
        tokio::net::TcpStream::connect(postroom.app.address().expect("an address")).await.expect("a connection");
    let head = "POST /api/v2/attachments?filename=d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hasty\r\n\
                Idempotency-Key: three\r\nContent-Length: 700000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    stream.write_all(&octets).await.expect("it is taken");
    drop(stream);
    let mut whole = None;
    for _ in 0..100 {
        let tried = upload(&person, "?filename=d", &[("Idempotency-Key", "three")], b"whole").await;
        if tried.status == 201 {
            whole = Some(tried);
            break;
        }
        assert_eq!(tried.status, 409, "{}", tried.text);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(whole.expect("the key is free again").header("idempotency-replayed"), None);
    postroom.stop().await;
}
