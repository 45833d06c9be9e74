//! What the tests of the engine's commits start from: a store on a disk in memory, a mailbox, mailings.

use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, Mailing};
use crate::domain::time::Timestamp;
use crate::domain::user::{Role, User};
use crate::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
use crate::store::powercut::Disk;
use crate::store::{Store, StoreError};
use crate::vault::{MasterKey, Vault};
use serde_json::{Value, json};
use std::sync::Arc;

pub const NOW: &str = "2026-07-08T18:40:47Z";

/// A store whose clock stands at [`NOW`], with one mailbox; its id is 1.
pub async fn store() -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::parse(NOW).unwrap()));
    let runtime =
        Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), failpoints: Arc::new(NoFailpoints) };
    let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(7)));
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault, runtime).unwrap();
    let made = store.write(|work| {
        let now = work.now();
        work.create_user(User::new("admin@example.org", Role::Admin, now))?;
        let mailbox: Mailbox = serde_json::from_value(json!({
            "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "created_at": now, "updated_at": now,
            "settings": {"email": "ann@demo.test", "smtpHost": "127.0.0.1"},
        }))
        .unwrap();
        work.create_mailbox(mailbox, &[])
    });
    made.await.unwrap();
    (store, clock)
}

/// A recipient whom nobody was asked about yet.
pub fn recipient(address: &str) -> Value {
    json!({"id": 0, "kind": "to", "name": null, "address": address})
}

/// Adds a mailing that is due, changed as `with` says; its id.
pub async fn mailing(store: &Store, with: Value) -> u64 {
    let made = store.write(move |work| {
        let now = work.now();
        let mut mailing = json!({
            "id": 0, "mailbox_id": 1, "user_id": 1, "mailbox_address": "ann@demo.test", "created_at": now,
            "updated_at": now, "state": "queued", "state_changed_at": now, "due": now, "mailing_type": "single",
            "message_id": "1@demo.test", "recipients": [recipient("b@demo.test")],
        });
        for (name, value) in with.as_object().unwrap() {
            mailing[name] = value.clone();
        }
        let mailing: Mailing = serde_json::from_value(mailing).unwrap();
        Ok::<_, StoreError>(work.create_mailing(mailing, &Content::default())?.id)
    });
    made.await.unwrap()
}
