//! What a reply means for whoever waits: one pure function from stage and reply to a [`Failure`].
//!
//! The scope says who has to wait: a recipient, this message, the mailbox (pause it and burn nobody's retries) or the
//! host (the same, for a server in trouble).

use super::reply::Reply;
use super::wire::WireError;
use crate::domain::failure::{EnhancedCode, Failure, FailureKind, Scope, Stage};

/// A reply that is not the one a session needs.
pub(super) fn classify(stage: Stage, reply: &Reply) -> Failure {
    let verdict = verdict(stage, reply);
    let mut failure =
        Failure::new(verdict.kind, verdict.scope, stage, verdict.sentence).code(reply.code).server(&reply.text());
    failure.advice = verdict.advice.map(Into::into);
    failure
}

/// No reply at all: the server or the network, worth another try. After the final dot: doubt.
pub(super) fn broken(stage: Stage, host: &str, error: &WireError) -> Failure {
    if stage == Stage::FinalDot {
        return Failure::new(
            FailureKind::Doubt,
            Scope::Message,
            stage,
            format!("{host} received the whole message, but whether it accepted it is not known: {error}."),
        )
        .advice("Look into the sent folder or ask the recipient before the message is sent again.");
    }
    Failure::temporary(stage, format!("The session with {host} ended at {}: {error}.", doing(stage)))
}

struct Verdict {
    kind: FailureKind,
    scope: Scope,
    sentence: &'static str,
    advice: Option<&'static str>,
}

const fn verdict_of(kind: FailureKind, scope: Scope, sentence: &'static str) -> Verdict {
    Verdict { kind, scope, sentence, advice: None }
}

impl Verdict {
    const fn advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }
}

fn verdict(stage: Stage, reply: &Reply) -> Verdict {
    use FailureKind::{Auth, Permanent, Quota, Temporary};
    let enhanced = reply.enhanced().map(|EnhancedCode(class, subject, detail)| (class, subject, detail));
    if is_quota(enhanced, reply) {
        return verdict_of(Quota, Scope::Mailbox, "The provider's own sending limit is reached.")
            .advice("Sending resumes by itself; lower this mailbox's limits if it happens again.");
    }
    match (reply.code, enhanced) {
        (421, _) => {
            return verdict_of(Temporary, Scope::Host, "The server closed the session and asks to come back later.");
        }
        _ if stage == Stage::Authentication => return at_authentication(reply),
        // Behind the envelope they are said of the message: Yahoo refuses some by 554 5.7.9.
        (530 | 534 | 535 | 538, _) | (_, Some((5, 7, 8 | 9 | 11))) if stage <= Stage::RcptTo => {
            return verdict_of(Auth, Scope::Mailbox, "The server does not let this mailbox send without logging in.")
                .advice("Check the user name and the password for sending.");
        }
        _ => {}
    }
    match (reply.code / 100, stage) {
        // Many servers say at RCPT what they think of the sender: all of them that test only once they know both.
        (4, Stage::RcptTo) if is_of_the_sender(enhanced, reply) => {
            verdict_of(Temporary, Scope::Mailbox, "The server does not take mail from this mailbox at the moment.")
        }
        (5, Stage::RcptTo) if is_of_the_sender(enhanced, reply) => refused_sender(),
        (4, Stage::RcptTo) => temporary_recipient(reply.code, enhanced),
        (4, Stage::MailFrom) => {
            verdict_of(Temporary, Scope::Mailbox, "The server does not take mail from this mailbox at the moment.")
        }
        (4, Stage::Data | Stage::FinalDot) => {
            verdict_of(Temporary, Scope::Message, "The server does not take this message at the moment.")
        }
        (4, _) => verdict_of(Temporary, Scope::Host, "The server is not available at the moment."),
        // What RSET forgets was sent by us alone: a new session will do.
        (5, Stage::Rset) => {
            verdict_of(Temporary, Scope::Host, "The server does not keep the session for another message.")
        }
        (5, Stage::RcptTo) => permanent_recipient(reply, enhanced),
        (5, Stage::MailFrom | Stage::Data | Stage::FinalDot) => permanent_message(stage, reply.code, enhanced),
        (5, _) => verdict_of(Permanent, Scope::Host, "The server refuses to talk to us.")
            .advice("Check host and port; the provider may be blocking this machine's address."),
        // A reply of a kind that has no place here: 2xx where 354 is due, 3xx elsewhere.
        _ => verdict_of(Temporary, Scope::Host, "The server gave an answer that does not belong there."),
    }
}

/// Codes by which providers say that the *sender* has sent enough, whatever the recipient or the message.
fn is_quota(enhanced: Option<(u8, u16, u16)>, reply: &Reply) -> bool {
    match enhanced {
        // Gmail's daily limit (4.4.5 is its "server busy") and rate limit; Exchange Online's daily, tenant, trial limits.
        Some((5, 4, 5) | (4 | 5, 7, 28 | 232 | 233 | 705) | (5, 1, 90)) => true,
        // Exchange Online, one code for several reasons.
        Some((4 | 5, 2, 0 | 2)) => reply.text().contains("SubmissionQuotaExceeded"),
        _ => false,
    }
}

