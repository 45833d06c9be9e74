//! One IMAP session (RFC 3501) over [`crate::net`]: greeting, TLS, log-in, and the few commands that syncing needs.
//!
//! - `preamble`: everything before the log-in, by hand: greeting, capabilities, strict STARTTLS.
//! - `screen`: what stands between the connection and the `imap` crate, and refuses what the crate cannot bear.
//! - `credential`, `query`, `answer`, `sent_folder`: what the log-in takes, what is asked, what is found out.
//! - `idle`: [`Watch`], a connection that waits for news, without a thread.
//! - `session`: [`ImapSession`], the only file that names the `imap` crate.
//! - `changes`: what a session asks that the crate has no words for: facts, changes since a mod-sequence.
//! - `trouble`: what an error of any of them means, as a [`Failure`](crate::domain::failure::Failure).
//!
//! A session is blocking and belongs on a thread that may block, inside a tokio runtime (`spawn_blocking`).

mod answer;
mod changes;
mod credential;
mod folder_name;
mod idle;
mod preamble;
mod query;
mod screen;
mod sent_folder;
mod session;
mod trouble;

pub use answer::{Abilities, Changed, Facts, FolderState, ImapFolder};
pub use changes::Asked;
pub use idle::{News, Watch, WatchLimits, WatchedFolder};
pub use sent_folder::sent_folder;
pub use session::{FOLDER_LIMIT, ImapSession};

use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long the parts of a session may take, and who can end it early.
#[derive(Clone, Debug)]
pub struct ImapLimits {
    /// Each of name lookup, TCP and TLS.
    pub connect: Duration,
    /// One read or write; before the log-in, one command.
    pub step: Duration,
    /// One command with its whole answer.
    pub command: Duration,
    /// When the session has to be over.
    pub deadline: Option<Instant>,
    /// Ends the session wherever it stands.
    pub cancel: CancellationToken,
}

impl Default for ImapLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            step: Duration::from_mins(1),
            command: Duration::from_mins(10),
            deadline: None,
            cancel: CancellationToken::new(),
        }
    }
}

#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod tests;
