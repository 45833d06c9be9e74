//! Tells people from machines by header fields, so that no absence notice and no bounce counts as a reply.

use crate::domain::classification::Nature;

/// The fields that tell, as a message has them.
#[derive(Default)]
pub(super) struct Signals {
    /// `Auto-Submitted` (RFC 3834 §5).
    pub(super) auto_submitted: Option<String>,
    pub(super) precedence: Option<String>,
    /// Other signs of an automatic message: `X-Autoreply`, `X-Autorespond`, `X-Autoresponder` unless they say no, and
    /// `Return-Path: <>` (RFC 5321 §4.5.5: nobody is to answer).
    pub(super) automatic: bool,
    /// Signs of a report: multipart/report (RFC 6522) or a report part as the whole message, `X-Failed-Recipients`
    /// (Exim), a mailer-daemon as the author.
    pub(super) report: bool,
}

/// What the fields say. `X-Auto-Response-Suppress` is no sign: it asks others not to answer. A mailing list's
/// `Precedence: list` is none either, people write there.
pub(super) fn classify(signals: &Signals) -> Nature {
    if signals.report {
        return Nature::Report;
    }
    let keyword = |value: &Option<String>| {
        value.as_deref().map(|value| {
            let end = value.find(|c: char| c == ';' || c == '(' || c.is_whitespace()).unwrap_or(value.len());
            value[..end].to_ascii_lowercase()
        })
    };
    let is_automatic = keyword(&signals.auto_submitted).is_some_and(|word| !word.is_empty() && word != "no")
        || matches!(keyword(&signals.precedence).as_deref(), Some("bulk" | "junk" | "auto_reply"))
        || signals.automatic;
    if is_automatic { Nature::Automatic } else { Nature::Human }
}
