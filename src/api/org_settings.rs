//! The settings of the organisation: one record, which every user may read and an administrator may change.

use super::Api;
use super::caller::Caller;
use super::path::at;
use super::shown::{Shows, request_of, show, tagged};
use crate::domain::list::{Count, Filter};
use crate::domain::org_settings::{OrgSettings, RESOURCE};
use crate::domain::resource::Resource;
use crate::jsonapi::{
    ApiError, Document, Expect, JsonApiBody, ListDocument, PageLinks, Permissions, Purpose, Write, etag, ok, path_id,
    require_match,
};
use crate::store::{Reader, StoreError, org_settings};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(at("/orgSettings").get(list)).service(at("/orgSettings/{id}").get(show_one).patch(update));
}

impl Shows for OrgSettings {
    const RESOURCE: &'static Resource = &RESOURCE;

    fn is_visible(&self, _: &Caller, _: &impl Reader) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn narrowed(_: &Caller, _: &impl Reader) -> Result<Option<Filter>, StoreError> {
        Ok(None)
    }

    fn attributes(&self, _: &Api, _: &impl Reader, _: &Caller) -> Result<Map<String, Value>, StoreError> {
        let mut shown = json!({
            "contactExclusions": self.contact_exclusions,
            "prospectEmailExclusions": self.prospect_email_exclusions,
            "sendExclusions": self.send_exclusions,
        });
        Ok(shown.as_object_mut().map(std::mem::take).unwrap_or_default())
    }

    fn related(&self, _: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError> {
        Ok(Vec::new())
    }

    fn permissions(&self, caller: &Caller, _: &impl Reader) -> Result<Permissions, StoreError> {
        Ok(Permissions { can_write: caller.is_admin(), can_delete: Some(false) })
    }

    fn tag(&self) -> Option<String> {
        Some(etag(&(&self.contact_exclusions, &self.prospect_email_exclusions, &self.send_exclusions)))
    }
}

async fn list(api: web::Data<Api>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let wanted = request_of(&request, &RESOURCE, Purpose::Show)?;
    let snapshot = api.store.read()?;
    let object = show(&api, &snapshot, &caller, &org_settings(&snapshot)?, &wanted)?;
    let links = PageLinks { first: api.links.to(RESOURCE.plural), ..PageLinks::default() };
    Ok(ok(&ListDocument::new(vec![object], Some(Count { matches: 1, truncated: false }), links)))
}

async fn show_one(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    the_one(&id)?;
    let wanted = request_of(&request, &RESOURCE, Purpose::Show)?;
    let snapshot = api.store.read()?;
    let settings = org_settings(&snapshot)?;
    let document = Document::new(show(&api, &snapshot, &caller, &settings, &wanted)?);
    Ok(tagged(ok(&document), settings.tag()))
}

async fn update(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    body: JsonApiBody,
) -> Result<HttpResponse, ApiError> {
    the_one(&id)?;
    let wanted = request_of(&request, &RESOURCE, Purpose::Write)?;
    if !caller.is_admin() {
        return Err(ApiError::forbidden("Only an administrator may change the settings of the organisation."));
    }
    let write = Write::parse(&RESOURCE, body.0, Expect::Update(OrgSettings::ID))?;
    let checked = write.check(&RESOURCE);
    let mut problems = checked.problems;
    problems.extend(OrgSettings::default().merged(&checked.values).problems());
    ApiError::unless_valid(problems)?;
    let headers = request.headers().clone();
    let after = api
        .store
        .write(move |work| {
            let before = org_settings(work)?;
            require_match(&headers, &before.tag().unwrap_or_default())?;
            let after = OrgSettings { updated_at: work.now(), ..before.merged(&checked.values) };
            work.save_org_settings(&after)?;
            Ok::<_, ApiError>(after)
        })
        .await?;
    let document = Document::new(show(&api, &api.store.read()?, &caller, &after, &wanted)?);
    Ok(tagged(ok(&document), after.tag()))
}

fn the_one(id: &str) -> Result<(), ApiError> {
    if path_id(&RESOURCE, id)? == OrgSettings::ID { Ok(()) } else { Err(ApiError::not_found(&RESOURCE, id)) }
}
