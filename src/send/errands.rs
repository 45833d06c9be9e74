//! One task beside the scheduler that runs the errands to the sent folders: asking about doubts, filing copies. At most
//! a few mailboxes at a time, each in one session; sending never waits for it.

use super::Parts;
use super::sent_folder::SentFolder;
use super::{doubt, sent_copy};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{CopyState, Mailing};
use crate::domain::time::Timestamp;
use crate::runtime::contain;
use crate::store::{StoreError, errands, get};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many mailboxes are visited at the same time.
const VISITS: usize = 4;
/// How many errands are looked at, and how many a visit takes along.
const AHEAD: usize = 1000;
const PER_VISIT: usize = 100;
/// After a look at the errands, changes are collected for this long.
const CALM: Duration = Duration::from_millis(100);
/// After a failure of the store a mailbox rests this long.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Runs until the instance stops.
pub(super) async fn run(parts: Arc<Parts>) {
    let stopping = parts.tasks.stopping();
    let mut events = parts.store.events();
    let (ended, mut returned) = mpsc::channel::<u64>(VISITS);
    let mut away: HashSet<u64> = HashSet::new();
    while !stopping.is_cancelled() {
        events.mark_unchanged();
        let look = if away.len() < VISITS { look(&parts, &away) } else { Ok(Look::default()) };
        let look = look.unwrap_or_else(|error| {
            tracing::error!(%error, "the errands could not be read");
            Look { next: Some(parts.runtime.clock.now().plus(STORE_PAUSE)), ..Look::default() }
        });
        for (mailbox, mailings) in look.due.into_iter().take(VISITS - away.len()) {
            away.insert(mailbox);
            let (parts, ended) = (parts.clone(), ended.clone());
            parts.tasks.clone().spawn(async move {
                match contain(visit(&parts, mailbox, &mailings)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(mailbox, %error, "an errand could not be recorded");
                        rest(&parts).await;
                    }
                    Err(panic) => {
                        tracing::error!(mailbox, panic, "an errand panicked");
                        rest(&parts).await;
                    }
                }
                // The owner ends after its visits, or with the process.
                let _ = ended.send(mailbox).await;
            });
        }
        let clock = parts.runtime.clock.clone();
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(mailbox) = returned.recv() => { away.remove(&mailbox); }
            Ok(()) = events.changed() => tokio::time::sleep(CALM).await,
            () = async { clock.sleep_until(look.next.unwrap_or_default()).await }, if look.next.is_some() => {}
        }
    }
}

async fn rest(parts: &Parts) {
    let stopping = parts.tasks.stopping();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = tokio::time::sleep(STORE_PAUSE) => {}
    }
}

#[derive(Default)]
struct Look {
    /// What is due, by mailbox; the one that waits longest comes first.
    due: Vec<(u64, Vec<u64>)>,
    /// When the next errand is due after that.
    next: Option<Timestamp>,
}

fn look(parts: &Parts, away: &HashSet<u64>) -> Result<Look, StoreError> {
    let moment = parts.store.moment();
    let now = moment.now;
    if moment.behind.is_some() {
        // No certificate is valid yet, and no time can be told.
        return Ok(Look { next: Some(now.plus(STORE_PAUSE)), ..Look::default() });
    }
    let snapshot = parts.store.read()?;
    let (mut look, mut places) = (Look::default(), HashMap::new());
    for (at, id) in errands(&snapshot, AHEAD)? {
        if at > now {
            look.next = Some(at);
            break;
        }
        let Some(mailing) = get::<Mailing>(&snapshot, id)? else { continue };
        if away.contains(&mailing.mailbox_id) {
            continue;
        }
        let place = *places.entry(mailing.mailbox_id).or_insert_with(|| {
            look.due.push((mailing.mailbox_id, Vec::new()));
            look.due.len() - 1
        });
        let mailings = &mut look.due[place].1;
        if mailings.len() < PER_VISIT {
            mailings.push(id);
        }
    }
    Ok(look)
}

/// Runs the errands of one mailbox.
async fn visit(parts: &Arc<Parts>, mailbox: u64, mailings: &[u64]) -> Result<(), StoreError> {
    let mut folder = SentFolder::of(get::<Mailbox>(&parts.store.read()?, mailbox)?);
    for id in mailings {
        if parts.tasks.stopping().is_cancelled() {
            break;
        }
        let Some(mailing) = get::<Mailing>(&parts.store.read()?, *id)? else { continue };
        if mailing.doubt.is_some() {
            doubt::ask(parts, &mut folder, &mailing).await?;
        } else if mailing.sent_copy.as_ref().is_some_and(|copy| copy.state == CopyState::Wanted) {
            sent_copy::file(parts, &mut folder, &mailing).await?;
        }
    }
    folder.close().await;
    Ok(())
}
