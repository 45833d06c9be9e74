//! A mailbox in Dovecot with much in it, and what is measured against it.

use crate::house::House;
use crate::peers::dovecot::{Dovecot, Options};
use crate::peers::process::is_root;
use base64::Engine as _;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::time::{Duration, Instant};

pub const USER: &str = "ann@mail.test";
pub const PASSWORD: &str = "secret";

/// `POSTROOM_BENCH=quick` measures a tenth: to see that it works, not how fast.
pub fn scaled(count: usize) -> usize {
    if std::env::var("POSTROOM_BENCH").is_ok_and(|form| form == "quick") { count / 10 } else { count }
}

/// A server whose inbox has so many messages. `None` if Dovecot is missing and may be.
pub fn filled(count: usize, message: impl Fn(usize) -> String) -> Option<Dovecot> {
    let options = Options { users: vec![(USER.into(), PASSWORD.into())], ..Options::default() };
    let dovecot = Dovecot::start(&options)?;
    // The folder exists once somebody has looked.
    assert_eq!(dovecot.count(USER, "INBOX"), 0);
    let new = dovecot.authority_file.with_file_name("mail").join(USER).join("mail/new");
    let owner = std::fs::metadata(&new).expect("a Maildir");
    for number in 0..count {
        let file = new.join(format!("{number}.bench"));
        std::fs::write(&file, message(number)).expect("a message");
        if is_root() {
            chown(&file, Some(owner.uid()), Some(owner.gid())).expect("root may give files away");
        }
    }
    // Dovecot reads headers and sizes of new files when they are first asked for; nobody is to pay for the other.
    assert_eq!(dovecot.count(USER, "INBOX") as usize, count);
    dovecot.doveadm(&["index", "-u", USER, "INBOX"]);
    Some(dovecot)
}

/// How a mailbox of ours reaches it.
pub fn settings(dovecot: &Dovecot, tls: bool) -> Value {
    let address = if tls { dovecot.imaps } else { dovecot.imap };
    json!({
        "imapHost": dovecot.host(), "imapPort": address.port(), "imapSsl": tls,
        "username": USER, "password": PASSWORD, "sendDisabled": true,
    })
}

/// Makes a mailbox and waits until it has so many messages; its id and how long that took.
pub async fn first_sync(house: &House, email: &str, settings: &Value, count: usize) -> (u64, Duration) {
    let start = Instant::now();
    let mailbox = house.mailbox(email, settings).await;
    let list = format!("messages?filter[mailbox][id]={mailbox}");
    while house.count(&list).await < count {
        assert!(start.elapsed() < Duration::from_mins(10), "the sync does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (mailbox, start.elapsed())
}

fn header(number: usize) -> String {
    format!(
        "From: Rosa Writer <rosa{}@senders.test>\nTo: Ann <{USER}>\nSubject: Message {number}\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <{number}@senders.test>\nMIME-Version: 1.0\n",
        number % 100
    )
}

/// Text of about so many octets.
pub fn text(number: usize, size: usize) -> String {
    let mut text = header(number) + "Content-Type: text/plain; charset=utf-8\n\n";
    for line in 0.. {
        if text.len() >= size {
            break;
        }
        let _ = writeln!(text, "Line {line} of message {number} says a little, as lines of messages do.");
    }
    text
}

/// As people's mailboxes are: of ten messages seven of 4 KB, two of text and HTML of 30 KB, one with an attachment of
/// 300 KB.
pub fn mixed(number: usize) -> String {
    let size = match number % 10 {
        0..7 => return text(number, 4 << 10),
        7 | 8 => 0,
        _ => 220 << 10,
    };
    let paragraph =
        format!("<p>Paragraph of <b>message {number}</b> with a <a href=\"https://a.test\">link</a>.</p>\n");
    let mut mail = header(number) + "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/html\n\n";
    mail += &paragraph.repeat((30 << 10) / paragraph.len());
    if size > 0 {
        // Not what compresses well: attachments do not.
        let octets: Vec<u8> = (0..size).map(|at| ((at * 2_654_435_761_usize) >> 13).to_le_bytes()[0]).collect();
        mail += "\n--b\nContent-Type: application/pdf; name=\"a.pdf\"\nContent-Transfer-Encoding: base64\n\n";
        let encoded = base64::prelude::BASE64_STANDARD.encode(octets);
        for line in encoded.as_bytes().chunks(76) {
            let _ = writeln!(mail, "{}", String::from_utf8_lossy(line));
        }
    }
    mail + "\n--b--\n"
}
