//! Recipients: list, show, create. Each belongs to one mailing; one that no mailing names is forgotten after a day.

use super::Api;
use super::caller::Caller;
use super::idempotency::Once;
use super::path::at;
use super::shown::{Shows, View, list_all, own_mailboxes, request_of, sees_mailbox, show_one};
use crate::domain::address::md5_hash;
use crate::domain::check::presets;
use crate::domain::list::{Filter, Scalar, Test};
use crate::domain::mailing::RecipientKind;
use crate::domain::problem::Problem;
use crate::domain::recipient::{RESOURCE, RecipientRecord};
use crate::domain::resource::Resource;
use crate::domain::user::{Role, User};
use crate::jsonapi::{ApiError, Expect, JsonApiBody, Permissions, Purpose, Write};
use crate::store::{Reader, StoreError, get};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/recipients").get(list_all::<RecipientRecord>).post(create))
        .service(at("/recipients/{id}").get(show_one::<RecipientRecord>));
}

impl Shows for RecipientRecord {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
        match self.mailbox_id {
            Some(mailbox) => sees_mailbox(caller, reader, mailbox),
            None => Ok(caller.user().may_see(self.creator_id)),
        }
    }

    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
        let Some(Filter { test: Test::OneOf(mailboxes), .. }) = own_mailboxes(caller, reader)? else { return Ok(None) };
        let number = |id: &Scalar| if let Scalar::Integer(id) = id { u64::try_from(*id).ok() } else { None };
        let mut scopes: Vec<Scalar> =
            mailboxes.iter().filter_map(number).map(RecipientRecord::scope_of_mailbox).collect();
        scopes.push(RecipientRecord::scope_of_maker(caller.id()));
        Ok(Some(Filter { field: "scope".into(), test: Test::OneOf(scopes) }))
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let shown = json!({
            "createdAt": self.created_at,
            "emailHash": md5_hash(&self.address),
            "primary": self.primary,
            "recipientType": self.kind.name(),
            "updatedAt": self.updated_at,
            "value": self.address,
        });
        Ok(shown.as_object().cloned().unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("mailing", self.mailing_id), ("prospect", self.prospect_id), ("user", self.user_id)])
    }

    fn permissions(&self, _: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(false) })
    }
}

async fn create(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    if caller.user().role == Role::Viewer {
        return Err(ApiError::forbidden("A viewer cannot create recipients."));
    }
    let once = Once::begin(&api, &caller, &request, &body)?;
    if let Some(answer) = once.answered(&api)? {
        return Ok(answer);
    }
    let write = Write::parse(&RESOURCE, body.0, Expect::Create)?;
    let mut checked = write.check(&RESOURCE);
    let related = |name: &str| write.relationships.get(name).copied().flatten();
    if let Some(user) = related("user")
        && get::<User>(&api.store.read()?, user)?.is_none()
    {
        checked.problems.push(Problem::relationship("user", format!("There is no user {user}.")));
    }
    ApiError::unless_valid(checked.problems)?;
    let mut values = presets(&RESOURCE);
    values.extend(checked.values);
    let text = |name: &str| values.get(name).and_then(Value::as_str);
    let now = api.store.runtime().clock.now();
    let recipient = RecipientRecord {
        id: 0,
        mailing_id: None,
        mailbox_id: None,
        creator_id: caller.id(),
        created_at: now,
        updated_at: now,
        kind: text("recipientType").and_then(RecipientKind::from_name).unwrap_or(RecipientKind::To),
        address: text("value").unwrap_or_default().to_owned(),
        primary: values.get("primary").and_then(Value::as_bool).unwrap_or(false),
        prospect_id: related("prospect"),
        user_id: related("user"),
    };
    let view = View { api: api.clone(), caller, wanted };
    let shown = view.clone();
    let made = api
        .store
        .write(move |work| {
            once.make(
                work,
                |work| Ok(work.create_recipient(recipient.clone())?),
                |work, recipient| Ok(shown.created(work, recipient)?),
            )
        })
        .await?;
    made.respond(|recipient| Ok(view.created(&api.store.read()?, recipient)?))
}
