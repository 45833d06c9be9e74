//! Open sessions between two mailings: reused for a while, for a number of mailings, and only as long as the mailbox's
//! settings are the ones they were opened with.

use crate::connect::smtp::SmtpSession;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long and how often a session is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reuse {
    pub deliveries: u64,
    pub idle: Duration,
    /// How many sessions wait at most, over all mailboxes.
    pub sessions: usize,
}

/// The sessions that wait for their next mailing.
pub(super) struct Pool {
    reuse: Reuse,
    idle: Mutex<HashMap<u64, Vec<Idle>>>,
}

struct Idle {
    generation: u64,
    session: SmtpSession,
}

impl Pool {
    pub fn new(reuse: Reuse) -> Self {
        Self { reuse, idle: Mutex::default() }
    }

    /// A session of the mailbox that can take another envelope.
    pub fn take(&self, mailbox: u64, generation: u64) -> Option<SmtpSession> {
        let mut idle = self.lock();
        let waiting = idle.get_mut(&mailbox)?;
        while let Some(candidate) = waiting.pop() {
            if candidate.generation == generation && self.is_fit(&candidate.session) {
                return Some(candidate.session);
            }
        }
        idle.remove(&mailbox);
        None
    }

    /// Keeps a session for the next mailing, or hands it back to be closed.
    pub fn keep(&self, mailbox: u64, generation: u64, session: SmtpSession) -> Option<SmtpSession> {
        let mut idle = self.lock();
        let waiting: usize = idle.values().map(Vec::len).sum();
        if waiting >= self.reuse.sessions || !self.is_fit(&session) {
            return Some(session);
        }
        idle.entry(mailbox).or_default().push(Idle { generation, session });
        None
    }

    /// Takes out the sessions that have waited too long.
    pub fn expired(&self) -> Vec<SmtpSession> {
        let mut expired = Vec::new();
        self.lock().retain(|_, waiting| {
            let (keep, old): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|idle| self.is_fit(&idle.session));
            expired.extend(old.into_iter().map(|idle| idle.session));
            *waiting = keep;
            !waiting.is_empty()
        });
        expired
    }

    /// Takes out every session.
    pub fn drain(&self) -> Vec<SmtpSession> {
        self.lock().drain().flat_map(|(_, waiting)| waiting).map(|idle| idle.session).collect()
    }

    fn is_fit(&self, session: &SmtpSession) -> bool {
        session.is_usable() && session.deliveries() < self.reuse.deliveries && session.idle() < self.reuse.idle
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
