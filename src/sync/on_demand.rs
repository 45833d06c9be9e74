//! Octets of messages that are not stored: from their server when somebody wants them, a piece at a time, so that a large
//! message never lies in memory whole. A few at the same time, one of a mailbox.
//!
//! A message is where the last sync saw it, or nowhere: the folder must still have its numbering, and the message its size
//! and its Message-ID, or it is not given out.

use super::{SyncHandle, lock};
use crate::connect::Connector;
use crate::connect::caps::{Permit, Purpose};
use crate::connect::credential::Draft;
use crate::connect::imap::{Asked, ImapLimits, ImapSession};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::message::Message;
use crate::domain::stages::Stages;
use crate::store::{StoreError, places_list};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How many messages are fetched at the same time.
const AT_ONCE: usize = 4;
/// One piece, in octets.
const PIECE: u32 = 1 << 20;
/// Pieces that wait for a slow reader.
const AHEAD: usize = 2;
/// How often, and how many times, it is looked whether there is a place.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 100;
/// A reader who takes nothing for so long is left.
const STALLED: Duration = Duration::from_mins(1);
/// How long it may take to reach the message, and altogether.
const STEP: Duration = Duration::from_secs(30);
const TIME: Duration = Duration::from_mins(15);

/// The pieces of a message, in their order. A failure is the last thing that comes.
pub type Pieces = mpsc::Receiver<Result<Vec<u8>, Failure>>;

/// Why octets cannot be had.
#[derive(Debug)]
pub enum Unavailable {
    /// Too much is under way; a little later there may be a place.
    Busy,
    /// The server has the message no longer, or elsewhere than the last sync saw it.
    Gone,
    Failed(Failure),
    Store(StoreError),
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is under way.
#[derive(Clone)]
pub(super) struct OnDemand {
    turns: Arc<Semaphore>,
    mailboxes: Arc<Mutex<HashSet<u64>>>,
}

impl OnDemand {
    pub fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), mailboxes: Arc::default() }
    }

    fn take(&self, mailbox: u64) -> Option<Turn> {
        let turn = self.turns.clone().try_acquire_owned().ok()?;
        let is_first = lock(&self.mailboxes).insert(mailbox);
        is_first.then(|| Turn { mailbox, under_way: self.clone(), _permit: turn })
    }
}

struct Turn {
    mailbox: u64,
    under_way: OnDemand,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.under_way.mailboxes).remove(&self.mailbox);
    }
}

impl SyncHandle {
    /// The octets of a message, as its server has them.
    pub async fn octets(&self, mailbox: Mailbox, message: Message) -> Result<Pieces, Unavailable> {
        let snapshot = self.store.read().map_err(Unavailable::Store)?;
        let places = places_list(&snapshot, message.id).map_err(Unavailable::Store)?;
        drop(snapshot);
        if places.is_empty() {
            return Err(Unavailable::Gone);
        }
        let held = self.admitted(&mailbox).await?;
        let (octets, pieces) = mpsc::channel(AHEAD);
        let (found, is_found) = oneshot::channel();
        let errand = Errand { connector: self.connector.clone(), mailbox, message, places, _held: held };
        let cancel = self.tasks.stopping().child_token();
        self.tasks.spawn_blocking(move || {
            let limits = ImapLimits {
                connect: STEP,
                step: STEP,
                deadline: Some(Instant::now() + TIME),
                cancel,
                ..ImapLimits::default()
            };
            errand.run(limits, found, &octets);
        });
        match is_found.await {
            Ok(found) => found.map(|()| pieces),
            Err(_) => Err(Failure::temporary(Stage::Fetch, "Postroom failed while it fetched the message.").into()),
        }
    }
}

