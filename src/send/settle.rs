//! What an attempt came to, and what follows: for each recipient, for the mailing, for the mailbox.

use super::blame::{
    answered, concerns_mailbox, deferred, is_final, is_left_over, is_of_the_alias, is_of_the_message,
    knows_the_message, takes_no_more,
};
use super::health::{Judged, pause, succeeded, took_the_sender};
use super::{doubt, sent_copy};
use crate::domain::backoff::Backoff;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{AttemptRecord, Cause, Doubt, Mailing, Outcome, Recipient, RecipientState, Trigger};
use crate::domain::suppression::{Reason, Suppression, is_bad_address};
use crate::domain::time::Timestamp;
use crate::runtime::Random;
use crate::store::{StoreError, Work, get};

/// From this many stops on during one mailing it may be the reason for them.
const STOPS_BY_CHANCE: u32 = 3;

/// A fault of our own, the disk's or the memory's, costs a mailing so long.
const OWN_FAULT: std::time::Duration = std::time::Duration::from_secs(30);

/// What one attempt brought home.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub mailing: u64,
    pub attempt: u32,
    /// Of the mailbox's settings that it was made with.
    pub generation: u64,
    /// The refused recipients: their address and why.
    pub refused: Vec<(String, Failure)>,
    pub end: End,
    /// The size of the composed message in octets.
    pub size: Option<u64>,
    /// The server was known to be in trouble when the attempt met it: that costs the mailing and the mailbox nothing.
    pub spared: bool,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    /// The server accepted the message for everyone who was not refused.
    Accepted { line: String },
    /// Every recipient was refused; nothing was sent.
    NobodyLeft,
    /// The session or the message failed.
    Failed(Failure),
}

/// Applies a report in one unit of work.
pub(super) fn settle(work: &mut Work, report: &Report) -> Result<(), StoreError> {
    let now = work.now();
    let Some(before) = work.mailing(report.mailing)? else { return Ok(()) };
    let Some(attempt) = before.attempt.clone().filter(|attempt| attempt.number == report.attempt) else {
        return Ok(());
    };
    let mut mailing = before.clone();
    mailing.attempt = None;
    mailing.size = report.size.or(mailing.size);
    let judged = Judged {
        // What older settings met says nothing about those that are there now.
        is_current: get::<Mailbox>(work, mailing.mailbox_id)?
            .is_some_and(|mailbox| mailbox.generation == report.generation),
        started_at: attempt.started_at,
    };

    if mailing.doubted.as_ref().is_some_and(|doubt| doubt.proved) && matches!(&report.end, End::NobodyLeft) {
        // It turned out meanwhile that it had left the time before: what is said of this time concerns nobody.
        work.free_slot(mailing.mailbox_id, mailing.id)?;
        requeue(&mut mailing, now);
        return save(work, &before, mailing);
    }
    let refused = take_refusals(work, &mut mailing, &report.refused)?;
    // The slot counts from the latest moment the mail may have left; it is free only if it certainly did not.
    let may_have_left =
        matches!(&report.end, End::Accepted { .. } | End::Failed(Failure { kind: FailureKind::Doubt, .. }));
    let slot = if may_have_left {
        spend_slot(work, &mailing)?
    } else {
        work.free_slot(mailing.mailbox_id, mailing.id)?;
        None
    };
    match &report.end {
        End::Accepted { line } => {
            mailing.attempts.push(AttemptRecord::accepted(now, line));
            accept(&mut mailing, &report.refused, now, line);
            sent_copy::want(work, &mut mailing)?;
            succeeded(work, mailing.mailbox_id, &judged)?;
        }
        End::NobodyLeft => match refused.troubled {
            Some(failure) => after_failure(work, &mut mailing, failure, &judged)?,
            None if answered(&report.refused) => took_the_sender(work, mailing.mailbox_id, &judged)?,
            None => {}
        },
        End::Failed(failure) => {
            mailing.attempts.push(AttemptRecord::failed(now, failure));
            if failure.kind == FailureKind::Doubt {
                let doubt = Doubt::new(Cause::Silence, &work.moment(), report.refused.clone());
                doubt::begin(work, &mut mailing, Doubt { slot, proved: attempt.proved, ..doubt })?;
            } else if report.spared || before.doubted.as_ref().is_some_and(|doubt| doubt.proved) {
                requeue(&mut mailing, now);
            } else {
                after_failure(work, &mut mailing, failure, &judged)?;
            }
        }
    }
    let is_settled = match &report.end {
        End::Accepted { .. } => false,
        End::NobodyLeft => refused.troubled.is_some(),
        End::Failed(_) => true,
    };
    if let (End::Accepted { .. }, Some(failure)) = (&report.end, refused.troubled) {
        pause(work, mailing.mailbox_id, failure, Backoff::MAILBOX, &judged)?;
    }
    if !is_settled {
        let retries = max_retries(work, before.mailbox_id)?;
        conclude(&mut mailing, refused.deferred, now, &*work.runtime().random.clone(), retries);
    }
    save(work, &before, mailing)
}

