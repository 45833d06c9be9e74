//! Threads: list and show. Their messages are a list of their own.

use super::Api;
use super::caller::Caller;
use super::path::at;
use super::shown::{Shows, list_all, own_mailboxes, sees_mailbox, show_one};
use crate::domain::list::Filter;
use crate::domain::resource::Resource;
use crate::domain::thread::{RESOURCE, Thread};
use crate::jsonapi::Permissions;
use crate::store::{Reader, StoreError};
use actix_web::web;
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/threads").get(list_all::<Thread>)).service(at("/threads/{id}").get(show_one::<Thread>));
}

impl Shows for Thread {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
        sees_mailbox(caller, reader, self.mailbox_id)
    }

    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
        own_mailboxes(caller, reader)
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let mut shown = json!({
            "firstMessageAt": self.first_at,
            "lastMessageAt": self.last_at,
            "messageCount": self.message_count,
            "participants": self.participants,
            "snippet": self.snippet,
            "subject": self.subject,
        });
        Ok(shown.as_object_mut().map(std::mem::take).unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("mailbox", Some(self.mailbox_id))])
    }

    fn permissions(&self, _: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(false) })
    }
}
