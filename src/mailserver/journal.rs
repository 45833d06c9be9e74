use crate::domain::time::Timestamp;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A message that SMTP accepted, as it was received.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Counted from 1 over all messages of the server.
    pub sequence: u64,
    /// The connection that it came over: messages with the same number shared one.
    pub connection: u64,
    /// Whether that connection was inside TLS.
    pub tls: bool,
    /// The account that was logged in.
    pub user: Option<String>,
    /// MAIL FROM without the angle brackets; empty for the null sender.
    pub sender: String,
    /// RCPT TO, those that were accepted, in order.
    pub recipients: Vec<String>,
    /// The bytes after dot-unstuffing, up to and including the CRLF before the final dot.
    pub raw: Arc<[u8]>,
    /// The message held a CR without LF.
    pub bare_cr: bool,
    /// The message held an LF without CR.
    pub bare_lf: bool,
    /// When it was accepted, by the server's clock.
    pub at: Timestamp,
    /// When the reply to the final dot had left; `None` as long as none did.
    pub replied_at: Option<Timestamp>,
}

/// What happened at the doors, since the start unless it says "now".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections now.
    pub smtp_open: u64,
    pub imap_open: u64,
    /// Connections taken in.
    pub smtp: u64,
    pub imap: u64,
    /// The most IMAP connections that there were at one time.
    pub imap_most: u64,
    /// Connections closed at once because there were too many.
    pub refused: u64,
    /// TLS handshakes that came through, and that did not.
    pub tls: u64,
    pub tls_failed: u64,
    /// AUTH, LOGIN and AUTHENTICATE commands seen, whatever became of them: 0 proves that no credential was sent.
    pub auth_attempts: u64,
    /// Of those, accepted.
    pub logins: u64,
    /// Messages accepted over SMTP.
    pub accepted: u64,
    /// Messages, or parts of them, that FETCH gave out.
    pub imap_literals: u64,
}

/// What the server has seen.
pub(super) struct Journal {
    kept: usize,
    logins_kept: usize,
    logins: Mutex<VecDeque<(Timestamp, Arc<str>)>>,
    accepted: Mutex<VecDeque<Accepted>>,
    counts: watch::Sender<Counts>,
}

impl Journal {
    pub fn new(kept: usize, logins_kept: usize) -> Self {
        let counts = watch::Sender::default();
        Self { kept, logins_kept, logins: Mutex::default(), accepted: Mutex::default(), counts }
    }

    /// Remembers who logged in over IMAP.
    pub fn imap_login(&self, user: &str, at: Timestamp) {
        if self.logins_kept == 0 {
            return;
        }
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() == self.logins_kept {
            logins.pop_front();
        }
        logins.push_back((at, user.into()));
    }

    /// The IMAP log-ins since this was last asked.
    pub fn take_logins(&self) -> Vec<(Timestamp, Arc<str>)> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Remembers a message under the next number, and returns that.
    pub fn accept(&self, mut message: Accepted) -> u64 {
        let mut accepted = self.log();
        let sequence = self.counts().accepted + 1;
        message.sequence = sequence;
        accepted.push_back(message);
        while accepted.len() > self.kept {
            accepted.pop_front();
        }
        // Inside the lock, so that numbers and order agree.
        self.count(|counts| counts.accepted = sequence);
        sequence
    }

    /// The reply to a message has left.
    pub fn replied(&self, sequence: u64, at: Timestamp) {
        let mut accepted = self.log();
        let first = accepted.front().map_or(0, |message| message.sequence);
        let place = sequence.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(message) = place.and_then(|place| accepted.get_mut(place)) {
            message.replied_at = Some(at);
        }
    }

    pub fn accepted(&self) -> Vec<Accepted> {
        self.log().iter().cloned().collect()
    }

    pub async fn wait_accepted(&self, count: u64) {
        // The sender lives as long as `self`.
        let _ = self.counts.subscribe().wait_for(|counts| counts.accepted >= count).await;
    }

    fn log(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
