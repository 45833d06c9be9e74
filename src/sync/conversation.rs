//! Replies that name nothing they answer, by the provider's own number of their thread (Gmail's X-GM-THRID).
//!
//! A message belongs to a mailing where its thread has the mailing's copy, which is known by its Message-ID, and where
//! it came after the mailing was made. In which order a sync meets the two does not matter: what came within two days
//! waits for a copy.

use super::recognise::arrived;
use crate::domain::classification::{Classification, Nature};
use crate::domain::finding::{Consequences, Finding};
use crate::domain::mailing::Mailing;
use crate::domain::message::{Direction, Message};
use crate::store::{StoreError, Work, get, message_by_identity};
use std::time::Duration;

/// How long a message waits for the copy of what it answers.
const WAITS: Duration = Duration::from_hours(48);

fn copy_in(thread: &str) -> String {
    format!("thread:{thread}")
}

fn waiting_in(thread: &str) -> String {
    format!("thread:{thread}:waiting")
}

/// The mailing whose copy lies in the message's thread.
pub(super) fn mailing(work: &Work, message: &Message) -> Result<Option<Mailing>, StoreError> {
    let Some(thread) = &message.provider_thread else { return Ok(None) };
    let found = mailing_of(work, message.mailbox_id, &copy_in(thread))?;
    Ok(found.filter(|mailing| may_answer(message, mailing, work)))
}

fn mailing_of(work: &Work, mailbox: u64, identity: &str) -> Result<Option<Mailing>, StoreError> {
    let Some(copy) = message_by_identity(work, mailbox, identity)? else { return Ok(None) };
    let Some(mailing) = get::<Message>(work, copy)?.and_then(|copy| copy.mailing_id) else { return Ok(None) };
    work.mailing(mailing)
}

/// The thread may be older than the mailing, and so may be what others wrote in it. Servers tell times in whole seconds.
fn may_answer(message: &Message, mailing: &Mailing, work: &Work) -> bool {
    let arrived = arrived(message, work.now()).plus(Duration::from_millis(999));
    mailing.mailbox_id == message.mailbox_id && arrived >= mailing.created_at
}

/// Takes note of a message that has just been stored: the copy of a mailing finds what waits for it, a person's message
/// may have to wait.
pub(super) fn note(work: &mut Work, id: u64, nature: Nature) -> Result<(), StoreError> {
    let Some(message) = get::<Message>(work, id)? else { return Ok(()) };
    let Some(thread) = message.provider_thread.clone() else { return Ok(()) };
    let mailing = message.mailing_id.map(|mailing| work.mailing(mailing)).transpose()?.flatten();
    let is_copy = |mailing: &Mailing| {
        mailing.mailbox_id == message.mailbox_id && message.message_id.as_ref() == Some(&mailing.message_id)
    };
    if let Some(mailing) = mailing.filter(is_copy) {
        // Of several mailings in a thread, the latest is answered.
        let known = mailing_of(work, message.mailbox_id, &copy_in(&thread))?;
        if known.is_none_or(|known| known.id < mailing.id) {
            work.reidentify_message(message.mailbox_id, &copy_in(&thread), id)?;
        }
        return answer(work, &mailing, &thread);
    }
    let is_new = arrived(&message, work.now()) >= work.now().minus(WAITS);
    if nature != Nature::Human || !is_new || !is_unmatched(&message) {
        return Ok(());
    }
    // The latest waits: what came before the mailing answers nothing.
    let known = message_by_identity(work, message.mailbox_id, &waiting_in(&thread))?;
    let known = known.map(|known| get::<Message>(work, known)).transpose()?.flatten();
    if known.is_none_or(|known| arrived(&known, work.now()) <= arrived(&message, work.now())) {
        work.reidentify_message(message.mailbox_id, &waiting_in(&thread), id)?;
    }
    Ok(())
}

fn is_unmatched(message: &Message) -> bool {
    message.direction == Direction::Inbound
        && message.classification == Classification::Other
        && message.mailing_id.is_none()
}

/// The message that waits in a thread turns out to be a reply.
fn answer(work: &mut Work, mailing: &Mailing, thread: &str) -> Result<(), StoreError> {
    let Some(id) = message_by_identity(work, mailing.mailbox_id, &waiting_in(thread))? else { return Ok(()) };
    let Some(before) = get::<Message>(work, id)?.filter(is_unmatched) else { return Ok(()) };
    if !may_answer(&before, mailing, work) {
        return Ok(());
    }
    let after = Message { classification: Classification::Reply, mailing_id: Some(mailing.id), ..before.clone() };
    work.change_message(&before, &after)?;
    let now = work.now();
    match Consequences::of(mailing, &Finding::Reply, arrived(&after, now), now) {
        Some(consequences) => work.follow(consequences, Some(id)),
        None => Ok(()),
    }
}
