//! An attachment: a file that was uploaded to go out with mailings.

use super::list::{Listed, Scalar};
use super::resource::{Attribute as A, Form, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many a mailing may have.
pub const ATTACHMENTS: usize = 50;
/// The longest file name, in characters.
pub const NAME_LENGTH: usize = 255;
/// How long an upload is kept that no mailing names.
pub const LOOSE_FOR: Duration = Duration::from_hours(24);
/// What a file is of which nothing better is known.
pub const UNKNOWN_TYPE: &str = "application/octet-stream";

pub static RESOURCE: Resource = Resource {
    name: "attachment",
    plural: "attachments",
    attributes: &[
        A::long_text("content", "In a document: the file in base64. Larger files are sent as they are.").write_only(),
        A::text("contentType", 255, "The media type; application/octet-stream where none is given.").form(Form::Line),
        A::time("createdAt", "When the file was uploaded.").read_only(),
        A::text("filename", NAME_LENGTH, "The name that recipients see.").form(Form::Line).required(),
        A::number("size", "The size of the file in octets.").read_only(),
        A::time("updatedAt", "When the file was uploaded.").read_only(),
    ],
    relationships: &[
        R::one("mailing", "mailing", "Filters the files of a mailing.").filterable(),
        R::one("user", "user", "Who uploaded it."),
    ],
    tolerated: &[],
};

/// An attachment as it is stored; its octets have rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: u64,
    pub user_id: u64,
    pub name: String,
    /// Fit for a header: see [`media_type`].
    pub content_type: String,
    pub size: u64,
    pub created_at: Timestamp,
    /// False while the upload goes on, and for what a broken one left behind.
    pub complete: bool,
}

impl Listed for Attachment {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "createdAt" => self.created_at.into(),
            "complete" => self.complete.into(),
            "user.id" => self.user_id.into(),
            _ => return None,
        })
    }
}

/// A media type as a part of a mail may carry it: two tokens, and a charset if it names one. What has a structure of its
/// own (`multipart/…`, `message/…`) may not be encoded (RFC 2045 §6.4) and goes as plain octets.
pub fn media_type(given: &str) -> String {
    let mut parts = given.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return UNKNOWN_TYPE.into() };
    if !is_token(kind) || !is_token(subtype) || matches!(kind, "multipart" | "message") {
        return UNKNOWN_TYPE.into();
    }
    let charset = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("charset") && is_token(value)).then(|| value.to_ascii_lowercase())
    });
    match charset {
        Some(charset) if kind == "text" => format!("{essence}; charset={charset}"),
        _ => essence,
    }
}

/// RFC 2045 §5.1, bounded.
fn is_token(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte))
}

/// A file name as recipients may see it: no path, no control characters, none that turn the direction of writing (which
/// make `exe.txt` of `txt.exe`). Empty if nothing is left.
pub fn file_name(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let hidden = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
    };
    let name: String = name.chars().filter(|c| !hidden(c)).collect();
    let name = name.trim();
    if name.chars().all(|c| c == '.') { String::new() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_two_tokens_or_unknown() {
        for (given, expected) in [
            ("application/pdf", "application/pdf"),
            ("Text/HTML; Charset=\"UTF-8\"; x=y", "text/html; charset=utf-8"),
            ("image/png; charset=utf-8", "image/png"),
            ("text/plain; charset=\"a b\"", "text/plain"),
            ("message/rfc822", UNKNOWN_TYPE),
            ("multipart/mixed; boundary=x", UNKNOWN_TYPE),
            ("text", UNKNOWN_TYPE),
            ("text/", UNKNOWN_TYPE),
            ("te xt/plain", UNKNOWN_TYPE),
            ("text/plain\r\nBcc: eve@example.org", UNKNOWN_TYPE),
            ("", UNKNOWN_TYPE),
        ] {
            assert_eq!(media_type(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_file_name_has_no_path_and_hides_nothing() {
        for (given, expected) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Temp\\a.txt", "a.txt"),
            (" Grüße 日本.txt ", "Grüße 日本.txt"),
            ("a\u{202E}txt.exe", "atxt.exe"),
            ("a\r\nb", "ab"),
            ("..", ""),
            ("/", ""),
        ] {
            assert_eq!(file_name(given), expected, "{given:?}");
        }
    }
}
