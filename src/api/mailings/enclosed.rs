//! What goes with a mailing beside its texts: attachments, further header fields, the alias in From.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::shown::Shows;
use crate::domain::attachment::{ATTACHMENTS, Attachment};
use crate::domain::mailing::{HEADERS, wrong_header};
use crate::domain::problem::Problem;
use crate::jsonapi::ApiError;
use crate::store::{Reader, alias_by_email, get};
use serde_json::Value;

/// The attachments that a write names; those that the mailing has already need not be the caller's own.
pub(super) fn attachments(
    ids: &[u64],
    before: &[u64],
    api: &Api,
    reader: &impl Reader,
    caller: &Caller,
    problems: &mut Vec<Problem>,
) -> Result<Vec<u64>, ApiError> {
    let mut total: u64 = 0;
    for id in ids {
        match get::<Attachment>(reader, *id)? {
            Some(found) if before.contains(id) || found.is_visible(caller, reader)? => {
                total = total.saturating_add(found.size);
            }
            _ => problems.push(Problem::relationship("attachments", format!("There is no attachment {id}."))),
        }
    }
    if ids.len() > ATTACHMENTS {
        let detail = format!("A mailing has at most {ATTACHMENTS} attachments; this one has {}.", ids.len());
        problems.push(Problem::relationship("attachments", detail));
    }
    if total > api.attachment_size {
        let detail = format!(
            "The attachments have {total} octets together; {} are allowed (attachment_size).",
            api.attachment_size
        );
        problems.push(Problem::relationship("attachments", detail));
    }
    Ok(ids.to_vec())
}

/// The header fields that a write gives.
pub(super) fn headers(given: &Value, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let fields = match given {
        Value::Null => return Vec::new(),
        Value::Object(fields) => fields,
        _ => {
            problems.push(Problem::attribute("headers", "headers must be an object of names and texts."));
            return Vec::new();
        }
    };
    if fields.len() > HEADERS {
        let detail = format!("A mailing has at most {HEADERS} headers of its own; this one has {}.", fields.len());
        problems.push(Problem::attribute("headers", detail));
        return Vec::new();
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let shown: String = name.chars().filter(|character| !character.is_control()).take(60).collect();
        let mut refuse =
            |why: &str| problems.push(Problem::member("headers", name, format!("The header '{shown}' {why}")));
        let Some(value) = value.as_str() else {
            refuse("must be a string.");
            continue;
        };
        if let Some(why) = wrong_header(name, value) {
            refuse(why);
        } else if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            refuse("is there twice.");
        } else {
            headers.push((name.clone(), value.to_owned()));
        }
    }
    headers
}

/// The alias that a write names: one of the mailbox, and fit to send from.
pub(super) fn from_alias(
    given: &Value,
    mailbox: Option<u64>,
    before: Option<&str>,
    reader: &impl Reader,
    problems: &mut Vec<Problem>,
) -> Result<Option<String>, ApiError> {
    let Some(text) = given.as_str() else { return Ok(None) };
    if before == Some(text) {
        return Ok(Some(text.to_owned()));
    }
    match alias_by_email(reader, text)?.filter(|alias| Some(alias.mailbox_id) == mailbox) {
        Some(alias) if alias.can_send => return Ok(Some(alias.email)),
        Some(_) => {
            let detail = "This alias of the mailbox is not for sending (canSend).";
            problems.push(Problem::attribute("fromAlias", detail));
        }
        None if mailbox.is_some() => {
            problems.push(Problem::attribute("fromAlias", "The mailbox has no such alias."));
        }
        // The missing mailbox is what there is to say.
        None => {}
    }
    Ok(None)
}
