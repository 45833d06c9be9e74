//! Resource objects and the documents that carry them.
//!
//! A resource object serializes straight from its declaration: members stand in the declared order and names are not
//! copied, which a map of values could not do.

use super::links::{Links, PageLinks, plural};
use crate::domain::list::Count;
use crate::domain::resource::{Linkage, Resource};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The attributes and relationships that `fields[type]=` names. Empty: ids only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    names: Vec<&'static str>,
}

impl FieldSet {
    /// The declared names among them; there is no way to name what is not readable.
    pub(super) fn add(&mut self, name: &'static str) {
        if !self.contains(name) {
            self.names.push(name);
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

/// What the caller may do with a record, shown where `provideAuthorizationMeta=true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub can_write: bool,
    /// `None` where the resource does not say (mailing, user).
    pub can_delete: Option<bool>,
}

/// How records are shown in one answer.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub links: &'a Links,
    /// `None` shows everything.
    pub fields: Option<&'a FieldSet>,
    pub permissions: Option<Permissions>,
}

impl<'a> Shown<'a> {
    /// Everything, without permissions.
    pub fn whole(links: &'a Links) -> Self {
        Self { links, fields: None, permissions: None }
    }
}

/// One record as the wire shows it: `type`, `id`, `attributes`, `relationships`, `links`, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceObject {
    kind: &'static str,
    id: u64,
    attributes: Vec<(&'static str, Value)>,
    relationships: Vec<(&'static str, Related)>,
    link: String,
    permissions: Option<Permissions>,
    sparse: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Related {
    One(&'static str, Option<u64>),
    Many { kind: &'static str, ids: Vec<u64>, link: Option<String> },
    Link(String),
}

/// Shows a record. Of `attributes` only what is declared readable is taken, in the declaration's order; a declared one
/// that is not there shows as null. `others` gives the ids at the other end of relationships that show data: once of a
/// to-one relationship, each in its order of a to-many; what is not there shows as null or empty.
pub fn object(
    resource: &Resource,
    id: u64,
    mut attributes: Map<String, Value>,
    others: &[(&str, Option<u64>)],
    shown: &Shown<'_>,
) -> ResourceObject {
    let wanted = |name: &str| shown.fields.is_none_or(|fields| fields.contains(name));
    let readable = resource.attributes.iter().filter(|attribute| attribute.readable() && wanted(attribute.name));
    let attributes = readable
        .map(|attribute| (attribute.name, attributes.get_mut(attribute.name).map_or(Value::Null, Value::take)))
        .collect();
    let related = resource.relationships.iter().filter(|relationship| wanted(relationship.name));
    let relationships = related
        .map(|relationship| {
            let shape = match relationship.linkage {
                Linkage::One => {
                    let target = others.iter().find(|(name, _)| *name == relationship.name).and_then(|(_, id)| *id);
                    Related::One(relationship.target, target)
                }
                Linkage::Many { filter } => {
                    let ids = others.iter().filter(|(name, _)| *name == relationship.name).filter_map(|(_, id)| *id);
                    let link = shown.links.related(&plural(relationship.target), filter, id);
                    Related::Many { kind: relationship.target, ids: ids.collect(), link: Some(link) }
                }
                Linkage::Empty => Related::Many { kind: relationship.target, ids: Vec::new(), link: None },
                Linkage::LinkedList { filter } => {
                    Related::Link(shown.links.related(&plural(relationship.target), filter, id))
                }
            };
            (relationship.name, shape)
        })
        .collect();
    ResourceObject {
        kind: resource.name,
        id,
        attributes,
        relationships,
        link: shown.links.record(resource.plural, id),
        permissions: shown.permissions,
        sparse: shown.fields.is_some(),
    }
}

impl ResourceObject {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The singular type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The record's own URL.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// What is shown of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl Serialize for ResourceObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("id", &self.id)?;
        if !self.sparse || !self.attributes.is_empty() {
            map.serialize_entry("attributes", &Pairs(&self.attributes))?;
        }
        if !self.sparse || !self.relationships.is_empty() {
            map.serialize_entry("relationships", &Pairs(&self.relationships))?;
        }
        map.serialize_entry("links", &Pairs(&[("self", self.link.as_str())]))?;
        if let Some(permissions) = self.permissions {
            map.serialize_entry("meta", &permissions)?;
        }
        map.end()
    }
}

impl Serialize for Related {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(kind, id) => {
                let linkage = id.map(|id| Linked { kind, id });
                Pairs(&[("data", linkage)]).serialize(serializer)
            }
            Self::Many { kind, ids, link } => {
                let linkage: Vec<_> = ids.iter().map(|id| Linked { kind, id: *id }).collect();
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("data", &linkage)?;
                if let Some(link) = link {
                    map.serialize_entry("links", &Pairs(&[("related", link)]))?;
                }
                map.serialize_entry("meta", &Pairs(&[("count", ids.len())]))?;
                map.end()
            }
            Self::Link(url) => Pairs(&[("links", Pairs(&[("related", url)]))]).serialize(serializer),
        }
    }
}

#[derive(serde::Serialize)]
struct Linked<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: u64,
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("canWrite", &self.can_write)?;
        if let Some(can_delete) = self.can_delete {
            map.serialize_entry("canDelete", &can_delete)?;
        }
        map.end()
    }
}

/// An object with its members in this order.
struct Pairs<'a, T>(&'a [(&'static str, T)]);

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A document of one record.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Document {
    data: ResourceObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    included: Option<Vec<ResourceObject>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    meta: Map<String, Value>,
}

impl Document {
    pub fn new(data: ResourceObject) -> Self {
        Self { data, included: None, meta: Map::new() }
    }

    /// Adds the records that `include=` asked for; call it only then. No record shows twice.
    #[must_use]
    pub fn including(mut self, objects: Vec<ResourceObject>) -> Self {
        self.included = Some(distinct(std::slice::from_ref(&self.data), objects));
        self
    }

    #[must_use]
    pub fn meta(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.meta.insert(name.to_owned(), value.into());
        self
    }
}

/// A document of a list.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ListDocument {
    data: Vec<ResourceObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    included: Option<Vec<ResourceObject>>,
    meta: Value,
    links: PageLinks,
}

impl ListDocument {
    /// `count` is `None` where the client asked for none.
    pub fn new(data: Vec<ResourceObject>, count: Option<Count>, links: PageLinks) -> Self {
        let meta = match count {
            Some(count) => json!({ "count": count.matches, "count_truncated": count.truncated }),
            None => json!({}),
        };
        Self { data, included: None, meta, links }
    }

    /// Adds the records that `include=` asked for; call it only then. No record shows twice.
    #[must_use]
    pub fn including(mut self, objects: Vec<ResourceObject>) -> Self {
        self.included = Some(distinct(&self.data, objects));
        self
    }
}

/// Each record once, and none that is primary data.
fn distinct(primary: &[ResourceObject], mut objects: Vec<ResourceObject>) -> Vec<ResourceObject> {
    let mut seen: HashSet<_> = primary.iter().map(|object| (object.kind, object.id)).collect();
    objects.retain(|object| seen.insert((object.kind, object.id)));
    objects
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
