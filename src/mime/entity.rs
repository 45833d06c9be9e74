//! The MIME structure of a message (RFC 2045, RFC 2046), walked with bounds on depth, parts and text.
//!
//! A message inside a message is an attachment and is never descended into, so that nesting costs nothing. Attachments
//! are measured, not decoded, unless one is asked for.

use super::decode::{Transfer, characters, windows_1252};
use super::{markup, report, text};
use crate::domain::message::Attachment;
use mail_parser::{ContentType, Header, HeaderName, HeaderValue, MessageParser};
use std::borrow::Cow;
use std::sync::LazyLock;

/// How deep multiparts may stand in each other.
const DEPTH_LIMIT: u32 = 20;
/// How many parts are looked at.
const PART_LIMIT: u32 = 500;
/// How much of a message's own header is read, in octets.
const HEADER_LIMIT: usize = 128 * 1024;
/// How much of a part's header is read, in octets.
const PART_HEADER_LIMIT: usize = 16 * 1024;
/// The longest attachment name, without any path, in characters.
const NAME_LIMIT: usize = 255;
/// How much of a report's part is read, in octets, and of how many parts.
const PIECES: (usize, usize) = (64 * 1024, 10);

/// How much of the bodies is wanted, in octets each.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    pub(super) text: usize,
    pub(super) html: usize,
    /// Whether the parts that reports are made of are wanted.
    pub(super) pieces: bool,
}

/// What a walk over the parts has found.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) problems: Vec<String>,
    /// The content of the part that was asked for.
    pub(super) content: Option<Vec<u8>>,
    /// The parts that reports are made of, where they are wanted.
    pub(super) pieces: Vec<Piece>,
    seen: u32,
}

/// The beginning of a part that a report is made of.
pub(super) struct Piece {
    pub(super) content_type: String,
    /// At most 64 KiB.
    pub(super) octets: Vec<u8>,
}

/// A header and what follows it.
pub(super) struct Section<'a> {
    /// Valid UTF-8, ending with an empty line.
    pub(super) header: Cow<'a, [u8]>,
    pub(super) body: &'a [u8],
    pub(super) is_cut: bool,
}

impl<'a> Section<'a> {
    pub(super) fn of_message(raw: &'a [u8]) -> Self {
        Self::split(raw, HEADER_LIMIT)
    }

    fn split(raw: &'a [u8], limit: usize) -> Self {
        let (header, body) = match header_end(raw) {
            Some(end) => raw.split_at(end),
            None => (raw, &raw[raw.len()..]),
        };
        if !header.split(|byte| *byte == b'\n').any(is_field_start) {
            // Not one field: the text began at once, unless it really was an empty header.
            let is_empty = header.iter().all(u8::is_ascii_whitespace);
            return Self { header: Cow::Borrowed(b"\n"), body: if is_empty { body } else { raw }, is_cut: false };
        }
        let is_cut = header.len() > limit;
        let header = &header[..header.len().min(limit)];
        let is_ended = header.ends_with(b"\n\n") || header.ends_with(b"\n\r\n");
        let header = match std::str::from_utf8(header) {
            Ok(_) if is_ended => Cow::Borrowed(header),
            _ => Cow::Owned(repaired(header)),
        };
        Self { header, body, is_cut }
    }
}

/// Where the body starts: behind the first empty line.
fn header_end(raw: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match &raw[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            rest => at += rest.iter().position(|byte| *byte == b'\n')? + 1,
        }
    }
}

fn is_field_start(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| *byte == b':').map_or(&[][..], |colon| &line[..colon]).trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// Lines that are not UTF-8 read as windows-1252, and an empty line at the end.
fn repaired(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + header.len() / 8 + 2);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => out.extend_from_slice(line.as_bytes()),
            Err(_) => out.extend_from_slice(windows_1252(line).as_bytes()),
        }
    }
    out.extend_from_slice(b"\n\n");
    out
}

/// The fields of a header that [`Section`] has prepared.
pub(super) fn header_fields<'a>(parser: &MessageParser, header: &'a [u8]) -> Vec<Header<'a>> {
    parser
        .parse_headers(header)
        .and_then(|message| message.parts.into_iter().next())
        .map_or(Vec::new(), |part| part.headers)
}

static PART_FIELDS: LazyLock<MessageParser> =
    LazyLock::new(|| MessageParser::new().with_mime_headers().default_header_ignore());

