//! How long what is kept. A rule without I/O: upkeep applies it to what is stored, and sync to what would be.

use super::message::Message;
use super::time::Timestamp;
use std::time::Duration;

/// What becomes of messages with time; `None` keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// After it was received.
    pub messages: Option<Duration>,
    /// The octets of it, after it was received.
    pub bodies: Option<Duration>,
    /// After its server was last seen to have it no longer.
    pub deleted: Option<Duration>,
}

impl Retention {
    /// Whether a message has been kept long enough.
    pub fn is_over(&self, message: &Message, now: Timestamp) -> bool {
        let is_old = self.is_too_old(message.received_at.unwrap_or(message.created_at), now);
        is_old || matches!((message.deleted_at, self.deleted), (Some(at), Some(kept)) if at < now.minus(kept))
    }

    /// Whether the octets of a message have been kept long enough. Those that no server has stay with the message.
    pub fn is_body_over(&self, message: &Message, now: Timestamp) -> bool {
        let received = message.received_at.unwrap_or(message.created_at);
        let is_old = self.bodies.is_some_and(|kept| received < now.minus(kept));
        is_old && message.body_stored && message.deleted_at.is_none()
    }

    /// Whether a message that was received then is not worth storing.
    pub fn is_too_old(&self, received: Timestamp, now: Timestamp) -> bool {
        self.messages.is_some_and(|kept| received < now.minus(kept))
    }
}