/// Whether a refusal at RCPT is one of the sender or of this machine, whoever the recipient: the words of Postfix
/// (`smtpd_delay_reject`), Exim (sender verification) and Sendmail, and RFC 3463's codes for a sender's address.
fn is_of_the_sender(enhanced: Option<(u8, u16, u16)>, reply: &Reply) -> bool {
    const WORDS: [&str; 7] = [
        "sender address rejected",
        "sender address does not belong",
        "sender verify failed",
        "client host rejected",
        "helo command rejected",
        "not owned by user",
        "not owned by sender",
    ];
    let text = reply.text().to_ascii_lowercase();
    if matches!(enhanced, Some((_, 1, 1 | 2 | 3 | 6 | 10) | (_, 2, 1))) || text.contains("recipient address rejected") {
        return false;
    }
    // What another server said to this one is of this one's doing.
    let text = text.split(" said:").next().unwrap_or_default();
    matches!(enhanced, Some((_, 1, 7 | 8))) || WORDS.iter().any(|words| text.contains(words))
}

fn refused_sender() -> Verdict {
    verdict_of(FailureKind::Permanent, Scope::Mailbox, "The server refused this mailbox as the sender.")
        .advice("The user name may not be allowed to send from this address.")
}

fn at_authentication(reply: &Reply) -> Verdict {
    use FailureKind::{Auth, Config, Temporary};
    match reply.code {
        400..=499 => verdict_of(Temporary, Scope::Mailbox, "The server cannot check the password at the moment.")
            .advice("After too many log-ins providers want a pause."),
        500 | 502 | 504 => verdict_of(Config, Scope::Mailbox, "The server does not know this way of logging in."),
        534 | 538 => verdict_of(Auth, Scope::Mailbox, "The server does not accept this way of logging in.")
            .advice("The provider may want an app password, or may have switched password log-ins off."),
        500..=599 => verdict_of(Auth, Scope::Mailbox, "The server refused the user name or the password.")
            .advice("Check the user name and the password for sending; some providers want an app password."),
        _ => verdict_of(Temporary, Scope::Host, "The server gave an answer that does not belong there."),
    }
}

fn temporary_recipient(code: u16, enhanced: Option<(u8, u16, u16)>) -> Verdict {
    let sentence = match (code, enhanced) {
        (_, Some((4, 2, 2))) => "The recipient's mailbox is full.",
        (_, Some((4, 5, 3))) => "The server takes no more recipients for one message.",
        _ => "The server does not take mail for this recipient at the moment.",
    };
    verdict_of(FailureKind::Temporary, Scope::Recipient, sentence)
}

fn permanent_recipient(reply: &Reply, enhanced: Option<(u8, u16, u16)>) -> Verdict {
    use FailureKind::{Permanent, Temporary};
    match (reply.code, enhanced) {
        // RFC 5321 section 4.5.3.1.10: an old way to say 452, too many recipients.
        (552, None) | (_, Some((5, 5, 3))) => verdict_of(
            Temporary,
            Scope::Recipient,
            "The server takes no more recipients, or the recipient's mailbox is full.",
        ),
        (_, Some((5, 2, 2))) => verdict_of(Permanent, Scope::Recipient, "The recipient's mailbox is full."),
        (_, Some((5, 3, 4))) => too_large(),
        (_, Some((5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1))) => {
            verdict_of(Permanent, Scope::Recipient, "The recipient's address does not exist.")
        }
        _ if does_not_relay(reply) => {
            verdict_of(Permanent, Scope::Mailbox, "The server does not relay mail to this recipient.")
                .advice("The server may want a log-in, or is not meant for outgoing mail.")
        }
        _ => verdict_of(Permanent, Scope::Recipient, "The server refused the recipient."),
    }
}

/// The words of Postfix, Sendmail, Exim and Exchange for a client that may not send to strangers.
fn does_not_relay(reply: &Reply) -> bool {
    const WORDS: [&str; 6] = [
        "relay access denied",
        "relaying denied",
        "relay not permitted",
        "relaying is not permitted",
        "unable to relay",
        "relay denied",
    ];
    let text = reply.text().to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

fn permanent_message(stage: Stage, code: u16, enhanced: Option<(u8, u16, u16)>) -> Verdict {
    use FailureKind::Permanent;
    match (code, enhanced) {
        (_, Some((5, 3, 4) | (5, 2, 3))) | (552, None) => too_large(),
        // Exchange: the sender is not this mailbox's own (60), or was blocked for what it sent (5.1.8, 5.7.501 to 503).
        (_, Some((5, 1, 8) | (5, 7, 60 | 501..=503 | 708))) => {
            verdict_of(Permanent, Scope::Mailbox, "The provider does not let this mailbox send.")
                .advice("Check the sender address, and with the provider whether the mailbox was blocked.")
        }
        // Exchange Online where log-ins by password were switched off.
        (550, Some((5, 7, 30))) => {
            verdict_of(FailureKind::Auth, Scope::Mailbox, "The provider does not take mail after a log-in by password.")
                .advice("Log-ins by password for SMTP have to be switched on for this mailbox at the provider.")
        }
        _ if stage == Stage::MailFrom => refused_sender(),
        _ => verdict_of(Permanent, Scope::Message, "The server refused the message."),
    }
}

fn too_large() -> Verdict {
    verdict_of(FailureKind::Permanent, Scope::Message, "The message is larger than the server takes.")
        .advice("Send smaller attachments.")
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "its greeting",
        Stage::Capabilities => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Authentication => "the log-in",
        Stage::MailFrom => "MAIL FROM",
        Stage::RcptTo => "RCPT TO",
        Stage::Data => "DATA, before the message was complete",
        Stage::Rset => "RSET",
        _ => stage.name(),
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
