//! A small programmable SMTP and IMAP server for loopback: the demo's mail server and the tests' hostile double.
//!
//! [`MailServer`] listens on loopback only, keeps accounts and messages in memory, files what SMTP accepts into the
//! recipients' inboxes and serves them over IMAP. It keeps every message byte for byte. A [`Rule`] makes it
//! misbehave at a [`Point`]: reject, drop, delay, hold until a [`Gate`] opens, say something else.
//!
//! Promises: every line, literal, message, folder and count is bounded; time comes from the clock in [`Options`];
//! plaintext that arrived before a TLS handshake is thrown away; passwords never show in `Debug`.
//! It opens its own listeners (the one room beside `net/` that touches sockets) and calls only `domain` and `runtime`.

mod account;
mod departed;
mod flags;
mod folder;
mod folder_name;
mod gate;
mod imap;
mod journal;
mod listener;
mod numbering;
mod options;
mod plain;
mod script;
mod smtp;
mod store;
mod wire;

#[cfg(test)]
mod rig;

pub use flags::Flags;
pub use folder::StoredMessage;
pub use gate::Gate;
pub use journal::{Accepted, Counts};
pub use options::{Capabilities, Options, Recipients};
pub use script::{Act, Count, Point, Rule, RuleId, When};
pub use store::Unknown;

use crate::domain::time::Timestamp;
use listener::Listeners;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::DropGuard;

/// What every connection of one server shares.
struct Shared {
    options: Options,
    store: store::Store,
    script: script::Script,
    journal: journal::Journal,
    tasks: crate::runtime::Tasks,
}

/// A running server. Clones are handles to the same server, which ends with [`MailServer::stop`] or with its last handle.
#[derive(Clone)]
pub struct MailServer {
    shared: Arc<Shared>,
    listening: Listeners,
    _ends_with_the_last_handle: Arc<DropGuard>,
}

