//! What a mailing shows.

use super::edit::may_edit;
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::shown::{Shows, own_mailboxes, sees_mailbox};
use crate::domain::list::Filter;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, Mailing, RESOURCE, Recipient, RecipientKind};
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;
use crate::jsonapi::{Permissions, etag};
use crate::send::gate::{self, Question};
use crate::store::{Reader, StoreError, content, get, status};
use serde_json::{Map, Value, json};

impl Shows for Mailing {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
        sees_mailbox(caller, reader, self.mailbox_id)
    }

    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
        own_mailboxes(caller, reader)
    }

    fn attributes(&self, api: &Api, reader: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let content = content(reader, self.id)?;
        let names = |kind: RecipientKind| -> Vec<String> {
            self.recipients.iter().filter(|recipient| recipient.kind == kind).map(Recipient::to_string).collect()
        };
        let attempts = json!(self.attempts);
        let delay = self.delay(api, reader)?;
        let headers: Map<String, Value> =
            content.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let mut shown = json!({
            "attempts": attempts,
            "bcc": names(RecipientKind::Bcc),
            "bodyHtml": content.html,
            "bodyText": content.text,
            "bouncedAt": self.bounced_at,
            "cc": names(RecipientKind::Cc),
            "clickCount": self.click_count,
            "clickedAt": self.clicked_at,
            "createdAt": self.created_at,
            "deliveredAt": self.delivered_at,
            "errorReason": self.error_reason,
            "fromAlias": content.from_alias,
            "headers": headers,
            "inReplyTo": content.in_reply_to.as_ref().map(|id| format!("<{id}>")),
            "includeUnsubscribeLink": self.include_unsubscribe_link,
            "mailboxAddress": self.mailbox_address,
            "mailingType": self.mailing_type,
            "markedAsSpamAt": self.marked_as_spam_at,
            "messageId": format!("<{}>", self.message_id),
            "openCount": self.open_count,
            "openedAt": self.opened_at,
            "overrideSafetySettings": false,
            "recipientOutcomes": self.recipients.iter().map(outcome).collect::<Vec<_>>(),
            "references": content.references.iter().map(|id| format!("<{id}>")).collect::<Vec<_>>(),
            "repliedAt": self.replied_at,
            "replyTo": content.reply_to,
            "retryAt": self.retry_at,
            "retryCount": self.retry_count,
            "retryInterval": self.retry_interval,
            "scheduledAt": self.scheduled_at,
            "size": self.size,
            "state": self.state,
            "stateChangedAt": self.state_changed_at,
            "subject": content.subject,
            "to": names(RecipientKind::To),
            "trackLinks": self.track_links,
            "trackOpens": self.track_opens,
            "unsubscribedAt": self.unsubscribed_at,
            "updatedAt": self.updated_at,
            "variables": content.variables,
        });
        let mut shown = shown.as_object_mut().map(std::mem::take).unwrap_or_default();
        shown.insert("delayReason".to_owned(), json!(delay.reason));
        shown.insert("nextAttemptAt".to_owned(), json!(delay.next));
        for (name, value) in content.kept {
            shown.entry(name).or_insert(value);
        }
        Ok(shown)
    }

    fn related(&self, reader: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        let Content { kept, attachments, .. } = content(reader, self.id)?;
        let mailbox = get::<Mailbox>(reader, self.mailbox_id)?.map(|mailbox| mailbox.id);
        let mut related = vec![("mailbox", mailbox), ("user", Some(self.user_id))];
        for relationship in RESOURCE.relationships {
            if let Some(id) = kept.get(relationship.name).and_then(Value::as_u64) {
                related.push((relationship.name, Some(id)));
            }
        }
        related.extend(attachments.into_iter().map(|id| ("attachments", Some(id))));
        let recipients = self.recipients.iter().filter(|recipient| recipient.id != 0);
        related.extend(recipients.map(|recipient| ("recipients", Some(recipient.id))));
        Ok(related)
    }

    fn permissions(&self, caller: &Caller, reader: &impl Reader) -> Result<Permissions, StoreError> {
        let may = may_edit(reader, caller, self)?;
        Ok(Permissions { can_write: may && self.state.not_yet_sent(), can_delete: None })
    }

    fn tag(&self) -> Option<String> {
        // What the engine does to a mailing is no edit: the tag stays until a client changes something.
        Some(etag(&(self.id, self.revision)))
    }
}

impl Mailing {
    /// Why it waits, read from the same gate that decides: derived, never stored.
    fn delay(&self, api: &Api, reader: &impl Reader) -> Result<Delay, StoreError> {
        if let Some(doubt) = &self.doubt {
            return Ok(Delay { reason: Some(doubt.explain()), next: Some(doubt.next) });
        }
        if !self.state.waits() {
            return Ok(Delay::default());
        }
        let now = api.store.runtime().clock.now();
        let Some(mailbox) = get::<Mailbox>(reader, self.mailbox_id)? else { return Ok(Delay::default()) };
        if let Some(due) = self.due.filter(|due| *due > now) {
            let failed = self.attempts.iter().rev().find(|attempt| attempt.code.is_none_or(|code| code >= 400));
            let last = failed.map(|attempt| attempt.text.clone());
            let reason = match (self.retry_at, last) {
                (Some(at), Some(text)) => format!("The last try failed and is repeated at {at}: {text}"),
                _ => format!("It is scheduled for {due}."),
            };
            return Ok(Delay { reason: Some(reason), next: Some(due) });
        }
        let health = status(reader, mailbox.id)?;
        let question = Question {
            mailbox: &mailbox,
            status: &health,
            recipients: u64::try_from(self.waiting().count()).unwrap_or(u64::MAX),
            moment: api.store.moment(),
            outlook: &api.outlook,
        };
        let gate = gate::ask(reader, &question)?;
        Ok(Delay { reason: gate.reason().map(str::to_owned), next: gate.opens_at() })
    }
}

/// Why a mailing waits, and until when.
#[derive(Default)]
struct Delay {
    reason: Option<String>,
    next: Option<Timestamp>,
}

fn outcome(recipient: &Recipient) -> Value {
    let outcome = recipient.outcome.as_ref();
    json!({
        "kind": recipient.kind,
        "address": recipient.address,
        "state": outcome.map_or(json!("waiting"), |outcome| json!(outcome.state)),
        "at": outcome.map(|outcome| outcome.at),
        "answer": outcome.and_then(|outcome| outcome.answer.clone()),
    })
}
