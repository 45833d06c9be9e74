//! The DKIM-Signature field.

use super::key::SigningKey;
use super::relaxed::{body_hash, header_field, name, split};
use crate::domain::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Fields that are signed, and once more than they occur: one more of them would break the signature.
const OVERSIGNED: [&str; 12] = [
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// Fields that are signed where they are there. RFC 8058 §4 wants the two of the opt-out covered; a mailing list adds
/// its own, which must not break what its author signed.
const SIGNED: [&str; 2] = ["list-unsubscribe", "list-unsubscribe-post"];

/// Lines of the field are folded before they get longer than this.
const LINE: usize = 76;

/// Who signs: a key and the place of its public half, `SELECTOR._domainkey.DOMAIN`.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// In ASCII (RFC 5890 A-labels).
    pub domain: &'a str,
    pub selector: &'a str,
    pub key: &'a SigningKey,
}

/// Puts a signature of each signer in front of a message, made at `at`. The message has CRLF line ends. `None` if a key
/// does not sign.
pub fn sign(message: &[u8], signers: &[Signer<'_>], at: Timestamp) -> Option<Vec<u8>> {
    let (fields, body) = split(message);
    let hash = body_hash(body);
    let mut signed = Vec::with_capacity(message.len() + signers.len() * 1200);
    for signer in signers {
        signed.extend_from_slice(signature(&fields, &hash, *signer, at)?.as_bytes());
    }
    signed.extend_from_slice(message);
    Some(signed)
}

fn signature(fields: &[&[u8]], body_hash: &[u8], signer: Signer<'_>, at: Timestamp) -> Option<String> {
    let names = signed_names(fields);
    let mut field = format!(
        "DKIM-Signature: v=1; a={}; c=relaxed/relaxed;\r\n d={};\r\n s={}; t={};\r\n",
        signer.key.algorithm(),
        signer.domain,
        signer.selector,
        at.millis().max(0) / 1000,
    );
    field.push_str(&folded(" h=", &names, ":"));
    field.push_str(";\r\n bh=");
    field.push_str(&STANDARD.encode(body_hash));
    field.push_str(";\r\n b=");
    let signature = signer.key.sign(&signed_text(fields, &names, &field))?;
    let encoded = STANDARD.encode(signature);
    // Three columns are taken by what stands before the first of them.
    let room = LINE - 3;
    let lines: Vec<&str> =
        (0..encoded.len()).step_by(room).map(|at| &encoded[at..encoded.len().min(at + room)]).collect();
    field.push_str(&lines.join("\r\n "));
    field.push_str("\r\n");
    Some(field)
}

/// The names for `h=`: each as often as its field occurs, and the important ones once more.
fn signed_names(fields: &[&[u8]]) -> Vec<&'static str> {
    let count = |wanted: &str| fields.iter().filter(|field| name(field) == wanted).count();
    let often = OVERSIGNED.iter().map(|name| (*name, count(name) + 1));
    let as_they_are = SIGNED.iter().map(|name| (*name, count(name)));
    often.chain(as_they_are).flat_map(|(name, times)| std::iter::repeat_n(name, times)).collect()
}

/// What is signed: the fields in the order of their names, of several the last first (RFC 6376 §5.4.2), then the
/// signature itself without its value.
fn signed_text(fields: &[&[u8]], names: &[&str], signature: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut taken = vec![false; fields.len()];
    for wanted in names {
        let Some(at) = (0..fields.len()).rev().find(|at| !taken[*at] && name(fields[*at]) == *wanted) else { continue };
        taken[at] = true;
        text.extend_from_slice(&header_field(fields[at]));
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(&header_field(signature.as_bytes()));
    text
}

/// Words joined by a sign, over as many lines as it takes.
fn folded(begin: &str, words: &[&str], between: &str) -> String {
    let mut text = begin.to_owned();
    let mut length = begin.len();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            text.push_str(between);
            length += between.len();
        }
        if length + word.len() > LINE {
            text.push_str("\r\n  ");
            length = 2;
        }
        text.push_str(word);
        length += word.len();
    }
    text
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
