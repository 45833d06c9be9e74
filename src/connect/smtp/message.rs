//! A message on its way into DATA: checked, then with its dots doubled (RFC 5321 section 4.5.2).

use crate::domain::failure::{Failure, FailureKind, Scope, Stage};

/// The line that ends DATA, after a CRLF.
pub(super) const FINAL_DOT: &[u8] = b".\r\n";

/// How much of a message goes to the network at once, in bytes.
const BLOCK: usize = 32 << 10;

/// Refuses a message with a bare CR, a bare LF or a NUL. Servers read those differently, and one that takes `LF . LF`
/// for the end of the message would take what follows for commands (CVE-2023-51764 and its kin).
pub fn check_message(message: &[u8]) -> Result<(), Failure> {
    let fault = |what: &str| {
        Err(Failure::new(
            FailureKind::Permanent,
            Scope::Message,
            Stage::Data,
            format!("The message was not sent, because it contains {what}."),
        ))
    };
    let mut after_cr = false;
    for &byte in message {
        match (after_cr, byte) {
            (true, b'\n') => {}
            (true, _) => return fault("a CR without LF"),
            (false, b'\n') => return fault("an LF without CR"),
            (false, 0) => return fault("a NUL byte"),
            (false, _) => {}
        }
        after_cr = byte == b'\r';
    }
    if after_cr { fault("a CR without LF") } else { Ok(()) }
}

/// The message as it goes over the wire, block by block, ending in CRLF and without the final dot. The message was
/// checked: each LF in it ends a line.
pub(super) fn stuffed(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut rest = message;
    let mut line_start = true;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut block = Vec::with_capacity(BLOCK + 4);
        while block.len() < BLOCK {
            let Some((&byte, tail)) = rest.split_first() else {
                ended = true;
                if !line_start {
                    block.extend_from_slice(b"\r\n");
                }
                break;
            };
            if line_start && byte == b'.' {
                block.push(b'.');
            }
            block.push(byte);
            line_start = byte == b'\n';
            rest = tail;
        }
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(message: &[u8]) -> Vec<u8> {
        stuffed(message).flatten().collect()
    }

    #[test]
    fn dots_are_doubled_at_the_start_of_lines_only() {
        for (message, expected) in [
            ("", ""),
            ("a", "a\r\n"),
            ("a\r\n", "a\r\n"),
            (".", "..\r\n"),
            (".\r\n", "..\r\n"),
            ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n"),
            ("a\r\n..\r\n", "a\r\n...\r\n"),
            ("a.b\r\n.c.\r\n", "a.b\r\n..c.\r\n"),
        ] {
            assert_eq!(String::from_utf8(wire(message.as_bytes())).unwrap(), expected, "{message:?}");
        }
    }

    #[test]
    fn bare_line_ends_and_nul_are_refused_wherever_they_stand() {
        for bad in
            ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\r", "\r\n.\n", "\r\n\0.\r\n", "\r\r\n", "\n", "\r", "\0", "\n\r"]
        {
            for message in [bad.to_owned(), format!("a{bad}"), format!("a\r\n{bad}b\r\n"), format!("a\r\nb{bad}c")] {
                let fine = message.replace("\r\n", "").contains(['\r', '\n', '\0']);
                assert!(fine && check_message(message.as_bytes()).is_err(), "{message:?}");
            }
        }
        for good in ["", "a", "\r\n", "a\r\n.\r\nb\r\n", "\r\n\r\n"] {
            assert!(check_message(good.as_bytes()).is_ok(), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn what_the_server_unstuffs_is_what_was_given(pieces in prop::collection::vec(
            prop::sample::select(vec!["\r\n", ".", "..", "x", "xyz.", "\r\n.\r\n"]), 0..60), long in 0..3_usize)
        {
            let mut message = "y".repeat(long * (BLOCK - 1));
            message.extend(pieces);
            prop_assert!(check_message(message.as_bytes()).is_ok());
            let mut wire = wire(message.as_bytes());
            prop_assert!(check_message(&wire).is_ok());
            wire.extend_from_slice(FINAL_DOT);
            let text = String::from_utf8(wire).unwrap();
            // The end is the first line that is a dot alone, and nothing follows it.
            let end = if text.starts_with(".\r\n") { 0 } else { text.find("\r\n.\r\n").unwrap() + 2 };
            prop_assert_eq!(end + FINAL_DOT.len(), text.len());
            let mut received: String =
                text[..end].split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            if received != message {
                prop_assert!(received.ends_with("\r\n"));
                received.truncate(received.len() - 2);
            }
            prop_assert_eq!(received, message);
        }
    }
}
