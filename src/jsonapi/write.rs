//! A create or an update read from a document, against the resource's declaration.

use super::error::{ApiError, ErrorObject, Source, clean};
use super::id;
use super::links::plural;
use super::query::suggestion;
use crate::domain::check::{self, Checked};
use crate::domain::problem::Problem;
use crate::domain::resource::{Linkage, Relationship, Resource};
use actix_web::http::StatusCode;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// How many records a to-many relationship names at most.
const MANY: usize = 1000;

/// What the request is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Create,
    /// With the id in the path.
    Update(u64),
}

/// What a client wants written. May hold secrets: its debug print shows no value.
pub struct Write {
    /// The record to update; `None` in a create.
    pub id: Option<u64>,
    /// The writable to-one relationships that were given; `None` clears.
    pub relationships: BTreeMap<&'static str, Option<u64>>,
    /// The writable to-many relationships that were given, each id once.
    pub many: BTreeMap<&'static str, Vec<u64>>,
    /// All that was given as relationships, unchecked: for what the declaration cannot say.
    pub raw_relationships: Map<String, Value>,
    attributes: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Write {
    /// Reads a document. An error means that its shape, its type or its id is wrong, and names all of that at once;
    /// what is wrong with attributes and relationships comes from [`Write::check`].
    pub fn parse(resource: &Resource, document: Value, expect: Expect) -> Result<Self, ApiError> {
        let Value::Object(mut document) = document else {
            return Err(ErrorObject::invalid("", "The body must be a JSON object with the member 'data'.").into());
        };
        let data = match document.remove("data") {
            Some(Value::Object(data)) => data,
            Some(_) => return Err(ErrorObject::invalid("/data", "data must be an object.").into()),
            None => return Err(ErrorObject::invalid("/data", "The document must have the member 'data'.").into()),
        };
        let mut data = Data { resource, members: data, errors: Vec::new() };
        data.check_type();
        let id = data.check_id(expect);
        let attributes = data.member("attributes");
        let raw_relationships = data.member("relationships");
        ApiError::unless_empty(data.errors)?;
        let mut write = Self {
            id,
            relationships: BTreeMap::new(),
            many: BTreeMap::new(),
            raw_relationships,
            attributes,
            problems: Vec::new(),
        };
        write.read_relationships(resource);
        Ok(write)
    }

    /// The attributes as they were sent, unchecked.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }

    /// The writable attributes that hold, and every problem of attributes and relationships, those that a create
    /// lacks included.
    pub fn check(&self, resource: &Resource) -> Checked {
        let mut checked = check::check(resource, &self.attributes);
        checked.problems.extend(self.problems.iter().cloned());
        if self.id.is_none() {
            checked.problems.extend(check::missing(resource, &self.attributes));
        }
        checked
    }

    fn read_relationships(&mut self, resource: &Resource) {
        for (name, given) in &self.raw_relationships {
            let Some(relationship) = resource.relationship(name) else {
                if !resource.tolerated.contains(&name.as_str()) {
                    let known = resource.relationships.iter().map(|relationship| relationship.name);
                    let hint = suggestion(name, known);
                    let detail = format!("A {} has no relationship '{}'.{hint}", resource.name, clean(name));
                    self.problems.push(Problem::relationship(name, detail));
                }
                continue;
            };
            if !relationship.writable {
                continue;
            }
            match relationship.linkage {
                Linkage::LinkedList { .. } | Linkage::Empty => continue,
                Linkage::Many { .. } => {
                    match targets(relationship, given) {
                        Ok(ids) => {
                            self.many.insert(relationship.name, ids);
                        }
                        Err(why) => {
                            let (name, target) = (relationship.name, relationship.target);
                            let shape = format!("{{\"data\": [{{\"type\": \"{target}\", \"id\": 1}}]}}");
                            let detail = format!("{name} must be {shape}: {why}.");
                            self.problems.push(Problem::relationship(name, detail));
                        }
                    }
                    continue;
                }
                Linkage::One => {}
            }
            match target(relationship, given) {
                Ok(id) => {
                    self.relationships.insert(relationship.name, id);
                }
                Err(why) => {
                    let (name, target) = (relationship.name, relationship.target);
                    let shape = format!("{{\"data\": {{\"type\": \"{target}\", \"id\": 1}}}}");
                    let detail = format!("{name} must be {shape} or {{\"data\": null}}: {why}.");
                    self.problems.push(Problem::relationship(name, detail));
                }
            }
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("id", &self.id)
            .field("relationships", &self.relationships)
            .field("attributes", &self.attributes.len())
            .finish_non_exhaustive()
    }
}

/// The `data` of a document while it is read.
struct Data<'r> {
    resource: &'r Resource,
    members: Map<String, Value>,
    errors: Vec<ErrorObject>,
}

impl Data<'_> {
    fn check_type(&mut self) {
        let expected = self.resource.name;
        match self.members.get("type") {
            Some(Value::String(given)) if given == expected || given == self.resource.plural => {}
            Some(Value::String(given)) => {
                let detail = format!("The type here is '{expected}', not '{}'.", clean(given));
                self.errors.push(ErrorObject::conflict("/data/type", detail));
            }
            given => {
                let what = if given.is_some() { "must be" } else { "is required:" };
                self.errors.push(ErrorObject::invalid("/data/type", format!("type {what} '{expected}'.")));
            }
        }
    }

