//! What is found out about a mailing after it left, from mail that comes back or from a provider, and what follows.
//!
//! [`Consequences::of`] is the only place that decides it, so that a report means the same by whichever way it comes.
//! Anybody can write a report. It counts only for a mailing whose Message-ID it carries (128 random bits), and only for
//! recipients whom that mailing was handed over for: everything else changes nothing.

use super::bounce::Bounce;
use super::event::EventKind;
use super::mailbox::address_key;
use super::mailing::{Mailing, Outcome, Recipient, RecipientState, Trigger};
use super::suppression::{Reason, Suppression};
use super::time::Timestamp;

/// Something that was found out.
#[derive(Clone, Debug)]
pub enum Finding<'a> {
    /// A person answered.
    Reply,
    /// It did not reach these recipients.
    Bounce(&'a [Bounce]),
    /// These recipients reported it as spam; nobody is named where the report hides its sender.
    Complaint(&'a [String]),
    /// The recipient, as a token of ours names them, wants no more mail.
    OptOut { address: &'a str, source: &'static str },
}

/// What follows, to be written in one unit of work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consequences {
    /// The mailing before and after; `None` where it stays as it is.
    pub mailing: Option<Box<(Mailing, Mailing)>>,
    pub suppressions: Vec<Suppression>,
    /// Beside the one for a change of state.
    pub events: Vec<EventKind>,
}

impl Consequences {
    /// What a finding means for a mailing. `source` names where it came from on the suppression list, `at` is when it
    /// happened as far as anybody knows. `None`: it is not about this mailing, whatever it says.
    pub fn of(mailing: &Mailing, finding: &Finding<'_>, at: Timestamp, now: Timestamp) -> Option<Self> {
        // Nothing comes back before it left, nor in the future.
        let at = at.max(mailing.created_at).min(now);
        let mut after = mailing.clone();
        after.came_back(now);
        let mut found = Self::default();
        match finding {
            Finding::Reply => {
                if after.replied_at.is_none() {
                    after.replied_at = Some(at);
                    after.apply(Trigger::Reply, now);
                    if after.state == mailing.state {
                        found.events.push(EventKind::MailingReplied);
                    }
                }
            }
            Finding::Bounce(bounces) => found.suppressions = bounced(&mut after, bounces, at, now)?,
            Finding::Complaint(recipients) => {
                let complaining = complaining(mailing, recipients)?;
                let suppression = |recipient: &Recipient| {
                    Suppression::new(&recipient.address, Reason::Complaint, "report", now).mailing(mailing.id)
                };
                found.suppressions = complaining.into_iter().map(suppression).collect();
                if after.marked_as_spam_at.is_none() {
                    after.marked_as_spam_at = Some(at);
                    found.events.push(EventKind::MailingMarkedAsSpam);
                }
            }
            Finding::OptOut { address, source } => {
                found = Self::of_opt_out(address, source, now);
                for suppression in &mut found.suppressions {
                    suppression.mailing_id = Some(mailing.id);
                }
                if after.unsubscribed_at.is_none() {
                    after.unsubscribed_at = Some(at);
                    found.events.push(EventKind::MailingUnsubscribed);
                }
            }
        }
        if after != *mailing {
            after.updated_at = now;
            if after.state == mailing.state && found.events.is_empty() {
                found.events.push(EventKind::MailingUpdated);
            }
            found.mailing = Some(Box::new((mailing.clone(), after)));
        }
        Some(found)
    }

    /// An opt-out whose mailing is gone: a token of ours is enough.
    pub fn of_opt_out(address: &str, source: &'static str, now: Timestamp) -> Self {
        Self { suppressions: vec![Suppression::new(address, Reason::Unsubscribe, source, now)], ..Self::default() }
    }
}

/// Marks the recipients whom it did not reach; those to be suppressed. `None` if none of them is this mailing's.
fn bounced(after: &mut Mailing, bounces: &[Bounce], at: Timestamp, now: Timestamp) -> Option<Vec<Suppression>> {
    let handed_over: Vec<bool> = after.recipients.iter().map(|recipient| after.may_have_reached(recipient)).collect();
    let is_alone = after.recipients.len() == 1;
    let (mut concerned, mut suppressions) = (false, Vec::new());
    for bounce in bounces {
        let names: Vec<String> = bounce.names().map(address_key).collect();
        let recipients = after.recipients.iter_mut().zip(&handed_over).filter(|(_, handed_over)| **handed_over);
        for (recipient, _) in recipients {
            let is_named = names.contains(&recipient.key());
            // A report that names nobody can only mean the one recipient there is.
            let is_meant = is_named || (names.is_empty() && is_alone);
            if !is_meant {
                continue;
            }
            concerned = true;
            if is_named && bounce.is_of_the_address() {
                let suppression = Suppression::new(&recipient.address, Reason::HardBounce, "report", now);
                suppressions.push(suppression.mailing(after.id));
            }
            let outcome = recipient.outcome.as_ref();
            // One that is in doubt was accepted, or it could not have come back.
            if outcome.is_none_or(|outcome| outcome.state == RecipientState::Accepted) {
                let said = Some(bounce.text.clone()).filter(|text| !text.is_empty());
                let answer = said.or_else(|| outcome?.answer.clone());
                recipient.outcome = Some(Outcome::new(RecipientState::Bounced, at, answer));
            }
        }
    }
    if !concerned {
        return None;
    }
    if after.waiting().next().is_none() {
        after.has_left(now);
    }
    after.bounced_at = after.bounced_at.or(Some(at));
    if after.has_bounced_entirely() {
        after.apply(Trigger::Bounce, now);
    }
    Some(suppressions)
}

/// The recipients who complained; `None` if somebody is named and is not this mailing's.
fn complaining<'m>(mailing: &'m Mailing, named: &[String]) -> Option<Vec<&'m Recipient>> {
    let handed_over: Vec<&Recipient> =
        mailing.recipients.iter().filter(|recipient| mailing.may_have_reached(recipient)).collect();
    if named.is_empty() {
        let is_alone = mailing.recipients.len() == 1;
        return match handed_over.as_slice() {
            [] => None,
            [_] if is_alone => Some(handed_over),
            // One of several, and nobody says which.
            _ => Some(Vec::new()),
        };
    }
    let named: Vec<String> = named.iter().map(|address| address_key(address)).collect();
    let found: Vec<&Recipient> = handed_over.into_iter().filter(|recipient| named.contains(&recipient.key())).collect();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
#[path = "finding_tests.rs"]
mod tests;
