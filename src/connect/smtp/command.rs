//! Text that goes into a command: nothing that could end it and begin another.

use super::EnvelopeOptions;
use super::capabilities::Capabilities;

/// The longest path (RFC 5321 section 4.5.3.1.3), with room for UTF-8.
const ADDRESS_LIMIT: usize = 320;

/// Why an address cannot go into a command, in words that complete "the address …".
pub(super) fn address_fault(address: &str, smtputf8: bool) -> Option<&'static str> {
    if address.len() > ADDRESS_LIMIT {
        return Some("is too long");
    }
    if has_control(address) {
        return Some("contains a line break or another control character");
    }
    if !smtputf8 && !address.is_ascii() {
        return Some("contains characters outside ASCII, which this server cannot take (no SMTPUTF8)");
    }
    let Some((local, domain)) = address.rsplit_once('@') else { return Some("has no @") };
    if local.is_empty() || domain.is_empty() {
        return Some("is not complete");
    }
    let breaks_path = |character: char| matches!(character, '<' | '>' | ' ' | '"' | '\\');
    let quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    if domain.contains(breaks_path) || (quoted && !is_quoted(local)) || (!quoted && local.contains(breaks_path)) {
        return Some("contains a character that does not belong there");
    }
    None
}

/// Whether a quoted local part ends where it seems to: inside, quotes and backslashes are escaped.
fn is_quoted(local: &str) -> bool {
    let inner = &local[1..local.len() - 1];
    let mut escaped = false;
    for character in inner.chars() {
        match (escaped, character) {
            (false, '"') => return false,
            (false, '\\') => escaped = true,
            _ => escaped = false,
        }
    }
    !escaped
}

/// Control characters in the sense of Unicode, and its line and paragraph separators.
pub(super) fn has_control(text: &str) -> bool {
    text.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
}

/// Whether `name` can stand after EHLO: a domain or an address literal.
pub(super) fn is_hello_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !name.is_empty() && name.len() <= 255 && name.bytes().all(allowed)
}

/// `MAIL FROM` with the parameters that the server understands; `from` was checked, and is empty for the null sender.
pub(super) fn mail_from(from: &str, options: EnvelopeOptions, offered: &Capabilities) -> String {
    let mut command = format!("MAIL FROM:<{from}>");
    if let Some(size) = options.size.filter(|_| offered.size) {
        command.push_str(" SIZE=");
        command.push_str(&size.to_string());
    }
    if options.eight_bit && offered.eight_bit {
        command.push_str(" BODY=8BITMIME");
    }
    if options.smtputf8 && offered.smtputf8 {
        command.push_str(" SMTPUTF8");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_fit_pass() {
        for address in
            ["ann@example.com", "\"a b\"@example.com", "\"a>\\\"b\"@example.com", "a+b@[192.0.2.1]", "o'h@x.y"]
        {
            assert_eq!(address_fault(address, false), None, "{address}");
        }
        assert_eq!(address_fault("ж@example.com", true), None);
    }

    #[test]
    fn addresses_that_could_say_more_than_an_address_are_refused() {
        for address in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@example.com\r\nRCPT TO:<bob@example.com>",
            "ann@example.com\n",
            "ann\r@example.com",
            "a\0@example.com",
            "\"a\r\nb\"@example.com",
            "a\u{85}@example.com",
            "a\u{2028}@example.com",
            "ann@example.com> NOTIFY=SUCCESS",
            "<ann@example.com>",
            "a b@example.com",
            "ann@exam ple.com",
            "\"a\" x\"@example.com",
            "\"a\\\"@example.com",
            "\"@example.com",
        ] {
            assert!(address_fault(address, true).is_some(), "{address:?}");
        }
        assert!(address_fault("ж@example.com", false).is_some());
        assert!(address_fault(&format!("{}@example.com", "a".repeat(400)), false).is_some());
    }

    #[test]
    fn only_what_was_offered_is_asked_for() {
        let options = EnvelopeOptions { size: Some(1000), eight_bit: true, smtputf8: true };
        assert_eq!(mail_from("a@b.c", options, &Capabilities::default()), "MAIL FROM:<a@b.c>");
        let all = Capabilities { size: true, eight_bit: true, smtputf8: true, ..Capabilities::default() };
        assert_eq!(mail_from("", options, &all), "MAIL FROM:<> SIZE=1000 BODY=8BITMIME SMTPUTF8");
    }

    #[test]
    fn a_hello_name_is_a_domain_or_an_address_literal() {
        for name in ["mail.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]", "localhost"] {
            assert!(is_hello_name(name), "{name}");
        }
        for name in ["", "a b", "a\r\nMAIL", "müller.example", "a\0"] {
            assert!(!is_hello_name(name), "{name:?}");
        }
    }
}