/// The mail may have left: its slot counts from now. The limits of a mailbox that is gone went with it.
fn spend_slot(work: &mut Work, mailing: &Mailing) -> Result<Option<u64>, StoreError> {
    if get::<Mailbox>(work, mailing.mailbox_id)?.is_none() {
        return Ok(None);
    }
    work.spend_slot(mailing.mailbox_id, mailing.id).map(Some)
}

/// Writes the mailing with no more attempts than are kept.
pub(super) fn save(work: &mut Work, before: &Mailing, mut mailing: Mailing) -> Result<(), StoreError> {
    let surplus = mailing.attempts.len().saturating_sub(AttemptRecord::KEPT);
    mailing.attempts.drain(..surplus);
    if mailing.state.waits() && get::<Mailbox>(work, mailing.mailbox_id)?.is_none() {
        // What was queued went with the mailbox; this one was under way then.
        let now = work.now();
        mailing.attempts.push(AttemptRecord::note(now, Stage::Settings, "Cancelled: its mailbox was deleted."));
        mailing.apply(Trigger::Cancel, now);
        mailing.retry_at = None;
    }
    work.save_mailing(before, &mailing)
}

/// What the refusals of single recipients leave to be done.
struct Refused<'a> {
    /// Somebody may be accepted at another time.
    deferred: Option<&'a Failure>,
    /// It was the mailbox that was refused.
    troubled: Option<&'a Failure>,
}

fn take_refusals<'a>(
    work: &mut Work,
    mailing: &mut Mailing,
    refused: &'a [(String, Failure)],
) -> Result<Refused<'a>, StoreError> {
    let now = work.now();
    let mut found = Refused { deferred: deferred(refused), troubled: None };
    for (address, failure) in refused {
        if !is_left_over(failure) {
            mailing.attempts.push(AttemptRecord::failed(now, failure));
        }
        if is_final(failure) {
            finish_recipients(mailing, Some(address), RecipientState::Failed, now, &failure.explain());
            refused_for_good(mailing, address);
            if is_bad_address(failure.enhanced, failure.server.as_deref().unwrap_or_default()) {
                let bounced = Suppression::new(address, Reason::HardBounce, "server", now);
                work.suppress(bounced.mailing(mailing.id))?;
            }
        }
        // A quota, a credential or a sender that is refused at RCPT concerns every further mailing too.
        if concerns_mailbox(failure) {
            found.troubled = Some(failure);
        }
    }
    Ok(found)
}

/// Everybody who was handed over and not refused has been accepted.
pub(super) fn accept(mailing: &mut Mailing, refused: &[(String, Failure)], now: Timestamp, line: &str) {
    let still_deferred: Vec<String> =
        refused.iter().filter(|(_, failure)| !is_final(failure)).map(|(address, _)| address.clone()).collect();
    finish_others(mailing, &still_deferred, now, line);
    mailing.delivered_at = mailing.delivered_at.or(Some(now));
}

