/// Cuts a message into its header, the empty line included, and the rest. Lines may end in LF alone.
pub(super) fn split(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(length) = raw[at..].iter().position(|&byte| byte == b'\n') {
        let line = &raw[at..=at + length];
        at += length + 1;
        if line == b"\r\n" || line == b"\n" {
            return raw.split_at(at);
        }
    }
    (raw, &[])
}

/// The fields of a header in order: name, and the whole field with its folded lines and line ends.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            end += rest[end..].iter().position(|&byte| byte == b'\n').map_or(rest.len() - end, |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        if field.is_empty() || field == b"\r\n" || field == b"\n" {
            return None;
        }
        let name = field.iter().position(|&byte| byte == b':').map_or(&field[..0], |at| &field[..at]);
        Some((name.trim_ascii_end(), field))
    })
}

/// The value of a field without its name and folding.
pub(super) fn value(field: &[u8]) -> Vec<u8> {
    let from = field.iter().position(|&byte| byte == b':').map_or(0, |at| at + 1);
    let value: Vec<u8> = field[from..].iter().copied().filter(|&byte| byte != b'\r' && byte != b'\n').collect();
    value.trim_ascii().to_vec()
}

/// Whether one text holds another, without regard to the case of ASCII letters. Everything holds the empty text.
pub(super) fn holds(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_at_its_first_empty_line() {
        assert_eq!(split(b"A: b\r\n\r\nbody"), (&b"A: b\r\n\r\n"[..], &b"body"[..]));
        assert_eq!(split(b"A: b\n\nbody\r\n\r\n"), (&b"A: b\n\n"[..], &b"body\r\n\r\n"[..]));
        assert_eq!(split(b"\r\nbody"), (&b"\r\n"[..], &b"body"[..]));
        assert_eq!(split(b"A: b"), (&b"A: b"[..], &b""[..]));
        assert_eq!(split(b""), (&b""[..], &b""[..]));
    }

    #[test]
    fn fields_keep_their_folded_lines() {
        let header = b"A: b\r\n c\r\n\td\r\nnonsense\r\nE :f\r\n\r\nG: not a field";
        let found: Vec<_> = fields(header).collect();
        assert_eq!(
            found,
            [
                (&b"A"[..], &b"A: b\r\n c\r\n\td\r\n"[..]),
                (&b""[..], &b"nonsense\r\n"[..]),
                (&b"E"[..], &b"E :f\r\n"[..])
            ]
        );
        assert_eq!(value(found[0].1), b"b c\td");
        assert!(holds(b"Message-ID", b"age-id") && holds(b"", b"") && !holds(b"ab", b"abc"));
    }
}
