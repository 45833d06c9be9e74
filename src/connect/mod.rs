//! A mailbox made usable: what the workers of `send` and `sync` both need and neither owns.
//!
//! - [`effective`]: what a mailbox's settings come down to, from the record, what it implies, and presets.
//! - [`credential`]: a secret opened for one session, also for a draft that is not saved yet.
//! - [`smtp`]: one SMTP session over [`crate::net`].
//!
//! Promises: no credential leaves before the connection is as safe as the settings want it; a secret is in memory only
//! while a session logs in; whatever a server says is bounded in size, depth, count and time, and a panic that it
//! provokes ends its session only. Uses `providers`, `store`, `net`, `vault` and the ground floor.

pub mod credential;
pub mod effective;
pub mod smtp;

use crate::domain::failure::{Failure, Stage};
use crate::domain::mailbox::{Mailbox, Side};
use crate::domain::stages::Stages;
use crate::net::Network;
use crate::vault::Vault;
use credential::Draft;
use effective::{EffectiveSettings, SyncSettings};
use smtp::{Credential, SmtpSession, SmtpSettings, Timeouts};

/// Opens sessions for mailboxes: the network to reach servers over, and the vault to open secrets with.
#[derive(Clone)]
pub struct Connector {
    network: Network,
    vault: Vault,
}

impl Connector {
    pub fn new(network: Network, vault: Vault) -> Self {
        Self { network, vault }
    }

    /// How a mailbox syncs, or why it cannot.
    pub fn sync_settings(&self, mailbox: &Mailbox) -> Result<SyncSettings, Failure> {
        EffectiveSettings::of(mailbox).sync
    }

    /// A session for sending, logged in.
    pub async fn open_smtp(&self, draft: &Draft<'_>, stages: &mut Stages) -> Result<SmtpSession, Failure> {
        let send = EffectiveSettings::of_draft(draft).send?;
        let credential = match send.secret {
            Some(field) => {
                let password = draft.open(&self.vault, field)?;
                Some(Credential { username: send.username, password })
            }
            None => None,
        };
        let settings = SmtpSettings {
            endpoint: send.endpoint,
            credential,
            hello_name: hello_name(draft.mailbox()),
            timeouts: Timeouts::default(),
        };
        SmtpSession::open(&self.network, &settings, stages).await
    }
}

/// What we call ourselves in EHLO: the domain of the mailbox says more to a relay than a name of this machine.
fn hello_name(mailbox: &Mailbox) -> String {
    use crate::domain::address::Address;
    Address::parse(&mailbox.settings.email)
        .map_or_else(|_| "localhost".to_owned(), |address| address.domain_ascii().to_owned())
}

impl Connector {
    pub async fn live_test(&self, _: Side, _: &Draft<'_>) -> (Stages, Result<(), Failure>) {
        (Stages::new(), Err(Failure::config(Stage::Settings, "Live tests are not built yet.")))
    }
}

pub mod live_test {
    use crate::domain::failure::Failure;
    use crate::domain::mailbox::Side;
    pub fn blame(_: &Failure, _: Side) -> &'static str {
        "email"
    }
}
