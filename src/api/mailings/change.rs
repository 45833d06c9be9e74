//! What a mailing would be with a write: the same for a create, which changes an empty one, and for an edit.

use super::addressing::{recipients, taken};
use super::enclosed::{attachments, from_alias, headers};
use super::texts::texts;
use super::thread::answers;
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::failure::Refusal;
use crate::domain::address::Person;
use crate::domain::attachment::Attachment;
use crate::domain::mailing::{Content, Mailing, RESOURCE, Recipient, State};
use crate::domain::problem::Problem;
use crate::domain::recipient::RecipientRecord;
use crate::domain::time::Timestamp;
use crate::jsonapi::{ApiError, Write};
use crate::store::{Reader, Work, get};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Attributes of a CRM: kept as given.
const KEPT: &[&str] = &["followUpTaskScheduledAt", "followUpTaskType"];

/// What a client can say of a mailing.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    pub content: Content,
    pub recipients: Vec<Recipient>,
    pub scheduled_at: Option<Timestamp>,
    pub track_links: bool,
    pub track_opens: bool,
    pub include_unsubscribe_link: bool,
    pub mailing_type: String,
    /// The state that is asked for.
    pub state: Option<State>,
}

/// A write as it came in.
pub(super) struct Written<'w> {
    /// The attributes that hold.
    pub values: &'w Map<String, Value>,
    pub write: &'w Write,
    /// The mailbox that sends; `None` where that is a problem of its own.
    pub mailbox: Option<u64>,
}

impl Change {
    /// Reads a write over what is there.
    pub fn with(
        mut self,
        written: &Written<'_>,
        api: &Api,
        reader: &impl Reader,
        caller: &Caller,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, ApiError> {
        let Written { values, write, mailbox } = *written;
        let named = write.many.get("recipients");
        self.recipients = recipients(values, named, &self.recipients, reader, caller, problems)?;
        texts(values, &mut self.content, problems);
        let content = &mut self.content;
        if let Some(given) = values.get("replyTo") {
            content.reply_to = given.as_str().map(str::to_owned);
            if let Some(Err(problem)) = given.as_str().map(Person::parse) {
                problems.push(Problem::attribute("replyTo", format!("replyTo is not a valid address: {problem}")));
            }
        }
        if let Some(given) = values.get("inReplyTo") {
            answers(given, mailbox, reader, caller, content, problems)?;
        }
        if let Some(given) = values.get("headers") {
            content.headers = headers(given, problems);
        }
        if let Some(given) = values.get("fromAlias") {
            content.from_alias = from_alias(given, mailbox, content.from_alias.as_deref(), reader, problems)?;
        }
        if let Some(ids) = write.many.get("attachments") {
            content.attachments = attachments(ids, &content.attachments, api, reader, caller, problems)?;
        }
        if let Some(given) = values.get("scheduledAt") {
            self.scheduled_at = given.as_str().and_then(Timestamp::parse);
        }
        if let Some(flag) = values.get("trackLinks") {
            self.track_links = flag.as_bool().unwrap_or(false);
        }
        if let Some(flag) = values.get("trackOpens") {
            self.track_opens = flag.as_bool().unwrap_or(false);
        }
        if let Some(flag) = values.get("includeUnsubscribeLink") {
            self.include_unsubscribe_link = flag.as_bool().unwrap_or(false);
        }
        if let Some(given) = values.get("mailingType") {
            given.as_str().unwrap_or("single").clone_into(&mut self.mailing_type);
        }
        self.state = values.get("state").and_then(Value::as_str).and_then(State::from_name);
        self.keep(values, write);
        Ok(self)
    }

    /// What belongs to a CRM.
    fn keep(&mut self, values: &Map<String, Value>, write: &Write) {
        let kept = &mut self.content.kept;
        for name in KEPT {
            match values.get(*name) {
                Some(Value::Null) => kept.remove(*name),
                Some(value) => kept.insert((*name).to_owned(), value.clone()),
                None => None,
            };
        }
        for (name, id) in write.relationships.iter().filter(|(name, _)| **name != "mailbox") {
            match id {
                Some(id) => kept.insert((*name).to_owned(), (*id).into()),
                None => kept.remove(*name),
            };
        }
    }

    /// The ids among what is kept for a CRM.
    pub fn crm_ids(&self) -> BTreeMap<String, u64> {
        let kept = self.content.kept.iter().filter(|(name, _)| RESOURCE.relationship(name).is_some());
        kept.filter_map(|(name, id)| Some((name.clone(), id.as_u64()?))).collect()
    }

    /// Sets what it says of the mailing itself, but for its state and time.
    pub fn apply(&self, mailing: &mut Mailing) {
        mailing.recipients.clone_from(&self.recipients);
        mailing.track_links = self.track_links;
        mailing.track_opens = self.track_opens;
        mailing.include_unsubscribe_link = self.include_unsubscribe_link;
        mailing.mailing_type.clone_from(&self.mailing_type);
    }

    /// In the unit of work that writes: what was there when it was read may have gone meanwhile, or to another mailing.
    pub fn check_still_there(&self, work: &Work, mailing: Option<u64>) -> Result<(), Refusal> {
        for id in &self.content.attachments {
            if get::<Attachment>(work, *id)?.is_none_or(|found| !found.complete) {
                return Err(Problem::relationship("attachments", format!("There is no attachment {id}.")).into());
            }
        }
        for recipient in self.recipients.iter().filter(|recipient| recipient.id != 0 && recipient.outcome.is_none()) {
            let detail = match get::<RecipientRecord>(work, recipient.id)? {
                None => format!("There is no recipient {}.", recipient.id),
                Some(record) => match record.mailing_id.filter(|owner| Some(*owner) != mailing) {
                    None => continue,
                    Some(owner) => taken(recipient.id, owner),
                },
            };
            return Err(Problem::relationship("recipients", detail).into());
        }
        Ok(())
    }
}
