//! The commit that starts an attempt: the mailing is under way, its slot is taken, its composed inputs are frozen.

use super::doubt;
use super::gate::{self, Gate, Question, Why};
use super::outlook::Outlook;
use super::screen::{alias_problem, end, screened};
use crate::connect::effective::EffectiveSettings;
use crate::domain::failure::Failure;
use crate::domain::link::LinkKey;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Attempt, Content, Frozen, FrozenLinks, Mailing, Phase, RecipientKind, State, Trigger};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::{Reader, StoreError, Work, content, due_head, get, link_keys, status};
use crate::vault::Vault;
use std::time::Duration;

/// How many expired mailings are failed in one unit of work.
const EXPIRED_AT_ONCE: usize = 100;

/// An attempt that is on disk and may begin.
pub(super) struct Started {
    pub mailing: Mailing,
    pub content: Content,
    pub mailbox: Mailbox,
    /// The key that its links are made with, where it has any.
    pub link_key: Option<LinkKey>,
    /// How many recipients the provider takes of one message; the others go with the next.
    pub recipients: usize,
}

pub(super) enum Next {
    Start(Box<Started>),
    /// Nothing of this mailbox may go out before then.
    NotBefore(Timestamp),
    /// The inbox has to be synced first; until then there is nothing to do before this moment.
    WantsSync(Timestamp),
    /// Nothing waits.
    Nothing,
}

/// Takes the first mailing of a mailbox that may go out now.
pub(super) fn take_next(
    work: &mut Work,
    mailbox_id: u64,
    outlook: &Outlook,
    expire_after: Duration,
    public_url: Option<&str>,
) -> Result<Next, StoreError> {
    let now = work.now();
    let Some(mailbox) = get::<Mailbox>(work, mailbox_id)? else { return Ok(Next::Nothing) };
    let doubted_until = outlook.clock_seen(&work.moment());
    for _ in 0..EXPIRED_AT_ONCE {
        let Some((due, id)) = due_head(work, mailbox_id)? else { return Ok(Next::Nothing) };
        if due > now {
            return Ok(Next::NotBefore(due));
        }
        let Some(before) = work.mailing(id)? else {
            return Err(StoreError::Corrupt(format!("mailing {id} is due and does not exist")));
        };
        if doubt::settled_by_proof(work, &before)? {
            continue;
        }
        let expires = before.wanted_at().plus(expire_after);
        if now > expires {
            if let Some(until) = doubted_until {
                put_off(work, &before, until)?;
                continue;
            }
            expire(work, &before, expire_after)?;
            continue;
        }
        let Some(before) = screened(work, before, public_url)? else { continue };
        let status = status(work, mailbox_id)?;
        let question = Question {
            mailbox: &mailbox,
            status: &status,
            recipients: u64::try_from(recipients_at_once(&mailbox, &before)).unwrap_or(u64::MAX),
            moment: work.moment(),
            outlook,
        };
        // Whatever holds it, it does not wait past its time.
        let expired = expires.plus(Duration::from_millis(1));
        return match gate::ask(work, &question)? {
            Gate::Go => {
                let content = content(work, id)?;
                if let Some(why) = alias_problem(work, &before, &content)? {
                    end(work, &before, &why)?;
                    continue;
                }
                start(work, &before, mailbox, content, public_url).map(|started| Next::Start(Box::new(started)))
            }
            Gate::NotBefore { at, .. } => {
                delay(work, &before)?;
                Ok(Next::NotBefore(at.min(expired)))
            }
            Gate::Hold { why: Why::Sync, .. } => {
                delay(work, &before)?;
                // A sync that fails is tried again by its own schedule, and not sooner for our asking.
                let next_try = status.sync.probe_at.filter(|at| status.sync.failure.is_some() && *at > now);
                Ok(next_try.map_or(Next::WantsSync(expired), |at| Next::NotBefore(at.min(expired))))
            }
            Gate::Hold { .. } => {
                delay(work, &before)?;
                Ok(Next::NotBefore(expired))
            }
        };
    }
    Ok(Next::NotBefore(now))
}

