//! What a mailing shows.

use super::delay::{Delay, Gates};
use super::edit::may_edit;
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::shown::{Shows, own_mailboxes, sees_mailbox};
use crate::domain::list::{Filter, Scalar, Test};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, Mailing, RESOURCE, Recipient, RecipientKind};
use crate::domain::resource::Resource;
use crate::jsonapi::{ApiError, FieldSet, Permissions, etag};
use crate::store::{Reader, StoreError, content, get, users_of_attachment};
use serde_json::{Map, Value, json};

impl Shows for Mailing {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
        sees_mailbox(caller, reader, self.mailbox_id)
    }

    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
        own_mailboxes(caller, reader)
    }

    /// A mailing can have several attachments: those that one goes with are listed by their ids.
    fn rewritten(filter: Filter, reader: &impl Reader, _: &Caller) -> Result<Filter, ApiError> {
        if filter.field != "attachments.id" {
            return Ok(filter);
        }
        let refusal = || ApiError::bad_parameter("filter[attachments][id]", "filter[attachments][id] takes ids alone.");
        let Test::OneOf(attachments) = filter.test else { return Err(refusal()) };
        let mut mailings: Vec<Scalar> = Vec::new();
        for attachment in attachments {
            let Scalar::Integer(id) = attachment else { return Err(refusal()) };
            mailings.extend(users_of_attachment(reader, id.cast_unsigned())?.into_iter().map(Scalar::from));
        }
        Ok(Filter { field: "id".into(), test: Test::OneOf(mailings) })
    }

    fn attributes(&self, api: &Api, reader: &impl Reader, caller: &Caller) -> Result<Map<String, Value>, StoreError> {
        self.wanted_attributes(api, reader, caller, None, &Gates::default())
    }

    fn wanted_attributes(
        &self,
        api: &Api,
        reader: &impl Reader,
        _: &Caller,
        fields: Option<&FieldSet>,
        gates: &Gates,
    ) -> Result<Map<String, Value>, StoreError> {
        let content = content(reader, self.id)?;
        let names = |kind: RecipientKind| -> Vec<String> {
            self.recipients.iter().filter(|recipient| recipient.kind == kind).map(Recipient::to_string).collect()
        };
        let attempts = json!(self.attempts);
        let explained = ["delayReason", "nextAttemptAt"];
        let delay = if fields.is_none_or(|fields| explained.into_iter().any(|name| fields.contains(name))) {
            self.delay(api, reader, gates)?
        } else {
            Delay::default()
        };
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
            "variables": content.templates.as_ref().map(|_| &content.variables),
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
