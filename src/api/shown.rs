//! Showing and listing, the same way for every resource: what a resource adds is said by [`Shows`].

use super::Api;
use super::caller::Caller;
use super::mailings::Gates;
use crate::domain::attachment::Attachment;
use crate::domain::list::{Filter, ListQuery, Scalar, Test};
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::Mailing;
use crate::domain::message::Message;
use crate::domain::recipient::RecipientRecord;
use crate::domain::resource::Resource;
use crate::domain::thread::Thread;
use crate::domain::user::User;
use crate::domain::words::{Term, terms};
use crate::jsonapi::{
    ApiError, Document, FieldSet, ListDocument, ListRequest, Permissions, Purpose, ResourceObject, Rules, SEARCH,
    Shown, object, ok, path_id,
};
use crate::store::{Reader, Record, StoreError, get, list};
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

/// Every resource that can be included or narrowed with `fields`.
const RESOURCES: &[&Resource] = &[
    &crate::domain::attachment::RESOURCE,
    &crate::domain::mail_alias::RESOURCE,
    &crate::domain::mailbox::RESOURCE,
    &crate::domain::mailing::RESOURCE,
    &crate::domain::message::RESOURCE,
    &crate::domain::recipient::RESOURCE,
    &crate::domain::suppression::RESOURCE,
    &crate::domain::thread::RESOURCE,
    &crate::domain::user::RESOURCE,
];

/// How a record is shown to a caller.
pub(super) trait Shows: Record {
    const RESOURCE: &'static Resource;

    /// Whether the record exists for the caller.
    fn is_visible(&self, caller: &Caller, reader: &impl Reader) -> Result<bool, StoreError>;

