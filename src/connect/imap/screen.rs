//! What stands between the connection and the `imap` crate, and refuses what the crate cannot bear.
//!
//! The crate buffers whole responses, looks for the end of a line without a limit, parses nested lists by recursion and
//! ends the session at a byte above 127 in a text, or at a warning. So here: a line has a longest length, a literal has to
//! fit into what may still be read, a response has only so many parentheses, bytes that are no text become question marks,
//! and an untagged NO becomes an OK.
//!
//! The crate also reads literals line by line and parses the response from its start after each: a message of a thousand
//! lines is looked at a thousand times. Where texts are fetched, literals therefore come [veiled](Veil), without lines.

use crate::net::StreamControls;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest line, literals apart: the answer to a SEARCH over 100,000 messages fits.
const LINE_LIMIT: usize = 2 << 20;

/// How many lists one response may open. What we ask for opens about five; each costs the parser a piece of stack.
const LIST_LIMIT: usize = 64;

/// Why a response was refused. Prints as the second half of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A literal larger than what may still be read.
    Literal(u64),
    Line,
    Nesting,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(size) => write!(f, "it announced {size} bytes, which is more than it may send"),
            Self::Line => f.write_str("it sent a line without an end"),
            Self::Nesting => f.write_str("it sent too many nested lists"),
        }
    }
}

impl std::error::Error for Refused {}

/// While it is down, line feeds and NULs in literals trade places; whoever takes a literal [lifts](lifted) it.
#[derive(Clone, Default)]
pub(super) struct Veil(Arc<AtomicBool>);

impl Veil {
    pub fn set(&self, down: bool) {
        self.0.store(down, Ordering::Relaxed);
    }

    fn is_down(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The octets of a literal that came veiled, as they were sent.
pub(super) fn lifted(mut literal: Vec<u8>) -> Vec<u8> {
    trade(&mut literal);
    literal
}

fn trade(octets: &mut [u8]) {
    for octet in octets {
        *octet = match *octet {
            b'\n' => 0,
            0 => b'\n',
            other => other,
        };
    }
}

/// A stream whose incoming bytes were looked at.
pub(super) struct Screen<S> {
    stream: S,
    /// How much may still be read.
    controls: StreamControls,
    /// Bytes that were received before the stream was handed over.
    ahead: io::Cursor<Vec<u8>>,
    lexer: Lexer,
    veil: Veil,
}

impl<S> Screen<S> {
    pub fn new(stream: S, controls: StreamControls, ahead: Vec<u8>) -> Self {
        Self { stream, controls, ahead: io::Cursor::new(ahead), lexer: Lexer::default(), veil: Veil::default() }
    }

    /// What decides whether literals come veiled.
    pub fn veil(&self) -> Veil {
        self.veil.clone()
    }
}

impl<S: Read> Read for Screen<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.ahead.read(buffer)?;
        if count == 0 {
            count = self.stream.read(buffer)?;
        }
        // A literal may reach into what was just read as well as into what may still be read.
        let may_follow = self.controls.budget().saturating_add(count as u64);
        self.lexer.look(&mut buffer[..count], may_follow, self.veil.is_down()).map_err(io::Error::other)?;
        Ok(count)
    }
}

impl<S: Write> Write for Screen<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Follows a stream of responses closely enough to know lines from literals.
#[derive(Default)]
struct Lexer {
    /// Bytes of the current literal that are still to come.
    literal: u64,
    /// The beginning of the current response, to tell those with a free text from those with literals.
    head: Vec<u8>,
    /// The length of the current line.
    line: usize,
    /// Lists opened in the current response.
    lists: usize,
    tail: Tail,
}

/// How far the end of a line looks like the announcement of a literal: `{123}` CR LF.
#[derive(Clone, Copy, Default)]
enum Tail {
    #[default]
    Other,
    Digits(u64),
    Closed(u64),
    Return(u64),
}

