//! What clients ask to see whether a connection works.

use super::Api;
use super::caller::Caller;
use super::path::at;
use crate::domain::org_settings::OrgSettings;
use crate::jsonapi::{ApiError, ok};
use actix_web::{HttpResponse, web};
use serde_json::json;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("").get(identity))
        .service(at("/").get(identity))
        .service(at("/stages").get(empty))
        .service(at("/accounts").get(empty));
}

/// Who the caller is, and whose mail this is. An instance serves one organisation, known by the host it is reached at.
async fn identity(api: web::Data<Api>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let user = caller.user();
    Ok(ok(&json!({
        "meta": {
            "org": {"id": OrgSettings::ID, "name": organisation(api.links.origin())},
            "user": {
                "id": user.id, "email": user.email, "firstName": user.first_name, "lastName": user.last_name,
                "name": user.name(), "role": user.role,
            },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "links": {"self": api.links.to(""), "mailboxes": api.links.to("mailboxes"), "mailings": api.links.to("mailings"), "messages": api.links.to("messages")},
    })))
}

/// The host of an origin.
fn organisation(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// Resources of a CRM that an appliance has none of.
async fn empty(_: Caller) -> Result<HttpResponse, ApiError> {
    Ok(ok(&json!({"data": [], "meta": {"count": 0, "count_truncated": false}, "links": {}})))
}
