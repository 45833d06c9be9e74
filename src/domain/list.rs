//! A list query: what the protocol parses into and the store answers, neither knowing the other.

use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A comparable value of a record. Null sorts first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scalar {
    Null,
    Boolean(bool),
    Integer(i64),
    Time(Timestamp),
    Text(String),
}

impl From<Timestamp> for Scalar {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<u64> for Scalar {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Self>> From<Option<T>> for Scalar {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a field must be to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    OneOf(Vec<Scalar>),
    /// Both ends inclusive; an absent end is open. Null is in no range.
    Range {
        from: Option<Scalar>,
        to: Option<Scalar>,
    },
    Null,
    NotNull,
}

impl Test {
    pub fn holds(&self, value: &Scalar) -> bool {
        match self {
            Self::OneOf(allowed) => allowed.contains(value),
            Self::Range { from, to } => {
                *value != Scalar::Null
                    && from.as_ref().is_none_or(|from| value >= from)
                    && to.as_ref().is_none_or(|to| value <= to)
            }
            Self::Null => *value == Scalar::Null,
            Self::NotNull => *value != Scalar::Null,
        }
    }
}

/// One condition. `field` is an attribute's name, or `name.id` for a relationship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub field: String,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub field: String,
    pub descending: bool,
}

/// The place of one record in a sorted list: its sort values and its id, which breaks ties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub keys: Vec<Scalar>,
    pub id: u64,
}

/// Which part of the list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    Start,
    After(Cursor),
    Before(Cursor),
    /// The old style.
    Offset(usize),
}

/// A whole list query. Without a sort the order is ascending id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    pub filters: Vec<Filter>,
    pub sort: Vec<SortKey>,
    pub page: Page,
    pub size: usize,
    /// Whether the number of all matches is wanted.
    pub count: bool,
    /// Only these records, ascending; `None` looks at all.
    pub among: Option<Arc<[u64]>>,
}

impl ListQuery {
    pub const DEFAULT_SIZE: usize = 50;
    pub const MAX_SIZE: usize = 1000;
    pub const MAX_OFFSET: usize = 10_000;

    /// The first page of everything.
    pub fn all() -> Self {
        Self {
            filters: Vec::new(),
            sort: Vec::new(),
            page: Page::Start,
            size: Self::DEFAULT_SIZE,
            count: true,
            among: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn and(mut self, field: &str, test: Test) -> Self {
        self.filters.push(Filter { field: field.to_owned(), test });
        self
    }

    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = size;
        self
    }
}

/// How many records match; `truncated` when counting stopped at a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub matches: usize,
    pub truncated: bool,
}

/// One page of an answer.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub count: Option<Count>,
    pub next: Option<Cursor>,
    pub prev: Option<Cursor>,
}

/// What a list can see of a record.
pub trait Listed {
    /// A filterable or sortable field: an attribute's name, or `name.id` of a relationship. `None`: no such field.
    fn field(&self, name: &str) -> Option<Scalar>;
}
