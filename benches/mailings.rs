//! Mailings per second over ten mailboxes to smtp-sink, each state on disk, beside smtp-source to the same sink.

use crate::figures::{Beside, Samples, Table, rate};
use crate::house::{self, House};
use crate::load;
use crate::peers::smtp_sink::{Options, SmtpSink, SmtpSource};
use serde_json::json;
use std::time::{Duration, Instant};

const RUNS: usize = 3;
const MAILBOXES: usize = 10;
const MAILINGS: usize = 5000;
const SIZE: usize = 3 * 1024;

pub async fn measure(table: &mut Table) {
    let Some(sink) = SmtpSink::start(&Options { keep: false, ..Options::default() }) else { return };
    let home = house::home().await;
    let house = House::serve(&home);
    let mut mailboxes = Vec::new();
    for number in 0..MAILBOXES {
        let attributes = json!({
            "smtpHost": "127.0.0.1", "smtpPort": sink.address.port(), "smtpSsl": false, "syncDisabled": true,
            "sendDisabled": true,
        });
        mailboxes.push(house.mailbox(&format!("sender{number}@example.org"), &attributes).await);
    }
    let (mut ours, mut one, mut ten) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let documents: Vec<_> = mailboxes.iter().map(|id| house::mailing(*id, SIZE, "queued")).collect();
        load::so_many(house.address, MAILINGS, 201, move |number| {
            load::request("POST", "/api/v2/mailings", &house::token(number), Some(&documents[number % MAILBOXES]))
        })
        .await;
        let start = Instant::now();
        for mailbox in &mailboxes {
            house.change(*mailbox, &json!({"sendDisabled": false})).await;
        }
        while still_waiting(&house).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ours.push(rate(MAILINGS, start.elapsed()));
        let delivered = house.count("mailings?filter[state]=delivered").await;
        assert_eq!(delivered, (run + 1) * MAILINGS, "every mailing is delivered");
        for mailbox in &mailboxes {
            house.change(*mailbox, &json!({"sendDisabled": true})).await;
        }
        one.push(source(&sink, 1, MAILINGS, SIZE));
        ten.push(source(&sink, 10, MAILINGS, SIZE));
    }
    let (ours, one, ten) = (Samples::of(ours), Samples::of(one), Samples::of(ten));
    println!("smtp-source: one session {one} /s, ten sessions {ten} /s");
    let name = "Mailings over 10 mailboxes, 3 KB, durable";
    let beside = Beside { name: "smtp-source, 1 session", value: one.median() };
    table.add(name, "/s", &ours, Some("≥ 500"), Some(beside));
    let beside = Beside { name: "smtp-source, 10 sessions", value: ten.median() };
    table.add(name, "/s", &ours, Some("≥ 500"), Some(beside));
}

/// Whether a mailing has not reached its end. Looked for along the way that they go, so that none slips through.
pub async fn still_waiting(house: &House) -> bool {
    for state in ["scheduled", "queued", "delivering"] {
        let list = format!("/api/v2/mailings?filter[state]={state}&page[size]=1&count=false");
        if house.get(&list).await["data"].as_array().is_some_and(|data| !data.is_empty()) {
            return true;
        }
    }
    false
}

/// What smtp-source sends a second over so many sessions.
pub fn source(sink: &SmtpSink, sessions: u32, mailings: usize, size: usize) -> f64 {
    let messages = u32::try_from(mailings).expect("few");
    let size = u32::try_from(size).expect("small");
    let time = SmtpSource { sessions, messages, size, reuse: true }.run(sink.address).expect("smtp-source is there");
    rate(mailings, time)
}
