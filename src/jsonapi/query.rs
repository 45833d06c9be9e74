//! A query string against a resource's declaration: what is wanted, or every complaint at once.

use super::cursor;
use super::document::FieldSet;
use super::error::{ApiError, ErrorObject, clean};
use super::filter;
use super::links::{Links, PageLinks, Pages};
use super::parameters::{Parameters, brackets};
use crate::domain::list::{ListQuery, Listing, Page, SortKey};
use crate::domain::nearest::nearest;
use crate::domain::resource::{Linkage, Relationship, Resource};
use std::collections::BTreeMap;

const SORT_KEYS: usize = 5;
const INCLUDES: usize = 20;
/// The longest include path, in relationships.
const INCLUDE_DEPTH: usize = 4;

/// What the request does, which decides what its query may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everything.
    List,
    /// `fields`, `include`, `provideAuthorizationMeta`.
    Show,
    /// As [`Purpose::Show`], but `include` is not honoured (and not judged).
    Write,
}

/// What a route's query is read against.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub resource: &'static Resource,
    pub purpose: Purpose,
    /// The other resources of the API: the types of `fields[type]` and of what is included.
    pub others: &'a [&'static Resource],
    /// Further parameters of the route by their whole name, for example `actionParams[deliver]`.
    pub extra: &'a [&'a str],
    /// Where `filter[q]` finds records by their words: the time by which the newest of them come first.
    pub searched: Option<&'static str>,
}

/// The parameter that finds records by their words.
pub const SEARCH: &str = "filter[q]";
/// The longest text that is looked for, in characters.
const SEARCH_LIMIT: usize = 500;

impl<'a> Rules<'a> {
    pub const fn new(resource: &'static Resource, purpose: Purpose) -> Self {
        Self { resource, purpose, others: &[], extra: &[], searched: None }
    }

    #[must_use]
    pub const fn others(mut self, others: &'a [&'static Resource]) -> Self {
        self.others = others;
        self
    }

    #[must_use]
    pub const fn extra(mut self, extra: &'a [&'a str]) -> Self {
        self.extra = extra;
        self
    }

    #[must_use]
    pub const fn searched(mut self, newest: Option<&'static str>) -> Self {
        self.searched = newest;
        self
    }

    fn resources(&self) -> impl Iterator<Item = &'static Resource> {
        std::iter::once(self.resource).chain(self.others.iter().copied())
    }
}

/// What a query string asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ListRequest {
    pub list: ListQuery,
    /// Dotted paths of relationships that show data, each once.
    pub include: Vec<String>,
    /// `provideAuthorizationMeta=true`.
    pub authorization_meta: bool,
    /// `newFilterSyntax=true`.
    pub new_filter_syntax: bool,
    /// What the records are looked for by: words of theirs.
    pub search: Option<String>,
    /// The values of the route's further parameters by their whole name.
    pub extra: BTreeMap<String, String>,
    fields: BTreeMap<&'static str, FieldSet>,
    resource: &'static str,
    parameters: Vec<(String, String)>,
    old_style: bool,
}

impl ListRequest {
    /// Reads the raw query string, without its `?`.
    pub fn parse(raw: &str, rules: &Rules<'_>) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let given = Parameters::parse(raw, &mut errors);
        let request = Reader { rules, given: &given, errors: &mut errors }.read();
        ApiError::unless_empty(errors).map(|()| request)
    }

    /// The fields wanted of a type; `None` is all of them.
    pub fn fields(&self, kind: &str) -> Option<&FieldSet> {
        self.fields.get(kind)
    }

    /// The links of an answer; `path` follows `/api/v2/`, for example `mailboxes`.
    pub fn page_links<T>(&self, links: &Links, path: &str, listing: &Listing<T>) -> PageLinks {
        let matches = listing.count.filter(|count| !count.truncated).map(|count| count.matches);
        let pages = Pages {
            base: links.to(path),
            parameters: &self.parameters,
            resource: self.resource,
            query: &self.list,
            old_style: self.old_style,
        };
        pages.links(listing.next.as_ref(), listing.prev.as_ref(), matches)
    }
}

struct Reader<'r> {
    rules: &'r Rules<'r>,
    given: &'r Parameters,
    errors: &'r mut Vec<ErrorObject>,
}

