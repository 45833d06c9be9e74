use super::third_party::{ANN, NAMES, PASSWORD, ThirdParty};
use crate::peers::imap_client::Held;
use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::journal::{announced, quiet_sync, sync_now};
use crate::support::server::Server as Binary;
use postroom::runtime::{Random, SeededRandom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the account is.
pub struct Server {
    pub host: String,
    pub port: u16,
    pub authority: PathBuf,
}

struct Form {
    operations: u64,
    kills: u64,
}

const QUICK: Form = Form { operations: 60, kills: 6 };
const LONG: Form = Form { operations: 500, kills: 60 };

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a time in range")
}

fn seed() -> u64 {
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| now_millis().unsigned_abs() % 1_000_000)
}

/// The whole test against one server.
pub async fn judge(server: &Server, party: &mut dyn ThirdParty) {
    let is_long = std::env::var("POSTROOM_TORTURE").is_ok_and(|form| form == "long");
    let form = if is_long { LONG } else { QUICK };
    let seed = seed();
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let home = Home::new();
    home.configure(&format!("extra_ca_file = '{}'\n", server.authority.display()));
    let token = home.administrator();
    let mut writer = Writer { random: &random, written: 0, raws: Vec::new() };
    for _ in 0..20 {
        writer.append(party, "INBOX");
    }
    writer.append(party, "Sent");
    party.create(NAMES[0].0);

    let mut binary = Binary::start(&home);
    let mut client = Client::new(&binary.url, Some(&token));
    let mailbox = client.create("mailbox", "mailboxes", &settings(server)).await["id"].as_u64().expect("an id");
    let mut kills = 0;
    for number in 0..form.operations {
        writer.operate(party);
        if random.below(3) == 0 {
            sync_now(&client, mailbox).await;
        }
        if random.below(form.operations) < form.kills || (kills == 0 && number == form.operations / 2) {
            sync_now(&client, mailbox).await;
            tokio::time::sleep(Duration::from_millis(random.below(120))).await;
            binary.kill();
            kills += 1;
            binary = Binary::start(&home);
            client = Client::new(&binary.url, Some(&token));
            sync_now(&client, mailbox).await;
        }
    }
    for _ in 0..3 {
        quiet_sync(&client, mailbox).await;
    }
    let kept = stored(&client, mailbox).await;
    println!(
        "{} operations, {kills} kills, {} messages written, {} stored",
        form.operations,
        writer.written,
        kept.len()
    );
    compare(party, &kept, seed);
    assert!(binary.stop().success());
    let announced = announced(&home, mailbox).await;
    let ids: BTreeSet<u64> = kept.iter().map(|record| record.id).collect();
    assert_eq!(announced.keys().copied().collect::<BTreeSet<_>>(), ids, "each message is announced, and nothing else");
    let twice: Vec<_> = announced.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "announced more than once: {twice:?}");
}

fn settings(server: &Server) -> Value {
    json!({
        "email": ANN, "password": PASSWORD, "imapHost": server.host, "imapPort": server.port, "imapSsl": true,
        "sendDisabled": true, "syncFolders": "*",
    })
}

/// What the third party does, by chance.
struct Writer<'a> {
    random: &'a SeededRandom,
    written: u64,
    /// What was written, to be put back again now and then.
    raws: Vec<Vec<u8>>,
}

