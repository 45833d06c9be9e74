use super::sequence::SequenceSet;
use crate::domain::time::Timestamp;
use crate::mailserver::flags::Flags;
use crate::mailserver::store::Unknown;
use std::io;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The command cannot be understood, or has no place here: `BAD`.
    Bad(&'static str),
    /// It was understood and refused: `NO`.
    No(String),
    /// A rule, or the command itself, has said all there is to say.
    Answered,
    /// The connection ends.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Unknown> for Fault {
    fn from(_: Unknown) -> Self {
        Self::No("[NONEXISTENT] No such folder".into())
    }
}

/// Reads a command, its literals in place (`{5}` CRLF and five bytes), from left to right.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(command: &'a [u8]) -> Self {
        Self { rest: command }
    }

    pub fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn end(&self) -> Result<(), Fault> {
        if self.at_end() { Ok(()) } else { Err(Fault::Bad("Too many arguments")) }
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes `text` if it comes next, without regard to case.
    pub fn take(&mut self, text: &str) -> bool {
        match self.rest.split_at_checked(text.len()) {
            Some((head, rest)) if head.eq_ignore_ascii_case(text.as_bytes()) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub fn expect(&mut self, text: &str) -> Result<(), Fault> {
        if self.take(text) { Ok(()) } else { Err(Fault::Bad("Syntax error")) }
    }

    pub fn space(&mut self) -> Result<(), Fault> {
        self.expect(" ")
    }

    /// As many bytes as `fits` allows, at least one, all of them ASCII.
    pub fn run(&mut self, fits: impl Fn(u8) -> bool) -> Result<&'a str, Fault> {
        let end = self.rest.iter().position(|&byte| !fits(byte)).unwrap_or(self.rest.len());
        let (head, rest) = self.rest.split_at(end);
        match std::str::from_utf8(head) {
            Ok(text) if text.is_ascii() && !text.is_empty() => {
                self.rest = rest;
                Ok(text)
            }
            _ => Err(Fault::Bad("Syntax error")),
        }
    }

    pub fn atom(&mut self) -> Result<&'a str, Fault> {
        self.run(|byte| byte != b']' && atom_char(byte))
    }

    pub fn number(&mut self) -> Result<u32, Fault> {
        self.run(|byte| byte.is_ascii_digit())?.parse().map_err(|_| Fault::Bad("Number out of range"))
    }

    /// A mod-sequence: 63 bits (RFC 7162 section 7).
    pub fn mod_sequence(&mut self) -> Result<u64, Fault> {
        let number = self.run(|byte| byte.is_ascii_digit())?.parse::<i64>();
        number.ok().and_then(|number| number.try_into().ok()).ok_or(Fault::Bad("Number out of range"))
    }

    pub fn sequence_set(&mut self) -> Result<SequenceSet, Fault> {
        let text = self.run(|byte| byte.is_ascii_digit() || b":,*".contains(&byte))?;
        SequenceSet::parse(text).ok_or(Fault::Bad("Bad sequence set"))
    }

    /// An atom, a quoted string or a literal, as text.
    pub fn astring(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.run(atom_char).map(str::to_owned),
        }
    }

    /// The same, where `*` and `%` may stand too (LIST).
    pub fn pattern(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.run(|byte| atom_char(byte) || b"*%".contains(&byte)).map(str::to_owned),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let bytes = if self.peek() == Some(b'"') { self.quoted()? } else { self.literal()?.to_vec() };
        String::from_utf8(bytes).map_err(|_| Fault::Bad("Not UTF-8"))
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Fault> {
        self.expect("\"")?;
        let mut bytes = Vec::new();
        let mut rest = self.rest.iter();
        loop {
            match rest.next() {
                Some(b'"') => break,
                Some(b'\\') => match rest.next() {
                    Some(&byte @ (b'"' | b'\\')) => bytes.push(byte),
                    _ => return Err(Fault::Bad("Bad quoted string")),
                },
                Some(b'\r' | b'\n') | None => return Err(Fault::Bad("Bad quoted string")),
                Some(&byte) => bytes.push(byte),
            }
        }
        self.rest = rest.as_slice();
        Ok(bytes)
    }

    pub fn literal(&mut self) -> Result<&'a [u8], Fault> {
        self.expect("{")?;
        let length = usize::try_from(self.number()?).map_err(|_| Fault::Bad("Literal too big"))?;
        self.take("+");
        self.expect("}\r\n")?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Fault::Bad("Bad literal"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Flags in parentheses, or one or more without.
    pub fn flags(&mut self) -> Result<Flags, Fault> {
        let listed = self.take("(");
        let mut flags = Flags::default();
        while !(listed && self.take(")")) {
            flags.insert(self.run(|byte| byte == b'\\' || (byte != b']' && atom_char(byte)))?);
            if !self.take(" ") && !listed {
                break;
            }
        }
        Ok(flags)
    }

    /// A date and time as APPEND has it: `"17-Jul-1996 02:44:25 -0700"`.
    pub fn date_time(&mut self) -> Result<Timestamp, Fault> {
        let text = self.string()?;
        let parsed = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim_start());
        let time = parsed.and_then(|parts| parts.to_timestamp()).map_err(|_| Fault::Bad("Bad date"))?;
        Ok(Timestamp::from_millis(time.as_millisecond()))
    }

    /// A date as SEARCH has it: `1-Feb-1994`, quoted or not; its first moment in UTC.
    pub fn date(&mut self) -> Result<Timestamp, Fault> {
        let text = self.astring()?;
        let parsed = jiff::fmt::strtime::parse("%d-%b-%Y", &text).and_then(|parts| parts.to_date());
        let day = parsed.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC)).map_err(|_| Fault::Bad("Bad date"))?;
        Ok(Timestamp::from_millis(day.timestamp().as_millisecond()))
    }
}

