//! The sync engine alone, on a clock that the test moves: a store in memory that counts its commits, mailboxes at
//! made-up servers, and the network between them.

use postroom::config::SyncConfig;
use postroom::connect::Connector;
use postroom::connect::caps::{CapLimits, Login};
use postroom::domain::mailbox::{Mailbox, SecretField, Status};
use postroom::domain::message::Message;
use postroom::domain::time::Timestamp;
use postroom::domain::user::{Role, User};
use postroom::mailserver::{MailServer, Options};
use postroom::net::{Dialer, Dialing, EgressRules, MapDialer, Network, Trust};
use postroom::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
use postroom::store::{SecretChange, Store, StoreError, get, list, status};
use postroom::sync::{SyncEngine, SyncHandle};
use postroom::vault::{MasterKey, Vault};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

pub const PASSWORD: &str = "secret";
/// What a test waits for comes much sooner; without a limit a broken one would hang.
const PATIENCE: Duration = Duration::from_mins(1);

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::parse("2026-03-01T09:00:00Z").expect("a time")))
}

/// A mail server on the test's clock.
pub async fn mail_server(clock: &Arc<ManualClock>, options: Options) -> MailServer {
    let options = Options { clock: clock.clone(), logins_kept: 100_000, ..options };
    MailServer::start(options).await.expect("a mail server on loopback")
}

/// The engine and what it works on.
pub struct Fleet {
    pub clock: Arc<ManualClock>,
    pub store: Store,
    pub dials: Dials,
    commits: Arc<AtomicU64>,
    connector: Connector,
    engine: SyncEngine,
}

impl Fleet {
    /// `servers` are reached by their names on port 143; whoever has none refuses connections.
    pub async fn start(clock: Arc<ManualClock>, config: SyncConfig, servers: &[(&str, Option<SocketAddr>)]) -> Self {
        let runtime = Runtime {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(7)),
            failpoints: Arc::new(NoFailpoints),
        };
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let commits = Arc::new(AtomicU64::new(0));
        let disk = Counting { disk: InMemoryBackend::new(), syncs: commits.clone() };
        let store = Store::open_with(disk, 8 << 20, vault.clone(), runtime).expect("a store");
        for number in 1..=2 {
            store.write(move |work| user(work, number)).await.expect("a user");
        }
        let dials = Dials::to(servers);
        let network = Network::new(Arc::new(dials.clone()), &Trust::nobody(), EgressRules::default());
        let caps = CapLimits { per_host: config.connections_per_host, per_login: config.connections_per_login };
        let connector = Connector::new(network, vault).capped(caps);
        let engine = SyncEngine::start(store.clone(), connector.clone(), config);
        Self { clock, store, dials, commits, connector, engine }
    }

    pub fn handle(&self) -> SyncHandle {
        self.engine.handle()
    }

    /// Adds a mailbox of user 1 at a server, polled every ten minutes, every minute while its owner is active.
    pub async fn mailbox(&self, name: &str, server: &str, settings: Value) -> u64 {
        let mut all = json!({
            "email": format!("{name}@{server}"), "imapHost": server, "imapSsl": false, "sendRequiresSync": false,
            "syncActiveFrequency": 60, "syncPassiveFrequency": 600,
        });
        for (attribute, value) in settings.as_object().expect("settings") {
            all[attribute] = value.clone();
        }
        let mailbox: Mailbox = serde_json::from_value(json!({
            "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "generation": 1, "imap_reach_private": true,
            "created_at": "2026-03-01", "updated_at": "2026-03-01", "settings": all,
        }))
        .expect("a mailbox");
        let created = self.store.write(move |work| {
            let secrets = [(SecretField::Password, SecretChange::Set(PASSWORD.into()))];
            work.create_mailbox(mailbox.clone(), &secrets)
        });
        created.await.expect("the mailbox is stored").id
    }

    /// Edits a mailbox as the API does where the edit concerns its syncing.
    pub async fn edit(&self, id: u64, change: impl Fn(&mut Mailbox) + Send + 'static) {
        let edited = self.store.write(move |work| {
            let before = get::<Mailbox>(work, id)?.expect("the mailbox");
            let mut after = Mailbox { generation: before.generation + 1, ..before.clone() };
            change(&mut after);
            let mut health = status(work, id)?;
            health.sync.pardoned(work.now());
            work.put_status(id, &health)?;
            if after.settings.username != before.settings.username {
                work.reset_cursors(id)?;
            }
            work.update_mailbox(&before, after, &[]).map(|_| ())
        });
        edited.await.expect("the mailbox is stored");
    }

    pub async fn delete(&self, id: u64) {
        let deleted = self.store.write(move |work| {
            let mailbox = get::<Mailbox>(work, id)?.expect("the mailbox");
            work.delete_mailbox(&mailbox)
        });
        deleted.await.expect("the mailbox is deleted");
    }

    pub fn status(&self, id: u64) -> Status {
        status(&self.snapshot(), id).expect("a status")
    }

    pub fn messages(&self) -> Vec<Message> {
        let query = postroom::domain::list::ListQuery::all();
        list::<Message>(&self.snapshot(), &query).expect("a list").items
    }

    pub fn user(&self, id: u64) -> User {
        get::<User>(&self.snapshot(), id).expect("a read").expect("the user")
    }

    /// How many connections a log-in has, as the engine knows it: a server that is held at a gate does not see them go.
    pub fn open(&self, server: &str, username: &str) -> u32 {
        self.connector.caps().open(&Login { host: (server.into(), 143), username: username.into() })
    }

    /// How often the disk was synced.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn snapshot(&self) -> postroom::store::Snapshot {
        self.store.read().expect("a snapshot")
    }

    /// Waits until none of the mailboxes is due or under way, as the clock stands.
    pub async fn settled(&self, mailboxes: &[u64]) {
        let (handle, now) = (self.handle(), self.now());
        until("all mailboxes are planned for later", || {
            mailboxes.iter().all(|id| handle.next(*id).is_some_and(|at| at > now))
        })
        .await;
    }

    /// Moves the clock in steps and lets what is due then come to its end.
    pub async fn pass(&self, time: Duration, step: Duration, mailboxes: &[u64]) {
        let end = self.now().plus(time);
        while self.now() < end {
            let left = u64::try_from(end.millis_since(self.now())).expect("time is left");
            self.clock.advance(step.min(Duration::from_millis(left)));
            self.settled(mailboxes).await;
        }
    }

    pub fn now(&self) -> Timestamp {
        use postroom::runtime::Clock as _;
        self.clock.now()
    }

    pub async fn stop(self) {
        assert!(self.engine.stop(PATIENCE).await, "the engine ends");
        drop((self.engine, self.connector));
        assert!(self.store.close().await, "nobody holds on to the store");
    }
}

