//! `Idempotency-Key`: a create that is asked for again with its key gives its first answer and creates nothing.
//!
//! The answer is stored in the unit of work that creates, so a crash leaves both or neither. A key is its user's own, is
//! kept for 24 hours, and stands for one request: with another body it is refused.

use super::Api;
use super::caller::Caller;
use super::failure::Refusal;
use crate::jsonapi::{ApiError, Document, ErrorObject, JsonApiBody, MEDIA_TYPE, Source, created};
use crate::store::{FirstAnswer, Work, first_answer};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use ring::hmac;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const HEADER: &str = "Idempotency-Key";
/// How many characters a key has at most.
const LONGEST: usize = 256;

/// The keys of creates that are under way.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<HashSet<(u64, String)>>>);

impl UnderWay {
    fn keys(&self) -> MutexGuard<'_, HashSet<(u64, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that this request alone works with, until it is dropped.
struct Place {
    all: UnderWay,
    key: (u64, String),
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.keys().remove(&self.key);
    }
}

/// One create, with a key or without.
pub(super) struct Once {
    keyed: Option<(Place, [u8; 32])>,
}

/// A create whose body is seen piece by piece, with a key or without.
pub(super) struct Reading {
    keyed: Option<(Place, hmac::Context)>,
}

impl Reading {
    /// Takes the request's key, if it has one. What it is `about` counts as much as its body. An error if the key is
    /// malformed or already at work.
    pub fn begin(api: &Api, caller: &Caller, request: &HttpRequest, about: &[&str]) -> Result<Self, ApiError> {
        let Some(key) = key_of(request)? else { return Ok(Self { keyed: None }) };
        let key = (caller.id(), key);
        if !api.creates.keys().insert(key.clone()) {
            let detail = "A request with this Idempotency-Key is still being carried out; ask again in a moment.";
            return Err(ErrorObject::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
                .at(Source::Header(HEADER))
                .into());
        }
        let place = Place { all: api.creates.clone(), key };
        Ok(Self { keyed: Some((place, mark(api, request, about))) })
    }

    /// Whether the key has an answer already; whether it is one to this request is known at the end.
    pub fn was_answered(&self, api: &Api) -> Result<bool, ApiError> {
        let Some((place, _)) = &self.keyed else { return Ok(false) };
        let (user, key) = &place.key;
        Ok(first_answer(&api.store.read()?, *user, key, api.store.runtime().clock.now())?.is_some())
    }

    /// The next piece of the body.
    pub fn see(&mut self, octets: &[u8]) {
        if let Some((_, mark)) = &mut self.keyed {
            mark.update(octets);
        }
    }

    /// The body is complete.
    pub fn end(self) -> Once {
        let sealed = |(place, context): (Place, hmac::Context)| {
            let mut mark = [0; 32];
            mark.copy_from_slice(context.sign().as_ref());
            (place, mark)
        };
        Once { keyed: self.keyed.map(sealed) }
    }
}

/// What a create came to.
pub(super) enum Made<R> {
    /// Created, by a request without a key.
    Record(R),
    /// Created, and answered for good.
    First(FirstAnswer),
    /// Created by an earlier request with the same key.
    Again(FirstAnswer),
}

impl Once {
    /// Takes the request's key, if it has one. An error if the key is malformed or already at work.
    pub fn begin(api: &Api, caller: &Caller, request: &HttpRequest, body: &JsonApiBody) -> Result<Self, ApiError> {
        let mut reading = Reading::begin(api, caller, request, &[])?;
        // Members in the order of their names, so that spaces and order in the text do not count.
        if reading.keyed.is_some() {
            reading.see(zeroize::Zeroizing::new(body.0.to_string()).as_bytes());
        }
        Ok(reading.end())
    }

