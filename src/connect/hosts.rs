//! What is known of servers, shared by all mailboxes of a server; sending and syncing keep one account each. In memory
//! only: a restart asks each of them anew.
//!
//! A server that cannot be reached is backed off once, whoever met it: its other mailboxes wait, and one attempt finds
//! out whether it is back. Only failures before the log-in count; what comes later concerns the mailbox.

use crate::domain::backoff::Backoff;
use crate::domain::connection::Endpoint;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::limits::Moment;
use crate::domain::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A server: its name and port.
pub type Host = (String, u16);

/// The server of an endpoint; its name without regard to case.
pub fn host(endpoint: &Endpoint) -> Host {
    (endpoint.host.to_lowercase(), endpoint.port)
}

/// The servers that fail at present, and when each was last well.
#[derive(Clone, Default)]
pub struct Hosts(Arc<Mutex<HashMap<Host, State>>>);

#[derive(Debug, Default)]
struct State {
    /// How many times in a row; 0 while it works.
    failures: u32,
    /// In steady time, as everything here.
    failed_at: Timestamp,
    until: Timestamp,
    sentence: String,
    answered_at: Option<Timestamp>,
    /// The mailboxes that met the failure.
    met: BTreeSet<u64>,
}

/// What a failure says about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It was not known to fail: whoever met it bears it.
    Trouble,
    /// The attempt had begun before somebody else met the same failure: it need not cost anything.
    Known,
    /// It is no failure of the server, or the server answered somebody else meanwhile.
    Nothing,
}

impl Hosts {
    /// Until when a server is left alone, in steady time, and why.
    pub fn trouble(&self, host: &Host, moment: &Moment) -> Option<(Timestamp, String)> {
        let hosts = self.lock();
        let state = hosts.get(host).filter(|state| state.failures > 0 && state.until > moment.steady)?;
        Some((state.until, state.sentence.clone()))
    }

    /// Whether the last that was heard of a server is a failure: one attempt at a time asks whether it is back.
    pub fn is_down(&self, host: &Host) -> bool {
        self.lock().get(host).is_some_and(|state| state.failures > 0)
    }

    /// Notes a failure of an attempt that had `begun` then; `roll` in 0..=400 draws the jitter.
    pub fn failed(
        &self,
        host: &Host,
        mailbox: u64,
        failure: &Failure,
        (begun, now): (Timestamp, Timestamp),
        roll: u64,
    ) -> News {
        if failure.kind != FailureKind::Temporary
            || failure.scope != Scope::Host
            || !(Stage::Dns..Stage::Authentication).contains(&failure.stage)
        {
            return News::Nothing;
        }
        let mut hosts = self.lock();
        let state = hosts.entry(host.clone()).or_default();
        if state.answered_at.is_some_and(|at| at >= begun) {
            return News::Nothing;
        }
        if state.failures > 0 && state.failed_at >= begun {
            return News::Known;
        }
        state.failures = state.failures.saturating_add(1);
        state.failed_at = now;
        // Its own word counts, but no stranger shuts all mailboxes of a server out for longer than it ever is left alone.
        let asked = Duration::from_secs(failure.retry_after.unwrap_or(0)).min(Backoff::HOST.ceiling);
        state.until = now.plus(Backoff::HOST.wait(state.failures, roll).max(asked));
        state.sentence.clone_from(&failure.sentence);
        state.met.insert(mailbox);
        News::Trouble
    }

    /// Notes that a server let somebody in. Returns the mailboxes that need wait for it no longer.
    pub fn answered(&self, host: &Host, now: Timestamp) -> Vec<u64> {
        let mut hosts = self.lock();
        let state = hosts.entry(host.clone()).or_default();
        let met = std::mem::take(&mut state.met).into_iter().collect();
        *state = State { answered_at: Some(now), ..State::default() };
        met
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Host, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Failure {
        Failure::new(FailureKind::Temporary, Scope::Host, Stage::Tcp, "The server refuses connections.")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn moment(seconds: i64) -> Moment {
        Moment { now: at(seconds), steady: at(seconds), behind: None }
    }

    #[test]
    fn a_server_is_backed_off_once_however_many_attempts_were_under_way() {
        let (hosts, host) = (Hosts::default(), ("mail.example".to_owned(), 587));
        assert_eq!(hosts.failed(&host, 1, &refused(), (at(0), at(1)), 200), News::Trouble);
        assert_eq!(hosts.failed(&host, 2, &refused(), (at(0), at(2)), 200), News::Known);
        let (until, why) = hosts.trouble(&host, &moment(2)).unwrap();
        assert_eq!((until, why.as_str()), (at(31), "The server refuses connections."));
        assert_eq!(hosts.trouble(&host, &moment(31)), None);
        assert!(hosts.is_down(&host));
        // The attempt that asks again meets it anew, and the wait doubles.
        assert_eq!(hosts.failed(&host, 2, &refused(), (at(31), at(32)), 200), News::Trouble);
        assert_eq!(hosts.trouble(&host, &moment(32)).unwrap().0, at(32).plus(Duration::from_mins(1)));
        assert_eq!(hosts.answered(&host, at(92)), [1, 2]);
        assert!(!hosts.is_down(&host) && hosts.trouble(&host, &moment(92)).is_none());
    }

    #[test]
    fn a_server_that_says_when_to_come_back_is_left_alone_until_then_but_not_for_ever() {
        for (asked, wait) in [(0, 30), (10, 30), (600, 600), (86_400, 1_800)] {
            let (hosts, host) = (Hosts::default(), ("mail.example".to_owned(), 587));
            let failure = refused().retry_after(Duration::from_secs(asked));
            hosts.failed(&host, 1, &failure, (at(0), at(0)), 200);
            assert_eq!(hosts.trouble(&host, &moment(1)).unwrap().0, at(wait), "{asked}");
        }
    }

    #[test]
    fn what_concerns_one_mailbox_is_no_trouble_of_its_server() {
        let (hosts, host) = (Hosts::default(), ("mail.example".to_owned(), 587));
        let mut late = refused();
        late.stage = Stage::Data;
        let mut auth = refused();
        auth.kind = FailureKind::Auth;
        for failure in [late, auth] {
            assert_eq!(hosts.failed(&host, 1, &failure, (at(0), at(1)), 0), News::Nothing);
        }
        // Somebody else was let in while this attempt failed.
        hosts.answered(&host, at(5));
        assert_eq!(hosts.failed(&host, 1, &refused(), (at(4), at(6)), 0), News::Nothing);
        assert!(!hosts.is_down(&host));
    }
}
