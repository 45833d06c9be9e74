//! `testSend`, `testSync`, `testExclusions`, `sync`.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::shown::{show, visible};
use crate::connect::credential::Draft;
use crate::connect::effective::EffectiveSettings;
use crate::connect::live_test::blame;
use crate::domain::address::Address;
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::Failure;
use crate::domain::mailbox::{Mailbox, RESOURCE, Side};
use crate::domain::screening::Screen;
use crate::domain::stages::Stages;
use crate::jsonapi::{ApiError, Document, ErrorObject, ListRequest, Purpose, Rules, ok, path_id};
use crate::send::pardon;
use crate::store::{StoreError, get, screening, status};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::time::Duration;

/// The parameter of `testExclusions`: who else is in the message.
const CORRESPONDENTS: &str = "actionParams[email]";
const MOST_CORRESPONDENTS: usize = 100;

pub(super) async fn act(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (id, verb) = path.into_inner();
    let id = path_id(&RESOURCE, &id)?;
    let mut rules = Rules::new(&RESOURCE, Purpose::Write);
    if verb == "testExclusions" {
        rules = rules.extra(&[CORRESPONDENTS]);
    }
    let wanted = ListRequest::parse(request.query_string(), &rules)?;
    let mailbox: Mailbox = visible(&api.store.read()?, &caller, id)?;
    if verb == "testExclusions" {
        return test_exclusions(&api, &caller, &mailbox, &wanted);
    }
    if !caller.user().may_edit(mailbox.user_id) {
        return Err(ApiError::forbidden("You may read this mailbox but not act on it."));
    }
    let stages = match verb.as_str() {
        "testSend" => Some(test(&api, &caller, &mailbox, Side::Send).await?),
        "testSync" => Some(test(&api, &caller, &mailbox, Side::Sync).await?),
        "sync" => {
            sync(&api, &mailbox)?;
            None
        }
        _ => return Err(ApiError::route_not_found(request.path())),
    };
    let snapshot = api.store.read()?;
    let mut document = Document::new(show(&api, &snapshot, &caller, &mailbox, &wanted)?);
    if let Some(stages) = stages {
        document = document.meta("stages", json!(stages));
    }
    Ok(ok(&document))
}

/// Whether a message between the mailbox and these correspondents would be stored, and why not. Changes nothing, so
/// whoever may see the mailbox may ask.
fn test_exclusions(
    api: &Api,
    caller: &Caller,
    mailbox: &Mailbox,
    wanted: &ListRequest,
) -> Result<HttpResponse, ApiError> {
    let bad = |why: String| ApiError::bad_parameter(CORRESPONDENTS, why);
    let named = wanted.extra.get(CORRESPONDENTS).map(String::as_str).unwrap_or_default();
    let named: Vec<&str> = named.split(',').map(str::trim).filter(|address| !address.is_empty()).collect();
    if named.is_empty() || named.len() > MOST_CORRESPONDENTS {
        return Err(bad(format!("Name 1 to {MOST_CORRESPONDENTS} addresses, separated by commas.")));
    }
    for address in &named {
        Address::parse(address).map_err(|problem| bad(format!("'{address}' is no address: {problem}")))?;
    }
    let snapshot = api.store.read()?;
    let (own, lists) = screening(&snapshot, mailbox)?;
    let verdict = Screen::new(own, &lists).explain(&lists, &named);
    let document = Document::new(show(api, &snapshot, caller, mailbox, wanted)?);
    Ok(ok(&document.meta("exclusions", json!(verdict))))
}

/// Runs a live test of the stored mailbox; a passed one lifts the pause after a failure, and that of all who had met trouble
/// of the same server.
async fn test(api: &Api, caller: &Caller, mailbox: &Mailbox, side: Side) -> Result<Stages, ApiError> {
    let (stages, result) = live_test(api, caller, side, Draft::stored(mailbox)).await?;
    result.map_err(|failure| blamed(&failure, side, &stages))?;
    let (id, generation) = (mailbox.id, mailbox.generation);
    let recovered = match side {
        Side::Send => api.outlook.reached(mailbox, &api.store.moment()),
        Side::Sync => None,
    };
    api.store
        .write(move |work| {
            let others = recovered.iter().flatten().filter(|other| **other != id);
            others.copied().try_for_each(|other| pardon(work, other))?;
            let mut health = status(work, id)?;
            let Some(mailbox) = get::<Mailbox>(work, id)?.filter(|mailbox| mailbox.generation == generation) else {
                return Ok::<_, StoreError>(());
            };
            // It may wait for a server whose trouble another mailbox met.
            if health.side(side).failure.is_some() || recovered.is_some() {
                health.side_mut(side).pardoned(work.now());
                work.put_status(id, &health)?;
                work.touch_mailbox(&mailbox)?;
                let kind = match side {
                    Side::Send => EventKind::MailboxSendRecovered,
                    Side::Sync => EventKind::MailboxSyncRecovered,
                };
                work.event(Event::new(kind, work.now()).mailbox(id).user(mailbox.user_id))?;
            }
            Ok(())
        })
        .await?;
    Ok(stages)
}

/// A staged live test, admitted by the throttle.
pub(super) async fn live_test(
    api: &Api,
    caller: &Caller,
    side: Side,
    draft: Draft<'_>,
) -> Result<(Stages, Result<(), Failure>), ApiError> {
    let _place = api.live_tests.admit(caller.id(), api.store.runtime().clock.now()).await?;
    Ok(api.connector.live_test(side, &draft).await)
}

/// A failed live test as an answer: the attribute to blame, the stage, the server's own line, what to do.
pub(super) fn blamed(failure: &Failure, side: Side, stages: &Stages) -> ApiError {
    let pointer = format!("/data/attributes/{}", blame(failure, side));
    ErrorObject::invalid(
        &pointer,
        format!("The live test failed at the stage {}. {}", failure.stage.name(), failure.explain()),
    )
    .meta("stage", failure.stage.name())
    .meta("code", json!(failure.code))
    .meta("server", json!(failure.server))
    .meta("advice", json!(failure.advice))
    .meta("stages", json!(stages))
    .into()
}

fn sync(api: &Api, mailbox: &Mailbox) -> Result<(), ApiError> {
    let refuse = |pointer: &str, detail: String| Err(ErrorObject::invalid(pointer, detail).into());
    if mailbox.settings.sync_disabled == Some(true) {
        return refuse(
            "/data/attributes/syncDisabled",
            "Syncing is disabled for this mailbox. Set syncDisabled to false first.".into(),
        );
    }
    if let Err(failure) = EffectiveSettings::of(mailbox).sync {
        return refuse(&format!("/data/attributes/{}", blame(&failure, Side::Sync)), failure.explain());
    }
    let Some(engine) = &api.sync else {
        return Err(ApiError::maintenance(Duration::from_secs(10)));
    };
    if engine.sync_now(mailbox.id) { Ok(()) } else { Err(ApiError::busy(Duration::from_secs(1))) }
}
