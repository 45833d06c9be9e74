//! The product in this process: the real app on its real listeners, with its network and its mail server in the
//! test's hand.

use super::client::Client;
use postroom::app::{App, Blueprint};
use postroom::config::{Config, KeyPlace, Places};
use postroom::domain::user::{Role, Token, User};
use postroom::net::{Dialer, Dialing, SystemDialer};
use postroom::runtime::Runtime;
use postroom::store::StoreError;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

const TOKEN: &str = "prt_test-token";

/// A running app with an administrator and a token.
pub struct Instance {
    pub app: App,
    pub client: Client,
    home: TempDir,
    config: Config,
}

impl Instance {
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub async fn start_with(mut config: Config) -> Self {
        config.server.listen = ([127, 0, 0, 1], 0).into();
        let home = tempfile::tempdir().expect("a temporary directory");
        let app = launch(&config, &home).await;
        app.store()
            .write(|work| {
                let now = work.now();
                let user = work.create_user(User::new("admin@example.org", Role::Admin, now))?;
                work.create_token(Token {
                    id: 0,
                    user_id: user.id,
                    name: None,
                    hash: postroom::api::caller::token_hash(TOKEN),
                    created_at: now,
                    expires_at: None,
                    kind: postroom::domain::user::TokenKind::Machine,
                })?;
                Ok::<_, StoreError>(())
            })
            .await
            .expect("the administrator is stored");
        Self { client: client_of(&app), app, home, config }
    }

    /// Stops in order and starts again on the same data.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with another configuration.
    pub async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { app, home, mut config, .. } = self;
        app.stop().await;
        change(&mut config);
        let app = launch(&config, &home).await;
        Self { client: client_of(&app), app, home, config }
    }

    pub async fn stop(self) {
        self.app.stop().await;
    }

    /// Stops, and looks at what is left before it goes.
    pub async fn stop_then<T>(self, look: impl FnOnce() -> T) -> T {
        self.app.stop().await;
        look()
    }

    /// Where the data directory, `data`, and the key, `master.key`, are.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Makes a mailbox that sends through a server on loopback without TLS.
    pub async fn mailbox(&self, email: &str, attributes: Value) -> u64 {
        let mut all = json!({
            "email": email, "smtpSsl": false, "imapSsl": false, "sendThreshold": null,
            "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
        });
        for (name, value) in attributes.as_object().expect("attributes") {
            all[name] = value.clone();
        }
        self.client.create("mailbox", "mailboxes", &all).await["id"].as_u64().expect("an id")
    }

    /// Queues a mailing.
    pub async fn mailing(&self, mailbox: u64, attributes: Value) -> u64 {
        let document = json!({"data": {
            "type": "mailing", "attributes": attributes,
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
        }});
        self.client.post("/api/v2/mailings", &document).await.expect(201).json["data"]["id"].as_u64().expect("an id")
    }

    /// The attributes of a record.
    pub async fn attributes(&self, collection: &str, id: u64) -> Value {
        let answer = self.client.get(&format!("/api/v2/{collection}/{id}")).await.expect(200);
        answer.json["data"]["attributes"].clone()
    }

    /// Waits until a record is as wanted; gives up, with what it is, after a generous while.
    pub async fn until(&self, collection: &str, id: u64, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Value::Null;
        for _ in 0..600 {
            seen = self.attributes(collection, id).await;
            if wanted(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{collection}/{id} never became as wanted: {seen:#}");
    }

    /// Waits until a mailing is in a state.
    pub async fn until_state(&self, mailing: u64, state: &str) -> Value {
        self.until("mailings", mailing, |attributes| attributes["state"] == state).await
    }
}

fn client_of(app: &App) -> Client {
    let address = app.address().expect("a serving app has an address");
    Client::new(&format!("http://{address}"), Some(TOKEN))
}

async fn launch(config: &Config, home: &TempDir) -> App {
    let places = Places {
        data_dir: home.path().join("data"),
        socket: home.path().join("api.sock"),
        master_key: KeyPlace::File(home.path().join("master.key")),
    };
    App::start(Blueprint {
        config: config.clone(),
        places,
        runtime: Runtime::system(),
        dialer: Arc::new(Loopback),
        local_links: false,
        serving: true,
    })
    .await
    .unwrap_or_else(|error| panic!("the app does not start: {error}"))
}

/// Loopback and nothing else: no test asks a resolver or reaches another machine.
struct Loopback;

impl Dialer for Loopback {
    fn resolve<'a>(&'a self, host: &'a str) -> Dialing<'a, Vec<IpAddr>> {
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) if host == "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
            Err(_) => Vec::new(),
        };
        Box::pin(async move { Ok(found) })
    }

    fn connect(&self, address: SocketAddr) -> Dialing<'_, TcpStream> {
        Box::pin(async move {
            if address.ip().is_loopback() {
                return SystemDialer.connect(address).await;
            }
            Err(std::io::ErrorKind::ConnectionRefused.into())
        })
    }
}
