//! Who is at work: users whose mailboxes are synced more often, for as long as they are active.

use crate::domain::mailbox::ACTIVE;
use crate::domain::time::Timestamp;
use std::collections::HashMap;

/// When each user was last active, as far as it may matter.
#[derive(Default)]
pub(super) struct Owners(HashMap<u64, Timestamp>);

impl Owners {
    /// A sign of activity; whether the user wakes up with it.
    pub fn note(&mut self, user: u64, at: Timestamp) -> bool {
        let woke = !self.is_active(user, at);
        let latest = self.0.entry(user).or_insert(at);
        *latest = at.max(*latest);
        woke
    }

    pub fn is_active(&self, user: u64, now: Timestamp) -> bool {
        self.last(user).is_some_and(|last| within(last, now))
    }

    pub fn last(&self, user: u64) -> Option<Timestamp> {
        self.0.get(&user).copied()
    }

    /// Forgets those who are active no longer.
    pub fn prune(&mut self, now: Timestamp) {
        self.0.retain(|_, last| within(*last, now));
    }
}

fn within(last: Timestamp, now: Timestamp) -> bool {
    now.millis_since(last) <= i64::try_from(ACTIVE.as_millis()).unwrap_or(i64::MAX)
}