/// After a crash: an attempt that had not reached its data phase is simply taken back; one that had is doubt.
pub(super) fn recover(work: &mut Work, id: u64) -> Result<(), StoreError> {
    use crate::domain::mailing::{Phase, State};
    let now = work.now();
    let Some(before) = work.mailing(id)? else { return Ok(()) };
    // One in doubt is under way no longer: the sent folder is being asked about it.
    if before.state != State::Delivering || before.doubt.is_some() {
        return Ok(());
    }
    let mut mailing = before.clone();
    let attempt = mailing.attempt.take();
    match &attempt {
        Some(attempt) if attempt.phase == Phase::Data => {
            // The mail may have left at any moment until now.
            let slot = spend_slot(work, &mailing)?;
            let refused = take_refusals(work, &mut mailing, &attempt.refused)?;
            if let Some(failure) = refused.troubled {
                let judged = Judged { is_current: true, started_at: attempt.started_at };
                pause(work, mailing.mailbox_id, failure, Backoff::MAILBOX, &judged)?;
            }
            let failure = Failure::new(
                FailureKind::Doubt,
                Scope::Message,
                crate::domain::failure::Stage::FinalDot,
                "Postroom stopped while the message was being handed over; the server may have accepted it.",
            );
            mailing.attempts.push(AttemptRecord::failed(now, &failure));
            let doubt = Doubt::new(Cause::Stop, &work.moment(), attempt.refused.clone());
            doubt::begin(work, &mut mailing, Doubt { slot, proved: attempt.proved, ..doubt })?;
        }
        _ => {
            work.free_slot(mailing.mailbox_id, mailing.id)?;
            after_stop(work, &mut mailing);
        }
    }
    save(work, &before, mailing)
}

/// What is left to do once the server has spoken about every recipient.
pub(super) fn conclude(
    mailing: &mut Mailing,
    deferred: Option<&Failure>,
    now: Timestamp,
    random: &dyn Random,
    retries: u32,
) {
    if mailing.waiting().next().is_some()
        && let Some(failure) = deferred
    {
        if failure.scope == Scope::Mailbox {
            // The mailbox's trouble is nobody's retry: they wait for the probe.
            requeue(mailing, now);
            return;
        }
        if takes_no_more(failure) && mailing.recipients.iter().any(|one| settled_at(one, now)) {
            // It heard as many as it hears at a time: the others are for the next message.
            again(mailing, now, now);
            return;
        }
        if retry(mailing, failure, now, random, retries) {
            return;
        }
        finish_recipients(mailing, None, RecipientState::Failed, now, &failure.explain());
    }
    if mailing.recipients.iter().any(Recipient::is_accepted) {
        mailing.apply(Trigger::Deliver, now);
        mailing.error_reason = None;
    } else {
        let reason = mailing
            .recipients
            .iter()
            .find_map(|recipient| recipient.outcome.as_ref()?.answer.clone())
            .unwrap_or_else(|| "No recipient was accepted.".into());
        fail(mailing, now, &reason);
    }
}

fn settled_at(recipient: &Recipient, at: Timestamp) -> bool {
    recipient.outcome.as_ref().is_some_and(|outcome| outcome.at == at)
}

fn after_failure(work: &mut Work, mailing: &mut Mailing, failure: &Failure, judged: &Judged) -> Result<(), StoreError> {
    let now = work.now();
    if failure.is_our_own() {
        again(mailing, now, now.plus(OWN_FAULT));
        return Ok(());
    }
    let random = work.runtime().random.clone();
    // What the mailbox's other mailings prove is no more than a guess of this one: it has its retries.
    let (kind, scope) = if is_of_the_alias(work, mailing, failure)? {
        (failure.kind, Scope::Message)
    } else if is_of_the_message(work, mailing, failure)? {
        (FailureKind::Temporary, Scope::Message)
    } else {
        (failure.kind, failure.scope)
    };
    match (kind, scope) {
        (FailureKind::Permanent, Scope::Message | Scope::Recipient) | (FailureKind::Config, Scope::Message) => {
            finish_recipients(mailing, None, RecipientState::Failed, now, &failure.explain());
            conclude(mailing, None, now, &*random, 0);
        }
        // The mailbox's trouble is nobody's retry: the mailing waits for the probe.
        (FailureKind::Auth | FailureKind::Quota | FailureKind::Config | FailureKind::Permanent, _) => {
            pause(work, mailing.mailbox_id, failure, Backoff::MAILBOX, judged)?;
            to_the_back(mailing, failure, now);
        }
        (FailureKind::Temporary, Scope::Mailbox) => {
            // Log-ins that come too often are what providers are annoyed by.
            let backoff = if failure.stage == Stage::Authentication { Backoff::MAILING } else { Backoff::HOST };
            pause(work, mailing.mailbox_id, failure, backoff, judged)?;
            to_the_back(mailing, failure, now);
        }
        (FailureKind::Temporary | FailureKind::Doubt, scope) => {
            if scope == Scope::Host {
                pause(work, mailing.mailbox_id, failure, Backoff::HOST, judged)?;
            }
            let retries = max_retries(work, mailing.mailbox_id)?;
            if !retry(mailing, failure, now, &*random, retries) {
                finish_recipients(mailing, None, RecipientState::Failed, now, &failure.explain());
                conclude(mailing, None, now, &*random, 0);
            }
        }
    }
    Ok(())
}

