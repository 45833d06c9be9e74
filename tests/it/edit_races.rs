//! Edits and deletions against a send, and edits against each other: one wins, and the answer says which.

use crate::mailing_edits::{mail_server, smtp};
use crate::support::instance::Instance;
use postroom::mailserver::MailServer;
use postroom::store::StoreError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const MAILINGS: usize = 40;

fn path(mailing: u64) -> String {
    format!("/api/v2/mailings/{mailing}")
}

fn change(mailing: u64, attributes: &Value) -> Value {
    json!({"data": {"type": "mailing", "id": mailing, "attributes": attributes}})
}

/// Mailings that go out while the test does something to them.
async fn queued(postroom: &Instance, server: &MailServer) -> Vec<u64> {
    let mailbox = postroom.mailbox("ann@demo.test", smtp(server)).await;
    let mut mailings = Vec::new();
    for number in 0..MAILINGS {
        let content = json!({"to": [format!("b{number}@demo.test")], "subject": "before", "bodyText": "t"});
        mailings.push(postroom.mailing(mailbox, content).await);
    }
    mailings
}

/// What was sent to each address, by the subjects.
fn subjects(server: &MailServer) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in server.accepted() {
        let raw = String::from_utf8_lossy(&mail.raw).into_owned();
        let subject = raw.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
        all.entry(mail.recipients.join(" ")).or_default().push(subject);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_was_taken_is_what_goes_out_and_one_that_came_too_late_is_refused() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailings = queued(&postroom, &server).await;
    let mut expected = BTreeMap::new();
    for (number, mailing) in mailings.iter().enumerate() {
        let answer = postroom.client.patch(&path(*mailing), &change(*mailing, &json!({"subject": "after"}))).await;
        assert!(matches!(answer.status, 200 | 409), "{}", answer.text);
        let subject = if answer.status == 200 { "after" } else { "before" };
        expected.insert(format!("b{number}@demo.test"), vec![subject.to_owned()]);
    }
    for mailing in &mailings {
        postroom.until_state(*mailing, "delivered").await;
    }
    assert_eq!(subjects(&server), expected);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_never_sent_and_what_was_sent_is_not_deleted() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailings = queued(&postroom, &server).await;
    let mut expected = BTreeMap::new();
    for (number, mailing) in mailings.iter().enumerate() {
        let answer = postroom.client.delete(&path(*mailing)).await;
        assert!(matches!(answer.status, 204 | 409), "{}", answer.text);
        if answer.status == 409 {
            postroom.until_state(*mailing, "delivered").await;
            expected.insert(format!("b{number}@demo.test"), vec!["before".to_owned()]);
        } else {
            postroom.client.get(&path(*mailing)).await.expect(404);
        }
    }
    assert_eq!(subjects(&server), expected);
    assert_eq!(postroom.attributes("mailboxes", 1).await["sendState"], "ok");
    postroom.stop().await;
}

/// Without `If-Match`: both read the record before either writes it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_edits_at_once_none_takes_back_what_the_other_said() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    let content = json!({"to": ["b@demo.test"], "subject": "before", "bodyText": "before", "state": "drafted"});
    for _ in 0..20 {
        let mailing = postroom.mailing(mailbox, content.clone()).await;
        // The writer is busy for a while, so that both edits wait behind it with what they have read.
        let busy = postroom.app.store().write(|_| {
            std::thread::sleep(Duration::from_millis(100));
            Ok::<_, StoreError>(())
        });
        let edit = async |attributes: Value| {
            let document = change(mailing, &attributes);
            postroom.client.afresh().patch(&path(mailing), &document).await
        };
        let (kept_busy, subject, text) =
            tokio::join!(busy, edit(json!({"subject": "after"})), edit(json!({"bodyText": "after"})));
        kept_busy.expect("the writer is free again");
        let shown = postroom.attributes("mailings", mailing).await;
        for (name, answer) in [("subject", subject), ("bodyText", text)] {
            let said = if answer.status == 200 { "after" } else { "before" };
            assert_eq!(shown[name], said, "{}", answer.text);
            if answer.status != 200 {
                assert!(answer.expect(409).text.contains("changed by somebody else"));
            }
        }
    }
    postroom.stop().await;
}
