//! A mailing: one outgoing email to its recipients, and the life it leads.

mod attempt;
mod attributes;
mod client;
mod doubt;
mod headers;
mod sent_copy;
mod transition;

pub use attempt::{Attempt, AttemptRecord, Outcome, Phase, Recipient, RecipientKind, RecipientState};
pub use attributes::{RECIPIENTS, RESOURCE, STATES};
pub use client::Unmovable;
pub use doubt::{ASKS, Answer, Cause, Circumstances, Doubt, PATIENCE, Resolution};
pub use headers::{HEADERS, wrong_header};
pub use sent_copy::{COPY_DELAY, COPY_TRIES, CopyState, SentCopy};
pub use transition::{State, Trigger, transition};

use super::list::{Listed, Scalar};
use super::problem::Problem;
use super::resource::Linkage;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Why a mailing with links cannot be sent, and what to do.
pub const NO_PUBLIC_URL: &str =
    "No public URL is configured: set public_url to the https address under which recipients reach this server.";

/// What stands for the link of the opt-out in a body or in an `optOutSignature`.
pub const UNSUBSCRIBE_PLACEHOLDER: &str = "%unsubscribe_url%";

/// A mailing as it is stored; its bodies have a record of their own ([`Content`]), written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mailing {
    pub id: u64,
    pub mailbox_id: u64,
    pub user_id: u64,
    pub mailbox_address: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub state: State,
    pub state_changed_at: Timestamp,
    pub scheduled_at: Option<Timestamp>,
    /// While the mailing waits: not before this time. The due index is made of it.
    pub due: Option<Timestamp>,
    pub mailing_type: String,
    /// Without angle brackets; never changes.
    pub message_id: String,
    pub recipients: Vec<Recipient>,
    /// The attempt under way, or left behind by a crash.
    #[serde(default)]
    pub attempt: Option<Attempt>,
    #[serde(default)]
    pub attempts: Vec<AttemptRecord>,
    /// How many times a reply that never came was answered by sending again.
    #[serde(default)]
    pub doubt_resends: u32,
    /// How many times a stop of ours in the data phase was.
    #[serde(default)]
    pub stop_resends: u32,
    /// How many times Postroom stopped while it was about to hand this over, or found afterwards that it had not.
    #[serde(default)]
    pub stops: u32,
    /// Nobody knows whether the server has the message, and it is being found out.
    #[serde(default)]
    pub doubt: Option<Doubt>,
    /// The latest doubt that ended without an answer: what comes back later may still give it.
    #[serde(default)]
    pub doubted: Option<Doubt>,
    /// Our own copy in the sent folder; `None` where none is wanted.
    #[serde(default)]
    pub sent_copy: Option<SentCopy>,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    #[serde(default)]
    pub retry_count: u32,
    #[serde(default)]
    pub retry_interval: Option<u64>,
    #[serde(default)]
    pub error_reason: Option<String>,
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
    #[serde(default)]
    pub opened_at: Option<Timestamp>,
    #[serde(default)]
    pub open_count: u64,
    #[serde(default)]
    pub clicked_at: Option<Timestamp>,
    #[serde(default)]
    pub click_count: u64,
    #[serde(default)]
    pub replied_at: Option<Timestamp>,
    #[serde(default)]
    pub bounced_at: Option<Timestamp>,
    #[serde(default)]
    pub marked_as_spam_at: Option<Timestamp>,
    #[serde(default)]
    pub unsubscribed_at: Option<Timestamp>,
    #[serde(default)]
    pub track_links: bool,
    #[serde(default)]
    pub track_opens: bool,
    /// When a client last asked for it to be sent: counts for its expiry.
    #[serde(default)]
    pub asked_at: Option<Timestamp>,
    /// Counts the edits of clients; the entity tag is made of it.
    #[serde(default)]
    pub revision: u64,
    #[serde(default)]
    pub include_unsubscribe_link: bool,
    /// The ids of [`Content::kept`] by their relationships, for lists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub crm_ids: BTreeMap<String, u64>,
}

