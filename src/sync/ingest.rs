//! Pours what a server had into the store: parsed, recognised, deduplicated, and committed together with the cursor,
//! so that a kill at any point resumes exactly.

use super::source::Fetched;
use crate::domain::classification::{Classification, Nature};
use crate::domain::event::EventKind;
use crate::domain::mailbox::{Mailbox, address_key};
use crate::domain::mailing::Trigger;
use crate::domain::message::{Direction, FolderCursor, Message};
use crate::mime::{self, Incoming};
use crate::store::{ServerPlace, StoreError, Work, get, mailing_by_message_id, message_by_identity, status};
use ring::digest::{SHA256, digest};
use std::fmt::Write as _;

/// What a folder is for; decides which way its messages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderRole {
    Inbox,
    Sent,
}

/// A message made ready outside the writer thread.
#[derive(Clone)]
pub(super) struct Prepared {
    uid: u32,
    identity: String,
    message: Message,
    nature: Nature,
    raw: Vec<u8>,
}

/// Where a batch comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub mailbox: u64,
    pub address: String,
    pub folder: String,
    pub role: FolderRole,
}

impl Origin {
    pub fn of(mailbox: &Mailbox, folder: &str, role: FolderRole) -> Self {
        Self { mailbox: mailbox.id, address: mailbox.key(), folder: folder.to_owned(), role }
    }
}

/// Parses one message. Never fails: what cannot be read is stored with a note.
pub(super) fn prepare(origin: &Origin, fetched: Fetched) -> Prepared {
    let incoming = mime::parse_summary(&fetched.raw);
    let identity = incoming.message_id.as_ref().map_or_else(|| hash_of(&fetched.raw), |id| format!("<{id}>"));
    let nature = incoming.nature;
    let message = message(origin, &fetched, incoming);
    Prepared { uid: fetched.uid, identity, message, nature, raw: fetched.raw }
}

/// What a message without a Message-ID is known by.
fn hash_of(raw: &[u8]) -> String {
    digest(&SHA256, raw).as_ref().iter().fold(String::from("sha256:"), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn message(origin: &Origin, fetched: &Fetched, incoming: Incoming) -> Message {
    let own = incoming.from.iter().any(|person| address_key(&person.address) == origin.address);
    let direction = if own || origin.role == FolderRole::Sent { Direction::Outbound } else { Direction::Inbound };
    let mut parse_problems = incoming.problems;
    if fetched.truncated {
        parse_problems.push("The message is larger than the size limit; only its header is stored.".into());
    }
    Message {
        id: 0,
        mailbox_id: origin.mailbox,
        direction,
        message_id: incoming.message_id,
        in_reply_to: incoming.in_reply_to,
        references: incoming.references,
        from: incoming.from,
        to: incoming.to,
        cc: incoming.cc,
        bcc: incoming.bcc,
        reply_to: incoming.reply_to,
        subject: incoming.subject,
        snippet: incoming.snippet,
        sent_at: incoming.sent_at,
        received_at: fetched.internal_date,
        folder: origin.folder.clone(),
        flags: fetched.flags.clone(),
        size: u64::from(fetched.size),
        classification: Classification::Other,
        attachments: incoming.attachments,
        authentication_results: incoming.authentication_results,
        parse_problems,
        created_at: crate::domain::time::Timestamp::default(),
        mailing_id: None,
    }
}

/// Commits a batch and the cursor that it makes true; how many messages were new.
pub(super) fn commit(
    work: &mut Work,
    origin: &Origin,
    batch: &[Prepared],
    cursor: &FolderCursor,
) -> Result<usize, StoreError> {
    // The mailbox may have been deleted, or become another account, while the batch was under way.
    if get::<Mailbox>(work, origin.mailbox)?.is_none() {
        return Ok(0);
    }
    let mut new = 0;
    let mut files_copies = status(work, origin.mailbox)?.files_sent_copies;
    for prepared in batch {
        let place = ServerPlace {
            mailbox: origin.mailbox,
            folder: &origin.folder,
            uid_validity: cursor.uid_validity,
            uid: prepared.uid,
        };
        let id = if let Some(id) = message_by_identity(work, origin.mailbox, &prepared.identity)? {
            id
        } else {
            new += 1;
            let mut message = prepared.message.clone();
            message.created_at = work.now();
            recognise(work, &mut message, prepared.nature)?;
            work.create_message(message, &prepared.identity, &prepared.raw)?
        };
        work.place_message(&place, id)?;
        if origin.role == FolderRole::Sent {
            learn_from_copy(work, origin, &prepared.message, &mut files_copies)?;
        }
    }
    work.put_cursor(origin.mailbox, &origin.folder, cursor)?;
    Ok(new)
}

/// A copy of a mailing that we did not file ourselves: the server files what it accepts. That settles the doubt about a
/// mailing too: it is asked about now.
fn learn_from_copy(
    work: &mut Work,
    origin: &Origin,
    message: &Message,
    known: &mut Option<bool>,
) -> Result<(), StoreError> {
    let Some(id) = &message.message_id else { return Ok(()) };
    let Some(before) = mailing_by_message_id(work, id)?.filter(|mailing| mailing.mailbox_id == origin.mailbox) else {
        return Ok(());
    };
    let may_be_ours = before.sent_copy.as_ref().is_some_and(|copy| copy.begun);
    // One that was also received may have been moved here by a person or a filter.
    let received = before.recipients.iter().any(|recipient| address_key(&recipient.address) == origin.address);
    if !may_be_ours && !received && *known != Some(true) {
        *known = Some(true);
        let mut health = status(work, origin.mailbox)?;
        health.files_sent_copies = *known;
        work.put_status(origin.mailbox, &health)?;
    }
    if before.doubt.is_some() {
        let mut after = before.clone();
        if let Some(doubt) = &mut after.doubt {
            doubt.next = work.now();
        }
        work.save_mailing(&before, &after)?;
        work.mailing_event(EventKind::MailingUpdated, &after)?;
    }
    Ok(())
}

/// Finds the mailing that a message answers, or is the copy of, and lets the mailing know.
fn recognise(work: &mut Work, message: &mut Message, nature: Nature) -> Result<(), StoreError> {
    if nature == Nature::Automatic && message.direction == Direction::Inbound {
        message.classification = Classification::AutoReply;
    }
    if let Some(id) = &message.message_id
        && let Some(mailing) = mailing_by_message_id(work, id)?
    {
        message.mailing_id = Some(mailing.id);
        return Ok(());
    }
    if message.direction == Direction::Outbound {
        return Ok(());
    }
    // The nearest ancestor first: In-Reply-To, then References from the newest.
    let ancestors = message.in_reply_to.iter().chain(message.references.iter().rev());
    for ancestor in ancestors {
        let Some(before) = mailing_by_message_id(work, ancestor)? else { continue };
        message.mailing_id = Some(before.id);
        if nature == Nature::Human {
            message.classification = Classification::Reply;
            let mut after = before.clone();
            after.replied_at = after.replied_at.or(Some(work.now()));
            after.updated_at = work.now();
            // A mailing whose delivery is still being recorded becomes `replied` by its own outcome.
            after.apply(Trigger::Reply, work.now());
            work.save_mailing(&before, &after)?;
        }
        return Ok(());
    }
    Ok(())
}
