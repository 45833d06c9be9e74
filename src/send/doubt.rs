//! Mailings of which nobody knows whether the server has them: the sent folder is asked, then the policy decides.
//!
//! What follows from which answer is [`Doubt::resolve`](crate::domain::mailing::Doubt::resolve); here it is asked and
//! applied, each in one unit of work.

use super::Parts;
use super::blame::deferred;
use super::sent_folder::{SentFolder, is_nowhere};
use super::settle::{accept, after_stop, again, conclude, fail, finish_recipients, max_retries, requeue, save};
use super::{sent_copy, settle};
use crate::connect::effective::EffectiveSettings;
use crate::domain::backoff::Backoff;
use crate::domain::event::EventKind;
use crate::domain::failure::{Failure, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{
    Answer, AttemptRecord, Cause, Circumstances, CopyState, Doubt, Mailing, Recipient, RecipientState, Resolution,
    SentCopy, State, Trigger,
};
use crate::domain::time::Timestamp;
use crate::store::{StoreError, Work, get, message_by_identity, status};

const HELD: &str = "Nobody can tell whether the server accepted this mailing, and the mailbox's doubtPolicy is hold. Retry it to send it again.";
const GONE: &str = "Nobody can tell whether the server accepted this mailing, and its mailbox was deleted.";
const STOPPED: &str = "Postroom stopped each time while this mailing was being handed over; each time the server may have accepted it. Retry it to send it again.";
const TWICE: &str = "Twice the server gave no answer after the end of the message; it may have been delivered. Retry it to send it again.";
const FOUND: &str = "The message was found in the mailbox: the server had accepted it.";
const CAME_BACK: &str = "Something came back that only this message can have caused: the server had accepted it.";
const NOT_FOUND: &str =
    "The server files what it accepts in the sent folder, and this message is not there: it was not sent.";
const SENT_AGAIN: &str =
    "Nobody can tell whether the server accepted the message; it is sent again with the same Message-ID (doubtPolicy).";

/// The doubt of a mailing begins: where there is nobody to ask, it ends at once.
pub(super) fn begin(work: &mut Work, mailing: &mut Mailing, doubt: Doubt) -> Result<(), StoreError> {
    let proved = doubt.proved;
    mailing.doubt = Some(doubt);
    if proved {
        return answered(work, mailing, Answer::CameBack);
    }
    if askable(work, mailing)?.is_some() {
        mailing.updated_at = work.now();
        // No state changes, and yet there is something to do.
        return work.mailing_event(EventKind::MailingUpdated, mailing);
    }
    answered(work, mailing, Answer::Nowhere)
}

/// The mailbox whose sent folder can be asked about a mailing, if its answer proves anything.
fn askable(work: &Work, mailing: &Mailing) -> Result<Option<Mailbox>, StoreError> {
    // A copy may be that of an earlier attempt, whose recipients had been accepted.
    if mailing.recipients.iter().any(Recipient::is_accepted) {
        return Ok(None);
    }
    let mailbox = get::<Mailbox>(work, mailing.mailbox_id)?;
    Ok(mailbox
        .filter(|mailbox| mailbox.settings.sync_disabled != Some(true) && EffectiveSettings::of(mailbox).sync.is_ok()))
}

/// Asks about one mailing and applies what follows.
pub(super) async fn ask(parts: &Parts, folder: &mut SentFolder, mailing: &Mailing) -> Result<(), StoreError> {
    let failpoints = &parts.runtime.failpoints;
    let Some(doubt) = mailing.doubt.as_ref() else { return Ok(()) };
    let (since, proved) = (doubt.since, doubt.proved);
    failpoints.pass("doubt.before_ask").await;
    let identity = format!("<{}>", mailing.message_id);
    let synced = message_by_identity(&parts.store.read()?, mailing.mailbox_id, &identity)?;
    // Message-IDs cannot be guessed: whoever has one has the message, or an answer of the server that has it.
    let (answer, in_folder) = if proved {
        (Answer::CameBack, false)
    } else if synced.is_some() {
        (Answer::Present, false)
    } else {
        match folder.has(parts, &mailing.message_id).await {
            Ok(true) => (Answer::Present, true),
            Ok(false) => (Answer::Absent, false),
            Err(failure) if is_nowhere(&failure) => (Answer::Nowhere, false),
            Err(failure) => {
                tracing::info!(mailing = mailing.id, %failure, "the sent folder could not be asked");
                (Answer::Unanswered, false)
            }
        }
    };
    failpoints.pass("doubt.before_commit").await;
    let id = mailing.id;
    parts
        .store
        .write_patiently(move |work| {
            let Some(before) = work.mailing(id)? else { return Ok::<_, StoreError>(()) };
            let Some(doubt) = before.doubt.as_ref().filter(|doubt| doubt.since == since) else { return Ok(()) };
            if in_folder {
                sent_copy::learn(work, before.mailbox_id)?;
            }
            let mut mailing = before.clone();
            let answer = if doubt.proved {
                Answer::CameBack
            } else if askable(work, &mailing)?.is_some() {
                answer
            } else {
                Answer::Nowhere
            };
            answered(work, &mut mailing, answer)?;
            save(work, &before, mailing)
        })
        .await?;
    failpoints.pass("doubt.after_commit").await;
    Ok(())
}

fn circumstances(work: &Work, mailing: &Mailing) -> Result<Circumstances, StoreError> {
    let mailbox = get::<Mailbox>(work, mailing.mailbox_id)?;
    let learned = status(work, mailing.mailbox_id)?.files_sent_copies;
    Ok(Circumstances {
        files_copies: mailbox.as_ref().and_then(|mailbox| sent_copy::files_copies(mailbox, learned)),
        // Nothing is sent for a mailbox that is gone.
        hold: mailbox.as_ref().is_none_or(|mailbox| mailbox.settings.doubt_policy.as_deref() == Some("hold")),
        resends: mailing.doubt_resends,
        resends_after_stops: mailing.stop_resends,
    })
}

/// Applies an answer to a mailing in doubt.
fn answered(work: &mut Work, mailing: &mut Mailing, answer: Answer) -> Result<(), StoreError> {
    let now = work.now();
    let Some(mut doubt) = mailing.doubt.take() else { return Ok(()) };
    let resolution = doubt.resolve(answer, circumstances(work, mailing)?, &work.moment());
    let mut note = |text: &str| mailing.attempts.push(AttemptRecord::note(now, Stage::FinalDot, text));
    match resolution {
        Resolution::AskAgain(at) => {
            doubt.note(answer, at);
            mailing.doubt = Some(doubt);
        }
        Resolution::Delivered => {
            let proof = if answer == Answer::Present { FOUND } else { CAME_BACK };
            note(proof);
            if answer == Answer::Present {
                // It is there already.
                mailing.sent_copy.get_or_insert(SentCopy { state: CopyState::Found, ..SentCopy::wanted(now) });
            }
            deliver(work, mailing, &doubt, proof)?;
        }
        Resolution::NotSent => {
            note(NOT_FOUND);
            // Only here is absence proof. Wherever the mail may have left after all, its slot stays spent.
            if let Some(slot) = doubt.slot {
                work.return_slot(mailing.mailbox_id, slot)?;
            }
            // What it says of this attempt it says of those before.
            mailing.doubted = None;
            not_sent(work, mailing, doubt.cause, now)?;
        }
        Resolution::SendAgain => {
            note(SENT_AGAIN);
            let (backoff, times) = match doubt.cause {
                Cause::Silence => {
                    mailing.doubt_resends += 1;
                    (Backoff::MAILING, mailing.doubt_resends)
                }
                Cause::Stop => {
                    mailing.stop_resends += 1;
                    // At once the first time; if it was the message that brought Postroom down, others go before it.
                    (Backoff::HOST, mailing.stop_resends - 1)
                }
            };
            if times == 0 {
                requeue(mailing, now);
            } else {
                let wait = backoff.wait(times, work.runtime().random.below(401));
                again(mailing, now, now.plus(wait));
                mailing.retry_at = mailing.due;
                mailing.retry_interval = Some(wait.as_secs());
            }
            mailing.doubted = Some(doubt);
        }
        Resolution::Hold => {
            let is_gone = get::<Mailbox>(work, mailing.mailbox_id)?.is_none();
            give_up(mailing, now, if is_gone { GONE } else { HELD });
            mailing.doubted = Some(doubt);
        }
        Resolution::GiveUp => {
            give_up(mailing, now, if doubt.cause == Cause::Stop { STOPPED } else { TWICE });
            mailing.doubted = Some(doubt);
        }
    }
    Ok(())
}

fn deliver(work: &mut Work, mailing: &mut Mailing, doubt: &Doubt, proof: &str) -> Result<(), StoreError> {
    let now = work.now();
    accept(mailing, &doubt.refused, now, proof);
    sent_copy::want(work, mailing)?;
    let retries = max_retries(work, mailing.mailbox_id)?;
    let random = work.runtime().random.clone();
    conclude(mailing, deferred(&doubt.refused), now, &*random, retries);
    Ok(())
}

/// What waits to be sent again although the first time was proved in the meantime: it is done with, for everybody whom
/// that was for. `false` where nothing of the kind has come back.
pub(super) fn settled_by_proof(work: &mut Work, before: &Mailing) -> Result<bool, StoreError> {
    let (mut mailing, mut proof) = (before.clone(), CAME_BACK);
    if mailing.doubted.is_some() && !mailing.recipients.iter().any(Recipient::is_accepted) {
        let identity = format!("<{}>", mailing.message_id);
        if message_by_identity(work, mailing.mailbox_id, &identity)?.is_some() {
            mailing.came_back(work.now());
            proof = FOUND;
        }
    }
    let Some(doubt) = mailing.doubted.take_if(|doubt| doubt.proved) else { return Ok(false) };
    let now = work.now();
    if mailing.state == State::Scheduled {
        mailing.apply(Trigger::Queue, now);
    }
    mailing.apply(Trigger::Start, now);
    mailing.retry_at = None;
    mailing.attempts.push(AttemptRecord::note(now, Stage::FinalDot, proof));
    deliver(work, &mut mailing, &doubt, proof)?;
    save(work, before, mailing)?;
    Ok(true)
}

/// A server that takes messages and neither answers nor delivers is tried as often as any other that fails.
fn not_sent(work: &mut Work, mailing: &mut Mailing, cause: Cause, now: Timestamp) -> Result<(), StoreError> {
    if cause == Cause::Stop {
        after_stop(work, mailing);
        return Ok(());
    }
    let failure = Failure::temporary(Stage::FinalDot, NOT_FOUND);
    let retries = max_retries(work, mailing.mailbox_id)?;
    let random = work.runtime().random.clone();
    if !settle::retry(mailing, &failure, now, &*random, retries) {
        give_up(mailing, now, NOT_FOUND);
    }
    Ok(())
}

/// Those who were accepted before keep their mail; without them the whole mailing has failed and can be tried again.
fn give_up(mailing: &mut Mailing, now: Timestamp, reason: &str) {
    if mailing.recipients.iter().any(Recipient::is_accepted) {
        finish_recipients(mailing, None, RecipientState::Failed, now, reason);
        mailing.apply(Trigger::Deliver, now);
    } else {
        fail(mailing, now, reason);
    }
}
