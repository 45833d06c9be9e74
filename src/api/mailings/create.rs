//! Creating a mailing: 201 means that it is on disk, with the Message-ID that it keeps.

use super::change::{Change, Written};
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::idempotency::Once;
use crate::api::shown::{View, request_of};
use crate::domain::address::Address;
use crate::domain::check::presets;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Mailing, RESOURCE, State};
use crate::domain::problem::Problem;
use crate::domain::time::Timestamp;
use crate::jsonapi::{ApiError, Expect, JsonApiBody, Purpose, Write};
use crate::runtime::Random;
use crate::store::get;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};
use std::fmt::Write as _;

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
    let mut values = presets(&RESOURCE);
    values.extend(checked.values);

    let mailbox = mailbox_of(&api, &caller, &write, &mut problems)?;
    let snapshot = api.store.read()?;
    let mailbox_id = mailbox.as_ref().map(|mailbox| mailbox.id);
    let written = Written { values: &values, write: &write, mailbox: mailbox_id };
    let asked = Change::default().with(&written, &api, &snapshot, &caller, &mut problems)?;
    drop(snapshot);
    let now = api.store.runtime().clock.now();
    let scheduled_at = asked.scheduled_at;
    let state = initial_state(text(&values, "state").as_deref(), scheduled_at, now, &mut problems);
    ApiError::unless_valid(problems)?;
    // A missing mailbox is among the problems.
    let Some(mailbox) = mailbox else { return Err(ApiError::internal()) };

    let mailing = Mailing {
        id: 0,
        mailbox_id: mailbox.id,
        user_id: caller.id(),
        mailbox_address: mailbox.settings.email.clone(),
        created_at: now,
        updated_at: now,
        state,
        state_changed_at: now,
        scheduled_at,
        due: state.waits().then(|| scheduled_at.unwrap_or(now)),
        mailing_type: asked.mailing_type.clone(),
        message_id: message_id(&mailbox.settings.email, &*api.store.runtime().random),
        recipients: asked.recipients.clone(),
        attempt: None,
        attempts: Vec::new(),
        doubt_resends: 0,
        stop_resends: 0,
        stops: 0,
        doubted: None,
        doubt: None,
        sent_copy: None,
        size: None,
        retry_at: None,
        retry_count: 0,
        retry_interval: None,
        error_reason: None,
        delivered_at: None,
        opened_at: None,
        open_count: 0,
        clicked_at: None,
        click_count: 0,
        replied_at: None,
        bounced_at: None,
        marked_as_spam_at: None,
        unsubscribed_at: None,
        track_links: asked.track_links,
        track_opens: asked.track_opens,
        asked_at: None,
        revision: 0,
        include_unsubscribe_link: asked.include_unsubscribe_link,
        crm_ids: asked.crm_ids(),
    };
    let mut problems = mailing.link_problems(api.public_url.as_deref());
    problems.extend(mailing.placeholder_problems(&asked.content));
    ApiError::unless_valid(problems)?;
    let view = View { api: api.clone(), caller, wanted };
    let shown = view.clone();
    let made = api
        .store
        .write(move |work| {
            once.make(
                work,
                |work| {
                    if get::<Mailbox>(work, mailing.mailbox_id)?.is_none() {
                        return Err(no_mailbox(mailing.mailbox_id).into());
                    }
                    asked.check_still_there(work, None)?;
                    Ok(work.create_mailing(mailing.clone(), &asked.content)?)
                },
                |work, mailing| Ok(shown.created(work, mailing)?),
            )
        })
        .await?;
    made.respond(|mailing| Ok(view.created(&api.store.read()?, mailing)?))
}

fn text(values: &Map<String, Value>, name: &str) -> Option<String> {
    values.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn no_mailbox(id: u64) -> Problem {
    Problem::relationship("mailbox", format!("There is no mailbox {id}."))
}

/// The mailbox that sends: it has to be one the caller may send through.
fn mailbox_of(
    api: &Api,
    caller: &Caller,
    write: &Write,
    problems: &mut Vec<Problem>,
) -> Result<Option<Mailbox>, ApiError> {
    let Some(id) = write.relationships.get("mailbox").copied().flatten() else {
        if !problems.iter().any(|problem| problem.place == Problem::relationship("mailbox", "").place) {
            problems.push(Problem::relationship("mailbox", "Name the mailbox that is to send this mailing."));
        }
        return Ok(None);
    };
    let found = get::<Mailbox>(&api.store.read()?, id)?.filter(|mailbox| caller.user().may_see(mailbox.user_id));
    match found {
        None => problems.push(no_mailbox(id)),
        Some(mailbox) if !caller.user().may_edit(mailbox.user_id) => {
            problems.push(Problem::relationship("mailbox", "You may read this mailbox but not send through it."));
        }
        Some(mailbox) => return Ok(Some(mailbox)),
    }
    Ok(None)
}

/// The state in which a mailing begins its life.
fn initial_state(
    given: Option<&str>,
    scheduled_at: Option<Timestamp>,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> State {
    let later = scheduled_at.is_some_and(|at| at > now);
    match given.map(State::from_name) {
        None | Some(Some(State::Queued | State::Scheduled)) if later => State::Scheduled,
        None | Some(Some(State::Queued)) => State::Queued,
        Some(Some(State::Scheduled)) if scheduled_at.is_some() => State::Queued,
        Some(Some(State::Scheduled)) => {
            problems.push(Problem::attribute("scheduledAt", "A scheduled mailing needs scheduledAt."));
            State::Scheduled
        }
        Some(Some(state @ (State::Drafted | State::Placeholder))) => state,
        Some(_) => {
            let detail = "A new mailing is drafted, placeholder, scheduled or queued.";
            problems.push(Problem::attribute("state", detail));
            State::Drafted
        }
    }
}

/// 128 random bits at the mailbox's own domain.
fn message_id(mailbox: &str, random: &dyn Random) -> String {
    let mut bits = [0; 16];
    random.fill(&mut bits);
    let left = bits.iter().fold(String::with_capacity(32), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    });
    let domain = Address::parse(mailbox).map(|address| address.domain_ascii().to_owned());
    format!("{left}@{}", domain.as_deref().unwrap_or("localhost"))
}
