use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// The longest name of a folder, in octets, and the longest pattern for names.
pub(super) const MAX_NAME: usize = 255;

/// A folder's name as IMAP carries it: INBOX in capitals however it is written (RFC 3501 section 5.1), letters beyond
/// ASCII in modified UTF-7 (section 5.1.3). A name that is ASCII is taken as it is, its `&` included.
pub(super) fn canonical(name: &str) -> String {
    if name.eq_ignore_ascii_case("INBOX") {
        return "INBOX".to_owned();
    }
    if name.is_ascii() {
        return name.to_owned();
    }
    let mut written = String::with_capacity(name.len());
    let mut beyond = Vec::new();
    for letter in name.chars() {
        if letter.is_ascii() {
            leave_base64(&mut written, &mut beyond);
            written.push(letter);
            if letter == '&' {
                written.push('-');
            }
        } else {
            beyond.extend(letter.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    leave_base64(&mut written, &mut beyond);
    written
}

fn leave_base64(written: &mut String, beyond: &mut Vec<u8>) {
    if !beyond.is_empty() {
        let encoded = BASE64_STANDARD_NO_PAD.encode(std::mem::take(beyond)).replace('/', ",");
        written.extend(["&", &encoded, "-"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_beyond_ascii_are_written_in_modified_utf_7() {
        for (name, written) in [
            ("inbox", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Entw&APw-rfe", "Entw&APw-rfe"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("R&D über", "R&-D &APw-ber"),
            ("\u{1f4ec}", "&2D3c7A-"),
            ("R&D", "R&D"),
        ] {
            assert_eq!(canonical(name), written);
        }
    }
}