impl Lexer {
    fn look(&mut self, bytes: &mut [u8], may_follow: u64, veiled: bool) -> Result<(), Refused> {
        let mut at = 0;
        while at < bytes.len() {
            if self.literal > 0 {
                let skipped = usize::try_from(self.literal).unwrap_or(usize::MAX).min(bytes.len() - at);
                if veiled {
                    trade(&mut bytes[at..at + skipped]);
                }
                self.literal -= skipped as u64;
                at += skipped;
            } else {
                self.text(&mut bytes[at], may_follow)?;
                at += 1;
            }
        }
        Ok(())
    }

    fn text(&mut self, byte: &mut u8, may_follow: u64) -> Result<(), Refused> {
        self.line += 1;
        if self.line > LINE_LIMIT {
            return Err(Refused::Line);
        }
        if self.head.len() < 12 {
            self.head.push(byte.to_ascii_uppercase());
        }
        match (&self.head[..], *byte) {
            (_, 0x80.. | 0) => *byte = b'?',
            // An untagged NO warns and refuses nothing (RFC 3501 section 7.1.2); the crate knows it as an answer only.
            (b"* N", _) if self.line == 3 => *byte = b'O',
            (b"* NO", _) if self.line == 4 => *byte = b'K',
            _ => {}
        }
        if *byte == b'(' {
            self.lists += 1;
            if self.lists > LIST_LIMIT && !self.is_free_text() {
                return Err(Refused::Nesting);
            }
        }
        if *byte == b'\n' {
            return self.end_of_line(may_follow);
        }
        self.tail = match (self.tail, *byte) {
            (_, b'{') => Tail::Digits(0),
            (Tail::Digits(size), digit @ b'0'..=b'9') => {
                Tail::Digits(size.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
            }
            (Tail::Digits(size), b'}') => Tail::Closed(size),
            (Tail::Closed(size), b'\r') => Tail::Return(size),
            _ => Tail::Other,
        };
        Ok(())
    }

    fn end_of_line(&mut self, may_follow: u64) -> Result<(), Refused> {
        self.line = 0;
        match self.tail {
            Tail::Return(size) if !self.is_free_text() => {
                if size > may_follow {
                    return Err(Refused::Literal(size));
                }
                self.literal = size;
            }
            _ => {
                self.head.clear();
                self.lists = 0;
            }
        }
        self.tail = Tail::Other;
        Ok(())
    }

    /// Responses that end in a text for people, in which `{5}` is just text: everything but untagged data.
    fn is_free_text(&self) -> bool {
        match self.head.strip_prefix(b"* ") {
            Some(rest) => [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].iter().any(|word| {
                rest.strip_prefix(*word).is_some_and(|more| !more.first().is_some_and(u8::is_ascii_alphanumeric))
            }),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &[u8], budget: u64) -> Result<Vec<u8>, Refused> {
        let mut whole = text.to_vec();
        let result = Lexer::default().look(&mut whole, budget, false).map(|()| whole);
        // The same in single bytes: where reads end must not matter.
        let mut single = Lexer::default();
        let mut bytes = text.to_vec();
        let one_by_one = bytes.iter_mut().try_for_each(|byte| single.look(std::slice::from_mut(byte), budget, false));
        assert_eq!(result.as_ref().err(), one_by_one.as_ref().err());
        if let Ok(whole) = &result {
            assert_eq!(*whole, bytes);
        }
        result
    }

    #[test]
    fn literals_pass_untouched_and_texts_lose_what_is_no_text() {
        let text = b"* 1 FETCH (BODY[] {4}\r\n\xff\0(\n FLAGS ())\r\n* OK gr\xc3\xbc\xc3\x9fe {9}\r\na1 OK \0\r\n";
        let screened = b"* 1 FETCH (BODY[] {4}\r\n\xff\0(\n FLAGS ())\r\n* OK gr????e {9}\r\na1 OK ?\r\n";
        assert_eq!(look(text, 1000).unwrap(), screened);
    }

    #[test]
    fn a_veiled_literal_has_no_lines_and_lifting_gives_it_back() {
        let text = b"* 1 FETCH (BODY[] {7}\r\na\r\n\0b\n\n)\r\na1 OK \n\0\r\n";
        let mut veiled = text.to_vec();
        Lexer::default().look(&mut veiled, 1000, true).unwrap();
        assert_eq!(veiled, b"* 1 FETCH (BODY[] {7}\r\na\r\0\nb\0\0)\r\na1 OK \n?\r\n");
        assert_eq!(lifted(veiled[23..30].to_vec()), &text[23..30]);
    }

    #[test]
    fn a_warning_is_no_refusal() {
        let text = b"* NO [ALERT] full {3}\r\n* 1 FETCH (X {4}\r\n* NO)\r\na1 NO no\r\n* no x\r\n";
        let screened = b"* OK [ALERT] full {3}\r\n* 1 FETCH (X {4}\r\n* NO)\r\na1 NO no\r\n* OK x\r\n";
        assert_eq!(look(text, 1000).unwrap(), screened);
    }

    #[test]
    fn a_literal_larger_than_what_may_follow_is_refused_before_it_comes() {
        assert_eq!(look(b"* 1 FETCH (BODY[] {101}\r\n", 100), Err(Refused::Literal(101)));
        assert_eq!(look(b"* 1 FETCH (BODY[] {4294967296}\r\n", 100), Err(Refused::Literal(4_294_967_296)));
        assert!(look(b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n", 100).is_err());
        assert!(look(b"* 1 FETCH (BODY[] {100}\r\n", 100).is_ok());
    }

    #[test]
    fn nesting_is_bounded_per_response_also_behind_a_literal() {
        let nested = |count: usize| [&b"* 1 FETCH (X {1}\r\nx"[..], &b"(".repeat(count), b"\r\n"].concat();
        assert_eq!(look(&nested(LIST_LIMIT), 1000), Err(Refused::Nesting));
        assert!(look(&nested(LIST_LIMIT - 1), 1000).is_ok());
        let many = b"* 1 FETCH (FLAGS ())\r\n".repeat(200);
        assert!(look(&many, 1000).is_ok());
        // A text that looks like a literal must not hide what follows.
        let hidden = [&b"* OK {1000}\r\n* 1 FETCH ("[..], &b"(".repeat(LIST_LIMIT), b"\r\n"].concat();
        assert_eq!(look(&hidden, 100_000), Err(Refused::Nesting));
        assert!(look(&[&b"* OK "[..], &b"(".repeat(500), b"\r\n"].concat(), 1000).is_ok());
    }

    proptest::proptest! {
        /// Where reads end must not matter (`look` compares), nothing grows, and what is no text does not come through.
        #[test]
        fn nothing_upsets_it(
            parts in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::collection::vec(proptest::num::u8::ANY, 0..20),
                    proptest::sample::select(vec![
                        b"* ".to_vec(), b"OK ".to_vec(), b"NO ".to_vec(), b"BYE".to_vec(), b"\r\n".to_vec(),
                        b"{3}\r\n".to_vec(), b"{0}\r\n".to_vec(), b"{999}\r\n".to_vec(), b"{".to_vec(), b"}\r\n".to_vec(),
                        b"FETCH (".to_vec(), b"((((".to_vec(), b"a1 ".to_vec(), b"\n".to_vec(),
                    ]),
                ],
                0..40,
            ),
        ) {
            let text = parts.concat();
            if let Ok(screened) = look(&text, 500) {
                proptest::prop_assert_eq!(screened.len(), text.len());
                let changed = text.iter().zip(&screened).filter(|(before, after)| before != after);
                for (before, after) in changed {
                    proptest::prop_assert!(*after == b'?' || b"no".contains(&before.to_ascii_lowercase()));
                }
            }
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        assert_eq!(look(&vec![b'x'; LINE_LIMIT + 1], u64::MAX), Err(Refused::Line));
        assert!(look(&[vec![b'x'; LINE_LIMIT - 1], b"\n".to_vec()].concat().repeat(2), u64::MAX).is_ok());
    }
}
