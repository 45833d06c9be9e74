//! Records with an id, and the indexes that are kept with them.

use super::StoreError;
use super::codec::{Key, decode, encode, trailing_id};
use super::reader::{Keys, Reader, STOP};
use super::tables::Table;
use super::work::Work;
use crate::domain::list::{Listed, Scalar};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An index: the keys of a table are (filter field, sort field, id), each part only where it is named.
/// It serves lists that ask for one value of `filter` and are sorted by `sort` (by id where there is none).
#[derive(Clone, Copy)]
pub struct Index {
    pub(super) table: Table,
    pub(super) filter: Option<&'static str>,
    pub(super) sort: Option<&'static str>,
    /// Records whose filter field is null are not in it: for fields that most records do not have.
    pub(super) present: bool,
}

impl Index {
    pub(super) const fn by(filter: &'static str, table: Table) -> Self {
        Self { table, filter: Some(filter), sort: None, present: false }
    }

    /// All records in one order.
    pub(super) const fn all_sorted(sort: &'static str, table: Table) -> Self {
        Self { table, filter: None, sort: Some(sort), present: false }
    }

    pub(super) const fn sorted(mut self, sort: &'static str) -> Self {
        self.sort = Some(sort);
        self
    }

    /// Without the records that do not have the field.
    pub(super) const fn where_present(mut self) -> Self {
        self.present = true;
        self
    }

    /// Whether a record has a row.
    fn has(&self, record: &impl Record) -> bool {
        let is_null = |field| record.field(field).is_none_or(|value| value == Scalar::Null);
        !(self.present && self.filter.is_some_and(is_null))
    }

    pub(super) fn key(&self, record: &impl Record) -> Vec<u8> {
        let field = |name| record.field(name).unwrap_or(Scalar::Null);
        let mut key = Key::new();
        for name in [self.filter, self.sort].into_iter().flatten() {
            key = key.scalar(&field(name));
        }
        key.id(record.id()).build()
    }
}

/// Something that is stored under an id of its own.
pub trait Record: Listed + Serialize + DeserializeOwned {
    #[doc(hidden)]
    const TABLE: Table;
    #[doc(hidden)]
    const INDEXES: &'static [Index];
    /// The name under which ids are given out.
    const COUNTER: &'static str;

    fn id(&self) -> u64;
}

/// One record, or `None`.
pub fn get<R: Record>(reader: &impl Reader, id: u64) -> Result<Option<R>, StoreError> {
    reader.with(R::TABLE, &Key::new().id(id).build(), decode)?.transpose()
}

/// The first record whose indexed field has a value; the field must have an index.
pub fn find<R: Record>(reader: &impl Reader, field: &str, value: &Scalar) -> Result<Option<R>, StoreError> {
    let index = R::INDEXES
        .iter()
        .find(|index| index.filter == Some(field))
        .ok_or_else(|| StoreError::Corrupt(format!("{field} has no index")))?;
    let mut id = None;
    reader.scan(index.table, Keys::prefix(Key::new().scalar(value).build()), false, |key, _| {
        id = Some(trailing_id(key)?);
        STOP
    })?;
    id.map_or(Ok(None), |id| get(reader, id))
}

impl Work<'_> {
    /// Writes a record and its index rows; `before` is what the store held under its id.
    pub(super) fn put_record<R: Record>(&mut self, before: Option<&R>, after: &R) -> Result<(), StoreError> {
        for index in R::INDEXES {
            let key = index.has(after).then(|| index.key(after));
            if let Some(before) = before {
                let old = index.key(before);
                if key.as_ref() == Some(&old) {
                    continue;
                }
                self.remove(index.table, &old)?;
            }
            if let Some(key) = key {
                self.put(index.table, &key, &[])?;
            }
        }
        self.put(R::TABLE, &Key::new().id(after.id()).build(), &encode(after)?)
    }

    /// Removes a record and its index rows.
    pub(super) fn remove_record<R: Record>(&mut self, record: &R) -> Result<(), StoreError> {
        for index in R::INDEXES {
            self.remove(index.table, &index.key(record))?;
        }
        self.remove(R::TABLE, &Key::new().id(record.id()).build())
    }
}
