//! The first sync of a mailbox from Dovecot, stored, indexed and durable, beside isync's mbsync into a Maildir on the
//! same disk with its syncing of files turned off.

use crate::figures::{Beside, Samples, Table, rate};
use crate::house::{self, House};
use crate::mailbox::{self, PASSWORD, USER, filled, first_sync, scaled, settings};
use crate::mbsync::Mbsync;
use crate::peers::dovecot::Dovecot;
use serde_json::json;

const RUNS: usize = 3;

pub async fn measure(table: &mut Table) {
    let count = scaled(10_000);
    if let Some(dovecot) = filled(count, |number| mailbox::text(number, 3 * 1024)) {
        compare(table, &dovecot, "First sync of 10,000 × 3 KB from Dovecot", count, Some("≥ 5,000")).await;
    }
    let count = scaled(5_000);
    if let Some(dovecot) = filled(count, mailbox::mixed) {
        compare(table, &dovecot, "First sync of 5,000 of all sizes, a tenth of 300 KB", count, None).await;
    }
}

async fn compare(table: &mut Table, dovecot: &Dovecot, what: &str, count: usize, aim: Option<&str>) {
    let home = house::home().await;
    home.configure(&format!("extra_ca_file = '{}'\n", dovecot.authority_file.display()));
    let house = House::serve(&home);
    let (mut syncs, mut maildir) = (0, None);
    for tls in [true, false] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in 0..RUNS {
            let email = format!("ann{number}-{tls}@mail.test");
            let (mailbox, time) = first_sync(&house, &email, &settings(dovecot, tls), count).await;
            ours.push(rate(count, time));
            syncs += 1;
            house.change(mailbox, &json!({"syncDisabled": true})).await;
            if let Some(mbsync) = Mbsync::new(dovecot, USER, PASSWORD, tls) {
                theirs.push(rate(count, mbsync.run()));
                assert_eq!(mbsync.stored(), count, "mbsync stored every message");
                maildir = Some(mbsync.octets());
            }
        }
        let name = format!("{what}, {}", if tls { "TLS" } else { "plain" });
        let theirs = (!theirs.is_empty()).then(|| Samples::of(theirs));
        let beside = theirs.map(|theirs| {
            println!("mbsync: {theirs} messages/s");
            Beside { name: "mbsync", value: theirs.median() }
        });
        table.add(&name, "/s", &Samples::of(ours), aim, beside);
    }
    // The file has room to grow in; that is counted too.
    let store =
        megabytes(std::fs::metadata(home.data().join("postroom.redb")).expect("the store").len()) / f64::from(syncs);
    let beside = maildir.map(|octets| Beside { name: "Maildir", value: megabytes(octets) });
    table.add(&format!("{what}: disk, with words and threads"), "MB", &Samples::of([store]), None, beside);
}

fn megabytes(octets: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size in MB")]
    let octets = octets as f64;
    octets / 1e6
}
