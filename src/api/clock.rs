//! The clock of the machine, as far as sending depends on it: a wall clock before the last commit holds all sending,
//! until it is right or an administrator says that it is.

use super::Api;
use super::caller::Caller;
use super::path::at;
use crate::domain::limits::Moment;
use crate::jsonapi::{ApiError, ok};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/clock").get(show)).service(at("/clock/actions/accept").post(accept));
}

/// What the clock shows, and what speaks against it.
async fn show(api: web::Data<Api>, _: Caller) -> Result<HttpResponse, ApiError> {
    Ok(ok(&document(&api.store.moment(), None)))
}

/// Takes the clock for right. It moves no limit: they go on as if no time had passed since the last commit.
async fn accept(api: web::Data<Api>, caller: Caller) -> Result<HttpResponse, ApiError> {
    if !caller.is_admin() {
        return Err(ApiError::forbidden("Only an administrator may take the clock for right."));
    }
    let accepted = api.store.accept_the_clock().await?;
    if accepted {
        tracing::warn!(user = caller.id(), "the clock was taken for right; sending goes on");
    }
    Ok(ok(&document(&api.store.moment(), Some(accepted))))
}

fn document(moment: &Moment, accepted: Option<bool>) -> Value {
    let mut clock = json!({
        "now": moment.now, "right": moment.behind.is_none(), "lastRecordedAt": moment.behind, "reason": moment.fault(),
    });
    if let Some(accepted) = accepted {
        clock["accepted"] = accepted.into();
    }
    json!({"meta": {"clock": clock}})
}
