//! Editing and deleting a mailing that has not been sent. Who wins, the edit or the send, is decided in the unit of work.

use super::change::{Change, Written};
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::failure::Refusal;
use crate::api::shown::{Shows, request_of, show, tagged, visible};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, Mailing, RESOURCE, Unmovable};
use crate::domain::problem::Problem;
use crate::jsonapi::{
    ApiError, Document, Expect, JsonApiBody, ListRequest, Purpose, Write, no_content, ok, path_id, require_match,
};
use crate::store::{Reader, StoreError, Work, content, get};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn update(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    let snapshot = api.store.read()?;
    let before: Mailing = visible(&snapshot, &caller, id)?;
    check_may_edit(&snapshot, &caller, &before)?;
    let write = Write::parse(&RESOURCE, body.0, Expect::Update(id))?;
    before.check_unsent().map_err(refused)?;
    require_match(request.headers(), &before.tag().unwrap_or_default())?;
    let checked = write.check(&RESOURCE);
    let mut problems = checked.problems;
    if write.relationships.get("mailbox").is_some_and(|named| *named != Some(before.mailbox_id)) {
        let detail = "A mailing stays with its mailbox; delete it and create another one.";
        problems.push(Problem::relationship("mailbox", detail));
    }
    let old = content(&snapshot, id)?;
    let written = Written { values: &checked.values, write: &write, mailbox: Some(before.mailbox_id) };
    let change = base(&before, old.clone()).with(&written, &api, &snapshot, &caller, &mut problems)?;
    drop(snapshot);
    if problems.is_empty() {
        let mut would_be = before.clone();
        change.apply(&mut would_be);
        problems = would_be.link_problems(api.public_url.as_deref());
        problems.extend(would_be.placeholder_problems(&change.content));
    }
    ApiError::unless_valid(problems)?;
    let after = api.store.write(move |work| save(work, &before, &old, &change)).await?;
    answer(&api, &caller, &after, &wanted)
}

pub(super) async fn delete(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    let snapshot = api.store.read()?;
    let before: Mailing = visible(&snapshot, &caller, id)?;
    check_may_edit(&snapshot, &caller, &before)?;
    require_match(request.headers(), &before.tag().unwrap_or_default())?;
    let remove = move |work: &mut Work| -> Result<(), Refusal> {
        let Some(mailing) = work.mailing(id)? else { return Err(Refusal::NotFound(&RESOURCE, id)) };
        mailing.check_unsent().map_err(refusal)?;
        if mailing.has_left_in_part() {
            return Err(Refusal::Conflict(
                "A server has taken this mailing for some of its recipients, or may have. It is kept, so that bounces and replies are known for what they are; cancel it, and nobody else gets it.".into(),
            ));
        }
        Ok(work.delete_mailing(&mailing)?)
    };
    api.store.write(remove).await?;
    Ok(no_content())
}

/// What a mailing is before a write says something else.
fn base(mailing: &Mailing, content: Content) -> Change {
    Change {
        content,
        recipients: mailing.recipients.clone(),
        scheduled_at: mailing.scheduled_at,
        track_links: mailing.track_links,
        track_opens: mailing.track_opens,
        include_unsubscribe_link: mailing.include_unsubscribe_link,
        mailing_type: mailing.mailing_type.clone(),
        state: None,
    }
}

fn save(work: &mut Work, read: &Mailing, old: &Content, change: &Change) -> Result<Mailing, Refusal> {
    let Some(before) = work.mailing(read.id)? else { return Err(Refusal::NotFound(&RESOURCE, read.id)) };
    before.check_unsent().map_err(refusal)?;
    if before.revision != read.revision {
        return Err(Refusal::Conflict(
            "The mailing was changed by somebody else in the meantime. Read it again and repeat your change.".into(),
        ));
    }
    let mut after = before.clone();
    change.apply(&mut after);
    let says_else = !says_the_same(&change.content, old) || !goes_out_alike(&after, read);
    // The engine may have noted what became of recipients, and frozen what it composes from, since it was read.
    let current = content(work, before.id)?;
    let mut new = Content { frozen: current.frozen.clone(), ..change.content.clone() };
    if says_else {
        if before.has_left_in_part() {
            return Err(Refusal::Conflict(
                "A server has taken this mailing for some of its recipients, or may have. What it says and who receives it cannot be changed any more; its time and state can.".into(),
            ));
        }
        change.check_still_there(work, Some(before.id))?;
        new.frozen = None;
        for recipient in &mut after.recipients {
            if let Some(now) = before.recipients.iter().find(|other| recipient.id != 0 && other.id == recipient.id) {
                recipient.outcome.clone_from(&now.outcome);
            }
        }
    } else {
        after = before.clone();
    }
    after.crm_ids = change.crm_ids();
    after.ask(change.state, change.scheduled_at, work.now()).map_err(refusal)?;
    if after == before && new == current {
        return Ok(after);
    }
    after.revision += 1;
    after.updated_at = work.now();
    Ok(work.edit_mailing(&before, after, &current, &new)?)
}

/// Whether the message would be the same; what is kept for a CRM does not go out.
fn says_the_same(one: &Content, other: &Content) -> bool {
    let spoken = |content: &Content| Content { kept: serde_json::Map::new(), frozen: None, ..content.clone() };
    spoken(one) == spoken(other)
}

fn goes_out_alike(one: &Mailing, other: &Mailing) -> bool {
    let parts = |mailing: &Mailing| {
        (mailing.track_links, mailing.track_opens, mailing.include_unsubscribe_link, mailing.mailing_type.clone())
    };
    one.recipients == other.recipients && parts(one) == parts(other)
}

/// The same answer as `canWrite`, as far as the caller is concerned.
pub(super) fn check_may_edit(reader: &impl Reader, caller: &Caller, mailing: &Mailing) -> Result<(), ApiError> {
    if may_edit(reader, caller, mailing)? {
        return Ok(());
    }
    Err(ApiError::forbidden("You may read this mailing but not change it."))
}

/// Whoever may edit the mailbox; what is left of a deleted mailbox stays as it is.
pub(super) fn may_edit(reader: &impl Reader, caller: &Caller, mailing: &Mailing) -> Result<bool, StoreError> {
    Ok(get::<Mailbox>(reader, mailing.mailbox_id)?.is_some_and(|mailbox| caller.user().may_edit(mailbox.user_id)))
}

pub(super) fn answer(
    api: &Api,
    caller: &Caller,
    mailing: &Mailing,
    wanted: &ListRequest,
) -> Result<HttpResponse, ApiError> {
    let document = Document::new(show(api, &api.store.read()?, caller, mailing, wanted)?);
    Ok(tagged(ok(&document), mailing.tag()))
}

/// What has moved on is a conflict; a move that there is not is a mistake in the request.
pub(super) fn refusal(why: Unmovable) -> Refusal {
    if why.is_conflict() {
        return Refusal::Conflict(why.to_string());
    }
    let attribute = if why == Unmovable::NoTime { "scheduledAt" } else { "state" };
    Problem::attribute(attribute, why.to_string()).into()
}

fn refused(why: Unmovable) -> ApiError {
    refusal(why).into()
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
