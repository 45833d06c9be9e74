//! Delivery reports in sentences: qmail, Exim, sendmail, Exchange, Yahoo, Domino, `IMail`, `MailEnable`, Courier and
//! whoever writes like them.
//!
//! Their forms have this in common: a sentence that a mail failed, addresses each followed by what was said of it, then
//! perhaps the mail itself. That is what is looked for, not one program's exact words.

use super::fields::address;
use crate::domain::bounce::Bounce;

/// How many lines belong to an address.
const LINES: usize = 12;
/// How much of what was said of an address is kept, in octets.
const SAID: usize = 1_000;

/// What a report's text says.
#[derive(Debug)]
pub(super) enum Says {
    Failed(Vec<Bounce>),
    /// It will be tried again.
    Delayed,
    Nothing,
}

/// Reads a report. `failed` are the addresses that its header names.
pub(super) fn read(subject: &str, text: &str, failed: &[String]) -> Says {
    let own = before_the_mail(text);
    let lower = format!("{subject}\n{own}").to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(&DELAY) {
        return Says::Delayed;
    }
    if failed.is_empty() && !says(&FAILURE) {
        return Says::Nothing;
    }
    let blocks = blocks(own);
    let mut bounces: Vec<Bounce> = Vec::new();
    for named in failed.iter().filter_map(|named| address(named)).take(super::RECIPIENTS) {
        let said = blocks.iter().find(|(known, _)| known.eq_ignore_ascii_case(&named));
        let said = said.map(|(_, said)| said.as_str()).unwrap_or_default();
        bounces.push(Bounce::new(Some(named), None, said));
    }
    if bounces.is_empty() {
        for (named, said) in blocks {
            if bounces.len() < super::RECIPIENTS
                && !bounces.iter().any(|known| known.recipient.as_ref() == Some(&named))
            {
                bounces.push(Bounce::new(Some(named), None, &said));
            }
        }
    }
    if bounces.is_empty() {
        bounces.push(Bounce::new(None, None, first_diagnosis(own)));
    }
    Says::Failed(bounces)
}

/// The addresses that a report's text names, each with what it says of them.
pub(super) fn named(text: &str) -> Vec<(String, String)> {
    blocks(before_the_mail(text))
}

/// The report without the mail that it ends with.
fn before_the_mail(text: &str) -> &str {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = line.trim().trim_start_matches(['-', '=', '*', '_', ' ']).to_ascii_lowercase();
        let is_rule = line.trim_start().starts_with(['-', '=', '*', '_']);
        let is_field = |name: &str| line.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        if (is_rule && MAIL_BEGINS.iter().any(|words| start.starts_with(words)))
            || MAIL_FOLLOWS.iter().any(|words| start.starts_with(words))
            || ["Received:", "Return-Path:", "DKIM-Signature:", "MIME-Version:"].iter().any(|name| is_field(name))
        {
            return &text[..at];
        }
        at += line.len();
    }
    text
}

/// Each address with what stands beside and below it, up to the next address or to where something else begins.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    // The block that lines are added to, and how many it still takes.
    let mut open: Option<(usize, usize)> = None;
    let mut gap = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            gap = true;
            continue;
        }
        if let Some(named) = addressee(trimmed).filter(|_| opens_a_block(line)) {
            let known = found.iter().position(|(known, _)| known.eq_ignore_ascii_case(&named));
            // Where it is named again, more is said of it.
            if let Some(at) = known {
                open = Some((at, LINES));
                gap = false;
            } else if found.len() == super::RECIPIENTS {
                break;
            } else {
                found.push((named, trimmed.to_owned()));
                (open, gap) = (Some((found.len() - 1, LINES)), false);
                continue;
            }
        }
        let Some((at, left)) = open else { continue };
        let said = &mut found[at].1;
        // Behind an empty line only what is plainly an answer belongs to it.
        if left == 0 || (std::mem::take(&mut gap) && said.contains('\n') && !is_an_answer(trimmed)) {
            open = None;
            continue;
        }
        open = Some((at, left - 1));
        if said.len() + trimmed.len() < SAID {
            said.push('\n');
            said.push_str(trimmed);
        }
    }
    found
}