    /// The answer that an earlier request with the key got.
    pub fn answered(&self, api: &Api) -> Result<Option<HttpResponse>, ApiError> {
        let Some((place, mark)) = &self.keyed else { return Ok(None) };
        let (user, key) = &place.key;
        let now = api.store.runtime().clock.now();
        match first_answer(&api.store.read()?, *user, key, now)? {
            Some(answer) if answer.request == *mark => Ok(Some(again(&answer))),
            Some(_) => Err(other_request()),
            None => Ok(None),
        }
    }

    /// To be run inside the unit of work: creates, and keeps the answer with what was created.
    ///
    /// Looks for an answer once more: the unit of a request whose client went away may have been waiting before us.
    pub fn make<R>(
        &self,
        work: &mut Work,
        create: impl FnOnce(&mut Work) -> Result<R, Refusal>,
        answer: impl FnOnce(&Work, &R) -> Result<(String, Document), Refusal>,
    ) -> Result<Made<R>, Refusal> {
        let Some((place, mark)) = &self.keyed else { return create(work).map(Made::Record) };
        let (user, key) = &place.key;
        if let Some(answer) = first_answer(work, *user, key, work.now())? {
            return if answer.request == *mark { Ok(Made::Again(answer)) } else { Err(Refusal::Api(other_request())) };
        }
        let record = create(work)?;
        let (location, document) = answer(work, &record)?;
        let document = serde_json::to_string(&document).map_err(|_| Refusal::Api(ApiError::internal()))?;
        let answer = FirstAnswer { request: *mark, location, document, at: work.now() };
        work.keep_answer(*user, key, &answer)?;
        Ok(Made::First(answer))
    }
}

impl<R> Made<R> {
    /// The response; `answer` makes that of a record which was created without a key.
    pub fn respond(
        self,
        answer: impl FnOnce(&R) -> Result<(String, Document), ApiError>,
    ) -> Result<HttpResponse, ApiError> {
        Ok(match self {
            Self::Record(record) => {
                let (location, document) = answer(&record)?;
                created(&location, &document)
            }
            Self::First(answer) => first(&answer),
            Self::Again(answer) => again(&answer),
        })
    }
}

fn first(answer: &FirstAnswer) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((header::LOCATION, answer.location.as_str()))
        .content_type(MEDIA_TYPE)
        .body(answer.document.clone())
}

fn again(answer: &FirstAnswer) -> HttpResponse {
    let mut response = first(answer);
    let name = header::HeaderName::from_static("idempotency-replayed");
    response.headers_mut().insert(name, header::HeaderValue::from_static("true"));
    response
}

fn key_of(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut given = request.headers().get_all(HEADER);
    let Some(key) = given.next() else { return Ok(None) };
    let key = key.as_bytes();
    if given.next().is_some() || !(1..=LONGEST).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
        let detail = format!("{HEADER} must be one word of 1 to {LONGEST} visible ASCII characters.");
        return Err(ErrorObject::new(StatusCode::BAD_REQUEST, "badParameter", "Bad Parameter", detail)
            .at(Source::Header(HEADER))
            .into());
    }
    Ok(Some(key.iter().copied().map(char::from).collect()))
}

/// The beginning of what is equal for equal requests. Under a key, because a body may hold a password, and a plain hash
/// of it could be searched for by whoever reads the file.
fn mark(api: &Api, request: &HttpRequest, about: &[&str]) -> hmac::Context {
    let key = hmac::Key::new(hmac::HMAC_SHA256, api.store.vault().derive("idempotency").as_slice());
    let mut context = hmac::Context::with_key(&key);
    context.update(request.path().as_bytes());
    context.update(&[0]);
    for word in about {
        context.update(word.as_bytes());
        context.update(&[0]);
    }
    context
}

fn other_request() -> ApiError {
    let detail = "This Idempotency-Key was used for another request; use a new key for a new request.";
    ErrorObject::new(StatusCode::UNPROCESSABLE_ENTITY, "validationError", "Validation Error", detail)
        .at(Source::Header(HEADER))
        .into()
}
