//! Which inboxes are watched for new mail (IMAP IDLE), and what comes of it: at most `sync.idle` of them, each a connection
//! without a thread.
//!
//! The mailboxes of active owners come first, those with the latest signs of activity before the others; what is left of
//! the places goes to mailboxes where something happened last. Polls go on as ever: a watch only brings the next one
//! forward. A watch that ends soon after it began is tried again later and later, and one that lived at once.

use super::Parts;
use super::scheduler::Scheduler;
use super::timetable::Planned;
use crate::connect::caps::{Permit, Purpose};
use crate::connect::imap::{News, Watch, WatchLimits};
use crate::domain::backoff::Backoff;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::mailbox::Mailbox;
use crate::domain::time::Timestamp;
use crate::providers::texts::wants_fewer_connections;
use crate::store::{cursor, get};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A watch that lasted so long was well, however it ended.
const LIVED: Duration = Duration::from_mins(5);
/// A server that cannot wait is asked again after this long.
const NO_IDLE: Duration = Duration::from_hours(6);
/// The choice is made anew this often even if nothing is known to have changed.
const ANEW: Duration = Duration::from_secs(30);
/// How many watches begin in one go.
const AT_ONCE: usize = 8;
/// Reports that wait for the scheduler.
const REPORTS: usize = 64;
/// Watches bring syncs of one mailbox no closer together than this: new mail, and anything else.
const MAIL_GAP: Duration = Duration::from_secs(3);
const CHANGE_GAP: Duration = Duration::from_secs(20);

/// The watches of one scheduler.
pub(super) struct Watches {
    running: HashMap<u64, Watched>,
    setbacks: HashMap<u64, Setback>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    /// When the choice was made last, in steady time; `None` if it has to be made anew.
    chosen: Option<Duration>,
}

struct Watched {
    generation: u64,
    cancel: CancellationToken,
}

/// Why a mailbox is not watched for now.
#[derive(Default)]
struct Setback {
    /// Watches in a row that ended soon.
    failures: u32,
    /// In steady time.
    until: Duration,
}

/// What a watch tells the scheduler.
pub(super) struct Report {
    mailbox: u64,
    what: What,
}

enum What {
    News(News),
    Ended { lasted: Duration, why: Why },
}

enum Why {
    /// It was told to.
    Stopped,
    NoIdle,
    Failed(Failure),
}

impl Watches {
    pub fn new() -> Self {
        Self { running: HashMap::new(), setbacks: HashMap::new(), reports: mpsc::channel(REPORTS), chosen: None }
    }

    /// The next report. May be cancelled.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.1.recv().await
    }

    /// Something changed that the choice depends on.
    pub fn choose_anew(&mut self) {
        self.chosen = None;
    }

    /// A mailbox is not what it was, or gone: a watch with other settings ends.
    pub fn keep_only(&self, mailbox: u64, generation: Option<u64>) {
        if let Some(watched) = self.running.get(&mailbox).filter(|watched| Some(watched.generation) != generation) {
            watched.cancel.cancel();
        }
    }

    pub fn forget(&mut self, mailbox: u64) {
        self.keep_only(mailbox, None);
        self.setbacks.remove(&mailbox);
    }
}

impl Scheduler {
    /// Chooses which inboxes are watched, ends watches that are not chosen and begins others.
    pub(super) fn choose_watches(&mut self) {
        let limit = usize::try_from(self.parts.config.idle).unwrap_or(usize::MAX);
        let steady = self.parts.runtime.clock.elapsed();
        let is_fresh = self.watches.chosen.is_some_and(|at| steady.saturating_sub(at) < ANEW);
        if limit == 0 || is_fresh {
            return;
        }
        self.watches.chosen = Some(steady);
        let chosen = self.candidates(limit, steady);
        for (id, watched) in &self.watches.running {
            if !chosen.contains(id) {
                watched.cancel.cancel();
            }
        }
        let new = chosen.into_iter().filter(|id| !self.watches.running.contains_key(id)).collect::<Vec<_>>();
        if new.len() > AT_ONCE {
            self.watches.choose_anew();
        }
        for id in new.into_iter().take(AT_ONCE) {
            self.begin_watch(id);
        }
    }

    fn candidates(&self, limit: usize, steady: Duration) -> Vec<u64> {
        let now = self.now();
        let owners = self.parts.owners();
        let rank = |id: u64, planned: &Planned| {
            let active = owners.last(planned.owner).filter(|_| owners.is_active(planned.owner, now));
            // In steps of minutes: two people at work must not take each other's place with every click.
            let recent = active.map(|at| Reverse(now.millis_since(at) / 300_000));
            (recent, self.watches.running.contains_key(&id), active, planned.news_at, Reverse(id))
        };
        let is_fit = |id: u64, planned: &Planned| {
            let set_back = self.watches.setbacks.get(&id).is_some_and(|setback| setback.until > steady);
            !planned.fresh && !planned.held && !set_back
        };
        let mut ranked: Vec<_> = self
            .timetable
            .iter()
            .filter(|(id, planned)| is_fit(*id, planned))
            .map(|(id, planned)| (rank(id, planned), id))
            .collect();
        if ranked.len() > limit {
            ranked.select_nth_unstable_by(limit, |one, other| other.cmp(one));
            ranked.truncate(limit);
        }
        ranked.into_iter().map(|(_, id)| id).collect()
    }

