//! Mails that ask for no more mail: what in them may be a token that we once sent out.
//!
//! A token anywhere is not enough, as every answer quotes one with the mail that it answers. The mail has to say what it
//! wants: in its subject (`unsubscribe TOKEN`, as mail programs write it for the `mailto:` of a List-Unsubscribe, RFC 2369
//! §3.2), or in its own words above what it quotes.

use super::entity::Parts;
use super::{markup, reply, text};
use crate::domain::link::TOKEN_LIMIT;

/// The shortest token: nobody's address takes less.
const SHORTEST: usize = 60;
/// How many tokens of one mail are tried.
const KEPT: usize = 4;
/// How much of the text is looked at, in octets.
const LOOK: usize = 64 * 1024;
/// How much of a text shows whether it begins with a wish, in octets.
const BEGINNING: usize = 200;

/// What may be tokens, where the mail asks to opt out.
pub(super) fn tokens(subject: &str, parts: &Parts) -> Vec<String> {
    let mut words = subject.split_whitespace();
    if words.next().is_some_and(|word| word.eq_ignore_ascii_case("unsubscribe")) {
        let named: Vec<String> = words.filter(|word| is_token(word)).take(KEPT).map(str::to_owned).collect();
        if !named.is_empty() {
            return named;
        }
    }
    let body = parts.text.as_deref().filter(|body| !body.trim().is_empty()).map(|body| text::cut(body, LOOK));
    let html = parts.html.as_deref().map(|html| text::cut(html, LOOK));
    // Cheap first: most mails hold no token, and few begin with a wish.
    let mut found = body.map(in_text).unwrap_or_default();
    if found.is_empty() {
        found = html.map(in_text).unwrap_or_default();
    }
    if found.is_empty() {
        return found;
    }
    let own = match (body, html) {
        (Some(body), _) => reply::without_quotes(body),
        // A tree is built only of HTML that begins with a wish.
        (None, Some(html)) if begins_with_a_wish(&markup::plain(html, BEGINNING)) => {
            reply::reply_text(None, Some(html)).unwrap_or_default()
        }
        (None, _) => return Vec::new(),
    };
    if asks_for_it(&own) { found } else { Vec::new() }
}

fn begins_with_a_wish(text: &str) -> bool {
    let said = said(text);
    WISHES.iter().any(|wish| said.starts_with(wish))
}

/// Whether a person's own words ask for no more mail and say nothing else.
fn asks_for_it(own: &str) -> bool {
    if own.len() > 2 * TOKEN_LIMIT {
        return false;
    }
    WISHES.contains(&said(own).as_str())
}

/// The words of a text, in lower case and without what stands between them.
fn said(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .filter(|word| !is_token(word))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

const WISHES: [&str; 26] = [
    "unsubscribe",
    "please unsubscribe",
    "unsubscribe please",
    "unsubscribe me",
    "please unsubscribe me",
    "unsubscribe me please",
    "stop",
    "remove me",
    "please remove me",
    "remove",
    "opt out",
    "opt-out",
    "optout",
    "abmelden",
    "bitte abmelden",
    "abbestellen",
    "bitte abbestellen",
    "austragen",
    "désinscription",
    "désabonner",
    "se désabonner",
    "me désinscrire",
    "darse de baja",
    "baja",
    "cancellami",
    "afmelden",
];

/// The tokens in a text. Every mail is looked through, so only every sixtieth octet is: no token lies between two.
fn in_text(text: &str) -> Vec<String> {
    let octets = text.as_bytes();
    let mut found: Vec<String> = Vec::new();
    let (mut at, mut behind_last) = (SHORTEST - 1, 0);
    while at < octets.len() && found.len() < KEPT {
        if !is_of_token(octets[at]) {
            at += SHORTEST;
            continue;
        }
        let before = octets[behind_last..at].iter().rposition(|octet| !is_of_token(*octet));
        let start = before.map_or(behind_last, |before| behind_last + before + 1);
        let end = octets[at..].iter().position(|octet| !is_of_token(*octet)).map_or(octets.len(), |length| at + length);
        let word = &text[start..end];
        if is_token(word) && !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
        behind_last = end;
        at = end + SHORTEST;
    }
    found
}

fn is_token(word: &str) -> bool {
    (SHORTEST..=TOKEN_LIMIT).contains(&word.len()) && word.bytes().all(is_of_token)
}

fn is_of_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_found_wherever_it_stands(text in "(é|[ /.]|[a-c_-]{1,9}|[a-z0-9]{58,64}){0,12}") {
            let words = text.split(|c: char| !c.is_ascii() || !is_of_token(u8::try_from(c).unwrap_or_default()));
            let mut expected: Vec<String> = Vec::new();
            for word in words.filter(|word| is_token(word)) {
                if expected.len() < KEPT && !expected.iter().any(|known| known == word) {
                    expected.push(word.to_owned());
                }
            }
            prop_assert_eq!(in_text(&text), expected);
        }
    }
}
