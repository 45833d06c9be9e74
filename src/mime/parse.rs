//! Reads an incoming message into what is stored of it.

use super::classify::{Signals, classify};
use super::entity::{Keep, Parts, Section, header_fields};
use super::report::{self, Report, Signs};
use super::{ids, markup, opt_out, text};
use crate::domain::classification::Nature;
use crate::domain::message::{Attachment, Correspondent};
use crate::domain::time::Timestamp;
use crate::domain::words::Words;
use crate::runtime::contain_blocking;
use mail_parser::{Addr, DateTime, Header, HeaderName, HeaderValue, MessageParser};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::LazyLock;

/// How much of a message is looked at, in octets; what follows is ignored, with a note.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;
/// How many people are kept of one field.
const PEOPLE_LIMIT: usize = 500;
/// The longest subject, name, address or other line that is kept, in characters.
const LINE_LIMIT: usize = 998;
/// How many Authentication-Results are kept, and how much of each, in characters.
const RESULTS: (usize, usize) = (10, 2_000);

/// What is kept of a message. Texts have LF line ends and no NUL; identifiers have no angle brackets. Of a field that
/// comes twice, the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Incoming {
    pub message_id: Option<String>,
    pub in_reply_to: Vec<String>,
    /// Oldest first; of more than 100 the first and the last 50.
    pub references: Vec<String>,
    pub from: Vec<Correspondent>,
    pub to: Vec<Correspondent>,
    pub cc: Vec<Correspondent>,
    pub bcc: Vec<Correspondent>,
    pub reply_to: Vec<Correspondent>,
    pub subject: Option<String>,
    /// The Date field: what the sender claims.
    pub sent_at: Option<Timestamp>,
    /// At most 1 MiB.
    pub text: Option<String>,
    /// At most 1 MiB, as it came: show it through [`super::sanitise`] only.
    pub html: Option<String>,
    /// The first words on one line, at most 200 characters.
    pub snippet: String,
    pub attachments: Vec<Attachment>,
    /// Authentication-Results (RFC 8601), topmost first. Only those of one's own server are worth anything.
    pub authentication_results: Vec<String>,
    /// Who wrote it. Whether what a person wrote is a reply, only matching can tell.
    pub nature: Nature,
    /// Whether a machine answers with it, rather than sends it to many.
    pub is_answer: bool,
    /// What it says if it is a report of a machine about other mail.
    pub report: Option<Report>,
    /// What may be tokens of ours, in a message that asks for no more mail; only opening one tells.
    pub opt_out_tokens: Vec<String>,
    /// What could not be read as it should, in sentences for people.
    pub problems: Vec<String>,
}

/// Reads a message. Never fails and never panics: at worst the record is empty but for its problems.
pub fn parse(raw: &[u8]) -> Incoming {
    read(raw, Keep { text: 1024 * 1024, html: 1024 * 1024, pieces: false })
}

/// Reads what a list of messages shows: everything of [`parse`] except `text` and `html`.
pub fn parse_summary(raw: &[u8]) -> Incoming {
    let mut incoming = read(raw, Keep { text: 16 * 1024, html: 64 * 1024, pieces: false });
    (incoming.text, incoming.html) = (None, None);
    incoming
}

/// The same with the words of the message: of its subject, its people, the names of its attachments and its text.
pub fn parse_with_words(raw: &[u8]) -> (Incoming, Words) {
    let mut incoming = read(raw, Keep { text: 64 * 1024, html: 64 * 1024, pieces: false });
    // Folding is as little worth the process as parsing is.
    let words = contain_blocking(|| incoming.words()).unwrap_or_default();
    (incoming.text, incoming.html) = (None, None);
    (incoming, words)
}

/// The decoded octets of one attachment, by [`Attachment::part`].
pub fn part_content(raw: &[u8], part: u32) -> Option<Vec<u8>> {
    contain_blocking(|| {
        let raw = with_line_feeds(&raw[..raw.len().min(MESSAGE_LIMIT)]);
        let section = Section::of_message(&raw);
        let fields = header_fields(&FIELDS, &section.header);
        Parts::walk(&fields, section.body, Keep { text: 0, html: 0, pieces: false }, Some(part)).content
    })
    .ok()
    .flatten()
}

