//! A unit of work: reads and writes across resources that become durable together or not at all.

use super::StoreError;
use super::codec::{Key, decode, encode};
use super::reader::{Keys, Reader, Visit, scan_in, with_in};
use super::space::Shortage;
use super::tables::{COUNTERS, EVENTS, Table};
use crate::domain::event::Event;
use crate::domain::limits::Moment;
use crate::domain::time::Timestamp;
use crate::runtime::Runtime;
use crate::vault::Vault;
use redb::{ReadableTableMetadata, WriteTransaction};

/// One member of a group commit. It may run more than once: do nothing in it that the store cannot take back.
pub struct Work<'t> {
    transaction: &'t WriteTransaction,
    pub(super) vault: &'t Vault,
    pub(super) runtime: &'t Runtime,
    moment: Moment,
    shortage: Option<Shortage>,
    /// Something was written: an error now costs the whole group a replay.
    dirty: bool,
    /// How many octets, keys and values together.
    written: usize,
    last_event: u64,
}

impl<'t> Work<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        vault: &'t Vault,
        runtime: &'t Runtime,
        (moment, shortage): (Moment, Option<Shortage>),
        last_event: u64,
    ) -> Self {
        Self { transaction, vault, runtime, moment, shortage, dirty: false, written: 0, last_event }
    }

    /// The moment of this unit of work: every time it writes is this one.
    pub fn now(&self) -> Timestamp {
        self.moment.now
    }

    /// The same moment with its steady time, in which the sending limits count.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Makes this a commit even if nothing else is written: what the clock did goes with it.
    pub(super) fn keep_the_clock(&mut self) {
        self.dirty = true;
    }

    pub fn runtime(&self) -> &Runtime {
        self.runtime
    }

    pub fn vault(&self) -> &'t Vault {
        self.vault
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn last_event(&self) -> u64 {
        self.last_event
    }

    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.dirty = true;
        self.written += key.len() + value.len();
        self.transaction.open_table(table)?.insert(key, value)?;
        Ok(())
    }

    pub(super) fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.dirty = true;
        self.transaction.open_table(table)?.remove(key)?;
        Ok(())
    }

    /// The next id of a kind; ids ascend and are never given out twice.
    pub(super) fn next_id(&mut self, counter: &'static str) -> Result<u64, StoreError> {
        let last = self.with(COUNTERS, counter.as_bytes(), decode::<u64>)?.transpose()?.unwrap_or(0);
        let id = last + 1;
        self.put(COUNTERS, counter.as_bytes(), &encode(&id)?)?;
        Ok(id)
    }

    /// Appends to the event log; whoever follows it is woken when the unit has become durable.
    pub fn event(&mut self, mut event: Event) -> Result<u64, StoreError> {
        event.id = self.last_event + 1;
        self.put(EVENTS, &Key::new().id(event.id).build(), &encode(&event)?)?;
        self.last_event = event.id;
        Ok(event.id)
    }
}

impl Reader for Work<'_> {
    fn with<T>(&self, table: Table, key: &[u8], see: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        with_in(&self.transaction.open_table(table)?, key, see)
    }

    fn scan(
        &self,
        table: Table,
        keys: Keys,
        backwards: bool,
        visit: impl FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), StoreError> {
        scan_in(&self.transaction.open_table(table)?, &keys, backwards, visit)
    }

    fn rows(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.transaction.open_table(table)?.len()?)
    }

    fn shortage(&self) -> Option<Shortage> {
        self.shortage
    }
}