fn is_an_answer(line: &str) -> bool {
    let line = line.trim_start_matches(['<', '[', '(', '#', ' ', '"', '\'']);
    let lower = line.get(..40).unwrap_or(line).to_lowercase();
    line.starts_with(['4', '5'])
        || ["smtp", "remote host said", "reason", "the error", "host ", "error"]
            .iter()
            .any(|word| lower.starts_with(word))
}

/// Whether an address on this line is one that was not reached: not one in the middle of a server's answer.
fn opens_a_block(line: &str) -> bool {
    let lower = line.trim_start().to_lowercase();
    ![
        "from:",
        "reply-to:",
        "sender:",
        "message-id",
        "in-reply-to",
        "contact",
        "please",
        "for help",
        "reporting-mta",
        ">",
    ]
    .iter()
    .any(|word| lower.starts_with(word))
}

/// The first address on a line that can be a recipient's.
fn addressee(line: &str) -> Option<String> {
    let words = line.split(|c: char| c.is_whitespace() || "<>()[]\"'`,;“”«»„".contains(c));
    words
        .map(|word| word.trim_start_matches("mailto:").trim_start_matches("SMTP:").trim_start_matches("smtp:"))
        .map(|word| word.trim_end_matches([':', '.', '!', '?']).trim_start_matches(':'))
        .filter(|word| word.contains('@') && word.len() <= 320)
        .find_map(|word| {
            let found = address(word)?;
            let local = found.split('@').next().unwrap_or_default().to_ascii_lowercase();
            let is_a_machine =
                matches!(local.as_str(), "postmaster" | "mailer-daemon" | "abuse" | "support" | "helpdesk");
            let has_a_domain = found.rsplit('@').next().is_some_and(|domain| {
                domain.contains('.') && !domain.contains(['/', '=', ':']) && !domain.ends_with('.')
            });
            (!is_a_machine && has_a_domain).then_some(found)
        })
}

/// What was said where no address stands: the first line with a code, or that a phrase gives away.
fn first_diagnosis(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .find(|line| {
            let (code, enhanced) = crate::domain::bounce::codes(line);
            code.is_some() || enhanced.is_some()
        })
        .or_else(|| text.lines().map(str::trim).find(|line| !line.is_empty()))
        .unwrap_or_default()
}

const MAIL_BEGINS: [&str; 8] = [
    "below this line is a copy",
    "original message",
    "this is a copy of",
    "this is a copy of your message",
    "the header of the original message",
    "message header",
    "returned message",
    "unsent message",
];

const MAIL_FOLLOWS: [&str; 9] = [
    "original message follows",
    "original message headers",
    "message headers follow",
    "message header follows",
    "your original message",
    "the original message follows",
    "included is a copy of the message",
    "ursprüngliche nachrichtenkopf",
    "original-nachrichtenkopf",
];

/// Only what no report of a failure says.
const DELAY: [&str; 15] = [
    "will be retried",
    "will keep trying",
    "will continue to try",
    "still being retried",
    "not yet been delivered",
    "has not been delivered yet",
    "no action is required on your part",
    "this is a warning message only",
    "delivery status notification (delay)",
    "delivery is delayed",
    "delayed mail (still being retried)",
    "delivery delayed",
    "warning: message delayed",
    "message delayed",
    "wird weiterhin versucht",
];

const FAILURE: [&str; 44] = [
    "undeliver",
    "not deliverable",
    "delivery fail",
    "failed delivery",
    "delivery status notification (failure)",
    "delivery has failed",
    "delivery to the following",
    "failure notice",
    "returned mail",
    "mail delivery failed",
    "returning message to sender",
    "could not be delivered",
    "couldn't be delivered",
    "wasn't delivered",
    "was not delivered",
    "cannot be delivered",
    "can't be delivered",
    "unable to deliver",
    "wasn't able to deliver",
    "were not able to deliver",
    "not able to deliver",
    "did not reach the following",
    "didn't reach",
    "permanent error",
    "permanent fatal errors",
    "fatal errors",
    "message delivery failure",
    "rejected your message",
    "has been rejected",
    "message rejected",
    "bounced",
    "user unknown",
    "unknown user",
    "no such user",
    "mailbox exceeds",
    "unzustellbar",
    "nicht zugestellt",
    "konnte nicht",
    "n'a pas pu être",
    "échec de la remise",
    "no se pudo entregar",
    "no se ha podido entregar",
    "mancato recapito",
    "não pôde ser entregue",
];
