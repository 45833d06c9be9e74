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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::smtp::{EnvelopeOptions, SmtpSettings, Timeouts};
    use crate::domain::connection::{Endpoint, Reach, TlsMode};
    use crate::domain::stages::Stages;
    use crate::mailserver::{Act, MailServer, Options, Point, Recipients, Rule};
    use crate::net::{EgressRules, Network, SystemDialer, Trust};
    use std::sync::Arc;

    const LONG: Duration = Duration::from_hours(1);

    async fn server() -> MailServer {
        MailServer::start(Options { recipients: Recipients::Anybody, ..Options::default() }).await.unwrap()
    }

    async fn open(server: &MailServer) -> SmtpSession {
        let network = Network::new(Arc::new(SystemDialer), &Trust::nobody(), EgressRules::default());
        let settings = SmtpSettings {
            endpoint: Endpoint {
                host: "127.0.0.1".into(),
                port: server.smtp().port(),
                tls: TlsMode::StartTlsIfOffered,
                reach: Reach::Private,
            },
            credential: None,
            hello_name: "client.example".into(),
            timeouts: Timeouts::all(Duration::from_secs(20)),
        };
        SmtpSession::open(&network, &settings, &mut Stages::new()).await.unwrap()
    }

    async fn deliver(session: &mut SmtpSession) {
        let to = ["b@demo.test".to_owned()];
        session.envelope("ann@demo.test", &to, EnvelopeOptions::default()).await.unwrap();
        session.deliver(b"Subject: s\r\n\r\nt\r\n").await.unwrap();
    }

    fn pool(deliveries: u64, idle: Duration, sessions: usize) -> Pool {
        Pool::new(Reuse { deliveries, idle, sessions })
    }

    #[tokio::test]
    async fn a_session_is_used_again_by_its_mailbox_alone_and_under_the_settings_it_was_opened_with() {
        let (server, pool) = (server().await, pool(100, LONG, 10));
        assert!(pool.keep(1, 7, open(&server).await).is_none());
        assert!(pool.take(2, 7).is_none(), "another mailbox");
        assert!(pool.take(1, 7).is_some());
        assert!(pool.take(1, 7).is_none(), "by one at a time");
        assert!(pool.keep(1, 7, open(&server).await).is_none());
        assert!(pool.take(1, 8).is_none(), "the settings have changed");
        assert!(pool.take(1, 7).is_none(), "and it is not kept for those that are gone");
    }

    #[tokio::test]
    async fn a_session_carries_so_many_messages_and_waits_so_long_and_no_more_wait_than_may() {
        let server = server().await;
        let counted = pool(2, LONG, 10);
        let mut session = open(&server).await;
        deliver(&mut session).await;
        assert!(counted.keep(1, 1, session).is_none());
        let mut session = counted.take(1, 1).unwrap();
        deliver(&mut session).await;
        assert!(counted.keep(1, 1, session).is_some(), "it has carried two");
        // Of sessions that have waited long enough none is taken, and all are given out to be closed.
        let mut timed = pool(100, LONG, 10);
        for mailbox in [1, 1, 2] {
            assert!(timed.keep(mailbox, 1, open(&server).await).is_none());
        }
        timed.reuse.idle = Duration::ZERO;
        assert_eq!(timed.expired().len(), 3);
        assert!(timed.expired().is_empty() && timed.take(1, 1).is_none());
        let few = pool(100, LONG, 2);
        for (mailbox, fits) in [(1, true), (2, true), (3, false)] {
            assert_eq!(few.keep(mailbox, 1, open(&server).await).is_none(), fits, "{mailbox}");
        }
        assert!(few.expired().is_empty());
        assert_eq!(few.drain().len(), 2);
        assert!(few.take(1, 1).is_none());
    }

    #[tokio::test]
    async fn a_session_whose_connection_has_failed_is_not_kept() {
        let (server, pool) = (server().await, pool(100, LONG, 10));
        server.script(Rule::new(Point::MailFrom, Act::Drop));
        let mut session = open(&server).await;
        let to = ["b@demo.test".to_owned()];
        assert!(session.envelope("ann@demo.test", &to, EnvelopeOptions::default()).await.is_err());
        assert!(pool.keep(1, 1, session).is_some());
    }
}