    fn begin_watch(&mut self, id: u64) {
        let found = self.parts.store.read().and_then(|snapshot| get::<Mailbox>(&snapshot, id)).ok().flatten();
        let Some(mailbox) = found.filter(|mailbox| mailbox.settings.sync_disabled != Some(true)) else { return };
        let Ok(login) = self.parts.connector.login(&mailbox) else { return };
        let moment = self.parts.store.moment();
        if self.parts.hosts.is_down(&login.host) {
            return;
        }
        let place = self.parts.connector.caps().try_enter(&login, Purpose::Watch, moment.steady);
        let Some(place) = place else {
            // Somebody else may have the next one: this is asked again with the next choice but one.
            let until = self.parts.runtime.clock.elapsed() + ANEW + ANEW;
            self.watches.setbacks.entry(id).or_default().until = until;
            return;
        };
        let cancel = self.parts.tasks.stopping().child_token();
        let watched = Watched { generation: mailbox.generation, cancel: cancel.clone() };
        self.watches.running.insert(id, watched);
        let (parts, reports) = (self.parts.clone(), self.watches.reports.0.clone());
        self.parts.tasks.spawn(async move { watch(parts, mailbox, place, cancel, reports).await });
    }

    /// Takes in what a watch reports.
    pub(super) fn hear_watch(&mut self, report: Report) {
        let Report { mailbox: id, what } = report;
        match what {
            What::News(News::Mail) => {
                self.timetable.await_next(id);
                self.news(id, MAIL_GAP);
            }
            What::News(_) => self.news(id, CHANGE_GAP),
            What::Ended { lasted, why } => self.watch_ended(id, lasted, why),
        }
    }

    fn watch_ended(&mut self, id: u64, lasted: Duration, why: Why) {
        self.watches.running.remove(&id);
        self.watches.choose_anew();
        if self.timetable.get(id).is_none() {
            self.watches.setbacks.remove(&id);
            return;
        }
        let steady = self.parts.runtime.clock.elapsed();
        let roll = self.parts.runtime.random.below(401);
        let setback = self.watches.setbacks.entry(id).or_default();
        match why {
            Why::Stopped => {}
            Why::NoIdle => *setback = Setback { failures: 0, until: steady + NO_IDLE },
            Why::Failed(failure) => {
                tracing::debug!(mailbox = id, %failure, seconds = lasted.as_secs(), "a watch ended");
                setback.failures = if lasted >= LIVED { 1 } else { setback.failures.saturating_add(1) };
                let backoff = if failure.kind == FailureKind::Temporary { Backoff::HOST } else { Backoff::MAILBOX };
                setback.until = steady + backoff.wait(setback.failures, roll);
                // What came since is not missed; and whether the password still holds is for a sync to find out.
                if lasted >= LIVED || failure.kind == FailureKind::Auth {
                    self.news(id, MAIL_GAP);
                }
            }
        }
    }
}

/// Watches one inbox until it is told to end or the connection fails. The place at the server is given back first.
async fn watch(
    parts: Arc<Parts>,
    mailbox: Mailbox,
    place: Permit,
    cancel: CancellationToken,
    reports: mpsc::Sender<Report>,
) {
    let begun = parts.runtime.clock.elapsed();
    let id = mailbox.id;
    let mut open = None;
    let why = tokio::select! {
        biased;
        () = cancel.cancelled() => Why::Stopped,
        why = hold(&parts, &mailbox, &mut open, &reports) => why,
    };
    if let Why::Failed(failure) = &why
        && wants_fewer_connections(failure)
    {
        parts.connector.caps().lower(place.login(), parts.store.moment().steady);
    }
    let lasted = parts.runtime.clock.elapsed().saturating_sub(begun);
    if let Some(open) = open
        && matches!(why, Why::Stopped)
    {
        open.close().await;
    }
    drop(place);
    // The scheduler may have ended before.
    let _ = reports.send(Report { mailbox: id, what: What::Ended { lasted, why } }).await;
}

/// Opens a watch and passes its news on, until it fails.
async fn hold(parts: &Parts, mailbox: &Mailbox, open: &mut Option<Watch>, reports: &mpsc::Sender<Report>) -> Why {
    let (watch, inbox) = match parts.connector.open_watch(mailbox, WatchLimits::default()).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return Why::NoIdle,
        Err(failure) => return Why::Failed(failure),
    };
    let watch = open.insert(watch);
    let tell = async |news| {
        // Nobody hears it: the scheduler has ended, and so will this.
        let _ = reports.send(Report { mailbox: mailbox.id, what: What::News(news) }).await;
    };
    // What came between the last sync and now would be waited for in vain.
    if !is_known(parts, mailbox.id, &inbox, watch) {
        tell(News::Mail).await;
    }
    loop {
        match watch.news().await {
            Ok(news) => tell(news).await,
            Err(failure) => return Why::Failed(failure),
        }
    }
}

/// Whether the watched folder has nothing that is newer than what was synced.
fn is_known(parts: &Parts, mailbox: u64, inbox: &str, watch: &Watch) -> bool {
    let folder = watch.folder();
    let known = parts.store.read().and_then(|snapshot| cursor(&snapshot, mailbox, inbox)).ok().flatten();
    known.is_some_and(|known| {
        Some(known.uid_validity) == folder.uid_validity
            && folder.uid_next.is_some_and(|next| next <= known.high.saturating_add(1))
    })
}

impl Planned {
    /// When a watch may bring on the next sync, at the earliest.
    pub(super) fn not_before(&self, gap: Duration) -> Option<Timestamp> {
        self.began_at.map(|at| at.plus(gap))
    }
}
