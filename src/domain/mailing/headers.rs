//! Which header fields a client may add to a mailing: an allow-list, since a field that we or a server on the way give a
//! meaning to could change who receives what.

use super::super::check::breaks_a_line;

/// How many a mailing may have.
pub const HEADERS: usize = 50;
/// How long the value of one may be, in octets.
const VALUE_LENGTH: usize = 2_000;

/// Beside `X-…`.
const ALLOWED: &[&str] = &[
    "auto-submitted",
    "comments",
    "feedback-id",
    "importance",
    "keywords",
    "list-archive",
    "list-help",
    "list-id",
    "list-owner",
    "list-post",
    "list-subscribe",
    "organization",
    "precedence",
    "priority",
    "sensitivity",
    "thread-index",
    "thread-topic",
];

/// Fields by which relays take orders (recipients, tracking, templates), or which we or servers write.
const REFUSED: &[&str] = &[
    "x-smtpapi",
    "x-failed-recipients",
    "x-loop",
    "x-pm-",
    "x-mailgun-",
    "x-mj-",
    "x-mc-",
    "x-ses-",
    "x-msys-",
    "x-sg-",
    "x-envelope-",
    "x-original-",
    "x-postroom-",
    "x-spam",
    "x-virus-",
    "x-ms-exchange-",
];

/// Why a field cannot be added, as the end of a sentence; `None` if it can.
pub fn wrong_header(name: &str, value: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let is_name =
        name.len() <= 60 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let allowed = ALLOWED.contains(&lower.as_str()) || (lower.starts_with("x-") && lower.len() > 2);
    if !is_name || !allowed || REFUSED.iter().any(|refused| lower.starts_with(refused)) {
        return Some(
            "is not a header that can be set here; X-… and a few such as List-Id, Feedback-ID, Auto-Submitted, Precedence, Importance and Priority can.",
        );
    }
    if value.chars().any(breaks_a_line) {
        return Some("must be a single line without control characters.");
    }
    if value.len() > VALUE_LENGTH {
        return Some("is longer than the 2000 octets that are allowed.");
    }
    if lower.starts_with("list-") {
        if !value.is_ascii() {
            return Some("may contain ASCII characters only.");
        }
        if value.split(' ').any(|word| word.len() > 900) {
            return Some("contains a word that is too long for a mail header.");
        }
    }
    if value.trim().is_empty() {
        return Some("must not be empty.");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_ones_own_and_a_few_known_ones_can_be_set() {
        for (name, value) in [
            ("X-Campaign", "Frühling"),
            ("x-a", "1"),
            ("List-Id", "<news.example.org>"),
            ("Auto-Submitted", "auto-generated"),
            ("PRECEDENCE", "bulk"),
            ("Feedback-ID", "a:b:c:d"),
        ] {
            assert_eq!(wrong_header(name, value), None, "{name}");
        }
    }

    #[test]
    fn fields_with_a_structure_or_a_meaning_cannot() {
        for name in [
            "From",
            "To",
            "Bcc",
            "Subject",
            "Message-ID",
            "Date",
            "Content-Type",
            "MIME-Version",
            "Received",
            "Sender",
            "Resent-To",
            "DKIM-Signature",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "Return-Path",
            "X-SMTPAPI",
            "X-Envelope-To",
            "X-",
            "X",
            "",
            "X A",
            "X:A",
            "X-Ü",
            "X-A\r\nBcc",
            "In-Reply-To",
        ] {
            assert!(wrong_header(name, "x").is_some(), "{name:?}");
        }
        for value in ["", " ", "a\r\nBcc: b", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\tb"] {
            assert!(wrong_header("X-A", value).is_some(), "{value:?}");
        }
        assert!(wrong_header("X-A", &"x".repeat(2_001)).is_some());
        assert!(wrong_header("List-Id", "ü").is_some());
    }
}
