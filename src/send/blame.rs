//! Whom a refusal speaks of: a recipient, this mailing, its alias, or the mailbox with all that it sends.

use crate::domain::failure::{EnhancedCode, Failure, FailureKind, Scope, Stage};
use crate::domain::mailing::{AttemptRecord, Mailing};
use crate::store::{StoreError, Work, content, status};

/// The refusal that lets recipients be tried again; one that concerns the mailbox says more than one of a recipient.
pub(super) fn deferred(refused: &[(String, Failure)]) -> Option<&Failure> {
    let open = || refused.iter().map(|(_, failure)| failure).filter(|failure| !is_final(failure));
    let asked = || open().rfind(|failure| !is_left_over(failure));
    open().find(|failure| concerns_mailbox(failure)).or_else(asked).or_else(|| open().next_back())
}

pub(super) fn concerns_mailbox(failure: &Failure) -> bool {
    failure.scope == Scope::Mailbox
}

/// Whether a refusal at RCPT is the last word about that recipient.
pub(super) fn is_final(failure: &Failure) -> bool {
    failure.kind == FailureKind::Permanent && !concerns_mailbox(failure)
}

/// RFC 5321 sections 4.5.3.1.8 and 4.5.3.1.10: too many recipients for one message.
pub(super) fn takes_no_more(failure: &Failure) -> bool {
    failure.stage == Stage::RcptTo
        && matches!((failure.code, failure.enhanced), (Some(452 | 552), None) | (_, Some(EnhancedCode(4 | 5, 5, 3))))
}

/// What is said of recipients who were not named, because the provider is known to take only so many at once.
pub(super) fn left_over() -> Failure {
    let sentence = "The provider takes no more recipients for one message; this one is for the next.";
    let failure = Failure::new(FailureKind::Temporary, Scope::Recipient, Stage::RcptTo, sentence);
    Failure { enhanced: Some(EnhancedCode(4, 5, 3)), ..failure }
}

/// Whether a refusal is none: nobody was asked.
pub(super) fn is_left_over(failure: &Failure) -> bool {
    failure.code.is_none() && takes_no_more(failure)
}

/// Whether it was the server who refused them, and so had nothing against the sender.
pub(super) fn answered(refused: &[(String, Failure)]) -> bool {
    refused.iter().any(|(_, failure)| failure.code.is_some())
}

/// Whether the server refused the alias that the mailing is from: other mailings of the mailbox may go.
pub(super) fn is_of_the_alias(work: &Work, mailing: &Mailing, failure: &Failure) -> Result<bool, StoreError> {
    let may_be = match failure.kind {
        // Who may not relay may do so from no address.
        FailureKind::Permanent => match failure.stage {
            Stage::MailFrom => true,
            Stage::RcptTo => failure.scope == Scope::Mailbox && !speaks_of_relaying(failure),
            _ => false,
        },
        // "Send as" is denied at whichever stage the server looks.
        FailureKind::Config => failure.stage >= Stage::MailFrom && failure.stage <= Stage::FinalDot,
        _ => false,
    };
    Ok(may_be && content(work, mailing.id)?.from_alias.is_some())
}

fn speaks_of_relaying(failure: &Failure) -> bool {
    failure.server.as_ref().is_some_and(|line| line.to_ascii_lowercase().contains("relay"))
}

/// Stages at which a server has seen what sets one mailing apart from another: its sender, its size, its recipients.
pub(super) fn knows_the_message(failure: &Failure) -> bool {
    (Stage::MailFrom..=Stage::FinalDot).contains(&failure.stage)
}

/// Whether what a server says of the mailbox is true of this mailing alone: it said so before, and took others since.
pub(super) fn is_of_the_message(work: &Work, mailing: &Mailing, failure: &Failure) -> Result<bool, StoreError> {
    let may_be = matches!(failure.kind, FailureKind::Temporary | FailureKind::Permanent)
        && failure.scope == Scope::Mailbox
        && knows_the_message(failure);
    if !may_be {
        return Ok(false);
    }
    let succeeded = status(work, mailing.mailbox_id)?.send.success_at;
    let same = AttemptRecord::failed(work.now(), failure);
    let said_before = |record: &&AttemptRecord| {
        record.at < same.at
            && (record.stage, record.code, &record.enhanced_code) == (same.stage, same.code, &same.enhanced_code)
    };
    let before = mailing.attempts.iter().rfind(said_before).map(|record| record.at);
    Ok(before.zip(succeeded).is_some_and(|(before, succeeded)| succeeded > before))
}
