//! The composition root: builds every part, starts and stops them in order. The only file that knows everyone.

use crate::api::{self, Api, caller::note_connection, rate_limit::RateLimit};
use crate::config::{Config, Loaded, Places};
use crate::connect::Connector;
use crate::connect::caps::CapLimits;
use crate::domain::time::Timestamp;
use crate::jsonapi::Links;
use crate::net::{Dialer, EgressRules, Network, SystemDialer, Trust};
use crate::ops::health::{self, Health};
use crate::public::{self, Public};
use crate::runtime::{Runtime, free_space};
use crate::send::SendEngine;
use crate::send::keyring::Keyring;
use crate::send::outlook::{InboxSync, Outlook};
use crate::store::{Store, StoreError};
use crate::sync::{SyncEngine, SyncHandle};
use crate::upkeep::Upkeep;
use crate::vault::{KeyFile, MasterKey, Vault};
use actix_web::dev::ServerHandle;
use actix_web::{App as Web, HttpServer, middleware, web};
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long in-flight work may take to end.
const PATIENCE: Duration = Duration::from_secs(30);
const STORE_FILE: &str = "postroom.redb";

/// What an instance is built from.
pub struct Blueprint {
    pub config: Config,
    pub places: Places,
    pub runtime: Runtime,
    /// How the house reaches the outside; the system's network unless a test or the demo says otherwise.
    pub dialer: Arc<dyn Dialer>,
    /// Whether links in mails start with the address that the API is served on where no public URL is configured: for
    /// the demo, whose recipients are all on this machine.
    pub local_links: bool,
    /// Whether the engines run and a TCP port is opened; a command that opens the store itself needs neither.
    pub serving: bool,
}

impl Blueprint {
    /// An instance that serves as configured, on the machine's own clock and network.
    pub fn serving(loaded: &Loaded) -> Self {
        Self {
            config: loaded.config.clone(),
            places: loaded.places.clone(),
            runtime: Runtime::system(),
            dialer: Arc::new(SystemDialer),
            local_links: false,
            serving: true,
        }
    }

    /// Only the store and the handlers, over the local socket: for commands when no server runs.
    pub fn offline(loaded: &Loaded) -> Self {
        Self { serving: false, ..Self::serving(loaded) }
    }
}

