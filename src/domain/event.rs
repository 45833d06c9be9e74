//! What happened: appended in the transaction that made it happen, read by whoever follows the log.

use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kinds of event; the name on the wire is `resource_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    MailboxCreated,
    MailboxUpdated,
    MailboxDestroyed,
    MailboxSendErrored,
    MailboxSendRecovered,
    MailboxSyncErrored,
    MailboxSyncRecovered,
    MailboxSynced,
    /// Older mail of a folder is being fetched.
    MailboxSyncProgressed,
    MailingCreated,
    MailingUpdated,
    MailingDestroyed,
    MailingScheduled,
    MailingQueued,
    MailingDelivering,
    MailingDelivered,
    MailingOpened,
    MailingReplied,
    MailingBounced,
    MailingFailed,
    MailingDrafted,
    MailingClicked,
    MailingUnsubscribed,
    MessageCreated,
    /// Its flags or its folder changed, or the server has it no longer, or again.
    MessageUpdated,
    OrgSettingUpdated,
    SuppressionCreated,
    SuppressionUpdated,
    SuppressionDestroyed,
    UserCreated,
    MailingMarkedAsSpam,
}

impl EventKind {
    /// The event of a mailing that reached a state.
    pub fn of_state(state: super::mailing::State) -> Self {
        use super::mailing::State;
        match state {
            State::Drafted | State::Placeholder => Self::MailingDrafted,
            State::Scheduled => Self::MailingScheduled,
            State::Queued => Self::MailingQueued,
            State::Delivering => Self::MailingDelivering,
            State::Delivered => Self::MailingDelivered,
            State::Opened => Self::MailingOpened,
            State::Replied => Self::MailingReplied,
            State::Bounced => Self::MailingBounced,
            State::Failed => Self::MailingFailed,
        }
    }
}

/// One entry of the log. `id` ascends without gaps in commit order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: u64,
    pub at: Timestamp,
    pub kind: EventKind,
    #[serde(default)]
    pub mailbox_id: Option<u64>,
    #[serde(default)]
    pub mailing_id: Option<u64>,
    #[serde(default)]
    pub message_id: Option<u64>,
    #[serde(default)]
    pub user_id: Option<u64>,
    #[serde(default)]
    pub payload: Value,
}

impl Event {
    /// An event that the log will number.
    pub fn new(kind: EventKind, at: Timestamp) -> Self {
        Self {
            id: 0,
            at,
            kind,
            mailbox_id: None,
            mailing_id: None,
            message_id: None,
            user_id: None,
            payload: Value::Null,
        }
    }

    #[must_use]
    pub fn mailbox(mut self, id: u64) -> Self {
        self.mailbox_id = Some(id);
        self
    }

    #[must_use]
    pub fn mailing(mut self, id: u64) -> Self {
        self.mailing_id = Some(id);
        self
    }

    #[must_use]
    pub fn message(mut self, id: u64) -> Self {
        self.message_id = Some(id);
        self
    }

    #[must_use]
    pub fn user(mut self, id: u64) -> Self {
        self.user_id = Some(id);
        self
    }

    #[must_use]
    pub fn payload(mut self, payload: Value) -> Self {
        self.payload = payload;
        self
    }
}
