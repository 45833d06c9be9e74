//! How soon an instance with a store of 1 GB works again after SIGKILL under a load of writes.

use crate::figures::{Samples, Table, millis};
use crate::house::{self, House};
use crate::load::{self, Connection};
use crate::start::first_answer;
use crate::support::binary::Home;
use postroom::domain::classification::Classification;
use postroom::domain::message::{Direction, Message};
use postroom::domain::time::Timestamp;
use postroom::runtime::{Random as _, SystemRandom};
use postroom::store::StoreError;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const RUNS: usize = 5;
const MESSAGES: usize = 4 * 1024;
const SIZE: usize = 250 * 1024;
const GROUP: usize = 16;

pub async fn measure(table: &mut Table) {
    let home = house::home().await;
    fill(&home).await;
    let size = std::fs::metadata(home.data().join("postroom.redb")).expect("the store").len();
    println!("the store has {} MB", size / 1_000_000);

    let house = House::serve(&home);
    let sender = house.mailbox("sender@example.org", &json!({"sendDisabled": true})).await;
    assert!(house.server.stop().success());
    println!("after an orderly stop: {:.0} ms", millis(first_answer(&home, "/readyz").0));

    let mut starts = Vec::new();
    for run in 0..RUNS {
        let house = House::serve(&home);
        let document = Arc::new(house::mailing(sender, 1024, "drafted"));
        let writers: Vec<_> = (0..16)
            .map(|number| {
                let request = load::request("POST", "/api/v2/mailings", &house::token(number), Some(&document));
                tokio::spawn(write_until_killed(house.address, request))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1500 + 137 * run as u64)).await;
        house.server.kill();
        let mut written = 0;
        for writer in writers {
            written += writer.await.expect("a writer ends with the server");
        }
        let (time, running) = first_answer(&home, "/readyz");
        drop(running);
        println!("killed after {written} writes; ready after {:.0} ms", millis(time));
        starts.push(millis(time));
    }
    table.add("Ready after kill -9 under load, 1 GB store", "ms", &Samples::of(starts), None, None);
}

async fn write_until_killed(address: std::net::SocketAddr, request: Vec<u8>) -> usize {
    let mut connection = Connection::open(address).await.expect("the server takes connections");
    let mut written = 0;
    while connection.exchange(&request).await.is_ok_and(|answer| answer.status == 201) {
        written += 1;
    }
    written
}

/// Messages that cannot be compressed, straight into the store.
async fn fill(home: &Home) {
    let store = house::open(home);
    for group in 0..MESSAGES / GROUP {
        let mut raw = vec![0; SIZE];
        SystemRandom::new().fill(&mut raw);
        let filled = store.write(move |work| {
            for number in 0..GROUP {
                let number = group * GROUP + number;
                work.create_message(message(number), &format!("<{number}@filler.test>"), &raw)?;
            }
            Ok::<_, StoreError>(())
        });
        filled.await.expect("the messages are stored");
    }
    assert!(store.close().await, "nobody else holds the store");
}

pub fn message(number: usize) -> Message {
    Message {
        id: 0,
        mailbox_id: 1,
        direction: Direction::Inbound,
        message_id: Some(format!("{number}@filler.test")),
        in_reply_to: Vec::new(),
        references: Vec::new(),
        from: Vec::new(),
        to: Vec::new(),
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: Some("Filler".into()),
        snippet: String::new(),
        sent_at: None,
        received_at: Some(Timestamp::from_millis(0)),
        folder: "INBOX".into(),
        flags: Vec::new(),
        size: SIZE as u64,
        classification: Classification::Other,
        attachments: Vec::new(),
        authentication_results: Vec::new(),
        parse_problems: Vec::new(),
        created_at: Timestamp::from_millis(0),
        mailing_id: None,
        deleted_at: None,
        provider_thread: None,
        thread_id: None,
        body_stored: true,
        by_content: false,
        bounces: Vec::new(),
    }
}