static FIELDS: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .with_minimal_headers()
        .header_id(HeaderName::ContentId)
        .default_header_raw()
        .ignore_header(HeaderName::Received)
        .ignore_header(HeaderName::DkimSignature)
        .ignore_header(HeaderName::ArcSeal)
        .ignore_header(HeaderName::ArcMessageSignature)
        .ignore_header(HeaderName::ArcAuthenticationResults)
});

fn read(raw: &[u8], keep: Keep) -> Incoming {
    contained(|| read_parts(raw, keep))
}

/// What a parser reads, or that it could not. The parser says that it never panics; a message is never worth the process
/// if it errs.
pub fn contained(read: impl FnOnce() -> Incoming) -> Incoming {
    contain_blocking(read).unwrap_or_else(|_| Incoming {
        problems: vec!["The message could not be read at all.".to_owned()],
        ..Incoming::default()
    })
}

fn read_parts(raw: &[u8], keep: Keep) -> Incoming {
    let mut incoming = Incoming::default();
    if raw.len() > MESSAGE_LIMIT {
        incoming.problems.push("The message is larger than is looked at.".to_owned());
    }
    let raw = with_line_feeds(&raw[..raw.len().min(MESSAGE_LIMIT)]);
    let section = Section::of_message(&raw);
    if section.is_cut {
        incoming.problems.push("The header of the message is longer than is looked at.".to_owned());
    }
    let fields = header_fields(&FIELDS, &section.header);
    if fields.is_empty() {
        incoming.problems.push("The message has no header.".to_owned());
    }
    let signals = incoming.fields(&fields);
    let is_report = incoming.nature == Nature::Report;
    let least = if is_report { 64 * 1024 } else { 0 };
    let keep = Keep { text: keep.text.max(least), html: keep.html, pieces: is_report };
    let parts = Parts::walk(&fields, section.body, keep, None);
    incoming.snippet = parts.snippet();
    if is_report {
        incoming.report = incoming.report(&signals, &parts);
    } else {
        incoming.opt_out_tokens = opt_out::tokens(incoming.subject.as_deref().unwrap_or_default(), &parts);
    }
    incoming.text = parts.text;
    incoming.html = parts.html;
    incoming.attachments = parts.attachments;
    incoming.problems.extend(parts.problems);
    incoming
}

/// The message with LF line ends where it has CR ones only.
fn with_line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    let head = &raw[..raw.len().min(4096)];
    if head.contains(&b'\n') || !head.contains(&b'\r') || raw.contains(&b'\n') {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect())
}

impl Incoming {
    fn words(&self) -> Words {
        // Of a message with both, the text says what the HTML says.
        let plain = match (&self.text, &self.html) {
            (Some(text), _) if !text.trim().is_empty() => Cow::Borrowed(text.as_str()),
            (_, Some(html)) => Cow::Owned(markup::plain(text::cut(html, 64 * 1024), 64 * 1024)),
            _ => Cow::Borrowed(""),
        };
        let people = [&self.from, &self.to, &self.cc, &self.bcc, &self.reply_to].into_iter().flatten();
        let people = people.flat_map(|person| person.name.as_deref().into_iter().chain([person.address.as_str()]));
        let names = self.attachments.iter().filter_map(|attachment| attachment.name.as_deref());
        let subject = self.subject.as_deref();
        Words::of(subject.into_iter().chain(people).chain(names).chain([text::cut(&plain, 64 * 1024)]))
    }

    fn author(&self) -> &str {
        self.from.first().map(|author| author.address.as_str()).unwrap_or_default()
    }

    fn report(&self, signals: &Signals, parts: &Parts) -> Option<Report> {
        let subject = self.subject.as_deref().unwrap_or_default();
        let ancestors: Vec<String> = self.in_reply_to.iter().chain(self.references.iter().rev()).cloned().collect();
        report::read(
            &Signs {
                report_type: signals.report_type.as_deref(),
                subject,
                failed: &signals.failed,
                ancestors: &ancestors,
                is_old_complaint: is_old_complaint(self.author(), subject),
            },
            parts,
        )
    }

