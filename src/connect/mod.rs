//! A mailbox made usable: what the workers of `send` and `sync` both need and neither owns.
//!
//! - [`effective`]: what a mailbox's settings come down to, from the record, what it implies, and presets.
//! - [`credential`]: a secret opened for one session, also for a draft that is not saved yet.
//! - [`smtp`]: one SMTP session over [`crate::net`].
//! - [`imap`]: one IMAP session over [`crate::net`]; the one place that knows the `imap` crate.
//! - [`caps`], [`hosts`]: how many connections a server has to bear, and which servers are in trouble.
//! - [`live_test`]: the staged live tests behind `testSend`, `testSync`, `validateSend` and `validateSync`.
//!
//! [`Connector`] ties them together for one running instance.
//!
//! Promises: no credential leaves before the connection is as safe as the settings want it; a secret is in memory only
//! while a session logs in; whatever a server says is bounded in size, depth, count and time, and a panic that it
//! provokes ends its session only. Uses `providers`, `store`, `net`, `vault` and the ground floor.

pub mod caps;
pub mod credential;
mod discretion;
pub mod effective;
pub mod hosts;
pub mod imap;
pub mod live_test;
pub mod smtp;

use crate::domain::failure::Failure;
use crate::domain::mailbox::Mailbox;
use crate::domain::stages::Stages;
use crate::net::Network;
use crate::providers::texts::refined;
use crate::vault::Vault;
use caps::{CapLimits, Caps, Login};
use credential::Draft;
use effective::{EffectiveSettings, SyncSettings};
use imap::{ImapLimits, ImapSession, Watch, WatchLimits};
use smtp::{Credential, SmtpSession, SmtpSettings, Timeouts};

/// Opens sessions for mailboxes: the network to reach servers over, and the vault to open secrets with.
#[derive(Clone)]
pub struct Connector {
    network: Network,
    vault: Vault,
    caps: Caps,
}

impl Connector {
    pub fn new(network: Network, vault: Vault) -> Self {
        Self { network, vault, caps: Caps::default() }
    }

    /// With other caps than the usual ones.
    #[must_use]
    pub fn capped(self, limits: CapLimits) -> Self {
        Self { caps: Caps::new(limits), ..self }
    }

    /// The places for IMAP connections. Whoever opens one takes a place first.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// How a mailbox syncs, or why it cannot.
    pub fn sync_settings(&self, mailbox: &Mailbox) -> Result<SyncSettings, Failure> {
        EffectiveSettings::of(mailbox).sync
    }

    /// Whom the server of a mailbox counts its IMAP connections of.
    pub fn login(&self, mailbox: &Mailbox) -> Result<Login, Failure> {
        self.sync_settings(mailbox).map(|sync| Login::of(&sync))
    }

    /// A session for sending, logged in.
    pub async fn open_smtp(&self, draft: &Draft<'_>, stages: &mut Stages) -> Result<SmtpSession, Failure> {
        self.open_smtp_within(draft, Timeouts::default(), stages).await
    }

    async fn open_smtp_within(
        &self,
        draft: &Draft<'_>,
        timeouts: Timeouts,
        stages: &mut Stages,
    ) -> Result<SmtpSession, Failure> {
        let send = EffectiveSettings::of_draft(draft).send?;
        let credential = match send.secret {
            Some(field) => {
                let password = draft.open(&self.vault, field)?;
                Some(Credential { username: send.username, password })
            }
            None => None,
        };
        let settings =
            SmtpSettings { endpoint: send.endpoint, credential, hello_name: hello_name(draft.mailbox()), timeouts };
        SmtpSession::open(&self.network, &settings, stages).await.map_err(refined)
    }

    /// A session for syncing, logged in, and the name of the folder that counts as the inbox. The caller holds a
    /// place of [`Connector::caps`]. Blocks: only for threads that may, inside a tokio runtime.
    pub fn open_imap(
        &self,
        draft: &Draft<'_>,
        stages: &mut Stages,
        limits: ImapLimits,
    ) -> Result<(ImapSession, String), Failure> {
        let sync = EffectiveSettings::of_draft(draft).sync?;
        let secret = draft.open(&self.vault, sync.secret)?;
        let session = ImapSession::open(&self.network, &sync, &secret, stages, limits)?;
        Ok((session, sync.inbox))
    }

    /// A connection that waits for news of a mailbox's inbox, and the inbox's name; `None` where the server cannot wait
    /// (no IDLE). The caller holds a place of [`Connector::caps`].
    pub async fn open_watch(&self, mailbox: &Mailbox, limits: WatchLimits) -> Result<Option<(Watch, String)>, Failure> {
        let draft = Draft::stored(mailbox);
        let sync = EffectiveSettings::of_draft(&draft).sync?;
        let secret = draft.open(&self.vault, sync.secret)?;
        let watch = Watch::open(&self.network, &sync, &secret, limits).await?;
        Ok(watch.map(|watch| (watch, sync.inbox)))
    }
}

/// What we call ourselves in EHLO: the domain of the mailbox says more to a relay than a name of this machine.
fn hello_name(mailbox: &Mailbox) -> String {
    use crate::domain::address::Address;
    Address::parse(&mailbox.settings.email)
        .map_or_else(|_| "localhost".to_owned(), |address| address.domain_ascii().to_owned())
}
