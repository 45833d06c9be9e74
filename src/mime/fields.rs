//! The text of outgoing header fields: folded (RFC 5322 §2.2.3), encoded words (RFC 2047), addresses.
//!
//! The callers have refused control characters and line breaks; here everything else is made to fit and to read back
//! exactly as it was.

use crate::domain::address::{Person, is_atom_character};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The preferred length of a line without its CRLF (RFC 5322 §2.1.1).
const LINE: usize = 78;
/// The longest encoded word (RFC 2047 §2).
const WORD: usize = 75;
/// What `=?utf-8?q?` and `?=` take of it.
const FRAME: usize = 12;
/// The shortest encoded word that takes any character: four octets, each as `=XX`.
const SHORTEST: usize = FRAME + 12;

/// Puts pieces one after the other with one space between them, and folds before a piece that would not fit.
struct Folded {
    text: String,
    column: usize,
    first: bool,
}

impl Folded {
    fn after(name: &str) -> Self {
        Self { text: String::new(), column: name.len() + 2, first: true }
    }

    fn push(&mut self, piece: &str) {
        if self.first {
            self.first = false;
        } else if self.column + 1 + piece.len() > LINE {
            self.fold();
        } else {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(piece);
        self.column += piece.len();
    }

    fn fold(&mut self) {
        self.text.push_str("\r\n ");
        self.column = 1;
    }
}

/// An unstructured field such as Subject: readable where it is plain ASCII, encoded words where it is not.
pub(super) fn unstructured(name: &str, text: &str) -> String {
    let mut folded = Folded::after(name);
    let room = LINE - folded.column;
    if is_plain(text) && text.split(' ').all(|word| word.len() <= room) {
        for word in text.split(' ') {
            folded.push(word);
        }
    } else {
        if room < SHORTEST {
            folded.fold();
        }
        for word in encoded_words(text, LINE - folded.column) {
            folded.push(&word);
        }
    }
    folded.text
}

/// A field of words that must stay as they are, such as message identifiers or URLs in angle brackets.
pub(super) fn words<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let mut folded = Folded::after(name);
    for word in words {
        folded.push(word);
    }
    folded.text
}

/// A list of people; an empty list is the empty group of RFC 5322 §3.4.
pub(super) fn people(name: &str, people: &[Person]) -> String {
    let mut folded = Folded::after(name);
    if people.is_empty() {
        folded.push("undisclosed-recipients:;");
    }
    for (index, person) in people.iter().enumerate() {
        let comma = if index + 1 < people.len() { "," } else { "" };
        let address = person.address.ascii();
        match person.name.as_deref().filter(|name| !name.trim().is_empty()) {
            Some(name) => {
                let room = if folded.first { LINE - folded.column } else { WORD };
                for piece in phrase(name, room) {
                    folded.push(&piece);
                }
                folded.push(&format!("<{address}>{comma}"));
            }
            None => folded.push(&format!("{address}{comma}")),
        }
    }
    folded.text
}

/// A display name: an atom where it can be, else a quoted string, else encoded words.
fn phrase(name: &str, room: usize) -> Vec<String> {
    if is_plain(name) && name.len() + 2 <= room {
        if name.chars().all(|c| c == ' ' || is_atom_character(c)) {
            return vec![name.to_owned()];
        }
        if !name.contains(['"', '\\']) {
            return vec![format!("\"{name}\"")];
        }
    }
    encoded_words(name, room)
}

/// Whether a reader gets back exactly this text when it stands in a field as it is, folded at its spaces or not.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !text.contains("=?")
        && !text.contains("  ")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
}