impl SyncHandle {
    /// Waits a while for a turn, and for a place among the connections of the log-in.
    async fn admitted(&self, mailbox: &Mailbox) -> Result<(Turn, Permit), Unavailable> {
        let login = self.connector.login(mailbox)?;
        for _ in 0..LOOKS {
            if let Some(turn) = self.on_demand.take(mailbox.id) {
                let steady = self.store.moment().steady;
                if let Some(place) = self.connector.caps().try_enter(&login, Purpose::Session, steady) {
                    return Ok((turn, place));
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Unavailable::Busy)
    }
}

struct Errand {
    connector: Connector,
    mailbox: Mailbox,
    message: Message,
    places: Vec<(String, u32, u32)>,
    /// The turn, and the place among the connections of the log-in.
    _held: (Turn, Permit),
}

impl Errand {
    fn run(
        self,
        limits: ImapLimits,
        found: oneshot::Sender<Result<(), Unavailable>>,
        octets: &mpsc::Sender<Result<Vec<u8>, Failure>>,
    ) {
        let cancel = limits.cancel.clone();
        let opened = self.connector.open_imap(&Draft::stored(&self.mailbox), &mut Stages::new(), limits);
        let mut session = match opened {
            Ok((session, _)) => session,
            Err(failure) => return drop(found.send(Err(failure.into()))),
        };
        match self.find(&mut session) {
            Ok(Some(uid)) => {
                // Whoever asked may have left.
                if found.send(Ok(())).is_ok() {
                    self.pass_on(&mut session, uid, octets, &cancel);
                }
            }
            Ok(None) => drop(found.send(Err(Unavailable::Gone))),
            Err(failure) => drop(found.send(Err(failure.into()))),
        }
        session.logout();
    }

    /// Opens the folder that has the message; its UID there.
    fn find(&self, session: &mut ImapSession) -> Result<Option<u32>, Failure> {
        for (folder, uid_validity, uid) in &self.places {
            let state = match session.examine(folder) {
                Ok(state) => state,
                Err(failure) if !session.is_usable() => return Err(failure),
                Err(_) => continue,
            };
            if state.uid_validity != Some(*uid_validity) {
                continue;
            }
            let facts = session.facts(&[*uid], Asked { message_id: true, gmail: false })?;
            let is_it = facts
                .first()
                .is_some_and(|fact| fact.size == Some(self.message.size) && fact.message_id == self.message.message_id);
            if is_it {
                return Ok(Some(*uid));
            }
        }
        Ok(None)
    }

    fn pass_on(
        &self,
        session: &mut ImapSession,
        uid: u32,
        octets: &mpsc::Sender<Result<Vec<u8>, Failure>>,
        cancel: &CancellationToken,
    ) {
        let runtime = Handle::current();
        // A reader that has left needs no more, and one that has stalled must not hold the place of others.
        let give = |piece| {
            let sent = async {
                tokio::select! {
                    () = cancel.cancelled() => false,
                    sent = timeout(STALLED, octets.send(piece)) => sent.is_ok_and(|sent| sent.is_ok()),
                }
            };
            runtime.block_on(sent)
        };
        let mut from = 0;
        while from != self.message.size {
            match session.piece(uid, from, PIECE) {
                Ok(piece) if piece.is_empty() => {
                    if let Err(failure) = is_still_there(session, uid) {
                        give(Err(failure));
                    }
                    return;
                }
                Ok(piece) => {
                    from += piece.len() as u64;
                    if !give(Ok(piece)) {
                        return;
                    }
                }
                Err(failure) => {
                    give(Err(failure));
                    return;
                }
            }
        }
    }
}

/// Nothing more came, and less than was announced: some servers only estimate sizes, and some messages go while they
/// are read.
fn is_still_there(session: &mut ImapSession, uid: u32) -> Result<(), Failure> {
    if session.facts(&[uid], Asked::default())?.is_empty() {
        let sentence = "The message was removed from its server while it was being read.";
        return Err(Failure::new(FailureKind::Permanent, Scope::Mailbox, Stage::Fetch, sentence));
    }
    Ok(())
}
