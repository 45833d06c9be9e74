//! Creating a mailing: 201 means that it is on disk, with the Message-ID that it keeps.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::idempotency::Once;
use crate::api::shown::{View, request_of};
use crate::domain::address::{Address, Person};
use crate::domain::check::presets;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, Mailing, RECIPIENTS, RESOURCE, Recipient, RecipientKind, State};
use crate::domain::problem::{Problem, ProblemCode};
use crate::domain::time::Timestamp;
use crate::jsonapi::{ApiError, Expect, JsonApiBody, Purpose, Write};
use crate::runtime::Random;
use crate::store::get;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Attributes of a CRM: kept as given.
const KEPT: &[&str] = &["followUpTaskScheduledAt", "followUpTaskType"];

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
    let recipients = recipients(&values, &mut problems);
    let reply_to = text(&values, "replyTo");
    if let Some(Err(problem)) = reply_to.as_deref().map(Person::parse) {
        problems.push(Problem::attribute("replyTo", format!("replyTo is not a valid address: {problem}")));
    }
    let now = api.store.runtime().clock.now();
    let scheduled_at = text(&values, "scheduledAt").and_then(|text| Timestamp::parse(&text));
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
        mailing_type: text(&values, "mailingType").unwrap_or_else(|| "single".into()),
        message_id: message_id(&mailbox.settings.email, &*api.store.runtime().random),
        recipients,
        attempt: None,
        attempts: Vec::new(),
        doubt_resends: 0,
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
        track_links: values.get("trackLinks").and_then(Value::as_bool).unwrap_or(false),
        track_opens: values.get("trackOpens").and_then(Value::as_bool).unwrap_or(false),
        include_unsubscribe_link: values.get("includeUnsubscribeLink").and_then(Value::as_bool).unwrap_or(false),
    };
    ApiError::unless_valid(mailing.link_problems(api.public_url.as_deref()))?;
    let content = Content {
        subject: text(&values, "subject"),
        html: text(&values, "bodyHtml"),
        text: text(&values, "bodyText"),
        reply_to,
        kept: kept(&values, &write),
        ..Content::default()
    };
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
                    Ok(work.create_mailing(mailing.clone(), &content)?)
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

fn recipients(values: &Map<String, Value>, problems: &mut Vec<Problem>) -> Vec<Recipient> {
    let mut recipients: Vec<Recipient> = Vec::new();
    let mut invalid = false;
    for kind in [RecipientKind::To, RecipientKind::Cc, RecipientKind::Bcc] {
        let given = values.get(kind.name()).and_then(Value::as_array);
        for text in given.into_iter().flatten().filter_map(Value::as_str) {
            match Person::parse(text) {
                Ok(person) => recipients.push(Recipient {
                    kind,
                    name: person.name,
                    address: person.address.as_given().to_owned(),
                    outcome: None,
                }),
                Err(problem) => {
                    invalid = true;
                    let shown: String = text.chars().filter(|character| !character.is_control()).take(80).collect();
                    let detail = format!("'{shown}' is not a valid recipient: {problem}");
                    problems.push(Problem::attribute(kind.name(), detail));
                }
            }
        }
    }
    let judged = [RecipientKind::To, RecipientKind::Cc, RecipientKind::Bcc]
        .iter()
        .any(|kind| problems.iter().any(|problem| problem.place == Problem::attribute(kind.name(), "").place));
    if recipients.is_empty() && !invalid && !judged {
        problems.push(Problem::attribute("to", "A mailing needs at least one recipient in to, cc or bcc."));
    }
    if recipients.len() > RECIPIENTS {
        let detail = format!("A mailing has at most {RECIPIENTS} recipients; this one has {}.", recipients.len());
        problems.push(Problem::attribute("to", detail).with_code(ProblemCode::TooLong));
    }
    recipients
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

fn kept(values: &Map<String, Value>, write: &Write) -> Map<String, Value> {
    let mut kept: Map<String, Value> =
        KEPT.iter().filter_map(|name| Some(((*name).to_owned(), values.get(*name)?.clone()))).collect();
    for (name, id) in &write.relationships {
        if *name != "mailbox"
            && let Some(id) = id
        {
            kept.insert((*name).to_owned(), (*id).into());
        }
    }
    kept
}