fn user(work: &mut postroom::store::Work, number: u64) -> Result<(), StoreError> {
    let now = work.now();
    work.create_user(User::new(&format!("owner{number}@example.org"), Role::Member, now)).map(|_| ())
}

/// Waits for what must come true; gives up after a generous while.
pub async fn until(what: &str, is_true: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The made-up network, which counts the attempts to connect to each address.
#[derive(Clone)]
pub struct Dials {
    network: Arc<MapDialer>,
    names: Arc<Vec<String>>,
    counts: Arc<Vec<AtomicU64>>,
}

impl Dials {
    fn to(servers: &[(&str, Option<SocketAddr>)]) -> Self {
        let mut network = MapDialer::new();
        for (number, (name, target)) in servers.iter().enumerate() {
            let address = SocketAddr::new(address_of(number), 143);
            network = network.name(name, [address.ip()]);
            if let Some(target) = target {
                network = network.route(address, *target);
            }
        }
        Self {
            network: Arc::new(network),
            names: Arc::new(servers.iter().map(|(name, _)| (*name).to_owned()).collect()),
            counts: Arc::new(servers.iter().map(|_| AtomicU64::new(0)).collect()),
        }
    }

    /// How often somebody tried to connect to a server.
    pub fn of(&self, server: &str) -> u64 {
        let number = self.names.iter().position(|name| name == server).expect("a server");
        self.counts[number].load(Ordering::Relaxed)
    }
}

fn address_of(number: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(number + 1).expect("few servers")])
}

impl Dialer for Dials {
    fn resolve<'a>(&'a self, host: &'a str) -> Dialing<'a, Vec<IpAddr>> {
        self.network.resolve(host)
    }

    fn connect(&self, address: SocketAddr) -> Dialing<'_, TcpStream> {
        if let Some(number) = (0..self.counts.len()).find(|number| address_of(*number) == address.ip()) {
            self.counts[number].fetch_add(1, Ordering::Relaxed);
        }
        self.network.connect(address)
    }
}

/// A disk in memory that counts how often it was synced.
#[derive(Debug)]
struct Counting {
    disk: InMemoryBackend,
    syncs: Arc<AtomicU64>,
}

impl StorageBackend for Counting {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
}
