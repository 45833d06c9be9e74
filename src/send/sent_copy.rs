//! Our own copy of what was accepted, in the sent folder: once for a mailing, found again by its Message-ID.
//!
//! That an APPEND may leave is on disk before it does, and before every APPEND the folder is searched: a crash between
//! the APPEND and the commit after it finds the copy instead of filing another.

use super::sent_folder::{SentFolder, is_nowhere};
use super::settle::save;
use super::start::{Started, link_key};
use super::{Parts, attempt};
use crate::connect::effective::EffectiveSettings;
use crate::domain::backoff::Backoff;
use crate::domain::failure::{Failure, FailureKind, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{AttemptRecord, COPY_DELAY, COPY_TRIES, CopyState, Mailing, SentCopy};
use crate::providers::presets;
use crate::store::{StoreError, Work, content, get, status};
use std::sync::Arc;

/// What `saveSentCopy` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Auto,
    Always,
    Never,
}

fn policy(mailbox: &Mailbox) -> Policy {
    match mailbox.settings.save_sent_copy.as_deref() {
        Some("always") => Policy::Always,
        Some("never") => Policy::Never,
        _ => Policy::Auto,
    }
}

/// Whether the server that sends for a mailbox files what it accepts: as known of the provider whose servers both are,
/// else as learned.
pub(super) fn files_copies(mailbox: &Mailbox, learned: Option<bool>) -> Option<bool> {
    let effective = EffectiveSettings::of(mailbox);
    let (Ok(send), Ok(sync)) = (&effective.send, &effective.sync) else { return learned };
    let files = |host: &str| presets::by_host(host).filter(|preset| preset.files_sent_copies).map(|preset| preset.id);
    match (files(&send.endpoint.host), files(&sync.endpoint.host)) {
        (Some(sends), Some(keeps)) if sends == keeps => Some(true),
        _ => learned,
    }
}

/// How many copies that a server did not file show that it files none.
const MISSED_IN_A_ROW: u32 = 3;

/// Remembers that the server files copies: one that it filed outweighs any that were missed.
pub(super) fn learn(work: &mut Work, mailbox: u64) -> Result<(), StoreError> {
    if get::<Mailbox>(work, mailbox)?.is_none() {
        return Ok(());
    }
    let mut known = status(work, mailbox)?;
    if known.files_sent_copies == Some(true) {
        return Ok(());
    }
    known.files_sent_copies = Some(true);
    work.put_status(mailbox, &known)
}

/// A copy that the server might have filed was not there in time. It may only have been slow, so it takes a few in a row
/// to say that it files none: from then on a doubt asks it no longer.
fn missed(work: &mut Work, mailbox: u64) -> Result<(), StoreError> {
    if get::<Mailbox>(work, mailbox)?.is_none() {
        return Ok(());
    }
    let mut known = status(work, mailbox)?;
    if known.files_sent_copies.is_some() {
        return Ok(());
    }
    known.sent_copies_missed = known.sent_copies_missed.saturating_add(1);
    if known.sent_copies_missed >= MISSED_IN_A_ROW {
        known.files_sent_copies = Some(false);
    }
    work.put_status(mailbox, &known)
}

/// A mailing was accepted: asks for a copy where there is to be one.
pub(super) fn want(work: &Work, mailing: &mut Mailing) -> Result<(), StoreError> {
    if mailing.sent_copy.is_some() {
        return Ok(());
    }
    let Some(mailbox) = get::<Mailbox>(work, mailing.mailbox_id)? else { return Ok(()) };
    let now = work.now();
    let sync = match policy(&mailbox) {
        Policy::Never => return Ok(()),
        Policy::Auto if mailbox.settings.sync_disabled == Some(true) => return Ok(()),
        _ => EffectiveSettings::of(&mailbox).sync,
    };
    match (policy(&mailbox), sync) {
        (Policy::Always, Ok(_)) => mailing.sent_copy = Some(SentCopy::wanted(now)),
        (Policy::Always, Err(failure)) => {
            let text = format!("No copy was filed in the sent folder (saveSentCopy): {}", failure.explain());
            mailing.attempts.push(AttemptRecord::note(now, Stage::Append, &text));
        }
        (_, Ok(_)) => {
            let learned = status(work, mailbox.id)?.files_sent_copies;
            if files_copies(&mailbox, learned) != Some(true) {
                // Time for the server to file its own: an acceptance is also the best moment to learn whether it does.
                mailing.sent_copy = Some(SentCopy::wanted(now.plus(COPY_DELAY)));
            }
        }
        // Where nothing is synced nobody misses the copy.
        (_, Err(_)) => {}
    }
    Ok(())
}

