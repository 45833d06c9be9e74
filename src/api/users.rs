//! Users: who there is. The first administrator is made over the local socket.

use super::Api;
use super::caller::{Caller, is_local_operator};
use super::failure::Refusal;
use super::path::at;
use super::shown::{Shows, list_all, request_of, show, show_one};
use crate::domain::address::Address;
use crate::domain::check::check_value;
use crate::domain::list::{Filter, Test};
use crate::domain::problem::Problem;
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;
use crate::domain::user::{RESOURCE, Role, User};
use crate::jsonapi::{ApiError, Document, Expect, JsonApiBody, Permissions, Purpose, Write, created};
use crate::store::{Reader, StoreError, Work, first_admin, user_by_email};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/users").get(list_all::<User>).post(create)).service(at("/users/{id}").get(show_one::<User>));
}

impl Shows for User {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, _: &impl Reader) -> Result<bool, StoreError> {
        Ok(caller.user().may_see(self.id))
    }

    fn narrowed(caller: &Caller, _: &impl Reader) -> Result<Option<Filter>, StoreError> {
        Ok(caller.sees_only().map(|id| Filter { field: "id".into(), test: Test::OneOf(vec![id.into()]) }))
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let attributes = json!({
            "createdAt": self.created_at,
            "email": self.email,
            "firstName": self.first_name,
            "lastActiveAt": self.last_active_at,
            "lastName": self.last_name,
            "locked": self.locked,
            "name": self.name(),
            "role": self.role,
            "updatedAt": self.updated_at,
            "username": self.email,
        });
        Ok(attributes.as_object().cloned().unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(Vec::new())
    }

    fn permissions(&self, caller: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: caller.is_admin(), can_delete: None })
    }
}

/// Makes the first administrator. Later users have an administrator to make them.
async fn create(api: web::Data<Api>, request: HttpRequest, body: JsonApiBody) -> Result<HttpResponse, ApiError> {
    if !is_local_operator(&request) {
        return Err(ApiError::forbidden(
            "The first user is made on the server itself: postroom setup --email you@example.org",
        ));
    }
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    let write = Write::parse(&RESOURCE, body.0, Expect::Create)?;
    let given = |name: &str| write.attributes().get(name).filter(|value| !value.is_null());
    let email = given("email").and_then(Value::as_str).unwrap_or_default();
    if let Err(problem) = Address::parse(email.trim()) {
        return Err(ApiError::invalid(Problem::attribute("email", format!("email is not a valid address: {problem}"))));
    }
    let mut problems = write.check(&RESOURCE).problems;
    // Read-only once there is a user, they are looked at here alone. They end in the From of mail.
    let [first_name, last_name] = ["firstName", "lastName"].map(|name| {
        let checked = check_value(RESOURCE.attribute(name)?, given(name)?);
        checked.map_err(|problem| problems.push(problem)).ok()?.as_str().map(str::to_owned)
    });
    ApiError::unless_valid(problems)?;
    let user = User { first_name, last_name, ..User::new(email.trim(), Role::Admin, Timestamp::default()) };
    let user = api.store.write(move |work| first_user(work, &user)).await?;
    let snapshot = api.store.read()?;
    let caller = Caller::new(user.clone());
    let object = show(&api, &snapshot, &caller, &user, &wanted)?;
    Ok(created(&api.links.record(RESOURCE.plural, object.id()), &Document::new(object)))
}

fn first_user(work: &mut Work, user: &User) -> Result<User, Refusal> {
    if let Some(admin) = first_admin(work)? {
        return Err(Refusal::Conflict(format!(
            "This instance is set up already; its first administrator is {}.",
            admin.email
        )));
    }
    if user_by_email(work, &user.email)?.is_some() {
        return Err(Refusal::Conflict("A user with this address exists already.".into()));
    }
    let now = work.now();
    Ok(work.create_user(User { created_at: now, updated_at: now, ..user.clone() })?)
}
