//! New mail in a watched inbox of a real server (IMAP IDLE) is there within seconds, without a poll.

use crate::peers::dovecot::{Dovecot, Options};
use crate::support::instance::Instance;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const ANN: &str = "ann@mail.test";

fn mail(number: u32) -> Vec<u8> {
    format!("Message-ID: <{number}@else.test>\r\nFrom: x@else.test\r\nSubject: {number}\r\n\r\ntext\r\n").into_bytes()
}

async fn stored(postroom: &Instance) -> BTreeSet<String> {
    let listed = postroom.client.get("/api/v2/messages?fields[message]=subject").await.expect(200);
    let subject = |message: &serde_json::Value| message["attributes"]["subject"].as_str().map(str::to_owned);
    listed.json["data"].as_array().expect("a list").iter().filter_map(subject).collect()
}

/// Waits without asking for a sync; the limit only keeps a broken build from hanging.
async fn arrives(postroom: &Instance, number: u32) {
    for _ in 0..600 {
        if stored(postroom).await.contains(&number.to_string()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("message {number} never came, and no poll is due today");
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_says_when_there_is_new_mail() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    dovecot.append(ANN, "INBOX", &mail(1));
    let mut config = postroom::config::Config::default();
    config.net.extra_ca_file = Some(dovecot.authority_file.clone());
    let postroom = Instance::start_with(config).await;
    let settings = json!({
        "imapHost": dovecot.host(), "imapPort": dovecot.imaps.port(), "imapSsl": true, "password": "ann's secret",
        "syncActiveFrequency": 86_400, "syncPassiveFrequency": 86_400,
    });
    postroom.mailbox(ANN, settings).await;
    arrives(&postroom, 1).await;
    // The second may come before the watch has begun, which then notices; the third is announced.
    for number in 2..=3 {
        dovecot.append(ANN, "INBOX", &mail(number));
        arrives(&postroom, number).await;
    }
    postroom.stop().await;
}
