//! What a person wrote, without what they quote and without their signature.
//!
//! Nothing is rewritten: the result is made of lines of the text. Where it is not plain what a line is, it stays; a
//! text that would vanish altogether is given whole, as a forwarded mail is.

use super::html::text_without_links;
use super::quotes::{is_attribution, is_field_block, is_separator, is_sign_off};

/// How much of a text is looked at, in octets; what follows is left as it is.
const LOOK: usize = 256 * 1024;
/// An attribution is folded over at most so many lines.
const FOLDED: usize = 4;
/// A signature is no longer than this, in lines.
const SIGNATURE: usize = 15;

/// The text of a message without quoted mail and signature; that of its HTML where it has no text. `None`: there is
/// neither.
pub fn reply_text(text: Option<&str>, html: Option<&str>) -> Option<String> {
    match (text, html) {
        (Some(text), _) if !text.trim().is_empty() => Some(without_quotes(text)),
        (_, Some(html)) => Some(without_quotes(&text_without_links(html))),
        (Some(text), None) => Some(text.to_owned()),
        (None, None) => None,
    }
}

/// The lines of a text that are neither quoted nor signature.
pub(super) fn without_quotes(text: &str) -> String {
    let looked_at = super::text::cut(text, LOOK);
    if looked_at.len() < text.len() {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let end = end_of_own(&lines);
    let mut kept: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < end {
        if is_quoted(lines[at]) {
            at += 1;
            continue;
        }
        // "On … wrote:" belongs to the quote that follows it.
        if let Some(length) = attribution(&lines[at..end]) {
            at += length;
            continue;
        }
        kept.push(lines[at]);
        at += 1;
    }
    let kept = without_signature(&kept);
    let own = kept.join("\n");
    let own = own.trim_matches(|c: char| c == '\n' || c == '\r');
    if own.trim().is_empty() { text.to_owned() } else { own.trim_end().to_owned() }
}

fn is_quoted(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('>') && !line.starts_with(">>>>>>>") || line.starts_with("| ") && line.len() > 2
}

/// Where a quote without marks begins, which goes on to the end: Outlook's rule or block of fields, or an attribution
/// with the unmarked mail below it.
fn end_of_own(lines: &[&str]) -> usize {
    for at in 0..lines.len() {
        if is_separator(lines[at]) || is_field_block(&lines[at..]) {
            // An underscore rule above Outlook's fields belongs to them.
            let above = at.checked_sub(1).map(|above| lines[above].trim());
            let is_rule =
                above.is_some_and(|line| line.len() >= 10 && line.chars().all(|c| matches!(c, '_' | '-' | '─')));
            return if is_rule { at - 1 } else { at };
        }
    }
    // Only where no quoted line follows: marked quotes are taken out line by line, and answers between them stay.
    let last_quoted = lines.iter().rposition(|line| is_quoted(line));
    let unmarked = (last_quoted.map_or(0, |at| at + 1)..lines.len()).find(|at| {
        attribution_length(&lines[*at..])
            .is_some_and(|length| lines[at + length..].iter().any(|line| !line.trim().is_empty()))
    });
    match (last_quoted, unmarked) {
        (None, Some(at)) => at,
        _ => lines.len(),
    }
}

/// The length of an attribution at the start of the lines, if a quoted line follows.
fn attribution(lines: &[&str]) -> Option<usize> {
    let length = attribution_length(lines)?;
    let next = lines[length..].iter().find(|line| !line.trim().is_empty());
    // At the very end, the quote itself has been left out by the mail program.
    next.is_none_or(|line| is_quoted(line)).then_some(length)
}

/// How many lines an attribution at the start of the lines takes.
fn attribution_length(lines: &[&str]) -> Option<usize> {
    if lines.first()?.trim().is_empty() {
        return None;
    }
    let mut joined = String::new();
    for (count, line) in lines.iter().take(FOLDED).enumerate() {
        let line = line.trim();
        if line.is_empty() || line.len() > 400 {
            return None;
        }
        if count > 0 {
            joined.push(' ');
        }
        joined.push_str(line);
        if is_attribution(&joined) {
            return Some(count + 1);
        }
        if line.ends_with(':') {
            return None;
        }
    }
    None
}

fn without_signature<'a, 'l>(lines: &'a [&'l str]) -> &'a [&'l str] {
    // The sign of RFC 3676 §4.3; the last one, as it may stand in the text of a signature-loving writer too.
    let sign = lines.iter().rposition(|line| matches!(line.trim_end_matches('\r'), "-- " | "--"));
    let lines = match sign {
        Some(at) if lines.len() - at <= SIGNATURE => &lines[..at],
        _ => lines,
    };
    let last = lines.iter().rposition(|line| !line.trim().is_empty());
    match last {
        Some(at) if is_sign_off(lines[at]) => &lines[..at],
        _ => lines,
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
