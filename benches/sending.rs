//! Sending under load: fifty mailboxes at once; a queue of 100,000 mailings, and what it costs to find the next one in
//! it; a large attachment, and the memory that it takes.

use crate::figures::{Beside, Samples, Table, rate};
use crate::house::{self, House};
use crate::load;
use crate::mailings::{source, still_waiting};
use crate::peers::smtp_sink::{Options, SmtpSink};
use postroom::domain::mailing::{Content, Mailing, Recipient, RecipientKind, State};
use postroom::store::StoreError;
use serde_json::json;
use std::time::{Duration, Instant};

const MAILBOXES: usize = 50;
const MAILINGS: usize = 5_000;
const SIZE: usize = 3 * 1024;
const RUNS: usize = 3;
const QUEUED: usize = 100_000;
/// How many go out of each queue while the time is taken.
const PICKED: usize = 4_000;
const ATTACHMENT: usize = 25 << 20;
const MIB: f64 = 1024.0 * 1024.0;

pub async fn measure(table: &mut Table) {
    fifty_mailboxes(table).await;
    long_queue(table).await;
    large_attachment(table).await;
}

fn settings(sink: &SmtpSink) -> serde_json::Value {
    json!({
        "smtpHost": "127.0.0.1", "smtpPort": sink.address.port(), "smtpSsl": false, "syncDisabled": true,
        "sendDisabled": true,
    })
}

async fn mailboxes(house: &House, sink: &SmtpSink, name: &str, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(house.mailbox(&format!("{name}{number}@example.org"), &settings(sink)).await);
    }
    ids
}

async fn switch(house: &House, mailboxes: &[u64], disabled: bool) {
    for mailbox in mailboxes {
        house.change(*mailbox, &json!({"sendDisabled": disabled})).await;
    }
}

async fn fifty_mailboxes(table: &mut Table) {
    let Some(sink) = SmtpSink::start(&Options { keep: false, ..Options::default() }) else { return };
    let home = house::home().await;
    let house = House::serve(&home);
    let mailboxes = mailboxes(&house, &sink, "sender", MAILBOXES).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let documents: Vec<_> = mailboxes.iter().map(|id| house::mailing(*id, SIZE, "queued")).collect();
        load::so_many(house.address, MAILINGS, 201, move |number| {
            load::request("POST", "/api/v2/mailings", &house::token(number), Some(&documents[number % MAILBOXES]))
        })
        .await;
        let start = Instant::now();
        switch(&house, &mailboxes, false).await;
        while still_waiting(&house).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ours.push(rate(MAILINGS, start.elapsed()));
        switch(&house, &mailboxes, true).await;
        theirs.push(source(&sink, 10, MAILINGS, SIZE));
    }
    let beside = Beside { name: "smtp-source, 10 sessions", value: Samples::of(theirs).median() };
    table.add("Mailings over 50 mailboxes, 3 KB, durable", "/s", &Samples::of(ours), Some("≥ 2,000"), Some(beside));
}

/// What is picked from a queue of 100,000, beside one of no more than is picked.
async fn long_queue(table: &mut Table) {
    let (mut short, mut long, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        short.push(picked(MAILBOXES * 100).await.map(|found| found.0));
        if let Some((rate, peak)) = picked(QUEUED).await {
            long.push(rate);
            memory.push(peak);
        }
    }
    let short: Vec<f64> = short.into_iter().flatten().collect();
    if short.is_empty() || long.is_empty() {
        return;
    }
    let beside = Beside { name: "5,000 queued", value: Samples::of(short).median() };
    table.add("The next one of 100,000 queued", "/s", &Samples::of(long), Some("ratio ≈ 1"), Some(beside));
    table.add("100,000 queued, sending: peak VmRSS", "MB", &Samples::of(memory), Some("< 80"), None);
}

/// How many mailings a second leave a queue, and the most memory that the server had, in MB.
async fn picked(queued: usize) -> Option<(f64, f64)> {
    let sink = SmtpSink::start(&Options { keep: false, ..Options::default() })?;
    let home = house::home().await;
    let house = House::serve(&home);
    let mailboxes = mailboxes(&house, &sink, "sender", MAILBOXES).await;
    assert!(house.server.stop().success());
    fill(&home, &mailboxes, queued).await;
    let house = House::serve(&home);
    let start = Instant::now();
    switch(&house, &mailboxes, false).await;
    loop {
        let delivered = house.count("mailings?filter[state]=delivered").await;
        if delivered >= PICKED {
            let rate = rate(delivered, start.elapsed());
            #[expect(clippy::cast_precision_loss, reason = "megabytes")]
            let peak = house.server.peak_memory() as f64 / MIB;
            return Some((rate, peak));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Queues mailings in the store itself: over the API it would take longer than what is measured.
async fn fill(home: &crate::support::binary::Home, mailboxes: &[u64], count: usize) {
    const AT_ONCE: usize = 1_000;
    let store = house::open(home);
    let text = "What is measured here should look like mail that people write to each other. ".repeat(SIZE / 77);
    for begin in (0..count).step_by(AT_ONCE) {
        let (mailboxes, text) = (mailboxes.to_vec(), text.clone());
        let queue = store.write(move |work| {
            for number in begin..count.min(begin + AT_ONCE) {
                let mailbox = mailboxes[number % mailboxes.len()];
                work.create_mailing(
                    mailing(mailbox, number, work.now()),
                    &Content { subject: Some("About".into()), text: Some(text.clone()), ..Content::default() },
                )?;
            }
            Ok::<_, StoreError>(())
        });
        queue.await.expect("they are stored");
    }
    assert!(store.close().await, "nobody else holds the store");
}

fn mailing(mailbox: u64, number: usize, now: postroom::domain::time::Timestamp) -> Mailing {
    let address = "rosa@recipients.test".to_owned();
    let recipient = Recipient { id: 0, kind: RecipientKind::To, name: None, address, outcome: None };
    serde_json::from_value(json!({
        "id": 0, "mailbox_id": mailbox, "user_id": 1, "mailbox_address": format!("sender{mailbox}@example.org"),
        "created_at": now, "updated_at": now, "state": State::Queued, "state_changed_at": now, "due": now,
        "mailing_type": "single", "message_id": format!("{number}.bench@example.org"), "recipients": [recipient],
    }))
    .expect("a mailing")
}

async fn large_attachment(table: &mut Table) {
    let Some(sink) = SmtpSink::start(&Options { keep: false, ..Options::default() }) else { return };
    let home = house::home().await;
    let house = House::serve(&home);
    let mailbox = mailboxes(&house, &sink, "sender", 1).await[0];
    // What a small one costs is not the large one's.
    let small = house::mailing(mailbox, SIZE, "queued");
    house.ask("POST", "/api/v2/mailings", Some(&small), 201).await;
    switch(&house, &[mailbox], false).await;
    while still_waiting(&house).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = house.server.peak_memory();
    let id = house.upload("large.bin", &noise(ATTACHMENT)).await;
    let mut document = house::mailing(mailbox, SIZE, "queued");
    document["data"]["relationships"]["attachments"] = json!({"data": [{"type": "attachment", "id": id}]});
    house.ask("POST", "/api/v2/mailings", Some(&document), 201).await;
    while still_waiting(&house).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(house.count("mailings?filter[state]=delivered").await, 2);
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let grown = house.server.peak_memory().saturating_sub(before) as f64 / MIB;
    table.add(
        "An attachment of 25 MB, uploaded and sent: VmRSS grows by",
        "MB",
        &Samples::of([grown]),
        Some("< 50"),
        None,
    );
}

/// Octets that no compressor makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
