//! What a client may do to a mailing that has not been sent: send, schedule, take back, try again.

use super::{Mailing, Recipient, State, Trigger};
use crate::domain::time::Timestamp;
use std::fmt;

/// Why a mailing cannot be moved as asked; displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmovable {
    /// A server may be taking it at this moment.
    UnderWay,
    /// It has been sent.
    Sent(State),
    /// There is no such move.
    NoSuchMove { from: State, to: State },
    /// A scheduled mailing needs its time.
    NoTime,
    /// Only what failed can be tried again.
    NotFailed(State),
}

impl Unmovable {
    /// Whether it is the mailing that has moved on, and not the request that makes no sense.
    pub fn is_conflict(self) -> bool {
        matches!(self, Self::UnderWay | Self::Sent(_) | Self::NotFailed(_))
    }
}

impl fmt::Display for Unmovable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay => f.write_str(
                "The mailing is being delivered at this moment and cannot be changed. Wait until its state says what became of it.",
            ),
            Self::Sent(state) => {
                write!(f, "The mailing has been sent (it is {}) and cannot be changed any more.", state.name())
            }
            Self::NoSuchMove { from, to } => {
                write!(f, "A mailing that is {} cannot become {}.", from.name(), to.name())
            }
            Self::NoTime => f.write_str("A scheduled mailing needs scheduledAt."),
            Self::NotFailed(state) => write!(
                f,
                "Only a failed mailing can be retried; this one is {}. Set its state to queued to send it.",
                state.name()
            ),
        }
    }
}

impl Mailing {
    /// Refuses what has been sent or is about to be.
    pub fn check_unsent(&self) -> Result<(), Unmovable> {
        match self.state {
            state if state.not_yet_sent() => Ok(()),
            State::Delivering => Err(Unmovable::UnderWay),
            state => Err(Unmovable::Sent(state)),
        }
    }

    /// Whether a server has taken the message for somebody, or may have: what it says is settled then.
    pub fn has_left_in_part(&self) -> bool {
        self.doubted.is_some() || self.doubt.is_some() || self.recipients.iter().any(Recipient::is_accepted)
    }

