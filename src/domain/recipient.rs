//! A recipient as a resource of its own: made first and named by a mailing, or made with a mailing's `to`, `cc`, `bcc`.
//!
//! What is sent follows the mailing's own list ([`super::mailing::Recipient`]); these records mirror it.

use super::list::{Listed, Scalar};
use super::mailing::RecipientKind;
use super::resource::{Attribute as A, Form, Preset, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The values of `recipientType`.
pub const KINDS: &[&str] = &["to", "cc", "bcc"];

pub static RESOURCE: Resource = Resource {
    name: "recipient",
    plural: "recipients",
    attributes: &[
        A::time("createdAt", "When the recipient was made.").read_only(),
        A::text("emailHash", 255, "MD5 of the address in lower case, in hex: a look-up key.").read_only(),
        A::boolean("primary", "Whether it is the one that the mailing is meant for.").preset(Preset::Boolean(false)),
        A::text("recipientType", 3, "to, cc or bcc.").form(Form::OneOf(KINDS)).preset(Preset::Text("to")),
        A::time("updatedAt", "When the recipient last changed.").read_only(),
        A::text("value", 255, "The address.").form(Form::Email).required(),
    ],
    relationships: &[
        R::one("mailing", "mailing", "The mailing that it belongs to, once one names it.").filterable(),
        R::one("prospect", "prospect", "Kept for a CRM.").writable(),
        R::one("user", "user", "Kept as given.").writable(),
    ],
    tolerated: &[],
};

/// A recipient as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRecord {
    pub id: u64,
    /// `None`: no mailing names it yet.
    pub mailing_id: Option<u64>,
    /// The mailbox of that mailing.
    pub mailbox_id: Option<u64>,
    /// Who made it.
    pub creator_id: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub kind: RecipientKind,
    pub address: String,
    pub primary: bool,
    #[serde(default)]
    pub prospect_id: Option<u64>,
    #[serde(default)]
    pub user_id: Option<u64>,
}

impl RecipientRecord {
    /// Who sees it: those who see a mailbox, or its maker alone.
    pub fn scope(&self) -> Scalar {
        match self.mailbox_id {
            Some(mailbox) => Self::scope_of_mailbox(mailbox),
            None => Self::scope_of_maker(self.creator_id),
        }
    }

    pub fn scope_of_mailbox(mailbox: u64) -> Scalar {
        Scalar::Text(format!("mailbox {mailbox}"))
    }

    pub fn scope_of_maker(user: u64) -> Scalar {
        Scalar::Text(format!("user {user}"))
    }
}

impl Listed for RecipientRecord {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "createdAt" => self.created_at.into(),
            "mailing.id" => self.mailing_id.into(),
            "scope" => self.scope(),
            _ => return None,
        })
    }
}
