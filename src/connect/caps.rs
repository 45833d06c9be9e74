//! How many IMAP connections a server, and one log-in at a server, has to bear at the same time.
//!
//! Whoever opens a session takes a [`Permit`] first and keeps it as long as the session: syncs, connections that wait for
//! news, errands to sent folders, live tests. Other mail programs of the same account count at the server too, so the
//! caps lie well below what providers allow (15 at Gmail, 10 by default in Dovecot). A server that says that there are
//! too many lowers its cap for a while. In memory only.

use super::effective::SyncSettings;
use super::hosts::{Host, host};
use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a cap that the server objected to stays lowered.
const LOWERED: Duration = Duration::from_mins(30);

/// How many connections at the same time, where no server objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapLimits {
    pub per_host: u32,
    pub per_login: u32,
}

impl Default for CapLimits {
    fn default() -> Self {
        Self { per_host: 64, per_login: 3 }
    }
}

/// Whom a server counts connections of: a user name at a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    pub host: Host,
    pub username: String,
}

impl Login {
    pub fn of(sync: &SyncSettings) -> Self {
        Self { host: host(&sync.endpoint), username: sync.username.clone() }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It does its work and ends.
    Session,
    /// It waits for news, perhaps for hours: it never takes the last place of a log-in nor more than half of a server's.
    Watch,
}

/// The connections of one instance. Clones share the count.
#[derive(Clone, Default)]
pub struct Caps(Arc<Shared>);

#[derive(Default)]
struct Shared {
    limits: CapLimits,
    hosts: Mutex<HashMap<Host, Usage>>,
    freed: Notify,
}

#[derive(Default)]
struct Usage {
    open: u32,
    watches: u32,
    lowered: Option<Lowered>,
    logins: HashMap<String, LoginUsage>,
}

#[derive(Default)]
struct LoginUsage {
    open: u32,
    lowered: Option<Lowered>,
}

#[derive(Clone, Copy)]
struct Lowered {
    cap: u32,
    until: Timestamp,
}

/// The cap that holds now.
fn cap(usual: u32, lowered: Option<Lowered>, now: Timestamp) -> u32 {
    lowered.filter(|lowered| lowered.until > now).map_or(usual, |lowered| lowered.cap.min(usual))
}

/// A place for one connection; given back when it is dropped.
#[must_use = "the place is given back at once"]
pub struct Permit {
    shared: Arc<Shared>,
    login: Login,
    purpose: Purpose,
}

impl Caps {
    pub fn new(limits: CapLimits) -> Self {
        Self(Arc::new(Shared { limits, ..Shared::default() }))
    }

    /// A place for a connection, if there is one. `now` is steady time.
    pub fn try_enter(&self, login: &Login, purpose: Purpose, now: Timestamp) -> Option<Permit> {
        let limits = self.0.limits;
        let mut hosts = self.0.lock();
        if let Some(usage) = hosts.get(&login.host) {
            let host_cap = cap(limits.per_host, usage.lowered, now);
            let (open, login_cap) = match usage.logins.get(&login.username) {
                Some(login) => (login.open, cap(limits.per_login, login.lowered, now)),
                None => (0, limits.per_login),
            };
            let needed = u32::from(purpose == Purpose::Watch) + 1;
            let too_many_watches = purpose == Purpose::Watch && usage.watches >= host_cap / 2;
            if open + needed > login_cap || usage.open + needed > host_cap || too_many_watches {
                return None;
            }
        } else if purpose == Purpose::Watch && (limits.per_login < 2 || limits.per_host < 2) {
            return None;
        }
        Some(self.enter(&mut hosts, login, purpose))
    }

    /// A place for a connection, as soon as there is one; `None` if that took longer than `patience`.
    pub async fn enter_within(&self, login: &Login, now: Timestamp, patience: Duration) -> Option<Permit> {
        let waiting = async {
            loop {
                let freed = self.0.freed.notified();
                tokio::pin!(freed);
                // Before the look, so that a place that becomes free in between is not missed.
                freed.as_mut().enable();
                if let Some(permit) = self.try_enter(login, Purpose::Session, now) {
                    return permit;
                }
                freed.await;
            }
        };
        tokio::time::timeout(patience, waiting).await.ok()
    }

    /// A place whatever the count: somebody is waiting for a live test.
    pub fn enter_anyway(&self, login: &Login) -> Permit {
        self.enter(&mut self.0.lock(), login, Purpose::Session)
    }

    /// The server refused a connection of this log-in because there are too many, while `refused` still held its place.
    /// Of several connections of the log-in one less is tried for a while; was it the only one, then the server as a
    /// whole gets half as many.
    pub fn lower(&self, refused: &Login, now: Timestamp) {
        let mut hosts = self.0.lock();
        let usage = hosts.entry(refused.host.clone()).or_default();
        let until = now.plus(LOWERED);
        let login = usage.logins.entry(refused.username.clone()).or_default();
        if login.open > 1 {
            login.lowered = Some(Lowered { cap: login.open - 1, until });
        } else if usage.open > 1 {
            usage.lowered = Some(Lowered { cap: (usage.open / 2).max(1), until });
        }
        // Whoever wants no connection now leaves nothing behind.
        for usage in hosts.values_mut() {
            usage.logins.retain(|_, login| login.open > 0 || login.lowered.is_some_and(|lowered| lowered.until > now));
        }
        hosts.retain(|_, usage| {
            usage.open > 0 || !usage.logins.is_empty() || usage.lowered.is_some_and(|lowered| lowered.until > now)
        });
    }