impl Writer<'_> {
    fn pick<'b, T>(&self, from: &'b [T]) -> Option<&'b T> {
        let count = u64::try_from(from.len()).unwrap_or(0);
        (count > 0).then(|| &from[usize::try_from(self.random.below(count)).unwrap_or(0)])
    }

    fn append(&mut self, party: &mut dyn ThirdParty, folder: &str) {
        self.written += 1;
        let number = self.written;
        let lines = "A line of this message.\r\n".repeat(usize::try_from(self.random.below(200)).unwrap_or(0));
        let raw = format!(
            "From: Bob <bob@else.test>\r\nTo: {ANN}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
             Subject: Message {number}\r\nMessage-ID: <{number}@else.test>\r\n\r\n{lines}"
        );
        let flags = if self.random.below(3) == 0 { "\\Seen" } else { "" };
        println!("append <{number}@else.test> to {folder} {flags}");
        party.append(folder, flags, raw.as_bytes());
        self.raws.push(raw.into_bytes());
    }

    fn operate(&mut self, party: &mut dyn ThirdParty) {
        const FLAGS: [&str; 4] = ["\\Seen", "\\Flagged", "\\Answered", "$Label1"];
        let folders = party.folders();
        let Some(folder) = self.pick(&folders).cloned() else { return };
        let comes_and_goes = folder != "INBOX" && folder != "Sent";
        let roll = self.random.below(100);
        // Shown only if the test fails.
        println!("{roll} in {folder}");
        match roll {
            0..25 => self.append(party, &folder),
            25..28 => (0..15).for_each(|_| self.append(party, "INBOX")),
            28..32 => {
                // The same message again, as a restore or a second delivery brings it.
                if let Some(raw) = self.pick(&self.raws).cloned() {
                    party.append(&folder, "", &raw);
                }
            }
            32..84 => {
                let messages = party.messages(&folder);
                let Some(Held { uid, message_id, .. }) = self.pick(&messages).cloned() else { return };
                let Some(other) = self.pick(&folders) else { return };
                println!("  {message_id}, UID {uid}; {other}");
                match roll {
                    32..54 => {
                        let flag = self.pick(&FLAGS).copied().unwrap_or("\\Seen");
                        party.flag(&folder, uid, self.random.below(2) == 0, flag);
                    }
                    54..64 if *other != folder => party.moves(&folder, uid, other),
                    64..72 => party.copy(&folder, uid, other),
                    _ => party.expunge(&folder, uid),
                }
            }
            84..89 => {
                if let Some((name, _)) = self.pick(&NAMES) {
                    party.create(name);
                }
            }
            89..93 if comes_and_goes => {
                let free: Vec<_> =
                    NAMES.iter().filter(|(name, _)| !folders.iter().any(|folder| folder == name)).collect();
                if let Some((name, _)) = self.pick(&free) {
                    party.rename(&folder, name);
                }
            }
            93..96 if comes_and_goes => party.delete(&folder),
            96..100 => party.renumber(&folder),
            _ => {}
        }
    }
}

/// A message as we have it.
#[derive(Debug)]
struct Record {
    id: u64,
    message_id: String,
    folder: String,
    flags: BTreeSet<String>,
    is_deleted: bool,
}

fn flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    // Which session saw a message first says nothing about it.
    flags.into_iter().filter(|flag| !flag.is_empty() && *flag != "\\Recent").map(str::to_owned).collect()
}

async fn stored(client: &Client, mailbox: u64) -> Vec<Record> {
    let mut all = Vec::new();
    let mut next = Some(format!("/api/v2/messages?filter[mailbox][id]={mailbox}&page[size]=100"));
    while let Some(path) = next {
        let page = client.get(&path).await.expect(200).json;
        for message in page["data"].as_array().expect("a list") {
            let attributes = &message["attributes"];
            let text = |name: &str| attributes[name].as_str().unwrap_or_default().to_owned();
            assert!(attributes.get("deletedAt").is_some(), "{attributes:#}");
            all.push(Record {
                id: message["id"].as_u64().expect("an id"),
                message_id: text("messageId"),
                folder: text("folder"),
                flags: flags(attributes["flags"].as_array().into_iter().flatten().filter_map(Value::as_str)),
                is_deleted: !attributes["deletedAt"].is_null(),
            });
        }
        next = page["links"]["next"].as_str().map(str::to_owned);
    }
    all
}

fn compare(party: &mut dyn ThirdParty, kept: &[Record], seed: u64) {
    // Of each message the server's copies: folder and flags.
    let mut there: BTreeMap<String, Vec<(String, BTreeSet<String>)>> = BTreeMap::new();
    for folder in party.folders() {
        for message in party.messages(&folder) {
            there.entry(message.message_id).or_default().push((folder.clone(), flags(message.flags.split(' '))));
        }
    }
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for record in kept {
        if !seen.insert(&record.message_id) {
            wrong.push(format!("stored twice: {record:?}"));
        }
        match (there.get(&record.message_id), record.is_deleted) {
            (None, true) => {}
            (None, false) => wrong.push(format!("the server has it no longer: {record:?}")),
            (Some(copies), true) => wrong.push(format!("the server has it in {copies:?}: {record:?}")),
            (Some(copies), false) => {
                let is_one = copies.iter().any(|(folder, flags)| (folder, flags) == (&record.folder, &record.flags));
                if !is_one {
                    wrong.push(format!("the server has it in {copies:?}: {record:?}"));
                }
            }
        }
    }
    let missing = there.keys().filter(|id| !seen.contains(id));
    wrong.extend(missing.map(|id| format!("not stored: {id} in {:?}", there[id])));
    assert!(wrong.is_empty(), "seed {seed}: {} differences\n{}", wrong.len(), wrong.join("\n"));
}
