//! An instance to measure: a home with administrators and tokens in its store, and the binary serving from it.

use crate::load::{self, Connection};
use crate::support::binary::Home;
use crate::support::server::Server;
use postroom::api::caller::token_hash;
use postroom::domain::user::{Role, Token, User};
use postroom::runtime::Runtime;
use postroom::store::{Store, StoreError};
use postroom::vault::{KeyFile, Vault};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Requests are limited per user; a load spreads over so many.
const USERS: usize = 16;

/// The token of one of the administrators; any number will do.
pub fn token(number: usize) -> String {
    format!("prt_bench-{}", number % USERS)
}

/// A home whose store has the administrators.
pub async fn home() -> Home {
    let home = Home::new();
    let store = open(&home);
    for number in 0..USERS {
        store.write(move |work| administrator(work, number)).await.expect("a user is stored");
    }
    assert!(store.close().await, "nobody else holds the store");
    home
}

/// The store of a home that is not served now.
pub fn open(home: &Home) -> Store {
    let runtime = Runtime::system();
    let file = KeyFile::at(&home.key_file(), &home.data()).expect("the key lies outside the data");
    let key = if file.path().exists() { file.load() } else { file.create(&*runtime.random) }.expect("a key");
    Store::open(&home.data().join("postroom.redb"), 64 << 20, Vault::new(&key), runtime).expect("a store")
}

fn administrator(work: &mut postroom::store::Work, number: usize) -> Result<(), StoreError> {
    let now = work.now();
    let user = work.create_user(User::new(&format!("admin{number}@example.org"), Role::Admin, now))?;
    work.create_token(Token {
        id: 0,
        user_id: user.id,
        name: None,
        hash: token_hash(&token(number)),
        created_at: now,
        expires_at: None,
        kind: postroom::domain::user::TokenKind::Machine,
    })?;
    Ok(())
}

/// A running server.
pub struct House {
    pub server: Server,
    pub address: SocketAddr,
}

impl House {
    pub fn serve(home: &Home) -> Self {
        let server = Server::start(home);
        let address = address(&server);
        Self { server, address }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None, 200).await
    }

    /// Makes a request that must be answered with a status. Each has a connection of its own: between two of them a peer
    /// may be measured for longer than the server keeps an idle one.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
        let request = load::request(method, path, &token(0), body);
        let mut connection = Connection::open(self.address).await.expect("the server takes connections");
        let answer = connection.exchange(&request).await.expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(answer.body));
        serde_json::from_slice(answer.body).expect("JSON")
    }

    /// Uploads an attachment and gives its id.
    pub async fn upload(&self, name: &str, octets: &[u8]) -> u64 {
        let head = format!(
            "POST /api/v2/attachments?filename={name} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n",
            token(0),
            octets.len()
        );
        let mut connection = Connection::open(self.address).await.expect("the server takes connections");
        let answer = connection.exchange(&[head.as_bytes(), octets].concat()).await.expect("an answer");
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
        let made: Value = serde_json::from_slice(answer.body).expect("JSON");
        made["data"]["id"].as_u64().expect("an id")
    }

    /// Makes a mailbox and gives its id.
    pub async fn mailbox(&self, email: &str, attributes: &Value) -> u64 {
        let document = mailbox(email, attributes);
        let made = self.ask("POST", "/api/v2/mailboxes", Some(&document), 201).await;
        made["data"]["id"].as_u64().expect("an id")
    }

    /// Changes attributes of a mailbox.
    pub async fn change(&self, mailbox: u64, attributes: &Value) {
        let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": attributes}});
        self.ask("PATCH", &format!("/api/v2/mailboxes/{mailbox}"), Some(&document), 200).await;
    }

    /// How many records a list has.
    pub async fn count(&self, list: &str) -> usize {
        let separator = if list.contains('?') { '&' } else { '?' };
        let answer = self.get(&format!("/api/v2/{list}{separator}page[size]=1")).await;
        let count = answer["meta"]["count"].as_u64().expect("a count");
        usize::try_from(count).expect("a count that fits")
    }
}

pub fn address(server: &Server) -> SocketAddr {
    server.url.trim_start_matches("http://").parse().expect("an address")
}

/// A document that makes a mailbox without limits.
pub fn mailbox(email: &str, attributes: &Value) -> Value {
    let mut all = json!({
        "email": email, "sendThreshold": null, "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
    });
    for (name, value) in attributes.as_object().expect("attributes") {
        all[name] = value.clone();
    }
    json!({"data": {"type": "mailbox", "attributes": all}})
}

/// A document that makes a mailing of about `size` octets.
pub fn mailing(mailbox: u64, size: usize, state: &str) -> Value {
    let line = "What is measured here should look like mail that people write to each other. ";
    let attributes = json!({
        "to": ["rosa@recipients.test"], "subject": "About the order of last week",
        "bodyText": line.repeat(size.div_ceil(line.len())), "state": state,
    });
    json!({"data": {
        "type": "mailing", "attributes": attributes,
        "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
    }})
}
