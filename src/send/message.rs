//! From a mailing to the message that goes out: the same octets at every attempt.

use super::start::Started;
use crate::domain::address::{Address, Person};
use crate::domain::attachment::Attachment;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailing::{Recipient, RecipientKind};
use crate::mime::{Attached, ComposeError, Composed, Octets, Outgoing, compose, text_from_html};
use crate::store::{Snapshot, Store, attachment_content, get};
use std::ops::ControlFlow;

/// Composes the message of an attempt.
pub(super) fn composed(store: &Store, started: &Started) -> Result<Composed, Failure> {
    let Started { mailing, content, mailbox } = started;
    let frozen = content.frozen.as_ref();
    let from = Person {
        name: frozen.and_then(|frozen| frozen.from_name.clone()),
        address: address(sender(started), Scope::Mailbox)?,
    };
    let reply_to = content
        .reply_to
        .as_deref()
        .map(Person::parse)
        .transpose()
        .map_err(|problem| unfit(Scope::Message, &format!("replyTo is not a valid address: {problem}")))?;
    let to = people(&mailing.recipients, RecipientKind::To)?;
    let cc = people(&mailing.recipients, RecipientKind::Cc)?;
    let signature =
        frozen.and_then(|frozen| frozen.signature.as_deref()).filter(|signature| !signature.trim().is_empty());
    let html = content.html.as_ref().map(|html| match signature {
        Some(signature) => format!("{html}\n<br>\n{signature}"),
        None => html.clone(),
    });
    // Without a text the composer derives one from the HTML, which has the signature already.
    let text = content.text.as_ref().map(|text| match signature {
        Some(signature) => format!("{}\n\n{}", text.trim_end(), text_from_html(signature)),
        None => text.clone(),
    });
    let text = match (&text, &html) {
        (None, None) => Some(signature.map(text_from_html).unwrap_or_default()),
        _ => text,
    };
    let snapshot = store.read()?;
    let stored = stored(&snapshot, &content.attachments)?;
    let attached: Vec<Attached> = stored
        .iter()
        .map(|stored| Attached {
            name: &stored.attachment.name,
            content_type: &stored.attachment.content_type,
            size: stored.attachment.size,
            octets: stored,
        })
        .collect();
    let outgoing = Outgoing {
        from: &from,
        reply_to: reply_to.as_ref(),
        to: &to,
        cc: &cc,
        subject: content.subject.as_deref().unwrap_or_default(),
        text: text.as_deref(),
        html: html.as_deref(),
        message_id: &mailing.message_id,
        date: frozen.map_or(mailbox.created_at, |frozen| frozen.date),
        in_reply_to: content.in_reply_to.as_deref(),
        references: &content.references,
        headers: &content.headers,
        attachments: &attached,
    };
    compose(&outgoing).map_err(|problem| match problem {
        // The store, not the message, is at fault.
        ComposeError::Unreadable(why) => Failure::temporary(Stage::Store, why),
        problem => unfit(Scope::Message, &problem.to_string()),
    })
}

/// Who the message is from, in From and in the envelope: an alias where the mailing names one, else the mailbox.
pub(super) fn sender(started: &Started) -> &str {
    started.content.from_alias.as_deref().unwrap_or(&started.mailing.mailbox_address)
}

/// An attachment as the store has it.
struct Stored<'s> {
    snapshot: &'s Snapshot,
    attachment: Attachment,
}

impl Octets for Stored<'_> {
    fn show(&self, see: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let mut pass = |octets: &[u8]| {
            see(octets);
            ControlFlow::Continue(())
        };
        attachment_content(self.snapshot, self.attachment.id, &mut pass).map_err(|error| error.to_string())
    }
}

fn stored<'s>(snapshot: &'s Snapshot, ids: &[u64]) -> Result<Vec<Stored<'s>>, Failure> {
    ids.iter()
        .map(|id| match get::<Attachment>(snapshot, *id)? {
            Some(attachment) => Ok(Stored { snapshot, attachment }),
            None => Err(unfit(Scope::Message, &format!("the attachment {id} is gone."))),
        })
        .collect()
}

/// Who still has to be handed to the server, in envelope form: the address with its domain in ASCII, each once.
pub(super) fn envelope_recipients(started: &Started) -> Vec<(String, String)> {
    let mut recipients: Vec<(String, String)> = Vec::new();
    for recipient in started.mailing.waiting() {
        let ascii =
            Address::parse(&recipient.address).map_or_else(|_| recipient.address.clone(), |address| address.ascii());
        if !recipients.iter().any(|(_, other)| *other == ascii) {
            recipients.push((recipient.address.clone(), ascii));
        }
    }
    recipients
}

fn people(recipients: &[Recipient], kind: RecipientKind) -> Result<Vec<Person>, Failure> {
    recipients
        .iter()
        .filter(|recipient| recipient.kind == kind)
        .map(|recipient| {
            Ok(Person { name: recipient.name.clone(), address: address(&recipient.address, Scope::Message)? })
        })
        .collect()
}

fn address(text: &str, scope: Scope) -> Result<Address, Failure> {
    Address::parse(text).map_err(|problem| unfit(scope, &format!("{text} is not a valid address: {problem}")))
}

fn unfit(scope: Scope, why: &str) -> Failure {
    Failure::new(FailureKind::Permanent, scope, Stage::Settings, format!("The message cannot be composed: {why}"))
}
