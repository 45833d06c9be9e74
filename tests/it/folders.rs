//! Which folders are synced: the inbox and the sent folder always, others by choice, names as people read them; one
//! that the server does not open never stops the others.

use crate::support::instance::Instance;
use postroom::mailserver::{Act, Count, MailServer, Options, Point, Rule};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ANN: &str = "ann@demo.test";

async fn server() -> MailServer {
    let server = MailServer::start(Options::default()).await.expect("the mail server starts");
    server.add_account(ANN, "secret");
    server.add_special_folder(ANN, "Ablage", "\\Archive").expect("an account");
    server.add_special_folder(ANN, "Papierkorb", "\\Trash").expect("an account");
    server.add_folder(ANN, "Entw&APw-rfe").expect("an account");
    for (number, folder) in ["INBOX", "Sent", "Ablage", "Papierkorb", "Entw&APw-rfe"].iter().enumerate() {
        let raw = format!("Message-ID: <{number}@else.test>\r\nFrom: x@else.test\r\nSubject: {folder}\r\n\r\nt\r\n");
        server.append(ANN, folder, raw.as_bytes()).expect("it is filed");
    }
    server
}

async fn mailbox(postroom: &Instance, server: &MailServer, folders: Value) -> u64 {
    let settings = json!({
        "imapHost": "127.0.0.1", "imapPort": server.imap().port(), "password": "secret", "syncFolders": folders,
    });
    postroom.mailbox(ANN, settings).await
}

async fn stored(postroom: &Instance) -> BTreeSet<String> {
    let listed = postroom.client.get("/api/v2/messages?fields[message]=folder").await.expect(200);
    let messages = listed.json["data"].as_array().expect("a list").iter();
    messages.map(|message| message["attributes"]["folder"].as_str().expect("a name").to_owned()).collect()
}

async fn synced(postroom: &Instance, mailbox: u64) -> Value {
    postroom.until("mailboxes", mailbox, |shown| shown["syncSuccessAt"].is_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_synced_by_choice_under_the_names_that_people_read() {
    let (server, postroom) = (server().await, Instance::start().await);
    let id = mailbox(&postroom, &server, Value::Null).await;
    synced(&postroom, id).await;
    assert_eq!(stored(&postroom).await, BTreeSet::from(["INBOX", "Sent"].map(String::from)));
    let change = json!({"data": {"type": "mailbox", "id": id, "attributes": {"syncFolders": "*\n!\\Trash"}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{id}"), &change).await.expect(200);
    postroom.client.act(&format!("/api/v2/mailboxes/{id}/actions/sync")).await.expect(200);
    let expected = BTreeSet::from(["INBOX", "Sent", "Ablage", "Entwürfe"].map(String::from));
    for _ in 0..200 {
        if stored(&postroom).await == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(stored(&postroom).await, expected);
    let found = postroom.client.get("/api/v2/messages?filter[folder]=Entw%C3%BCrfe").await.expect(200);
    assert_eq!(found.json["data"].as_array().map(Vec::len), Some(1), "{}", found.text);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_a_line_that_means_nothing_is_refused_with_the_line() {
    let postroom = Instance::start().await;
    let document = json!({"data": {"type": "mailbox", "attributes": {"email": ANN, "syncFolders": "A\n\\Nothing"}}});
    let refused = postroom.client.post("/api/v2/mailboxes", &document).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/attributes/syncFolders"));
    assert!(refused.json["errors"][0]["detail"].as_str().unwrap_or_default().contains("Line 2"), "{}", refused.text);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_does_not_open_three_times_is_set_aside_and_the_others_go_on() {
    let (server, postroom) = (server().await, Instance::start().await);
    // Of the three folders of each sync the third is the chosen one.
    let refusal = Act::Reply("{tag} NO [SERVERBUG] Internal error\n".into());
    let rule = server.script(Rule::new(Point::ImapCommand("EXAMINE"), refusal).count(Count::EveryNth(3)));
    let id = mailbox(&postroom, &server, json!("Ablage")).await;
    let sync = format!("/api/v2/mailboxes/{id}/actions/sync");
    // What the other folders hold is there although the mailbox has no full success yet.
    let failing = postroom.until("mailboxes", id, |shown| shown["syncErroredAt"].is_string()).await;
    assert_eq!((&failing["syncSuccessAt"], &failing["syncFoldersAside"]), (&Value::Null, &json!([])));
    assert_eq!(stored(&postroom).await, BTreeSet::from(["INBOX", "Sent"].map(String::from)));
    let mut shown = failing;
    for _ in 0..100 {
        if shown["syncSuccessAt"].is_string() {
            break;
        }
        postroom.client.act(&sync).await.expect(200);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        shown = postroom.attributes("mailboxes", id).await;
    }
    assert_eq!(shown["syncState"], "ok", "{shown:#}");
    assert_eq!(shown["syncFoldersAside"][0]["folder"], "Ablage", "{shown:#}");
    assert!(shown["syncFoldersAside"][0]["nextTryAt"].is_string(), "{shown:#}");
    // An edit of the choice gives it another chance.
    server.clear(rule);
    let change = json!({"data": {"type": "mailbox", "id": id, "attributes": {"syncFolders": "ablage"}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{id}"), &change).await.expect(200);
    postroom.client.act(&sync).await.expect(200);
    for _ in 0..200 {
        if stored(&postroom).await.contains("Ablage") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(stored(&postroom).await.contains("Ablage"));
    assert_eq!(postroom.attributes("mailboxes", id).await["syncFoldersAside"], json!([]));
    postroom.stop().await;
}
