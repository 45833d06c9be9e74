//! What an attempt says of its mailbox: that it sends, or that it has to rest until its next probe.

use crate::domain::backoff::Backoff;
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::{Mailbox, Status};
use crate::domain::time::Timestamp;
use crate::store::{StoreError, Work, get, status};
use serde_json::json;

/// What makes an attempt speak for the mailbox as it is now.
pub(super) struct Judged {
    pub is_current: bool,
    pub started_at: Timestamp,
}

pub(super) fn succeeded(work: &mut Work, id: u64, judged: &Judged) -> Result<(), StoreError> {
    let Some(mailbox) = get::<Mailbox>(work, id)? else { return Ok(()) };
    let mut status = status(work, id)?;
    let had_failed = status.send.failure.is_some();
    if had_failed && !judged.is_current {
        // A mail was accepted all the same.
        status.send.success_at = Some(work.now());
        return work.put_status(id, &status);
    }
    status.send.succeeded(work.now());
    if had_failed { recovered(work, &mailbox, &status) } else { work.put_status(id, &status) }
}

/// No mailing was accepted, but what stood in the way up to MAIL FROM is gone. What came later, a quota, may stand yet.
pub(super) fn took_the_sender(work: &mut Work, id: u64, judged: &Judged) -> Result<(), StoreError> {
    let Some(mailbox) = get::<Mailbox>(work, id)? else { return Ok(()) };
    let mut status = status(work, id)?;
    if !judged.is_current || status.send.failure.as_ref().is_none_or(|failure| failure.stage > Stage::MailFrom) {
        return Ok(());
    }
    status.send.pardoned(work.now());
    recovered(work, &mailbox, &status)
}

/// Stops the mailbox until its next probe. Attempts that were under way together are one try: only the first of their
/// failures counts.
pub(super) fn pause(
    work: &mut Work,
    id: u64,
    failure: &Failure,
    backoff: Backoff,
    judged: &Judged,
) -> Result<(), StoreError> {
    let Some(mailbox) = get::<Mailbox>(work, id)? else { return Ok(()) };
    let now = work.now();
    let mut status = status(work, id)?;
    // What stands in the future was written by a clock that has been set back since.
    let since = |at: Option<Timestamp>| at.is_some_and(|at| at > judged.started_at && at <= now);
    let counted = status.send.failure.is_some() && since(status.send.errored_at);
    if counted || since(status.send.pardoned_at) || !judged.is_current {
        return Ok(());
    }
    let before = status.send.state();
    let roll = work.runtime().random.below(401);
    let asked = std::time::Duration::from_secs(failure.retry_after.unwrap_or(0));
    let wait = backoff.wait(status.send.failures + 1, roll).max(asked);
    status.send.failed(failure.clone(), now, now.plus(wait));
    work.put_status(id, &status)?;
    if status.send.state() != before {
        work.touch_mailbox(&mailbox)?;
        let event = Event::new(EventKind::MailboxSendErrored, now).mailbox(id).user(mailbox.user_id);
        work.event(event.payload(json!({"stage": failure.stage.name(), "text": failure.explain()})))?;
    }
    Ok(())
}

fn recovered(work: &mut Work, mailbox: &Mailbox, status: &Status) -> Result<(), StoreError> {
    work.put_status(mailbox.id, status)?;
    work.touch_mailbox(mailbox)?;
    let event = Event::new(EventKind::MailboxSendRecovered, work.now());
    work.event(event.mailbox(mailbox.id).user(mailbox.user_id)).map(drop)
}

/// The server is back: a mailbox that was paused for it goes on at once.
pub fn pardon(work: &mut Work, id: u64) -> Result<(), StoreError> {
    let Some(mailbox) = get::<Mailbox>(work, id)? else { return Ok(()) };
    let mut health = status(work, id)?;
    let waits = health
        .send
        .failure
        .as_ref()
        .is_some_and(|failure| failure.scope == Scope::Host && failure.kind == FailureKind::Temporary);
    if !waits {
        return Ok(());
    }
    health.send.pardoned(work.now());
    recovered(work, &mailbox, &health)
}
