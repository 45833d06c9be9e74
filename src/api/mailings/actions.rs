//! `cancel` and `retry`. Both can be repeated: what is as wanted already stays as it is.

use super::edit::{answer, check_may_edit, refusal};
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::failure::Refusal;
use crate::api::shown::visible;
use crate::domain::event::EventKind;
use crate::domain::mailing::{Mailing, RESOURCE, Unmovable};
use crate::domain::time::Timestamp;
use crate::jsonapi::{ApiError, ListRequest, Purpose, Rules, path_id};
use crate::store::Work;
use actix_web::{HttpRequest, HttpResponse, web};

type Move = fn(&mut Mailing, Timestamp) -> Result<(), Unmovable>;

pub(super) async fn act(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (id, verb) = path.into_inner();
    let id = path_id(&RESOURCE, &id)?;
    let wanted = ListRequest::parse(request.query_string(), &Rules::new(&RESOURCE, Purpose::Write))?;
    let snapshot = api.store.read()?;
    let mailing: Mailing = visible(&snapshot, &caller, id)?;
    let apply: Move = match verb.as_str() {
        "cancel" => Mailing::cancel,
        "retry" => Mailing::retry,
        _ => return Err(ApiError::route_not_found(request.path())),
    };
    check_may_edit(&snapshot, &caller, &mailing)?;
    drop(snapshot);
    let after = api.store.write(move |work| step(work, id, apply)).await?;
    answer(&api, &caller, &after, &wanted)
}

fn step(work: &mut Work, id: u64, apply: Move) -> Result<Mailing, Refusal> {
    let Some(before) = work.mailing(id)? else { return Err(Refusal::NotFound(&RESOURCE, id)) };
    let mut after = before.clone();
    apply(&mut after, work.now()).map_err(refusal)?;
    if after != before {
        after.revision += 1;
        work.save_mailing(&before, &after)?;
        work.mailing_event(EventKind::MailingUpdated, &after)?;
    }
    Ok(after)
}
