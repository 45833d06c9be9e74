//! Messages: what was synced; list and show. Their octets: `octets.rs`.

use super::Api;
use super::caller::Caller;
use super::mailings::Gates;
use super::path::at;
use super::shown::{Shows, answer_list, answer_show, own_mailboxes, sees_mailbox};
use crate::domain::bounce::Bounce;
use crate::domain::list::Filter;
use crate::domain::message::{Message, RESOURCE};
use crate::domain::resource::Resource;
use crate::domain::words::Term;
use crate::jsonapi::{ApiError, FieldSet, Permissions, path_id};
use crate::mime;
use crate::store::{Reader, StoreError, raw, search};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/messages").get(list)).service(at("/messages/{id}").get(show));
}

/// How many messages one page shows with their bodies: each may have a few megabytes of text.
const BODIES: usize = 50;

fn wants_bodies(fields: Option<&FieldSet>) -> bool {
    fields.is_none_or(|fields| ["bodyText", "bodyHtml", "replyText"].iter().any(|name| fields.contains(name)))
}

impl Shows for Message {
    const RESOURCE: &'static Resource = &RESOURCE;
    const SEARCHED: Option<&'static str> = Some("receivedAt");

    fn found(reader: &impl Reader, terms: &[Term]) -> Result<Vec<u64>, StoreError> {
        search(reader, terms)
    }

    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
        sees_mailbox(caller, reader, self.mailbox_id)
    }

    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
        own_mailboxes(caller, reader)
    }

    fn page_limit(fields: Option<&FieldSet>) -> usize {
        if wants_bodies(fields) { BODIES } else { usize::MAX }
    }

    fn attributes(&self, api: &Api, reader: &impl Reader, caller: &Caller) -> Result<Map<String, Value>, StoreError> {
        self.wanted_attributes(api, reader, caller, None, &Gates::default())
    }

    fn wanted_attributes(
        &self,
        _: &Api,
        reader: &impl Reader,
        _: &Caller,
        fields: Option<&FieldSet>,
        _: &Gates,
    ) -> Result<Map<String, Value>, StoreError> {
        // Bodies are read from the raw octets, so that they are stored once.
        let octets = if wants_bodies(fields) { raw(reader, self.id)? } else { None };
        let bodies = octets.map(|raw| mime::parse(&raw));
        let (text, html) = bodies.map_or((None, None), |bodies| (bodies.text, bodies.html));
        let reply_text = mime::reply_text(text.as_deref(), html.as_deref());
        let bracketed = |id: &String| format!("<{id}>");
        let mut shown = json!({
            "attachments": self.attachments,
            "authenticationResults": self.authentication_results,
            "bcc": self.bcc,
            "bodyHtml": html.as_deref().map(mime::sanitise),
            "bodyStored": self.body_stored,
            "bodyText": text,
            "bounces": self.bounces.iter().map(bounce).collect::<Vec<_>>(),
            "cc": self.cc,
            "classification": self.classification,
            "createdAt": self.created_at,
            "deletedAt": self.deleted_at,
            "direction": self.direction,
            "flags": self.flags,
            "folder": self.folder,
            "from": self.from,
            "inReplyTo": self.in_reply_to.iter().map(bracketed).collect::<Vec<_>>(),
            "messageId": self.message_id.as_ref().map(bracketed),
            "parseProblems": self.parse_problems,
            "receivedAt": self.received_at,
            "references": self.references.iter().map(bracketed).collect::<Vec<_>>(),
            "replyText": reply_text,
            "replyTo": self.reply_to,
            "sentAt": self.sent_at,
            "size": self.size,
            "snippet": self.snippet,
            "subject": self.subject,
            "to": self.to,
        });
        Ok(shown.as_object_mut().map(std::mem::take).unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("mailbox", Some(self.mailbox_id)), ("mailing", self.mailing_id), ("thread", self.thread_id)])
    }

    fn permissions(&self, _: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(false) })
    }
}

fn bounce(bounce: &Bounce) -> Value {
    json!({
        "recipient": bounce.recipient,
        "originalRecipient": bounce.original_recipient,
        "code": bounce.code,
        "enhancedCode": bounce.enhanced.map(|code| code.to_string()),
        "severity": bounce.severity,
        "reason": bounce.reason,
        "text": bounce.text,
    })
}

async fn list(api: web::Data<Api>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer_list::<Message>(&api, &caller, &request)
}

async fn show(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    answer_show::<Message>(&api, &caller, &request, path_id(&RESOURCE, &id)?)
}
