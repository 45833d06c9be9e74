//! A mailing of which nobody knows whether the server has it: what is asked, and what follows from the answers.

use super::{Mailing, Phase, Recipient, State, Trigger};
use crate::domain::failure::Failure;
use crate::domain::limits::Moment;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When the sent folder is asked, counted from the beginning of the doubt: copies may lag behind the acceptance.
pub const ASKS: [Duration; 5] =
    [Duration::ZERO, Duration::from_secs(15), Duration::from_secs(45), Duration::from_mins(2), Duration::from_mins(5)];

/// How long a sent folder that cannot be asked is waited for.
pub const PATIENCE: Duration = Duration::from_hours(1);

/// The longest wait between two tries to ask a server that does not answer.
const SILENT_CEILING: Duration = Duration::from_mins(10);

/// How many times the policy answers a server's silence by sending again.
const RESENDS: u32 = 1;

/// How many times it does so after a stop of ours: more than once, as each may have another reason, and an instance that is
/// stopped again and again must not lose what it promised; not for ever, as a message may be the reason, and every time may
/// have been a copy.
const RESENDS_AFTER_STOPS: u32 = 5;

/// Where the doubt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Postroom stopped before the server's answer was on disk.
    Stop,
    /// The server gave no answer after the end of the message.
    Silence,
}

/// The doubt about one attempt. While it stands the mailing stays `delivering`, and no attempt is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When it began, by the wall clock.
    pub since: Timestamp,
    /// The same in steady time: a clock that is set makes no doubt older.
    #[serde(default)]
    pub begun: Option<Timestamp>,
    pub cause: Cause,
    /// How often the sent folder was searched.
    #[serde(default)]
    pub asked: u32,
    /// How often it could not be searched.
    #[serde(default)]
    pub unanswered: u32,
    /// When it is asked next.
    pub next: Timestamp,
    /// The recipients whom the server had refused before the message was handed over, and why.
    #[serde(default)]
    pub refused: Vec<(String, Failure)>,
    /// The number of the slot that the attempt spent: given back if it turns out that the mail did not leave.
    #[serde(default)]
    pub slot: Option<u64>,
    /// Something came back that only the message can have caused: the server has it, whatever its sent folder says.
    #[serde(default)]
    pub proved: bool,
}

/// What the sent folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the message.
    Present,
    /// It need not be asked: what came back proves that the server has the message.
    CameBack,
    Absent,
    /// It could not be asked this time.
    Unanswered,
    /// There is no sent folder that could be asked, or its answer would prove nothing.
    Nowhere,
}

/// What else has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether the server files what it accepts in the sent folder by itself; `None` if nobody knows.
    pub files_copies: Option<bool>,
    /// `doubtPolicy` is `hold`.
    pub hold: bool,
    /// How many times this mailing was sent again after a server's silence.
    pub resends: u32,
    /// How many times it was sent again after a stop of ours.
    pub resends_after_stops: u32,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    AskAgain(Timestamp),
    /// The server has the message.
    Delivered,
    /// The server does not have it: back into the queue, whatever the policy.
    NotSent,
    /// Nobody can tell, and the policy is to send it again with the same Message-ID.
    SendAgain,
    /// Nobody can tell, and the policy is to hold.
    Hold,
    /// Nobody can tell, and it was sent again often enough.
    GiveUp,
}

impl Mailing {
    /// Whether a server may have taken the message for a recipient, as far as anybody knows.
    pub fn may_have_reached(&self, recipient: &Recipient) -> bool {
        if recipient.outcome.is_some() {
            return recipient.is_accepted();
        }
        let handing_over = self.attempt.as_ref().filter(|attempt| attempt.phase == Phase::Data);
        let doubts = [&self.doubt, &self.doubted].into_iter().flatten().map(|doubt| &doubt.refused);
        let mut refusals = handing_over.map(|attempt| &attempt.refused).into_iter().chain(doubts);
        refusals.any(|refused| refused.iter().all(|(address, _)| *address != recipient.address))
    }

    /// Something came back that nobody could make without the message: whatever was in doubt about it has left. Where an
    /// earlier attempt was accepted for somebody it may be that one's, and proves nothing.
    pub fn came_back(&mut self, now: Timestamp) {
        if !self.recipients.iter().any(Recipient::is_accepted) {
            self.has_left(now);
        }
    }

    /// Nothing is in doubt any longer: the server has the message for everybody whom it was handed over for.
    pub fn has_left(&mut self, now: Timestamp) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.phase == Phase::Data) {
            attempt.proved = true;
        }
        for doubt in [&mut self.doubt, &mut self.doubted].into_iter().flatten() {
            doubt.proved = true;
            doubt.next = doubt.next.min(now);
        }
        if self.doubted.is_none() {
            return;
        }
        // It is not sent once more: when it is taken up it counts as delivered. There is nothing left to wait for.
        if self.state.waits() {
            self.due = self.due.map(|due| due.min(now));
        } else if self.state == State::Failed && self.waiting().next().is_some() {
            self.error_reason = None;
            self.apply(Trigger::Queue, now);
            self.due = Some(now);
        }
    }
}

