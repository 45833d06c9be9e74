//! Every error that the API answers with, and how it looks on the wire.

use super::response::MEDIA_TYPE;
use crate::domain::problem::{Place, Problem, ProblemCode};
use crate::domain::resource::Resource;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// How many error objects one answer carries at most; `meta.omitted` of the last one counts the others.
const SHOWN_ERRORS: usize = 100;
/// How many characters of a client's own words an error repeats.
const ECHO: usize = 80;

/// Where in the request the trouble is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A JSON Pointer (RFC 6901) into the body.
    Pointer(String),
    /// The name of a query parameter.
    Parameter(String),
    /// The name of a request header.
    Header(&'static str),
}

impl Source {
    fn of(place: &Place) -> Self {
        Self::Pointer(match place {
            Place::Attribute(name) => format!("/data/attributes/{}", escaped(name)),
            Place::Member(name, member) => format!("/data/attributes/{}/{}", escaped(name), escaped(member)),
            Place::Relationship(name) => format!("/data/relationships/{}", escaped(name)),
            Place::Document => "/data".to_owned(),
        })
    }

    pub fn pointer(pointer: &str) -> Self {
        Self::Pointer(pointer.to_owned())
    }

    pub fn parameter(name: &str) -> Self {
        Self::Parameter(clean(name))
    }
}

/// One error object (JSON:API 1.0, "Error Objects"). `id` is the machine code, as the Outreach API has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorObject {
    #[serde(serialize_with = "status_text")]
    pub status: StatusCode,
    pub id: &'static str,
    pub title: &'static str,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn status_text<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_str())
}

impl ErrorObject {
    pub fn new(status: StatusCode, id: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, id, title, detail: detail.into(), source: None, meta: None }
    }

    #[must_use]
    pub fn at(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    #[must_use]
    pub fn meta(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.meta.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }

    /// 400: a query parameter is unknown or says something that cannot be.
    pub fn bad_parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "badParameter", "Bad Parameter", detail).at(Source::parameter(name))
    }

    /// 409: the document speaks of another type or record than the path.
    pub fn conflict(pointer: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail).at(Source::pointer(pointer))
    }

    /// 422 at a place of the document that is no attribute and no relationship.
    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validationError", "Validation Error", detail)
            .at(Source::pointer(pointer))
    }
}

impl From<Problem> for ErrorObject {
    fn from(problem: Problem) -> Self {
        let (id, title) = match problem.code {
            ProblemCode::Invalid => ("validationError", "Validation Error"),
            ProblemCode::TooLong => ("validationDataTooLongError", "Validation Data Too Long Error"),
            ProblemCode::Duplicate => ("validationDuplicateValueError", "Validation Duplicate Value Error"),
        };
        let source = Source::of(&problem.place);
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, id, title, problem.detail).at(source)
    }
}

/// A refused request: a status, at least one error object, and the headers that the status asks for.
///
/// Prints as its details; carries no value of a request's body beyond what a [`Problem`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    errors: Vec<ErrorObject>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<ErrorObject> for ApiError {
    fn from(error: ErrorObject) -> Self {
        Self { status: error.status, errors: vec![error], headers: Vec::new() }
    }
}

impl ApiError {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// At least one.
    pub fn errors(&self) -> &[ErrorObject] {
        &self.errors
    }

    /// Adds a header to the answer; a value that no header can carry is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// All of them in one answer, or `Ok` if there are none. The status is that of the first error that is not a 422.
    pub fn unless_empty(errors: Vec<ErrorObject>) -> Result<(), Self> {
        let Some(first) = errors.first() else { return Ok(()) };
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let status = errors.iter().map(|error| error.status).find(|status| *status != unprocessable);
        let mut error = Self { status: status.unwrap_or(first.status), errors, headers: Vec::new() };
        let omitted = error.errors.len().saturating_sub(SHOWN_ERRORS);
        error.errors.truncate(SHOWN_ERRORS);
        if omitted > 0
            && let Some(last) = error.errors.pop()
        {
            error.errors.push(last.meta("omitted", omitted));
        }
        Err(error)
    }

    /// 422 for every problem, or `Ok` if there are none.
    pub fn unless_valid(problems: Vec<Problem>) -> Result<(), Self> {
        Self::unless_empty(problems.into_iter().map(ErrorObject::from).collect())
    }

    /// 422 for one problem.
    pub fn invalid(problem: Problem) -> Self {
        ErrorObject::from(problem).into()
    }

    /// 400: a query parameter is unknown or says something that cannot be.
    pub fn bad_parameter(name: &str, detail: impl Into<String>) -> Self {
        ErrorObject::bad_parameter(name, detail).into()
    }

    /// 400: the body is no JSON, or JSON beyond bounds. `detail` must not repeat the body.
    pub fn malformed_body(detail: impl Into<String>) -> Self {
        ErrorObject::new(StatusCode::BAD_REQUEST, "malformedRequest", "Malformed Request", detail).into()
    }

    /// 401: there is no token, or none that is known.
    pub fn invalid_access_token() -> Self {
        let detail = "Provide a valid API token: 'Authorization: Bearer <token>'.";
        Self::unauthorized("invalidAccessToken", "Invalid Access Token", detail)
    }

    /// 401: the token was good once.
    pub fn expired_access_token() -> Self {
        Self::unauthorized("expiredAccessToken", "Expired Access Token", "The access token has expired; get a new one.")
    }

