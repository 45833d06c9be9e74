//! What others do to a mailbox on its server arrives: flags, moves, deletions, folders that go, a numbering anew. With
//! Dovecot as it is, with CONDSTORE alone and with neither.

use crate::peers::dovecot::{Dovecot, Offers, Options};
use crate::support::instance::Instance;
use postroom::domain::event::EventKind;
use postroom::store::events_after;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const ANN: &str = "ann@mail.test";

fn mail(number: u32) -> Vec<u8> {
    let text = "text ".repeat(40);
    format!(
        "Message-ID: <{number}@else.test>\r\nFrom: x@else.test\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n\
         Subject: {number}\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

struct Scene {
    dovecot: Dovecot,
    postroom: Instance,
    mailbox: u64,
}

impl Scene {
    async fn start(offers: Offers) -> Option<Self> {
        let dovecot = Dovecot::start(&Options { offers, ..Options::default() })?;
        dovecot.create_folder(ANN, "Archive");
        for number in 1..=6 {
            dovecot.append(ANN, "INBOX", &mail(number));
        }
        let mut config = postroom::config::Config::default();
        config.net.extra_ca_file = Some(dovecot.authority_file.clone());
        let postroom = Instance::start_with(config).await;
        let settings = json!({
            "imapHost": dovecot.host(), "imapPort": dovecot.imaps.port(), "imapSsl": true, "password": "ann's secret",
            "syncFolders": "Archive\nOther",
        });
        let mailbox = postroom.mailbox(ANN, settings).await;
        let scene = Self { dovecot, postroom, mailbox };
        scene.until(|stored| stored.len() == 6).await;
        Some(scene)
    }

    async fn sync(&self) {
        self.postroom.client.act(&format!("/api/v2/mailboxes/{}/actions/sync", self.mailbox)).await.expect(200);
    }

    /// Syncs until what is stored is as wanted: number of the message → its attributes.
    async fn until(&self, wanted: impl Fn(&BTreeMap<u32, Value>) -> bool) -> BTreeMap<u32, Value> {
        let mut stored = BTreeMap::new();
        for _ in 0..120 {
            self.sync().await;
            tokio::time::sleep(Duration::from_millis(150)).await;
            let path = "/api/v2/messages?page[size]=1000&fields[message]=subject,folder,flags,deletedAt";
            let listed = self.postroom.client.get(path).await.expect(200);
            stored = BTreeMap::new();
            for message in listed.json["data"].as_array().expect("a list") {
                let number = message["attributes"]["subject"].as_str().and_then(|subject| subject.parse().ok());
                let twice = stored.insert(number.expect("a number"), message["attributes"].clone());
                assert!(twice.is_none(), "{number:?} is stored twice");
            }
            if wanted(&stored) {
                return stored;
            }
        }
        panic!("never became as wanted: {stored:#?}\n{:#}", self.postroom.attributes("mailboxes", self.mailbox).await);
    }

    /// How often each kind of event was recorded for messages.
    fn events(&self, kind: EventKind) -> usize {
        let snapshot = self.postroom.app.store().read().expect("a snapshot");
        let events = events_after(&snapshot, 0, usize::MAX).expect("the log");
        events.iter().filter(|event| event.kind == kind).count()
    }
}

async fn changes_arrive(offers: Offers) {
    let Some(scene) = Scene::start(offers).await else { return };
    let dovecot = &scene.dovecot;
    assert_eq!(scene.events(EventKind::MessageCreated), 6);

    dovecot.add_flags(ANN, "INBOX", 1, "\\Seen \\Flagged");
    dovecot.expunge(ANN, "INBOX", &["uid", "2"]);
    dovecot.doveadm(&["move", "-u", ANN, "Archive", "mailbox", "INBOX", "uid", "3"]);
    dovecot.append(ANN, "INBOX", &mail(7));
    let stored = scene
        .until(|stored| {
            stored.len() == 7
                && stored[&1]["flags"] == json!(["\\Flagged", "\\Seen"])
                && stored[&2]["deletedAt"].is_string()
                && stored[&3]["folder"] == "Archive"
        })
        .await;
    assert!(stored[&3]["deletedAt"].is_null() && stored[&4]["deletedAt"].is_null(), "{stored:#?}");
    assert_eq!(scene.events(EventKind::MessageCreated), 7);
    // One for the flags, one for the deletion, one for the move.
    assert_eq!(scene.events(EventKind::MessageUpdated), 3);

    // Back from the archive, and a folder that goes with all that is in it.
    dovecot.doveadm(&["move", "-u", ANN, "INBOX", "mailbox", "Archive", "all"]);
    dovecot.create_folder(ANN, "Other");
    dovecot.doveadm(&["copy", "-u", ANN, "Other", "mailbox", "INBOX", "subject", "4"]);
    dovecot.append(ANN, "Other", &mail(8));
    scene.until(|stored| stored.len() == 8 && stored[&3]["folder"] == "INBOX").await;
    dovecot.doveadm(&["mailbox", "delete", "-u", ANN, "Other"]);
    let stored = scene.until(|stored| stored[&8]["deletedAt"].is_string()).await;
    assert!(stored[&4]["deletedAt"].is_null() && stored[&4]["folder"] == "INBOX", "{stored:#?}");
    // What was gone comes back as what it was.
    dovecot.append(ANN, "INBOX", &mail(8));
    scene.until(|stored| stored[&8]["deletedAt"].is_null() && stored[&8]["folder"] == "INBOX").await;
    assert_eq!(scene.events(EventKind::MessageCreated), 8);
    scene.postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_where_the_server_tells_all_of_them() {
    changes_arrive(Offers::Qresync).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_where_the_server_tells_flags_only() {
    changes_arrive(Offers::Condstore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_where_the_server_tells_nothing() {
    changes_arrive(Offers::Plain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_numbered_anew_keeps_its_messages_and_the_sixth_time_stops_it() {
    let Some(scene) = Scene::start(Offers::Qresync).await else { return };
    let dovecot = &scene.dovecot;
    let validity = dovecot.status(ANN, "INBOX").uid_validity;
    dovecot.set_uid_validity(ANN, "INBOX", validity + 1);
    dovecot.kick(ANN);
    dovecot.append(ANN, "INBOX", &mail(7));
    let stored = scene.until(|stored| stored.len() == 7).await;
    assert!(stored.values().all(|message| message["deletedAt"].is_null()), "{stored:#?}");
    assert_eq!((scene.events(EventKind::MessageCreated), scene.events(EventKind::MessageUpdated)), (7, 0));
    // One that went together with the numbering is missed, too.
    dovecot.expunge(ANN, "INBOX", &["subject", "7"]);
    dovecot.set_uid_validity(ANN, "INBOX", validity + 2);
    dovecot.kick(ANN);
    scene.until(|stored| stored[&7]["deletedAt"].is_string()).await;
    // Over and over, so that no sync sees the same numbering twice.
    let mut shown = Value::Null;
    for next in 3..60 {
        dovecot.set_uid_validity(ANN, "INBOX", validity + next);
        dovecot.kick(ANN);
        let before = shown["syncFinishedAt"].clone();
        for _ in 0..100 {
            scene.sync().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            shown = scene.postroom.attributes("mailboxes", scene.mailbox).await;
            if shown["syncFinishedAt"] != before {
                break;
            }
        }
        if shown["syncState"] == "paused" {
            break;
        }
    }
    assert_eq!(shown["syncState"], "paused", "{shown:#}");
    assert!(shown["syncStateReason"].as_str().unwrap_or_default().contains("UIDVALIDITY"), "{shown:#}");
    let stored = scene.until(|stored| stored.len() == 7).await;
    assert!((1..=6).all(|number| stored[&number]["deletedAt"].is_null()), "{stored:#?}");
    assert_eq!(scene.events(EventKind::MessageCreated), 7);
    scene.postroom.stop().await;
}
