//! Suppressions: list, show, create, delete; as CSV in `lists.rs`.
//!
//! They hold for the whole organisation. Every user sees them; whoever may send may add one; only an administrator may
//! take one away, as it may be a person's own wish.

mod lists;

use super::Api;
use super::caller::Caller;
use super::idempotency::Once;
use super::path::at;
use super::shown::{Shows, View, list_all, request_of, show_one, visible};
use crate::domain::list::Filter;
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::resource::Resource;
use crate::domain::suppression::{RESOURCE, Reason, Suppression};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;
use crate::jsonapi::{ApiError, Expect, JsonApiBody, Permissions, Purpose, Write, no_content, path_id};
use crate::store::{Reader, StoreError, get, suppression_of};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/suppressions").get(list_all::<Suppression>).post(create))
        .service(at("/suppressions/import").post(lists::import))
        .service(at("/suppressions/export").get(lists::export))
        .service(at("/suppressions/{id}").get(show_one::<Suppression>).delete(delete));
}

impl Shows for Suppression {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, _: &Caller, _: &impl Reader) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn narrowed(_: &Caller, _: &impl Reader) -> Result<Option<Filter>, StoreError> {
        Ok(None)
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let mut shown = json!({
            "createdAt": self.created_at,
            "email": self.email,
            "note": self.note,
            "reason": self.reason,
            "source": self.source,
        });
        Ok(shown.as_object_mut().map(std::mem::take).unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("creator", self.creator_id), ("mailing", self.mailing_id), ("message", self.message_id)])
    }

    fn permissions(&self, caller: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(caller.is_admin()) })
    }
}

async fn create(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    may_add(&caller)?;
    let once = Once::begin(&api, &caller, &request, &body)?;
    if let Some(answer) = once.answered(&api)? {
        return Ok(answer);
    }
    let write = Write::parse(&RESOURCE, body.0, Expect::Create)?;
    let checked = write.check(&RESOURCE);
    ApiError::unless_valid(checked.problems)?;
    let text = |name: &str| checked.values.get(name).and_then(Value::as_str);
    let reason = text("reason").and_then(Reason::from_name).unwrap_or(Reason::Manual);
    let mut suppression = Suppression::new(text("email").unwrap_or_default(), reason, "api", Timestamp::default());
    suppression.note = text("note").map(str::to_owned);
    suppression.creator_id = Some(caller.id());
    let view = View { api: api.clone(), caller, wanted };
    let shown = view.clone();
    let made = api
        .store
        .write(move |work| {
            once.make(
                work,
                |work| {
                    if suppression_of(work, &suppression.email)?.is_some() {
                        let detail = "This address is suppressed already.";
                        return Err(Problem::attribute("email", detail).with_code(ProblemCode::Duplicate).into());
                    }
                    Ok(work.suppress(Suppression { created_at: work.now(), ..suppression.clone() })?.0)
                },
                |work, suppression| Ok(shown.created(work, suppression)?),
            )
        })
        .await?;
    made.respond(|suppression| Ok(view.created(&api.store.read()?, suppression)?))
}

async fn delete(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    visible::<Suppression>(&api.store.read()?, &caller, id)?;
    if !caller.is_admin() {
        return Err(ApiError::forbidden("Only an administrator may remove a suppression."));
    }
    api.store
        .write(move |work| match get::<Suppression>(work, id)? {
            Some(suppression) => Ok(work.delete_suppression(&suppression)?),
            None => Err(ApiError::not_found(&RESOURCE, id)),
        })
        .await?;
    Ok(no_content())
}

fn may_add(caller: &Caller) -> Result<(), ApiError> {
    if caller.user().role == Role::Viewer {
        return Err(ApiError::forbidden("A viewer cannot suppress addresses."));
    }
    Ok(())
}
