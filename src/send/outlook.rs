//! What the gate knows beside the store: when inboxes were synced in this run, and which servers are in trouble.

use crate::connect::effective::EffectiveSettings;
use crate::connect::hosts::{Host, Hosts, host};
use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;

/// A sync is asked for at most so often for one mailbox.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The syncing of inboxes, as sending needs it. Whoever builds the house wires it to the engine that syncs.
pub trait InboxSync: Send + Sync {
    /// When the inbox of a mailbox was last synced since the process started.
    fn synced_at(&self, mailbox: u64) -> Option<Timestamp>;
    /// Asks for a sync soon; `false` if that could not be taken.
    fn ask(&self, mailbox: u64) -> bool;
    /// The mailboxes whose inboxes are synced from now on.
    fn news(&self) -> broadcast::Receiver<u64>;
}

/// What is known of the surroundings; clones share it. The default knows nothing and objects to nothing.
#[derive(Clone, Default)]
pub struct Outlook {
    pub(super) inboxes: Option<Arc<dyn InboxSync>>,
    pub(super) hosts: Hosts,
    asked: Arc<Mutex<HashMap<u64, Timestamp>>>,
}

impl Outlook {
    pub fn new(inboxes: Arc<dyn InboxSync>) -> Self {
        Self { inboxes: Some(inboxes), ..Self::default() }
    }

    /// Asks for a sync of a mailbox, at a steady time; when to ask again if none came.
    pub(super) fn ask(&self, mailbox: u64, now: Timestamp) -> Timestamp {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = asked.get(&mailbox)
            && at.plus(ASK_AGAIN) > now
        {
            return at.plus(ASK_AGAIN);
        }
        if self.inboxes.as_ref().is_some_and(|inboxes| inboxes.ask(mailbox)) {
            asked.insert(mailbox, now);
            return now.plus(ASK_AGAIN);
        }
        now.plus(Duration::from_secs(1))
    }

    /// The sync that was asked for has come.
    pub(super) fn synced(&self, mailbox: u64) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&mailbox);
    }
}

/// The server that a mailbox sends through, where its settings name one.
pub(super) fn host_of(effective: &EffectiveSettings) -> Option<Host> {
    let endpoint = &effective.send.as_ref().ok()?.endpoint;
    Some(host(endpoint))
}
