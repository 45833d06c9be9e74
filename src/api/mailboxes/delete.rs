//! Deleting a mailbox: what is queued is cancelled, what is in flight finishes, secrets and cursors go at once and
//! messages soon after; mailings keep their record.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::failure::Refusal;
use crate::api::shown::visible;
use crate::domain::mailbox::{Mailbox, RESOURCE};
use crate::domain::mailing::Trigger;
use crate::jsonapi::{ApiError, no_content, path_id};
use crate::store::{StoreError, Work, get, waiting_mailings};
use actix_web::{HttpResponse, web};

/// Mailings cancelled in one commit.
const BATCH: usize = 500;

pub(super) async fn delete(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = path_id(&RESOURCE, &id)?;
    let mailbox: Mailbox = visible(&api.store.read()?, &caller, id)?;
    if !caller.user().may_edit(mailbox.user_id) {
        return Err(ApiError::forbidden("You may read this mailbox but not delete it."));
    }
    // The last batch is small enough to share the commit that removes the mailbox, so nothing can slip in between.
    while api.store.write(move |work| step(work, id)).await? {}
    Ok(no_content())
}

/// Cancels a batch of what waits; removes the mailbox once that was the last. `true`: there is more to cancel.
fn step(work: &mut Work, id: u64) -> Result<bool, Refusal> {
    let Some(mailbox) = get::<Mailbox>(work, id)? else { return Err(Refusal::NotFound(&RESOURCE, id)) };
    let waiting = waiting_mailings(work, id, BATCH)?;
    for mailing in &waiting {
        cancel(work, *mailing)?;
    }
    if waiting.len() == BATCH {
        return Ok(true);
    }
    work.delete_mailbox(&mailbox)?;
    Ok(false)
}

fn cancel(work: &mut Work, id: u64) -> Result<(), StoreError> {
    let Some(before) = work.mailing(id)? else { return Ok(()) };
    let mut after = before.clone();
    after.error_reason = Some("Cancelled: its mailbox was deleted.".into());
    after.apply(Trigger::Cancel, work.now());
    work.save_mailing(&before, &after)
}
