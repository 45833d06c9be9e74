//! What an event means, in a sentence. Not every event is worth one.

use super::narrator::since;
use crate::domain::classification::Classification;
use crate::domain::event::{Event, EventKind};
use crate::domain::limits::Moment;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Mailing, RecipientState};
use crate::domain::message::{Direction, Message};
use crate::domain::time::Timestamp;
use crate::send::gate::{self, Gate, Question, Why};
use crate::send::outlook::Outlook;
use crate::store::{Snapshot, StoreError, content, get, status};
use std::fmt::Write as _;

/// What there is to say and to count about an event.
#[derive(Default)]
pub(super) struct Told {
    pub line: Option<String>,
    /// The mailings that a limit delays.
    pub delayed: Vec<u64>,
}

impl From<String> for Told {
    fn from(line: String) -> Self {
        Self { line: Some(line), delayed: Vec::new() }
    }
}

/// Records are read as they are `now`, which for an event just committed is how it left them.
pub(super) fn tell(snapshot: &Snapshot, event: &Event, now: Timestamp, started: Timestamp) -> Result<Told, StoreError> {
    if let Some(id) = event.message_id {
        let message = get::<Message>(snapshot, id)?.filter(|_| event.kind == EventKind::MessageCreated);
        return Ok(message.and_then(|message| of_message(&message)).map(Told::from).unwrap_or_default());
    }
    if let Some(id) = event.mailing_id {
        let Some(mailing) = get::<Mailing>(snapshot, id)? else { return Ok(Told::default()) };
        return of_mailing(snapshot, event.kind, &mailing, now, started);
    }
    let mailbox = event.mailbox_id.map(|id| get::<Mailbox>(snapshot, id)).transpose()?.flatten();
    Ok(mailbox.and_then(|mailbox| of_mailbox(event, &mailbox)).map(Told::from).unwrap_or_default())
}

fn of_mailbox(event: &Event, mailbox: &Mailbox) -> Option<String> {
    let address = &mailbox.settings.email;
    let text = event.payload["text"].as_str().unwrap_or("no reason given.");
    Some(match event.kind {
        EventKind::MailboxCreated => format!("mailbox {}: {address}", mailbox.id),
        EventKind::MailboxSendErrored => format!("{address}: sending stopped. {text}"),
        EventKind::MailboxSyncErrored => format!("{address}: sync stopped. {text}"),
        EventKind::MailboxSendRecovered => format!("{address}: sending works again"),
        EventKind::MailboxSyncRecovered => format!("{address}: sync works again"),
        _ => return None,
    })
}

fn of_message(message: &Message) -> Option<String> {
    let from = message.from.first().map_or("somebody", |from| from.address.as_str());
    match (message.classification, message.mailing_id, message.direction) {
        (Classification::Reply, Some(mailing), _) => {
            Some(format!("reply from {from} recognised: mailing {mailing} is now replied"))
        }
        (_, _, Direction::Inbound) => {
            let to = message.to.first().map_or("an inbox", |to| to.address.as_str());
            let subject = message.subject.as_deref().unwrap_or("no subject");
            Some(format!("synced: {from} → {to}, “{subject}”"))
        }
        (_, _, Direction::Outbound) => None,
    }
}

fn of_mailing(
    snapshot: &Snapshot,
    kind: EventKind,
    mailing: &Mailing,
    now: Timestamp,
    started: Timestamp,
) -> Result<Told, StoreError> {
    let line = match kind {
        EventKind::MailingCreated => return created(snapshot, mailing, now),
        EventKind::MailingDelivered => delivered(mailing),
        EventKind::MailingFailed => failed(mailing),
        EventKind::MailingScheduled => return delayed(snapshot, mailing, now, started),
        EventKind::MailingBounced => format!("mailing {} bounced", mailing.id),
        _ => return Ok(Told::default()),
    };
    Ok(line.into())
}

fn created(snapshot: &Snapshot, mailing: &Mailing, now: Timestamp) -> Result<Told, StoreError> {
    let subject = content(snapshot, mailing.id)?.subject.unwrap_or_default();
    let line = format!("mailing {}: {}, “{subject}”: taken in", mailing.id, route(mailing, None));
    if is_limited(snapshot, mailing, now)? {
        return Ok(Told { line: Some(format!("{line}, waits for the limit")), delayed: vec![mailing.id] });
    }
    Ok(line.into())
}

/// Whether a mailing could go out if there were no limit.
fn is_limited(snapshot: &Snapshot, mailing: &Mailing, now: Timestamp) -> Result<bool, StoreError> {
    if !mailing.state.waits() || mailing.due.is_none_or(|due| due > now) {
        return Ok(false);
    }
    let Some(mailbox) = get::<Mailbox>(snapshot, mailing.mailbox_id)? else { return Ok(false) };
    let gate = asked(snapshot, &mailbox, now)?;
    Ok(gate.why() == Some(Why::Limit))
}

/// What the gate says as far as the store knows; the demo's clock is never set.
fn asked(snapshot: &Snapshot, mailbox: &Mailbox, now: Timestamp) -> Result<Gate, StoreError> {
    let status = status(snapshot, mailbox.id)?;
    let moment = Moment { now, steady: now, behind: None };
    let outlook = Outlook::default();
    gate::ask(snapshot, &Question { mailbox, status: &status, recipients: 1, moment, outlook: &outlook })
}

