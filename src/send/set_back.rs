//! A wall clock that was set back: what was to happen at times that it showed before would wait until it shows them again.
//!
//! Known by having been written in what is now the future. A time that a client named stays what it is.

use super::Parts;
use crate::domain::event::EventKind;
use crate::domain::mailing::Mailing;
use crate::domain::time::Timestamp;
use crate::store::{StoreError, Work, due_heads, errands_behind, mailboxes_with_status, status, waiting_behind};
use std::time::Duration;

/// How many mailings are put right in one unit of work.
const AT_ONCE: usize = 200;

/// Brings forward what waits in every mailbox and what is to be asked of sent folders, as the clock was set back `by` so
/// much. Whoever keeps times of its own reads them anew afterwards.
pub(super) async fn put_right(parts: &Parts, by: Duration) -> Result<(), StoreError> {
    for mailbox in mailboxes_with_status(&parts.store.read()?)? {
        parts.store.write_patiently(move |work| probe(work, mailbox, by)).await?;
    }
    let mut place = (parts.runtime.clock.now(), u64::MAX);
    loop {
        let later = errands_behind(&parts.store.read()?, place, AT_ONCE)?;
        let Some(last) = later.last() else { break };
        place = *last;
        parts.store.write_patiently(move |work| later.iter().try_for_each(|(_, id)| errand(work, *id, by))).await?;
    }
    let mailboxes = due_heads(&parts.store.read()?)?;
    for (mailbox, _) in mailboxes {
        let mut place = (parts.runtime.clock.now(), u64::MAX);
        loop {
            let waiting = waiting_behind(&parts.store.read()?, mailbox, place, AT_ONCE)?;
            let Some(last) = waiting.last() else { break };
            place = *last;
            parts
                .store
                .write_patiently(move |work| waiting.iter().try_for_each(|(_, id)| mailing(work, *id, by)))
                .await?;
        }
    }
    Ok(())
}

fn probe(work: &mut Work, mailbox: u64, by: Duration) -> Result<(), StoreError> {
    let now = work.now();
    let mut health = status(work, mailbox)?;
    let is_ahead = |at: Option<Timestamp>| at.is_some_and(|at| at > now);
    if !is_ahead(health.send.errored_at) && !is_ahead(health.send.pardoned_at) {
        return Ok(());
    }
    if is_ahead(health.send.errored_at) {
        health.send.probe_at = health.send.probe_at.map(|at| earlier(at, by, now));
    }
    for at in [&mut health.send.errored_at, &mut health.send.pardoned_at, &mut health.send.finished_at] {
        *at = at.map(|at| at.min(now));
    }
    work.put_status(mailbox, &health)
}

fn errand(work: &mut Work, id: u64, by: Duration) -> Result<(), StoreError> {
    let now = work.now();
    let Some(before) = work.mailing(id)?.filter(|mailing| mailing.updated_at > now) else { return Ok(()) };
    let mut after = before.clone();
    if let Some(doubt) = &mut after.doubt {
        doubt.next = earlier(doubt.next, by, now);
    }
    if let Some(copy) = &mut after.sent_copy {
        copy.next = earlier(copy.next, by, now);
    }
    work.save_mailing(&before, &after)?;
    work.mailing_event(EventKind::MailingUpdated, &after)
}

fn mailing(work: &mut Work, id: u64, by: Duration) -> Result<(), StoreError> {
    let now = work.now();
    let Some(before) = work.mailing(id)? else { return Ok(()) };
    let Some(after) = brought_forward(&before, by, now) else { return Ok(()) };
    work.save_mailing(&before, &after)?;
    work.mailing_event(EventKind::MailingUpdated, &after)
}

fn brought_forward(before: &Mailing, by: Duration, now: Timestamp) -> Option<Mailing> {
    let due = before.due.filter(|due| before.updated_at > now && *due > now && before.scheduled_at != Some(*due))?;
    let due = earlier(due, by, now);
    Some(Mailing { due: Some(due), retry_at: before.retry_at.map(|_| due), updated_at: now, ..before.clone() })
}

/// So much earlier, but not in the past; what is not ahead stays.
fn earlier(at: Timestamp, by: Duration, now: Timestamp) -> Timestamp {
    if at > now { at.minus(by).max(now) } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{Failure, Stage};
    use crate::send::testing::{mailing as make, store};
    use crate::store::get;
    use serde_json::json;

    const YEAR: Duration = Duration::from_hours(365 * 24);

    #[tokio::test]
    async fn what_was_written_in_the_future_is_brought_forward_and_a_clients_time_stays() {
        let (store, clock) = store().await;
        let now = store.moment().now;
        let minute = Duration::from_mins(1);
        clock.set(now.plus(YEAR));
        let later = now.plus(YEAR + minute);
        let created = make(&store, json!({"message_id": "1@demo.test"})).await;
        let retried =
            make(&store, json!({"message_id": "2@demo.test", "state": "scheduled", "due": later, "retry_at": later}))
                .await;
        let named = make(
            &store,
            json!({"message_id": "3@demo.test", "state": "scheduled", "due": later, "scheduled_at": later}),
        );
        let named = named.await;
        clock.set(now);
        let failing = store.write(move |work| {
            let mut health = status(work, 1)?;
            health.send.failed(Failure::temporary(Stage::Tcp, "Nobody answered."), later, later.plus(minute));
            work.put_status(1, &health)
        });
        failing.await.unwrap();
        let put = store.write(move |work| {
            probe(work, 1, YEAR)?;
            [created, retried, named].into_iter().try_for_each(|id| mailing(work, id, YEAR))
        });
        put.await.unwrap();
        let snapshot = store.read().unwrap();
        let due = |id: u64| get::<Mailing>(&snapshot, id).unwrap().unwrap().due.unwrap();
        assert_eq!((due(created), due(retried), due(named)), (now, now.plus(minute), later));
        assert_eq!(status(&snapshot, 1).unwrap().send.probe_at, Some(now.plus(minute * 2)));
    }
}
