//! Looking for words in a hundred thousand messages: from the request to the whole answer, a page of fifty, newest first.

use crate::crash::message;
use crate::figures::{Samples, Table, millis};
use crate::house::{self, House};
use crate::load::{self, Connection};
use crate::mailbox::scaled;
use crate::support::binary::Home;
use crate::usage::processor_time;
use postroom::domain::message::Message;
use postroom::domain::time::Timestamp;
use postroom::domain::words::Words;
use postroom::store::{StoreError, WordsOfBatch};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MESSAGES: usize = 100_000;
const GROUP: usize = 200;
/// How many words a message has, and how many there are altogether.
const LENGTH: usize = 200;
const VOCABULARY: u64 = 30_000;
const RUNS: usize = 25;

pub async fn measure(table: &mut Table) {
    let count = scaled(MESSAGES);
    let home = house::home().await;
    fill(&home, count).await;
    let house = House::serve(&home);
    let sender = house.mailbox("ann@example.org", &json!({"syncDisabled": true, "sendDisabled": true})).await;
    assert_eq!(sender, 1, "the messages are in the first mailbox");
    rest(&house).await;
    for (what, query) in [
        ("a word in every other message", word(1)),
        ("a word in one of a hundred", word(150)),
        ("a rare word", word(VOCABULARY - 7)),
        ("two words", format!("{}%20{}", word(2), word(400))),
        ("three words, two of them common", format!("{}%20{}%20{}", word(1), word(3), word(700))),
        ("the beginning of a word", word(90)[..4].to_owned()),
    ] {
        let path = format!("/api/v2/messages?filter[q]={query}&fields[message]=subject,receivedAt,from&page[size]=50");
        let mut times = Vec::new();
        let mut found = Value::Null;
        for _ in 0..RUNS {
            let request = load::request("GET", &path, &house::token(0), None);
            let mut connection = Connection::open(house.address).await.expect("the server takes connections");
            let start = Instant::now();
            let answer = connection.exchange(&request).await.expect("an answer");
            times.push(millis(start.elapsed()));
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(answer.body));
            let page: Value = serde_json::from_slice(answer.body).expect("JSON");
            found = page["meta"]["count"].clone();
        }
        println!("{what}: {found} found");
        table.add(&format!("Search over {count} messages: {what}"), "ms", &Samples::of(times), Some("≤ 50"), None);
    }
}

/// Waits until the index is merged.
async fn rest(house: &House) {
    let (begun, mut quiet, mut used) = (Instant::now(), 0, processor_time(house.server.id()));
    while quiet < 5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = processor_time(house.server.id());
        quiet = if now.saturating_sub(used) < Duration::from_millis(50) { quiet + 1 } else { 0 };
        used = now;
    }
    println!("the index was merged after {:.0} s", begun.elapsed().as_secs_f64() - 5.0);
}

/// A word of the vocabulary; the first ones are the common ones.
fn word(rank: u64) -> String {
    let mut left = rank.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
    let syllables =
        ["ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu", "pla", "gre", "sti", "fro", "klu", "den"];
    let mut word = String::new();
    for _ in 0..3 {
        word += syllables[usize::try_from(left % 16).unwrap_or(0)];
        left /= 16;
    }
    format!("{word}{rank}")
}

async fn fill(home: &Home, count: usize) {
    let store = house::open(home);
    let start = Instant::now();
    let mut seed: u64 = 7;
    for group in 0..count.div_ceil(GROUP) {
        let texts: Vec<String> = (0..GROUP).map(|_| text(&mut seed)).collect();
        let words: Vec<Words> = texts.iter().map(|text| Words::of([text.as_str()])).collect();
        let batch = WordsOfBatch::of(&words);
        let filled = store.write(move |work| {
            let mut ids = Vec::with_capacity(GROUP);
            for (number, text) in texts.iter().enumerate() {
                let number = group * GROUP + number;
                let received = i64::try_from(number).unwrap_or(0).wrapping_mul(7_919) % 31_536_000 * 1000;
                let message = Message {
                    subject: Some(text[..30].to_owned()),
                    received_at: Some(Timestamp::from_millis(1_700_000_000_000 + received)),
                    ..message(number)
                };
                ids.push(Some(work.create_message(message, &format!("<{number}@filler.test>"), text.as_bytes())?));
            }
            work.index_words(&batch, &ids)
        });
        let filled: Result<(), StoreError> = filled.await;
        filled.expect("the messages are stored");
    }
    println!("{count} messages stored in {:.1} s", start.elapsed().as_secs_f64());
    assert!(store.close().await, "nobody else holds the store");
    let size = std::fs::metadata(home.data().join("postroom.redb")).expect("the store").len();
    println!("the store has {} MB", size / 1_000_000);
}

/// Words as languages have them: the n-th is used about 1/n as often as the first.
fn text(seed: &mut u64) -> String {
    let mut words = Vec::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        #[expect(clippy::cast_precision_loss, reason = "any number will do")]
        let random = (*seed >> 11) as f64 / (1u64 << 53) as f64;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank"
        )]
        let rank = (VOCABULARY as f64).powf(random) as u64;
        words.push(word(rank));
    }
    words.join(" ")
}
