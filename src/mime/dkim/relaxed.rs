//! The relaxed form of header and body (RFC 6376 §3.4.2, §3.4.4): what survives servers that fold and trim.

use ring::digest::{Context, SHA256};

/// A message in two: the header fields, each with its line breaks, and the body.
pub(super) fn split(message: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let (header, rest) = message.split_at(end);
    let mut fields: Vec<&[u8]> = Vec::new();
    let mut start = 0;
    while start < header.len() {
        let mut next = line_end(header, start);
        // What begins with a blank goes on with the line before.
        while header.get(next).is_some_and(|byte| is_blank(*byte)) {
            next = line_end(header, next);
        }
        fields.push(&header[start..next]);
        start = next;
    }
    (fields, rest.strip_prefix(b"\r\n").unwrap_or(rest))
}

fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| from + at + 1)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The name of a field, without its case.
pub(super) fn name(field: &[u8]) -> String {
    let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
    String::from_utf8_lossy(name).trim_end().to_ascii_lowercase()
}

/// A field as it is signed, without the line break at its end.
pub(super) fn header_field(field: &[u8]) -> Vec<u8> {
    let value = field.iter().position(|byte| *byte == b':').map_or(&field[field.len()..], |at| &field[at + 1..]);
    let mut relaxed = name(field).into_bytes();
    relaxed.push(b':');
    let begin = relaxed.len();
    let mut gap = false;
    for byte in value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        if is_blank(*byte) {
            gap = relaxed.len() > begin;
            continue;
        }
        if std::mem::take(&mut gap) {
            relaxed.push(b' ');
        }
        relaxed.push(*byte);
    }
    relaxed
}

/// SHA-256 of the body as it is signed. Lines end with CRLF.
pub(super) fn body_hash(body: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut empty_lines = 0_usize;
    let mut line = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let end = line_end(rest, 0);
        let (this, after) = rest.split_at(end);
        rest = after;
        let text = this.strip_suffix(b"\n").unwrap_or(this);
        relax_line(text.strip_suffix(b"\r").unwrap_or(text), &mut line);
        if line.is_empty() {
            // Empty lines at the end do not count.
            empty_lines += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty_lines) {
            context.update(b"\r\n");
        }
        context.update(&line);
        context.update(b"\r\n");
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Blanks become one space each run, and none at the end.
fn relax_line(text: &[u8], line: &mut Vec<u8>) {
    line.clear();
    let mut gap = false;
    for byte in text {
        if is_blank(*byte) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            line.push(b' ');
        }
        line.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::digest::digest;

    /// The example of RFC 6376 §3.4.5.
    #[test]
    fn the_relaxed_form_is_the_standards() {
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (fields, body) = split(message);
        let relaxed: Vec<Vec<u8>> = fields.iter().map(|field| header_field(field)).collect();
        assert_eq!(relaxed, [b"a:X".to_vec(), b"b:Y Z".to_vec()]);
        assert_eq!(body_hash(body), digest(&SHA256, b" C\r\nD E\r\n").as_ref());
    }

    #[test]
    fn an_empty_body_is_hashed_as_nothing() {
        for message in ["A: X\r\n\r\n", "A: X\r\n\r\n\r\n\r\n", "A: X\r\n", "A: X\r\n\r\n \t\r\n"] {
            let (fields, body) = split(message.as_bytes());
            assert_eq!(fields.len(), 1, "{message:?}");
            assert_eq!(body_hash(body), digest(&SHA256, b"").as_ref(), "{message:?}");
        }
    }
}
