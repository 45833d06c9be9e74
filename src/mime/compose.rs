//! Composes one outgoing message: the only file of the house that builds MIME, and with the SMTP sender the only one
//! that knows lettre.

#[path = "compose_attachments.rs"]
mod attachments;
pub use attachments::{Attached, Octets};

use super::fields;
use super::html::text_from_html;
use super::text::normalise;
use crate::domain::address::{Person, is_forbidden_in_header};
use crate::domain::time::Timestamp;
use attachments::write_mixed;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, Headers};
use lettre::message::{Body, MultiPart, SinglePart};
use md5::{Digest, Md5};
use std::fmt;

/// Everything that goes into a message. The same values always compose to the same bytes.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    pub from: &'a Person,
    pub reply_to: Option<&'a Person>,
    /// May be empty: the message then says `undisclosed-recipients:;`.
    pub to: &'a [Person],
    pub cc: &'a [Person],
    pub subject: &'a str,
    /// The plain text; derived from the HTML where it is missing. Any style of line break.
    pub text: Option<&'a str>,
    pub html: Option<&'a str>,
    /// With or without angle brackets.
    pub message_id: &'a str,
    pub date: Timestamp,
    /// The message answered, with or without angle brackets.
    pub in_reply_to: Option<&'a str>,
    /// The thread, oldest first. Identifiers that no header field can carry are left out, and of more than 100 the
    /// first and the last 50 are kept.
    pub references: &'a [String],
    /// Extra fields, such as List-Unsubscribe. Not those that are made here.
    pub headers: &'a [(String, String)],
    pub attachments: &'a [Attached<'a>],
}

/// A message ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// CRLF line ends only, no NUL, no line over 998 octets.
    pub bytes: Vec<u8>,
    /// There are octets over 127. Only where `needs_smtputf8`: bodies are always sent as 7-bit data.
    pub eight_bit: bool,
    /// A header field holds an address with a non-ASCII local part (RFC 6532).
    pub needs_smtputf8: bool,
}

/// Why a message cannot be composed; displays as a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComposeError {
    /// A field holds a line break, a NUL or another control character.
    ControlCharacter { field: String },
    /// A field holds a word longer than a line may be.
    TooLong { field: String },
    /// An identifier that is not `<left@right>` in ASCII.
    MessageId { field: String },
    /// An extra field whose name is not a field name, is made here already, or comes twice.
    HeaderName { field: String },
    /// A structured extra field that is not ASCII.
    NotAscii { field: String },
    /// The octets of an attachment could not be had; a sentence says why.
    Unreadable(String),
    /// A date without a four-digit year.
    Date,
    /// The result broke a rule that must hold on the wire: a mistake in here, and the message must not be sent.
    Malformed,
}

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlCharacter { field } => {
                write!(f, "The field {field} contains a line break or another control character.")
            }
            Self::TooLong { field } => write!(f, "The field {field} is too long for a mail header."),
            Self::MessageId { field } => write!(f, "The field {field} is not a valid message identifier."),
            Self::HeaderName { field } => write!(f, "The header {field} cannot be set, or is set twice."),
            Self::NotAscii { field } => write!(f, "The header {field} may contain ASCII characters only."),
            Self::Unreadable(sentence) => f.write_str(sentence),
            Self::Date => f.write_str("The date of the message is out of range."),
            Self::Malformed => f.write_str("The message could not be composed."),
        }
    }
}

impl std::error::Error for ComposeError {}

/// The longest line without its CRLF (RFC 5322 §2.1.1).
const LINE_LIMIT: usize = 998;
/// The longest identifier or word that certainly fits on a line.
const WORD_LIMIT: usize = 900;

