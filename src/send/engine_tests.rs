//! The engine as a whole, by a clock in the test's hand: days pass in no time. What a server says and what follows for
//! the mailing and its mailbox, over all the tries that it takes.

mod copies;
mod doubts;
mod limits;
mod retries;
mod servers;

use super::keyring::Keyring;
use super::testing::{NOW, recipient};
use super::*;
use crate::connect::Connector;
use crate::domain::mailbox::{Mailbox, SecretField, SideStatus};
use crate::domain::mailing::{Content, Mailing, RecipientState, State};
use crate::domain::time::Timestamp;
use crate::domain::user::{Role, User};
use crate::mailserver::{Act, Count, Gate, MailServer, Options, Point, Recipients, Rule};
use crate::net::{EgressRules, Network, SystemDialer, Trust};
use crate::runtime::{Clock, Failpoints, ManualClock, Runtime, SeededRandom};
use crate::store::powercut::Disk;
use crate::store::{SecretChange, StoreError, get, status};
use crate::vault::{MasterKey, Vault};
use serde_json::{Value, json};
use std::pin::Pin;
use tokio::sync::watch;

/// Long enough for any machine; only what must never happen takes this long.
const PATIENCE: Duration = Duration::from_mins(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Holds whoever comes past one of the named places until it is let go; lets everybody else pass.
struct Stop {
    name: &'static str,
    arrived: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Stop {
    fn at(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, arrived: watch::Sender::new(false), open: watch::Sender::new(false) })
    }

    async fn arrived(&self) {
        let _ = self.arrived.subscribe().wait_for(|arrived| *arrived).await;
    }
}

impl Failpoints for Stop {
    fn pass(&self, name: &'static str) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if name == self.name {
                self.arrived.send_replace(true);
                let _ = self.open.subscribe().wait_for(|open| *open).await;
            }
        })
    }
}

/// An engine over a store in memory, with a mail server.
struct Bench {
    server: MailServer,
    store: Store,
    clock: Arc<ManualClock>,
    engine: SendEngine,
    mailings: u64,
}

impl Bench {
    async fn new() -> Self {
        Self::with(SendConfig::default(), Stop::at("nowhere")).await
    }

    async fn with(config: SendConfig, stop: Arc<Stop>) -> Self {
        Self::on(Options::default(), config, stop).await
    }

    async fn on(options: Options, config: SendConfig, stop: Arc<Stop>) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::parse(NOW).unwrap()));
        let options = Options { recipients: Recipients::Anybody, clock: clock.clone(), ..options };
        let server = MailServer::start(options).await.unwrap();
        let runtime = Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), failpoints: stop };
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(7)));
        let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault, runtime).unwrap();
        let user = store.write(|work| {
            let now = work.now();
            work.create_user(User::new("admin@example.org", Role::Admin, now))
        });
        user.await.unwrap();
        let network = Network::new(Arc::new(SystemDialer), &Trust::nobody(), EgressRules::default());
        let connector = Connector::new(network, store.vault().clone());
        let engine = SendEngine::start(store.clone(), connector, config, Outlook::default(), None, Keyring::default());
        Self { server, store, clock, engine, mailings: 0 }
    }

    /// Adds a mailbox that sends through the server, with further settings; its id.
    async fn mailbox(&self, name: &str, with: Value) -> u64 {
        let email = format!("{name}@demo.test");
        self.server.add_account(&email, "secret");
        let mut settings = json!({
            "email": email, "smtpHost": "127.0.0.1", "smtpPort": self.server.smtp().port(), "smtpSsl": false,
        });
        for (name, value) in with.as_object().unwrap() {
            settings[name] = value.clone();
        }
        let made = self.store.write(move |work| {
            let now = work.now();
            let mailbox: Mailbox = serde_json::from_value(json!({
                "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "created_at": now, "updated_at": now,
                "settings": settings, "smtp_reach_private": true, "imap_reach_private": true,
            }))
            .unwrap();
            let password = SecretChange::Set("secret".into());
            Ok::<_, StoreError>(work.create_mailbox(mailbox, &[(SecretField::Password, password)])?.id)
        });
        made.await.unwrap()
    }

    /// Queues a mailing to these people; its id.
    async fn mailing(&mut self, mailbox: u64, to: &[&str]) -> u64 {
        self.mailings += 1;
        let message_id = format!("{}@demo.test", self.mailings);
        let recipients: Vec<Value> = to.iter().map(|name| recipient(&format!("{name}@demo.test"))).collect();
        let made = self.store.write(move |work| {
            let now = work.now();
            let email = get::<Mailbox>(work, mailbox)?.unwrap().settings.email;
            let mailing: Mailing = serde_json::from_value(json!({
                "id": 0, "mailbox_id": mailbox, "user_id": 1, "mailbox_address": email, "created_at": now,
                "updated_at": now, "state": "queued", "state_changed_at": now, "due": now, "mailing_type": "single",
                "message_id": message_id, "recipients": recipients,
            }))
            .unwrap();
            let content = Content { text: Some("Hello".into()), ..Content::default() };
            Ok::<_, StoreError>(work.create_mailing(mailing, &content)?.id)
        });
        made.await.unwrap()
    }

    /// Lets time pass until a moment.
    fn pass_until(&self, at: Option<Timestamp>) {
        let left = at.unwrap().millis_since(self.clock.now());
        self.clock.advance(Duration::from_millis(u64::try_from(left).unwrap()));
    }

    fn look(&self, mailing: u64) -> Mailing {
        get::<Mailing>(&self.store.read().unwrap(), mailing).unwrap().unwrap()
    }

    fn health(&self, mailbox: u64) -> SideStatus {
        status(&self.store.read().unwrap(), mailbox).unwrap().send
    }

    /// Waits until so many connections have come to a gate.
    async fn arrived(&self, gate: &Gate, count: usize) {
        self.until("at the gate", |_| (gate.arrivals() >= count).then_some(())).await;
    }

    /// Waits until something is so, by the real clock.
    async fn until<T>(&self, what: &str, mut check: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = check(self) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "never came: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_mailing(&self, id: u64, what: &str, wanted: impl Fn(&Mailing) -> bool) -> Mailing {
        let seen = std::cell::RefCell::new(None);
        let check = |bench: &Self| {
            let mailing = bench.look(id);
            let found = wanted(&mailing).then(|| mailing.clone());
            *seen.borrow_mut() = Some(mailing);
            found
        };
        let deadline = tokio::time::timeout(PATIENCE * 2, self.until(what, check));
        deadline.await.unwrap_or_else(|_| panic!("never {what}: {:#?}", seen.borrow()))
    }

    async fn until_state(&self, id: u64, state: State) -> Mailing {
        self.until_mailing(id, state.name(), |mailing| mailing.state == state).await
    }

    async fn stop(self) {
        assert!(self.engine.stop(PATIENCE).await);
        assert!(self.store.close().await);
    }
}

fn reply(at: Point, text: &str) -> Rule {
    Rule::new(at, Act::Reply(text.into()))
}

fn outcomes(mailing: &Mailing) -> Vec<Option<RecipientState>> {
    mailing.recipients.iter().map(|recipient| recipient.outcome.as_ref().map(|outcome| outcome.state)).collect()
}
