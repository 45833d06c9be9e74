//! Whether a mailbox may send now, and if not, until when and why. The same answer decides a start and explains a
//! delay: `delayReason` and `nextSendAt` are read from here.
//!
//! Every rule is asked. What holds until somebody changes something outweighs what passes by itself; of limits that
//! pass, the one that passes last answers.

mod rules;
#[cfg(test)]
mod tests;

pub use rules::{Counters, counters};

use super::outlook::Outlook;
use crate::connect::effective::EffectiveSettings;
use crate::domain::limits::Moment;
use crate::domain::mailbox::{Mailbox, Status};
use crate::domain::time::Timestamp;
use crate::store::{Reader, StoreError};

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    Go,
    /// Not before a moment, by the wall clock: a limit or the pause after a failure.
    NotBefore {
        at: Timestamp,
        why: Why,
        reason: String,
    },
    /// Until somebody changes something, or the inbox has been synced.
    Hold {
        why: Why,
        reason: String,
    },
}

/// What kind of thing holds a mailbox back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Disabled,
    Settings,
    Failure,
    /// The machine's clock cannot be right.
    Clock,
    /// The disk of the store has too little room.
    Space,
    /// The server is in trouble, whoever sends through it.
    Host,
    /// The inbox has to be synced first.
    Sync,
    Limit,
}

impl Gate {
    fn hold(why: Why, reason: impl Into<String>) -> Self {
        Self::Hold { why, reason: reason.into() }
    }

    fn not_before(at: Timestamp, why: Why, reason: impl Into<String>) -> Self {
        Self::NotBefore { at, why, reason: reason.into() }
    }

    /// The same with its time in the sentence: whoever reads only that knows when to look again.
    fn with_its_time(self) -> Self {
        match self {
            Self::NotBefore { at, why, reason } => {
                Self::NotBefore { at, why, reason: format!("{reason} The next one can go out at {at}.") }
            }
            other => other,
        }
    }

    /// From when on mailings go out, if it is known and they do not go out now.
    pub fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::NotBefore { at, .. } => Some(*at),
            Self::Go | Self::Hold { .. } => None,
        }
    }

    /// Why mailings wait; `None` when they do not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Go => None,
            Self::NotBefore { reason, .. } | Self::Hold { reason, .. } => Some(reason),
        }
    }

    pub fn why(&self) -> Option<Why> {
        match self {
            Self::Go => None,
            Self::NotBefore { why, .. } | Self::Hold { why, .. } => Some(*why),
        }
    }

    /// The one of two answers that keeps a mailing longer; of equal ones this.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Hold { .. }, _) | (_, Self::Go) => self,
            (_, Self::Hold { .. }) | (Self::Go, _) => other,
            (Self::NotBefore { at, .. }, Self::NotBefore { at: later, .. }) => {
                if later > at {
                    other
                } else {
                    self
                }
            }
        }
    }
}

/// What the gate is asked about: the next mailing of a mailbox.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub mailbox: &'a Mailbox,
    pub status: &'a Status,
    /// To how many recipients the mailing goes.
    pub recipients: u64,
    pub moment: Moment,
    pub outlook: &'a Outlook,
}

/// Asks every rule.
pub fn ask(reader: &impl Reader, question: &Question<'_>) -> Result<Gate, StoreError> {
    let effective = EffectiveSettings::of(question.mailbox);
    // While the clock is wrong, no other time means anything.
    let standing = rules::switched_off(reader, question)?.or(rules::clock(question)).or(rules::space(reader, question));
    if standing != Gate::Go {
        return Ok(standing);
    }
    let limits = rules::limits(reader, question, &effective)?;
    Ok(rules::failure(reader, question)?
        .or(rules::host(question, &effective))
        .or(rules::sync(reader, question, &effective)?)
        .or(limits))
}