/// Why an instance did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration, the key or a place is at fault: a restart alone will not help (exit code 78).
    Configuration(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WrongKey(_) | StoreError::NewerFormat { .. } => Self::Configuration(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A running instance.
pub struct App {
    store: Store,
    address: Option<SocketAddr>,
    socket: PathBuf,
    server: ServerHandle,
    serving: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    engines: Option<Engines>,
}

struct Engines {
    send: SendEngine,
    sync: SyncEngine,
    upkeep: Upkeep,
}

/// Sending waits for syncs without knowing who does them.
impl InboxSync for SyncHandle {
    fn synced_at(&self, mailbox: u64) -> Option<Timestamp> {
        self.inbox_synced_at(mailbox)
    }

    fn ask(&self, mailbox: u64) -> bool {
        self.sync_soon(mailbox)
    }

    fn news(&self) -> tokio::sync::broadcast::Receiver<u64> {
        self.inbox_news()
    }
}

impl App {
    /// Opens the store (creating it and its key where there is none), starts the engines, then the listeners.
    pub async fn start(blueprint: Blueprint) -> Result<Self, StartError> {
        let Blueprint { config, places, runtime, dialer, local_links, serving } = blueprint;
        prepare_directory(&places.data_dir)?;
        let store = {
            let (config, places) = (config.clone(), places.clone());
            // A store that was not closed in order may take a while to open.
            tokio::task::spawn_blocking(move || open_store(&config, &places, runtime))
                .await
                .map_err(|error| failed(&error))??
        };
        let trust = Trust::system(config.net.extra_ca_file.as_deref())
            .map_err(|error| StartError::Configuration(error.to_string()))?;
        let keyring = match &config.send.dkim_keys {
            Some(directory) if serving => {
                Keyring::load(directory).map_err(|error| StartError::Configuration(error.to_string()))?
            }
            _ => Keyring::default(),
        };
        let egress = EgressRules {
            allow_private: config.net.allow_private_hosts,
            allow_public_plaintext: config.net.allow_plaintext,
        };
        let caps =
            CapLimits { per_host: config.sync.connections_per_host, per_login: config.sync.connections_per_login };
        let connector = Connector::new(Network::new(dialer, &trust, egress), store.vault().clone()).capped(caps);

        let listener = if serving { Some(bind(config.server.listen)?) } else { None };
        let address = listener.as_ref().map(TcpListener::local_addr).transpose().map_err(|error| failed(&error))?;
        let socket = places.socket.clone();
        let local = bind_local(&socket)?;

        let public_url = config.server.public_url.as_ref().map(|url| url.as_str().to_owned());
        let public_url = public_url.or_else(|| address.filter(|_| local_links).map(|here| format!("http://{here}")));
        let mut outlook = Outlook::default();
        let engines = serving.then(|| {
            let sync = SyncEngine::start(store.clone(), connector.clone(), config.sync.clone());
            outlook = Outlook::new(Arc::new(sync.handle()));
            Engines {
                send: SendEngine::start(
                    store.clone(),
                    connector.clone(),
                    config.send.clone(),
                    outlook.clone(),
                    public_url.as_deref(),
                    keyring,
                ),
                sync,
                upkeep: Upkeep::start(store.clone(), &config.sync, &config.store),
            }
        });
        let origin = match (&config.server.public_url, address) {
            (Some(url), _) => url.as_str().to_owned(),
            (None, Some(address)) => format!("http://{address}"),
            (None, None) => "http://localhost".into(),
        };
        let sync = engines.as_ref().map(|engines| engines.sync.handle());
        let attachment_size = config.server.attachment_size.bytes();
        let api = Api::new(store.clone(), Links::new(&origin), connector, sync, outlook);
        let rate_limit = RateLimit::new(store.runtime().clock.clone(), config.server.requests_per_hour.into());
        let api = web::Data::new(Api { rate_limit, attachment_size, public_url, ..api });
        let public = web::Data::new(Public::new(store.clone()));
        let health = web::Data::new(Health::new(store.clone()));
        let build = move || {
            Web::new()
                .app_data(api.clone())
                .app_data(health.clone())
                .app_data(public.clone())
                .wrap(middleware::from_fn(api::headers))
                .configure(health::routes)
                .configure(api::routes)
                .configure(public::routes)
                .default_service(web::to(api::no_route))
        };
        let mut server = HttpServer::new(build)
            .workers(threads(config.server.threads))
            .on_connect(note_connection)
            .client_request_timeout(Duration::from_secs(30))
            .shutdown_timeout(PATIENCE.as_secs())
            .disable_signals()
            .listen_uds(local)
            .map_err(|error| failed(&error))?;
        if let Some(listener) = listener {
            server = server.listen(listener).map_err(|error| failed(&error))?;
        }
        let server = server.run();
        Ok(Self { store, address, socket, server: server.handle(), serving: Some(tokio::spawn(server)), engines })
    }

    /// Where the API is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes no more requests and lets the engines finish what is in flight (30 s). The store can still be read.
    pub async fn wind_down(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        self.server.stop(true).await;
        if let Some(engines) = self.engines.take() {
            let (send, sync, upkeep) =
                tokio::join!(engines.send.stop(PATIENCE), engines.sync.stop(PATIENCE), engines.upkeep.stop(PATIENCE));
            if !(send && sync && upkeep) {
                tracing::warn!(send, sync, upkeep, "some work was still in flight; the next start takes it up");
            }
        }
        if let Ok(Err(error)) = serving.await {
            tracing::error!(%error, "the web server ended with an error");
        }
        // The socket is ours; a missing file is what we want.
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Winds down and lets go of the store.
    pub async fn stop(mut self) {
        self.wind_down().await;
        if !self.store.close().await {
            tracing::warn!("the store is still held by a request that did not end");
        }
    }
}

fn failed(error: &dyn fmt::Display) -> StartError {
    StartError::Failed(error.to_string())
}

fn threads(configured: u32) -> usize {
    match usize::try_from(configured) {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(2, usize::from),
        Ok(threads) => threads,
    }
}

fn prepare_directory(path: &Path) -> Result<(), StartError> {
    let explain = |error: std::io::Error| {
        StartError::Configuration(format!(
            "The data directory {} cannot be used: {error}. Make it and let this user write to it, or choose another with --data-dir.",
            path.display()
        ))
    };
    if !path.exists() {
        std::fs::create_dir_all(path).map_err(explain)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(explain)?;
    }
    Ok(())
}

/// The key must exist for an existing store and is made for a new one, before the first write.
fn open_store(config: &Config, places: &Places, runtime: Runtime) -> Result<Store, StartError> {
    let path = places.data_dir.join(STORE_FILE);
    let explain = |error: crate::vault::KeyError| StartError::Configuration(error.to_string());
    let file = KeyFile::of(places).map_err(explain)?;
    let key: MasterKey = if path.exists() || file.path().exists() {
        file.load().map_err(explain)?
    } else {
        let key = file.create(&*runtime.random).map_err(explain)?;
        tracing::info!(path = %file.path().display(), "made the master key; keep a copy of it apart from the data");
        key
    };
    let cache = usize::try_from(config.store.cache.0).unwrap_or(usize::MAX);
    let store = Store::open(&path, cache, Vault::new(&key), runtime)?;
    let data = places.data_dir.clone();
    store.keep_free(config.store.free_space.bytes(), move || free_space(&data));
    Ok(store)
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener)).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => " Another program listens there; choose another address with --listen.",
            std::io::ErrorKind::PermissionDenied => " Ports below 1024 need a privilege; choose another with --listen.",
            _ => "",
        };
        StartError::Configuration(format!("Cannot listen on {address}: {error}.{advice}"))
    })
}

/// The local socket. One that a dead server left behind is replaced; the store's lock keeps two servers apart.
fn bind_local(path: &Path) -> Result<UnixListener, StartError> {
    let explain = |error: std::io::Error| {
        StartError::Configuration(format!("The local socket {} cannot be opened: {error}.", path.display()))
    };
    if UnixStream::connect(path).is_err() && path.exists() {
        std::fs::remove_file(path).map_err(explain)?;
    }
    let listener = UnixListener::bind(path).map_err(explain)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(explain)?;
    listener.set_nonblocking(true).map_err(explain)?;
    Ok(listener)
}
