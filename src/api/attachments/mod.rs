//! Attachments: files uploaded to go out with mailings; list, show, content, create, delete. Only their owner and
//! administrators see them; one that no mailing uses for a day is forgotten.
//!
//! A file is sent as it is, with `filename` in the query or in Content-Disposition, and goes to the store chunk by chunk
//! as it comes in; or, if it is small, in a document as base64.

mod download;
mod upload;

use super::Api;
use super::caller::Caller;
use super::failure::Refusal;
use super::path::at;
use super::shown::{Shows, list_all, show_one, visible};
use crate::domain::attachment::{Attachment, RESOURCE};
use crate::domain::list::{Filter, Scalar, Test};
use crate::domain::mailing::Mailing;
use crate::domain::resource::Resource;
use crate::jsonapi::{ApiError, Permissions, no_content, path_id};
use crate::store::{Reader, StoreError, content, get, user_of_attachment};
use actix_web::{HttpResponse, web};
pub(super) use download::{as_download, chunks};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/attachments").get(list_all::<Attachment>).post(upload::create))
        .service(at("/attachments/{id}").get(show_one::<Attachment>).delete(delete))
        .service(at("/attachments/{id}/content").get(download::content));
}

impl Shows for Attachment {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, _: &impl Reader) -> Result<bool, StoreError> {
        Ok(self.complete && (caller.is_admin() || caller.id() == self.user_id))
    }

    fn narrowed(caller: &Caller, _: &impl Reader) -> Result<Option<Filter>, StoreError> {
        let own = Filter { field: "user.id".into(), test: Test::OneOf(vec![caller.id().into()]) };
        let complete = Filter { field: "complete".into(), test: Test::OneOf(vec![true.into()]) };
        // Those of others are seen by administrators only; what is being uploaded, by nobody.
        Ok(Some(if caller.is_admin() { complete } else { own }))
    }

    /// An attachment can go with several mailings: those of a mailing are listed by their ids.
    fn rewritten(filter: Filter, reader: &impl Reader, caller: &Caller) -> Result<Filter, ApiError> {
        let Filter { field, test: Test::OneOf(mailings) } = &filter else { return Ok(filter) };
        if field != "mailing.id" {
            return Ok(filter);
        }
        let mut ids: Vec<Scalar> = Vec::new();
        for mailing in mailings {
            let Scalar::Integer(id) = mailing else { continue };
            let mailing = get::<Mailing>(reader, id.cast_unsigned())?;
            if let Some(mailing) = mailing
                && mailing.is_visible(caller, reader)?
            {
                ids.extend(content(reader, mailing.id)?.attachments.into_iter().map(Scalar::from));
            }
        }
        Ok(Filter { field: "id".into(), test: Test::OneOf(ids) })
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let shown = json!({
            "contentType": self.content_type,
            "createdAt": self.created_at,
            "filename": self.name,
            "size": self.size,
            "updatedAt": self.created_at,
        });
        Ok(shown.as_object().cloned().unwrap_or_default())
    }

    fn related(&self, reader: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("mailing", user_of_attachment(reader, self.id)?), ("user", Some(self.user_id))])
    }

    fn permissions(&self, _: &Caller, reader: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(user_of_attachment(reader, self.id)?.is_none()) })
    }
}

async fn delete(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    visible::<Attachment>(&api.store.read()?, &caller, id)?;
    let remove = move |work: &mut crate::store::Work| match user_of_attachment(work, id)? {
        Some(mailing) => {
            let open = get::<Mailing>(work, mailing)?.is_some_and(|mailing| mailing.state.not_yet_sent());
            let why = if open {
                "uses this attachment; take it off the mailing or delete the mailing first."
            } else {
                "has been sent, or is being sent, with this attachment, which is kept as long as the mailing is."
            };
            Err(Refusal::Conflict(format!("The mailing {mailing} {why}")))
        }
        None if get::<Attachment>(work, id)?.is_none() => Err(Refusal::NotFound(&RESOURCE, id)),
        None => Ok(work.delete_attachment(id)?),
    };
    api.store.write(remove).await?;
    Ok(no_content())
}
