//! What a mailbox shows: its settings, and what follows from its health, the gate and the queue.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::shown::Shows;
use crate::connect::effective::EffectiveSettings;
use crate::domain::failure::Failure;
use crate::domain::list::{Filter, Test};
use crate::domain::mailbox::{Mailbox, RESOURCE, Side, SideState, SideStatus, Status};
use crate::domain::mailing::Mailing;
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;
use crate::jsonapi::{Permissions, etag};
use crate::send::gate::{self, Gate, Question, Why, counters};
use crate::store::{Reader, StoreError, due_head, get, status};
use serde_json::{Map, Value, json};

impl Shows for Mailbox {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, caller: &Caller, _: &impl Reader) -> Result<bool, StoreError> {
        Ok(caller.user().may_see(self.user_id))
    }

    fn narrowed(caller: &Caller, _: &impl Reader) -> Result<Option<Filter>, StoreError> {
        let own = |id: u64| Filter { field: "user.id".into(), test: Test::OneOf(vec![id.into()]) };
        Ok(caller.sees_only().map(own))
    }

    fn attributes(&self, api: &Api, reader: &impl Reader, caller: &Caller) -> Result<Map<String, Value>, StoreError> {
        let moment = api.store.moment();
        let now = moment.now;
        let effective = EffectiveSettings::of(self);
        let mut status = status(reader, self.id)?;
        if let Some(polled) = api.sync.as_ref().and_then(|sync| sync.last_success(self.id))
            && status.sync.finished_at.is_none_or(|at| at < polled)
        {
            status.sync.finished_at = Some(polled);
            status.sync.success_at = Some(polled);
        }
        let head = due_head(reader, self.id)?;
        let waiting = head.map(|(due, _)| due);
        // Of the mailing that is next: one to many may have to wait where one to a single person would not.
        let counts_people = effective.preset.is_some_and(|preset| preset.limits.recipients_per_day.is_some());
        let recipients = match head.filter(|_| counts_people) {
            Some((_, id)) => get::<Mailing>(reader, id)?.map_or(1, |next| next.waiting().count()),
            None => 1,
        };
        let recipients = u64::try_from(recipients).unwrap_or(u64::MAX);
        let question = Question { mailbox: self, status: &status, recipients, moment, outlook: &api.outlook };
        let gate = gate::ask(reader, &question)?;
        let counters = counters(reader, &question)?;
        let (send_state, send_reason) =
            send_state(self, &effective, &status, &gate, waiting.is_some_and(|due| due <= now));
        let trouble = api.sync.as_ref().and_then(|sync| sync.server_trouble(self));
        let (sync_state, sync_reason) = sync_state(self, &effective, &status, trouble.map(|(_, reason)| reason));
        let next_send_at = waiting.and_then(|due| match &gate {
            Gate::Go => Some(due.max(now)),
            Gate::NotBefore { at, .. } => Some(due.max(*at)),
            Gate::Hold { .. } => None,
        });
        let Ok(Value::Object(mut shown)) = serde_json::to_value(&self.settings) else {
            return Err(StoreError::Corrupt("settings that cannot be shown".into()));
        };
        let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        set("createdAt", json!(self.created_at));
        set("updatedAt", json!(self.updated_at));
        set("userId", json!(self.user_id));
        set("editable", json!(caller.user().may_edit(self.user_id)));
        set("emailHash", json!(self.email_hash()));
        set("providerId", json!(effective.provider_id));
        set("providerType", json!(effective.provider_type));
        set("lastError", last_error(&status));
        set("nextSendAt", json!(next_send_at));
        set(
            "nextSyncAt",
            json!(if sync_state == SideState::Disabled || sync_state == SideState::NotConfigured {
                None
            } else {
                api.sync.as_ref().and_then(|sync| sync.next(self.id)).or(status.next_sync_at)
            }),
        );
        set("emailsInDay", json!(counters.emails_in_day));
        set("sentInDay", json!(counters.sent_in_day));
        set("sentInWeek", json!(counters.sent_in_week));
        set("sendState", json!(send_state.name()));
        set("sendStateReason", json!(send_reason));
        set("syncFoldersAside", folders_aside(&status));
        set("syncProgress", progress(api, self.id));
        set("syncState", json!(sync_state.name()));
        set("syncStateReason", json!(sync_reason));
        set("sendErroredAt", json!(status.send.errored_at));
        set("sendSuccessAt", json!(status.send.success_at));
        set("sendPermanentErrorAt", json!(status.send.permanent_error_at));
        set("syncErroredAt", json!(status.sync.errored_at));
        set("syncFinishedAt", json!(status.sync.finished_at));
        set("syncSuccessAt", json!(status.sync.success_at));
        set("syncPermanentErrorAt", json!(status.sync.permanent_error_at));
        Ok(shown)
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(vec![("creator", Some(self.creator_id)), ("updater", Some(self.updater_id)), ("user", Some(self.user_id))])
    }

    fn permissions(&self, caller: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        let may = caller.user().may_edit(self.user_id);
        Ok(Permissions { can_write: may, can_delete: Some(may) })
    }

    fn tag(&self) -> Option<String> {
        // The generation stands for the secrets, of which nothing else may show.
        Some(etag(&(&self.settings, self.user_id, self.generation)))
    }
}