    /// What every list of this caller is narrowed to.
    fn narrowed(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError>;

    /// A filter as the store can answer it, where the client's is not one on a field of the record.
    fn rewritten(filter: Filter, _: &impl Reader, _: &Caller) -> Result<Filter, ApiError> {
        Ok(filter)
    }

    /// The time by which records that were found by their words are sorted, newest first; `None` where none are looked
    /// for.
    const SEARCHED: Option<&'static str> = None;

    /// The records with these words.
    fn found(_: &impl Reader, _: &[Term]) -> Result<Vec<u64>, StoreError> {
        Ok(Vec::new())
    }

    /// The readable attributes.
    fn attributes(&self, api: &Api, reader: &impl Reader, caller: &Caller) -> Result<Map<String, Value>, StoreError>;

    /// The readable attributes of which some are wanted; `None` wants all. What costs much and is not wanted may be left
    /// out, and what the gate said to another record of the same answer holds for this one.
    fn wanted_attributes(
        &self,
        api: &Api,
        reader: &impl Reader,
        caller: &Caller,
        _: Option<&FieldSet>,
        _: &Gates,
    ) -> Result<Map<String, Value>, StoreError> {
        self.attributes(api, reader, caller)
    }

    /// The longest page of a list with these fields; longer ones end there, and their links go on.
    fn page_limit(_: Option<&FieldSet>) -> usize {
        usize::MAX
    }

    /// The other ends of the relationships that show data: one entry of a to-one, one each of a to-many.
    fn related(&self, reader: &impl Reader) -> Result<Vec<(&'static str, Option<u64>)>, StoreError>;

    fn permissions(&self, caller: &Caller, reader: &impl Reader) -> Result<Permissions, StoreError>;

    /// The entity tag of what a client can write, where `If-Match` is honoured.
    fn tag(&self) -> Option<String> {
        None
    }
}

/// The query of a request against a resource.
pub(super) fn request_of(
    request: &HttpRequest,
    resource: &'static Resource,
    purpose: Purpose,
) -> Result<ListRequest, ApiError> {
    ListRequest::parse(request.query_string(), &Rules::new(resource, purpose).others(RESOURCES))
}

/// `GET /{plural}`.
pub(super) fn answer_list<R: Shows>(
    api: &Api,
    caller: &Caller,
    request: &HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let rules = Rules::new(R::RESOURCE, Purpose::List).others(RESOURCES).searched(R::SEARCHED);
    let mut wanted = ListRequest::parse(request.query_string(), &rules)?;
    wanted.list.size = wanted.list.size.min(R::page_limit(wanted.fields(R::RESOURCE.name)));
    if wanted.include.iter().any(|path| path.split('.').any(|step| step == "message")) {
        wanted.list.size = wanted.list.size.min(Message::page_limit(wanted.fields("message")));
    }
    let snapshot = api.store.read()?;
    let links_query = wanted.clone();
    for filter in std::mem::take(&mut wanted.list.filters) {
        wanted.list.filters.push(R::rewritten(filter, &snapshot, caller)?);
    }
    wanted.list.filters.extend(R::narrowed(caller, &snapshot)?);
    if let Some(text) = &wanted.search {
        let terms = terms(text);
        if terms.is_empty() {
            let detail = format!("{SEARCH} has no word to look for: give letters or digits.");
            return Err(ApiError::bad_parameter(SEARCH, detail));
        }
        wanted.list.among = Some(R::found(&snapshot, &terms)?.into());
    }
    let page = list::<R>(&snapshot, &wanted.list)?;
    let answer = Answer::new(api, &snapshot, caller, &wanted);
    let mut objects = Vec::with_capacity(page.items.len());
    for record in &page.items {
        objects.push(answer.show(record)?);
    }
    let links = links_query.page_links(&api.links, R::RESOURCE.plural, &page);
    let mut document = ListDocument::new(objects, page.count, links);
    if !wanted.include.is_empty() {
        let mut included = Vec::new();
        for record in &page.items {
            answer.include(record, &mut included)?;
        }
        document = document.including(included);
    }
    Ok(ok(&document))
}

/// `GET /{plural}/{id}`.
pub(super) fn answer_show<R: Shows>(
    api: &Api,
    caller: &Caller,
    request: &HttpRequest,
    id: u64,
) -> Result<HttpResponse, ApiError> {
    let wanted = request_of(request, R::RESOURCE, Purpose::Show)?;
    let snapshot = api.store.read()?;
    let record = visible::<R>(&snapshot, caller, id)?;
    let answer = Answer::new(api, &snapshot, caller, &wanted);
    let mut document = Document::new(answer.show(&record)?);
    if !wanted.include.is_empty() {
        let mut included = Vec::new();
        answer.include(&record, &mut included)?;
        document = document.including(included);
    }
    Ok(tagged(ok(&document), record.tag()))
}

/// The handler of `GET /{plural}`.
pub(super) async fn list_all<R: Shows>(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    answer_list::<R>(&api, &caller, &request)
}

/// The handler of `GET /{plural}/{id}`.
pub(super) async fn show_one<R: Shows>(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    answer_show::<R>(&api, &caller, &request, path_id(R::RESOURCE, &id)?)
}

/// Adds the entity tag of the record that an answer shows.
pub(super) fn tagged(mut response: HttpResponse, tag: Option<String>) -> HttpResponse {
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The record, if it exists for the caller.
pub(super) fn visible<R: Shows>(reader: &impl Reader, caller: &Caller, id: u64) -> Result<R, ApiError> {
    match get::<R>(reader, id)? {
        Some(record) if record.is_visible(caller, reader)? => Ok(record),
        _ => Err(ApiError::not_found(R::RESOURCE, id)),
    }
}

/// The object of a record as the request wants it.
pub(super) fn show<R: Shows>(
    api: &Api,
    reader: &impl Reader,
    caller: &Caller,
    record: &R,
    wanted: &ListRequest,
) -> Result<ResourceObject, StoreError> {
    Answer::new(api, reader, caller, wanted).show(record)
}

/// How the answer of a create shows what was created, also from inside the unit of work that creates it.
#[derive(Clone)]
pub(super) struct View {
    pub api: web::Data<Api>,
    pub caller: Caller,
    pub wanted: ListRequest,
}

impl View {
    /// Its location and its document.
    pub fn created<R: Shows>(&self, reader: &impl Reader, record: &R) -> Result<(String, Document), StoreError> {
        let object = show(&self.api, reader, &self.caller, record, &self.wanted)?;
        Ok((self.api.links.record(R::RESOURCE.plural, record.id()), Document::new(object)))
    }
}

/// One answer while it is made: all of it shows one state of the store.
struct Answer<'a, S> {
    api: &'a Api,
    reader: &'a S,
    caller: &'a Caller,
    wanted: &'a ListRequest,
    gates: Gates,
}

impl<'a, S: Reader> Answer<'a, S> {
    fn new(api: &'a Api, reader: &'a S, caller: &'a Caller, wanted: &'a ListRequest) -> Self {
        Self { api, reader, caller, wanted, gates: Gates::default() }
    }

    fn show<R: Shows>(&self, record: &R) -> Result<ResourceObject, StoreError> {
        let Self { api, reader, caller, wanted, gates } = self;
        let permissions = if wanted.authorization_meta { Some(record.permissions(caller, *reader)?) } else { None };
        let shown = Shown { links: &api.links, fields: wanted.fields(R::RESOURCE.name), permissions };
        let attributes = record.wanted_attributes(api, *reader, caller, shown.fields, gates)?;
        Ok(object(R::RESOURCE, record.id(), attributes, &record.related(*reader)?, &shown))
    }

    fn include<R: Shows>(&self, record: &R, included: &mut Vec<ResourceObject>) -> Result<(), StoreError> {
        for path in &self.wanted.include {
            let segments: Vec<&str> = path.split('.').collect();
            self.follow(record, &segments, included)?;
        }
        Ok(())
    }

    fn follow<R: Shows>(
        &self,
        record: &R,
        path: &[&str],
        included: &mut Vec<ResourceObject>,
    ) -> Result<(), StoreError> {
        let Some((name, rest)) = path.split_first() else { return Ok(()) };
        let relationship = R::RESOURCE.relationship(name);
        let Some(target) = relationship.map(|relationship| relationship.target) else { return Ok(()) };
        let related = record.related(self.reader)?;
        for id in related.iter().filter(|(relationship, _)| relationship == name).filter_map(|(_, id)| *id) {
            match target {
                "attachment" => self.follow_to::<Attachment>(id, rest, included)?,
                "mailbox" => self.follow_to::<Mailbox>(id, rest, included)?,
                "mailing" => self.follow_to::<Mailing>(id, rest, included)?,
                "message" => self.follow_to::<Message>(id, rest, included)?,
                "thread" => self.follow_to::<Thread>(id, rest, included)?,
                "recipient" => self.follow_to::<RecipientRecord>(id, rest, included)?,
                "user" => self.follow_to::<User>(id, rest, included)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn follow_to<R: Shows>(
        &self,
        id: u64,
        rest: &[&str],
        included: &mut Vec<ResourceObject>,
    ) -> Result<(), StoreError> {
        let Some(record) = get::<R>(self.reader, id)? else { return Ok(()) };
        if !record.is_visible(self.caller, self.reader)? {
            return Ok(());
        }
        included.push(self.show(&record)?);
        self.follow(&record, rest, included)
    }
}

/// The ids of the mailboxes a caller sees, as a filter on `mailbox.id`; `None` sees all.
pub(super) fn own_mailboxes(caller: &Caller, reader: &impl Reader) -> Result<Option<Filter>, StoreError> {
    let Some(owner) = caller.sees_only() else { return Ok(None) };
    let query = ListQuery { count: false, ..ListQuery::all() }
        .and("user.id", Test::OneOf(vec![owner.into()]))
        .size(usize::MAX / 4);
    let ids = list::<Mailbox>(reader, &query)?.items.iter().map(|mailbox| Scalar::from(mailbox.id)).collect();
    Ok(Some(Filter { field: "mailbox.id".into(), test: Test::OneOf(ids) }))
}

/// Whether a caller sees what belongs to a mailbox; what belongs to none any more is for those who see all.
pub(super) fn sees_mailbox(caller: &Caller, reader: &impl Reader, mailbox: u64) -> Result<bool, StoreError> {
    Ok(match get::<Mailbox>(reader, mailbox)? {
        Some(mailbox) => caller.user().may_see(mailbox.user_id),
        None => caller.sees_only().is_none(),
    })
}