    fn fields(&mut self, fields: &[Header<'_>]) -> Signals {
        let mut signals = Signals::default();
        let mut twice = false;
        let mut seen = [false; 11];
        for field in fields {
            let value = &field.value;
            let single = match &field.name {
                HeaderName::From => 0,
                HeaderName::To => 1,
                HeaderName::Cc => 2,
                HeaderName::Bcc => 3,
                HeaderName::ReplyTo => 4,
                HeaderName::Subject => 5,
                HeaderName::Date => 6,
                HeaderName::MessageId => 7,
                HeaderName::InReplyTo => 8,
                HeaderName::References => 9,
                HeaderName::ContentType => 10,
                other => {
                    self.other_field(other, value, &mut signals);
                    continue;
                }
            };
            if std::mem::replace(&mut seen[single], true) {
                twice = true;
                continue;
            }
            match &field.name {
                HeaderName::From => self.from = people(value),
                HeaderName::To => self.to = people(value),
                HeaderName::Cc => self.cc = people(value),
                HeaderName::Bcc => self.bcc = people(value),
                HeaderName::ReplyTo => self.reply_to = people(value),
                HeaderName::Subject => {
                    self.subject = value.as_text().map(|subject| text::one_line(subject, LINE_LIMIT));
                }
                HeaderName::Date => self.sent_at = value.as_datetime().and_then(point_in_time),
                HeaderName::MessageId => self.message_id = identifiers(value).into_iter().next(),
                HeaderName::InReplyTo => self.in_reply_to = identifiers(value),
                HeaderName::References => self.references = identifiers(value),
                _ => {
                    signals.report |= is_report(value);
                    let kind = value.as_content_type().and_then(|found| found.attribute("report-type"));
                    signals.report_type = kind.map(|kind| kind.trim().to_ascii_lowercase());
                }
            }
        }
        if twice {
            self.problems.push("A header field that may come once comes twice; the first counts.".to_owned());
        }
        let subject = self.subject.as_deref().unwrap_or_default();
        signals.report |= is_old_complaint(self.author(), subject);
        self.nature = classify(&signals, self.author(), subject);
        self.is_answer = self.nature == Nature::Automatic && (!signals.to_many || !self.in_reply_to.is_empty());
        signals
    }

    fn other_field(&mut self, name: &HeaderName<'_>, value: &HeaderValue<'_>, signals: &mut Signals) {
        let content = value.as_text().unwrap_or_default();
        match name {
            HeaderName::AuthenticationResults if self.authentication_results.len() < RESULTS.0 => {
                self.authentication_results.push(text::one_line(content, RESULTS.1));
            }
            HeaderName::ListId | HeaderName::ListUnsubscribe => signals.to_many = true,
            HeaderName::AutoSubmitted => signals.auto_submitted = Some(content.to_owned()),
            HeaderName::ReturnPath => signals.no_return |= content.trim() == "<>",
            HeaderName::Other(name) => signals.note(name, content),
            _ => {}
        }
    }
}

/// Hotmail's complaints (JMRP) are no multipart/report: they only return the mail.
fn is_old_complaint(author: &str, subject: &str) -> bool {
    author.eq_ignore_ascii_case("staff@hotmail.com")
        && subject.trim_start().to_ascii_lowercase().starts_with("complaint about message from")
}

fn is_report(content_type: &HeaderValue<'_>) -> bool {
    content_type.as_content_type().is_some_and(|found| {
        matches!(
            (found.ctype(), found.subtype()),
            ("multipart", Some("report"))
                | ("message", Some("delivery-status" | "feedback-report" | "disposition-notification"))
        )
    })
}

fn identifiers(value: &HeaderValue<'_>) -> Vec<String> {
    value.as_text().map(ids::identifiers).unwrap_or_default()
}

/// The people of a field; those of a group stand for themselves.
fn people(value: &HeaderValue<'_>) -> Vec<Correspondent> {
    let Some(found) = value.as_address() else { return Vec::new() };
    found.iter().filter_map(correspondent).take(PEOPLE_LIMIT).collect()
}

fn correspondent(found: &Addr<'_>) -> Option<Correspondent> {
    let line = |text: &str| text::one_line(text, LINE_LIMIT);
    let name = found.name().map(line).filter(|name| !name.is_empty());
    let address = found.address().map(line).unwrap_or_default();
    (name.is_some() || !address.is_empty()).then_some(Correspondent { name, address })
}

fn point_in_time(date: &DateTime) -> Option<Timestamp> {
    let is_sane = date.is_valid() && (1..=9998).contains(&date.year);
    is_sane.then(|| Timestamp::from_millis(date.to_timestamp().saturating_mul(1000)))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
