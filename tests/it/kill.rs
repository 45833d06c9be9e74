//! `kill -9` at random moments under load: what was acknowledged arrives, and nothing arrives twice but what was in
//! doubt when the process died. Seeded; the seed is printed and `POSTROOM_TEST_SEED` repeats a run.

use crate::support::binary::Home;
use crate::support::client::{Client, Request};
use crate::support::server::Server;
use postroom::mailserver::{Act, Count, MailServer, Options, Point, Recipients, Rule};
use postroom::runtime::{Random, SeededRandom};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MAILBOXES: u64 = 6;
const CLIENTS: u64 = 3;
/// How long the sink keeps some clients waiting for the reply to the final dot.
const SLOW_REPLY: Duration = Duration::from_millis(10);
/// A reply younger than this may not have been recorded when the process died.
const RECORDING: Duration = Duration::from_millis(50);

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a time in range")
}

fn seed() -> u64 {
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| now_millis().unsigned_abs() % 1_000_000)
}

/// How many kills; `POSTROOM_TEST_KILLS` asks for a longer run.
fn kills() -> u64 {
    std::env::var("POSTROOM_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(100)
}

async fn sink() -> MailServer {
    let options = Options {
        recipients: Recipients::Anybody,
        require_auth: false,
        accepted_kept: 1_000_000,
        ..Options::default()
    };
    let sink = MailServer::start(options).await.expect("the mail server starts");
    let slow = Rule::new(Point::FinalReply, Act::Delay(SLOW_REPLY));
    sink.script(slow.count(Count::EveryNth(3)));
    sink
}

/// What the clients were promised.
#[derive(Default)]
struct Promises {
    message_ids: Mutex<HashSet<String>>,
}

/// Posts mailings one after the other and notes those that were acknowledged.
async fn post_until(done: Arc<AtomicBool>, url: Arc<Mutex<String>>, token: String, promises: Arc<Promises>, seed: u64) {
    let random = SeededRandom::new(seed);
    let mut number = 0;
    while !done.load(Ordering::Relaxed) {
        number += 1;
        let base = url.lock().expect("no poisoned lock").clone();
        let client = Client::new(&base, Some(&token));
        // A connection that has died is noticed at the first failure.
        loop {
            let mailbox = 1 + random.below(MAILBOXES);
            let document = json!({"data": {
                "type": "mailing",
                "attributes": {"to": ["bert@demo.test"], "subject": format!("{seed}.{number}"), "bodyText": "Hello\n.\nBye"},
                "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
            }});
            let body = serde_json::to_vec(&document).expect("a document");
            let request = Request {
                method: "POST",
                path: "/api/v2/mailings",
                headers: &[("content-type", "application/vnd.api+json")],
                body: Some(&body),
            };
            match client.try_send(request).await {
                Ok(answer) if answer.status == 201 => {
                    let id = answer.json["data"]["attributes"]["messageId"].as_str().expect("a Message-ID").to_owned();
                    promises.message_ids.lock().expect("no poisoned lock").insert(id);
                    number += 1;
                }
                Ok(answer) => panic!("{}: {}", answer.status, answer.text),
                Err(_) => break,
            }
            // Sending shall keep up with posting, or the kills only ever meet the queue.
            tokio::time::sleep(Duration::from_millis(random.below(12))).await;
            if done.load(Ordering::Relaxed) {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn message_id(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("message-id:"));
    line.and_then(|line| line.split_once(':')).map(|(_, id)| id.trim().to_owned()).expect("a Message-ID")
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_and_doubles_only_what_was_in_doubt() {
    let (seed, kills) = (seed(), kills());
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let (home, sink) = (Home::new(), sink().await);
    let token = home.administrator();
    let mut server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));
    for number in 1..=MAILBOXES {
        let settings = json!({
            "email": format!("ann{number}@demo.test"), "smtpHost": "127.0.0.1", "smtpPort": sink.smtp().port(),
            "smtpSsl": false, "sendThreshold": null, "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
        });
        client.create("mailbox", "mailboxes", &settings).await;
    }

    let (url, promises) = (Arc::new(Mutex::new(server.url.clone())), Arc::new(Promises::default()));
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(post_until(done.clone(), url.clone(), token.clone(), promises.clone(), seed * 10 + client))
        })
        .collect();

    let mut moments = Vec::new();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(20 + random.below(180))).await;
        moments.push(now_millis());
        server.kill();
        // Every fourth time the recovery is killed as well, before it is done.
        if kill % 4 == 3 {
            let mut child = home
                .command_on_data(&["serve", "--listen", "127.0.0.1:0"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("the server starts");
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
            moments.push(now_millis());
            child.kill().expect("the server is killed");
            child.wait().expect("the server has ended");
        }
        server = Server::start(&home);
        url.lock().expect("no poisoned lock").clone_from(&server.url);
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client ends well");
    }

    // Everything that waits goes out.
    let client = Client::new(&server.url, Some(&token));
    for state in ["queued", "scheduled", "delivering"] {
        loop {
            let path = format!("/api/v2/mailings?filter[state]={state}&page[size]=1");
            let left = client.get(&path).await.expect(200);
            if left.json["meta"]["count"] == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let failed = client.get("/api/v2/mailings?filter[state]=failed&page[size]=3").await.expect(200);
    assert_eq!(failed.json["meta"]["count"], 0, "{:#}", failed.json["data"]);

    let accepted = sink.accepted();
    let mut copies: HashMap<String, u64> = HashMap::new();
    for message in &accepted {
        *copies.entry(message_id(&message.raw)).or_default() += 1;
    }
    let promised = promises.message_ids.lock().expect("no poisoned lock").clone();
    let lost: Vec<&String> = promised.iter().filter(|id| !copies.contains_key(*id)).collect();
    let extra: u64 = copies.values().map(|copies| copies - 1).sum();
    let window = i64::try_from((RECORDING + SLOW_REPLY).as_millis()).expect("a short time");
    let in_doubt: usize = moments
        .iter()
        .map(|moment| {
            let at = |accepted: i64| (moment - window..=moment + 20).contains(&accepted);
            accepted.iter().filter(|message| at(message.at.millis())).count()
        })
        .sum();
    println!(
        "{} kills: {} acknowledged, {} accepted by the sink, {} lost, {extra} extra copies, {in_doubt} in doubt at the kills",
        moments.len(),
        promised.len(),
        accepted.len(),
        lost.len(),
    );
    assert_eq!(lost, Vec::<&String>::new(), "acknowledged and lost");
    assert!(extra <= in_doubt as u64, "{extra} extra copies, but only {in_doubt} were in doubt");
    assert!(promised.len() > 200, "too little load to mean anything: {}", promised.len());
    let _: Value = client.get("/api/v2").await.expect(200).json;
    assert!(server.stop().success());
}
