//! The demo is the main job on the embedded default; so it is held to every outcome that it promises to show.

use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::server::Server;
use postroom::demo::Demo;
use serde_json::Value;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the story may take on a machine that is busy with other tests. It needs some 25 seconds by itself, which
/// is Bert's limit.
const DEADLINE: Duration = Duration::from_mins(3);

/// What was told, line by line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The attributes of every resource of a collection, by mailbox address and subject order of creation.
async fn all(client: &Client, collection: &str) -> Vec<Value> {
    let mut answer = client.get(&format!("/api/v2/{collection}?page[size]=1000")).await.expect(200);
    let Value::Array(data) = answer.json["data"].take() else { panic!("{}", answer.text) };
    data.into_iter().map(|mut object| object["attributes"].take()).collect()
}

/// Asks until the answer is as wanted, or fails the test with the last one.
async fn until(client: &Client, collection: &str, lines: &Lines, there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = std::time::Instant::now();
    loop {
        let found = all(client, collection).await;
        if there(&found) {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{found:#?}\n{}", lines.text());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn with<'a>(found: &'a [Value], name: &str, value: &str) -> Vec<&'a Value> {
    found.iter().filter(|attributes| attributes[name] == value).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_a_delivery_a_reply_a_rejection_a_limit_and_a_refused_password_and_leaves_nothing_behind() {
    let mut demo = Demo::open(Some("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let ready = demo.ready().clone();
    let home = ready.data_dir.parent().map(Path::to_owned).unwrap();
    assert!(ready.data_dir.is_dir() && !ready.url.ends_with(":0"), "{ready:?}");
    let lines = Lines::default();
    demo.play(lines.clone());
    let client = Client::new(&ready.url, Some(&ready.token));

    // Three letters, one to nobody, Bert's five, Dora's, and Clara's, which has to wait.
    let mailings = until(&client, "mailings", &lines, |found| {
        let settled =
            |attributes: &&Value| ["delivered", "replied", "failed"].iter().any(|s| attributes["state"] == *s);
        found.len() == 11 && found.iter().filter(settled).count() == 10
    })
    .await;
    let replied = with(&mailings, "state", "replied");
    assert_eq!(replied.len(), 1, "{}", lines.text());
    assert_eq!(replied[0]["to"][0], "Grace Hill <grace@partner.example>");
    assert!(replied[0]["repliedAt"].is_string());
    let failed = with(&mailings, "state", "failed");
    assert_eq!(failed.len(), 1);
    assert!(failed[0]["errorReason"].as_str().unwrap().contains("550 5.1.1"), "{failed:?}");
    let held = mailings.iter().find(|attributes| attributes["mailboxAddress"] == "clara@demo.example").unwrap();
    assert!(held["delayReason"].is_string() && held["errorReason"].is_null(), "{held}");

    let mailboxes = until(&client, "mailboxes", &lines, |found| {
        let states = ["ok", "ok", "authFailed", "disabled"];
        found.len() == 4 && found.iter().zip(states).all(|(attributes, state)| attributes["syncState"] == state)
    })
    .await;
    let refused = mailboxes[2]["lastError"]["text"].as_str().unwrap();
    assert!(refused.contains("credentials invalid"), "{refused}");

    drop(client);
    let summary = demo.close().await;
    assert!(!home.exists(), "{}", home.display());
    let told = lines.text();
    let counts = (summary.created, summary.delivered, summary.replied, summary.failed, summary.waiting);
    assert_eq!(counts, (11, 9, 1, 1, 1), "{told}");
    assert!(summary.delayed >= 3, "{told}");
    for part in [
        "ann@demo.example → bert@demo.example: delivered (250 2.0.0 ",
        "ann@demo.example → nobody@demo.example: rejected: 550 5.1.1 <nobody@demo.example> user unknown",
        "bert@demo.example: limit of 2 mailings per 10 seconds reached",
        "reply from grace@partner.example recognised: mailing 2 is now replied",
        "clara@demo.example: sync stopped. ",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(!told.contains(&ready.token));
}

#[tokio::test]
async fn the_command_prints_one_line_of_json_once_ready_and_removes_everything_at_a_signal() {
    let home = Home::new();
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = home.command(&["demo", "--json", "--listen", "127.0.0.1:0"]);
    let server = Server::spawn(command.env("TMPDIR", &temporary)).unwrap_or_else(|ended| panic!("{ended:#?}"));

    let printed: Value = serde_json::from_str(&server.logs()).unwrap_or_else(|_| panic!("{}", server.logs()));
    assert_eq!(printed["url"], *server.url);
    assert!(printed["uiLink"].is_null() && printed["smtp"].is_string() && printed["imap"].is_string(), "{printed}");
    assert!(Path::new(printed["dataDir"].as_str().unwrap()).starts_with(&temporary), "{printed}");
    let client = Client::new(&server.url, printed["token"].as_str());
    assert_eq!(all(&client, "mailboxes").await.len(), 4);

    drop(client);
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn the_command_ends_by_itself_when_its_time_is_up_and_says_what_it_came_to() {
    let home = Home::new();
    let mut command = home.command(&["demo", "--listen", "127.0.0.1:0", "--for", "1"]);
    let ended = crate::support::binary::finish(&mut command, "");
    assert!(ended.ok().contains("curl ") && ended.ok().lines().last().unwrap().starts_with("Of "), "{ended:#?}");
}
