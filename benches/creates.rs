//! Creates per second that are on disk before they are answered, beside what the disk can sync.

use crate::figures::{Beside, Samples, Table, rate};
use crate::house::{self, House};
use crate::load;
use crate::support::binary::Home;
use serde_json::json;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const RUNS: usize = 5;
const TIME: Duration = Duration::from_secs(3);

pub async fn measure(table: &mut Table) {
    let home = house::home().await;
    let house = House::serve(&home);
    let sender = house.mailbox("sender@example.org", &json!({"sendDisabled": true})).await;
    let serial = Arc::new(AtomicUsize::new(0));
    let (mut drafts, mut mailboxes, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        syncs.push(syncs_per_second(&home));
        let document = house::mailing(sender, 1024, "drafted");
        let draft = move |number| load::request("POST", "/api/v2/mailings", &house::token(number), Some(&document));
        drafts.push(load::for_a_while(house.address, TIME, 201, draft).await);
        let serial = serial.clone();
        let mailbox = move |number| {
            let unique = serial.fetch_add(1, Ordering::Relaxed);
            let attributes =
                json!({"smtpHost": "smtp.example.org", "imapHost": "imap.example.org", "password": "secret"});
            let document = house::mailbox(&format!("box{unique}@example.org"), &attributes);
            load::request("POST", "/api/v2/mailboxes", &house::token(number), Some(&document))
        };
        mailboxes.push(load::for_a_while(house.address, TIME, 201, mailbox).await);
    }
    let syncs = Samples::of(syncs);
    println!("the disk, one octet written and synced: {syncs} /s");
    let beside = || Some(Beside { name: "write and fdatasync, one at a time", value: syncs.median() });
    table.add("Durable creates, 64 clients: mailings", "/s", &Samples::of(drafts), Some("≥ 1,500"), beside());
    table.add("Durable creates, 64 clients: mailboxes", "/s", &Samples::of(mailboxes), Some("≥ 1,500"), beside());
}

/// How often the disk below a home can write a page and sync it.
fn syncs_per_second(home: &Home) -> f64 {
    let path = home.path().join("syncs");
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(&vec![0; 1 << 20]).and_then(|()| file.sync_all()).expect("room for it");
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(1) {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4096], 4096 * (count % 256) as u64).expect("a write");
        file.sync_data().expect("a sync");
        count += 1;
    }
    std::fs::remove_file(path).expect("our file");
    rate(count, start.elapsed())
}
