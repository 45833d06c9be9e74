//! How a mailing's state moves: one function, and it is the only way.

use serde::{Deserialize, Serialize};

/// The states of a mailing (`product.md` §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Drafted,
    Placeholder,
    Scheduled,
    Queued,
    Delivering,
    Delivered,
    Opened,
    Replied,
    Bounced,
    Failed,
}

impl State {
    pub const ALL: [Self; 10] = [
        Self::Drafted,
        Self::Placeholder,
        Self::Scheduled,
        Self::Queued,
        Self::Delivering,
        Self::Delivered,
        Self::Opened,
        Self::Replied,
        Self::Bounced,
        Self::Failed,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Placeholder => "placeholder",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Replied => "replied",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// States in which the mailing waits for its turn.
    pub fn waits(self) -> bool {
        matches!(self, Self::Scheduled | Self::Queued)
    }

    /// States in which a client may still change or delete it.
    pub fn not_yet_sent(self) -> bool {
        matches!(self, Self::Drafted | Self::Placeholder | Self::Scheduled | Self::Queued | Self::Failed)
    }
}

/// What moves a mailing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A client schedules it for later.
    Schedule,
    /// A client sends it now, retries it after a failure, or its time has come.
    Queue,
    /// A limit, a hold or a retry delays it; doubt resolved to "not sent".
    Delay,
    /// An attempt starts.
    Start,
    /// At least one recipient accepted.
    Deliver,
    /// It will not be tried again.
    Fail,
    /// A client takes it back.
    Cancel,
    Open,
    Reply,
    Bounce,
}

impl Trigger {
    pub const ALL: [Self; 10] = [
        Self::Schedule,
        Self::Queue,
        Self::Delay,
        Self::Start,
        Self::Deliver,
        Self::Fail,
        Self::Cancel,
        Self::Open,
        Self::Reply,
        Self::Bounce,
    ];
}

/// The state after `trigger`, or `None` where the table of `product.md` §3 has no such row.
/// A trigger that changes nothing (a second open, a reply to a replied mailing) leads to the same state.
pub fn transition(from: State, trigger: Trigger) -> Option<State> {
    use State::{Bounced, Delivered, Delivering, Drafted, Failed, Opened, Placeholder, Queued, Replied, Scheduled};
    Some(match (trigger, from) {
        (Trigger::Schedule, Drafted | Placeholder | Scheduled | Queued)
        | (Trigger::Delay, Queued | Delivering | Scheduled) => Scheduled,
        (Trigger::Queue, Drafted | Placeholder | Scheduled | Failed | Queued) => Queued,
        (Trigger::Start, Queued) => Delivering,
        (Trigger::Deliver, Delivering) => Delivered,
        (Trigger::Fail, Delivering | Scheduled | Queued) => Failed,
        (Trigger::Cancel, Drafted | Scheduled | Queued | Failed) => Drafted,
        (Trigger::Open, Delivered | Opened) => Opened,
        (Trigger::Open | Trigger::Bounce | Trigger::Reply, Replied) | (Trigger::Reply, Delivered | Opened) => Replied,
        // A report may overtake an open; it never undoes a reply.
        (Trigger::Bounce, Delivered | Opened | Bounced) | (Trigger::Open | Trigger::Reply, Bounced) => Bounced,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_allows_exactly_the_documented_moves() {
        let mut moves = Vec::new();
        for from in State::ALL {
            for trigger in Trigger::ALL {
                if let Some(to) = transition(from, trigger)
                    && to != from
                {
                    moves.push(format!("{} {trigger:?} {}", from.name(), to.name()));
                }
            }
        }
        assert_eq!(
            moves,
            [
                "drafted Schedule scheduled",
                "drafted Queue queued",
                "placeholder Schedule scheduled",
                "placeholder Queue queued",
                "scheduled Queue queued",
                "scheduled Fail failed",
                "scheduled Cancel drafted",
                "queued Schedule scheduled",
                "queued Delay scheduled",
                "queued Start delivering",
                "queued Fail failed",
                "queued Cancel drafted",
                "delivering Delay scheduled",
                "delivering Deliver delivered",
                "delivering Fail failed",
                "delivered Open opened",
                "delivered Reply replied",
                "delivered Bounce bounced",
                "opened Reply replied",
                "opened Bounce bounced",
                "failed Queue queued",
                "failed Cancel drafted",
            ]
        );
    }

    #[test]
    fn a_replied_mailing_never_becomes_bounced_or_opened() {
        assert_eq!(transition(State::Replied, Trigger::Bounce), Some(State::Replied));
        assert_eq!(transition(State::Replied, Trigger::Open), Some(State::Replied));
    }
}
