//! A fleet: ten thousand mailboxes, each polled every ten minutes. How late its polls are, and what the instance costs
//! that makes them; and the same with another thousand mailboxes on a server that takes connections and never answers.

use crate::figures::{Samples, Table};
use crate::house::{self, House};
use crate::load;
use crate::mailbox::scaled;
use crate::usage::{memory_of, peak_memory_of, processor_time, threads_of};
use postroom::mailserver::{MailServer, Options};
use postroom::runtime::Runtime;
use postroom::sync::slot_after;
use serde_json::json;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

const MAILBOXES: usize = 10_000;
const DEAD: usize = 1_000;
const PERIOD: Duration = Duration::from_mins(10);
const PASSWORD: &str = "secret";
/// Messages in each inbox.
const MESSAGES: usize = 3;
const CORES: f64 = 2.0;

pub async fn measure(table: &mut Table) {
    // The quick form has a tenth of the mailboxes and polls them as often per second.
    let (count, dead, period) = (scaled(MAILBOXES), scaled(DEAD), PERIOD * u32::try_from(scaled(10)).unwrap_or(1) / 10);
    // The mail server has threads of its own: what it costs is not Postroom's.
    let theirs = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let options = Options { logins_kept: 10 * count, ..Options::condstore() };
    let server = theirs.spawn(MailServer::start(options)).await.expect("it starts").expect("a port on loopback");
    let message =
        "From: rosa@elsewhere.test\r\nSubject: Hello\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\nHello\r\n";
    for account in 0..count {
        let address = format!("box{account}@fleet.test");
        server.add_account(&address, PASSWORD);
        for number in 0..MESSAGES {
            let raw = format!("Message-ID: <{number}.{address}>\r\nTo: {address}\r\n{message}");
            server.append(&address, "INBOX", raw.as_bytes()).expect("the account is there");
        }
    }

    let home = house::home().await;
    let house = House::serve(&home);
    add(&house, count, period, server.imap(), "fleet.test").await;
    let ids = ids(&house).await;
    let began = Instant::now();
    while house.count("messages").await < MESSAGES * count {
        assert!(began.elapsed() < Duration::from_mins(10), "the first syncs do not end");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("first syncs of {count} mailboxes: {:.0} s after the last was made", began.elapsed().as_secs_f64());
    // What follows a first sync within a minute is left out, so the grid is kept from the second period on.
    tokio::time::sleep(period).await;
    watch(table, &house, &server, &ids, period, "").await;

    // It takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    add(&house, dead, period, address, "dead.test").await;
    tokio::time::sleep(period / 2).await;
    watch(table, &house, &server, &ids, period, &format!(", {dead} more on a dead server")).await;
    drop(silent);
    server.stop().await;
    theirs.shutdown_background();
}

/// Makes mailboxes at a server.
async fn add(house: &House, count: usize, period: Duration, server: SocketAddr, domain: &'static str) {
    let seconds = period.as_secs();
    load::so_many(house.address, count, 201, move |number| {
        let attributes = json!({
            "imapHost": server.ip().to_string(), "imapPort": server.port(), "imapSsl": false, "password": PASSWORD,
            "syncPassiveFrequency": seconds, "syncActiveFrequency": seconds, "sendDisabled": true,
        });
        let document = house::mailbox(&format!("box{number}@{domain}"), &attributes);
        load::request("POST", "/api/v2/mailboxes", &house::token(number), Some(&document))
    })
    .await;
}

/// The ids of all mailboxes by their addresses.
async fn ids(house: &House) -> HashMap<String, u64> {
    let mut ids = HashMap::new();
    let mut path = "/api/v2/mailboxes?page[size]=1000&fields[mailbox]=email&count=false".to_owned();
    loop {
        let page = house.get(&path).await;
        for item in page["data"].as_array().expect("a list") {
            let email = item["attributes"]["email"].as_str().expect("an address");
            ids.insert(email.to_owned(), item["id"].as_u64().expect("an id"));
        }
        let Some(next) = page["links"]["next"].as_str() else { return ids };
        let from = next.find("/api/").expect("a path of the API");
        next[from..].clone_into(&mut path);
    }
}

/// Watches one period: when the server saw which mailbox, and what that cost.
async fn watch(
    table: &mut Table,
    house: &House,
    server: &MailServer,
    ids: &HashMap<String, u64>,
    period: Duration,
    beside: &str,
) {
    let process = house.server.id();
    server.take_logins();
    let (began, start) = (Runtime::system().clock.now(), Instant::now());
    let before = processor_time(process);
    tokio::time::sleep(period).await;
    let used = processor_time(process).saturating_sub(before);
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64() / CORES * 100.0;
    // Those whose time came at the very end.
    tokio::time::sleep(Duration::from_secs(5)).await;

    let next_period = i32::try_from(period.as_millis()).expect("a short time") - 10_000;
    let mut late = Vec::new();
    for (at, user) in server.take_logins() {
        let millis = i32::try_from(at.millis_since(slot_after(ids[&*user], began, period))).expect("a short time");
        // The few others belong to the period before, or the one after.
        if (0..next_period).contains(&millis) {
            late.push(f64::from(millis));
        }
    }
    late.sort_by(f64::total_cmp);
    let polled = late.len();
    println!("{polled} polls of {} mailboxes in {} s{beside}", ids.len(), period.as_secs());
    let percentile = |hundredths: usize| late[(polled - 1) * hundredths / 100];
    let name = format!("Fleet of {}, each polled every {} s{beside}", ids.len(), period.as_secs());
    table.add(&format!("{name}: lateness, median"), "ms", &Samples::of([percentile(50)]), None, None);
    table.add(&format!("{name}: lateness, 99 of 100"), "ms", &Samples::of([percentile(99)]), None, None);
    table.add(&format!("{name}: lateness, last"), "ms", &Samples::of([percentile(100)]), None, None);
    table.add(&format!("{name}: share of two cores"), "%", &Samples::of([share]), Some("≤ 25"), None);
    table.add(&format!("{name}: VmRSS"), "MB", &Samples::of([memory_of(process).0]), Some("≤ 150"), None);
    println!("peak VmRSS {:.1} MB, {} threads", peak_memory_of(process), threads_of(process));
}
