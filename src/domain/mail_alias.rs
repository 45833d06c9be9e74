//! A mail alias: a further address of a mailbox, its own in every way; usable as From where `can_send`.

use super::list::{Listed, Scalar};
use super::mailbox::address_key;
use super::resource::{Attribute as A, Form, Preset, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

pub static RESOURCE: Resource = Resource {
    name: "mailAlias",
    plural: "mailAliases",
    attributes: &[
        A::boolean("canSend", "Whether mailings may be sent from the alias (`fromAlias`).")
            .preset(Preset::Boolean(true)),
        A::time("createdAt", "When the alias was added.").read_only().listed(),
        A::text("email", 255, "The address; unique among all mailboxes and aliases.").form(Form::Email).required(),
        A::text("emailHash", 255, "MD5 of the address in lower case, in hex: a look-up key.").read_only(),
        A::time("updatedAt", "When the alias last changed.").read_only().listed(),
    ],
    relationships: &[R::one("mailbox", "mailbox", "The mailbox whose address it is.").writable().filterable()],
    tolerated: &[],
};

/// An alias as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailAlias {
    pub id: u64,
    pub mailbox_id: u64,
    pub email: String,
    pub can_send: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl MailAlias {
    /// What is equal for two spellings of one address.
    pub fn key(&self) -> String {
        address_key(&self.email)
    }
}

impl Listed for MailAlias {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "createdAt" => self.created_at.into(),
            "updatedAt" => self.updated_at.into(),
            "email" => Scalar::Text(self.key()),
            "mailbox.id" => self.mailbox_id.into(),
            _ => return None,
        })
    }
}