/// What a mailing says. Read when it is shown or composed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    pub subject: Option<String>,
    pub html: Option<String>,
    pub text: Option<String>,
    pub reply_to: Option<String>,
    /// The Message-IDs above this mailing in its thread.
    pub references: Vec<String>,
    /// The Message-ID that it answers, without angle brackets.
    pub in_reply_to: Option<String>,
    /// Set with the first attempt, so that every further one composes the same message.
    pub frozen: Option<Frozen>,
    /// Attributes and relationships that belong to a CRM: kept as given.
    pub kept: Map<String, Value>,
    /// The alias that it is sent from, in place of the mailbox's own address: in From and in the envelope.
    pub from_alias: Option<String>,
    /// Further header fields, each allowed by [`wrong_header`].
    pub headers: Vec<(String, String)>,
    /// The ids of its attachments, in their order.
    pub attachments: Vec<u64>,
    /// What placeholders were filled in with; empty where there are none.
    pub variables: Map<String, Value>,
    /// The texts before their placeholders were filled in; only where there are variables.
    pub templates: Option<Templates>,
}

/// Texts with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Templates {
    pub subject: Option<String>,
    pub html: Option<String>,
    pub text: Option<String>,
}

/// What a message takes from its surroundings, kept from the first attempt on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    pub date: Timestamp,
    pub from_name: Option<String>,
    pub signature: Option<String>,
    /// The mailbox's `optOutSignature`.
    #[serde(default)]
    pub opt_out: Option<String>,
    /// What links are made of, where the mailing has any.
    #[serde(default)]
    pub links: Option<FrozenLinks>,
    /// Addresses of copies that were left out of the header, being suppressed.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// What the links of a message start with, and the key they are made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenLinks {
    pub base: String,
    pub key: u32,
    /// Where an opt-out by mail goes: the mailbox, where its inbox is read.
    #[serde(default)]
    pub mailto: Option<String>,
}

impl Mailing {
    /// Moves the state; the only place where it changes. `false` where the table does not allow it: nothing changed.
    pub fn apply(&mut self, trigger: Trigger, now: Timestamp) -> bool {
        let Some(to) = transition(self.state, trigger) else { return false };
        if to != self.state {
            self.state = to;
            self.state_changed_at = now;
        }
        self.updated_at = now;
        if !to.waits() {
            self.due = None;
        }
        if trigger == Trigger::Deliver {
            // What came back before the delivery could be recorded.
            if self.replied_at.is_some() {
                self.apply(Trigger::Reply, now);
            } else if self.has_bounced_entirely() {
                self.apply(Trigger::Bounce, now);
            } else if self.opened_at.is_some() {
                self.apply(Trigger::Open, now);
            }
        }
        true
    }

    /// Whether it came back from everybody whom a server had taken it for.
    pub fn has_bounced_entirely(&self) -> bool {
        let reached = |state| {
            self.recipients.iter().any(|recipient| recipient.outcome.as_ref().is_some_and(|one| one.state == state))
        };
        reached(RecipientState::Bounced) && !reached(RecipientState::Accepted) && self.waiting().next().is_none()
    }

    /// Whether it must tell its recipient how to opt out.
    pub fn needs_unsubscribe_link(&self) -> bool {
        self.include_unsubscribe_link || matches!(self.mailing_type.as_str(), "sequence" | "campaign")
    }

    /// Whether it has links that lead to us, and so needs a public URL.
    pub fn needs_links(&self) -> bool {
        self.needs_unsubscribe_link() || self.track_opens || self.track_links
    }

