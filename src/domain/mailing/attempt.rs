//! Trying to deliver a mailing: who was accepted, what was said, and how far a try got.

use crate::domain::address::{Address, Person};
use crate::domain::failure::{EnhancedCode, Failure, Stage};
use crate::domain::mailbox::address_key;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The header a recipient stands in, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientKind {
    To,
    Cc,
    Bcc,
}

impl RecipientKind {
    pub const ALL: [Self; 3] = [Self::To, Self::Cc, Self::Bcc];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
        }
    }
}

/// One recipient of a mailing. Without an outcome it still has to be handed to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Of the resource that mirrors it; 0 before it has one.
    #[serde(default)]
    pub id: u64,
    pub kind: RecipientKind,
    pub name: Option<String>,
    pub address: String,
    #[serde(default)]
    pub outcome: Option<Outcome>,
}

impl Recipient {
    /// One that still has to be mailed.
    pub fn new(kind: RecipientKind, person: Person) -> Self {
        Self { id: 0, kind, name: person.name, address: person.address.as_given().to_owned(), outcome: None }
    }

    /// What is equal for two spellings of one address.
    pub fn key(&self) -> String {
        address_key(&self.address)
    }

    /// Whether a server has taken the mail for it: never mailed again.
    pub fn is_accepted(&self) -> bool {
        self.outcome
            .as_ref()
            .is_some_and(|outcome| matches!(outcome.state, RecipientState::Accepted | RecipientState::Bounced))
    }
}

impl fmt::Display for Recipient {
    /// As `Name <address>`, or the address alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, Address::parse(&self.address)) {
            (Some(name), Ok(address)) => write!(f, "{}", Person { name: Some(name.clone()), address }),
            _ => f.write_str(&self.address),
        }
    }
}

/// What became of a recipient: final, and never tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub state: RecipientState,
    pub at: Timestamp,
    /// The server's line of acceptance, or why it failed or came back.
    pub answer: Option<String>,
    /// The server refused this recipient for good: a retry of the mailing leaves it alone while others can be tried.
    #[serde(default)]
    pub for_good: bool,
}

impl Outcome {
    pub fn new(state: RecipientState, at: Timestamp, answer: impl Into<Option<String>>) -> Self {
        Self { state, at, answer: answer.into(), for_good: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientState {
    Accepted,
    Failed,
    /// Accepted, and sent back later.
    Bounced,
}

/// How far an attempt got, as far as the disk knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing that could make the server accept the message has left: a crash here is repeated without doubt.
    Connecting,
    /// The message may have been accepted: a crash here is doubt.
    Data,
}

/// The attempt under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Timestamp,
    pub phase: Phase,
    /// In the data phase: the recipients whom the server had refused, and why.
    #[serde(default)]
    pub refused: Vec<(String, Failure)>,
    /// In the data phase: something came back that only the message can have caused, before the server's answer did.
    #[serde(default)]
    pub proved: bool,
}

/// One finished attempt, as `attempts` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    pub at: Timestamp,
    pub stage: Stage,
    pub code: Option<u16>,
    pub enhanced_code: Option<String>,
    pub text: String,
}

impl AttemptRecord {
    /// How many are kept.
    pub const KEPT: usize = 20;

    pub fn failed(at: Timestamp, failure: &Failure) -> Self {
        Self {
            at,
            stage: failure.stage,
            code: failure.code,
            enhanced_code: failure.enhanced.as_ref().map(EnhancedCode::to_string),
            text: failure.server.clone().unwrap_or_else(|| failure.sentence.clone()),
        }
    }

    /// Something that was found out without a server's reply.
    pub fn note(at: Timestamp, stage: Stage, text: &str) -> Self {
        Self { at, stage, code: None, enhanced_code: None, text: text.to_owned() }
    }

    /// `line` is the server's whole line of acceptance, reply code first.
    pub fn accepted(at: Timestamp, line: &str) -> Self {
        let (code, text) = match line.split_once([' ', '-']) {
            Some((code, text)) if code.len() == 3 => (code.parse().ok(), text),
            _ => (None, line),
        };
        Self {
            at,
            stage: Stage::FinalDot,
            code,
            enhanced_code: EnhancedCode::from_reply(text).map(|code| code.to_string()),
            text: text.to_owned(),
        }
    }
}
