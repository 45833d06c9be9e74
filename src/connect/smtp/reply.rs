//! A server's reply (RFC 5321 section 4.2), read from bytes that may be anything.

use crate::domain::failure::EnhancedCode;
use std::fmt;

/// The longest line of a reply, in bytes with its end; RFC 5321 section 4.5.3.1.5 allows 512.
pub(super) const LINE_LIMIT: usize = 4096;
/// The most lines and bytes of one reply.
const LINES_LIMIT: usize = 100;
const BYTES_LIMIT: usize = 64 << 10;

/// One whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// From 200 to 599.
    pub code: u16,
    /// Each line's text, without code, separator and line end. Never empty.
    pub lines: Vec<String>,
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoReply {
    TooLong,
    /// Not `250 text` or `250-text`, or lines of one reply with different codes.
    Garbage,
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "its reply does not end",
            Self::Garbage => "its reply is not SMTP",
        })
    }
}

impl Reply {
    /// The text of all lines as one, without the enhanced code that servers repeat on each line.
    pub fn text(&self) -> String {
        let first = self.lines.first().map(String::as_str).unwrap_or_default();
        let repeated = EnhancedCode::from_reply(first);
        let mut text = first.to_owned();
        for line in &self.lines[1..] {
            let repeats = repeated.is_some() && EnhancedCode::from_reply(line) == repeated;
            let line = line.trim();
            let rest = if repeats { line.split_once(' ').map_or("", |(_, rest)| rest) } else { line };
            text.push(' ');
            text.push_str(rest.trim());
        }
        text
    }

    /// The code and the text, as recorded in stages.
    pub fn line(&self) -> String {
        format!("{} {}", self.code, self.text())
    }

    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.lines.first().and_then(|line| EnhancedCode::from_reply(line))
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }
}

/// Puts a reply together, line by line.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    code: Option<u16>,
    lines: Vec<String>,
    bytes: usize,
}

impl ReplyReader {
    /// Takes one line without its end; returns the reply once this was its last line.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, NoReply> {
        self.bytes += line.len() + 2;
        if line.len() > LINE_LIMIT || self.bytes > BYTES_LIMIT || self.lines.len() >= LINES_LIMIT {
            return Err(NoReply::TooLong);
        }
        let (code, rest) = line.split_at_checked(3).ok_or(NoReply::Garbage)?;
        let &[hundreds @ b'2'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = code else {
            return Err(NoReply::Garbage);
        };
        let digit = |byte: u8| u16::from(byte - b'0');
        let code = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
        if *self.code.get_or_insert(code) != code {
            return Err(NoReply::Garbage);
        }
        let (more, text) = match rest {
            [] => (false, rest),
            [b' ', text @ ..] => (false, text),
            [b'-', text @ ..] => (true, text),
            _ => return Err(NoReply::Garbage),
        };
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        Ok(if more { None } else { Some(Reply { code, lines: std::mem::take(&mut self.lines) }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<Reply>, NoReply> {
        let mut reader = ReplyReader::default();
        let mut last = Ok(None);
        for line in lines {
            last = reader.line(line);
        }
        last
    }

    #[test]
    fn replies_of_one_and_of_several_lines_are_read() {
        let reply = read(&[b"250"]).unwrap().unwrap();
        assert_eq!((reply.code, reply.text()), (250, String::new()));
        let reply =
            read(&[b"550-5.1.1 No such", b"550-5.1.1  user;", b"550-5.1.10", b"550 5.1.1 try again"]).unwrap().unwrap();
        assert_eq!(reply.line(), "550 5.1.1 No such user; 5.1.10 try again");
        assert_eq!(reply.enhanced(), Some(EnhancedCode(5, 1, 1)));
        assert_eq!(read(&[b"250-a"]), Ok(None));
        assert!(read(&[b"250 caf\xe9 \0"]).unwrap().is_some());
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for lines in [
            &[&b""[..]][..],
            &[b"25"],
            &[b"hello"],
            &[b"150 x"],
            &[b"650 x"],
            &[b"2500"],
            &[b"250_x"],
            &[b"\0\0\0 x"],
            &[b"\xff\xfe"],
            &[b"250-a", b"251 b"],
            &[b"+250 x"],
        ] {
            assert_eq!(read(lines), Err(NoReply::Garbage), "{lines:?}");
        }
    }

    #[test]
    fn a_reply_has_its_bounds() {
        let mut reader = ReplyReader::default();
        for _ in 0..LINES_LIMIT {
            assert_eq!(reader.line(b"250-x"), Ok(None));
        }
        assert_eq!(reader.line(b"250 x"), Err(NoReply::TooLong));
        let long = [b"250-".as_slice(), &[b'x'; 4000]].concat();
        let mut reader = ReplyReader::default();
        let lines = (0..20).take_while(|_| reader.line(&long).is_ok()).count();
        assert_eq!(lines, BYTES_LIMIT / (long.len() + 2));
    }
}
