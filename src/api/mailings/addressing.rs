//! Who a mailing goes to: `to`, `cc`, `bcc`, and the relationship `recipients`, which say the same in two ways.

use crate::api::caller::Caller;
use crate::api::shown::Shows;
use crate::domain::address::Person;
use crate::domain::mailing::{RECIPIENTS, Recipient, RecipientKind};
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::recipient::RecipientRecord;
use crate::jsonapi::ApiError;
use crate::store::{Reader, get};
use serde_json::{Map, Value};

/// The recipients that a write asks for; `before` is who they are without it. Each address counts once, as the first of
/// to, cc and bcc that names it.
///
/// In an edit that writes a whole record back, the one of the two ways that says something new counts.
pub(super) fn recipients(
    values: &Map<String, Value>,
    named: Option<&Vec<u64>>,
    before: &[Recipient],
    reader: &impl Reader,
    caller: &Caller,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Recipient>, ApiError> {
    let known = problems.len();
    let listed = listed(values, before, problems);
    let named = match named {
        Some(ids) => Some(by_id(ids, before, reader, caller, problems)?),
        None => None,
    };
    let recipients = match named {
        None => listed,
        Some(named) if before.is_empty() => once(listed.into_iter().chain(named)),
        Some(named) => match (same(&listed, before), same(&named, before)) {
            (true, _) => named,
            (false, true) => listed,
            (false, false) if same(&listed, &named) => listed,
            (false, false) => {
                let detail = "recipients and to, cc, bcc say different things; change one of the two.";
                problems.push(Problem::relationship("recipients", detail));
                listed
            }
        },
    };
    let judged =
        |kind: RecipientKind| problems.iter().any(|problem| problem.place == Problem::attribute(kind.name(), "").place);
    if recipients.is_empty() && problems.len() == known && !RecipientKind::ALL.into_iter().any(judged) {
        problems.push(Problem::attribute("to", "A mailing needs at least one recipient in to, cc or bcc."));
    }
    if recipients.len() > RECIPIENTS {
        let detail = format!("A mailing has at most {RECIPIENTS} recipients; this one has {}.", recipients.len());
        problems.push(Problem::attribute("to", detail).with_code(ProblemCode::TooLong));
    }
    Ok(recipients)
}

/// As `to`, `cc` and `bcc` say; what is not given stays.
fn listed(values: &Map<String, Value>, before: &[Recipient], problems: &mut Vec<Problem>) -> Vec<Recipient> {
    let mut all = Vec::new();
    for kind in RecipientKind::ALL {
        let Some(given) = values.get(kind.name()) else {
            all.extend(before.iter().filter(|recipient| recipient.kind == kind).cloned());
            continue;
        };
        for text in given.as_array().into_iter().flatten().filter_map(Value::as_str) {
            match Person::parse(text) {
                Ok(person) => all.push(Recipient::new(kind, person)),
                Err(problem) => {
                    let shown: String = text.chars().filter(|character| !character.is_control()).take(80).collect();
                    let detail = format!("'{shown}' is not a valid recipient: {problem}");
                    problems.push(Problem::attribute(kind.name(), detail));
                }
            }
        }
    }
    let mut recipients = once(all.into_iter());
    // Somebody who stays keeps the record and what became of the mail.
    for recipient in recipients.iter_mut().filter(|recipient| recipient.id == 0) {
        let key = recipient.key();
        if let Some(old) = before.iter().find(|old| old.key() == key) {
            recipient.id = old.id;
            recipient.outcome.clone_from(&old.outcome);
        }
    }
    recipients
}

/// As the relationship says: recipients of this mailing, or such as no mailing has named yet.
fn by_id(
    ids: &[u64],
    before: &[Recipient],
    reader: &impl Reader,
    caller: &Caller,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Recipient>, ApiError> {
    let mut recipients = Vec::new();
    for id in ids {
        if let Some(own) = before.iter().find(|recipient| recipient.id == *id) {
            recipients.push(own.clone());
            continue;
        }
        let record = match get::<RecipientRecord>(reader, *id)? {
            Some(record) if record.is_visible(caller, reader)? => record,
            _ => {
                problems.push(Problem::relationship("recipients", format!("There is no recipient {id}.")));
                continue;
            }
        };
        if let Some(mailing) = record.mailing_id {
            problems.push(Problem::relationship("recipients", taken(*id, mailing)));
            continue;
        }
        recipients.push(Recipient { id: *id, kind: record.kind, name: None, address: record.address, outcome: None });
    }
    recipients.sort_by_key(|recipient| recipient.kind);
    Ok(once(recipients.into_iter()))
}

/// Why a recipient cannot be named.
pub(super) fn taken(id: u64, mailing: u64) -> String {
    format!("The recipient {id} belongs to the mailing {mailing}; make a new one for this mailing.")
}

/// Each address once; of several the one that stands first among to, cc, bcc.
fn once(recipients: impl Iterator<Item = Recipient>) -> Vec<Recipient> {
    let mut all: Vec<Recipient> = recipients.collect();
    all.sort_by_key(|recipient| recipient.kind);
    let mut seen = std::collections::HashSet::new();
    all.retain(|recipient| seen.insert(recipient.key()));
    all
}

fn same(one: &[Recipient], other: &[Recipient]) -> bool {
    let said = |recipient: &Recipient| (recipient.kind, recipient.key(), recipient.name.clone());
    let (mut one, mut other): (Vec<_>, Vec<_>) = (one.iter().map(said).collect(), other.iter().map(said).collect());
    one.sort();
    other.sort();
    one == other
}
