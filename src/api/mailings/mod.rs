//! Mailings: list, show, create.

mod create;
mod view;

use super::Api;
use super::caller::Caller;
use super::path::at;
use super::shown::{answer_list, answer_show};
use crate::domain::mailing::{Mailing, RESOURCE};
use crate::jsonapi::{ApiError, path_id};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/mailings").get(list).post(create::create)).service(at("/mailings/{id}").get(show));
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
