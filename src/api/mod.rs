//! The JSON:API: one file (or folder) per resource, on top of `jsonapi`'s protocol.
//!
//! * [`caller`] finds out who is calling and is the only way to a user; what the caller may not see does not exist.
//! * A handler parses and validates, runs one unit of work, and shows the result; it holds no rule of the field.
//! * The engines are reached through small handles only: sync now, live tests.
//!
//! Uses everything below it; `app` mounts it.

mod attachments;
pub mod caller;
mod clock;
mod failure;
mod idempotency;
mod live_tests;
mod mail_aliases;
mod mailboxes;
mod mailings;
mod messages;
mod octets;
mod org_settings;
mod path;
pub mod rate_limit;
mod recipients;
mod root;
mod shown;
mod suppressions;
mod threads;
mod tokens;
mod users;

use crate::connect::Connector;
use crate::jsonapi::{ApiError, BodyLimit, Links};
use crate::send::outlook::Outlook;
use crate::store::Store;
use crate::sync::SyncHandle;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use rate_limit::{Counted, RateLimit};

/// What the handlers share.
pub struct Api {
    pub store: Store,
    pub links: Links,
    pub connector: Connector,
    /// `None` while no engine runs (a command that opened the store itself).
    pub sync: Option<SyncHandle>,
    /// What the gate of sending knows beside the store, to explain what waits.
    pub outlook: Outlook,
    pub live_tests: live_tests::Throttle,
    pub rate_limit: RateLimit,
    /// Creates under way that carry an `Idempotency-Key`.
    pub creates: idempotency::UnderWay,
    /// The largest attachment, and the most that a mailing's attachments have together, in octets.
    pub attachment_size: u64,
    /// Where recipients reach this server; links in mails start with it. Null until an operator says.
    pub public_url: Option<String>,
}

impl Api {
    pub fn new(store: Store, links: Links, connector: Connector, sync: Option<SyncHandle>, outlook: Outlook) -> Self {
        let defaults = crate::config::ServerConfig::default();
        Self {
            rate_limit: RateLimit::new(store.runtime().clock.clone(), defaults.requests_per_hour.into()),
            store,
            links,
            connector,
            sync,
            outlook,
            live_tests: live_tests::Throttle::default(),
            creates: idempotency::UnderWay::default(),
            attachment_size: defaults.attachment_size.bytes(),
            public_url: None,
        }
    }
}

/// Requests up to this size are read.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// Mounts every route below `/api/v2`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.app_data(BodyLimit(BODY_LIMIT)).service(
        web::scope("/api/v2")
            .configure(root::routes)
            .configure(users::routes)
            .configure(tokens::routes)
            .configure(mailboxes::routes)
            .configure(mailings::routes)
            .configure(mail_aliases::routes)
            .configure(threads::routes)
            .configure(recipients::routes)
            .configure(attachments::routes)
            .configure(messages::routes)
            .configure(octets::routes)
            .configure(org_settings::routes)
            .configure(clock::routes)
            .configure(suppressions::routes)
            .default_service(web::to(no_route)),
    );
}

/// Adds what every answer carries: the rate limit as counted, and how answers may be used.
pub async fn headers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let counted = response.request().extensions().get::<Counted>().copied();
    if let Some(counted) = counted {
        counted.show(response.headers_mut());
    }
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// What no route answers.
pub async fn no_route(request: HttpRequest, _: Option<caller::Caller>) -> Result<actix_web::HttpResponse, ApiError> {
    Err(ApiError::route_not_found(request.path()))
}