/// Composes the message: multipart/alternative where there is HTML, else one text/plain part, in UTF-8, as 7-bit data;
/// within multipart/mixed where there are attachments.
/// A NUL in a body becomes U+FFFD. Nothing names a bcc recipient.
pub fn compose(outgoing: &Outgoing<'_>) -> Result<Composed, ComposeError> {
    refuse_control_characters("messageId", outgoing.message_id)?;
    let message_id =
        identifier(outgoing.message_id).ok_or_else(|| ComposeError::MessageId { field: "messageId".to_owned() })?;
    let headers = header(outgoing, message_id)?;

    let text = match (outgoing.text, outgoing.html) {
        (Some(text), _) => text.to_owned(),
        (None, Some(html)) => text_from_html(html),
        (None, None) => String::new(),
    };
    let mut bytes = headers.to_string().into_bytes();
    let body = match outgoing.html {
        Some(html) => MultiPart::alternative()
            .boundary(boundary(message_id))
            .singlepart(part(ContentType::TEXT_PLAIN, &text, false))
            .singlepart(part(ContentType::TEXT_HTML, html, false))
            .formatted(),
        None => part(ContentType::TEXT_PLAIN, &text, outgoing.attachments.is_empty()).formatted(),
    };
    if outgoing.attachments.is_empty() {
        bytes.extend(body);
    } else {
        write_mixed(&mut bytes, &body, outgoing.attachments, message_id)?;
    }
    if !is_well_formed(&bytes) {
        return Err(ComposeError::Malformed);
    }
    let people = std::iter::once(outgoing.from).chain(outgoing.reply_to).chain(outgoing.to).chain(outgoing.cc);
    Ok(Composed {
        eight_bit: !bytes.is_ascii(),
        needs_smtputf8: people.into_iter().any(|person| person.address.needs_smtputf8()),
        bytes,
    })
}

fn header(outgoing: &Outgoing<'_>, message_id: &str) -> Result<Headers, ComposeError> {
    let mut headers = Headers::new();
    set(&mut headers, "Date", date(outgoing.date)?)?;
    people(&mut headers, "From", "from", std::slice::from_ref(outgoing.from))?;
    if let Some(reply_to) = outgoing.reply_to {
        people(&mut headers, "Reply-To", "replyTo", std::slice::from_ref(reply_to))?;
    }
    people(&mut headers, "To", "to", outgoing.to)?;
    if !outgoing.cc.is_empty() {
        people(&mut headers, "Cc", "cc", outgoing.cc)?;
    }
    refuse_control_characters("subject", outgoing.subject)?;
    set(&mut headers, "Subject", fields::unstructured("Subject", outgoing.subject))?;
    set(&mut headers, "Message-ID", format!("<{message_id}>"))?;
    if let Some(answered) = outgoing.in_reply_to {
        refuse_control_characters("inReplyTo", answered)?;
        if let Some(answered) = identifier(answered) {
            set(&mut headers, "In-Reply-To", format!("<{answered}>"))?;
        }
    }
    for reference in outgoing.references {
        refuse_control_characters("references", reference)?;
    }
    let references: Vec<String> =
        outgoing.references.iter().filter_map(|id| identifier(id)).map(|id| format!("<{id}>")).collect();
    if !references.is_empty() {
        let kept = super::ids::first_and_last(references);
        set(&mut headers, "References", fields::words("References", kept.iter().map(String::as_str)))?;
    }
    for (name, value) in outgoing.headers {
        extra(&mut headers, name, value)?;
    }
    set(&mut headers, "MIME-Version", "1.0".to_owned())?;
    Ok(headers)
}

fn people(headers: &mut Headers, name: &str, field: &str, people: &[Person]) -> Result<(), ComposeError> {
    for display_name in people.iter().filter_map(|person| person.name.as_deref()) {
        refuse_control_characters(field, display_name)?;
    }
    set(headers, name, fields::people(name, people))
}

/// Adds a field that the caller asked for. Fields of lists (RFC 2369, RFC 8058) hold URLs, which no encoding may touch.
fn extra(headers: &mut Headers, name: &str, value: &str) -> Result<(), ComposeError> {
    let is_name =
        !name.is_empty() && name.len() <= 60 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !is_name || is_made_here(name) || headers.get_raw(name).is_some() {
        return Err(ComposeError::HeaderName { field: clean(name) });
    }
    refuse_control_characters(name, value)?;
    let value = value.trim_matches(' ');
    let is_structured = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("List-"));
    let encoded = if !is_structured {
        fields::unstructured(name, value)
    } else if !value.is_ascii() {
        return Err(ComposeError::NotAscii { field: name.to_owned() });
    } else if value.split(' ').any(|word| word.len() > WORD_LIMIT) {
        return Err(ComposeError::TooLong { field: name.to_owned() });
    } else {
        fields::words(name, value.split(' ').filter(|word| !word.is_empty()))
    };
    set(headers, name, encoded)
}

