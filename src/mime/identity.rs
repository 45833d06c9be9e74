//! What a message is known by, whatever its folder and its number there.

use super::entity::Section;
use ring::digest::{Context, Digest, SHA256, digest};
use std::fmt::Write as _;

/// The fields that a message keeps on its way; relays and servers add others.
const FIELDS: [&str; 4] = ["message-id", "from", "date", "subject"];

/// A SHA-256 over Message-ID, From, Date, Subject and the body: the same for copies of a message in several folders,
/// whatever each server has put above it, and another one for another message, also if that claims the same Message-ID.
/// A message without a Message-ID is the same only octet for octet. `extra` sets apart what looks the same and is not. White space in fields, and which line ends, do not count.
pub fn identity(raw: &[u8], extra: u64) -> String {
    let section = Section::of_message(raw);
    if extra == 0 && first_field(&section.header, FIELDS[0]).is_none() {
        // Nothing else sets two short notes of one author apart.
        return shown(&digest(&SHA256, raw));
    }
    let mut context = Context::new(&SHA256);
    for wanted in FIELDS {
        context.update(wanted.as_bytes());
        context.update(b":");
        if let Some(value) = first_field(&section.header, wanted) {
            let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            for word in words {
                context.update(word);
                context.update(b" ");
            }
        }
        context.update(b"\n");
    }
    for line in section.body.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        context.update(line.strip_suffix(b"\r").unwrap_or(line));
        context.update(b"\n");
    }
    context.update(&extra.to_be_bytes());
    shown(&context.finish())
}

fn shown(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::from("sha256:"), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The first field of a name, with the lines that it goes on over.
fn first_field<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    while at < header.len() {
        let mut end = line_end(header, at);
        while header.get(end).is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
            end = line_end(header, end);
        }
        let field = &header[at..end];
        if let Some(colon) = field.iter().position(|byte| *byte == b':')
            && field[..colon].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
        {
            return Some(&field[colon + 1..]);
        }
        at = end;
    }
    None
}

fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| from + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str =
        "Received: from x\r\nMessage-ID: <1@x>\r\nFrom: a@x\r\nSubject: long\r\n subject\r\n\r\nHello\r\n";

    #[test]
    fn what_servers_add_makes_no_other_message() {
        let plain = "message-id: <1@x>\nFrom:  a@x\nsubject: long subject\nX-Folder: Sent\n\nHello\n";
        assert_eq!(identity(MAIL.as_bytes(), 0), identity(plain.as_bytes(), 0));
    }

    #[test]
    fn another_text_or_author_or_size_makes_another() {
        let other = [
            MAIL.replace("Hello", "Hullo"),
            MAIL.replace("a@x", "b@x"),
            MAIL.replace("<1@x>", "<2@x>"),
            MAIL.replace("long\r\n subject", "longsubject"),
            format!("{MAIL}\r\n"),
        ];
        for other in &other {
            assert_ne!(identity(MAIL.as_bytes(), 0), identity(other.as_bytes(), 0), "{other}");
        }
        assert_ne!(identity(MAIL.as_bytes(), 0), identity(MAIL.as_bytes(), 7));
        assert_eq!(identity(b"", 0).len(), 71);
    }
}
