//! The first sync of a mailbox from Dovecot, stored, indexed and durable, beside isync's mbsync into a Maildir on the
//! same disk with its syncing of files turned off.

use crate::figures::{Beside, Samples, Table, rate};
use crate::house::{self, House};
use crate::peers::dovecot::{Dovecot, Options};
use crate::peers::process::{find, is_root, run};
use crate::support::binary::Home;
use serde_json::json;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

const RUNS: usize = 3;
const MESSAGES: usize = 10_000;
const SIZE: usize = 3 * 1024;
const USER: &str = "ann@mail.test";
const PASSWORD: &str = "secret";

pub async fn measure(table: &mut Table) {
    let options = Options { users: vec![(USER.into(), PASSWORD.into())], ..Options::default() };
    let Some(dovecot) = Dovecot::start(&options) else { return };
    fill(&dovecot);
    // Dovecot reads headers and sizes of new files when they are first asked for; nobody is to pay for the other.
    assert_eq!(dovecot.count(USER, "INBOX"), 10_000);
    dovecot.doveadm(&["index", "-u", USER, "INBOX"]);
    let home = house::home().await;
    home.configure(&format!("extra_ca_file = '{}'\n", dovecot.authority_file.display()));
    let house = House::serve(&home);
    for tls in [true, false] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in 0..RUNS {
            let address = if tls { dovecot.imaps } else { dovecot.imap };
            let attributes = json!({
                "imapHost": dovecot.host(), "imapPort": address.port(), "imapSsl": tls,
                "username": USER, "password": PASSWORD, "sendDisabled": true,
            });
            let start = Instant::now();
            let mailbox = house.mailbox(&format!("ann{number}-{tls}@mail.test"), &attributes).await;
            let list = format!("messages?filter[mailbox][id]={mailbox}");
            while house.count(&list).await < MESSAGES {
                assert!(start.elapsed() < Duration::from_mins(5), "the sync does not end");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            ours.push(rate(MESSAGES, start.elapsed()));
            house.change(mailbox, &json!({"syncDisabled": true})).await;
            theirs.extend(mbsync(&dovecot, tls));
        }
        let name = format!("First sync of 10,000 × 3 KB from Dovecot, {}", if tls { "TLS" } else { "plain" });
        let theirs = (!theirs.is_empty()).then(|| Samples::of(theirs));
        let beside = theirs.map(|theirs| {
            println!("mbsync: {theirs} messages/s");
            Beside { name: "mbsync", value: theirs.median() }
        });
        table.add(&name, "/s", &Samples::of(ours), Some("≥ 3,000"), beside);
    }
}

/// Puts the messages where Dovecot finds new mail.
fn fill(dovecot: &Dovecot) {
    // The folder exists once somebody has looked.
    assert_eq!(dovecot.count(USER, "INBOX"), 0);
    let new = dovecot.authority_file.with_file_name("mail").join(USER).join("mail/new");
    let owner = std::fs::metadata(&new).expect("a Maildir");
    for number in 0..MESSAGES {
        let file = new.join(format!("{number}.bench"));
        std::fs::write(&file, message(number)).expect("a message");
        if is_root() {
            chown(&file, Some(owner.uid()), Some(owner.gid())).expect("root may give files away");
        }
    }
}

fn message(number: usize) -> String {
    let mut text = format!(
        "From: Rosa Writer <rosa{}@senders.test>\nTo: Ann <{USER}>\nSubject: Message {number}\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <{number}@senders.test>\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\n",
        number % 100
    );
    for line in 0.. {
        if text.len() >= SIZE {
            break;
        }
        let _ = writeln!(text, "Line {line} of message {number} says a little, as lines of messages do.");
    }
    text
}

/// Messages per second of mbsync; `None` if it is missing and may be.
fn mbsync(dovecot: &Dovecot, tls: bool) -> Option<f64> {
    let program = find("mbsync")?;
    let home = Home::new();
    let near = home.path().join("near");
    let config = home.path().join("mbsyncrc");
    std::fs::create_dir(&near).expect("a folder");
    std::fs::write(&config, mbsync_config(dovecot, tls, &near)).expect("a file");
    let start = Instant::now();
    run(&program, &["-q", "-c", config.to_str().expect("a path in UTF-8"), "bench"], b"");
    let time = start.elapsed();
    let stored = std::fs::read_dir(near.join("INBOX/new")).expect("a Maildir").count()
        + std::fs::read_dir(near.join("INBOX/cur")).expect("a Maildir").count();
    assert_eq!(stored, MESSAGES, "mbsync stored every message");
    Some(rate(MESSAGES, time))
}

fn mbsync_config(dovecot: &Dovecot, tls: bool, near: &Path) -> String {
    let (port, kind) = if tls { (dovecot.imaps.port(), "IMAPS") } else { (dovecot.imap.port(), "None") };
    let (host, near) = (dovecot.host(), near.display());
    let authority = dovecot.authority_file.display();
    format!(
        "FSync no

IMAPAccount far
Host {host}
Port {port}
User {USER}
Pass {PASSWORD}
AuthMechs LOGIN
SSLType {kind}
SystemCertificates no
CertificateFile {authority}

IMAPStore far
Account far

MaildirStore near
Path {near}/
Inbox {near}/INBOX

Channel bench
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync PullNew
SyncState *
"
    )
}
