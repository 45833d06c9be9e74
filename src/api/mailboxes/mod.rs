//! Mailboxes: list, show, create, update, delete, the live tests, sync now, effective settings.

mod actions;
mod change;
mod delete;
mod view;
mod write;

use super::Api;
use super::caller::Caller;
use super::path::at;
use super::shown::{list_all, show_one, visible};
use crate::connect::effective::EffectiveSettings;
use crate::domain::mailbox::{Mailbox, RESOURCE};
use crate::jsonapi::{ApiError, ok, path_id};
use actix_web::{HttpResponse, web};
use serde_json::json;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/mailboxes").get(list_all::<Mailbox>).post(write::create))
        .service(at("/mailboxes/{id}").get(show_one::<Mailbox>).patch(write::update).delete(delete::delete))
        .service(at("/mailboxes/{id}/effectiveSettings").get(effective_settings))
        .service(at("/mailboxes/{id}/actions/{verb}").post(actions::act));
}

/// What the workers use, and where each value came from.
async fn effective_settings(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let mailbox: Mailbox = visible(&api.store.read()?, &caller, path_id(&RESOURCE, &id)?)?;
    let settings = EffectiveSettings::of(&mailbox).to_json();
    let link = format!("{}/effectiveSettings", api.links.record(RESOURCE.plural, mailbox.id));
    Ok(ok(&json!({"data": null, "meta": settings, "links": {"self": link}})))
}
