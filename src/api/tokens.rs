//! API tokens: shown once when made, stored as a hash, gone at once when revoked.

use super::Api;
use super::caller::{Caller, token_hash};
use super::path::at;
use super::shown::{Shows, list_all, request_of, show, visible};
use crate::domain::list::{Filter, Test};
use crate::domain::problem::Problem;
use crate::domain::resource::Form;
use crate::domain::resource::{Attribute as A, Relationship as R, Resource};
use crate::domain::time::Timestamp;
use crate::domain::user::{Token, TokenKind, User};
use crate::jsonapi::{
    ApiError, Document, Expect, JsonApiBody, Permissions, Purpose, Write, created, no_content, path_id,
};
use crate::store::{Reader, StoreError, get};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

pub static RESOURCE: Resource = Resource {
    name: "token",
    plural: "tokens",
    attributes: &[
        A::time("createdAt", "When the token was made.").read_only().listed(),
        A::time("expiresAt", "When it stops working; null is never."),
        A::text("name", 255, "What it is for.").form(Form::Line),
    ],
    relationships: &[R::one("user", "user", "For whom it speaks.").writable().filterable()],
    tolerated: &[],
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/tokens").get(list_all::<Token>).post(create)).service(at("/tokens/{id}").delete(revoke));
}

impl Shows for Token {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, _: &impl Reader) -> Result<bool, StoreError> {
        Ok(caller.is_admin() || caller.id() == self.user_id)
    }

    fn narrowed(caller: &Caller, _: &impl Reader) -> Result<Option<Filter>, StoreError> {
        let own = Filter { field: "user.id".into(), test: Test::OneOf(vec![caller.id().into()]) };
        Ok((!caller.is_admin()).then_some(own))
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let attributes = json!({"createdAt": self.created_at, "expiresAt": self.expires_at, "name": self.name});
        Ok(attributes.as_object().cloned().unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("user", Some(self.user_id))])
    }

    fn permissions(&self, _: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(true) })
    }
}

/// Makes a token; `meta.token` of the answer is the only place where it is ever shown.
async fn create(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    let write = Write::parse(&RESOURCE, body.0, Expect::Create)?;
    let checked = write.check(&RESOURCE);
    let mut problems = checked.problems;
    let owner = write.relationships.get("user").copied().flatten().unwrap_or(caller.id());
    if owner != caller.id() && !caller.is_admin() {
        problems.push(Problem::relationship("user", "Only an administrator may make a token for another user."));
    } else if get::<User>(&api.store.read()?, owner)?.is_none() {
        problems.push(Problem::relationship("user", format!("There is no user {owner}.")));
    }
    let now = api.store.runtime().clock.now();
    let text = |name: &str| checked.values.get(name).and_then(Value::as_str);
    let expires_at = text("expiresAt").and_then(Timestamp::parse);
    if expires_at.is_some_and(|at| at <= now) {
        problems.push(Problem::attribute("expiresAt", "expiresAt must lie in the future."));
    }
    ApiError::unless_valid(problems)?;

    let mut bits = [0; 32];
    api.store.runtime().random.fill(&mut bits);
    let secret = format!("prt_{}", URL_SAFE_NO_PAD.encode(bits));
    let token = Token {
        id: 0,
        user_id: owner,
        name: text("name").map(str::to_owned),
        hash: token_hash(&secret),
        created_at: now,
        expires_at,
        kind: TokenKind::Machine,
    };
    let token = api.store.write(move |work| work.create_token(token.clone())).await?;
    let snapshot = api.store.read()?;
    let object = show(&api, &snapshot, &caller, &token, &wanted)?;
    Ok(created(&api.links.record(RESOURCE.plural, object.id()), &Document::new(object).meta("token", secret)))
}

async fn revoke(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    let token: Token = visible(&api.store.read()?, &caller, id)?;
    api.store.write(move |work| work.delete_token(&token)).await?;
    Ok(no_content())
}
