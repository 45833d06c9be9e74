//! Mail aliases: further addresses of a mailbox; list, show, create, delete.

use super::Api;
use super::caller::Caller;
use super::failure::Refusal;
use super::idempotency::Once;
use super::path::at;
use super::shown::{Shows, View, list_all, own_mailboxes, request_of, sees_mailbox, show_one, visible};
use crate::domain::address::md5_hash;
use crate::domain::check::presets;
use crate::domain::list::Filter;
use crate::domain::mail_alias::{MailAlias, RESOURCE};
use crate::domain::mailbox::Mailbox;
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::resource::Resource;
use crate::jsonapi::{ApiError, Expect, JsonApiBody, Permissions, Purpose, Write, no_content, path_id};
use crate::store::{Reader, StoreError, alias_by_email, get, mailbox_by_email};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/mailAliases").get(list_all::<MailAlias>).post(create))
        .service(at("/mailAliases/{id}").get(show_one::<MailAlias>).delete(delete));
}

impl Shows for MailAlias {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
        sees_mailbox(caller, reader, self.mailbox_id)
    }

    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
        own_mailboxes(caller, reader)
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let shown = json!({
            "canSend": self.can_send,
            "createdAt": self.created_at,
            "email": self.email,
            "emailHash": md5_hash(&self.email),
            "updatedAt": self.updated_at,
        });
        Ok(shown.as_object().cloned().unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("mailbox", Some(self.mailbox_id))])
    }

    fn permissions(&self, caller: &Caller, reader: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: false, can_delete: Some(may_edit(self.mailbox_id, caller, reader)?) })
    }
}

fn may_edit(mailbox: u64, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError> {
    Ok(get::<Mailbox>(reader, mailbox)?.is_some_and(|mailbox| caller.user().may_edit(mailbox.user_id)))
}

async fn create(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    let once = Once::begin(&api, &caller, &request, &body)?;
    if let Some(answer) = once.answered(&api)? {
        return Ok(answer);
    }
    let write = Write::parse(&RESOURCE, body.0, Expect::Create)?;
    let checked = write.check(&RESOURCE);
    let mut problems = checked.problems;
    let mut values = presets(&RESOURCE);
    values.extend(checked.values);
    let mailbox_id = write.relationships.get("mailbox").copied().flatten();
    if let Some(problem) = mailbox_problem(mailbox_id, &caller, &api.store.read()?)? {
        problems.push(problem);
    }
    let email = values.get("email").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(problem) = taken(&api.store.read()?, &email)? {
        problems.push(problem);
    }
    ApiError::unless_valid(problems)?;
    let now = api.store.runtime().clock.now();
    let alias = MailAlias {
        id: 0,
        mailbox_id: mailbox_id.unwrap_or_default(),
        email,
        can_send: values.get("canSend").and_then(Value::as_bool).unwrap_or(true),
        created_at: now,
        updated_at: now,
    };
    let view = View { api: api.clone(), caller, wanted };
    let shown = view.clone();
    let made = api
        .store
        .write(move |work| {
            once.make(
                work,
                |work| {
                    if get::<Mailbox>(work, alias.mailbox_id)?.is_none() {
                        return Err(no_mailbox(alias.mailbox_id).into());
                    }
                    if let Some(problem) = taken(work, &alias.email)? {
                        return Err(problem.into());
                    }
                    Ok(work.create_alias(alias.clone())?)
                },
                |work, alias| Ok(shown.created(work, alias)?),
            )
        })
        .await?;
    made.respond(|alias| Ok(view.created(&api.store.read()?, alias)?))
}

/// Mailings that were given the alias before keep it, and fail when their turn comes.
async fn delete(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    let snapshot = api.store.read()?;
    let alias: MailAlias = visible(&snapshot, &caller, id)?;
    if !may_edit(alias.mailbox_id, &caller, &snapshot)? {
        return Err(ApiError::forbidden("You may read this alias but not delete it."));
    }
    drop(snapshot);
    api.store
        .write(move |work| match get::<MailAlias>(work, id)? {
            Some(alias) => Ok(work.delete_alias(&alias)?),
            None => Err(Refusal::NotFound(&RESOURCE, id)),
        })
        .await?;
    Ok(no_content())
}

fn no_mailbox(id: u64) -> Problem {
    Problem::relationship("mailbox", format!("There is no mailbox {id}."))
}

fn mailbox_problem(mailbox: Option<u64>, caller: &Caller, reader: &impl Reader) -> Result<Option<Problem>, StoreError> {
    let Some(id) = mailbox else {
        return Ok(Some(Problem::relationship("mailbox", "Name the mailbox whose address it is.")));
    };
    Ok(match get::<Mailbox>(reader, id)?.filter(|mailbox| caller.user().may_see(mailbox.user_id)) {
        None => Some(no_mailbox(id)),
        Some(mailbox) if !caller.user().may_edit(mailbox.user_id) => {
            Some(Problem::relationship("mailbox", "You may read this mailbox but not change it."))
        }
        Some(_) => None,
    })
}

/// An address is a mailbox's or an alias's, once in the organisation; whose, is not told.
fn taken(reader: &impl Reader, email: &str) -> Result<Option<Problem>, StoreError> {
    if mailbox_by_email(reader, email)?.is_none() && alias_by_email(reader, email)?.is_none() {
        return Ok(None);
    }
    let detail = "A mailbox or an alias with this address exists already.";
    Ok(Some(Problem::attribute("email", detail).with_code(ProblemCode::Duplicate)))
}