impl Doubt {
    /// A doubt that begins now; the sent folder is asked at once.
    pub fn new(cause: Cause, moment: &Moment, refused: Vec<(String, Failure)>) -> Self {
        Self {
            since: moment.now,
            begun: Some(moment.steady),
            cause,
            asked: 0,
            unanswered: 0,
            next: moment.now,
            refused,
            slot: None,
            proved: false,
        }
    }

    /// How long it has been standing.
    fn age(&self, moment: &Moment) -> Duration {
        let millis = match self.begun {
            Some(begun) => moment.steady.millis_since(begun),
            None => moment.now.millis_since(self.since),
        };
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// What follows from an answer. Pure: the caller counts the answer in ([`Self::note`]) where it has to ask again.
    pub fn resolve(&self, answer: Answer, circumstances: Circumstances, moment: &Moment) -> Resolution {
        let enough = match self.cause {
            Cause::Silence => circumstances.resends >= RESENDS,
            Cause::Stop => circumstances.resends_after_stops >= RESENDS_AFTER_STOPS,
        };
        let by_policy = match (circumstances.hold, enough) {
            (true, _) => Resolution::Hold,
            (false, true) => Resolution::GiveUp,
            (false, false) => Resolution::SendAgain,
        };
        let (now, age) = (moment.now, self.age(moment));
        match answer {
            Answer::Present | Answer::CameBack => Resolution::Delivered,
            Answer::Unanswered if age < PATIENCE => {
                let doublings = self.unanswered.min(10);
                let wait = ASKS[1].saturating_mul(1 << doublings).min(SILENT_CEILING);
                Resolution::AskAgain(now.plus(wait))
            }
            Answer::Unanswered | Answer::Nowhere => by_policy,
            // Absence proves nothing on a server that does not file copies.
            Answer::Absent if circumstances.files_copies == Some(false) => by_policy,
            Answer::Absent => {
                let asked = usize::try_from(self.asked).unwrap_or(usize::MAX).saturating_add(1);
                let last = ASKS[ASKS.len() - 1];
                match ASKS.get(asked) {
                    Some(after) => {
                        Resolution::AskAgain(now.plus(after.saturating_sub(age).max(Duration::from_secs(5))))
                    }
                    // Its times are of the wall clock: one that was set brings them on.
                    None if age < last => Resolution::AskAgain(now.plus(last.saturating_sub(age))),
                    None if circumstances.files_copies == Some(true) => Resolution::NotSent,
                    None => by_policy,
                }
            }
        }
    }

    /// Counts an answer that settled nothing.
    pub fn note(&mut self, answer: Answer, next: Timestamp) {
        if answer == Answer::Unanswered {
            self.unanswered = self.unanswered.saturating_add(1);
        } else {
            self.asked = self.asked.saturating_add(1);
        }
        self.next = next;
    }

    /// What is being waited for, for people.
    pub fn explain(&self) -> String {
        let why = match self.cause {
            Cause::Stop => "Postroom stopped while the message was being handed over",
            Cause::Silence => "The server gave no answer after the end of the message",
        };
        format!(
            "{why}, so it may have been accepted. The sent folder is searched for it, next at {}, before it is sent again.",
            self.next
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn at(now: Timestamp) -> Moment {
        Moment { now, steady: now, behind: None }
    }

    fn doubt(cause: Cause, asked: u32) -> Doubt {
        Doubt { asked, ..Doubt::new(cause, &at(NOW), Vec::new()) }
    }

    fn known(files_copies: Option<bool>, hold: bool, resends: u32) -> Circumstances {
        Circumstances { files_copies, hold, resends, resends_after_stops: 0 }
    }

    #[test]
    fn what_follows_from_each_answer() {
        use Answer::{Absent, CameBack, Nowhere, Present, Unanswered};
        use Cause::{Silence, Stop};
        use Resolution::{AskAgain, Delivered, GiveUp, Hold, NotSent, SendAgain};
        let in_seconds = |seconds| AskAgain(NOW.plus(Duration::from_secs(seconds)));
        let last = u32::try_from(ASKS.len()).unwrap() - 1;
        for (cause, asked, answer, files, hold, resends, wanted) in [
            // A copy proves acceptance, whatever is known of the server and whatever the policy.
            (Stop, 0, Present, None, true, 0, Delivered),
            (Silence, 3, Present, Some(false), false, 1, Delivered),
            (Silence, 0, CameBack, Some(false), true, 1, Delivered),
            // Copies lag: absence is asked about again and again,
            (Stop, 0, Absent, Some(true), false, 0, in_seconds(15)),
            (Stop, 1, Absent, Some(true), true, 0, in_seconds(45)),
            (Silence, 2, Absent, None, false, 0, in_seconds(120)),
            (Silence, 3, Absent, None, true, 0, in_seconds(300)),
            // and then proves that nothing was sent where the server files copies: the policy has no say,
            (Stop, last, Absent, Some(true), true, 0, NotSent),
            (Silence, last, Absent, Some(true), false, 1, NotSent),
            // nothing at all where that is not known,
            (Stop, last, Absent, None, false, 0, SendAgain),
            (Stop, last, Absent, None, true, 0, Hold),
            (Silence, last, Absent, None, false, 1, GiveUp),
            // and nothing from the start where the server is known not to.
            (Stop, 0, Absent, Some(false), false, 0, SendAgain),
            (Silence, 0, Absent, Some(false), true, 0, Hold),
            // Nobody to ask: the policy. A server's silence is answered by sending again once, a stop a few times.
            (Stop, 0, Nowhere, Some(true), false, 7, SendAgain),
            (Stop, 0, Nowhere, None, true, 0, Hold),
            (Silence, 0, Nowhere, None, false, 0, SendAgain),
            (Silence, 0, Nowhere, None, false, 1, GiveUp),
            (Silence, 0, Nowhere, None, true, 1, Hold),
            // A server that does not answer is waited for.
            (Stop, 0, Unanswered, Some(true), false, 0, in_seconds(15)),
            (Silence, 3, Unanswered, None, true, 0, in_seconds(15)),
        ] {
            // The last of the asks comes at its time.
            let moment = at(if asked == last { NOW.plus(ASKS[ASKS.len() - 1]) } else { NOW });
            let found = doubt(cause, asked).resolve(answer, known(files, hold, resends), &moment);
            assert_eq!(found, wanted, "{cause:?} {asked} {answer:?} {files:?} {hold} {resends}");
        }
    }

    #[test]
    fn a_server_that_never_answers_is_given_up_after_an_hour() {
        let mut doubt = doubt(Cause::Stop, 0);
        let (mut now, mut tries) = (NOW, 0);
        loop {
            match doubt.resolve(Answer::Unanswered, known(Some(true), false, 0), &at(now)) {
                Resolution::AskAgain(at) => {
                    assert!(at > now);
                    doubt.note(Answer::Unanswered, at);
                    now = at;
                    tries += 1;
                }
                end => {
                    assert_eq!(end, Resolution::SendAgain);
                    break;
                }
            }
        }
        assert!(now >= NOW.plus(PATIENCE) && now < NOW.plus(PATIENCE + SILENT_CEILING), "{now}");
        assert!((8..16).contains(&tries), "{tries}");
    }

    #[test]
    fn stops_without_end_do_not_send_without_end() {
        for (stops, wanted) in [(0, Resolution::SendAgain), (4, Resolution::SendAgain), (5, Resolution::GiveUp)] {
            let circumstances = Circumstances { resends_after_stops: stops, ..known(None, false, 0) };
            assert_eq!(doubt(Cause::Stop, 0).resolve(Answer::Nowhere, circumstances, &at(NOW)), wanted, "{stops}");
        }
    }

    #[test]
    fn a_clock_that_is_set_cuts_no_asking_short() {
        let year = Duration::from_hours(365 * 24);
        let set = |passed: Duration| Moment { now: NOW.plus(year), steady: NOW.plus(passed), behind: None };
        let soon = set(Duration::from_secs(20));
        let found = doubt(Cause::Stop, 4).resolve(Answer::Absent, known(Some(true), false, 0), &soon);
        assert_eq!(found, Resolution::AskAgain(soon.now.plus(Duration::from_secs(280))));
        let found = doubt(Cause::Stop, 0).resolve(Answer::Unanswered, known(Some(true), false, 0), &soon);
        assert_eq!(found, Resolution::AskAgain(soon.now.plus(Duration::from_secs(15))));
        let later = set(ASKS[4]);
        let found = doubt(Cause::Stop, 4).resolve(Answer::Absent, known(Some(true), false, 0), &later);
        assert_eq!(found, Resolution::NotSent);
    }

    #[test]
    fn an_ask_that_comes_late_is_not_followed_by_another_at_once() {
        let late = NOW.plus(Duration::from_mins(30));
        let next = doubt(Cause::Stop, 0).resolve(Answer::Absent, known(Some(true), false, 0), &at(late));
        assert_eq!(next, Resolution::AskAgain(late.plus(Duration::from_secs(5))));
    }
}
