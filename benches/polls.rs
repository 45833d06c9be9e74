//! A poll of a large mailbox in which nothing has changed: log in, see that, log out. Beside isync's mbsync, which
//! starts a process for it.

use crate::figures::{Beside, Samples, Table, millis};
use crate::house::{self, House};
use crate::mailbox::{self, PASSWORD, USER, filled, first_sync, scaled, settings};
use crate::mbsync::Mbsync;
use crate::usage::processor_time;
use postroom::domain::time::Timestamp;
use postroom::runtime::Runtime;
use serde_json::{Value, json};
use std::time::Duration;

const MESSAGES: usize = 50_000;
const POLLS: u32 = 100;

pub async fn measure(table: &mut Table) {
    let count = scaled(MESSAGES);
    let Some(dovecot) = filled(count, |number| mailbox::text(number, 500)) else { return };
    let home = house::home().await;
    home.configure(&format!("extra_ca_file = '{}'\n", dovecot.authority_file.display()));
    let house = House::serve(&home);
    for tls in [true, false] {
        let (mailbox, _) = first_sync(&house, &format!("ann-{tls}@mail.test"), &settings(&dovecot, tls), count).await;
        let theirs = Mbsync::new(&dovecot, USER, PASSWORD, tls).inspect(|mbsync| {
            mbsync.run();
            assert_eq!(mbsync.stored(), count, "mbsync stored every message");
        });
        poll(&house, mailbox).await;
        let (mut ours, mut beside, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            // What the questions themselves cost is not the poll's.
            let asking = processor_time(house.server.id());
            for _ in 0..POLLS {
                house.get(&format!("/api/v2/mailboxes/{mailbox}")).await;
                house.get(&format!("/api/v2/mailboxes/{mailbox}")).await;
            }
            let before = processor_time(house.server.id());
            let mut asked = 0;
            for _ in 0..POLLS {
                let (time, questions) = poll(&house, mailbox).await;
                ours.push(time);
                asked += questions;
            }
            let polling = processor_time(house.server.id()).saturating_sub(before);
            let question = before.saturating_sub(asking) / (2 * POLLS);
            cpu.push(millis(polling.saturating_sub(question * asked) / POLLS));
            if let Some(mbsync) = &theirs {
                beside.extend((0..POLLS / 10).map(|_| millis(mbsync.run())));
            }
        }
        house.change(mailbox, &json!({"syncDisabled": true})).await;
        let name = format!("Poll of {count} messages without change, {}", if tls { "TLS" } else { "plain" });
        let beside = (!beside.is_empty()).then(|| {
            let theirs = Samples::of(beside);
            println!("mbsync: {theirs} ms");
            Beside { name: "mbsync", value: theirs.median() }
        });
        table.add(&name, "ms", &Samples::of(ours), None, beside);
        table.add(&format!("{name}: processor time"), "ms", &Samples::of(cpu), Some("≤ 1"), None);
    }
}

/// Asks for a sync; how many milliseconds after that it had ended well, by the server's own account, and how many
/// questions that took.
async fn poll(house: &House, mailbox: u64) -> (f64, u32) {
    let path = format!("/api/v2/mailboxes/{mailbox}");
    let since = Runtime::system().clock.now();
    house.ask("POST", &format!("{path}/actions/sync"), None, 200).await;
    for questions in 2..600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let shown: Value = house.get(&path).await;
        let ended = shown["data"]["attributes"]["syncSuccessAt"].as_str().and_then(Timestamp::parse);
        if let Some(ended) = ended.filter(|at| *at >= since) {
            let time = u32::try_from(ended.millis_since(since)).expect("a short time");
            return (f64::from(time), questions);
        }
    }
    panic!("the poll does not end");
}