    /// How many connections a log-in has now.
    pub fn open(&self, login: &Login) -> u32 {
        let hosts = self.0.lock();
        hosts.get(&login.host).and_then(|usage| usage.logins.get(&login.username)).map_or(0, |login| login.open)
    }

    fn enter(&self, hosts: &mut HashMap<Host, Usage>, login: &Login, purpose: Purpose) -> Permit {
        let usage = hosts.entry(login.host.clone()).or_default();
        usage.open += 1;
        usage.watches += u32::from(purpose == Purpose::Watch);
        usage.logins.entry(login.username.clone()).or_default().open += 1;
        Permit { shared: self.0.clone(), login: login.clone(), purpose }
    }
}

impl Permit {
    pub fn login(&self) -> &Login {
        &self.login
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut hosts = self.shared.lock();
        let Some(usage) = hosts.get_mut(&self.login.host) else { return };
        usage.open = usage.open.saturating_sub(1);
        usage.watches = usage.watches.saturating_sub(u32::from(self.purpose == Purpose::Watch));
        if let Some(login) = usage.logins.get_mut(&self.login.username) {
            login.open = login.open.saturating_sub(1);
            if login.open == 0 && login.lowered.is_none() {
                usage.logins.remove(&self.login.username);
            }
        }
        if usage.open == 0 && usage.lowered.is_none() && usage.logins.is_empty() {
            hosts.remove(&self.login.host);
        }
        drop(hosts);
        self.shared.freed.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Host, Usage>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str) -> Login {
        Login { host: ("imap.example".into(), 993), username: name.into() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn caps(per_host: u32, per_login: u32) -> Caps {
        Caps::new(CapLimits { per_host, per_login })
    }

    #[test]
    fn a_log_in_and_a_server_have_so_many_places_and_get_them_back() {
        let caps = caps(3, 2);
        let enter = |name| caps.try_enter(&login(name), Purpose::Session, at(0));
        let (first, _second) = (enter("ann").unwrap(), enter("ann").unwrap());
        assert!(enter("ann").is_none(), "the log-in has two");
        let third = enter("bob").unwrap();
        assert!(enter("clara").is_none(), "the server has three");
        drop(first);
        assert!(enter("ann").is_some());
        drop(third);
        assert!(enter("clara").is_some());
        assert_eq!((caps.open(&login("ann")), caps.open(&login("bob"))), (1, 0));
    }

    #[test]
    fn what_waits_for_news_leaves_room_for_what_works() {
        let caps = caps(4, 2);
        let enter = |name, purpose| caps.try_enter(&login(name), purpose, at(0));
        let _watch = enter("ann", Purpose::Watch).unwrap();
        assert!(enter("ann", Purpose::Watch).is_none(), "the last place of the log-in");
        let _session = enter("ann", Purpose::Session).unwrap();
        let _other = enter("bob", Purpose::Watch).unwrap();
        assert!(enter("clara", Purpose::Watch).is_none(), "half of the server's places");
        assert!(enter("clara", Purpose::Session).is_some());
    }

    #[test]
    fn a_server_that_objects_is_asked_for_less_for_a_while() {
        let caps = caps(8, 3);
        let enter = |name, seconds| caps.try_enter(&login(name), Purpose::Session, at(seconds));
        let first = enter("ann", 0).unwrap();
        let refused = enter("ann", 0).unwrap();
        caps.lower(&login("ann"), at(0));
        drop(refused);
        assert!(enter("ann", 1).is_none());
        assert!(enter("bob", 1).is_some(), "others of the server are not meant");
        drop(first);
        assert!(enter("ann", 1).is_some());
        let _held: Vec<Permit> = ["ann", "ann", "ann"].into_iter().map(|name| enter(name, 3_000).unwrap()).collect();
        // The only connection of its log-in: the server counts something else.
        let refused = enter("bob", 3_000).unwrap();
        caps.lower(&login("bob"), at(3_000));
        drop(refused);
        assert!(enter("clara", 3_001).is_none(), "two for the whole server");
        assert!(enter("clara", 6_000).is_some());
    }

    #[tokio::test]
    async fn an_errand_waits_for_a_place_and_a_live_test_does_not() {
        let caps = caps(8, 1);
        let held = caps.try_enter(&login("ann"), Purpose::Session, at(0)).unwrap();
        assert!(caps.enter_within(&login("ann"), at(0), Duration::from_millis(1)).await.is_none());
        let test = caps.enter_anyway(&login("ann"));
        let waiting = tokio::spawn({
            let caps = caps.clone();
            async move { caps.enter_within(&login("ann"), at(0), Duration::from_mins(1)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop((held, test));
        assert!(waiting.await.unwrap());
        assert!(caps.0.lock().is_empty(), "nothing is left behind");
    }
}
