//! What the gate knows beside the store: when inboxes were synced in this run, and which servers are in trouble.

use crate::connect::effective::EffectiveSettings;
use crate::connect::hosts::{Host, Hosts, host};
use crate::domain::limits::Moment;
use crate::domain::mailbox::Mailbox;
use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;

/// A sync is asked for at most so often for one mailbox.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// A clock that was set by more than this many milliseconds is not believed for a while.
const SET_BY_MUCH: u64 = 60_000;
/// How long it is not.
const DOUBTED: Duration = Duration::from_hours(1);

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
    clock: Arc<Mutex<Option<ClockSeen>>>,
}

/// Where the wall clock stood when it was last looked at.
#[derive(Clone, Copy)]
struct ClockSeen {
    skew: i64,
    /// When it was set, in steady time; `None` as long as it was not in this run.
    set_at: Option<Timestamp>,
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

    /// Notes where the wall clock stands; until when, by it, no age can be told by it, if it was set by much of late. One
    /// that is wrong for a moment would make everything that waits look old.
    pub(super) fn clock_seen(&self, moment: &Moment) -> Option<Timestamp> {
        let mut seen = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = moment.skew();
        let before = seen.get_or_insert(ClockSeen { skew, set_at: None });
        if skew.abs_diff(before.skew) > SET_BY_MUCH {
            before.set_at = Some(moment.steady);
        }
        before.skew = skew;
        let until = before.set_at?.plus(DOUBTED);
        (until > moment.steady).then(|| moment.by_the_wall(until))
    }

    /// Somebody else got through to the server that a mailbox sends through: nobody has to wait for it any longer. Returns
    /// the mailboxes that are paused for it; `None` where it was in no trouble.
    pub fn reached(&self, mailbox: &Mailbox, moment: &Moment) -> Option<Vec<u64>> {
        let host = host_of(&EffectiveSettings::of(mailbox)).filter(|host| self.hosts.is_down(host))?;
        Some(self.hosts.answered(&host, moment.steady))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_not_believed_for_an_hour() {
        let outlook = Outlook::default();
        let at = |steady: u64, skew: i64| {
            let steady = Timestamp::from_millis(1_000_000).plus(Duration::from_secs(steady));
            Moment { now: Timestamp::from_millis(steady.millis() + skew), steady, behind: None }
        };
        let year = 365 * 86_400_000;
        for (steady, skew, trusted) in [
            (0, 5, true),
            (10, 800, true),
            (20, year, false),
            (3619, year, false),
            (3620, year, true),
            // Back again, which is a change as well.
            (3700, 0, false),
            (7299, 0, false),
            (7300, 0, true),
        ] {
            assert_eq!(outlook.clock_seen(&at(steady, skew)).is_none(), trusted, "{steady} {skew}");
        }
    }
}
