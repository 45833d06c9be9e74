//! A thread: the messages of one mailbox that answer each other, by their identifiers and never by their subject.

use super::list::{Listed, Scalar};
use super::message::{Correspondent, Message};
use super::resource::{Attribute as A, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How many people of a thread are kept.
const PEOPLE_LIMIT: usize = 50;
/// How many identifiers tie a message to others: more a sender may name, and they change nothing.
const MARKS_LIMIT: usize = 25;

pub static RESOURCE: Resource = Resource {
    name: "thread",
    plural: "threads",
    attributes: &[
        A::time("firstMessageAt", "When the first message was received.").read_only().listed(),
        A::time("lastMessageAt", "When the latest message was received.").read_only().listed(),
        A::number("messageCount", "How many messages are stored of it.").read_only(),
        A::structure("participants", "Who wrote or received its messages: name and address, at most 50."),
        A::text("snippet", 200, "The beginning of the latest message, on one line.").read_only(),
        A::text("subject", 998, "The subject of the first message.").read_only(),
    ],
    relationships: &[
        R::one("mailbox", "mailbox", "The mailbox it is in; a thread never spans several.").filterable(),
        R::linked("messages", "message", "thread", "Its messages."),
    ],
    tolerated: &[],
};

/// A thread as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    pub id: u64,
    pub mailbox_id: u64,
    pub subject: Option<String>,
    pub snippet: String,
    pub participants: Vec<Correspondent>,
    pub message_count: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

impl Thread {
    /// The thread of one message.
    pub fn of(message: &Message) -> Self {
        let at = time_of(message);
        let mut thread = Self {
            id: 0,
            mailbox_id: message.mailbox_id,
            subject: message.subject.clone(),
            snippet: message.snippet.clone(),
            participants: Vec::new(),
            message_count: 1,
            first_at: at,
            last_at: at,
        };
        thread.meet(message);
        thread
    }

    /// The thread with one more message.
    pub fn add(&mut self, message: &Message) {
        let at = time_of(message);
        self.message_count += 1;
        if at < self.first_at {
            self.first_at = at;
            self.subject.clone_from(&message.subject);
        }
        if at >= self.last_at {
            self.last_at = at;
            self.snippet.clone_from(&message.snippet);
        }
        self.meet(message);
    }

    fn meet(&mut self, message: &Message) {
        for person in [&message.from, &message.to, &message.cc].into_iter().flatten() {
            let is_known = self.participants.iter().any(|known| known.address.eq_ignore_ascii_case(&person.address));
            if !is_known && !person.address.is_empty() && self.participants.len() < PEOPLE_LIMIT {
                self.participants.push(person.clone());
            }
        }
    }
}

/// When a message came, as far as that is known.
pub fn time_of(message: &Message) -> Timestamp {
    message.received_at.or(message.sent_at).unwrap_or(message.created_at)
}

/// What ties a message to others: its own identifier, the provider's number of its thread, what it answers, and the
/// newest of what it refers to. Each once, of a bounded number.
pub fn marks(message: &Message) -> Vec<String> {
    let provider = message.provider_thread.as_ref().map(|number| format!("thread {number}"));
    let named = message.in_reply_to.iter().chain(message.references.iter().rev());
    let named = message.message_id.iter().chain(named).map(|id| format!("message {id}"));
    let mut marks: Vec<String> = Vec::new();
    for mark in provider.into_iter().chain(named) {
        if marks.len() == MARKS_LIMIT {
            break;
        }
        if !marks.contains(&mark) {
            marks.push(mark);
        }
    }
    marks
}

impl Listed for Thread {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "firstMessageAt" => self.first_at.into(),
            "lastMessageAt" => self.last_at.into(),
            "mailbox.id" => self.mailbox_id.into(),
            _ => return None,
        })
    }
}
