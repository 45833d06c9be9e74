/// Takes a message out of the DATA phase: undoes dot-stuffing and finds the end, which is CRLF `.` CRLF and nothing
/// else (RFC 5321 sections 4.1.1.4 and 4.5.2). A line that ends in anything but CRLF does not begin a new one, so
/// neither LF `.` LF nor LF `.` CRLF ends the message, as a server must not let them (SMTP smuggling).
pub(super) struct Body {
    state: State,
    bytes: Vec<u8>,
    max: usize,
    /// Bytes that came in, those beyond `max` included.
    pub seen: usize,
    pub bare_cr: bool,
    pub bare_lf: bool,
}

enum State {
    LineStart,
    Text,
    Cr,
    /// A dot at the start of a line, held back.
    Dot,
    /// The same and a CR, held back.
    DotCr,
}

impl Body {
    /// Keeps at most `max` bytes; what goes beyond is read, counted and thrown away.
    pub fn new(max: usize) -> Self {
        Self { state: State::LineStart, bytes: Vec::new(), max, seen: 0, bare_cr: false, bare_lf: false }
    }

    /// Takes input. `Some(n)` if the message ended within it, `n` bytes in; what follows is not part of it.
    pub fn feed(&mut self, input: &[u8]) -> Option<usize> {
        for (index, &byte) in input.iter().enumerate() {
            self.state = match (&self.state, byte) {
                (State::LineStart, b'.') => State::Dot,
                (State::Dot, b'\r') => State::DotCr,
                (State::DotCr, b'\n') => return Some(index + 1),
                (State::DotCr, _) => {
                    // The dot was stuffing after all, and the CR stands alone.
                    self.keep(b'\r');
                    self.bare_cr = true;
                    self.text(byte)
                }
                (State::Cr, b'\n') => {
                    self.keep(b'\n');
                    State::LineStart
                }
                (State::Cr, _) => {
                    self.bare_cr = true;
                    self.text(byte)
                }
                (State::LineStart | State::Text | State::Dot, _) => self.text(byte),
            };
        }
        None
    }

    /// The message, or `None` if it was longer than allowed.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.seen <= self.max).then_some(self.bytes)
    }

    fn text(&mut self, byte: u8) -> State {
        self.keep(byte);
        match byte {
            b'\r' => State::Cr,
            b'\n' => {
                self.bare_lf = true;
                State::Text
            }
            _ => State::Text,
        }
    }

    fn keep(&mut self, byte: u8) {
        self.seen += 1;
        if self.seen <= self.max {
            self.bytes.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(input: &[u8]) -> Option<(Vec<u8>, bool, bool, usize)> {
        let mut body = Body::new(1_000);
        let end = body.feed(input)?;
        let (cr, lf) = (body.bare_cr, body.bare_lf);
        Some((body.finish().unwrap(), cr, lf, end))
    }

    #[test]
    fn a_message_ends_only_at_a_dot_between_two_crlfs() {
        let cases: [(&[u8], &[u8], bool, bool); 8] = [
            (b".\r\n", b"", false, false),
            (b"a\r\n.\r\n", b"a\r\n", false, false),
            (b"..\r\n...x\r\n.y\r\n.\r\n", b".\r\n..x\r\ny\r\n", false, false),
            (b"a\n.\n.\r\nb\r\n.\r\n", b"a\n.\n.\r\nb\r\n", false, true),
            (b"a\r.\r\n\r\n.\r\n", b"a\r.\r\n\r\n", true, false),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", true, false),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", false, true),
            (b"a\r\r\n.\r\n", b"a\r\r\n", true, false),
        ];
        for (input, wanted, cr, lf) in cases {
            let name = input.escape_ascii();
            assert_eq!(read(input), Some((wanted.to_vec(), cr, lf, input.len())), "{name}");
        }
        assert_eq!(read(b"a\n.\n"), None);
        assert_eq!(read(b"a\n.\r\n"), None);
        assert_eq!(read(b"a\r\n.\n"), None);
        assert_eq!(read(b".\r\nQUIT\r\n").map(|found| found.3), Some(3));
    }

    #[test]
    fn a_message_that_is_too_long_is_read_to_its_end_and_not_kept() {
        let mut body = Body::new(4);
        assert_eq!(body.feed(b"12345678\r\n.\r\n"), Some(13));
        assert_eq!(body.seen, 10);
        assert_eq!(body.finish(), None);
    }

    proptest! {
        #[test]
        fn every_message_of_lines_survives_stuffing_and_cutting_at_any_place(
            lines in proptest::collection::vec("[.a\\x00\\x7f]{0,4}", 0..20),
            cut in 0usize..100,
        ) {
            let message: String = lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
            let stuffed: String = lines
                .iter()
                .flat_map(|line| [if line.starts_with('.') { "." } else { "" }, line.as_str(), "\r\n"])
                .chain([".\r\n"])
                .collect();
            let (first, second) = stuffed.as_bytes().split_at(cut.min(stuffed.len() - 1));
            let mut body = Body::new(10_000);
            prop_assert_eq!(body.feed(first), None);
            prop_assert_eq!(body.feed(second), Some(second.len()));
            prop_assert!(!body.bare_cr && !body.bare_lf);
            prop_assert_eq!(body.finish().unwrap(), message.into_bytes());
        }
    }
}
