//! The machine-readable part of a delivery report (RFC 3464, RFC 6533): a group of fields about the mail, then one for
//! each recipient.

use super::fields::{address, as_text, groups};
use crate::domain::bounce::Bounce;
use crate::domain::failure::EnhancedCode;

/// What is told of one recipient.
#[derive(Debug, Default)]
pub(super) struct Told {
    recipient: Option<String>,
    original: Option<String>,
    action: Option<String>,
    status: Option<EnhancedCode>,
    diagnosis: Option<String>,
}

/// The recipients that a part tells of. Where the empty lines between them are missing, a second recipient begins with
/// the field that one may have only once.
pub(super) fn recipients(octets: &[u8]) -> Vec<Told> {
    let text = as_text(octets);
    let mut found: Vec<Told> = Vec::new();
    let mut current = Told::default();
    for field in groups(&text) {
        let Some((name, value)) = field else {
            finish(&mut found, &mut current);
            continue;
        };
        match name.as_str() {
            "final-recipient" => {
                if current.recipient.is_some() {
                    finish(&mut found, &mut current);
                }
                current.recipient = address(&value).or(current.recipient.take());
            }
            "original-recipient" => {
                if current.original.is_some() {
                    finish(&mut found, &mut current);
                }
                current.original = address(&value);
            }
            "action" => current.action = Some(value.to_ascii_lowercase()),
            "status" => current.status = current.status.or_else(|| EnhancedCode::from_reply(&value)),
            "diagnostic-code" => current.diagnosis = current.diagnosis.take().or(Some(value)),
            _ => {}
        }
        if found.len() > super::RECIPIENTS {
            return found;
        }
    }
    finish(&mut found, &mut current);
    found
}

/// A group without a recipient, an action and a status is the one about the mail.
fn finish(found: &mut Vec<Told>, current: &mut Told) {
    let told = std::mem::take(current);
    if told.recipient.is_some() || told.original.is_some() || told.action.is_some() || told.status.is_some() {
        found.push(told);
    }
}

impl Told {
    /// `None` where nothing failed for good: delayed, delivered, relayed, expanded. `said_of` finds what the report's
    /// text says of an address, for servers that leave the diagnosis to it.
    pub(super) fn into_bounce(self, said_of: impl Fn(&str) -> Option<String>) -> Option<Bounce> {
        let has_failed = match self.action.as_deref().map(|action| action.split([' ', ';', '(']).next().unwrap_or("")) {
            Some("delayed" | "delivered" | "relayed" | "expanded") => false,
            Some(action) if action.starts_with("fail") => true,
            _ => self.status.is_some_and(|status| status.0 == 5),
        };
        if !has_failed {
            return None;
        }
        let diagnosis = self.diagnosis.as_deref().map(without_type).filter(|text| !text.trim().is_empty());
        let address = self.recipient.as_deref().or(self.original.as_deref());
        let text = diagnosis.map(str::to_owned).or_else(|| address.and_then(said_of)).unwrap_or_default();
        let mut bounce = Bounce::new(self.recipient, self.status, &text);
        bounce.original_recipient = self.original;
        Some(bounce)
    }
}

/// `smtp; 550 …` without its type.
fn without_type(diagnosis: &str) -> &str {
    match diagnosis.split_once(';') {
        Some((kind, rest)) if kind.len() <= 20 && !kind.trim().contains(' ') => rest.trim(),
        _ => diagnosis,
    }
}
