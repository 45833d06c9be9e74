//! A send engine over a store of its own, which a named failpoint stops as abruptly as a crash: everything that it was
//! doing ends where it stands, nothing is recorded, its connections go, and the store is opened again.

use postroom::config::SendConfig;
use postroom::connect::Connector;
use postroom::domain::mailbox::{Mailbox, SecretField, Settings};
use postroom::domain::mailing::{Content, CopyState, Mailing, Recipient, RecipientKind, State};
use postroom::domain::time::Timestamp;
use postroom::domain::user::{Role, User};
use postroom::mailserver::MailServer;
use postroom::net::{EgressRules, Network, SystemDialer, Trust};
use postroom::runtime::{Failpoints, ManualClock, Runtime, SeededRandom};
use postroom::send::SendEngine;
use postroom::send::keyring::Keyring;
use postroom::send::outlook::Outlook;
use postroom::store::{SecretChange, Store, StoreError, get};
use postroom::vault::{MasterKey, Vault};
use secrecy::SecretString;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// Long enough for any machine; only what must never happen takes this long.
const PATIENCE: Duration = Duration::from_mins(2);
pub const PASSWORD: &str = "ann's secret";
pub const ANN: &str = "ann@demo.test";

/// Stops the instance at the `nth` passage of one name. After that, whoever comes past any name stays there.
struct Trap {
    name: &'static str,
    left: Mutex<u32>,
    sprung: watch::Sender<bool>,
}

