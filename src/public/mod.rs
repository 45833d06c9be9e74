//! What recipients touch without a login: the opt-out page and its button, open pixels, tracked links.
//!
//! * A token is the whole authority: signed, sealed, for one purpose. What does not open is 404, whatever was wrong.
//! * GET and HEAD change nothing about a recipient's wishes; only POST opts out, as often as it likes.
//! * Answers are server-rendered, without scripts, cookies or redirects but the tracked one, and never cached.
//! * Everything here works without the mailbox and the mailing that a link came from.
//!
//! Uses `store` and what lies below it; mounted by `app`.

mod language;
mod page;
mod tracking;
mod unsubscribe;

use crate::domain::link::{Link, Purpose};
use crate::store::{Store, StoreError, link_keys};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use language::Language;

/// What the handlers share.
pub struct Public {
    store: Store,
    counting: tracking::Bound,
}

impl Public {
    pub fn new(store: Store) -> Self {
        Self { store, counting: tracking::Bound::default() }
    }

    /// The link of a token; `None` for everything that we did not make for this purpose.
    fn link(&self, purpose: Purpose, token: &str) -> Result<Option<Link>, StoreError> {
        Ok(link_keys(&self.store.read()?, self.store.vault())?.open(purpose, token))
    }
}

/// Mounts the public routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/u/{token}")
                .route(web::get().to(unsubscribe::show))
                .route(web::head().to(unsubscribe::show))
                .route(web::post().to(unsubscribe::opt_out))
                .default_service(refuse("GET, HEAD, POST")),
        )
        .service(
            web::resource("/o/{token}.gif")
                .route(web::get().to(tracking::open))
                .route(web::head().to(tracking::open))
                .default_service(refuse("GET, HEAD")),
        )
        .service(
            web::resource("/c/{token}")
                .route(web::get().to(tracking::click))
                .route(web::head().to(tracking::click))
                .default_service(refuse("GET, HEAD")),
        );
}

/// 405, with the methods that the path has.
fn refuse(allowed: &'static str) -> actix_web::Route {
    web::to(move |request: HttpRequest| async move {
        let mut response = page::refusal(&request, StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        response
    })
}

/// What every public answer carries.
fn guarded(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    }
    response
}

/// 503: the store could not be asked.
fn unavailable(request: &HttpRequest, error: &StoreError) -> HttpResponse {
    tracing::error!(%error, "a public link could not be served");
    let mut response = page::refusal(request, StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    response
}