    fn unauthorized(id: &'static str, title: &'static str, detail: &str) -> Self {
        Self::from(ErrorObject::new(StatusCode::UNAUTHORIZED, id, title, detail))
            .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"postroom\", error=\"invalid_token\"")
    }

    /// 403: the token lacks a scope such as `mailboxes.read`.
    pub fn missing_scope(scope: &str) -> Self {
        let detail = format!("Your authorization does not include the required scope '{scope}'.");
        ErrorObject::new(StatusCode::FORBIDDEN, "unauthorizedOauthScope", "Unauthorized Oauth Scope", detail).into()
    }

    /// 403: the caller may see this but not do that.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        ErrorObject::new(StatusCode::FORBIDDEN, "unauthorizedRequest", "Unauthorized Request", detail).into()
    }

    /// 404: no such record, or none that the caller may see. `id` as the client wrote it.
    pub fn not_found(resource: &Resource, id: impl fmt::Display) -> Self {
        let detail = format!("Could not find '{}' with ID '{}'.", resource.name, clean(&id.to_string()));
        ErrorObject::new(StatusCode::NOT_FOUND, "resourceNotFound", "Resource Not Found", detail).into()
    }

    /// 404: no such path.
    pub fn route_not_found(path: &str) -> Self {
        let detail = format!("There is nothing at '{}'.", clean(path));
        ErrorObject::new(StatusCode::NOT_FOUND, "routeNotFound", "Route Not Found", detail).into()
    }

    /// 405, with the methods that the path has, for example `["GET", "POST"]`.
    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        let detail = format!("This path answers {allowed}.");
        let id = "methodNotAllowed";
        Self::from(ErrorObject::new(StatusCode::METHOD_NOT_ALLOWED, id, "Method Not Allowed", detail))
            .with_header(header::ALLOW, &allowed)
    }

    /// 408: the body did not arrive in time.
    pub fn too_slow() -> Self {
        let detail = "The request's body did not arrive in time.";
        ErrorObject::new(StatusCode::REQUEST_TIMEOUT, "requestTimeout", "Request Timeout", detail).into()
    }

    /// 409: the state of things does not allow it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        ErrorObject::new(StatusCode::CONFLICT, "conflict", "Conflict", detail).into()
    }

    /// 412: the record is no longer the one that `If-Match` names.
    pub fn precondition_failed() -> Self {
        let detail = "The record has changed since you read it; read it again and repeat the change.";
        let id = "preconditionFailed";
        Self::from(
            ErrorObject::new(StatusCode::PRECONDITION_FAILED, id, "Precondition Failed", detail)
                .at(Source::Header("If-Match")),
        )
    }

    /// 413, with the limit in octets.
    pub fn too_large(limit: usize, advice: &str) -> Self {
        let detail = format!("The request's body is larger than {limit} octets.{advice}");
        ErrorObject::new(StatusCode::PAYLOAD_TOO_LARGE, "payloadTooLarge", "Payload Too Large", detail).into()
    }

    /// 415.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        let (status, id) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupportedMediaType");
        ErrorObject::new(status, id, "Unsupported Media Type", detail).at(Source::Header("Content-Type")).into()
    }

    /// 429.
    pub fn rate_limited(retry_after: Duration) -> Self {
        let detail = "Too many requests; wait as long as Retry-After says.";
        Self::from(ErrorObject::new(StatusCode::TOO_MANY_REQUESTS, "rateLimitExceeded", "Rate Limit Exceeded", detail))
            .retry_after(retry_after)
    }

    /// 500. What happened belongs in the log and never in an answer, so there is nothing to say here.
    pub fn internal() -> Self {
        let detail = "Something went wrong on our side; the log says what.";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ErrorObject::new(status, "internalServerError", "Internal Server Error", detail).into()
    }

    /// 503 while the server starts, stops or is being looked after.
    pub fn maintenance(retry_after: Duration) -> Self {
        let detail = "The server is starting, stopping or under maintenance; try again shortly.";
        let (status, id) = (StatusCode::SERVICE_UNAVAILABLE, "scheduledServerMaintenance");
        Self::from(ErrorObject::new(status, id, "Scheduled Server Maintenance", detail)).retry_after(retry_after)
    }

    /// 503 while there is more to do than can be done.
    pub fn busy(retry_after: Duration) -> Self {
        let detail = "The server has more to do than it can; try again shortly.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::from(ErrorObject::new(status, "serviceUnavailable", "Service Unavailable", detail))
            .retry_after(retry_after)
    }

    /// 507: too little disk space is left.
    pub fn out_of_storage() -> Self {
        let detail = "The server's disk is nearly full; nothing was saved. Try again once its operator has made room.";
        let status = StatusCode::INSUFFICIENT_STORAGE;
        ErrorObject::new(status, "insufficientStorage", "Insufficient Storage", detail).into()
    }

    /// Whole seconds, rounded up: a client that waits exactly as told must not come too early.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, &seconds.max(1).to_string())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&error.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.content_type(MEDIA_TYPE);
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.body(json!({ "errors": self.errors }).to_string())
    }
}

/// A client's own words, fit to be repeated: bounded, without control characters and marks that reorder text.
pub fn clean(text: &str) -> String {
    let hidden = |letter: &char| {
        letter.is_control()
            || matches!(letter, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
    };
    let mut letters = text.chars().filter(|letter| !hidden(letter));
    let mut shown: String = letters.by_ref().take(ECHO).collect();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// One reference token of a JSON Pointer (RFC 6901 §3).
fn escaped(name: &str) -> String {
    clean(name).replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