/// `ann@… → bert@…, henry@…`: all recipients, or those with one outcome.
fn route(mailing: &Mailing, state: Option<RecipientState>) -> String {
    let is_meant = |outcome: Option<RecipientState>| state.is_none() || state == outcome;
    let to: Vec<&str> = mailing
        .recipients
        .iter()
        .filter(|recipient| is_meant(recipient.outcome.as_ref().map(|outcome| outcome.state)))
        .map(|recipient| recipient.address.as_str())
        .collect();
    format!("{} → {}", mailing.mailbox_address, to.join(", "))
}

fn delivered(mailing: &Mailing) -> String {
    let mut line = format!("mailing {}: {}: delivered", mailing.id, route(mailing, Some(RecipientState::Accepted)));
    if let Some(said) = server_line(mailing) {
        let _ = write!(line, " ({said})");
    }
    for recipient in &mailing.recipients {
        if let Some(outcome) = recipient.outcome.as_ref().filter(|outcome| outcome.state == RecipientState::Failed) {
            let _ = write!(line, "; not to {}: {}", recipient.address, outcome.answer.as_deref().unwrap_or_default());
        }
    }
    line
}

fn failed(mailing: &Mailing) -> String {
    let route = route(mailing, None);
    match server_line(mailing) {
        Some(said) => format!("mailing {}: {route}: rejected: {said}", mailing.id),
        None => {
            format!("mailing {}: {route}: failed: {}", mailing.id, mailing.error_reason.as_deref().unwrap_or_default())
        }
    }
}

/// What the server said last, with its code.
fn server_line(mailing: &Mailing) -> Option<String> {
    let last = mailing.attempts.last()?;
    Some(format!("{} {}", last.code?, last.text))
}

fn delayed(snapshot: &Snapshot, mailing: &Mailing, now: Timestamp, started: Timestamp) -> Result<Told, StoreError> {
    let Some(mailbox) = get::<Mailbox>(snapshot, mailing.mailbox_id)? else { return Ok(Told::default()) };
    if let Some(at) = mailing.due.filter(|due| *due > now) {
        let why = mailing.attempts.last().map_or("scheduled", |attempt| attempt.text.as_str());
        return Ok(format!("mailing {} waits until {}: {why}", mailing.id, since(at, started)).into());
    }
    let address = &mailbox.settings.email;
    match asked(snapshot, &mailbox, now)? {
        Gate::Go => Ok(Told::default()),
        Gate::NotBefore { at, why: Why::Limit, reason } => {
            let settings = &mailbox.settings;
            let limit = match (settings.send_threshold, settings.send_period) {
                (Some(count), Some(period)) => format!("limit of {count} mailings per {period} seconds reached"),
                _ => reason,
            };
            let line = format!("{address}: {limit}, mailing {} waits; next at {}", mailing.id, since(at, started));
            Ok(Told { line: Some(line), delayed: vec![mailing.id] })
        }
        Gate::NotBefore { reason, .. } | Gate::Hold { reason, .. } => {
            Ok(format!("mailing {} of {address} waits: {reason}", mailing.id).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mailing(recipients: &Value, attempts: &Value) -> Mailing {
        serde_json::from_value(json!({
            "id": 7, "mailbox_id": 1, "user_id": 1, "mailbox_address": "ann@demo.example",
            "created_at": "2026-01-01", "updated_at": "2026-01-01", "state_changed_at": "2026-01-01",
            "state": "delivered", "scheduled_at": null, "due": null, "mailing_type": "single",
            "message_id": "1@demo.example", "recipients": recipients, "attempts": attempts,
            "error_reason": "Expired.",
        }))
        .unwrap()
    }

    fn recipient(address: &str, state: &str, answer: &str) -> Value {
        let outcome = json!({"state": state, "at": "2026-01-01", "answer": answer});
        json!({"kind": "to", "name": null, "address": address, "outcome": outcome})
    }

    fn attempt(code: u16, text: &str) -> Value {
        json!({"at": "2026-01-01", "stage": "finalDot", "code": code, "enhancedCode": null, "text": text})
    }

    #[test]
    fn a_delivery_names_who_got_it_what_the_server_said_and_who_did_not() {
        let recipients =
            json!([recipient("bert@demo.example", "accepted", "ok"), recipient("x@demo.example", "failed", "no user")]);
        assert_eq!(
            delivered(&mailing(&recipients, &json!([attempt(250, "2.0.0 OK")]))),
            "mailing 7: ann@demo.example → bert@demo.example: delivered (250 2.0.0 OK); not to x@demo.example: no user"
        );
    }

    #[test]
    fn a_failure_tells_the_servers_line_or_the_reason() {
        let recipients = json!([recipient("x@demo.example", "failed", "no user")]);
        let rejected = failed(&mailing(&recipients, &json!([attempt(550, "5.1.1 user unknown")])));
        assert_eq!(rejected, "mailing 7: ann@demo.example → x@demo.example: rejected: 550 5.1.1 user unknown");
        let expired = failed(&mailing(&recipients, &json!([])));
        assert_eq!(expired, "mailing 7: ann@demo.example → x@demo.example: failed: Expired.");
    }
}