/// Characters of an atom, `]` included, as in the names of folders.
fn atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\".contains(&byte)
}

/// A string as a response carries it: quoted if it can be, else a literal.
pub(super) fn quote(text: &str) -> String {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("{{{}}}\r\n{text}", text.len())
    }
}

/// The literal that a command line announces at its end: its length, and whether the client waits to be asked for it.
pub(super) fn announced(line: &[u8]) -> Option<(u32, bool)> {
    let inside = line.strip_suffix(b"}")?;
    let open = inside.iter().rposition(|&byte| byte == b'{')?;
    let digits = &inside[open + 1..];
    let (digits, waits) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // A number beyond u32 is a literal too, one that is too long for anybody.
    all_digits.then(|| (std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(u32::MAX), waits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_as_atoms_quoted_or_as_literals() {
        let mut cursor = Cursor::new(b"a]b \"q \\\"\\\\\" {3}\r\nx\r\n {2+}\r\nyz");
        assert_eq!(cursor.astring().unwrap(), "a]b");
        for wanted in ["q \"\\", "x\r\n", "yz"] {
            cursor.space().unwrap();
            assert_eq!(cursor.astring().unwrap(), wanted);
        }
        cursor.end().unwrap();
        for bad in [&b"\"open"[..], b"{9}\r\nshort", b"\"\\x\"", b"(", b"", b"\"\xff\""] {
            assert!(Cursor::new(bad).astring().is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn flags_and_dates_are_read() {
        assert_eq!(Cursor::new(b"(\\Seen $X)").flags().unwrap().to_string(), "\\Seen $X");
        assert_eq!(Cursor::new(b"()").flags().unwrap(), Flags::default());
        assert_eq!(Cursor::new(b"\\Deleted \\Seen").flags().unwrap().to_string(), "\\Deleted \\Seen");
        assert!(Cursor::new(b"(\\Seen").flags().is_err());
        let date = Cursor::new(b"\" 7-Jul-1996 02:44:25 -0700\"").date_time().unwrap();
        assert_eq!(date.to_string(), "1996-07-07T09:44:25.000Z");
        assert_eq!(Cursor::new(b"1-Feb-1994").date().unwrap().to_string(), "1994-02-01T00:00:00.000Z");
        assert!(Cursor::new(b"31-Feb-1994").date().is_err());
    }

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line() {
        assert_eq!(announced(b"t LOGIN {11}"), Some((11, true)));
        assert_eq!(announced(b"t LOGIN {11+}"), Some((11, false)));
        assert_eq!(announced(b"t APPEND x {99999999999}"), Some((u32::MAX, true)));
        for none in [&b"t NOOP"[..], b"x {}", b"x {1", b"x 1}", b"{a}", b"{+}"] {
            assert_eq!(announced(none), None, "{}", none.escape_ascii());
        }
        assert_eq!(quote("a\"\\"), "\"a\\\"\\\\\"");
        assert_eq!(quote("\u{e9}"), "{2}\r\n\u{e9}");
    }
}