    /// Moves it as an edit asks: the state that it names, if it names one, and the time as it is after the edit.
    /// A record that was read and is written back unchanged moves nothing.
    pub fn ask(
        &mut self,
        wanted: Option<State>,
        scheduled_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Unmovable> {
        self.check_unsent()?;
        let another_time = self.scheduled_at != scheduled_at;
        let waits = self.state.waits();
        let goes = match wanted {
            Some(State::Scheduled) if scheduled_at.is_none() && !waits => return Err(Unmovable::NoTime),
            Some(State::Queued | State::Scheduled) => !waits || another_time,
            Some(State::Drafted) if self.state != State::Drafted && self.state != State::Placeholder => {
                self.scheduled_at = scheduled_at;
                return self.cancel(now);
            }
            Some(state) if state != self.state => {
                return Err(Unmovable::NoSuchMove { from: self.state, to: state });
            }
            _ => waits && another_time,
        };
        self.scheduled_at = scheduled_at;
        if goes {
            self.go(now);
        }
        Ok(())
    }

    /// Takes it back. One that waits for nothing stays as it is.
    pub fn cancel(&mut self, now: Timestamp) -> Result<(), Unmovable> {
        self.check_unsent()?;
        if matches!(self.state, State::Drafted | State::Placeholder) {
            return Ok(());
        }
        self.apply(Trigger::Cancel, now);
        self.retry_at = None;
        self.error_reason = None;
        Ok(())
    }

    /// Sends a failed mailing again, to everybody who was not accepted; one that waits for its next try goes now.
    pub fn retry(&mut self, now: Timestamp) -> Result<(), Unmovable> {
        self.check_unsent()?;
        match self.state {
            State::Failed => self.go(now),
            State::Scheduled if self.retry_at.is_some() => {
                self.retry_at = None;
                self.due = Some(now);
                self.asked_at = Some(now);
                self.updated_at = now;
            }
            State::Scheduled | State::Queued => {}
            state => return Err(Unmovable::NotFailed(state)),
        }
        Ok(())
    }

    /// Into the queue, at its time; whoever was not accepted before is tried afresh.
    fn go(&mut self, now: Timestamp) {
        if !self.state.waits() {
            let open = |recipient: &Recipient| !recipient.is_accepted();
            let for_good = |recipient: &Recipient| recipient.outcome.as_ref().is_some_and(|outcome| outcome.for_good);
            // Where nobody else is left, asking for it is asking for those who were refused.
            let all = self.recipients.iter().filter(|recipient| open(recipient)).all(for_good);
            for recipient in self.recipients.iter_mut().filter(|recipient| open(recipient)) {
                if all || !for_good(recipient) {
                    recipient.outcome = None;
                }
            }
            self.retry_count = 0;
            self.doubt_resends = 0;
            self.stop_resends = 0;
            self.stops = 0;
            self.error_reason = None;
        }
        self.retry_at = None;
        self.retry_interval = None;
        let later = self.scheduled_at.filter(|at| *at > now);
        if self.state == State::Failed {
            self.apply(Trigger::Queue, now);
        }
        self.apply(if later.is_some() { Trigger::Schedule } else { Trigger::Queue }, now);
        self.asked_at = Some(now);
        self.due = Some(later.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Stage;
    use crate::domain::limits::Moment;
    use crate::domain::mailing::{AttemptRecord, Cause, Doubt, Outcome, RecipientKind, RecipientState};
    use serde_json::json;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn mailing(state: State) -> Mailing {
        let recipient = |state: Option<RecipientState>| Recipient {
            id: 1,
            kind: RecipientKind::To,
            name: None,
            address: "a@b".into(),
            outcome: state.map(|state| Outcome::new(state, NOW, None)),
        };
        let mut mailing: Mailing = serde_json::from_value(json!({
            "id": 1, "mailbox_id": 1, "user_id": 1, "mailbox_address": "a@b", "created_at": Timestamp::from_millis(0),
            "updated_at": NOW, "state": state.name(), "state_changed_at": NOW, "scheduled_at": null, "due": null,
            "mailing_type": "single", "message_id": "1@b", "recipients": [], "retry_count": 3, "error_reason": "No.",
        }))
        .unwrap();
        mailing.recipients = [None, Some(RecipientState::Accepted), Some(RecipientState::Failed)].map(recipient).into();
        mailing
    }

    #[test]
    fn a_retry_is_afresh_for_whoever_was_not_accepted_and_does_not_expire_at_once() {
        let mut failed = mailing(State::Failed);
        failed.retry(NOW).unwrap();
        assert_eq!(
            (failed.state, failed.due, failed.retry_count, failed.error_reason.clone()),
            (State::Queued, Some(NOW), 0, None)
        );
        assert_eq!(failed.recipients.iter().map(Recipient::is_accepted).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(failed.waiting().count(), 2);
        assert_eq!(failed.wanted_at(), NOW, "its age counts from the asking");
        let again = failed.clone();
        failed.retry(NOW.plus(Duration::from_secs(1))).unwrap();
        assert_eq!(failed, again);
    }

    #[test]
    fn a_retry_leaves_whom_the_server_refused_for_good_alone_unless_there_is_nobody_else() {
        let mut failed = mailing(State::Failed);
        failed.recipients.remove(1);
        let refused = |mailing: &mut Mailing, at: usize| {
            let outcome = Outcome { for_good: true, ..Outcome::new(RecipientState::Failed, NOW, None) };
            mailing.recipients[at].outcome = Some(outcome);
        };
        refused(&mut failed, 0);
        let mut both = failed.clone();
        failed.retry(NOW).unwrap();
        assert_eq!(failed.recipients.iter().map(|one| one.outcome.is_none()).collect::<Vec<_>>(), [false, true]);
        refused(&mut both, 1);
        both.retry(NOW).unwrap();
        assert_eq!(both.waiting().count(), 2);
    }

    #[test]
    fn what_a_doubt_left_open_is_not_edited_and_what_it_proved_unsent_is() {
        let mut mailing = mailing(State::Scheduled);
        mailing.recipients.remove(1);
        mailing.attempts.push(AttemptRecord::note(NOW, Stage::FinalDot, "It is not in the sent folder."));
        assert!(!mailing.has_left_in_part());
        mailing.doubted = Some(Doubt::new(Cause::Stop, &Moment { now: NOW, steady: NOW, behind: None }, Vec::new()));
        mailing.attempts.clear();
        assert!(mailing.has_left_in_part());
    }

    #[test]
    fn what_has_been_sent_is_not_moved() {
        for state in State::ALL.into_iter().filter(|state| !state.not_yet_sent()) {
            let before = mailing(state);
            let mut after = before.clone();
            for moved in [after.ask(Some(State::Queued), None, NOW), after.cancel(NOW), after.retry(NOW)] {
                assert!(moved.unwrap_err().is_conflict());
            }
            assert_eq!(after, before);
        }
    }

    #[test]
    fn every_state_that_can_be_asked_for_is_reached_or_refused() {
        let later = Some(NOW.plus(Duration::from_mins(1)));
        for (from, asked, at, to) in [
            (State::Drafted, State::Queued, None, Some(State::Queued)),
            (State::Drafted, State::Queued, later, Some(State::Scheduled)),
            (State::Drafted, State::Scheduled, later, Some(State::Scheduled)),
            (State::Drafted, State::Scheduled, None, None),
            (State::Drafted, State::Placeholder, None, None),
            (State::Placeholder, State::Queued, None, Some(State::Queued)),
            (State::Placeholder, State::Drafted, None, None),
            (State::Placeholder, State::Placeholder, None, Some(State::Placeholder)),
            (State::Queued, State::Drafted, None, Some(State::Drafted)),
            (State::Queued, State::Scheduled, None, Some(State::Queued)),
            (State::Scheduled, State::Queued, None, Some(State::Scheduled)),
            (State::Queued, State::Queued, later, Some(State::Scheduled)),
            (State::Failed, State::Failed, None, Some(State::Failed)),
            (State::Failed, State::Queued, later, Some(State::Scheduled)),
            (State::Failed, State::Drafted, None, Some(State::Drafted)),
            (State::Queued, State::Failed, None, None),
        ] {
            let mut mailing = mailing(from);
            let moved = mailing.ask(Some(asked), at, NOW);
            assert_eq!(moved.ok().map(|()| mailing.state), to, "{from:?} {asked:?} {at:?}");
        }
    }
}
