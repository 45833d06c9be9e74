//! Whom a mailing may not go to: looked up in the unit of work that would start its attempt, so an opt-out acts on the
//! very next pick of the queue.

use super::settle::finish_recipients;
use crate::domain::exclusions::excluding;
use crate::domain::mailing::{
    Mailing, NO_PUBLIC_URL, Outcome, Recipient, RecipientKind, RecipientState, State, Trigger,
};
use crate::store::{StoreError, Work, content, org_settings, suppression_of};

/// Fails a mailing to a suppressed `to` recipient and one whose links cannot be made, before any connection; leaves out
/// suppressed copies. Gives the mailing as it may start, or `None` where nothing is left to do.
pub(super) fn screened(
    work: &mut Work,
    before: Mailing,
    public_url: Option<&str>,
) -> Result<Option<Mailing>, StoreError> {
    if public_url.is_none() && before.needs_links() {
        let frozen = content(work, before.id)?.frozen;
        if frozen.is_none_or(|frozen| frozen.links.is_none()) {
            fail(work, &before, before.clone(), NO_PUBLIC_URL)?;
            return Ok(None);
        }
    }
    let now = work.now();
    let exclusions = org_settings(work)?.send_exclusions.unwrap_or_default();
    let mut after = before.clone();
    let mut refused = None;
    for recipient in after.recipients.iter_mut().filter(|recipient| recipient.outcome.is_none()) {
        let Some(why) = reason(work, recipient, &exclusions)? else { continue };
        if recipient.kind == RecipientKind::To {
            refused = refused.or(Some(why.clone()));
        }
        recipient.outcome = Some(Outcome::new(RecipientState::Failed, now, why));
    }
    if after == before {
        return Ok(Some(before));
    }
    let sent = after.recipients.iter().any(Recipient::is_accepted);
    let nobody_waits = after.waiting().next().is_none();
    match refused {
        // Others have it already: what is left of it goes on without this one.
        _ if sent && nobody_waits => deliver(work, &before, after).map(|()| None),
        _ if sent => keep(work, &before, after).map(Some),
        Some(why) => fail(work, &before, after, &why).map(|()| None),
        None if nobody_waits => fail(work, &before, after, "Every recipient is suppressed.").map(|()| None),
        None => keep(work, &before, after).map(Some),
    }
}

fn reason(work: &Work, recipient: &Recipient, exclusions: &str) -> Result<Option<String>, StoreError> {
    if let Some(suppression) = suppression_of(work, &recipient.address)? {
        return Ok(Some(suppression.sentence()));
    }
    Ok(excluding(exclusions, &recipient.address).map(|pattern| {
        let pattern: String = pattern.chars().take(80).collect();
        format!("{} is not mailed: it matches '{pattern}' of the organisation's sendExclusions.", recipient.address)
    }))
}

fn keep(work: &mut Work, before: &Mailing, mut after: Mailing) -> Result<Mailing, StoreError> {
    after.updated_at = work.now();
    work.save_mailing(before, &after)?;
    Ok(after)
}

fn fail(work: &mut Work, before: &Mailing, mut after: Mailing, why: &str) -> Result<(), StoreError> {
    finish_recipients(&mut after, None, RecipientState::Failed, work.now(), why);
    after.error_reason = Some(why.chars().take(255).collect());
    after.retry_at = None;
    after.apply(Trigger::Fail, work.now());
    work.save_mailing(before, &after)
}

/// Ends a mailing that some recipients have, and nobody else will get.
pub(super) fn deliver(work: &mut Work, before: &Mailing, mut after: Mailing) -> Result<(), StoreError> {
    let now = work.now();
    if after.state == State::Scheduled {
        after.apply(Trigger::Queue, now);
    }
    after.apply(Trigger::Start, now);
    after.apply(Trigger::Deliver, now);
    after.retry_at = None;
    after.attempt = None;
    work.save_mailing(before, &after)
}
