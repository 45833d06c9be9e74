//! Reads the reports that machines send about other mail: who was not reached and why, who complained, and which mail
//! of ours it is about.
//!
//! * `delivery_status` reads the parts that RFC 3464 and RFC 6533 define, `words` the reports of servers that write
//!   sentences instead, `feedback` complaints (RFC 5965 and older ones), `returned` finds the Message-ID of the mail that
//!   came back.
//! * What is read here is a claim. Whether it is about a mailing of ours is decided where the mailings are.
//!
//! Linear in the message; counts and lengths are bounded.

mod delivery_status;
mod feedback;
mod fields;
mod returned;
mod words;

use super::entity::{Parts, Piece};
use super::markup;
use crate::domain::bounce::Bounce;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::LazyCell;

/// How many recipients of one report are read.
const RECIPIENTS: usize = 100;
/// How much of a report's text is read, in octets.
const TEXT: usize = 64 * 1024;

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// A mail did not reach some of its recipients.
    Undelivered { bounces: Vec<Bounce>, originals: Vec<String> },
    /// A mail is late, or has arrived: nothing went wrong for good.
    Progress,
    /// Recipients call a mail spam. Nobody is named where the report hides who it was.
    Complaint { recipients: Vec<String>, originals: Vec<String> },
    /// A mail was displayed, or deleted unread (RFC 8098).
    Receipt,
}

/// What the header of a message says about its being a report.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs<'a> {
    /// `report-type` of a multipart/report, in lower case.
    pub(super) report_type: Option<&'a str>,
    pub(super) subject: &'a str,
    /// `X-Failed-Recipients` (Exim).
    pub(super) failed: &'a [String],
    /// What the message answers, the nearest first.
    pub(super) ancestors: &'a [String],
    /// Exchange's and Hotmail's complaints without a report part.
    pub(super) is_old_complaint: bool,
}

/// Reads a message whose header says that it is a report. `None`: it is none that anybody understands.
pub(super) fn read(signs: &Signs<'_>, parts: &Parts) -> Option<Report> {
    let pieces = |kind: Kind| parts.pieces.iter().filter(move |piece| kind_of(piece) == kind);
    if signs.report_type == Some("disposition-notification") || pieces(Kind::Receipt).next().is_some() {
        return Some(Report::Receipt);
    }
    let text = text(parts);
    let returned: Vec<&Piece> = pieces(Kind::Returned).collect();
    let originals = || returned::originals(&returned, &text, signs.ancestors);
    if let Some(piece) = pieces(Kind::Feedback).next() {
        return feedback::complainants(&piece.octets, &returned)
            .map(|recipients| Report::Complaint { recipients, originals: originals() });
    }
    if signs.is_old_complaint {
        let recipients = feedback::named_in(&returned);
        return Some(Report::Complaint { recipients, originals: originals() });
    }
    let mut statuses = pieces(Kind::Status).peekable();
    if statuses.peek().is_some() {
        let told: Vec<delivery_status::Told> =
            statuses.flat_map(|piece| delivery_status::recipients(&piece.octets)).take(RECIPIENTS).collect();
        if !told.is_empty() {
            // Read once, and only if a group leaves out what was said.
            let named = LazyCell::new(|| words::named(&text));
            let said_of = |address: &str| {
                let found = named.iter().find(|(named, _)| named.eq_ignore_ascii_case(address));
                found.map(|(_, said)| said.clone())
            };
            let bounces: Vec<Bounce> = told.into_iter().filter_map(|told| told.into_bounce(said_of)).collect();
            let undelivered = || Report::Undelivered { bounces: bounces.clone(), originals: originals() };
            return Some(if bounces.is_empty() { Report::Progress } else { undelivered() });
        }
    }
    match words::read(signs.subject, &text, signs.failed) {
        words::Says::Failed(bounces) => Some(Report::Undelivered { bounces, originals: originals() }),
        words::Says::Delayed => Some(Report::Progress),
        words::Says::Nothing => None,
    }
}

/// The text of a report, of its HTML where it has no other.
fn text(parts: &Parts) -> Cow<'_, str> {
    match (&parts.text, &parts.html) {
        (Some(text), _) if !text.trim().is_empty() => Cow::Borrowed(super::text::cut(text, TEXT)),
        (_, Some(html)) => Cow::Owned(markup::plain(super::text::cut(html, 4 * TEXT), TEXT)),
        _ => Cow::Borrowed(""),
    }
}

/// The parts that a report is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Status,
    Feedback,
    Receipt,
    /// The mail that came back, or its header.
    Returned,
}

fn kind_of(piece: &Piece) -> Kind {
    match piece.content_type.as_str() {
        "message/delivery-status" | "message/global-delivery-status" => Kind::Status,
        "message/feedback-report" => Kind::Feedback,
        "message/disposition-notification" | "message/global-disposition-notification" => Kind::Receipt,
        _ => Kind::Returned,
    }
}

/// Whether a part of this type says something in a report.
pub(super) fn is_of_interest(content_type: &str) -> bool {
    matches!(
        content_type,
        "message/delivery-status"
            | "message/global-delivery-status"
            | "message/feedback-report"
            | "message/disposition-notification"
            | "message/global-disposition-notification"
            | "message/rfc822"
            | "message/global"
            | "message/rfc822-headers"
            | "text/rfc822-headers"
            | "message/global-headers"
    )
}

#[cfg(test)]
mod tests;
