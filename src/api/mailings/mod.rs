//! Mailings: list, show, create; while not yet sent also edit, delete, cancel and retry.
//!
//! `change.rs` turns a document into what the mailing would be with it, for creates and edits alike, with `texts.rs`,
//! `addressing.rs`, `enclosed.rs` and `thread.rs` for its parts. Whatever races a send is decided in the unit of work
//! that writes.

mod actions;
mod addressing;
mod change;
mod create;
mod edit;
mod enclosed;
mod texts;
mod thread;
mod view;

use super::Api;
use super::caller::Caller;
use super::path::at;
use super::shown::{answer_list, answer_show};
use crate::domain::mailing::{Mailing, RESOURCE};
use crate::jsonapi::{ApiError, path_id};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/mailings").get(list).post(create::create))
        .service(at("/mailings/{id}").get(show).patch(edit::update).delete(edit::delete))
        .service(at("/mailings/{id}/actions/{verb}").post(actions::act));
}

async fn list(api: web::Data<Api>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer_list::<Mailing>(&api, &caller, &request)
}

async fn show(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    answer_show::<Mailing>(&api, &caller, &request, path_id(&RESOURCE, &id)?)
}
