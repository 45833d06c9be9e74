//! Reading, the same way from a snapshot and from inside a unit of work.

use super::StoreError;
use super::codec::after_prefix;
use super::space::Shortage;
use super::tables::Table;
use redb::{ReadableTable, ReadableTableMetadata, TableHandle};
use std::cell::RefCell;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// A range of keys.
#[derive(Clone, Debug)]
pub struct Keys {
    pub from: Bound<Vec<u8>>,
    pub to: Bound<Vec<u8>>,
}

impl Keys {
    pub fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    pub fn prefix(prefix: Vec<u8>) -> Self {
        let to = after_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self { from: Bound::Included(prefix), to }
    }

    pub fn from(mut self, from: Bound<Vec<u8>>) -> Self {
        self.from = from;
        self
    }

    pub fn to(mut self, to: Bound<Vec<u8>>) -> Self {
        self.to = to;
        self
    }
}

/// Goes on or stops a scan.
pub type Visit = Result<ControlFlow<()>, StoreError>;

pub(super) const GO_ON: Visit = Ok(ControlFlow::Continue(()));
pub(super) const STOP: Visit = Ok(ControlFlow::Break(()));

/// What a snapshot and a unit of work have in common.
pub trait Reader {
    #[doc(hidden)]
    fn with<T>(&self, table: Table, key: &[u8], see: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError>;

    #[doc(hidden)]
    fn scan(
        &self,
        table: Table,
        keys: Keys,
        backwards: bool,
        visit: impl FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), StoreError>;

    #[doc(hidden)]
    fn rows(&self, table: Table) -> Result<u64, StoreError>;

    /// Whether too little disk space was left, as this view began, to take in anything new.
    fn shortage(&self) -> Option<Shortage>;
}

pub(super) fn with_in<T>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
    see: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>, StoreError> {
    Ok(table.get(key)?.map(|value| see(value.value())))
}

pub(super) fn scan_in(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    keys: &Keys,
    backwards: bool,
    mut visit: impl FnMut(&[u8], &[u8]) -> Visit,
) -> Result<(), StoreError> {
    let bounds = (keys.from.as_ref().map(Vec::as_slice), keys.to.as_ref().map(Vec::as_slice));
    if let (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) = bounds
        && from > to
    {
        return Ok(());
    }
    let mut range = table.range::<&[u8]>(bounds)?;
    while let Some(row) = if backwards { range.next_back() } else { range.next() } {
        let (key, value) = row?;
        if visit(key.value(), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

/// A consistent view of everything that was committed when it was taken. Keep it short: it holds old pages alive.
pub struct Snapshot {
    transaction: redb::ReadTransaction,
    shortage: Option<Shortage>,
    /// Tables that were opened: finding one again takes several page reads, and a list looks into six for each record.
    opened: RefCell<Vec<(Table, Arc<Opened>)>>,
}

type Opened = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

impl Snapshot {
    pub(super) fn new(transaction: redb::ReadTransaction, shortage: Option<Shortage>) -> Self {
        Self { transaction, shortage, opened: RefCell::default() }
    }

    fn table(&self, table: Table) -> Result<Arc<Opened>, StoreError> {
        let found =
            self.opened.borrow().iter().find(|(known, _)| known.name() == table.name()).map(|(_, found)| found.clone());
        if let Some(found) = found {
            return Ok(found);
        }
        let opened = Arc::new(self.transaction.open_table(table)?);
        self.opened.borrow_mut().push((table, opened.clone()));
        Ok(opened)
    }
}

impl Reader for Snapshot {
    fn with<T>(&self, table: Table, key: &[u8], see: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        with_in(&*self.table(table)?, key, see)
    }

    fn scan(
        &self,
        table: Table,
        keys: Keys,
        backwards: bool,
        visit: impl FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), StoreError> {
        scan_in(&*self.table(table)?, &keys, backwards, visit)
    }

    fn rows(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.table(table)?.len()?)
    }

    fn shortage(&self) -> Option<Shortage> {
        self.shortage
    }
}