    /// What keeps its links from being made: no public URL, or more recipients than an opt-out can be for.
    pub fn link_problems(&self, public_url: Option<&str>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let unsubscribe = if self.include_unsubscribe_link { "includeUnsubscribeLink" } else { "mailingType" };
        if public_url.is_none() {
            let asked = [
                (self.needs_unsubscribe_link(), unsubscribe),
                (self.track_opens, "trackOpens"),
                (self.track_links, "trackLinks"),
            ];
            for (_, name) in asked.into_iter().filter(|(asked, _)| *asked) {
                let detail = format!("{name} needs links that lead back here. {NO_PUBLIC_URL}");
                problems.push(Problem::attribute(name, detail));
            }
        }
        if self.needs_unsubscribe_link() && self.recipients.len() > 1 {
            let detail = format!(
                "A mailing with an unsubscribe link has exactly one recipient; this one has {}. Create one mailing for each.",
                self.recipients.len()
            );
            problems.push(Problem::attribute("to", detail));
        }
        problems
    }

    /// What would show `%unsubscribe_url%` as it stands to a recipient: it is replaced in the bodies of mailings with an
    /// unsubscribe link, and nowhere else.
    pub fn placeholder_problems(&self, content: &Content) -> Vec<Problem> {
        let holds = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains(UNSUBSCRIBE_PLACEHOLDER));
        let mut problems = Vec::new();
        if holds(&content.subject) {
            let detail = format!("A subject cannot hold {UNSUBSCRIBE_PLACEHOLDER}: it is replaced in bodies only.");
            problems.push(Problem::attribute("subject", detail));
        }
        if !self.needs_unsubscribe_link() {
            for (name, body) in [("bodyHtml", &content.html), ("bodyText", &content.text)] {
                if holds(body) {
                    let detail = format!(
                        "{name} holds {UNSUBSCRIBE_PLACEHOLDER}, but this mailing has no unsubscribe link to put there. Set includeUnsubscribeLink, or take the placeholder out."
                    );
                    problems.push(Problem::attribute(name, detail));
                }
            }
        }
        problems
    }

    /// When the client wants it to go out: its time, or the moment of asking where that came later.
    pub fn wanted_at(&self) -> Timestamp {
        let wanted = self.scheduled_at.unwrap_or(self.created_at);
        self.asked_at.map_or(wanted, |asked| asked.max(wanted))
    }

    /// When the sent folder is to be asked about this mailing, or given a copy of it. The index of errands is made of it.
    pub fn errand_at(&self) -> Option<Timestamp> {
        let copy = self.sent_copy.as_ref().filter(|copy| copy.state == CopyState::Wanted);
        self.doubt.as_ref().map(|doubt| doubt.next).or(copy.map(|copy| copy.next))
    }

    /// The addresses that still have to be handed to a server.
    pub fn waiting(&self) -> impl Iterator<Item = &Recipient> {
        self.recipients.iter().filter(|recipient| recipient.outcome.is_none())
    }
}

impl Listed for Mailing {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "bouncedAt" => self.bounced_at.into(),
            "clickedAt" => self.clicked_at.into(),
            "createdAt" => self.created_at.into(),
            "deliveredAt" => self.delivered_at.into(),
            "mailingType" => self.mailing_type.as_str().into(),
            "messageId" => Scalar::Text(format!("<{}>", self.message_id)),
            "notifyThreadScheduledAt" | "notifyThreadStatus" => Scalar::Null,
            "openedAt" => self.opened_at.into(),
            "repliedAt" => self.replied_at.into(),
            "retryAt" => self.retry_at.into(),
            "scheduledAt" => self.scheduled_at.into(),
            "state" => self.state.name().into(),
            "stateChangedAt" => self.state_changed_at.into(),
            "unsubscribedAt" => self.unsubscribed_at.into(),
            "updatedAt" => self.updated_at.into(),
            "mailbox.id" => self.mailbox_id.into(),
            "user.id" => self.user_id.into(),
            _ => {
                let relationship = RESOURCE.relationship(name.strip_suffix(".id")?)?;
                let is_one = relationship.linkage == Linkage::One;
                return is_one.then(|| self.crm_ids.get(relationship.name).copied().into());
            }
        })
    }
}
