//! Plain text: line ends, cutting, one-line summaries.

use std::borrow::Cow;

/// How much of a message its snippet shows, in characters.
const SNIPPET_LIMIT: usize = 200;

/// The text with every line break (CRLF, LF, CR) written as `newline`, and every NUL as U+FFFD.
pub(super) fn normalise<'a>(text: &'a str, newline: &str) -> Cow<'a, str> {
    let needs_work = |c: char| matches!(c, '\r' | '\0') || (c == '\n' && newline != "\n");
    if !text.contains(needs_work) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n', '\0']) {
        out.push_str(&rest[..at]);
        let (found, after) = rest[at..].split_at(1);
        rest = after;
        match found {
            "\0" => out.push('\u{FFFD}'),
            "\r" => {
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                out.push_str(newline);
            }
            _ => out.push_str(newline),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// At most `limit` octets from the start of the text, not splitting a character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// The text on one line, white space folded, control characters gone, of at most `limit` characters.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut left = limit;
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = !out.is_empty();
            continue;
        }
        let needed = 1 + usize::from(space);
        if left < needed {
            break;
        }
        left -= needed;
        if std::mem::take(&mut space) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// The first words of a message, without the invisible padding that newsletters put behind their preview text.
pub(super) fn snippet(text: &str) -> String {
    // A bounded look: padding can be endless.
    let visible: String = cut(text, 16 * 1024)
        .chars()
        .filter(|c| !matches!(c, '\u{AD}' | '\u{34F}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'))
        .take(4 * 1024)
        .collect();
    one_line(&visible, SNIPPET_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_of_line_break_becomes_the_one_that_is_asked_for() {
        assert_eq!(normalise("a\nb\rc\r\nd\n\re\0", "\r\n"), "a\r\nb\r\nc\r\nd\r\n\r\ne\u{FFFD}");
        assert_eq!(normalise("a\r\nb\rc\n", "\n"), "a\nb\nc\n");
        assert!(matches!(normalise("a\nb", "\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_snippet_is_one_line_of_200_characters() {
        assert_eq!(snippet("  Hello,\r\n\r\n\tworld \u{200B}\u{34F} \u{200B}! "), "Hello, world !");
        assert_eq!(snippet(&"ü".repeat(500)).chars().count(), 200);
        assert_eq!(snippet(&"a ".repeat(500)).chars().count(), 199);
        assert_eq!(snippet("\u{200B}"), "");
    }
}
