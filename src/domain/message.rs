//! A message: one synced email, inbound or outbound.

use super::bounce::Bounce;
use super::classification::Classification;
use super::list::{Listed, Scalar};
use super::resource::{Attribute as A, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

pub static RESOURCE: Resource = Resource {
    name: "message",
    plural: "messages",
    attributes: &[
        A::structure("attachments", "Name, type, size in octets, content id and part of each attachment."),
        A::structure("authenticationResults", "The Authentication-Results headers (RFC 8601), as received."),
        A::structure("bcc", "Blind copies, as the message names them."),
        A::boolean("bodyStored", "Whether its octets are stored. If not, raw and attachments come from the server.")
            .read_only(),
        A::long_text("bodyHtml", "The HTML body, sanitised: no scripts, forms or remote images.").read_only(),
        A::long_text("bodyText", "The text body.").read_only(),
        A::structure("cc", "Copies."),
        A::structure(
            "bounces",
            "What a delivery report says of each recipient: recipient, originalRecipient, code, enhancedCode, severity \
             (hard, soft), reason (badAddress, badDomain, mailboxFull, disabled, policy, tooLarge, senderQuota, expired, \
             other), text.",
        ),
        A::text("classification", 255, "reply, bounce, complaint, autoReply, unsubscribe or other.")
            .read_only()
            .filterable(),
        A::time("createdAt", "When the message was stored.").read_only().listed(),
        A::time("deletedAt", "Since when the server has it in no synced folder any more; null while it has.")
            .read_only()
            .listed(),
        A::text("direction", 255, "inbound or outbound.").read_only().filterable(),
        A::structure("flags", "The IMAP flags as last seen."),
        A::text("folder", 998, "The folder it is in, by the name that people see; the last one once it is gone.")
            .read_only()
            .filterable(),
        A::structure("from", "Who wrote it: name and address."),
        A::structure("inReplyTo", "The Message-IDs it answers."),
        A::text("messageId", 998, "The Message-ID, with angle brackets.").read_only().filterable(),
        A::structure("parseProblems", "What was wrong with the message's form, if anything."),
        A::time("receivedAt", "When the server received it (IMAP's INTERNALDATE).").read_only().listed(),
        A::structure("references", "The Message-IDs of its thread."),
        A::long_text("replyText", "The text without quoted mail and signature; where that is not plain, all of it.")
            .read_only(),
        A::structure("replyTo", "Where answers go."),
        A::time("sentAt", "The Date header.").read_only(),
        A::number("size", "The size of the raw message in octets.").read_only(),
        A::text("snippet", 200, "The beginning of the text, on one line.").read_only(),
        A::text("subject", 998, "The subject.").read_only(),
        A::structure("to", "Recipients."),
    ],
    relationships: &[
        R::one("mailbox", "mailbox", "The mailbox it was synced from.").filterable(),
        R::one("mailing", "mailing", "The mailing it answers, reports about, or is the copy of.").filterable(),
        R::one("thread", "thread", "The messages of the mailbox that answer each other.").filterable(),
    ],
    tolerated: &[],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// A person in a message's header; the address is as the sender wrote it and may be no address at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correspondent {
    pub name: Option<String>,
    pub address: String,
}

/// What a message says of one attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub part: u32,
    pub name: Option<String>,
    pub content_type: String,
    pub size: u64,
    pub content_id: Option<String>,
}

/// A message as it is stored. The raw octets have rows of their own; bodies are read from them when asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub id: u64,
    pub mailbox_id: u64,
    pub direction: Direction,
    /// Without angle brackets.
    pub message_id: Option<String>,
    pub in_reply_to: Vec<String>,
    pub references: Vec<String>,
    pub from: Vec<Correspondent>,
    pub to: Vec<Correspondent>,
    pub cc: Vec<Correspondent>,
    pub bcc: Vec<Correspondent>,
    pub reply_to: Vec<Correspondent>,
    pub subject: Option<String>,
    pub snippet: String,
    pub sent_at: Option<Timestamp>,
    pub received_at: Option<Timestamp>,
    pub folder: String,
    pub flags: Vec<String>,
    pub size: u64,
    pub classification: Classification,
    pub attachments: Vec<Attachment>,
    pub authentication_results: Vec<String>,
    pub parse_problems: Vec<String>,
    pub created_at: Timestamp,
    /// The mailing that it answers, reports about or is the copy of.
    pub mailing_id: Option<u64>,
    /// Since when the server has it in no synced folder.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// The provider's own number of its thread, where the provider has such.
    #[serde(default)]
    pub provider_thread: Option<String>,
    /// The messages that it answers and that answer it.
    #[serde(default)]
    pub thread_id: Option<u64>,
    /// Whether its octets are stored, and not its header alone or nothing.
    #[serde(default = "yes")]
    pub body_stored: bool,
    /// Whether it is known by its content, and not by its Message-ID alone as messages used to be.
    #[serde(default)]
    pub by_content: bool,
    /// What a delivery report says of each recipient.
    #[serde(default)]
    pub bounces: Vec<Bounce>,
}

/// Before there was a choice, everything was stored.
fn yes() -> bool {
    true
}

impl Listed for Message {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "classification" => self.classification.name().into(),
            "createdAt" => self.created_at.into(),
            "deletedAt" => self.deleted_at.into(),
            "direction" => self.direction.name().into(),
            "folder" => self.folder.as_str().into(),
            "messageId" => self.message_id.as_ref().map_or(Scalar::Null, |id| Scalar::Text(format!("<{id}>"))),
            "receivedAt" => self.received_at.into(),
            "mailbox.id" => self.mailbox_id.into(),
            "mailing.id" => self.mailing_id.into(),
            "thread.id" => self.thread_id.into(),
            _ => return None,
        })
    }
}

/// How far the sync of one folder has come. Committed together with the messages that it speaks of.
///
/// Everything from `low` to `high` (both inclusive) that the server has is stored. New mail lies above `high`; while
/// `backfilled` is false, older mail lies below `low`. The other fields tell from where changes are to be looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderCursor {
    pub uid_validity: u32,
    pub low: u32,
    pub high: u32,
    pub backfilled: bool,
    /// All changes up to this mod-sequence (RFC 7162) are stored.
    #[serde(default)]
    pub mod_seq: Option<u64>,
    /// A message that was there when the last removals were stored, and how many there were up to and with it.
    #[serde(default)]
    pub place: Option<(u32, u32)>,
    /// EXISTS and UIDNEXT of a folder in which nothing is left to be found: while they stay, nothing came or went.
    #[serde(default)]
    pub settled: Option<(u32, u32)>,
    /// Up to which UID flags were compared last, where the server does not tell what changed.
    #[serde(default)]
    pub flags_seen: u32,
    /// How many times in a row the server has numbered the folder anew.
    #[serde(default)]
    pub renumbered: u32,
    /// The settings under which that was counted.
    #[serde(default)]
    pub generation: u64,
}
