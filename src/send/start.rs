//! The commit that starts an attempt: the mailing is under way, its slot is taken, its composed inputs are frozen.

use super::gate::{self, Gate};
use crate::domain::failure::Failure;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Attempt, Content, Frozen, Mailing, Phase, State, Trigger};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::{StoreError, Work, content, due_head, get, status};
use std::time::Duration;

/// Slots older than the longest window count nowhere.
const SLOTS_KEPT: Duration = Duration::from_hours(8 * 24);

/// How many expired mailings are failed in one unit of work.
const EXPIRED_AT_ONCE: usize = 100;

/// An attempt that is on disk and may begin.
pub(super) struct Started {
    pub mailing: Mailing,
    pub content: Content,
    pub mailbox: Mailbox,
}

pub(super) enum Next {
    Start(Box<Started>),
    /// Nothing of this mailbox may go out before then.
    NotBefore(Timestamp),
    /// Nothing waits, or nothing can go out until something changes.
    Nothing,
}

/// Takes the first mailing of a mailbox that may go out now.
pub(super) fn take_next(work: &mut Work, mailbox_id: u64, expire_after: Duration) -> Result<Next, StoreError> {
    let now = work.now();
    let Some(mailbox) = get::<Mailbox>(work, mailbox_id)? else { return Ok(Next::Nothing) };
    for _ in 0..EXPIRED_AT_ONCE {
        let Some((due, id)) = due_head(work, mailbox_id)? else { return Ok(Next::Nothing) };
        if due > now {
            return Ok(Next::NotBefore(due));
        }
        let Some(before) = work.mailing(id)? else {
            return Err(StoreError::Corrupt(format!("mailing {id} is due and does not exist")));
        };
        if now.millis_since(before.wanted_at().plus(expire_after)) > 0 {
            expire(work, &before, expire_after)?;
            continue;
        }
        match gate::ask(work, &mailbox, &status(work, mailbox_id)?, now)? {
            Gate::Go => return start(work, &before, mailbox).map(|started| Next::Start(Box::new(started))),
            Gate::NotBefore { at, .. } => {
                delay(work, &before)?;
                return Ok(Next::NotBefore(at));
            }
            Gate::Hold { .. } => {
                delay(work, &before)?;
                return Ok(Next::Nothing);
            }
        }
    }
    Ok(Next::NotBefore(now))
}

fn start(work: &mut Work, before: &Mailing, mailbox: Mailbox) -> Result<Started, StoreError> {
    let now = work.now();
    let mut mailing = before.clone();
    if mailing.state == State::Scheduled {
        mailing.apply(Trigger::Queue, now);
        work.save_mailing(before, &mailing)?;
    }
    let queued = mailing.clone();
    mailing.apply(Trigger::Start, now);
    mailing.retry_at = None;
    let number = mailing.attempt.as_ref().map_or(mailing.retry_count + 1, |attempt| attempt.number + 1);
    mailing.attempt =
        Some(Attempt { number, started_at: now, phase: Phase::Connecting, slot: now, refused: Vec::new() });
    work.take_slot(mailbox.id, now, mailing.id)?;
    work.prune_slots(mailbox.id, now.minus(SLOTS_KEPT), 10)?;
    let mut content = content(work, mailing.id)?;
    if content.frozen.is_none() {
        let owner = get::<User>(work, mailbox.user_id)?;
        content.frozen = Some(Frozen {
            date: now,
            from_name: owner.and_then(|owner| owner.name()),
            signature: mailbox.settings.email_signature.clone(),
        });
        work.put_content(mailing.id, &content)?;
    }
    work.save_mailing(&queued, &mailing)?;
    Ok(Started { mailing, content, mailbox })
}

/// What waits at the head for a reason shows as `scheduled`; what waits behind it stays as it is.
fn delay(work: &mut Work, before: &Mailing) -> Result<(), StoreError> {
    if before.state == State::Queued {
        let mut after = before.clone();
        after.apply(Trigger::Delay, work.now());
        work.save_mailing(before, &after)?;
    }
    Ok(())
}

fn expire(work: &mut Work, before: &Mailing, expire_after: Duration) -> Result<(), StoreError> {
    let mut after = before.clone();
    let days = expire_after.as_secs() / 86_400;
    after.error_reason = Some(format!("Expired: it could not be sent within {days} days of its time."));
    after.apply(Trigger::Fail, work.now());
    work.save_mailing(before, &after)
}

/// The commit before any byte that could make the server accept the message: from here on a crash is doubt. Whom the
/// server has refused already is kept with it.
pub(super) fn enter_data_phase(
    work: &mut Work,
    mailing: u64,
    attempt: u32,
    refused: &[(String, Failure)],
) -> Result<bool, StoreError> {
    let Some(before) = work.mailing(mailing)? else { return Ok(false) };
    let mut after = before.clone();
    match &mut after.attempt {
        Some(under_way) if under_way.number == attempt => {
            under_way.phase = Phase::Data;
            under_way.refused = refused.to_vec();
        }
        _ => return Ok(false),
    }
    work.save_mailing(&before, &after)?;
    Ok(true)
}
