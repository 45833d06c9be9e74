//! A file on its way in: as the body of a request, chunk by chunk, or in a document; once for an `Idempotency-Key`.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::failure::Refusal;
use crate::api::idempotency::{Made, Once, Reading};
use crate::api::shown::View;
use crate::domain::attachment::{Attachment, NAME_LENGTH, RESOURCE, UNKNOWN_TYPE, file_name, media_type};
use crate::domain::check::breaks_a_line;
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::user::Role;
use crate::jsonapi::{ApiError, ErrorObject, Expect, JsonApiBody, ListRequest, Purpose, Rules, Write};
use crate::store::ATTACHMENT_CHUNK;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, DispositionParam};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde_json::Value;
use std::time::Duration;

/// How long the next octets of an upload may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn create(
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
    let view = View { api, caller, wanted };
    match name {
        Some(name) => as_it_is(&view, &request, &name, payload).await,
        None => in_a_document(&view, &request, payload).await,
    }
}

/// The body is the file.
async fn as_it_is(
    view: &View,
    request: &HttpRequest,
    given: &str,
    mut payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (api, caller) = (&view.api, &view.caller);
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
    let content_type = text(header::CONTENT_TYPE).unwrap_or(UNKNOWN_TYPE);
    let mut reading = Reading::begin(api, caller, request, &[&name, content_type])?;
    if reading.was_answered(api)? {
        // The file is read only to see whether it is the same one.
        let mut size = 0;
        while let Some(octets) = next(api, &mut payload, &mut size).await? {
            reading.see(&octets);
        }
        // An answer that has expired meanwhile is that of a request that took too long.
        return reading.end().answered(api)?.ok_or_else(ApiError::too_slow);
    }
    let begun = begin(api, caller, name, content_type).await?;
    let received = receive(api, &begun, payload, &mut reading).await;
    finish(view, begun, received, reading.end()).await
}

/// The body is a document with the file in it.
async fn in_a_document(view: &View, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    let (api, caller) = (&view.api, &view.caller);
    let body = JsonApiBody::from_request(request, &mut payload.into_inner()).await.map_err(|error| {
        if error.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return error;
        }
        let detail = "To send the file itself, name it: add ?filename=… to the path. A document with the file in it is \
                      sent as application/vnd.api+json.";
        ApiError::unsupported_media_type(detail)
    })?;
    let once = Once::begin(api, caller, request, &body)?;
    if let Some(answer) = once.answered(api)? {
        return Ok(answer);
    }
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
    finish(view, begun, received, once).await
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

/// The next octets of the body; `None` at its end.
async fn next(api: &Api, payload: &mut web::Payload, size: &mut u64) -> Result<Option<web::Bytes>, ApiError> {
    let next = tokio::time::timeout(PATIENCE, payload.next()).await.map_err(|_| ApiError::too_slow())?;
    let Some(octets) = next else { return Ok(None) };
    let octets = octets.map_err(|_| ApiError::malformed_body("The request's body broke off."))?;
    *size += octets.len() as u64;
    if *size > api.attachment_size { Err(too_large(api)) } else { Ok(Some(octets)) }
}

async fn receive(
    api: &Api,
    attachment: &Attachment,
    mut payload: web::Payload,
    reading: &mut Reading,
) -> Result<u64, ApiError> {
    let mut upload = Upload::of(api, attachment);
    let mut size = 0;
    while let Some(octets) = next(api, &mut payload, &mut size).await? {
        reading.see(&octets);
        upload.take(&octets).await?;
    }
    upload.rest().await
}

/// Makes the attachment whole and answers, or takes back what there is of it.
async fn finish(
    view: &View,
    begun: Attachment,
    received: Result<u64, ApiError>,
    once: Once,
) -> Result<HttpResponse, ApiError> {
    let api = &view.api;
    let id = begun.id;
    let made = match received {
        Ok(size) => {
            let shown = view.clone();
            let make = api.store.write(move |work| {
                once.make(
                    work,
                    |work| Ok(work.finish_attachment(&begun, size)?),
                    |work, attachment| Ok(shown.created(work, attachment)?),
                )
            });
            make.await.map_err(|refusal: Refusal| ApiError::from(refusal))
        }
        Err(error) => Err(error),
    };
    if !matches!(made, Ok(Made::Record(_) | Made::First(_))) {
        // What fails here is taken by the sweep.
        let _ = api.store.write(move |work| work.delete_attachment(id)).await;
    }
    made?.respond(|attachment| Ok(view.created(&api.store.read()?, attachment)?))
}

fn too_large(api: &Api) -> ApiError {
    ApiError::too_large(usize::try_from(api.attachment_size).unwrap_or(usize::MAX), " attachment_size is the limit.")
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