/// The mailbox's trouble is nobody's retry. Where it may be this mailing's after all, another one is the next to be tried:
/// one that a server does not like never holds up the rest.
fn to_the_back(mailing: &mut Mailing, failure: &Failure, now: Timestamp) {
    let due = if knows_the_message(failure) { now } else { mailing.wanted_at() };
    again(mailing, now, due);
}

/// Schedules another try; `false` if none is left.
pub(super) fn retry(
    mailing: &mut Mailing,
    failure: &Failure,
    now: Timestamp,
    random: &dyn Random,
    retries: u32,
) -> bool {
    if mailing.retry_count >= retries {
        return false;
    }
    mailing.retry_count += 1;
    let asked = std::time::Duration::from_secs(failure.retry_after.unwrap_or(0));
    let wait = Backoff::MAILING.wait(mailing.retry_count, random.below(401)).max(asked);
    mailing.retry_interval = Some(wait.as_secs());
    again(mailing, now, now.plus(wait));
    mailing.retry_at = mailing.due;
    true
}

/// Back into the queue, not before a moment.
pub(super) fn again(mailing: &mut Mailing, now: Timestamp, due: Timestamp) {
    mailing.apply(Trigger::Delay, now);
    mailing.due = Some(due);
}

/// Back into the queue, at its old place.
pub(super) fn requeue(mailing: &mut Mailing, now: Timestamp) {
    again(mailing, now, mailing.wanted_at());
}

/// Back into the queue after a stop of ours. If it was this mailing that brought Postroom down, it is not the first to be
/// taken up again and again.
pub(super) fn after_stop(work: &Work, mailing: &mut Mailing) {
    let now = work.now();
    mailing.stops = mailing.stops.saturating_add(1);
    if mailing.stops < STOPS_BY_CHANCE {
        requeue(mailing, now);
    } else {
        let wait = Backoff::HOST.wait(mailing.stops - STOPS_BY_CHANCE + 1, work.runtime().random.below(401));
        again(mailing, now, now.plus(wait));
    }
}

pub(super) fn fail(mailing: &mut Mailing, now: Timestamp, reason: &str) {
    mailing.apply(Trigger::Fail, now);
    mailing.error_reason = Some(reason.chars().take(255).collect());
}

pub(super) fn finish_recipients(
    mailing: &mut Mailing,
    only: Option<&str>,
    state: RecipientState,
    at: Timestamp,
    answer: &str,
) {
    for recipient in &mut mailing.recipients {
        if recipient.outcome.is_none() && only.is_none_or(|address| recipient.address == address) {
            recipient.outcome = Some(Outcome::new(state, at, answer.to_owned()));
        }
    }
}

fn refused_for_good(mailing: &mut Mailing, address: &str) {
    let concerned = mailing.recipients.iter_mut().filter(|recipient| recipient.address == address);
    for outcome in concerned.filter_map(|recipient| recipient.outcome.as_mut()) {
        outcome.for_good = outcome.state == RecipientState::Failed;
    }
}

fn finish_others(mailing: &mut Mailing, except: &[String], at: Timestamp, line: &str) {
    for recipient in &mut mailing.recipients {
        if recipient.outcome.is_none() && !except.contains(&recipient.address) {
            recipient.outcome = Some(Outcome::new(RecipientState::Accepted, at, line.to_owned()));
        }
    }
}

pub(super) fn max_retries(work: &Work, mailbox: u64) -> Result<u32, StoreError> {
    // A mailbox that is gone lets its last attempts end.
    Ok(get::<Mailbox>(work, mailbox)?.map_or(0, |mailbox| mailbox.settings.send_max_retries.unwrap_or(10)))
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
