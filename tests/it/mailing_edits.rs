//! Mailings that have not been sent: edited, rescheduled, cancelled, retried, deleted; and who wins against a send.

use crate::support::client::{Answer, Client};
use crate::support::instance::Instance;
use postroom::domain::user::Role;
use postroom::mailserver::{Act, Gate, MailServer, Options, Point, Recipients, Rule};
use serde_json::{Value, json};

pub async fn mail_server() -> MailServer {
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    MailServer::start(options).await.expect("the mail server starts")
}

pub fn smtp(server: &MailServer) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port()})
}

fn path(mailing: u64) -> String {
    format!("/api/v2/mailings/{mailing}")
}

async fn patch(client: &Client, mailing: u64, attributes: Value) -> Answer {
    let document = json!({"data": {"type": "mailing", "id": mailing, "attributes": attributes}});
    client.patch(&path(mailing), &document).await
}

async fn act(client: &Client, mailing: u64, verb: &str) -> Answer {
    client.act(&format!("{}/actions/{verb}", path(mailing))).await
}

fn draft() -> Value {
    json!({"to": ["bert@demo.test"], "subject": "First", "bodyText": "One", "state": "drafted"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_edited_and_sent_as_it_was_last() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom.mailing(mailbox, draft()).await;
    let before = postroom.attributes("mailings", mailing).await;
    let change =
        json!({"subject": "Second", "bodyHtml": "<p>Two</p>", "bodyText": null, "cc": ["Cora <cora@demo.test>"]});
    let shown = patch(&postroom.client, mailing, change).await.expect(200).json["data"]["attributes"].take();
    assert_eq!((shown["subject"].as_str(), shown["state"].as_str()), (Some("Second"), Some("drafted")));
    assert_eq!((&shown["to"], &shown["cc"]), (&json!(["bert@demo.test"]), &json!(["Cora <cora@demo.test>"])));
    assert_eq!(shown["bodyText"], Value::Null);
    assert_eq!(shown["messageId"], before["messageId"], "it never changes");
    patch(&postroom.client, mailing, json!({"state": "queued"})).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    let accepted = server.wait_accepted(1).await;
    let raw = String::from_utf8_lossy(&accepted[0].raw).into_owned();
    assert!(raw.contains("Subject: Second") && raw.contains("Two") && !raw.contains("One"), "{raw}");
    assert_eq!(accepted[0].recipients, ["bert@demo.test", "cora@demo.test"]);
    for refused in [
        patch(&postroom.client, mailing, json!({"subject": "Third"})).await,
        postroom.client.delete(&path(mailing)).await,
        act(&postroom.client, mailing, "cancel").await,
        act(&postroom.client, mailing, "retry").await,
    ] {
        assert!(refused.expect(409).text.contains("has been sent"));
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_read_and_written_back_changes_nothing() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    let attributes = json!({
        "to": ["\"Bert, B\" <bert@demo.test>", "berta@demo.test"], "cc": ["cora@demo.test"], "bcc": ["dora@demo.test"],
        "subject": "Hi {{name}}", "bodyText": "{{name}}", "variables": {"name": "A {{b}}"}, "inReplyTo": "<1@example.org>",
        "headers": {"X-Campaign": "Frühling"}, "replyTo": "Ann <a@demo.test>", "scheduledAt": "2999-01-01T00:00:00Z",
    });
    let mailing = postroom.mailing(mailbox, attributes).await;
    let held = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until("mailings", held, |shown| shown["state"] == "scheduled").await;
    for (mailing, state) in [(mailing, "scheduled"), (held, "queued")] {
        let read = postroom.client.get(&path(mailing)).await.expect(200);
        let tag = read.header("etag").expect("a tag").to_owned();
        let mut document = json!({"data": read.json["data"]});
        // A delayed mailing was queued when its client read it.
        document["data"]["attributes"]["state"] = json!(state);
        let written =
            postroom.client.write("PATCH", &path(mailing), &document, &[("If-Match", &tag)]).await.expect(200);
        assert_eq!(written.json["data"]["attributes"], read.json["data"]["attributes"]);
        assert_eq!(written.json["data"]["relationships"], read.json["data"]["relationships"]);
        assert_eq!(written.header("etag"), Some(tag.as_str()));
    }
    let read = postroom.client.get(&path(mailing)).await.expect(200);
    let tag = read.header("etag").expect("a tag").to_owned();
    patch(&postroom.client, mailing, json!({"subject": "Other"})).await.expect(200);
    let document = json!({"data": {"type": "mailing", "id": mailing, "attributes": {"subject": "Mine"}}});
    postroom.client.write("PATCH", &path(mailing), &document, &[("If-Match", &tag)]).await.expect(412);
    postroom.client.write("DELETE", &path(mailing), &json!({}), &[("If-Match", &tag)]).await.expect(412);
    assert_eq!(postroom.attributes("mailings", mailing).await["subject"], "Other");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_is_rescheduled_taken_back_and_sent_after_all() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mut later = draft();
    (later["state"], later["scheduledAt"]) = (json!("scheduled"), json!("2999-01-01T00:00:00Z"));
    let mailing = postroom.mailing(mailbox, later).await;
    let moved = patch(&postroom.client, mailing, json!({"scheduledAt": "2998-01-01T00:00:00Z"})).await.expect(200);
    let moved = &moved.json["data"]["attributes"];
    assert_eq!(
        (moved["state"].as_str(), moved["scheduledAt"].as_str()),
        (Some("scheduled"), Some("2998-01-01T00:00:00.000Z"))
    );
    assert!(moved["delayReason"].as_str().unwrap().contains("2998"), "{moved:#}");
    for _ in 0..2 {
        let cancelled = act(&postroom.client, mailing, "cancel").await.expect(200);
        assert_eq!(cancelled.json["data"]["attributes"]["state"], "drafted");
    }
    let refused = act(&postroom.client, mailing, "retry").await.expect(409);
    assert!(refused.text.contains("Set its state to queued"), "{}", refused.text);
    // Its time is still there; without it, it goes at once.
    let waits = patch(&postroom.client, mailing, json!({"state": "queued"})).await.expect(200);
    assert_eq!(waits.json["data"]["attributes"]["state"], "scheduled");
    patch(&postroom.client, mailing, json!({"scheduledAt": null})).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    assert_eq!(server.accepted().len(), 1);

    let mailing = postroom.mailing(mailbox, draft()).await;
    for (attributes, pointer) in [
        (json!({"state": "scheduled"}), "/data/attributes/scheduledAt"),
        (json!({"state": "delivered"}), "/data/attributes/state"),
        (json!({"state": "placeholder"}), "/data/attributes/state"),
        (json!({"to": []}), "/data/attributes/to"),
        (json!({"to": ["nobody"]}), "/data/attributes/to"),
        (json!({"replyTo": "nobody"}), "/data/attributes/replyTo"),
        (json!({"headers": {"Bcc": "x"}}), "/data/attributes/headers/Bcc"),
        (json!({"inReplyTo": {"type": "message", "id": 99}}), "/data/attributes/inReplyTo"),
    ] {
        let refused = patch(&postroom.client, mailing, attributes.clone()).await.expect(422);
        assert_eq!(refused.blamed(), Some(pointer), "{attributes}");
    }
    let document = json!({"data": {"type": "mailing", "id": mailing, "relationships": {"mailbox": {"data": {"type": "mailbox", "id": 99}}}}});
    let refused = postroom.client.patch(&path(mailing), &document).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/mailbox"));
    postroom.client.act(&format!("{}/actions/explode", path(mailing))).await.expect(404);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_mailing_is_retried_afresh() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let rule = server.script(Rule::new(Point::RcptTo, Act::Reply("450 4.2.0 Not now".into())).to("bert@demo.test"));
    let mut settings = smtp(&server);
    settings["sendMaxRetries"] = json!(0);
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mut attributes = draft();
    attributes["state"] = json!("queued");
    let mailing = postroom.mailing(mailbox, attributes).await;
    let failed = postroom.until_state(mailing, "failed").await;
    assert_eq!(failed["recipientOutcomes"][0]["state"], "failed");
    server.clear(rule);
    let retried = act(&postroom.client, mailing, "retry").await.expect(200).json["data"]["attributes"].take();
    assert_eq!((retried["errorReason"].clone(), retried["retryCount"].as_u64()), (Value::Null, Some(0)));
    assert_ne!(retried["recipientOutcomes"][0]["state"], "failed");
    let delivered = postroom.until_state(mailing, "delivered").await;
    assert_eq!(delivered["recipientOutcomes"][0]["state"], "accepted");
    assert_eq!(server.accepted().len(), 1);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_in_part_stays_as_it_is_and_nobody_is_mailed_twice() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let rule = server.script(Rule::new(Point::RcptTo, Act::Reply("450 4.2.0 Not now".into())).to("slow@demo.test"));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let attributes = json!({"to": ["fast@demo.test", "slow@demo.test"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, attributes).await;
    postroom.until("mailings", mailing, |shown| shown["retryCount"] == 1).await;
    for change in [json!({"subject": "other"}), json!({"to": ["slow@demo.test"]}), json!({"replyTo": "x@demo.test"})] {
        let refused = patch(&postroom.client, mailing, change).await.expect(409);
        assert!(refused.text.contains("for some of its recipients"), "{}", refused.text);
    }
    let kept = postroom.client.delete(&path(mailing)).await.expect(409);
    assert!(kept.text.contains("for some of its recipients"), "{}", kept.text);
    act(&postroom.client, mailing, "cancel").await.expect(200);
    postroom.client.delete(&path(mailing)).await.expect(409);
    server.clear(rule);
    patch(&postroom.client, mailing, json!({"state": "queued"})).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    let accepted = server.wait_accepted(2).await;
    assert_eq!(accepted[0].recipients, ["fast@demo.test"]);
    assert_eq!(accepted[1].recipients, ["slow@demo.test"]);

    // Waiting for the next try, a retry makes it now.
    let rule = server.script(Rule::new(Point::Data, Act::Reply("451 4.3.0 Later".into())));
    let mailing = postroom.mailing(mailbox, json!({"to": ["x@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until("mailings", mailing, |shown| shown["retryAt"].is_string()).await;
    server.clear(rule);
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendPeriod": 61}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    act(&postroom.client, mailing, "retry").await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_delivered_is_neither_changed_nor_taken_back() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let gate = Gate::new();
    server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    gate.arrived(1).await;
    let shown = postroom.client.get(&format!("{}?provideAuthorizationMeta=true", path(mailing))).await.expect(200);
    assert_eq!(shown.json["data"]["meta"]["canWrite"], false);
    for refused in [
        patch(&postroom.client, mailing, json!({"subject": "other"})).await,
        postroom.client.delete(&path(mailing)).await,
        act(&postroom.client, mailing, "cancel").await,
        act(&postroom.client, mailing, "retry").await,
    ] {
        assert!(refused.expect(409).text.contains("being delivered at this moment"));
    }
    gate.open();
    postroom.until_state(mailing, "delivered").await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_that_race_sends_win_or_lose_but_never_half() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mut cancelled = 0;
    let mut mailings = Vec::new();
    for number in 0..40 {
        let content = json!({"to": [format!("b{number}@demo.test")], "subject": "s", "bodyText": "t"});
        mailings.push(postroom.mailing(mailbox, content).await);
    }
    for mailing in &mailings {
        let answer = act(&postroom.client, *mailing, "cancel").await;
        assert!(matches!(answer.status, 200 | 409), "{}", answer.text);
        cancelled += u64::from(answer.status == 200);
    }
    for mailing in &mailings {
        let settled = |shown: &Value| matches!(shown["state"].as_str(), Some("delivered" | "drafted"));
        postroom.until("mailings", *mailing, settled).await;
    }
    assert_eq!(server.accepted().len() as u64 + cancelled, 40, "each was sent or taken back, none both");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_is_deleted_while_it_has_not_left() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    for state in ["drafted", "placeholder", "queued"] {
        let mut attributes = draft();
        attributes["state"] = json!(state);
        let mailing = postroom.mailing(mailbox, attributes).await;
        let shown = postroom.client.get(&path(mailing)).await.expect(200);
        let recipient = shown.json["data"]["relationships"]["recipients"]["data"][0]["id"].as_u64().expect("an id");
        postroom.client.get(&format!("/api/v2/recipients/{recipient}")).await.expect(200);
        postroom.client.delete(&path(mailing)).await.expect(204);
        postroom.client.get(&path(mailing)).await.expect(404);
        postroom.client.delete(&path(mailing)).await.expect(404);
        postroom.client.get(&format!("/api/v2/recipients/{recipient}")).await.expect(404);
    }
    assert_eq!(postroom.client.get("/api/v2/mailings").await.expect(200).json["meta"]["count"], 0);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn can_write_says_what_would_happen() {
    let postroom = Instance::start().await;
    let (member, other) = (postroom.person("member", Role::Member).await, postroom.person("other", Role::Member).await);
    let viewer = postroom.person("viewer", Role::Viewer).await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "relationships": {"user": {"data": {"type": "user", "id": member.id}}}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    let mailing = postroom.mailing(mailbox, draft()).await;
    let url = format!("{}?provideAuthorizationMeta=true", path(mailing));
    for (client, expected) in [(&member.client, 200), (&postroom.client, 200), (&viewer.client, 403)] {
        let shown = client.get(&url).await.expect(200);
        assert_eq!(shown.json["data"]["meta"]["canWrite"], expected == 200);
        patch(client, mailing, json!({"subject": "x"})).await.expect(expected);
        act(client, mailing, "cancel").await.expect(expected);
    }
    viewer.client.delete(&path(mailing)).await.expect(403);
    other.client.get(&url).await.expect(404);
    for refused in [
        patch(&other.client, mailing, json!({"subject": "x"})).await,
        act(&other.client, mailing, "cancel").await,
        other.client.delete(&path(mailing)).await,
    ] {
        refused.expect(404);
    }
    postroom.client.delete(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(204);
    let shown = postroom.client.get(&url).await.expect(200);
    assert_eq!(shown.json["data"]["meta"]["canWrite"], false);
    patch(&postroom.client, mailing, json!({"subject": "x"})).await.expect(403);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_joins_the_thread_that_it_answers() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let stranger = postroom.person("stranger", Role::Member).await;
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let content =
        |answered: Value| json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t", "inReplyTo": answered});
    let first = postroom.mailing(mailbox, content(json!("<root@example.org>"))).await;
    let second = postroom.mailing(mailbox, content(json!({"type": "mailing", "id": first}))).await;
    let first_id = postroom.attributes("mailings", first).await["messageId"].clone();
    let third = postroom.mailing(mailbox, content(first_id.clone())).await;
    for mailing in [second, third] {
        let shown = postroom.until_state(mailing, "delivered").await;
        assert_eq!(shown["inReplyTo"], first_id);
        assert_eq!(shown["references"], json!(["<root@example.org>", first_id]));
    }
    postroom.until_state(first, "delivered").await;
    let raw = |mailing: &Value| {
        let id = mailing["messageId"].as_str().unwrap_or_default().to_owned();
        let raw = server.accepted().into_iter().map(|mail| String::from_utf8_lossy(&mail.raw).into_owned());
        raw.into_iter().find(|raw| raw.contains(&format!("Message-ID: {id}"))).expect("it was sent")
    };
    let sent = raw(&postroom.attributes("mailings", second).await).replace("\r\n ", " ");
    let id = first_id.as_str().unwrap();
    assert!(
        sent.contains(&format!("In-Reply-To: {id}")) && sent.contains(&format!("References: <root@example.org> {id}")),
        "{sent}"
    );
    // What is not visible is not there, and says nothing of its thread.
    let own = json!({"data": {"type": "mailbox", "attributes": {"email": "s@demo.test", "sendDisabled": true}}});
    let own = stranger.client.post("/api/v2/mailboxes", &own).await.expect(201).json["data"]["id"].clone();
    let document = |answered: Value| json!({"data": {"type": "mailing", "attributes": content(answered), "relationships": {"mailbox": {"data": {"type": "mailbox", "id": own}}}}});
    let refused =
        stranger.client.post("/api/v2/mailings", &document(json!({"type": "mailing", "id": first}))).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/attributes/inReplyTo"));
    let made = stranger.client.post("/api/v2/mailings", &document(first_id.clone())).await.expect(201);
    assert_eq!(made.json["data"]["attributes"]["references"], json!([first_id]));
    postroom.stop().await;
}
