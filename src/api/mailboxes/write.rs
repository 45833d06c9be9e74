//! Creating and editing a mailbox.

use super::actions::{blamed, live_test};
use super::change::{Consequences, consequences, secret_changes, secrets_left_behind, sends_elsewhere, set_reach};
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::failure::Refusal;
use crate::api::idempotency::Once;
use crate::api::shown::{Shows, View, request_of, show, tagged, visible};
use crate::connect::credential::Draft;
use crate::connect::effective::EffectiveSettings;
use crate::domain::check::presets;
use crate::domain::mailbox::{Mailbox, RESOURCE, SecretField, Settings, Side};
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::user::User;
use crate::jsonapi::{
    ApiError, Document, Expect, JsonApiBody, ListRequest, Purpose, Write, ok, path_id, require_match,
};
use crate::store::{Reader, SecretChange, StoreError, Work, alias_by_email, get, mailbox_by_email, status};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

type Secrets = Arc<Vec<(SecretField, SecretChange)>>;

pub(super) async fn create(
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
    let owner = owner_of(&api, &caller, &write, caller.id(), &mut problems)?;
    if !caller.user().may_edit(owner) {
        return Err(ApiError::forbidden("A viewer cannot create mailboxes."));
    }
    let now = api.store.runtime().clock.now();
    let settings =
        merge(&Settings::default().merged(&presets(&RESOURCE)).unwrap_or_default(), &checked.values, &mut problems);
    problems.extend(whole(&settings));
    let mut mailbox = Mailbox {
        id: 0,
        user_id: owner,
        creator_id: caller.id(),
        updater_id: caller.id(),
        created_at: now,
        updated_at: now,
        settings,
        secrets: BTreeMap::new(),
        smtp_reach_private: false,
        imap_reach_private: false,
        generation: 1,
    };
    if !checked.values.contains_key("maxMailingsPerDay") {
        keep_below_the_provider(&mut mailbox);
    }
    set_reach(None, &mut mailbox, caller.is_admin());
    if let Some(problem) = taken(&api.store.read()?, &mailbox.settings.email, None)?
        && !mailbox.settings.email.is_empty()
    {
        problems.push(problem);
    }
    ApiError::unless_valid(problems)?;
    let secrets: Secrets = Arc::new(secret_changes(&checked.values));
    validate(&api, &caller, &mailbox, &secrets, &checked.values).await?;

    let view = View { api: api.clone(), caller, wanted };
    let shown = view.clone();
    let made = api
        .store
        .write(move |work| {
            once.make(
                work,
                |work| {
                    if let Some(problem) = taken(work, &mailbox.settings.email, None)? {
                        return Err(problem.into());
                    }
                    Ok(work.create_mailbox(mailbox.clone(), &secrets)?)
                },
                |work, mailbox| Ok(shown.created(work, mailbox)?),
            )
        })
        .await?;
    made.respond(|mailbox| Ok(view.created(&api.store.read()?, mailbox)?))
}

pub(super) async fn update(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    let before: Mailbox = visible(&api.store.read()?, &caller, id)?;
    if !caller.user().may_edit(before.user_id) {
        return Err(ApiError::forbidden("You may read this mailbox but not edit it."));
    }
    let write = Write::parse(&RESOURCE, body.0, Expect::Update(id))?;
    require_match(request.headers(), &before.tag().unwrap_or_default())?;
    let checked = write.check(&RESOURCE);
    let mut problems = checked.problems;
    let owner = owner_of(&api, &caller, &write, before.user_id, &mut problems)?;
    let settings = merge(&before.settings, &checked.values, &mut problems);
    problems.extend(whole(&settings));
    let secrets: Secrets = Arc::new(secret_changes(&checked.values));
    let mut after = Mailbox { settings, user_id: owner, updater_id: caller.id(), ..before.clone() };
    set_reach(Some(&before), &mut after, caller.is_admin());
    problems.extend(secrets_left_behind(&before, &after, &secrets));
    if let Some(problem) = taken(&api.store.read()?, &after.settings.email, Some(id))? {
        problems.push(problem);
    }
    ApiError::unless_valid(problems)?;
    validate(&api, &caller, &after, &secrets, &checked.values).await?;
    let after = api.store.write(move |work| save(work, &before, &after, &secrets)).await?;
    let document = document(&api, &caller, &after, &wanted)?;
    Ok(tagged(ok(&document), after.tag()))
}

