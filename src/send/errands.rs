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
/// How many errands are looked at, so that a mailbox with many does not hide those of others, and how many a visit takes
/// along.
const AHEAD: usize = 20_000;
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
    let mut owners = HashMap::new();
    while !stopping.is_cancelled() {
        events.mark_unchanged();
        let look = if away.len() < VISITS { look(&parts, &away, &mut owners) } else { Ok(Look::default()) };
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

/// `owners` keeps the mailboxes of the mailings that were looked at before: each is read once.
fn look(parts: &Parts, away: &HashSet<u64>, owners: &mut HashMap<u64, u64>) -> Result<Look, StoreError> {
    let moment = parts.store.moment();
    let now = moment.now;
    if moment.behind.is_some() {
        // No certificate is valid yet, and no time can be told.
        return Ok(Look { next: Some(now.plus(STORE_PAUSE)), ..Look::default() });
    }
    let snapshot = parts.store.read()?;
    let mut known = HashMap::new();
    let look = plan(errands(&snapshot, AHEAD)?, now, away, |id| {
        let owner = match owners.get(&id) {
            Some(mailbox) => Some(*mailbox),
            None => get::<Mailing>(&snapshot, id)?.map(|mailing| mailing.mailbox_id),
        };
        known.extend(owner.map(|mailbox| (id, mailbox)));
        Ok(owner)
    })?;
    *owners = known;
    Ok(look)
}

/// Whom to visit, and what for: of the errands in the order of their times those of as many mailboxes as may be visited.
fn plan(
    errands: Vec<(Timestamp, u64)>,
    now: Timestamp,
    away: &HashSet<u64>,
    mut owner: impl FnMut(u64) -> Result<Option<u64>, StoreError>,
) -> Result<Look, StoreError> {
    let room = VISITS.saturating_sub(away.len());
    let (mut look, mut places) = (Look::default(), HashMap::new());
    for (at, id) in errands {
        if at > now {
            look.next = Some(at);
            break;
        }
        let Some(mailbox) = owner(id)?.filter(|mailbox| !away.contains(mailbox)) else { continue };
        let place = match places.get(&mailbox) {
            Some(place) => *place,
            None if look.due.len() == room => continue,
            None => {
                look.due.push((mailbox, Vec::new()));
                places.insert(mailbox, look.due.len() - 1);
                look.due.len() - 1
            }
        };
        let mailings = &mut look.due[place].1;
        if mailings.len() < PER_VISIT {
            mailings.push(id);
        }
        if look.due.len() == room && look.due.iter().all(|(_, mailings)| mailings.len() == PER_VISIT) {
            break;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(second))
    }

    #[test]
    fn a_mailbox_with_many_errands_hides_nobody_elses_and_who_waits_longest_comes_first() {
        // 5,000 of mailbox 9, then one each of 8 down to 1; the last one's time has not come.
        let mut errands: Vec<(Timestamp, u64)> = (0..5000).map(|id| (at(1), id)).collect();
        errands.extend((0..8).map(|number| (at(2 + number), 5000 + number)));
        let owner = |id: u64| Ok(Some(if id < 5000 { 9 } else { 8 - (id - 5000) }));
        let look = plan(errands.clone(), at(8), &HashSet::from([9]), owner).unwrap();
        let visited: Vec<u64> = look.due.iter().map(|(mailbox, _)| *mailbox).collect();
        assert_eq!((visited, look.next), (vec![8, 7, 6], Some(at(9))));
        let look = plan(errands, at(8), &HashSet::new(), owner).unwrap();
        let shares: Vec<(u64, usize)> = look.due.iter().map(|(mailbox, mailings)| (*mailbox, mailings.len())).collect();
        assert_eq!(shares, [(9, PER_VISIT), (8, 1), (7, 1), (6, 1)]);
    }
}
