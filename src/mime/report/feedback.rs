//! Complaints: the report part of RFC 5965, and the older ones that only return the mail.

use super::super::entity::Piece;
use super::fields::{address, as_text, groups};

/// Who complained, by a feedback report; `None` where it reports something else, such as a failed authentication or
/// that a mail is no spam.
pub(super) fn complainants(octets: &[u8], returned: &[&Piece]) -> Option<Vec<String>> {
    let text = as_text(octets);
    let (mut kind, mut recipients) = (None, Vec::new());
    for (name, value) in groups(&text).flatten() {
        match name.as_str() {
            "feedback-type" => kind = kind.or(Some(value.to_ascii_lowercase())),
            "original-rcpt-to" | "removal-recipient" => push(&mut recipients, address(&value)),
            _ => {}
        }
    }
    if !matches!(kind.as_deref(), Some("abuse" | "fraud" | "opt-out" | "opt-out-list" | "complaint")) {
        return None;
    }
    if recipients.is_empty() {
        recipients = named_in(returned);
    }
    Some(recipients)
}

/// Who complained, by what the provider wrote into the mail that it returns.
pub(super) fn named_in(returned: &[&Piece]) -> Vec<String> {
    let mut recipients = Vec::new();
    for piece in returned {
        let text = as_text(&piece.octets);
        let header = groups(&text).skip_while(Option::is_none).map_while(|field| field);
        for (name, value) in header {
            if matches!(name.as_str(), "x-hmxmroriginalrecipient" | "x-original-to" | "x-rcpt-to") {
                push(&mut recipients, address(&value));
            }
        }
    }
    recipients
}

fn push(recipients: &mut Vec<String>, found: Option<String>) {
    if let Some(found) = found.filter(|found| recipients.len() < super::RECIPIENTS && !recipients.contains(found)) {
        recipients.push(found);
    }
}
