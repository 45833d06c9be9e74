//! The main job, over the API only, between servers that others wrote: Dovecot for what comes back, smtp-sink for what
//! goes out, Python's mail parser as the judge of every message.

use crate::peers::dovecot::{self, Dovecot};
use crate::peers::mime_check;
use crate::peers::smtp_sink::{self, SmtpSink};
use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::server::Server;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

const MAILINGS: usize = 200;

/// Subjects and bodies of every kind: plain, folded, accented, emoji, right to left, dots, long lines, empty.
fn content(number: usize) -> (String, Value) {
    let subject = match number % 6 {
        0 => format!("Plain {number}"),
        1 => format!("Grüße aus Köln, Straße {number}"),
        2 => format!("🚀 {number} 日本語の件名"),
        3 => format!("שלום {number}"),
        4 => format!("{number} {}", "a long subject that has to be folded ".repeat(6).trim_end()),
        _ => format!("=?utf-8?q?not_encoded?= {number}"),
    };
    let text = match number % 4 {
        0 => "Hello,\n.\n..\nBye\n".to_owned(),
        1 => "x".repeat(3000),
        2 => "Zeile eins äöü\r\nZeile zwei\n".to_owned(),
        _ => format!("Number {number}: 漢字 ✓"),
    };
    let html = format!("<p>Number {number}</p><p>{}</p>", text.trim());
    let attributes = match number % 3 {
        0 => json!({"bodyText": text}),
        1 => json!({"bodyHtml": html}),
        _ => json!({"bodyText": text, "bodyHtml": html}),
    };
    (subject, attributes)
}

async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_mailings_arrive_once_and_a_reply_is_recognised() {
    let (Some(dovecot), Some(sink)) =
        (Dovecot::start(&dovecot::Options::default()), SmtpSink::start(&smtp_sink::Options::default()))
    else {
        return;
    };
    let home = Home::new();
    home.configure(&format!("extra_ca_file = {:?}\n", dovecot.authority_file));
    home.run(&["setup", "--email", "admin@example.org"], "").ok();
    let token = home.run(&["token", "create", "--user", "admin@example.org", "--quiet"], "").ok().trim().to_owned();
    let server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));

    let mailbox = client
        .create("mailbox", "mailboxes", &json!({
            "email": "ann@mail.test", "password": "ann's secret",
            "imapHost": dovecot.host(), "imapPort": dovecot.imaps.port(), "imapSsl": true,
            "smtpHost": sink.address.ip().to_string(), "smtpPort": sink.address.port(), "smtpSsl": false,
            "smtpUsername": null, "sendThreshold": null, "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
            "validateSync": true,
        }))
        .await;
    drop(mailbox);
    drop(sink);
}