/// How far the older mail has come, while it is fetched.
fn progress(api: &Api, mailbox: u64) -> Value {
    let progress = api.sync.as_ref().and_then(|sync| sync.progress(mailbox));
    progress.map_or(Value::Null, |told| json!({"folder": told.folder, "done": told.done, "total": told.total}))
}

/// The folders that the server does not open, once they are left out.
fn folders_aside(status: &Status) -> Value {
    let aside = status.folder_troubles.iter().filter_map(|(folder, trouble)| {
        let again_at = trouble.again_at?;
        Some(json!({"folder": folder, "reason": trouble.reason, "since": trouble.since, "nextTryAt": again_at}))
    });
    aside.collect()
}

fn send_state(
    mailbox: &Mailbox,
    effective: &EffectiveSettings,
    status: &Status,
    gate: &Gate,
    due: bool,
) -> (SideState, Option<String>) {
    if mailbox.settings.send_disabled == Some(true) {
        return (SideState::Disabled, gate.reason().map(str::to_owned));
    }
    if let Some(answer) = unusable(effective, effective.send.as_ref().err(), Side::Send) {
        return answer;
    }
    if let Some(failure) = &status.send.failure {
        return (status.send.state(), Some(failure.explain()));
    }
    match gate.why() {
        Some(Why::Limit) if due => (SideState::Limited, gate.reason().map(str::to_owned)),
        Some(Why::Host) => (SideState::Erroring, gate.reason().map(str::to_owned)),
        Some(Why::Disabled | Why::Settings | Why::Clock | Why::Space) => {
            (SideState::Paused, gate.reason().map(str::to_owned))
        }
        Some(Why::Sync) if due => (SideState::Paused, gate.reason().map(str::to_owned)),
        _ => (SideState::Ok, None),
    }
}

fn sync_state(
    mailbox: &Mailbox,
    effective: &EffectiveSettings,
    status: &Status,
    trouble: Option<String>,
) -> (SideState, Option<String>) {
    if mailbox.settings.sync_disabled == Some(true) {
        return (SideState::Disabled, Some("Syncing is disabled for this mailbox.".into()));
    }
    if let Some(answer) = unusable(effective, effective.sync.as_ref().err(), Side::Sync) {
        return answer;
    }
    match (&status.sync.failure, trouble) {
        (Some(failure), _) => (status.sync.state(), Some(failure.explain())),
        // Another mailbox met it; this one waits for the same server.
        (None, Some(reason)) => (SideState::Erroring, Some(reason)),
        (None, None) => (SideState::Ok, None),
    }
}

/// A side whose settings cannot work: not there at all, or there and wrong.
fn unusable(
    effective: &EffectiveSettings,
    failure: Option<&Failure>,
    side: Side,
) -> Option<(SideState, Option<String>)> {
    let failure = failure?;
    let state = if effective.is_configured(side) { SideState::Paused } else { SideState::NotConfigured };
    Some((state, Some(failure.explain())))
}

/// The failure that stands; of two, the later one.
fn last_error(status: &Status) -> Value {
    let of = |side: Side, status: &SideStatus| -> Option<(Timestamp, Value)> {
        let failure = status.failure.as_ref()?;
        let at = status.errored_at?;
        let shown = json!({
            "side": side.name(),
            "stage": failure.stage.name(),
            "code": failure.code,
            "enhancedCode": failure.enhanced.map(|code| code.to_string()),
            "text": failure.explain(),
            "at": at,
        });
        Some((at, shown))
    };
    [of(Side::Send, &status.send), of(Side::Sync, &status.sync)]
        .into_iter()
        .flatten()
        .max_by_key(|(at, _)| *at)
        .map_or(Value::Null, |(_, shown)| shown)
}
