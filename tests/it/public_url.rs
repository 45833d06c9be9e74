//! A public URL that is taken away while mailings wait whose links would lead to it.

use crate::support::instance::Instance;
use crate::unsubscribe::{PUBLIC, field, mail_server, opt_out_path, sending};
use postroom::mailserver::{Act, Point, Rule};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_whose_links_have_nowhere_to_lead_fails_before_any_connection() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({"sendDisabled": true})).await;
    let with = |attributes: serde_json::Value| {
        let mut all = json!({"to": ["bert@demo.test"], "subject": "s", "bodyHtml": "<p>Hi</p>"});
        for (name, value) in attributes.as_object().expect("attributes") {
            all[name] = value.clone();
        }
        all
    };
    let mut linked = Vec::new();
    for attributes in [json!({"mailingType": "campaign"}), json!({"trackOpens": true}), json!({"trackLinks": true})] {
        linked.push(postroom.mailing(mailbox, with(attributes)).await);
    }
    let plain = postroom.mailing(mailbox, with(json!({}))).await;
    let postroom = postroom.restart_with(|config| config.server.public_url = None).await;
    send(&postroom, mailbox).await;
    postroom.until_state(plain, "delivered").await;
    for mailing in linked {
        let failed = postroom.until_state(mailing, "failed").await;
        let reason = failed["errorReason"].as_str().expect("a reason");
        assert!(reason.contains("public_url"), "{reason}");
        assert_eq!(failed["attempts"], json!([]));
    }
    assert_eq!(server.accepted().len(), 1, "the one without links");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_composed_before_keeps_the_links_that_it_was_given() {
    let server = mail_server().await;
    let rule = server.script(Rule::new(Point::Data, Act::Reply("451 4.3.0 Later".into())));
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let content = json!({"to": ["bert@demo.test"], "subject": "s", "bodyText": "t", "mailingType": "campaign"});
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until("mailings", mailing, |shown| shown["retryAt"].is_string()).await;
    let postroom = postroom.restart_with(|config| config.server.public_url = None).await;
    server.clear(rule);
    postroom.client.act(&format!("/api/v2/mailings/{mailing}/actions/retry")).await.expect(200);
    // The pause after a failure ends when somebody changes a setting.
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendPeriod": 61}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    let mail = server.wait_accepted(1).await.remove(0);
    assert!(opt_out_path(&mail).starts_with("/u/"));
    assert!(field(&mail, "List-Unsubscribe").is_some_and(|ways| ways.contains(PUBLIC)));
    postroom.stop().await;
}

async fn send(postroom: &Instance, mailbox: u64) {
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendDisabled": false}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
}
