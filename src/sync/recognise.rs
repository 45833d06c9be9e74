//! Which mailing a message is about, and what it says of it.
//!
//! Whoever writes a header may write anything into it, so a message counts only by what cannot be guessed: the
//! Message-ID of a mailing, or a signed token. A report counts in the mailbox that sent the mailing, where mail systems
//! return it to; a complaint in every mailbox, as providers send theirs wherever they were told to. The subject of a
//! message never tells what it answers; where a reply names nothing, the provider's number of its thread may.

use super::conversation;
use crate::domain::bounce::Bounce;
use crate::domain::classification::{Classification, Nature};
use crate::domain::finding::{Consequences, Finding};
use crate::domain::link::{Link, Purpose};
use crate::domain::mailing::Mailing;
use crate::domain::message::{Direction, Message};
use crate::domain::time::Timestamp;
use crate::mime::{Incoming, Report};
use crate::store::{StoreError, Work, link_keys, mailing_by_message_id};

/// What a message says of other mail, as it was parsed.
#[derive(Clone, Debug, Default)]
pub(super) struct Meaning {
    nature: Nature,
    is_answer: bool,
    report: Option<Report>,
    opt_out_tokens: Vec<String>,
}

impl Meaning {
    pub fn nature(&self) -> Nature {
        self.nature
    }

    /// Takes what is of use here out of a parsed message.
    pub fn of(incoming: &mut Incoming) -> Self {
        Self {
            nature: incoming.nature,
            is_answer: incoming.is_answer,
            report: incoming.report.take(),
            opt_out_tokens: std::mem::take(&mut incoming.opt_out_tokens),
        }
    }
}

/// What follows from a message.
#[derive(Default)]
pub(super) struct Recognised {
    /// To be written once the message has its id.
    pub consequences: Option<Consequences>,
    /// Whether it is about one of our mailings: then it is kept, whoever is excluded.
    pub concerns_us: bool,
}

impl Recognised {
    fn of(consequences: Option<Consequences>) -> Self {
        Self { concerns_us: consequences.is_some(), consequences }
    }
}

/// Classifies a message and names its mailing in it; gives what follows.
pub(super) fn recognise(work: &Work, message: &mut Message, meaning: &Meaning) -> Result<Recognised, StoreError> {
    if let Some(id) = &message.message_id
        && let Some(mailing) = mailing_by_message_id(work, id)?
    {
        // The copy of a mailing, in whichever mailbox it lies.
        message.mailing_id = Some(mailing.id);
        return Ok(Recognised { consequences: None, concerns_us: true });
    }
    if message.direction == Direction::Outbound {
        return Ok(Recognised::default());
    }
    if let Some(link) = opt_out(work, &meaning.opt_out_tokens)? {
        return opted_out(work, message, &link).map(Recognised::of);
    }
    match (&meaning.report, meaning.nature) {
        (Some(Report::Undelivered { bounces, originals }), _) => {
            message.classification = Classification::Bounce;
            message.bounces.clone_from(bounces);
            bounced(work, message, bounces, originals).map(Recognised::of)
        }
        (Some(Report::Complaint { recipients, originals }), _) => {
            message.classification = Classification::Complaint;
            complained(work, message, recipients, originals).map(Recognised::of)
        }
        (Some(Report::Progress | Report::Receipt), _) | (None, Nature::Report) => about(work, message, Nature::Report),
        (None, Nature::Automatic) => {
            if meaning.is_answer {
                message.classification = Classification::AutoReply;
            }
            about(work, message, Nature::Automatic)
        }
        (None, Nature::Human) => about(work, message, Nature::Human),
    }
}

/// When a message came, as far as the server says.
pub(super) fn arrived(message: &Message, now: Timestamp) -> Timestamp {
    message.received_at.unwrap_or(now)
}

fn bounced(
    work: &Work,
    message: &mut Message,
    bounces: &[Bounce],
    originals: &[String],
) -> Result<Option<Consequences>, StoreError> {
    let finding = Finding::Bounce(bounces);
    let mailbox = message.mailbox_id;
    first_that_fits(work, message, originals, &finding, |mailing| mailing.mailbox_id == mailbox)
}

fn complained(
    work: &Work,
    message: &mut Message,
    recipients: &[String],
    originals: &[String],
) -> Result<Option<Consequences>, StoreError> {
    first_that_fits(work, message, originals, &Finding::Complaint(recipients), |_| true)
}

/// The consequences for the first of the mailings that the report can be about.
fn first_that_fits(
    work: &Work,
    message: &mut Message,
    originals: &[String],
    finding: &Finding<'_>,
    may_be: impl Fn(&Mailing) -> bool,
) -> Result<Option<Consequences>, StoreError> {
    let now = work.now();
    for original in originals {
        let Some(mailing) = mailing_by_message_id(work, original)?.filter(&may_be) else { continue };
        if let Some(found) = Consequences::of(&mailing, finding, arrived(message, now), now) {
            message.mailing_id = Some(mailing.id);
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The mailing that a message answers, by its header or else by its thread; it is replied to if a person answers.
fn about(work: &Work, message: &mut Message, nature: Nature) -> Result<Recognised, StoreError> {
    let now = work.now();
    // The nearest ancestor first: In-Reply-To, then References from the newest.
    let ancestors: Vec<String> = message.in_reply_to.iter().chain(message.references.iter().rev()).cloned().collect();
    let mut found = None;
    for ancestor in &ancestors {
        found = mailing_by_message_id(work, ancestor)?;
        if found.is_some() {
            break;
        }
    }
    let found = match found {
        None => conversation::mailing(work, message)?,
        found => found,
    };
    let Some(mailing) = found else { return Ok(Recognised::default()) };
    message.mailing_id = Some(mailing.id);
    if nature != Nature::Human {
        return Ok(Recognised { consequences: None, concerns_us: true });
    }
    message.classification = Classification::Reply;
    Ok(Recognised::of(Consequences::of(&mailing, &Finding::Reply, arrived(message, now), now)))
}

/// The first of the tokens that is one of ours.
fn opt_out(work: &Work, tokens: &[String]) -> Result<Option<Link>, StoreError> {
    if tokens.is_empty() {
        return Ok(None);
    }
    let keys = link_keys(work, work.vault())?;
    Ok(tokens.iter().find_map(|token| keys.open(Purpose::Unsubscribe, token)))
}

/// The token is the whole authority, as it is on the page: whoever sends it, to whichever mailbox.
fn opted_out(work: &Work, message: &mut Message, link: &Link) -> Result<Option<Consequences>, StoreError> {
    let now = work.now();
    message.classification = Classification::Unsubscribe;
    let finding = Finding::OptOut { address: &link.detail, source: "mail" };
    let mailing = work.mailing(link.mailing)?;
    message.mailing_id = mailing.as_ref().map(|mailing| mailing.id);
    let found = mailing.and_then(|mailing| Consequences::of(&mailing, &finding, arrived(message, now), now));
    Ok(Some(found.unwrap_or_else(|| Consequences::of_opt_out(&link.detail, "mail", now))))
}

#[cfg(test)]
#[path = "recognise_tests.rs"]
mod tests;
