//! Further people in an instance: users of a role, tokens of every kind.

use super::client::Client;
use super::instance::Instance;
use postroom::api::caller::token_hash;
use postroom::domain::time::Timestamp;
use postroom::domain::user::{Role, Token, TokenKind, User};
use postroom::store::StoreError;

/// A user and a client that speaks for them.
pub struct Person {
    pub id: u64,
    pub client: Client,
}

impl Instance {
    /// Adds a user; their token is the local part of the address.
    pub async fn person(&self, name: &str, role: Role) -> Person {
        self.person_named(name, role, None).await
    }

    /// The same with a first and a last name.
    pub async fn person_named(&self, name: &str, role: Role, names: Option<(&str, &str)>) -> Person {
        let (first_name, last_name) = names.map(|(first, last)| (first.to_owned(), last.to_owned())).unzip();
        let email = format!("{name}@people.test");
        let created = self.app.store().write(move |work| {
            let now = work.now();
            work.create_user(User {
                first_name: first_name.clone(),
                last_name: last_name.clone(),
                ..User::new(&email, role, now)
            })
        });
        let id = created.await.expect("the user is stored").id;
        self.token(id, name, None).await;
        Person { id, client: self.client.with_token(name) }
    }

    /// Adds a token with a text of the test's choice; gives its id.
    pub async fn token(&self, user: u64, text: &str, expires_at: Option<Timestamp>) -> u64 {
        self.token_of_kind(user, text, expires_at, TokenKind::Machine).await
    }

    /// The same for any kind of holder.
    pub async fn token_of_kind(&self, user: u64, text: &str, expires_at: Option<Timestamp>, kind: TokenKind) -> u64 {
        let hash = token_hash(text);
        let created = self.app.store().write(move |work| {
            let created_at = work.now();
            let token = Token { id: 0, user_id: user, name: None, hash, created_at, expires_at, kind };
            Ok::<_, StoreError>(work.create_token(token)?.id)
        });
        created.await.expect("the token is stored")
    }
}