/// The text in encoded words of UTF-8, none splitting a character; the first no longer than `room`, which has place for
/// [`SHORTEST`].
fn encoded_words(text: &str, room: usize) -> Vec<String> {
    let quoted: usize = text.chars().map(quoted_length).sum();
    // Mostly ASCII stays legible in a raw message; other scripts would triple.
    let in_base64 = quoted * 2 > text.len() * 5;
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let limit = if words.is_empty() { room.min(WORD) } else { WORD } - FRAME;
        let mut used = 0;
        let cut = rest
            .char_indices()
            .find(|(_, c)| {
                used += if in_base64 { c.len_utf8() } else { quoted_length(*c) };
                (if in_base64 { used.div_ceil(3) * 4 } else { used }) > limit
            })
            .map_or(rest.len(), |(at, _)| at);
        let (piece, left) = rest.split_at(cut);
        words.push(if in_base64 {
            format!("=?utf-8?b?{}?=", STANDARD.encode(piece))
        } else {
            format!("=?utf-8?q?{}?=", quote(piece))
        });
        rest = left;
    }
    words
}

/// Octets that stand for themselves in every place where an encoded word may stand (RFC 2047 §5 (3)).
fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!*+-/".contains(&byte)
}

fn quoted_length(c: char) -> usize {
    if c == ' ' || (c.is_ascii() && u8::try_from(c).is_ok_and(is_safe)) { 1 } else { 3 * c.len_utf8() }
}

fn quote(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    text.bytes().fold(String::with_capacity(text.len() * 3), |mut out, byte| {
        match byte {
            b' ' => out.push('_'),
            _ if is_safe(byte) => out.push(char::from(byte)),
            _ => {
                out.push('=');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people_of(list: &[&str]) -> Vec<Person> {
        list.iter().map(|text| Person::parse(text).unwrap()).collect()
    }

    #[test]
    fn plain_text_stays_readable_and_everything_else_becomes_encoded_words() {
        for (text, expected) in [
            ("Hello there", "Hello there"),
            ("", ""),
            ("Grüße", "=?utf-8?q?Gr=C3=BC=C3=9Fe?="),
            ("日本語", "=?utf-8?b?5pel5pys6Kqe?="),
            (" edge", "=?utf-8?q?_edge?="),
            ("two  spaces", "=?utf-8?q?two__spaces?="),
            ("=?utf-8?q?x?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?="),
        ] {
            assert_eq!(unstructured("Subject", text), expected, "{text:?}");
        }
    }

    #[test]
    fn long_fields_are_folded_so_that_no_line_passes_78() {
        for text in ["word ".repeat(100).trim().to_owned(), "ü".repeat(300), "x".repeat(300), "字 ".repeat(200)] {
            let field = format!("Subject: {}", unstructured("Subject", &text));
            assert!(field.split("\r\n").all(|line| line.len() <= 78), "{field}");
            assert!(field.split("\r\n").skip(1).all(|line| line.starts_with(' ')), "{field}");
        }
    }

    #[test]
    fn behind_a_long_name_no_word_is_empty() {
        for (length, text) in (1..=60).flat_map(|length| ["ü", "😀 x", "日本語"].map(|text| (length, text))) {
            let name = format!("X-{}", "a".repeat(length - 1));
            let field = format!("{name}: {}", unstructured(&name, &text.repeat(20)));
            assert!(!field.contains("q??=") && !field.contains("b??="), "{field}");
            assert!(field.split("\r\n").all(|line| line.len() <= 78), "{field}");
        }
    }

    #[test]
    fn people_are_written_with_a_name_that_any_reader_understands() {
        let list = people_of(&["a@b.org", "Ann Lee <a@b.org>", "\"Lee, Ann\" <a@b.org>", "\"q\\\"\" <a@b.org>"]);
        assert_eq!(
            people("To", &list),
            "a@b.org, Ann Lee <a@b.org>, \"Lee, Ann\" <a@b.org>, =?utf-8?q?q=22?=\r\n <a@b.org>"
        );
        assert_eq!(
            people("To", &people_of(&["Jürgen <j@exämple.org>"])),
            "=?utf-8?q?J=C3=BCrgen?= <j@xn--exmple-cua.org>"
        );
        assert_eq!(people("To", &[]), "undisclosed-recipients:;");
    }
}