fn save(work: &mut Work, read: &Mailbox, wanted: &Mailbox, secrets: &Secrets) -> Result<Mailbox, Refusal> {
    let Some(before) = get::<Mailbox>(work, read.id)? else { return Err(Refusal::NotFound(&RESOURCE, read.id)) };
    // The rules were checked against what was read; a change in between has to be looked at again.
    if before.settings != read.settings || before.secrets != read.secrets || before.user_id != read.user_id {
        return Err(Refusal::Conflict(
            "The mailbox was changed by somebody else in the meantime. Read it again and repeat your change.".into(),
        ));
    }
    if let Some(problem) = taken(work, &wanted.settings.email, Some(read.id))? {
        return Err(problem.into());
    }
    let Consequences { sending, syncing, other_account } = consequences(&before, wanted, secrets);
    let mut after = Mailbox { updated_at: work.now(), ..wanted.clone() };
    after.generation = before.generation + u64::from(sending || syncing);
    let mut health = status(work, read.id)?;
    if sending {
        health.send.pardoned(work.now());
    }
    if syncing {
        health.sync.pardoned(work.now());
        health.folder_troubles.clear();
    }
    if other_account || sends_elsewhere(&before, wanted) {
        health.files_sent_copies = None;
        health.sent_copies_missed = 0;
    }
    if sending || syncing {
        work.put_status(read.id, &health)?;
    }
    if other_account {
        work.reset_cursors(read.id)?;
    }
    Ok(work.update_mailbox(&before, after, secrets)?)
}

fn document(api: &Api, caller: &Caller, mailbox: &Mailbox, wanted: &ListRequest) -> Result<Document, ApiError> {
    let snapshot = api.store.read()?;
    Ok(Document::new(show(api, &snapshot, caller, mailbox, wanted)?))
}

fn owner_of(
    api: &Api,
    caller: &Caller,
    write: &Write,
    unchanged: u64,
    problems: &mut Vec<Problem>,
) -> Result<u64, ApiError> {
    let owner = match write.relationships.get("user") {
        None => return Ok(unchanged),
        Some(Some(owner)) => *owner,
        Some(None) => {
            problems.push(Problem::relationship("user", "A mailbox has an owner: name one, or leave user out."));
            return Ok(unchanged);
        }
    };
    if owner != unchanged && !caller.is_admin() {
        problems.push(Problem::relationship("user", "Only an administrator may give a mailbox to another user."));
    } else if get::<User>(&api.store.read()?, owner)?.is_none() {
        problems.push(Problem::relationship("user", format!("There is no user {owner}.")));
    }
    Ok(owner)
}

/// Where nothing else was asked for, the daily limit leaves a tenth of what the provider is known to allow to people.
/// No provider names a limit for a week.
fn keep_below_the_provider(mailbox: &mut Mailbox) {
    let Some(preset) = EffectiveSettings::of(mailbox).preset else { return };
    let known = [preset.limits.messages_per_day, preset.limits.recipients_per_day];
    if let Some(known) = known.into_iter().flatten().min() {
        let allowed = known.saturating_mul(9) / 10;
        mailbox.settings.max_mailings_per_day = mailbox.settings.max_mailings_per_day.map(|limit| limit.min(allowed));
    }
}

fn merge(settings: &Settings, values: &Map<String, Value>, problems: &mut Vec<Problem>) -> Settings {
    settings.merged(values).unwrap_or_else(|error| {
        // The declaration's ranges keep this from happening; if one is too wide, say so rather than lose a value.
        problems.push(Problem::attribute("", format!("A value does not fit: {error}.")));
        settings.clone()
    })
}

/// The rules on the settings as a whole.
fn whole(settings: &Settings) -> Vec<Problem> {
    let mut problems = settings.problems();
    if let Some(grant) = settings.auth_id {
        problems.push(Problem::attribute("authId", format!("There is no OAuth grant {grant} that you own.")));
    }
    problems
}

/// An address is a mailbox's or an alias's, once in the organisation; whose, is not told.
fn taken(reader: &impl Reader, email: &str, own: Option<u64>) -> Result<Option<Problem>, StoreError> {
    let by_another = mailbox_by_email(reader, email)?.is_some_and(|found| Some(found.id) != own);
    if !by_another && alias_by_email(reader, email)?.is_none() {
        return Ok(None);
    }
    let detail = "A mailbox or an alias with this address exists already.";
    Ok(Some(Problem::attribute("email", detail).with_code(ProblemCode::Duplicate)))
}

/// `validateSend` and `validateSync`: the write goes through only if the live tests pass.
async fn validate(
    api: &Api,
    caller: &Caller,
    mailbox: &Mailbox,
    secrets: &Secrets,
    values: &Map<String, Value>,
) -> Result<(), ApiError> {
    for (name, side) in [("validateSend", Side::Send), ("validateSync", Side::Sync)] {
        if values.get(name).and_then(Value::as_bool) == Some(true) {
            let (stages, result) = live_test(api, caller, side, Draft::new(mailbox, secrets)).await?;
            if let Err(failure) = result {
                return Err(blamed(&failure, side, &stages));
            }
        }
    }
    Ok(())
}
