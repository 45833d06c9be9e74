//! The attachments of an outgoing message: base64 (RFC 2045 §6.8) written straight into the message, so that a file is
//! in memory once, and file names in any script (RFC 2231).

use super::ComposeError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use std::fmt::{self, Write as _};

/// Octets in a line of base64: 76 characters.
const LINE: usize = 57;
/// The longest piece of a file name on one line.
const PIECE: usize = 56;

/// Where the octets of an attachment come from, in pieces of any size.
pub trait Octets {
    /// Shows them all in order. An error is a sentence for people; the message is not made then.
    fn show(&self, see: &mut dyn FnMut(&[u8])) -> Result<(), String>;
}

impl Octets for [u8] {
    fn show(&self, see: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        see(self);
        Ok(())
    }
}

/// A file that goes with a message.
#[derive(Clone, Copy)]
pub struct Attached<'a> {
    /// Any text on one line.
    pub name: &'a str,
    /// Two tokens, perhaps with parameters: ASCII on one line. Never `multipart/…` or `message/…`.
    pub content_type: &'a str,
    /// How many octets there are.
    pub size: u64,
    pub octets: &'a dyn Octets,
}

impl fmt::Debug for Attached<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attached({:?}, {}, {} octets)", self.name, self.content_type, self.size)
    }
}

/// Writes `body` (a formatted part, its own header first) and the attachments as multipart/mixed behind the header that
/// is in `message` already.
pub(super) fn write_mixed(
    message: &mut Vec<u8>,
    body: &[u8],
    attachments: &[Attached<'_>],
    message_id: &str,
) -> Result<(), ComposeError> {
    // `_` is no character of base64, and the text parts are checked for `=_`.
    let boundary = format!("=_{:x}", Md5::digest(format!("mixed {message_id}").as_bytes()));
    let room: u64 = attachments.iter().map(|attached| attached.size.div_ceil(LINE as u64) * 78 + 2_048).sum();
    message.reserve_exact(usize::try_from(room).unwrap_or(0) + body.len() + 512);
    message.extend_from_slice(
        format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n").as_bytes(),
    );
    message.extend_from_slice(body);
    for attached in attachments {
        super::refuse_control_characters("attachments", attached.name)?;
        super::refuse_control_characters("attachments", attached.content_type)?;
        if !attached.content_type.is_ascii() || attached.content_type.len() > 300 {
            return Err(ComposeError::NotAscii { field: "Content-Type".to_owned() });
        }
        message.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Type: {}\r\nContent-Disposition: attachment;{}\r\nContent-Transfer-Encoding: base64\r\n\r\n",
                attached.content_type.replace("; ", ";\r\n "),
                file_name(attached.name),
            )
            .as_bytes(),
        );
        let mut lines = Lines { out: message, rest: Vec::with_capacity(LINE), seen: 0 };
        attached.octets.show(&mut |octets| lines.feed(octets)).map_err(ComposeError::Unreadable)?;
        if lines.finish() != attached.size {
            return Err(ComposeError::Unreadable(format!(
                "The attachment {} is not whole.",
                super::clean(attached.name)
            )));
        }
    }
    message.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(())
}

/// Octets on their way into lines of base64.
struct Lines<'m> {
    out: &'m mut Vec<u8>,
    /// Less than a line.
    rest: Vec<u8>,
    seen: u64,
}

impl Lines<'_> {
    fn feed(&mut self, mut octets: &[u8]) {
        self.seen += octets.len() as u64;
        if !self.rest.is_empty() {
            let (more, left) = octets.split_at(octets.len().min(LINE - self.rest.len()));
            self.rest.extend_from_slice(more);
            octets = left;
            if self.rest.len() < LINE {
                return;
            }
            let line = std::mem::take(&mut self.rest);
            self.line(&line);
        }
        let lines = octets.chunks_exact(LINE);
        self.rest.extend_from_slice(lines.remainder());
        for line in lines {
            self.line(line);
        }
    }

    fn line(&mut self, octets: &[u8]) {
        let mut line = [0; 76];
        // 57 octets are 76 characters.
        let length = STANDARD.encode_slice(octets, &mut line).unwrap_or(0);
        self.out.extend_from_slice(&line[..length]);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes what is left; how many octets there were.
    fn finish(mut self) -> u64 {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.line(&rest);
        }
        self.seen
    }
}