/// Looks for the copy of one mailing, and files it if it is not there.
pub(super) async fn file(parts: &Arc<Parts>, folder: &mut SentFolder, mailing: &Mailing) -> Result<(), StoreError> {
    let failpoints = &parts.runtime.failpoints;
    let Some(copy) = mailing.sent_copy.as_ref() else { return Ok(()) };
    let (id, begun) = (mailing.id, copy.begun);
    let policy = folder.mailbox().map_or(Policy::Never, policy);
    if policy == Policy::Never {
        return commit(parts, id, |_, _, copy| {
            copy.state = CopyState::GivenUp;
            Ok(())
        })
        .await;
    }
    match folder.has(parts, &mailing.message_id).await {
        Err(failure) => return failed(parts, id, failure).await,
        Ok(true) => {
            return commit(parts, id, move |work, mailbox, copy| {
                copy.state = if begun { CopyState::Filed } else { CopyState::Found };
                if begun { Ok(()) } else { learn(work, mailbox) }
            })
            .await;
        }
        Ok(false) => {}
    }
    failpoints.pass("copy.before_commit").await;
    commit(parts, id, move |work, mailbox, copy| {
        copy.begun = true;
        if policy == Policy::Auto && !begun { missed(work, mailbox) } else { Ok(()) }
    })
    .await?;
    failpoints.pass("copy.before_append").await;
    let (content, link_key) = {
        let snapshot = parts.store.read()?;
        let content = content(&snapshot, id)?;
        let link_key = link_key(&snapshot, parts.store.vault(), &content)?;
        (content, link_key)
    };
    let Some(mailbox) = folder.mailbox().cloned() else { return Ok(()) };
    let started = Started { mailing: mailing.clone(), content, mailbox, link_key, recipients: 0 };
    // Copies share the memory for large messages with those that go out.
    let (_room, message) = match attempt::composed_in_room(parts, &Arc::new(started)).await {
        Ok((room, message)) => (room, message.bytes),
        Err(failure) => return failed(parts, id, failure).await,
    };
    if let Err(failure) = folder.append(parts, message).await {
        return failed(parts, id, failure).await;
    }
    failpoints.pass("copy.after_append").await;
    commit(parts, id, |_, _, copy| {
        copy.state = CopyState::Filed;
        Ok(())
    })
    .await?;
    failpoints.pass("copy.after_commit").await;
    Ok(())
}

/// Changes the copy of a mailing that still wants one.
async fn commit(
    parts: &Parts,
    id: u64,
    change: impl Fn(&mut Work, u64, &mut SentCopy) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    parts
        .store
        .write_patiently(move |work| {
            let Some(before) = work.mailing(id)? else { return Ok(()) };
            let mut mailing = before.clone();
            let wanted = mailing.sent_copy.as_mut().filter(|copy| copy.state == CopyState::Wanted);
            let Some(copy) = wanted else { return Ok(()) };
            change(work, before.mailbox_id, copy)?;
            save(work, &before, mailing)
        })
        .await
}

/// Later, or never: a copy that cannot be filed is no failure of the mailing, but is said with it.
async fn failed(parts: &Parts, id: u64, failure: Failure) -> Result<(), StoreError> {
    tracing::info!(mailing = id, %failure, "the copy for the sent folder could not be filed");
    parts
        .store
        .write_patiently(move |work| {
            let Some(before) = work.mailing(id)? else { return Ok(()) };
            let mut mailing = before.clone();
            let now = work.now();
            let Some(copy) = mailing.sent_copy.as_mut().filter(|copy| copy.state == CopyState::Wanted) else {
                return Ok(());
            };
            copy.tries = copy.tries.saturating_add(u32::from(!failure.is_our_own()));
            let wait = Backoff::HOST.wait(copy.tries, work.runtime().random.below(401));
            copy.next = now.plus(wait);
            let refused = failure.kind == FailureKind::Permanent && failure.stage == Stage::Append;
            let hopeless = refused || is_nowhere(&failure);
            if hopeless || copy.tries >= COPY_TRIES {
                copy.state = CopyState::GivenUp;
                let text = format!("No copy was filed in the sent folder (saveSentCopy): {}", failure.explain());
                mailing.attempts.push(AttemptRecord::note(now, Stage::Append, &text));
            }
            save(work, &before, mailing)
        })
        .await
}
