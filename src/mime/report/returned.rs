//! Which mail a report is about: the Message-ID of what came back.

use super::super::entity::Piece;
use super::super::ids::identifiers;
use super::fields::{as_text, groups};

/// How many identifiers are worth looking up.
const KEPT: usize = 10;

/// The identifiers that the report may be about, the surest first: of the mail or header that it returns, of the mail
/// that its text quotes, of what it says that it answers.
pub(super) fn originals(returned: &[&Piece], text: &str, ancestors: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for piece in returned {
        let text = as_text(&piece.octets);
        let header = groups(&text).skip_while(Option::is_none).map_while(|field| field);
        for (name, value) in header {
            if name == "message-id" || name == "x-original-message-id" || name == "original-message-id" {
                push(&mut found, identifiers(&value));
            }
        }
    }
    push(&mut found, quoted(text));
    push(&mut found, ancestors.iter().cloned());
    found
}

/// Lines such as `Message-ID: <…>`, however quoted; the identifier may stand on the line below.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '>' | '|' | '*' | '-'));
        let Some(head) = line.get(..11).filter(|head| {
            let head = head.to_ascii_lowercase();
            head == "message-id:" || head == "message id:"
        }) else {
            continue;
        };
        let value = &line[head.len()..];
        let value = if value.trim().is_empty() { lines.peek().copied().unwrap_or_default() } else { value };
        found.extend(identifiers(value));
        if found.len() >= KEPT {
            break;
        }
    }
    found
}

fn push(found: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for id in more {
        if found.len() < KEPT && !found.contains(&id) {
            found.push(id);
        }
    }
}
