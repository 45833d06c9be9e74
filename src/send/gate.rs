//! Whether a mailbox may send now, and if not, until when and why. The same answer decides a start and explains a
//! delay: `delayReason` and `nextSendAt` are read from here.

use crate::domain::limits::Window;
use crate::domain::mailbox::{Mailbox, Status};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::{Reader, StoreError, get, latest_slot};
use std::time::Duration;

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    Go,
    /// Not before a moment; a limit or the pause after a failure.
    NotBefore {
        at: Timestamp,
        why: Why,
        reason: String,
    },
    /// Until somebody changes something.
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
    Limit,
}

impl Gate {
    fn hold(why: Why, reason: impl Into<String>) -> Self {
        Self::Hold { why, reason: reason.into() }
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
}

/// Asks every rule; the first that objects answers.
pub fn ask(reader: &impl Reader, mailbox: &Mailbox, status: &Status, now: Timestamp) -> Result<Gate, StoreError> {
    let settings = &mailbox.settings;
    if settings.send_disabled == Some(true) {
        return Ok(Gate::hold(Why::Disabled, "Sending is disabled for this mailbox."));
    }
    if get::<User>(reader, mailbox.user_id)?.is_none_or(|owner| owner.locked) {
        return Ok(Gate::hold(Why::Disabled, "The owner of this mailbox is locked."));
    }
    if let Some(failure) = &status.send.failure
        && let Some(at) = status.send.probe_at.filter(|at| *at > now)
    {
        let reason = format!("Sending is paused after a failure and is tried again at {at}: {}", failure.sentence);
        return Ok(Gate::NotBefore { at, why: Why::Failure, reason });
    }
    if let (Some(count), Some(period)) = (settings.send_threshold, settings.send_period) {
        let window = Window { count, period: Duration::from_secs(period) };
        let reason = format!("The limit of {count} mailings per {period} seconds (sendThreshold) is reached.");
        match window.opens_at(latest_slot(reader, mailbox.id, count)?, now) {
            Some(at) if at > now => return Ok(Gate::NotBefore { at, why: Why::Limit, reason }),
            Some(_) => {}
            None => return Ok(Gate::hold(Why::Limit, reason)),
        }
    }
    Ok(Gate::Go)
}