impl Parts {
    /// Walks over the parts of a message whose header has been read. `wanted` is the part whose content is asked for.
    pub(super) fn walk(fields: &[Header<'_>], body: &[u8], keep: Keep, wanted: Option<u32>) -> Self {
        let mut parts = Self::default();
        parts.entity(fields, body, "text/plain", 0, keep, wanted);
        parts
    }

    fn entity(
        &mut self,
        fields: &[Header<'_>],
        body: &[u8],
        default_type: &str,
        depth: u32,
        keep: Keep,
        wanted: Option<u32>,
    ) {
        let part = self.seen;
        if part >= PART_LIMIT {
            return self.problem("The message has more parts than are looked at.");
        }
        self.seen += 1;
        let content_type = field(fields, &HeaderName::ContentType).and_then(HeaderValue::as_content_type);
        let full_type = content_type.map_or_else(
            || default_type.to_owned(),
            |found| format!("{}/{}", found.ctype(), found.subtype().unwrap_or_default()).to_ascii_lowercase(),
        );
        if full_type.starts_with("multipart/") {
            if depth >= DEPTH_LIMIT {
                return self.problem("The parts of the message are nested too deep.");
            }
            let boundary = content_type.and_then(|found| found.attribute("boundary")).unwrap_or_default().trim_end();
            let children = split_parts(body, boundary.as_bytes());
            if !children.is_empty() {
                let default_type = if full_type == "multipart/digest" { "message/rfc822" } else { "text/plain" };
                for child in children {
                    let section = Section::split(child, PART_HEADER_LIMIT);
                    let fields = header_fields(&PART_FIELDS, &section.header);
                    self.entity(&fields, section.body, default_type, depth + 1, keep, wanted);
                }
                return;
            }
            self.problem("A part that should consist of parts has no boundary between them.");
        }
        self.leaf(part, fields, body, content_type, &full_type, keep, wanted);
    }

    #[allow(clippy::too_many_arguments)]
    fn leaf(
        &mut self,
        part: u32,
        fields: &[Header<'_>],
        body: &[u8],
        content_type: Option<&ContentType<'_>>,
        full_type: &str,
        keep: Keep,
        wanted: Option<u32>,
    ) {
        let transfer = field(fields, &HeaderName::ContentTransferEncoding)
            .and_then(HeaderValue::as_text)
            .map_or(Transfer::Identity, Transfer::named);
        if wanted == Some(part) {
            self.content = Some(transfer.decode(body, usize::MAX).into_owned());
        }
        let disposition = field(fields, &HeaderName::ContentDisposition).and_then(HeaderValue::as_content_type);
        let name = disposition
            .and_then(|found| found.attribute("filename"))
            .or_else(|| content_type.and_then(|found| found.attribute("name")))
            .and_then(file_name);
        let is_shown = !disposition.is_some_and(ContentType::is_attachment) && name.is_none();
        let is_html = full_type == "text/html";
        let is_text = matches!(full_type, "text/plain" | "text/" | "/") || full_type.starts_with("multipart/");
        if is_shown && (is_html || is_text) {
            let limit = if is_html { keep.html } else { keep.text };
            let charset = content_type.and_then(|found| found.attribute("charset"));
            self.body(transfer.decode(body, limit).as_ref(), charset, is_html, limit);
            return;
        }
        if keep.pieces && self.pieces.len() < PIECES.1 && report::is_of_interest(full_type) {
            let mut octets = transfer.decode(body, PIECES.0).into_owned();
            octets.truncate(PIECES.0);
            self.pieces.push(Piece { content_type: full_type.to_owned(), octets });
        }
        let content_id = field(fields, &HeaderName::ContentId).and_then(HeaderValue::as_text);
        self.attachments.push(Attachment {
            part,
            name,
            content_type: text::one_line(full_type, NAME_LIMIT),
            size: u64::try_from(transfer.decoded_size(body)).unwrap_or(u64::MAX),
            content_id: content_id.map(|id| text::one_line(id, NAME_LIMIT)).filter(|id| !id.is_empty()),
        });
    }

    /// Adds to the body that is shown; several text parts (a mailing list's footer) follow each other.
    fn body(&mut self, bytes: &[u8], charset: Option<&str>, is_html: bool, limit: usize) {
        let (decoded, is_labelled) = characters(bytes, charset);
        if !is_labelled {
            self.problem("A text is not in the character set that it names; its characters are guessed.");
        }
        let decoded = text::normalise(&decoded, "\n");
        let target = if is_html { &mut self.html } else { &mut self.text };
        match target {
            None => *target = Some(text::cut(&decoded, limit).to_owned()),
            Some(before) => {
                before.push('\n');
                let left = limit.saturating_sub(before.len());
                before.push_str(text::cut(&decoded, left));
            }
        }
    }

    /// One line about the message: what its text begins with.
    pub(super) fn snippet(&self) -> String {
        let from_text = self.text.as_deref().map(text::snippet).filter(|snippet| !snippet.is_empty());
        from_text
            .or_else(|| {
                self.html.as_deref().map(|html| text::snippet(&markup::plain(text::cut(html, 64 * 1024), 4 * 1024)))
            })
            .unwrap_or_default()
    }

    fn problem(&mut self, sentence: &str) {
        if !self.problems.iter().any(|known| known == sentence) {
            self.problems.push(sentence.to_owned());
        }
    }
}

/// The value of the first field of a name.
pub(super) fn field<'f, 'a>(fields: &'f [Header<'a>], name: &HeaderName<'_>) -> Option<&'f HeaderValue<'a>> {
    fields.iter().find(|field| field.name == *name).map(|field| &field.value)
}

/// The parts between the lines `--boundary`, without the line break before each such line. Preamble and epilogue are
/// left out; a missing last boundary does no harm.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    if boundary.is_empty() {
        return parts;
    }
    let mut start = None;
    let mut at = 0;
    while at < body.len() {
        let line_end = body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |end| at + end + 1);
        if let Some(tail) = body[at..line_end].strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary)) {
            let tail = tail.trim_ascii();
            let is_last = tail.starts_with(b"--");
            if tail.is_empty() || is_last {
                parts.extend(start.map(|start: usize| without_line_break(&body[start..at])));
                start = Some(line_end);
                if is_last || parts.len() > PART_LIMIT as usize {
                    return parts;
                }
            }
        }
        at = line_end;
    }
    parts.extend(start.filter(|start| *start < body.len()).map(|start| &body[start..]));
    parts
}

fn without_line_break(part: &[u8]) -> &[u8] {
    part.strip_suffix(b"\r\n").or_else(|| part.strip_suffix(b"\n")).unwrap_or(part)
}

/// A file name that cannot lead anywhere: the last element of a path, without control characters.
fn file_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean = text::one_line(last, NAME_LIMIT);
    (!clean.is_empty() && clean != "." && clean != "..").then_some(clean)
}