fn start(
    work: &mut Work,
    before: &Mailing,
    mailbox: Mailbox,
    mut content: Content,
    public_url: Option<&str>,
) -> Result<Started, StoreError> {
    let now = work.now();
    let mut mailing = before.clone();
    if mailing.state == State::Scheduled {
        mailing.apply(Trigger::Queue, now);
        work.save_mailing(before, &mailing)?;
    }
    let queued = mailing.clone();
    if !mailing.has_left_in_part() {
        // As it is now, if that was changed since the mailing was made: another account does not send for the old one.
        mailing.mailbox_address.clone_from(&mailbox.settings.email);
    }
    mailing.apply(Trigger::Start, now);
    mailing.retry_at = None;
    let number = mailing.attempt.as_ref().map_or(mailing.retry_count + 1, |attempt| attempt.number + 1);
    mailing.attempt =
        Some(Attempt { number, started_at: now, phase: Phase::Connecting, refused: Vec::new(), proved: false });
    let recipients = recipients_at_once(&mailbox, &mailing);
    work.hold_slot(mailbox.id, mailing.id, u64::try_from(recipients).unwrap_or(u64::MAX))?;
    if content.frozen.is_none() {
        let owner = get::<User>(work, mailbox.user_id)?;
        content.frozen = Some(Frozen {
            date: now,
            from_name: owner.and_then(|owner| owner.name()),
            signature: mailbox.settings.email_signature.clone(),
            opt_out: mailbox.settings.opt_out_signature.clone(),
            links: match public_url.filter(|_| mailing.needs_links()) {
                Some(base) => Some(FrozenLinks {
                    base: base.to_owned(),
                    key: work.link_key()?.id,
                    mailto: is_read(&mailbox).then(|| mailbox.settings.email.clone()),
                }),
                None => None,
            },
            left_out: failed_copies(&mailing),
        });
        work.put_content(mailing.id, &content)?;
    } else if !mailing.has_left_in_part()
        && let Some(frozen) = &mut content.frozen
    {
        // Nobody has the message yet: a copy that may be sent by now stands in its header again.
        let left_out = failed_copies(&mailing);
        if left_out != frozen.left_out {
            frozen.left_out = left_out;
            work.put_content(mailing.id, &content)?;
        }
    }
    let link_key = link_key(work, work.vault(), &content)?;
    work.save_mailing(&queued, &mailing)?;
    Ok(Started { mailing, content, mailbox, link_key, recipients })
}

/// How many of those who wait one message is for.
fn recipients_at_once(mailbox: &Mailbox, mailing: &Mailing) -> usize {
    let preset = EffectiveSettings::of(mailbox).preset;
    let taken = preset.and_then(|preset| preset.limits.recipients_per_message);
    let waiting = mailing.waiting().count();
    taken.map_or(waiting, |taken| waiting.min(usize::try_from(taken).unwrap_or(usize::MAX)))
}

/// Whether somebody reads what is mailed to the mailbox.
fn is_read(mailbox: &Mailbox) -> bool {
    mailbox.settings.sync_disabled != Some(true) && EffectiveSettings::of(mailbox).sync.is_ok()
}

/// The key that the links of a mailing are made with, once that is frozen.
pub(super) fn link_key(reader: &impl Reader, vault: &Vault, content: &Content) -> Result<Option<LinkKey>, StoreError> {
    match content.frozen.as_ref().and_then(|frozen| frozen.links.as_ref()) {
        Some(links) => Ok(link_keys(reader, vault)?.with_id(links.key).cloned()),
        None => Ok(None),
    }
}

/// Copies that no attempt was made for: the header does not name them.
fn failed_copies(mailing: &Mailing) -> Vec<String> {
    let copies = mailing.recipients.iter().filter(|recipient| recipient.kind == RecipientKind::Cc);
    copies.filter(|recipient| recipient.outcome.is_some()).map(|recipient| recipient.address.clone()).collect()
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

/// It looks too old by a clock that was set a moment ago: others go first, until that clock has stood for a while.
fn put_off(work: &mut Work, before: &Mailing, until: Timestamp) -> Result<(), StoreError> {
    let mut after = before.clone();
    after.apply(Trigger::Delay, work.now());
    after.due = Some(until);
    work.save_mailing(before, &after)
}

/// It waited too long.
fn expire(work: &mut Work, before: &Mailing, expire_after: Duration) -> Result<(), StoreError> {
    let hours = expire_after.as_secs() / 3600;
    let within = if hours.is_multiple_of(24) { format!("{} days", hours / 24) } else { format!("{hours} hours") };
    end(work, before, &format!("Expired: it could not be sent within {within} of its time."))
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
    if before.doubted.as_ref().is_some_and(|doubt| doubt.proved) {
        // It has been found out since this attempt began that there is nothing to send again.
        return Ok(false);
    }
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

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