/// Fields that are made here, that describe the MIME structure, or that only servers on the way may write.
fn is_made_here(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "date",
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "message-id",
        "in-reply-to",
        "references",
        "mime-version",
        "received",
        "return-path",
        "dkim-signature",
        "delivered-to",
        "authentication-results",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || ["content-", "resent-", "arc-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Sets a field whose text `fields` has already folded and encoded, and from which control characters were refused.
fn set(headers: &mut Headers, name: &str, encoded: String) -> Result<(), ComposeError> {
    let header_name =
        HeaderName::new_from_ascii(name.to_owned()).map_err(|_| ComposeError::HeaderName { field: clean(name) })?;
    headers.insert_raw(HeaderValue::dangerous_new_pre_encoded(header_name, encoded.clone(), encoded));
    Ok(())
}

fn refuse_control_characters(field: &str, text: &str) -> Result<(), ComposeError> {
    if text.chars().any(is_forbidden_in_header) {
        return Err(ComposeError::ControlCharacter { field: field.to_owned() });
    }
    Ok(())
}

/// A name as it may be shown in an error.
fn clean(name: &str) -> String {
    name.chars().take(60).map(|c| if is_forbidden_in_header(c) { '\u{FFFD}' } else { c }).collect()
}

/// The identifier without its brackets, if a header field can carry it.
fn identifier(text: &str) -> Option<&str> {
    let text = text.trim_matches(' ');
    let id = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let fits = id.len() <= WORD_LIMIT && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>');
    (fits && id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty())).then_some(id)
}

fn date(date: Timestamp) -> Result<String, ComposeError> {
    let time = jiff::Timestamp::from_millisecond(date.millis()).map_err(|_| ComposeError::Date)?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    if time.year() < 1000 {
        return Err(ComposeError::Date);
    }
    jiff::fmt::rfc2822::to_string(&time).map_err(|_| ComposeError::Date)
}

/// A boundary that no part can contain: `=_` never occurs in quoted-printable data, and 7-bit parts are checked for it.
fn boundary(message_id: &str) -> String {
    format!("=_{:x}", Md5::digest(message_id.as_bytes()))
}

fn part(content_type: ContentType, text: &str, whole_message: bool) -> SinglePart {
    let mut text = normalise(text, "\r\n").into_owned();
    // lettre ends every part with a line break. Before a boundary it belongs to the boundary; at the end of a message
    // it is the one that the text may already have.
    if whole_message && text.ends_with("\r\n") {
        text.truncate(text.len() - 2);
    }
    let encoding = if is_plain_seven_bit(&text) {
        ContentTransferEncoding::SevenBit
    } else {
        ContentTransferEncoding::QuotedPrintable
    };
    let body = Body::new_with_encoding(text, encoding).unwrap_or_else(|text| {
        // Not reached: quoted-printable takes any text, and 7-bit was chosen by stricter rules than lettre's.
        Body::new(String::from_utf8_lossy(&text).into_owned())
    });
    SinglePart::builder().header(content_type).body(body)
}

/// Whether a body survives every server as it is: short lines of printable ASCII, nothing at their ends that could be
/// stripped, nothing that a mailbox file (`From `), SMTP (`.`) or the boundary gives a meaning to.
fn is_plain_seven_bit(text: &str) -> bool {
    text.split("\r\n").all(|line| {
        line.len() <= 78
            && line.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
            && !line.ends_with([' ', '\t'])
            && !line.starts_with("From ")
            && !line.starts_with('.')
            && !line.contains("=_")
    })
}

/// The rules of the wire, checked on what is about to leave.
fn is_well_formed(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.strip_suffix(b"\r\n") else { return false };
    let mut lines = bytes.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = if lines.peek().is_some() { line.strip_suffix(b"\r") } else { Some(line) };
        if line.is_none_or(|line| line.len() > LINE_LIMIT || line.contains(&b'\r') || line.contains(&0)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