impl MailServer {
    /// Binds the listeners and serves in the background of the current tokio runtime.
    ///
    /// Fails with `InvalidInput` for an address that is not loopback, and with whatever the system says to a bind.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (bound, listening) = listener::bind(&options).await?;
        let tasks = crate::runtime::Tasks::new();
        let shared = Arc::new(Shared {
            store: store::Store::new(&options),
            script: script::Script::default(),
            journal: journal::Journal::new(options.accepted_kept, options.logins_kept),
            tasks,
            options,
        });
        listener::serve(&shared, bound);
        let guard = shared.tasks.stopping().drop_guard();
        Ok(Self { shared, listening, _ends_with_the_last_handle: Arc::new(guard) })
    }

    /// Where SMTP is spoken in the clear, with STARTTLS where a TLS configuration was given.
    pub fn smtp(&self) -> SocketAddr {
        self.listening.smtp
    }

    /// Where IMAP is spoken in the clear, with STARTTLS where a TLS configuration was given.
    pub fn imap(&self) -> SocketAddr {
        self.listening.imap
    }

    /// Where SMTP is spoken inside TLS from the first byte; `None` without a TLS configuration.
    pub fn smtps(&self) -> Option<SocketAddr> {
        self.listening.smtps
    }

    /// Where IMAP is spoken inside TLS from the first byte; `None` without a TLS configuration.
    pub fn imaps(&self) -> Option<SocketAddr> {
        self.listening.imaps
    }

    /// Adds an account with the folders INBOX and Sent (`\Sent`), or gives an existing one a new password.
    pub fn add_account(&self, address: &str, password: &str) {
        self.shared.store.add_account(address, password);
    }

    /// Adds an empty folder to an account; nothing happens if it is there already. Letters beyond ASCII go out in modified
    /// UTF-7; an ASCII name is taken as it goes out.
    pub fn add_folder(&self, address: &str, folder: &str) -> Result<(), Unknown> {
        self.shared.store.account(address)?.create(folder);
        Ok(())
    }

    /// The same with a use of its own (`\\Archive`; RFC 6154).
    pub fn add_special_folder(&self, address: &str, folder: &str, special_use: &'static str) -> Result<(), Unknown> {
        self.shared.store.account(address)?.create_special(folder, special_use);
        Ok(())
    }

    /// Renames a folder and those inside it, as another client's RENAME would; `false` if it cannot be.
    pub fn rename_folder(&self, address: &str, from: &str, to: &str) -> Result<bool, Unknown> {
        Ok(self.shared.store.account(address)?.rename(from, to))
    }

    /// Deletes a folder with its messages; `false` if there is none, or if it is INBOX.
    pub fn delete_folder(&self, address: &str, folder: &str) -> Result<bool, Unknown> {
        Ok(self.shared.store.account(address)?.delete(folder))
    }

    /// Puts a message straight into a folder, dated now, and wakes IDLE. Returns its UID.
    pub fn append(&self, address: &str, folder: &str, raw: &[u8]) -> Result<u32, Unknown> {
        self.append_at(address, folder, raw, self.shared.options.clock.now())
    }

    /// The same with an INTERNALDATE of one's own.
    pub fn append_at(&self, address: &str, folder: &str, raw: &[u8], date: Timestamp) -> Result<u32, Unknown> {
        let account = self.shared.store.account(address)?;
        account.change(folder, |folder| folder.append(raw.into(), Flags::default(), date))
    }

    /// Shows a message of one folder in another one too, as a label of Gmail does: the same X-GM-MSGID, bytes and date, a
    /// UID of its own, which is returned; `None` if there is no such message. Its flags change in one folder at a time.
    pub fn show_also(&self, address: &str, folder: &str, uid: u32, other: &str) -> Result<Option<u32>, Unknown> {
        let account = self.shared.store.account(address)?;
        let Some(message) = account.read(folder, |folder| folder.message(uid).cloned())? else { return Ok(None) };
        account.change(other, |folder| folder.add_copy(&message)).map(Some)
    }

    /// What a folder holds, in the order of UIDs.
    pub fn messages(&self, address: &str, folder: &str) -> Result<Vec<StoredMessage>, Unknown> {
        self.shared.store.account(address)?.read(folder, |folder| folder.messages().to_vec())
    }

    /// The highest mod-sequence of a folder (RFC 7162): it grows with every message that comes or goes and every change of
    /// flags, whether IMAP tells of it or not.
    pub fn mod_sequence(&self, address: &str, folder: &str) -> Result<u64, Unknown> {
        self.shared.store.account(address)?.read(folder, |folder| folder.version)
    }

    /// Replaces the flags of a message and wakes IDLE; `false` if there is no such UID.
    pub fn set_flags(&self, address: &str, folder: &str, uid: u32, flags: &[&str]) -> Result<bool, Unknown> {
        let flags = flags.iter().copied().collect::<Flags>();
        let account = self.shared.store.account(address)?;
        account.change(folder, |folder| folder.set_flags(uid, |held| *held = flags.clone()).is_some())
    }

    /// Removes messages as another client's EXPUNGE would, and wakes IDLE. Returns how many went.
    pub fn remove(&self, address: &str, folder: &str, uids: &[u32]) -> Result<usize, Unknown> {
        let account = self.shared.store.account(address)?;
        account.change(folder, |folder| folder.remove(|message| uids.contains(&message.uid)).len())
    }

    /// Gives a folder another UIDVALIDITY, as a restored server does: its messages are numbered again from 1.
    pub fn set_uid_validity(&self, address: &str, folder: &str, validity: u32) -> Result<(), Unknown> {
        self.shared.store.account(address)?.change(folder, |folder| folder.renumber(validity))
    }

    /// Every message that SMTP accepted, oldest first, as far back as [`Options::accepted_kept`] reaches.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.shared.journal.accepted()
    }

    /// Waits until SMTP has accepted `count` messages since the start, and returns [`MailServer::accepted`].
    pub async fn wait_accepted(&self, count: u64) -> Vec<Accepted> {
        self.shared.journal.wait_accepted(count).await;
        self.accepted()
    }

    /// The IMAP log-ins that were accepted since this was last asked, oldest first: when, by the server's clock, and who,
    /// in lower case. As far back as [`Options::logins_kept`] reaches.
    pub fn take_logins(&self) -> Vec<(Timestamp, Arc<str>)> {
        self.shared.journal.take_logins()
    }

    /// Adds a rule; rules are asked in the order in which they were added.
    pub fn script(&self, rule: Rule) -> RuleId {
        self.shared.script.add(rule)
    }

    /// Takes a rule away. A connection that already waits in its delay or at its gate goes on waiting.
    pub fn clear(&self, id: RuleId) {
        self.shared.script.remove(id);
    }

    /// Connections, TLS handshakes and logins, now and since the start.
    pub fn connections(&self) -> Counts {
        self.shared.journal.counts()
    }

    /// Closes the listeners and every connection, and waits for them to be gone (at most ten seconds).
    pub async fn stop(self) {
        self.shared.tasks.stop(Duration::from_secs(10)).await;
    }
}
