//! Reads per second over connections that stay open, beside the web server's own answer to `/healthz`.

use crate::figures::{Beside, Samples, Table};
use crate::house::{self, House};
use crate::load;
use serde_json::json;
use std::time::Duration;

const RUNS: usize = 5;
const TIME: Duration = Duration::from_secs(3);
const MAILBOXES: usize = 1000;
const MAILINGS: usize = 1000;

pub async fn measure(table: &mut Table) {
    let home = house::home().await;
    let house = House::serve(&home);
    let sender = house.mailbox("sender@example.org", &json!({"sendDisabled": true})).await;
    load::so_many(house.address, MAILBOXES, 201, |number| {
        let attributes = json!({
            "smtpHost": "smtp.example.org", "imapHost": "imap.example.org", "password": "secret", "syncDisabled": true,
        });
        let document = house::mailbox(&format!("box{number}@example.org"), &attributes);
        load::request("POST", "/api/v2/mailboxes", &house::token(number), Some(&document))
    })
    .await;
    let document = house::mailing(sender, 1024, "drafted");
    load::so_many(house.address, MAILINGS, 201, move |number| {
        load::request("POST", "/api/v2/mailings", &house::token(number), Some(&document))
    })
    .await;

    let mut alive = Vec::new();
    let mut reads: [Vec<f64>; 3] = Default::default();
    for _ in 0..RUNS {
        alive.push(get(&house, |_| "/healthz".into()).await);
        reads[0].push(get(&house, |number| format!("/api/v2/mailboxes/{}", number % MAILBOXES + 1)).await);
        reads[1].push(get(&house, |_| "/api/v2/mailboxes?page[size]=50".into()).await);
        reads[2].push(get(&house, |_| "/api/v2/mailings?page[size]=50".into()).await);
    }
    let alive = Samples::of(alive);
    println!("/healthz: {alive} /s");
    let [show, mailboxes, mailings] = reads.map(Samples::of);
    let beside = || Some(Beside { name: "GET /healthz", value: alive.median() });
    table.add("Show a mailbox, 64 connections", "/s", &show, Some("≥ 20,000"), beside());
    table.add("List 50 of 1,000 mailboxes", "/s", &mailboxes, None, beside());
    table.add("List 50 of 1,000 mailings", "/s", &mailings, None, beside());
}

async fn get(house: &House, path: impl Fn(usize) -> String + Send + Sync + 'static) -> f64 {
    let make = move |number| load::request("GET", &path(number), &house::token(number), None);
    load::for_a_while(house.address, TIME, 200, make).await
}