    fn check_id(&mut self, expect: Expect) -> Option<u64> {
        let given = self.members.get("id").filter(|given| !given.is_null() || expect != Expect::Create);
        let error = match (expect, given) {
            (Expect::Create, None) => return None,
            (Expect::Create, Some(_)) => {
                // JSON:API 1.0, "Client-Generated IDs", asks for this status.
                let (status, code) = (StatusCode::FORBIDDEN, "unauthorizedRequest");
                ErrorObject::new(
                    status,
                    code,
                    "Unauthorized Request",
                    "The server gives a new record its id; leave it out.",
                )
                .at(Source::pointer("/data/id"))
            }
            (Expect::Update(expected), Some(given)) => match identifier(given) {
                Some(id) if id == expected => return Some(id),
                Some(id) => {
                    let detail = format!("The path names the id {expected}, the document {id}.");
                    ErrorObject::conflict("/data/id", detail)
                }
                None => ErrorObject::invalid("/data/id", "id must be a positive whole number."),
            },
            (Expect::Update(expected), None) => {
                ErrorObject::invalid("/data/id", format!("id is required; it must be {expected}, as in the path."))
            }
        };
        self.errors.push(error);
        None
    }

    /// An object, empty where it is absent.
    fn member(&mut self, name: &str) -> Map<String, Value> {
        match self.members.remove(name) {
            Some(Value::Object(member)) => member,
            None => Map::new(),
            Some(_) => {
                self.errors.push(ErrorObject::invalid(&format!("/data/{name}"), format!("{name} must be an object.")));
                Map::new()
            }
        }
    }
}

/// An integer, or a string of digits.
fn identifier(given: &Value) -> Option<u64> {
    match given {
        Value::Number(number) => number.as_u64().filter(|id| id::in_range(*id)),
        Value::String(text) => id::parse(text),
        _ => None,
    }
}

fn target(relationship: &Relationship, given: &Value) -> Result<Option<u64>, &'static str> {
    let given = given.as_object().ok_or("it is no object")?;
    match given.get("data") {
        None => Err("it has no 'data'"),
        Some(Value::Null) => Ok(None),
        Some(data) => linked(relationship, data.as_object().ok_or("its 'data' is no object")?).map(Some),
    }
}

fn targets(relationship: &Relationship, given: &Value) -> Result<Vec<u64>, &'static str> {
    let given = given.as_object().ok_or("it is no object")?;
    let data = given.get("data").ok_or("it has no 'data'")?.as_array().ok_or("its 'data' is no list")?;
    if data.len() > MANY {
        return Err("it names too many");
    }
    let mut ids = Vec::with_capacity(data.len());
    for item in data {
        let id = linked(relationship, item.as_object().ok_or("an entry of its 'data' is no object")?)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn linked(relationship: &Relationship, data: &Map<String, Value>) -> Result<u64, &'static str> {
    match data.get("type").and_then(Value::as_str) {
        Some(kind) if kind == relationship.target || kind == plural(relationship.target) => {}
        _ => return Err("its type is another"),
    }
    data.get("id").and_then(identifier).ok_or("its id is no positive whole number")
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
