//! Mail aliases: own addresses of a mailbox, and mail that is sent from them.

use crate::mailing_edits::{mail_server, smtp};
use crate::support::client::{Answer, Client};
use crate::support::instance::Instance;
use postroom::domain::user::Role;
use postroom::mailserver::{Act, Point, Rule};
use serde_json::{Value, json};

async fn alias(client: &Client, mailbox: u64, attributes: Value) -> Answer {
    let document = json!({"data": {"type": "mailAlias", "attributes": attributes, "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}});
    client.post("/api/v2/mailAliases", &document).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_is_sent_from_an_alias_of_its_mailbox() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let other = postroom.mailbox("bob@demo.test", smtp(&server)).await;
    alias(&postroom.client, mailbox, json!({"email": "Sales@demo.test"})).await.expect(201);
    alias(&postroom.client, mailbox, json!({"email": "quiet@demo.test", "canSend": false})).await.expect(201);
    alias(&postroom.client, other, json!({"email": "other@demo.test"})).await.expect(201);
    let content = |from: &str| json!({"to": ["c@demo.test"], "subject": "s", "bodyText": "t", "fromAlias": from});
    let mailing = postroom.mailing(mailbox, content("sales@DEMO.test")).await;
    let shown = postroom.until_state(mailing, "delivered").await;
    assert_eq!(shown["fromAlias"], "Sales@demo.test", "as the alias is written");
    let accepted = server.wait_accepted(1).await;
    assert_eq!(accepted[0].sender, "Sales@demo.test");
    let raw = String::from_utf8_lossy(&accepted[0].raw).into_owned();
    assert!(raw.contains("Sales@demo.test") && !raw.contains("From: ann@demo.test"), "{raw}");
    for from in ["quiet@demo.test", "other@demo.test", "ann@demo.test", "nobody@demo.test"] {
        let document = json!({"data": {"type": "mailing", "attributes": content(from), "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}});
        let refused = postroom.client.post("/api/v2/mailings", &document).await.expect(422);
        assert_eq!(refused.blamed(), Some("/data/attributes/fromAlias"), "{from}");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_the_server_refuses_fails_its_mailing_and_holds_up_no_other() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    alias(&postroom.client, mailbox, json!({"email": "sales@demo.test"})).await.expect(201);
    let send_as = "550 5.7.60 SMTP; Client does not have permissions to send as this sender";
    for (at, refusal) in [
        (Point::MailFrom, "550 5.1.8 not your address"),
        (Point::MailFrom, send_as),
        (Point::RcptTo, send_as),
        (Point::FinalDot, send_as),
        // Postfix says it once it knows a recipient.
        (Point::RcptTo, "553 5.7.1 <sales@demo.test>: Sender address rejected: not owned by user ann@demo.test"),
        (Point::RcptTo, "550 5.1.8 <sales@demo.test>: Sender address rejected: Domain not found"),
    ] {
        let rule = Rule::new(at, Act::Reply(refusal.into())).from("sales@demo.test");
        let rule = server.script(rule);
        let content = json!({"to": ["c@demo.test"], "subject": "s", "bodyText": "t"});
        let mut from_alias = content.clone();
        from_alias["fromAlias"] = json!("sales@demo.test");
        let refused = postroom.mailing(mailbox, from_alias).await;
        let other = postroom.mailing(mailbox, content).await;
        let shown = postroom.until_state(refused, "failed").await;
        assert!(shown["errorReason"].as_str().is_some_and(|reason| !reason.is_empty()), "{shown:#}");
        assert_eq!(shown["retryCount"], 0, "{refusal}");
        postroom.until_state(other, "delivered").await;
        let health = postroom.attributes("mailboxes", mailbox).await;
        assert_eq!((&health["sendState"], &health["sendErroredAt"]), (&json!("ok"), &Value::Null), "{refusal}");
        let suppressed = postroom.client.get("/api/v2/suppressions").await.expect(200);
        assert_eq!(suppressed.json["meta"]["count"], 0, "nobody's fault but the sender's: {refusal}");
        server.clear(rule);
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_that_waits_fails_where_its_alias_is_gone_another_mailboxs_or_not_for_sending() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let other = postroom.mailbox("bob@demo.test", smtp(&server)).await;
    let hold = async |held: bool| {
        let change = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendDisabled": held}}});
        postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &change).await.expect(200);
    };
    hold(true).await;
    let mut waiting = Vec::new();
    for name in ["gone", "moved", "quiet", "kept"] {
        let email = format!("{name}@demo.test");
        let made = alias(&postroom.client, mailbox, json!({"email": email})).await.expect(201);
        let content = json!({"to": ["c@demo.test"], "subject": "s", "bodyText": "t", "fromAlias": email});
        waiting.push((email, made.json["data"]["id"].clone(), postroom.mailing(mailbox, content).await));
    }
    for (_, id, _) in &waiting[..3] {
        postroom.client.delete(&format!("/api/v2/mailAliases/{id}")).await.expect(204);
    }
    alias(&postroom.client, other, json!({"email": "moved@demo.test"})).await.expect(201);
    alias(&postroom.client, mailbox, json!({"email": "quiet@demo.test", "canSend": false})).await.expect(201);
    hold(false).await;
    for ((email, _, mailing), why) in waiting.iter().zip(["no such alias", "no such alias", "canSend"]) {
        let failed = postroom.until_state(*mailing, "failed").await;
        let said = failed["errorReason"].as_str().expect("a reason");
        assert!(said.contains(email.as_str()) && said.contains(why), "{said}");
        assert_eq!((&failed["attempts"], &failed["recipientOutcomes"][0]["state"]), (&json!([]), &json!("failed")));
    }
    postroom.until_state(waiting[3].2, "delivered").await;
    assert_eq!(server.wait_accepted(1).await[0].sender, "kept@demo.test");
    // With its alias back, it goes out.
    alias(&postroom.client, mailbox, json!({"email": "gone@demo.test"})).await.expect(201);
    let retry = format!("/api/v2/mailings/{}/actions/retry", waiting[0].2);
    postroom.client.post(&retry, &json!({})).await.expect(200);
    postroom.until_state(waiting[0].2, "delivered").await;
    assert_eq!(server.wait_accepted(2).await[1].sender, "gone@demo.test");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_a_mailboxs_or_an_aliass_once() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({})).await;
    let made = alias(&postroom.client, mailbox, json!({"email": "sales@demo.test"})).await.expect(201);
    assert_eq!(made.json["data"]["relationships"]["mailbox"]["data"]["id"], mailbox);
    assert_eq!(made.json["data"]["attributes"]["canSend"], true);
    let id = made.json["data"]["id"].as_u64().unwrap();
    for taken in ["SALES@demo.test", "ann@Demo.test"] {
        let refused = alias(&postroom.client, mailbox, json!({"email": taken})).await.expect(422);
        assert_eq!(refused.json["errors"][0]["id"], "validationDuplicateValueError");
        assert!(!refused.text.contains("\"ann"), "whose it is, is not told");
    }
    let document = json!({"data": {"type": "mailbox", "attributes": {"email": "Sales@demo.test"}}});
    let refused = postroom.client.post("/api/v2/mailboxes", &document).await.expect(422);
    assert_eq!(refused.json["errors"][0]["id"], "validationDuplicateValueError");
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"email": "sales@demo.test"}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(422);
    for (attributes, mailbox, pointer) in [
        (json!({}), mailbox, "/data/attributes/email"),
        (json!({"email": "a\r\nb@demo.test"}), mailbox, "/data/attributes/email"),
        (json!({"email": "new@demo.test"}), 99, "/data/relationships/mailbox"),
    ] {
        assert_eq!(alias(&postroom.client, mailbox, attributes).await.expect(422).blamed(), Some(pointer));
    }
    postroom.client.delete(&format!("/api/v2/mailAliases/{id}")).await.expect(204);
    postroom.client.get(&format!("/api/v2/mailAliases/{id}")).await.expect(404);
    postroom.mailbox("sales@demo.test", json!({})).await;
    // With its mailbox an alias goes, and its address is free again.
    alias(&postroom.client, mailbox, json!({"email": "info@demo.test"})).await.expect(201);
    postroom.client.delete(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(204);
    assert_eq!(postroom.client.get("/api/v2/mailAliases").await.expect(200).json["meta"]["count"], 0);
    postroom.mailbox("info@demo.test", json!({})).await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_belong_to_who_owns_the_mailbox() {
    let postroom = Instance::start().await;
    let (member, viewer) =
        (postroom.person("member", Role::Member).await, postroom.person("viewer", Role::Viewer).await);
    let mailbox = postroom.mailbox("ann@demo.test", json!({})).await;
    alias(&postroom.client, mailbox, json!({"email": "sales@demo.test"})).await.expect(201);
    assert_eq!(
        alias(&member.client, mailbox, json!({"email": "x@demo.test"})).await.expect(422).blamed(),
        Some("/data/relationships/mailbox")
    );
    assert_eq!(
        alias(&viewer.client, mailbox, json!({"email": "x@demo.test"})).await.expect(422).blamed(),
        Some("/data/relationships/mailbox")
    );
    member.client.get("/api/v2/mailAliases/1").await.expect(404);
    assert_eq!(member.client.get("/api/v2/mailAliases").await.expect(200).json["meta"]["count"], 0);
    viewer.client.get("/api/v2/mailAliases/1").await.expect(200);
    viewer.client.delete("/api/v2/mailAliases/1").await.expect(403);
    member.client.delete("/api/v2/mailAliases/1").await.expect(404);
    // The mailbox's own link leads here.
    let shown = postroom.client.get(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(200);
    let link =
        shown.json["data"]["relationships"]["mailAliases"]["links"]["related"].as_str().expect("a link").to_owned();
    assert_eq!(postroom.client.get(&link).await.expect(200).json["meta"]["count"], 1);
    postroom.stop().await;
}
