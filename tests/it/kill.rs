//! `kill -9` at random moments under load: what was acknowledged arrives, and nothing arrives twice but what was in
//! doubt when the process died. Seeded; the seed is printed and `POSTROOM_TEST_SEED` repeats a run.
//!
//! The quick form kills 100 times. `POSTROOM_TORTURE=long` kills 1,000 times over at least 10,000 mailings, the sink
//! answering after 0 to 50 ms, and then prints the rate of extra copies with kills at least five seconds apart. Each
//! run ends with one row of the table.

use crate::support::binary::Home;
use crate::support::client::{Client, Request};
use crate::support::server::Server;
use postroom::mailserver::{Accepted, Act, Count, MailServer, Options, Point, Recipients, Rule};
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
/// By how much the sink may lag behind what a dead process has written, in milliseconds.
const READ_LATE: i64 = 20;

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a time in range")
}

fn seed() -> u64 {
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| now_millis().unsigned_abs() % 1_000_000)
}

/// How hard a run is.
struct Form {
    name: &'static str,
    kills: u64,
    /// The least that must have been acknowledged for the run to mean anything.
    mailings: usize,
    /// How long the server lives between two kills, in milliseconds: at least, and how much more at most.
    life: (u64, u64),
    /// How long the sink keeps clients waiting for the reply to the final dot: every third for the first of these, every
    /// third of the others for the second, and so on.
    slow: &'static [Duration],
    /// The most extra copies, in thousandths of what was acknowledged.
    permille: u64,
    /// How long a client rests between two mailings, in milliseconds at most.
    rest: u64,
}

const QUICK: Form =
    Form { name: "quick", kills: 100, mailings: 200, life: (20, 180), slow: &[SLOW_REPLY], permille: 1000, rest: 12 };
const LONG: Form = Form {
    name: "long",
    kills: 1000,
    mailings: 10_000,
    life: (50, 450),
    slow: &[SLOW_REPLY, Duration::from_millis(25), Duration::from_millis(50)],
    permille: 1000,
    rest: 40,
};
const APART: Form = Form { name: "5 s apart", kills: 30, mailings: 1_000, life: (5_000, 500), permille: 10, ..LONG };

/// `POSTROOM_TEST_KILLS` asks for another number of kills.
fn kills(form: &Form) -> u64 {
    let asked = std::env::var("POSTROOM_TEST_KILLS").ok().and_then(|kills| kills.parse().ok());
    asked.unwrap_or(form.kills)
}

fn is_long() -> bool {
    std::env::var("POSTROOM_TORTURE").is_ok_and(|form| form == "long")
}

async fn sink(form: &Form) -> MailServer {
    let options = Options {
        recipients: Recipients::Anybody,
        require_auth: false,
        accepted_kept: 1_000_000,
        ..Options::default()
    };
    let sink = MailServer::start(options).await.expect("the mail server starts");
    for (number, delay) in (3u64..).zip(form.slow) {
        sink.script(Rule::new(Point::FinalReply, Act::Delay(*delay)).count(Count::EveryNth(number)));
    }
    sink
}

/// What the clients were promised.
#[derive(Default)]
struct Promises {
    message_ids: Mutex<HashSet<String>>,
}

/// Posts mailings one after the other and notes those that were acknowledged.
async fn post_until(
    done: Arc<AtomicBool>,
    url: Arc<Mutex<String>>,
    token: String,
    promises: Arc<Promises>,
    seed: u64,
    rest: u64,
) {
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
            tokio::time::sleep(Duration::from_millis(random.below(rest))).await;
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

/// The messages of which a process could not know when it was killed, as the sink saw them: it had the final dot, and its
/// reply had not left, or so recently that it may not have been recorded.
fn in_doubt(accepted: &[Accepted], kills: &[(i64, i64)]) -> u64 {
    let recording = i64::try_from(RECORDING.as_millis()).expect("a short time");
    let mut last_end = i64::MIN;
    let mut count = 0;
    for (begun, ended) in kills {
        // What the process had written before it died may be read a little later.
        let until = ended + READ_LATE;
        count += accepted
            .iter()
            .filter(|message| (last_end + 1..=until).contains(&message.at.millis()))
            .filter(|message| message.replied_at.is_none_or(|at| at.millis() >= begun - recording))
            .count() as u64;
        last_end = until;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_and_doubles_only_what_was_in_doubt() {
    if is_long() {
        run(&LONG).await;
        run(&APART).await;
    } else {
        run(&QUICK).await;
    }
}

async fn run(form: &Form) {
    let (seed, kills) = (seed(), kills(form));
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let (home, sink) = (Home::new(), sink(form).await);
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
            tokio::spawn(post_until(
                done.clone(),
                url.clone(),
                token.clone(),
                promises.clone(),
                seed * 10 + client,
                form.rest,
            ))
        })
        .collect();

    // From just before each kill to when the process was gone.
    let mut moments: Vec<(i64, i64)> = Vec::new();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(form.life.0 + random.below(form.life.1))).await;
        let begun = now_millis();
        server.kill();
        moments.push((begun, now_millis()));
        // Every fourth time the recovery is killed as well, before it is done; every eighth time that of the recovery too.
        for _ in 0..[0, 0, 0, 1, 0, 0, 0, 2][usize::try_from(kill % 8).unwrap_or(0)] {
            let mut child = home
                .command_on_data(&["serve", "--listen", "127.0.0.1:0"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("the server starts");
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
            let begun = now_millis();
            child.kill().expect("the server is killed");
            child.wait().expect("the server has ended");
            moments.push((begun, now_millis()));
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
    let in_doubt = in_doubt(&accepted, &moments);
    let rate = |number: u64| {
        format!(
            "{:.2} %",
            f64::from(u32::try_from(number).unwrap_or(u32::MAX)) * 100.0
                / f64::from(u32::try_from(promised.len()).unwrap_or(u32::MAX))
        )
    };
    println!(
        "{:<10}{:>7}{:>14}{:>10}{:>6}{:>7}{:>9}{:>10}",
        "kill -9", "kills", "acknowledged", "accepted", "lost", "extra", "rate", "in doubt"
    );
    println!(
        "{:<10}{:>7}{:>14}{:>10}{:>6}{:>7}{:>9}{:>10}",
        form.name,
        moments.len(),
        promised.len(),
        accepted.len(),
        lost.len(),
        extra,
        rate(extra),
        in_doubt,
    );
    assert_eq!(lost, Vec::<&String>::new(), "acknowledged and lost");
    assert!(extra <= in_doubt, "{extra} extra copies, but only {in_doubt} were in doubt");
    let asked_for_less = kills < form.kills;
    assert!(asked_for_less || promised.len() > form.mailings, "too little load to mean anything: {}", promised.len());
    assert!(extra * 1000 <= promised.len() as u64 * form.permille, "{extra} of {}", promised.len());
    let _: Value = client.get("/api/v2").await.expect(200).json;
    assert!(server.stop().success());
}
