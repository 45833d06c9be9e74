use super::{edit, path};
use crate::support::client::Answer;
use crate::support::instance::Instance;
use postroom::mailserver::{Act, Gate, MailServer, Options, Point, Recipients, Rule};
use serde_json::{Value, json};

async fn patch(postroom: &Instance, attributes: Value) -> Answer {
    postroom.client.patch(&path(1), &edit(1, &attributes)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_tells_absent_null_and_value_apart() {
    let postroom = Instance::start().await;
    postroom
        .mailbox(
            "ann@example.org",
            json!({"imapHost": "imap.example.org", "imapPort": 143, "sendPeriod": 7, "syncDisabled": true}),
        )
        .await;
    let shown = patch(&postroom, json!({"imapHost": null, "sendPeriod": 8})).await.expect(200);
    let shown = &shown.json["data"]["attributes"];
    assert_eq!((&shown["imapHost"], &shown["imapPort"], &shown["sendPeriod"]), (&Value::Null, &json!(143), &json!(8)));
    let nothing = patch(&postroom, json!({})).await.expect(200);
    assert_eq!(nothing.json["data"]["attributes"]["sendPeriod"], 8);
    postroom.client.patch(&path(1), &json!({"data": {"type": "mailbox", "id": 1}})).await.expect(200);
    assert_eq!(patch(&postroom, json!({"email": null})).await.expect(422).blamed(), Some("/data/attributes/email"));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_record_read_and_written_back_is_unchanged() {
    let postroom = Instance::start().await;
    let attributes = json!({
        "imapHost": "imap.example.org", "smtpHost": "smtp.example.org", "password": "a password",
        "username": "ann", "optOutMessage": "Grüße\n✉", "sendRequiresSync": true, "doubtPolicy": "hold",
        "ewsEndpoint": "https://ews.example.org/EWS/Exchange.asmx", "exchangeVersion": "Exchange2007_SP1",
        "syncDisabled": true, "syncOutreachFolder": true, "sendMethod": "smtp", "syncMethod": "imap", "ewsSslVerifyMode": 2,
    });
    postroom.mailbox("ann@example.org", attributes).await;
    let before = postroom.client.get(&path(1)).await.expect(200);
    let after = postroom.client.patch(&path(1), &json!({"data": before.json["data"]})).await.expect(200);
    let (mut before, mut after) = (before.json["data"].clone(), after.json["data"].clone());
    for object in [&mut before, &mut after] {
        object["attributes"].as_object_mut().unwrap().remove("updatedAt");
    }
    assert_eq!(before, after);
    // The password is still there: a change of the host would ask for it.
    patch(&postroom, json!({"smtpHost": "other.example.org"})).await.expect(422);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_tag_keeps_two_editors_from_overwriting_each_other() {
    let postroom = Instance::start().await;
    postroom.mailbox("ann@example.org", json!({"password": "one"})).await;
    let tag = async || {
        let answer = postroom.client.get(&path(1)).await.expect(200);
        answer.header("etag").expect("a tag").to_owned()
    };
    let write = async |tag: &str, attributes: Value| {
        postroom.client.write("PATCH", &path(1), &edit(1, &attributes), &[("If-Match", tag)]).await
    };
    let first = tag().await;
    assert!(first.starts_with('"') && first.ends_with('"'), "{first}");
    assert_eq!(tag().await, first, "reading changes nothing");
    let edited = write(&first, json!({"sendPeriod": 5})).await.expect(200);
    assert_eq!(edited.header("etag"), Some(tag().await.as_str()));
    let refused = write(&first, json!({"sendPeriod": 6})).await.expect(412);
    assert_eq!(refused.json["errors"][0]["id"], "preconditionFailed");
    assert_eq!(refused.json["errors"][0]["source"]["header"], "If-Match");
    for tags in ["*", &format!("\"other\", {}", tag().await)] {
        write(tags, json!({"sendPeriod": 5})).await.expect(200);
    }
    // A secret is written too, though nobody can read it.
    let before = tag().await;
    patch(&postroom, json!({"password": "two"})).await.expect(200);
    assert_ne!(tag().await, before);
    write(&format!("W/{}", tag().await), json!({"sendPeriod": 5})).await.expect(412);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_secret_never_follows_to_another_server() {
    let postroom = Instance::start().await;
    let attributes = json!({
        "smtpHost": "smtp.example.org", "imapHost": "imap.example.org", "smtpSsl": true, "imapSsl": true,
        "password": "p", "smtpUsername": "relay", "smtpPassword": "q", "sendDisabled": true, "syncDisabled": true,
    });
    postroom.mailbox("ann@example.org", attributes).await;
    for (change, secret) in [
        (json!({"smtpHost": "evil.example.net"}), "smtpPassword"),
        (json!({"smtpPort": 2525}), "smtpPassword"),
        (json!({"smtpUsername": "other"}), "smtpPassword"),
        (json!({"smtpSsl": false}), "smtpPassword"),
        (json!({"smtpHost": "evil.example.net", "smtpPassword": ""}), "smtpPassword"),
        (json!({"smtpHost": "evil.example.net", "password": "other"}), "smtpPassword"),
        (json!({"imapHost": "evil.example.net"}), "password"),
        (json!({"imapPort": 143}), "password"),
        (json!({"imapSsl": false}), "password"),
        (json!({"username": "other"}), "password"),
        (json!({"email": "other@example.org"}), "password"),
        (json!({"ewsEndpoint": "https://evil.example.net/"}), "password"),
        (json!({"emailProvider": "gmail", "smtpHost": null}), "smtpPassword"),
    ] {
        let refused = patch(&postroom, change.clone()).await.expect(422);
        let pointer = format!("/data/attributes/{secret}");
        assert!(super::blames(&refused, &pointer), "{change}: {}", refused.text);
    }
    // Both methods at once: both secrets are asked for.
    let both = patch(&postroom, json!({"smtpHost": "a.example.net", "imapHost": "a.example.net"})).await.expect(422);
    assert!(super::blames(&both, "/data/attributes/password") && super::blames(&both, "/data/attributes/smtpPassword"));
    // In two steps it is no different.
    patch(&postroom, json!({"smtpHost": null, "sendMethod": "ews"})).await;
    let refused = patch(&postroom, json!({"smtpHost": "evil.example.net", "sendMethod": "smtp"})).await.expect(422);
    assert!(super::blames(&refused, "/data/attributes/smtpPassword"), "{}", refused.text);
    // With the secret it goes through, and what does not move it never asks.
    patch(&postroom, json!({"smtpHost": "new.example.org", "sendMethod": "smtp", "smtpPassword": "r"}))
        .await
        .expect(200);
    patch(&postroom, json!({"smtpHost": "new.example.org", "sendPeriod": 9, "smtpPassword": ""})).await.expect(200);
    // Cleared, there is nothing to protect.
    patch(
        &postroom,
        json!({"smtpHost": "newer.example.org", "smtpPassword": null, "smtpUsername": null, "password": null}),
    )
    .await
    .expect(200);
    patch(&postroom, json!({"smtpHost": "newest.example.org", "imapHost": "newest.example.org", "sendPeriod": 5}))
        .await
        .expect(200);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_moves_who_and_when() {
    let postroom = Instance::start().await;
    postroom.mailbox("ann@example.org", json!({})).await;
    let before = postroom.attributes("mailboxes", 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let after = patch(&postroom, json!({"sendPeriod": 61})).await.expect(200);
    let after = &after.json["data"]["attributes"];
    assert_eq!(before["createdAt"], after["createdAt"]);
    assert!(before["updatedAt"].as_str() < after["updatedAt"].as_str());
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_mailbox_cancels_what_waits_and_lets_finish_what_is_under_way() {
    let options = Options { recipients: Recipients::Anybody, require_auth: false, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    let gate = Gate::new();
    server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let postroom = Instance::start().await;
    let settings = json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "sendThreshold": 1});
    postroom.mailbox("ann@demo.test", settings).await;
    let content = || json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"});
    let under_way = postroom.mailing(1, content()).await;
    gate.arrived(1).await;
    let queued = postroom.mailing(1, content()).await;
    let mut later = content();
    later["scheduledAt"] = json!("2999-01-01T00:00:00Z");
    let later = postroom.mailing(1, later).await;

    let deleted = postroom.client.delete(&path(1)).await.expect(204);
    assert_eq!(deleted.text, "");
    gate.open();
    postroom.client.get(&path(1)).await.expect(404);
    postroom.client.delete(&path(1)).await.expect(404);
    assert_eq!(postroom.client.get("/api/v2/mailboxes").await.expect(200).json["meta"]["count"], 0);
    postroom.until_state(under_way, "delivered").await;
    for mailing in [queued, later] {
        let shown = postroom.attributes("mailings", mailing).await;
        assert_eq!(shown["state"], "drafted");
        assert!(shown["errorReason"].as_str().unwrap().contains("deleted"), "{shown:#}");
    }
    for mailing in [under_way, queued, later] {
        let shown = postroom.client.get(&format!("/api/v2/mailings/{mailing}?include=mailbox")).await.expect(200);
        assert_eq!(shown.json["data"]["relationships"]["mailbox"], json!({"data": null}));
        assert_eq!(shown.json["data"]["attributes"]["mailboxAddress"], "ann@demo.test");
        assert_eq!(shown.json["included"], json!([]));
    }
    assert_eq!(server.accepted().len(), 1);
    // The address is free again, and the new mailbox has nothing of the old one.
    let again = postroom.mailbox("ann@demo.test", json!({})).await;
    assert_eq!(again, 2);
    let listed = postroom.client.get("/api/v2/mailings?filter[mailbox][id]=2").await.expect(200);
    assert_eq!(super::ids(&listed), [0_u64; 0]);
    postroom.stop().await;
}
