//! Addresses that must not be mailed, and why.

use super::failure::EnhancedCode;
use super::list::{Listed, Scalar};
use super::mailbox::address_key;
use super::resource::{Attribute as A, Form, Preset, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a note may be, in characters: with it a suppression is still one line of an export that an import takes.
pub const NOTE_LENGTH: usize = 1_000;

pub static RESOURCE: Resource = Resource {
    name: "suppression",
    plural: "suppressions",
    attributes: &[
        A::time("createdAt", "Since when the address is not mailed.").read_only().listed(),
        A::text("email", 255, "The address; unique, whatever its case.").form(Form::Email).required().listed(),
        A::text("note", NOTE_LENGTH, "Whatever people want to remember about it."),
        A::text("reason", 255, "unsubscribe, hardBounce, complaint or manual.")
            .form(Form::OneOf(Reason::NAMES))
            .preset(Preset::Text("manual"))
            .listed(),
        A::text("source", 255, "What put it here: page, oneClick, mail, server, report, api or import.").read_only(),
    ],
    relationships: &[
        R::one("creator", "user", "Who put it here; nobody for an opt-out or a bounce."),
        R::one("mailing", "mailing", "The mailing through which it came."),
        R::one("message", "message", "The message that reported it."),
    ],
    tolerated: &[],
};

/// Why an address is not mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    Unsubscribe,
    HardBounce,
    Complaint,
    Manual,
}

impl Reason {
    /// All of them, as people and clients write them.
    pub const NAMES: &'static [&'static str] = &["unsubscribe", "hardBounce", "complaint", "manual"];
    const ALL: [Self; 4] = [Self::Unsubscribe, Self::HardBounce, Self::Complaint, Self::Manual];

    pub fn name(self) -> &'static str {
        match self {
            Self::Unsubscribe => "unsubscribe",
            Self::HardBounce => "hardBounce",
            Self::Complaint => "complaint",
            Self::Manual => "manual",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The person's own wish: it outlives whatever else is known of the address.
    pub fn is_a_wish(self) -> bool {
        matches!(self, Self::Unsubscribe | Self::Complaint)
    }

    /// For a sentence: "… is not mailed: it …".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Unsubscribe => "opted out",
            Self::HardBounce => "was reported as not existing",
            Self::Complaint => "complained about a mail",
            Self::Manual => "is on the suppression list",
        }
    }
}

/// One address that is not mailed, by nobody in the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    pub id: u64,
    /// As it was given; its key is what counts.
    pub email: String,
    pub reason: Reason,
    pub source: String,
    pub note: Option<String>,
    pub created_at: Timestamp,
    pub mailing_id: Option<u64>,
    pub message_id: Option<u64>,
    pub creator_id: Option<u64>,
}

impl Suppression {
    /// One that nobody in particular asked for; the store gives the id.
    pub fn new(email: &str, reason: Reason, source: &str, at: Timestamp) -> Self {
        Self {
            id: 0,
            email: email.to_owned(),
            reason,
            source: source.to_owned(),
            note: None,
            created_at: at,
            mailing_id: None,
            message_id: None,
            creator_id: None,
        }
    }

    #[must_use]
    pub fn mailing(mut self, id: u64) -> Self {
        self.mailing_id = Some(id);
        self
    }

    /// Why a mailing to it fails, in a sentence.
    pub fn sentence(&self) -> String {
        format!("{} is suppressed and is not mailed: it {} ({}).", self.email, self.reason.in_words(), self.created_at)
    }
}

impl Listed for Suppression {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "createdAt" => self.created_at.into(),
            "email" => Scalar::Text(address_key(&self.email)),
            "reason" => self.reason.name().into(),
            _ => return None,
        })
    }
}

/// Whether a permanent refusal says that the address itself is bad, and so will be for every mailing: by its enhanced
/// code (RFC 3463 §3.2, §3.3), or where there is none that says anything, by an unmistakable text. Reputation (5.7.x), a
/// full mailbox (5.2.2) and whatever concerns us say nothing about the address.
pub fn is_bad_address(enhanced: Option<EnhancedCode>, text: &str) -> bool {
    match enhanced {
        Some(EnhancedCode(5, 1, 1 | 2 | 3 | 6 | 10) | EnhancedCode(5, 2, 1)) => true,
        // 5.0.0, 5.1.0 and 5.5.0 mean no more than "no".
        None | Some(EnhancedCode(5, 0, _) | EnhancedCode(5, 1 | 5, 0)) => {
            let text = text.to_lowercase();
            UNMISTAKABLE.iter().any(|phrase| text.contains(phrase)) && !DOUBTFUL.iter().any(|word| text.contains(word))
        }
        Some(_) => false,
    }
}

const UNMISTAKABLE: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "user does not exist",
    "user doesn't exist",
    "no such mailbox",
    "mailbox does not exist",
    "mailbox not found",
    "unknown mailbox",
    "no mailbox here by that name",
    "recipient does not exist",
    "no such recipient",
    "unknown recipient",
    "invalid mailbox",
    "address does not exist",
    "account does not exist",
    "account that you tried to reach does not exist",
];

const DOUBTFUL: &[&str] =
    &["spam", "blocked", "blacklist", "policy", "reputation", "quota", "full", "sender", "greylist"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_address_itself_suppresses() {
        for (class, subject, detail) in [(5, 1, 1), (5, 1, 2), (5, 1, 3), (5, 1, 6), (5, 1, 10), (5, 2, 1)] {
            assert!(is_bad_address(Some(EnhancedCode(class, subject, detail)), ""), "{class}.{subject}.{detail}");
        }
        for (class, subject, detail) in
            [(5, 7, 1), (5, 2, 2), (5, 1, 8), (5, 7, 233), (5, 4, 5), (5, 3, 4), (4, 1, 1), (4, 2, 1), (5, 1, 7)]
        {
            let code = EnhancedCode(class, subject, detail);
            assert!(!is_bad_address(Some(code), "No such user here"), "{class}.{subject}.{detail}");
        }
    }

    #[test]
    fn without_a_code_only_an_unmistakable_text_suppresses() {
        assert!(is_bad_address(None, "No such user here"));
        assert!(is_bad_address(Some(EnhancedCode(5, 0, 0)), "<a@b>: Recipient address rejected: User unknown"));
        for text in
            ["", "Relaying denied", "Mailbox full", "Blocked: user unknown to our spam filter", "Sender: no such user"]
        {
            assert!(!is_bad_address(None, text), "{text}");
        }
    }

    #[test]
    fn reasons_are_named_as_declared() {
        assert_eq!(Reason::ALL.map(Reason::name), Reason::NAMES);
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.name()), Some(reason));
        }
        assert_eq!(Reason::from_name("bounce"), None);
    }

    #[test]
    fn every_listed_attribute_can_be_listed() {
        let suppression = Suppression::new("Ann@Example.org", Reason::Manual, "api", Timestamp::default());
        for attribute in RESOURCE.attributes.iter().filter(|attribute| attribute.filterable) {
            assert!(suppression.field(attribute.name).is_some(), "{}", attribute.name);
        }
    }
}
