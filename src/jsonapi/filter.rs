//! `filter[…]` parameters as conditions.

use super::error::{ErrorObject, clean};
use super::query::suggestion;
use super::values::{Field, Refusal};
use crate::domain::list::{Filter, Scalar, Test};
use crate::domain::resource::{Access, Form, Kind, Resource};

/// How many conditions one list may have.
const FILTERS: usize = 20;
/// How many values one condition may list.
pub(super) const VALUES: usize = 200;
/// How many characters one value may have.
pub(super) const VALUE_LENGTH: usize = 2_000;

/// The conditions so far.
pub(super) struct Filters {
    resource: &'static Resource,
    new_syntax: bool,
    found: Vec<Found>,
    surplus: bool,
}

struct Found {
    field: String,
    test: Test,
    /// Whether `[]`, `[gte]` or `[lte]` of the same field may still add to it.
    open: bool,
}

impl Filters {
    pub fn new(resource: &'static Resource, new_syntax: bool) -> Self {
        Self { resource, new_syntax, found: Vec::new(), surplus: false }
    }

    /// `path` is what stands in the brackets of `name`.
    pub fn add(&mut self, name: &str, path: &[&str], value: &str, errors: &mut Vec<ErrorObject>) {
        let refusal = match self.field(path) {
            Ok((field, operator)) => self.condition(name, &field, operator, value).err(),
            Err(detail) => Some(Refusal::new(detail)),
        };
        if let Some(refusal) = refusal {
            let mut error = ErrorObject::bad_parameter(name, refusal.detail);
            error.id = refusal.id.unwrap_or(error.id);
            errors.push(error);
        }
    }

    pub fn finish(self, errors: &mut Vec<ErrorObject>) -> Vec<Filter> {
        if self.surplus {
            errors.push(ErrorObject::bad_parameter("filter", format!("A list can have at most {FILTERS} filters.")));
        }
        self.found.into_iter().map(|found| Filter { field: found.field, test: found.test }).collect()
    }

    /// What is filtered, and the brackets that follow it.
    fn field<'p>(&self, path: &'p [&'p str]) -> Result<(Field, Option<&'p str>), String> {
        let (kind, attributes) = (self.resource.name, self.resource.attributes);
        let identifier = Kind::Integer { min: 0, max: i64::MAX };
        let (field, rest) = match path {
            ["id", rest @ ..] => (Field::new("id".to_owned(), identifier, Form::Free), rest),
            [name, rest @ ..] => {
                let allowed = |access| matches!(access, Access::ReadWrite | Access::ReadOnly);
                let attribute = self.resource.attribute(name).filter(|found| found.filterable && allowed(found.access));
                let related = self.resource.relationship(name).filter(|found| found.filterable);
                match (attribute, related, rest) {
                    (Some(found), ..) => (Field::new(found.name.to_owned(), found.kind, found.form), rest),
                    (None, Some(found), ["id", rest @ ..]) => {
                        (Field::new(format!("{}.id", found.name), identifier, Form::Free), rest)
                    }
                    (None, Some(found), _) => {
                        return Err(format!("A {kind} is filtered by the id only: filter[{}][id].", found.name));
                    }
                    (None, None, _) => {
                        let known = attributes.iter().filter(|found| found.filterable && allowed(found.access));
                        let related = self.resource.relationships.iter().filter(|found| found.filterable);
                        let known = known.map(|found| found.name).chain(related.map(|found| found.name));
                        let hint = suggestion(name, known.chain(["id"]));
                        return Err(format!("A {kind} cannot be filtered by '{}'.{hint}", clean(name)));
                    }
                }
            }
            [] => return Err("Name what to filter by: filter[name].".to_owned()),
        };
        match rest {
            [] => Ok((field, None)),
            [operator @ ("" | "gte" | "lte")] if self.new_syntax => Ok((field, Some(operator))),
            ["" | "gte" | "lte"] => Err("This form of a filter needs newFilterSyntax=true.".to_owned()),
            _ => Err("Nothing can follow here but [], [gte] or [lte] with newFilterSyntax=true.".to_owned()),
        }
    }

    fn condition(&mut self, name: &str, field: &Field, operator: Option<&str>, value: &str) -> Result<(), Refusal> {
        match operator {
            None => {
                let test = field.test(name, value, self.new_syntax)?;
                self.push(&field.name, test, false);
            }
            Some("") => {
                let value = field.listed(name, value)?;
                match self.open(&field.name, |test| matches!(test, Test::OneOf(_))) {
                    Some(Test::OneOf(values)) if values.len() >= VALUES => {
                        return Err(Refusal::new(format!("{name} lists more than {VALUES} values.")));
                    }
                    Some(Test::OneOf(values)) => values.push(value),
                    _ => self.push(&field.name, Test::OneOf(vec![value]), true),
                }
            }
            Some(end) => {
                let upper = end == "lte";
                let value: Scalar = field.end(name, value, upper)?;
                match self.open(&field.name, |test| matches!(test, Test::Range { .. })) {
                    Some(Test::Range { to, .. }) if upper => *to = Some(value),
                    Some(Test::Range { from, .. }) => *from = Some(value),
                    _ if upper => self.push(&field.name, Test::Range { from: None, to: Some(value) }, true),
                    _ => self.push(&field.name, Test::Range { from: Some(value), to: None }, true),
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, field: &str, of_kind: impl Fn(&Test) -> bool) -> Option<&mut Test> {
        let found = self.found.iter_mut().find(|found| found.open && found.field == field && of_kind(&found.test));
        found.map(|found| &mut found.test)
    }

    fn push(&mut self, field: &str, test: Test, open: bool) {
        if self.found.len() < FILTERS {
            self.found.push(Found { field: field.to_owned(), test, open });
        } else {
            self.surplus = true;
        }
    }
}
