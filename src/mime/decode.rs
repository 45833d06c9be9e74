//! From the octets of a part to text: transfer encodings (RFC 2045 §6) and character sets, read as kindly as can be.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// How the octets of a part were made fit for mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// 7bit, 8bit, binary, and whatever else: taken as it is.
    Identity,
    QuotedPrintable,
    Base64,
}

impl Transfer {
    pub(super) fn named(name: &str) -> Self {
        let name = name.trim();
        if name.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// The octets behind the encoding, of which about `limit` are enough. Garbage in between is skipped (base64) or
    /// kept (quoted-printable).
    pub(super) fn decode(self, body: &[u8], limit: usize) -> Cow<'_, [u8]> {
        match self {
            Self::Identity => Cow::Borrowed(head(body, limit)),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(head(body, limit.saturating_mul(4)))),
            Self::Base64 => Cow::Owned(base64(head(body, limit.saturating_mul(2)))),
        }
    }

    /// How many octets [`Transfer::decode`] would give without a limit.
    pub(super) fn decoded_size(self, body: &[u8]) -> usize {
        match self {
            Self::Identity => body.len(),
            Self::QuotedPrintable => quoted_printable(body).len(),
            Self::Base64 => body.iter().filter(|byte| is_base64(**byte)).count() * 3 / 4,
        }
    }
}

fn head(body: &[u8], limit: usize) -> &[u8] {
    &body[..body.len().min(limit)]
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

fn base64(body: &[u8]) -> Vec<u8> {
    base64_decode(body).unwrap_or_else(|| {
        let clean: Vec<u8> = body.iter().copied().filter(|byte| is_base64(*byte)).collect();
        base64_decode(&clean).unwrap_or_default()
    })
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut lines = body.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        let (content, newline) = match line.strip_suffix(b"\r") {
            Some(content) if !is_last => (content, &b"\r\n"[..]),
            _ => (line, &b"\n"[..]),
        };
        // White space at the end of a line was added on the way (RFC 2045 §6.7 rule 3).
        let content = if is_last { content } else { content.trim_ascii_end() };
        let (content, is_soft) = match content.strip_suffix(b"=") {
            Some(content) => (content, true),
            None => (content, false),
        };
        let mut rest = content;
        while let [byte, ahead @ ..] = rest {
            rest = ahead;
            match (byte, ahead.first().and_then(|high| hex(*high)), ahead.get(1).and_then(|low| hex(*low))) {
                (b'=', Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = &ahead[2..];
                }
                _ => out.push(*byte),
            }
        }
        if !is_soft && !is_last {
            out.extend_from_slice(newline);
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The text in a character set, and whether its label was of use. Text without a label, or with a false one, is read
/// as UTF-8 where it is UTF-8, else as windows-1252.
pub(super) fn characters(bytes: &[u8], charset: Option<&str>) -> (String, bool) {
    let charset = charset.map(|name| name.trim().to_ascii_lowercase());
    let charset = charset.as_deref().filter(|name| !name.is_empty());
    if matches!(charset, None | Some("utf-8" | "utf8" | "us-ascii" | "ascii")) {
        if charset.is_none()
            && bytes.windows(2).any(|pair| pair == b"\x1B$")
            && let Some(decode) = charset_decoder(b"iso-2022-jp")
        {
            return (decode(bytes), true);
        }
        return match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), true),
            // Cut in the middle of a character.
            Err(error) if error.error_len().is_none() => (lossy(&bytes[..error.valid_up_to()]), true),
            Err(_) if charset.is_some_and(|name| name.starts_with("utf")) => (lossy(bytes), false),
            Err(_) => (windows_1252(bytes), false),
        };
    }
    match charset.and_then(|name| charset_decoder(name.as_bytes())) {
        Some(decode) => (decode(bytes), true),
        None => (std::str::from_utf8(bytes).map_or_else(|_| windows_1252(bytes), str::to_owned), false),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn windows_1252(bytes: &[u8]) -> String {
    charset_decoder(b"windows-1252").map_or_else(|| lossy(bytes), |decode| decode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_is_read_with_all_its_mistakes() {
        for (encoded, decoded) in [
            ("a=3Db=\r\nc", "a=bc"),
            ("soft= \t\r\nbreak", "softbreak"),
            ("stripped \t\r\nhere ", "stripped\r\nhere "),
            ("kept=20\nline", "kept \nline"),
            ("=zz = =4", "=zz = =4"),
            ("lower=c3=bc", "lowerü"),
            ("end=", "end"),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(encoded.as_bytes())), decoded, "{encoded:?}");
        }
    }

    #[test]
    fn base64_is_read_around_garbage() {
        for encoded in ["SGVsbG8=", "SGVs\r\nbG8=\r\n", "SGVs!*bG8", " S G V s b G 8 = "] {
            assert_eq!(base64(encoded.as_bytes()), b"Hello", "{encoded:?}");
        }
        assert_eq!(Transfer::Base64.decoded_size(b"SGVs\r\nbG8=\r\n"), 5);
    }

    #[test]
    fn characters_are_read_by_their_label_or_by_guessing() {
        for (bytes, label, text, labelled) in [
            (&b"gr\xFC\xDFe"[..], Some("iso-8859-1"), "grüße", true),
            (b"\x80", Some("Windows-1252"), "€", true),
            (b"\x1B$B8@8l\x1B(B", Some("ISO-2022-JP"), "言語", true),
            (b"\x1B$B8@8l\x1B(B", None, "言語", true),
            (b"\xEF\xE2", Some("koi8-r"), "ОБ", true),
            ("grüße".as_bytes(), None, "grüße", true),
            (b"gr\xFC\xDFe", None, "grüße", false),
            (b"gr\xFC\xDFe", Some("us-ascii"), "grüße", false),
            (b"gr\xFC\xDFe", Some("x-unknown"), "grüße", false),
            ("grüße".as_bytes(), Some("x-unknown"), "grüße", false),
            (b"gr\xFCn", Some("utf-8"), "gr\u{FFFD}n", false),
            (b"gr\xC3", Some("utf-8"), "gr", true),
        ] {
            assert_eq!(characters(bytes, label), (text.to_owned(), labelled), "{label:?}");
        }
    }
}