impl Failpoints for Trap {
    fn pass(&self, name: &'static str) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut left = self.left.lock().expect("no poisoned lock");
        if name == self.name && *left > 0 {
            *left -= 1;
            if *left == 0 {
                self.sprung.send_replace(true);
            }
        }
        drop(left);
        let stopped = *self.sprung.borrow();
        Box::pin(async move {
            if stopped {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// What outlives a crash: the disk and the clock.
pub struct Rig {
    home: TempDir,
    clock: Arc<ManualClock>,
    runs: u64,
    seed: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the failpoint.
    Crashed,
    /// Nothing was left to do.
    Settled,
}

impl Rig {
    pub fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000)));
        Self { home: tempfile::tempdir().expect("a temporary folder"), clock, runs: 0, seed }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("postroom.redb")
    }

    fn open(&mut self, failpoints: Arc<dyn Failpoints>) -> Store {
        self.runs += 1;
        let random = Arc::new(SeededRandom::new(self.seed + self.runs));
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let runtime = Runtime { clock: self.clock.clone(), random, failpoints };
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            // The crashed run may still be letting go of the file.
            match Store::open(&self.path(), 1 << 20, vault.clone(), runtime.clone()) {
                Ok(store) => return store,
                Err(error) => assert!(std::time::Instant::now() < deadline, "the store does not open: {error}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Makes a mailbox at the server and queues mailings; their ids.
    pub fn prepare(&mut self, server: &MailServer, settings: Settings, imap: bool, mailings: u64) -> Vec<u64> {
        let store = self.open(Arc::new(postroom::runtime::NoFailpoints));
        let settings = Settings {
            email: ANN.into(),
            smtp_host: Some("127.0.0.1".into()),
            smtp_port: Some(server.smtp().port()),
            smtp_ssl: Some(false),
            imap_host: imap.then(|| "127.0.0.1".into()),
            imap_port: imap.then(|| server.imap().port()),
            imap_ssl: Some(false),
            send_requires_sync: Some(false),
            ..settings
        };
        let ids = block(store.write(move |work| {
            let now = work.now();
            let user = work.create_user(User::new("admin@example.org", Role::Admin, now))?;
            let secrets = [(SecretField::Password, SecretChange::Set(SecretString::from(PASSWORD)))];
            let mailbox: Mailbox = serde_json::from_value(serde_json::json!({
                "id": 0, "user_id": user.id, "creator_id": user.id, "updater_id": user.id,
                "created_at": now, "updated_at": now, "settings": settings,
                "smtp_reach_private": true, "imap_reach_private": true,
            }))
            .expect("a mailbox");
            let mailbox = work.create_mailbox(mailbox, &secrets)?;
            (0..mailings)
                .map(|number| Ok(work.create_mailing(mailing(&mailbox, number, now), &content(number))?.id))
                .collect::<Result<Vec<u64>, StoreError>>()
        }))
        .expect("mailbox and mailings are stored");
        assert!(block(store.close()));
        ids
    }

    /// Starts the engine and lets it work until it comes past `name` for the `nth` time, or nothing is left to do.
    pub fn run(&mut self, name: &'static str, nth: u32) -> Ended {
        let sprung = watch::Sender::new(false);
        let mut news = sprung.subscribe();
        let trap = Arc::new(Trap { name, left: Mutex::new(nth), sprung });
        let store = self.open(trap.clone());
        let engine_runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime for the engine");
        let network = Network::new(Arc::new(SystemDialer), &Trust::nobody(), EgressRules::default());
        let connector = Connector::new(network, store.vault().clone());
        // One lane: what is said of a place is said of the mailing that came past it.
        let config = SendConfig { connections_per_mailbox: 1, ..SendConfig::default() };
        let engine = {
            let _inside = engine_runtime.enter();
            SendEngine::start(store.clone(), connector, config, Outlook::default(), None, Keyring::default())
        };
        let clock = self.clock.clone();
        let ended = block(async {
            let deadline = tokio::time::Instant::now() + PATIENCE;
            loop {
                if *news.borrow_and_update() {
                    return Ended::Crashed;
                }
                if settled(&store) {
                    return Ended::Settled;
                }
                assert!(tokio::time::Instant::now() < deadline, "{name}: {:#?}", unsettled(&store));
                // What waits for a later moment finds it come.
                clock.advance(Duration::from_secs(20));
                let _ = tokio::time::timeout(Duration::from_millis(5), news.changed()).await;
            }
        });
        if ended == Ended::Settled {
            engine_runtime.block_on(engine.stop(PATIENCE));
        }
        drop(store);
        // Ends every task where it stands, and with it its connections.
        engine_runtime.shutdown_timeout(Duration::from_secs(10));
        ended
    }

    /// Every mailing as it is on disk.
    pub fn mailings(&mut self, ids: &[u64]) -> Vec<Mailing> {
        let store = self.open(Arc::new(postroom::runtime::NoFailpoints));
        let snapshot = store.read().expect("the store reads");
        ids.iter()
            .map(|id| get::<Mailing>(&snapshot, *id).expect("the store reads").expect("a mailing stays"))
            .collect()
    }

    /// What a user does with mailings that were held.
    pub fn retry(&mut self, ids: &[u64]) {
        let store = self.open(Arc::new(postroom::runtime::NoFailpoints));
        let ids = ids.to_vec();
        block(store.write(move |work| {
            for id in &ids {
                let before = work.mailing(*id)?.expect("a mailing stays");
                let mut after = before.clone();
                after.apply(postroom::domain::mailing::Trigger::Queue, work.now());
                after.due = Some(work.now());
                work.save_mailing(&before, &after)?;
            }
            Ok::<_, StoreError>(())
        }))
        .expect("the retry is stored");
        assert!(block(store.close()));
    }
}

fn all(store: &Store) -> Vec<Mailing> {
    use postroom::domain::list::ListQuery;
    let query = ListQuery { count: false, ..ListQuery::all() }.size(ListQuery::MAX_SIZE);
    let snapshot = store.read().expect("the store reads");
    postroom::store::list::<Mailing>(&snapshot, &query).expect("the store reads").items
}

fn is_settled(mailing: &Mailing) -> bool {
    let copied = mailing.sent_copy.as_ref().is_none_or(|copy| copy.state != CopyState::Wanted);
    matches!(mailing.state, State::Delivered | State::Failed) && copied
}

fn settled(store: &Store) -> bool {
    all(store).iter().all(is_settled)
}

fn unsettled(store: &Store) -> Vec<Mailing> {
    all(store).into_iter().filter(|mailing| !is_settled(mailing)).collect()
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn content(number: u64) -> Content {
    Content { subject: Some(format!("Mailing {number}")), text: Some("Hello\n.\nBye".into()), ..Content::default() }
}

fn mailing(mailbox: &Mailbox, number: u64, now: Timestamp) -> Mailing {
    let recipient =
        Recipient { id: 0, kind: RecipientKind::To, name: None, address: "bert@demo.test".into(), outcome: None };
    serde_json::from_value(serde_json::json!({
        "id": 0, "mailbox_id": mailbox.id, "user_id": mailbox.user_id, "mailbox_address": mailbox.settings.email,
        "created_at": now, "updated_at": now, "state": State::Queued, "state_changed_at": now, "due": now,
        "mailing_type": "single", "message_id": format!("{number}.{}@demo.test", now.millis()),
        "recipients": [recipient],
    }))
    .expect("a mailing")
}
