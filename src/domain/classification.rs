//! What a synced message is, as far as mailings are concerned.

use serde::{Deserialize, Serialize};

/// What a message means for a mailing, decided by matching it against what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Classification {
    /// A person answers one of our mailings.
    Reply,
    /// A mailing could not be delivered (RFC 3464 and its relatives).
    Bounce,
    /// A recipient reported a mailing as spam (RFC 5965).
    Complaint,
    /// A machine answers (RFC 3834): an absence notice, a ticket number.
    AutoReply,
    /// A recipient asks by mail not to be mailed again.
    Unsubscribe,
    Other,
}

/// Who wrote a message, as its own header fields say. Only what a [`Nature::Human`] wrote can be a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Nature {
    /// Nothing says that a machine wrote it.
    #[default]
    Human,
    /// Written by a machine: an automatic reply, a notification, bulk mail.
    Automatic,
    /// A report about other mail: a delivery status, a complaint, a receipt.
    Report,
}

impl Classification {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::AutoReply => "autoReply",
            Self::Unsubscribe => "unsubscribe",
            Self::Other => "other",
        }
    }
}
