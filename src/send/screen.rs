//! Whom a mailing may not go to and what it may not be sent from: looked up in the unit of work that would start its
//! attempt, so an opt-out acts on the very next pick of the queue.

use super::settle::finish_recipients;
use crate::domain::exclusions::excluding;
use crate::domain::mailing::{
    Content, Mailing, NO_PUBLIC_URL, Outcome, Recipient, RecipientKind, RecipientState, State, Trigger,
};
use crate::store::{StoreError, Work, alias_by_email, content, org_settings, suppression_of};

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

/// Why a mailing cannot be sent from the alias that it was given: since then it may have gone, even to another mailbox.
pub(super) fn alias_problem(work: &Work, mailing: &Mailing, content: &Content) -> Result<Option<String>, StoreError> {
    let Some(email) = &content.from_alias else { return Ok(None) };
    let why = match alias_by_email(work, email)?.filter(|alias| alias.mailbox_id == mailing.mailbox_id) {
        Some(alias) if alias.can_send => return Ok(None),
        Some(_) => "this alias of the mailbox is not for sending (canSend).",
        None => "the mailbox has no such alias any more.",
    };
    // The reason has 255 characters, and an address may have as many.
    let shown: String = email.chars().take(160).collect();
    Ok(Some(format!("It cannot be sent from {shown}: {why}")))
}

/// Ends a mailing that no attempt will be made for. Who has it keeps it, and the others are listed as failed.
pub(super) fn end(work: &mut Work, before: &Mailing, why: &str) -> Result<(), StoreError> {
    let mut after = before.clone();
    finish_recipients(&mut after, None, RecipientState::Failed, work.now(), why);
    if after.recipients.iter().any(Recipient::is_accepted) {
        return deliver(work, before, after);
    }
    fail(work, before, after, why)
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
fn deliver(work: &mut Work, before: &Mailing, mut after: Mailing) -> Result<(), StoreError> {
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