/// The parameter `filename`, each line of it after a line break.
fn file_name(name: &str) -> String {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\%".contains(&byte);
    if name.len() <= PIECE && name.bytes().all(plain) && !name.contains("=?") {
        return format!("\r\n filename=\"{name}\"");
    }
    let mut pieces = vec![String::new()];
    for character in name.chars() {
        let mut octets = [0; 4];
        // Readers decode each piece on its own: none splits a character.
        let encoded: String = character.encode_utf8(&mut octets).bytes().map(percent_encoded).collect();
        if pieces.last().is_some_and(|piece| piece.len() + encoded.len() > PIECE) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&encoded);
        }
    }
    if let [only] = pieces.as_slice() {
        return format!("\r\n filename*=utf-8''{only}");
    }
    let mut parameter = String::new();
    for (number, piece) in pieces.iter().enumerate() {
        let before = if number == 0 { "" } else { ";" };
        let charset = if number == 0 { "utf-8''" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(parameter, "{before}\r\n filename*{number}*={charset}{piece}");
    }
    parameter
}

fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MimeHeaders;
    use proptest::prelude::*;

    fn mixed(name: &str, octets: &[u8]) -> Vec<u8> {
        let mut message = b"MIME-Version: 1.0\r\n".to_vec();
        let attached = Attached {
            name,
            content_type: "application/x-a; charset=utf-8",
            size: octets.len() as u64,
            octets: &Pieces(octets, 7),
        };
        write_mixed(&mut message, b"Content-Type: text/plain\r\n\r\nHello\r\n", &[attached, attached], "1@x").unwrap();
        message
    }

    /// Shown so many octets at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Octets for Pieces<'_> {
        fn show(&self, see: &mut dyn FnMut(&[u8])) -> Result<(), String> {
            self.0.chunks(self.1).for_each(see);
            Ok(())
        }
    }

    #[test]
    fn a_file_name_is_written_so_that_any_reader_finds_it_again() {
        assert_eq!(file_name("report 1.pdf"), "\r\n filename=\"report 1.pdf\"");
        assert_eq!(file_name("Grüße \"x\".txt"), "\r\n filename*=utf-8''Gr%C3%BC%C3%9Fe%20%22x%22.txt");
        let long = file_name(&"日本".repeat(20));
        assert!(long.starts_with("\r\n filename*0*=utf-8''%E6") && long.contains(";\r\n filename*1*=%"), "{long}");
        assert!(long.split("\r\n").all(|line| line.len() <= 78) && !long.ends_with(';'), "{long}");
    }

    #[test]
    fn an_attachment_that_is_not_whole_is_not_sent() {
        let attached = Attached { name: "a", content_type: "a/b", size: 4, octets: &Pieces(b"abc", 1) };
        let error = write_mixed(&mut Vec::new(), b"\r\n", &[attached], "1@x").unwrap_err();
        assert!(matches!(error, ComposeError::Unreadable(_)), "{error}");
        for (name, content_type) in [("a\r\nb", "a/b"), ("a", "a/b\r\nBcc: c"), ("a", "ä/b")] {
            let attached = Attached { name, content_type, size: 3, octets: &Pieces(b"abc", 1) };
            assert!(write_mixed(&mut Vec::new(), b"\r\n", &[attached], "1@x").is_err(), "{attached:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_and_any_name_arrive_as_they_were(
            name in "[^\\pC\\pZ]([^\\pC\\u2028\\u2029]{0,80}[^\\pC\\pZ])?",
            octets in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let message = mixed(&name, &octets);
            let text = String::from_utf8(message.clone()).unwrap();
            prop_assert!(text.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])), "{}", text);
            let read = mail_parser::MessageParser::default().parse(&message).unwrap();
            prop_assert_eq!(read.attachment_count(), 2);
            for number in 0..2 {
                let attachment = read.attachment(number).unwrap();
                prop_assert_eq!(attachment.contents(), octets.as_slice());
                prop_assert_eq!(attachment.attachment_name(), Some(name.as_str()));
            }
        }
    }
}
