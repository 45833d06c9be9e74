//! A machine whose clock was years ahead once: sending waits, says why, and goes on when somebody says so.

use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::server::Server;
use postroom::domain::time::Timestamp;
use postroom::mailserver::{MailServer, Options, Recipients};
use postroom::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
use postroom::store::Store;
use postroom::vault::{KeyFile, Vault};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A commit of a run whose clock showed the year 2100.
async fn commit_under_a_wrong_clock(home: &Home) {
    let key = KeyFile::at(&home.key_file(), &home.data()).expect("a place").load().expect("the key");
    let runtime = Runtime {
        clock: Arc::new(ManualClock::at(Timestamp::parse("2100-01-01T00:00:00Z").expect("a time"))),
        random: Arc::new(SeededRandom::new(1)),
        failpoints: Arc::new(NoFailpoints),
    };
    let store = Store::open(&home.data().join("postroom.redb"), 1 << 20, Vault::new(&key), runtime).expect("a store");
    store.keep_the_clock().await.expect("it is kept");
    assert!(store.close().await);
}

async fn mailing(client: &Client, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut shown = Value::Null;
    for _ in 0..600 {
        shown = client.get(&format!("/api/v2/mailings/{id}")).await.expect(200).json["data"]["attributes"].clone();
        if wanted(&shown) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never as wanted: {shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_before_the_last_commit_is_seen_and_can_be_accepted() {
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    let sink = MailServer::start(options).await.expect("the mail server starts");
    let home = Home::new();
    let token = home.administrator();
    commit_under_a_wrong_clock(&home).await;

    let server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));
    let health = home.run(&["health"], "");
    assert!(health.failed(6).contains("clock"), "{health:#?}");
    assert!(health.stdout.contains("2100-01-01") && health.stdout.contains("postroom clock accept"), "{health:#?}");
    let ready: Value = serde_json::from_str(&home.run(&["health", "--json"], "").stdout).expect("a document");
    assert_eq!(
        (ready["status"].as_str(), &ready["checks"]["storeWrite"]),
        (Some("failing"), &json!("ok")),
        "{ready:#}"
    );
    let settings = json!({
        "email": "ann@demo.test", "smtpHost": "127.0.0.1", "smtpPort": sink.smtp().port(), "smtpSsl": false,
    });
    client.create("mailbox", "mailboxes", &settings).await;
    let home_run =
        ["send", "--from", "ann@demo.test", "--to", "b@demo.test", "--subject", "s", "--text", "-", "--quiet"];
    let id = home.run(&home_run, "Hello").ok().to_owned();
    let held = mailing(&client, &id, |shown| shown["delayReason"].is_string()).await;
    assert!(held["delayReason"].as_str().is_some_and(|reason| reason.contains("postroom clock accept")), "{held:#}");
    let mailbox = client.get("/api/v2/mailboxes/1").await.expect(200).json["data"]["attributes"].clone();
    assert_eq!(mailbox["sendState"], "paused", "{mailbox:#}");
    assert!(mailbox["sendStateReason"].as_str().is_some_and(|reason| reason.contains("clock")), "{mailbox:#}");
    assert_eq!(sink.accepted().len(), 0);

    assert!(home.run(&["clock", "show"], "").stdout.contains("behind"));
    assert!(home.run(&["clock", "accept"], "").ok().contains("sending goes on"));
    mailing(&client, &id, |shown| shown["state"] == "delivered").await;
    assert_eq!(sink.accepted().len(), 1);
    assert!(server.stop().success());
    // For good: the next run knows nothing of the wrong clock.
    let server = Server::start(&home);
    assert!(home.run(&["clock", "show"], "").ok().contains("right"));
    assert_eq!(home.run(&["health"], "").code, Some(0));
    assert!(server.stop().success());

    // Where no server runs, the command opens the store itself.
    commit_under_a_wrong_clock(&home).await;
    assert!(home.run(&["clock", "accept"], "").ok().contains("sending goes on"));
    assert!(home.run(&["clock", "show"], "").ok().contains("right"));
}
