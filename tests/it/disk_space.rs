//! A disk with too little room: nothing is acknowledged that might not be kept, everything can still be read, the
//! readiness check says what is wrong, and what waited goes out once there is room.

use crate::support::binary::Home;
use crate::support::client::{Client, Request};
use crate::support::server::Server;
use postroom::mailserver::{MailServer, Options, Recipients};
use serde_json::json;

/// No disk that tests run on has so much room.
const TOO_MUCH: &str = "store.free_space = \"1024GiB\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_nothing_in_and_loses_nothing() {
    let options = Options { recipients: Recipients::Anybody, require_auth: false, ..Options::default() };
    let mail = MailServer::start(options).await.expect("the mail server starts");
    let home = Home::new();
    let token = home.administrator();
    let start = || {
        let server = Server::start(&home);
        let client = Client::new(&server.url, Some(&token));
        (server, client)
    };
    let mailing = json!({"data": {
        "type": "mailing",
        "attributes": {"to": ["bert@demo.test"], "subject": "s", "bodyText": "t"},
        "relationships": {"mailbox": {"data": {"type": "mailbox", "id": 1}}},
    }});
    let enable = json!({"data": {"type": "mailbox", "id": 1, "attributes": {"sendDisabled": false}}});

    let (server, client) = start();
    let port = mail.smtp().port();
    let mailbox = json!({
        "email": "ann@demo.test", "smtpHost": "127.0.0.1", "smtpPort": port, "smtpSsl": false, "sendDisabled": true,
    });
    client.create("mailbox", "mailboxes", &mailbox).await;
    client.create("mailbox", "mailboxes", &json!({"email": "bob@demo.test", "smtpHost": "127.0.0.1"})).await;
    client.post("/api/v2/mailings", &mailing).await.expect(201);
    server.kill();

    home.configure(TOO_MUCH);
    let (server, client) = start();
    let refused = client.patch("/api/v2/mailboxes/1", &enable).await.expect(507);
    assert_eq!(refused.json["errors"][0]["id"], "insufficientStorage", "{}", refused.text);
    client.post("/api/v2/mailings", &mailing).await.expect(507);
    let ready = client.send(Request { method: "GET", path: "/readyz", ..Request::default() }).await.expect(503);
    let said = ready.json["checks"]["diskSpace"].as_str().unwrap_or_default();
    assert!(said.contains("store.free_space"), "{}", ready.text);
    let held = client.get("/api/v2/mailboxes/2").await.expect(200).json["data"]["attributes"].clone();
    assert_eq!(held["sendState"], "paused", "{held:#}");
    assert!(held["sendStateReason"].as_str().is_some_and(|why| why.contains("store.free_space")), "{held:#}");
    let kept = client.get("/api/v2/mailings").await.expect(200);
    assert_eq!(kept.json["data"].as_array().map(Vec::len), Some(1), "{}", kept.text);
    server.kill();

    std::fs::remove_file(home.config_file()).expect("it was written");
    let (_server, client) = start();
    client.send(Request { method: "GET", path: "/readyz", ..Request::default() }).await.expect(200);
    client.patch("/api/v2/mailboxes/1", &enable).await.expect(200);
    assert_eq!(mail.wait_accepted(1).await.len(), 1);
}
