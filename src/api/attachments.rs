//! Attachments: files uploaded to go out with mailings; list, show, create, delete. Only their owner and administrators
//! see them; one that no mailing uses for a day is forgotten.
//!
//! A file is sent as it is, with `filename` in the query or in Content-Disposition, and goes to the store chunk by chunk
//! as it comes in; or, if it is small, in a document as base64.

use super::Api;
use super::caller::Caller;
use super::failure::Refusal;
use super::path::at;
use super::shown::{Shows, View, answer_list, answer_show, visible};
use crate::domain::attachment::{Attachment, NAME_LENGTH, RESOURCE, UNKNOWN_TYPE, file_name, media_type};
use crate::domain::check::breaks_a_line;
use crate::domain::list::{Filter, Scalar, Test};
use crate::domain::mailing::Mailing;
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::resource::Resource;
use crate::domain::user::Role;
use crate::jsonapi::{
    ApiError, ErrorObject, Expect, JsonApiBody, ListRequest, Permissions, Purpose, Rules, Write, created, no_content,
    path_id,
};
use crate::store::{ATTACHMENT_CHUNK, Reader, StoreError, content, get, user_of_attachment};
use actix_web::http::header::{self, DispositionParam};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long the next octets of an upload may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/attachments").get(list).post(create)).service(at("/attachments/{id}").get(show).delete(delete));
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
    fn rewritten(filter: Filter, reader: &impl Reader, caller: &Caller) -> Result<Filter, StoreError> {
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

async fn list(api: web::Data<Api>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer_list::<Attachment>(&api, &caller, &request)
}

async fn show(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    answer_show::<Attachment>(&api, &caller, &request, path_id(&RESOURCE, &id)?)
}

async fn delete(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    visible::<Attachment>(&api.store.read()?, &caller, id)?;
    let remove = move |work: &mut crate::store::Work| match user_of_attachment(work, id)? {
        Some(mailing) => Err(Refusal::Conflict(format!(
            "The mailing {mailing} uses this attachment; take it off the mailing or delete the mailing first."
        ))),
        None if get::<Attachment>(work, id)?.is_none() => Err(Refusal::NotFound(&RESOURCE, id)),
        None => Ok(work.delete_attachment(id)?),
    };
    api.store.write(remove).await?;
    Ok(no_content())
}

async fn create(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let rules = Rules::new(&RESOURCE, Purpose::Write).extra(&["filename"]);
    let wanted = ListRequest::parse(request.query_string(), &rules)?;
    if caller.user().role == Role::Viewer {
        return Err(ApiError::forbidden("A viewer cannot upload attachments."));
    }
    let name = wanted.extra.get("filename").cloned().or_else(|| disposition_name(&request));
    let attachment = match name {
        Some(name) => as_it_is(&api, &caller, &request, &name, payload).await?,
        None => in_a_document(&api, &caller, &request, payload).await?,
    };
    let view = View { api: api.clone(), caller, wanted };
    let (location, document) = view.created(&api.store.read()?, &attachment)?;
    Ok(created(&location, &document))
}

/// The body is the file.
async fn as_it_is(
    api: &Api,
    caller: &Caller,
    request: &HttpRequest,
    given: &str,
    payload: web::Payload,
) -> Result<Attachment, ApiError> {
    let name = file_name(given);
    if name.is_empty() || name.chars().count() > NAME_LENGTH || given.chars().any(breaks_a_line) {
        let detail = format!("filename must be a file name of at most {NAME_LENGTH} characters on one line.");
        return Err(ErrorObject::bad_parameter("filename", detail).into());
    }
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let announced = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    // A file that says it is too large is not read at all.
    if announced.is_some_and(|octets| octets > api.attachment_size) {
        return Err(too_large(api));
    }
    let begun = begin(api, caller, name, text(header::CONTENT_TYPE).unwrap_or(UNKNOWN_TYPE)).await?;
    let received = receive(api, &begun, payload).await;
    finish(api, begun, received).await
}

/// The body is a document with the file in it.
async fn in_a_document(
    api: &Api,
    caller: &Caller,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Attachment, ApiError> {
    let body = JsonApiBody::from_request(request, &mut payload.into_inner()).await?;
    let (name, content_type, octets) = read(body)?;
    if octets.len() as u64 > api.attachment_size {
        return Err(too_large(api));
    }
    let begun = begin(api, caller, name, &content_type).await?;
    let mut upload = Upload::of(api, &begun);
    let received = match upload.take(&octets).await {
        Ok(()) => upload.rest().await,
        Err(error) => Err(error),
    };
    finish(api, begun, received).await
}

/// The name in `Content-Disposition: attachment; filename="…"`.
fn disposition_name(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::CONTENT_DISPOSITION)?;
    let disposition = header::ContentDisposition::from_raw(value).ok()?;
    let extended = disposition.parameters.iter().find_map(|parameter| match parameter {
        DispositionParam::FilenameExt(name) => String::from_utf8(name.value.clone()).ok(),
        _ => None,
    });
    extended.or_else(|| disposition.get_filename().map(str::to_owned))
}

/// The file in a document.
fn read(body: JsonApiBody) -> Result<(String, String, Vec<u8>), ApiError> {
    let write = Write::parse(&RESOURCE, body.0, Expect::Create)?;
    let checked = write.check(&RESOURCE);
    let mut problems = checked.problems;
    let text = |name: &str| checked.values.get(name).and_then(Value::as_str);
    let name = text("filename").map(file_name).unwrap_or_default();
    if text("filename").is_some() && name.is_empty() {
        problems.push(Problem::attribute("filename", "filename must be the name of a file, without a path."));
    }
    let octets = match text("content").map(|content| STANDARD.decode(content)) {
        Some(Ok(octets)) => octets,
        Some(Err(_)) => {
            problems
                .push(Problem::attribute("content", "content must be the file in base64 (RFC 4648, with padding)."));
            Vec::new()
        }
        None => {
            let detail = "Send the file itself with ?filename=…, or in content as base64.";
            problems.push(Problem::attribute("content", detail).with_code(ProblemCode::Invalid));
            Vec::new()
        }
    };
    let content_type = text("contentType").unwrap_or(UNKNOWN_TYPE).to_owned();
    ApiError::unless_valid(problems)?;
    Ok((name, content_type, octets))
}

async fn begin(api: &Api, caller: &Caller, name: String, content_type: &str) -> Result<Attachment, ApiError> {
    let attachment = Attachment {
        id: 0,
        user_id: caller.id(),
        name,
        content_type: media_type(content_type),
        size: 0,
        created_at: api.store.runtime().clock.now(),
        complete: false,
    };
    Ok(api.store.write(move |work| work.begin_attachment(attachment.clone())).await?)
}

async fn receive(api: &Api, attachment: &Attachment, mut payload: web::Payload) -> Result<u64, ApiError> {
    let mut upload = Upload::of(api, attachment);
    loop {
        let next = tokio::time::timeout(PATIENCE, payload.next()).await.map_err(|_| ApiError::too_slow())?;
        let Some(octets) = next else { return upload.rest().await };
        let octets = octets.map_err(|_| ApiError::malformed_body("The request's body broke off."))?;
        if upload.size + octets.len() as u64 > api.attachment_size {
            return Err(too_large(api));
        }
        upload.take(&octets).await?;
    }
}

/// Makes the attachment whole, or takes back what there is of it.
async fn finish(api: &Api, begun: Attachment, received: Result<u64, ApiError>) -> Result<Attachment, ApiError> {
    match received {
        Ok(size) => Ok(api.store.write(move |work| work.finish_attachment(&begun, size)).await?),
        Err(error) => {
            // What fails here is taken by the sweep.
            let _ = api.store.write(move |work| work.delete_attachment(begun.id)).await;
            Err(error)
        }
    }
}

fn too_large(api: &Api) -> ApiError {
    ApiError::too_large(usize::try_from(api.attachment_size).unwrap_or(usize::MAX))
}

/// Octets on their way into the store: never more than a chunk in memory.
struct Upload<'a> {
    api: &'a Api,
    id: u64,
    number: u32,
    size: u64,
    chunk: Vec<u8>,
}

impl<'a> Upload<'a> {
    fn of(api: &'a Api, attachment: &Attachment) -> Self {
        Self { api, id: attachment.id, number: 0, size: 0, chunk: Vec::new() }
    }

    async fn take(&mut self, mut octets: &[u8]) -> Result<(), ApiError> {
        self.size += octets.len() as u64;
        while !octets.is_empty() {
            let room = ATTACHMENT_CHUNK - self.chunk.len();
            let (now, later) = octets.split_at(octets.len().min(room));
            self.chunk.extend_from_slice(now);
            octets = later;
            if self.chunk.len() == ATTACHMENT_CHUNK {
                self.put().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left; the size of all of it.
    async fn rest(&mut self) -> Result<u64, ApiError> {
        if !self.chunk.is_empty() {
            self.put().await?;
        }
        Ok(self.size)
    }

    async fn put(&mut self) -> Result<(), ApiError> {
        let (id, number, chunk) = (self.id, self.number, std::mem::take(&mut self.chunk));
        self.number += 1;
        Ok(self.api.store.write(move |work| work.put_attachment_chunk(id, number, &chunk)).await?)
    }
}