impl Reader<'_> {
    fn read(&mut self) -> ListRequest {
        let resource = self.rules.resource;
        let mut request = ListRequest {
            list: ListQuery::all(),
            include: Vec::new(),
            authorization_meta: false,
            new_filter_syntax: self.given.get("newFilterSyntax") == Some("true"),
            search: None,
            extra: BTreeMap::new(),
            fields: BTreeMap::new(),
            resource: resource.name,
            parameters: Vec::new(),
            old_style: false,
        };
        let mut filters = filter::Filters::new(resource, request.new_filter_syntax);
        for (name, value) in self.given.iter() {
            if self.rules.extra.contains(&name) {
                request.extra.insert(name.to_owned(), value.to_owned());
                continue;
            }
            let listing = self.rules.purpose == Purpose::List;
            let (base, path) = brackets(name).unwrap_or((name, Vec::new()));
            match (base, path.as_slice()) {
                ("filter", ["q"]) if listing && self.rules.searched.is_some() => request.search = self.search(value),
                ("filter", [_, ..]) if listing => filters.add(name, &path, value, self.errors),
                ("sort", []) if listing => request.list.sort = self.sort(value),
                ("page", ["size" | "limit" | "offset" | "after" | "before"]) if listing => {}
                ("count", []) if listing => request.list.count = self.boolean(name, value),
                ("newFilterSyntax", []) if listing => {
                    self.boolean(name, value);
                }
                ("provideAuthorizationMeta", []) => request.authorization_meta = self.boolean(name, value),
                ("include", []) if self.rules.purpose == Purpose::Write => {}
                ("include", []) => request.include = self.include(value),
                ("fields", [kind]) => self.fields(name, kind, value, &mut request.fields),
                _ => self.unknown(name),
            }
        }
        request.list.filters = filters.finish(self.errors);
        if let Some(newest) = self.rules.searched.filter(|_| request.search.is_some() && request.list.sort.is_empty()) {
            request.list.sort = vec![SortKey { field: newest.to_owned(), descending: true }];
        }
        self.page(&mut request);
        let place = ["page[after]", "page[before]", "page[offset]"];
        let kept = self.given.iter().filter(|(name, _)| !place.contains(name));
        request.parameters = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        request
    }

    fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(ErrorObject::bad_parameter(name, detail));
    }

    fn unknown(&mut self, name: &str) {
        let own = format!("fields[{}]", self.rules.resource.name);
        let listing = ["sort", "page[size]", "page[after]", "page[before]", "page[limit]", "page[offset]", "count"];
        let listing = listing.into_iter().chain(["newFilterSyntax"]).filter(|_| self.rules.purpose == Purpose::List);
        let always = ["include", "provideAuthorizationMeta", own.as_str()];
        let known = listing.chain(always).chain(self.rules.extra.iter().copied());
        let hint = suggestion(name, known);
        self.refuse(name, format!("There is no parameter '{}' here.{hint}", clean(name)));
    }

    fn search(&mut self, value: &str) -> Option<String> {
        if value.chars().count() > SEARCH_LIMIT {
            self.refuse(SEARCH, format!("{SEARCH} can be at most {SEARCH_LIMIT} characters long."));
            return None;
        }
        Some(value.to_owned())
    }

    fn boolean(&mut self, name: &str, value: &str) -> bool {
        if !matches!(value, "true" | "false") {
            self.refuse(name, format!("{name} must be true or false; got '{}'.", clean(value)));
        }
        value == "true"
    }

    fn sort(&mut self, value: &str) -> Vec<SortKey> {
        let attributes = self.rules.resource.attributes;
        let sortable = |name: &str| {
            name == "id" || attributes.iter().any(|found| found.name == name && found.sortable && found.readable())
        };
        let mut keys: Vec<SortKey> = Vec::new();
        if value.split(',').count() > SORT_KEYS {
            self.refuse("sort", format!("A list can be sorted by at most {SORT_KEYS} fields."));
            return keys;
        }
        for key in value.split(',').filter(|_| !value.is_empty()) {
            let (field, descending) = key.strip_prefix('-').map_or((key, false), |field| (field, true));
            if !sortable(field) {
                let known = attributes.iter().filter(|found| found.sortable && found.readable());
                let hint = suggestion(field, known.map(|found| found.name).chain(["id"]));
                let kind = self.rules.resource.name;
                self.refuse("sort", format!("A {kind} cannot be sorted by '{}'.{hint}", clean(field)));
            } else if !keys.iter().any(|key| key.field == field) {
                // A field that is named again decides nothing.
                keys.push(SortKey { field: field.to_owned(), descending });
            }
        }
        keys
    }

    fn include(&mut self, value: &str) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        if value.split(',').count() > INCLUDES {
            self.refuse("include", format!("At most {INCLUDES} paths can be included."));
            return paths;
        }
        for path in value.split(',').filter(|_| !value.is_empty()) {
            if let Some(problem) = self.include_problem(path) {
                self.refuse("include", problem);
            } else if !paths.iter().any(|other| other == path) {
                paths.push(path.to_owned());
            }
        }
        paths
    }

    /// Follows a dotted path over relationships that show data as far as the other resources are known.
    fn include_problem(&self, path: &str) -> Option<String> {
        if path.split('.').count() > INCLUDE_DEPTH {
            return Some(format!("A path can go over at most {INCLUDE_DEPTH} relationships."));
        }
        let mut resource = Some(self.rules.resource);
        for step in path.split('.') {
            let Some(here) = resource else {
                return Some(format!("'{}' goes further than can be included.", clean(path)));
            };
            let includable =
                |name: &str| here.relationships.iter().find(|found| found.name == name && shows_data(found));
            let Some(relationship) = includable(step) else {
                let known = here.relationships.iter().filter(|found| shows_data(found));
                let hint = suggestion(step, known.map(|found| found.name));
                return Some(format!("A {} has nothing to include named '{}'.{hint}", here.name, clean(step)));
            };
            resource = self.rules.resources().find(|other| other.name == relationship.target);
        }
        None
    }

    fn fields(&mut self, name: &str, kind: &str, value: &str, fields: &mut BTreeMap<&'static str, FieldSet>) {
        let Some(resource) = self.rules.resources().find(|found| found.name == kind || found.plural == kind) else {
            let hint = suggestion(kind, self.rules.resources().map(|found| found.name));
            return self.refuse(name, format!("There is no type '{}' here.{hint}", clean(kind)));
        };
        let set = fields.entry(resource.name).or_default();
        for field in value.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let attribute = resource.attribute(field).filter(|found| found.readable()).map(|found| found.name);
            let relationship = || resource.relationship(field).map(|found| found.name);
            if let Some(declared) = attribute.or_else(relationship) {
                set.add(declared);
            } else if !resource.tolerated.contains(&field) && !matches!(field, "id" | "type") {
                let attributes = resource.attributes.iter().filter(|found| found.readable()).map(|found| found.name);
                let hint = suggestion(field, attributes.chain(resource.relationships.iter().map(|found| found.name)));
                let kind = resource.name;
                self.refuse(name, format!("A {kind} has no readable field '{}'.{hint}", clean(field)));
            }
        }
    }

    /// A cursor counts over an offset, and the later of two over the earlier: clients append their own parameters to
    /// the links that they follow.
    fn page(&mut self, request: &mut ListRequest) {
        if self.rules.purpose != Purpose::List {
            return;
        }
        let (mut cursor, mut offset, mut limited) = (None, None, false);
        for (name, value) in self.given.iter() {
            match name {
                "page[after]" | "page[before]" => cursor = Some((name, value)),
                "page[offset]" => offset = self.number(name, value, 0, ListQuery::MAX_OFFSET),
                "page[size]" | "page[limit]" => {
                    if let Some(size) = self.number(name, value, 1, ListQuery::MAX_SIZE) {
                        request.list.size = size;
                    }
                    limited = name == "page[limit]";
                }
                _ => {}
            }
        }
        request.old_style = cursor.is_none() && (offset.is_some() || limited);
        if let Some(offset) = offset {
            request.list.page = Page::Offset(offset);
        }
        if let Some((name, text)) = cursor {
            match cursor::decode(self.rules.resource, &request.list.sort, text) {
                Ok(place) if name == "page[after]" => request.list.page = Page::After(place),
                Ok(place) => request.list.page = Page::Before(place),
                Err(bad) => self.refuse(name, format!("{name} {}", bad.reason())),
            }
        }
    }

    fn number(&mut self, name: &str, value: &str, min: usize, max: usize) -> Option<usize> {
        let digits = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
        let number = value.parse().ok().filter(|number| digits && (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, format!("{name} must be a whole number from {min} to {max}; got '{}'.", clean(value)));
        }
        number
    }
}

fn shows_data(relationship: &Relationship) -> bool {
    !matches!(relationship.linkage, Linkage::LinkedList { .. })
}

/// ` Did you mean 'x'?`, or nothing.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!(" Did you mean '{near}'?"))
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
