//! Answers list queries: by an index in the wanted order where there is one, else by a scan that keeps one page.

use super::StoreError;
use super::codec::{Key, decode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP, Visit};
use super::record::{Index, Record, get};
use super::tables::Table;
use crate::domain::list::{Count, Cursor, Filter, ListQuery, Listing, Page, Scalar, SortKey, Test};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

/// Counting stops after this many records were looked at.
const COUNT_BOUND: usize = 50_000;
/// The same where they are looked at one by one.
const COUNT_AMONG: usize = 5_000;
/// Of records that are given by their ids, so many are looked at one by one.
const FEW: usize = 2_000;

/// One page of the records that match, with the cursors around it.
pub fn list<R: Record>(reader: &impl Reader, query: &ListQuery) -> Result<Listing<R>, StoreError> {
    let query = &*by_ids(query);
    let plan = Plan::of::<R>(query);
    let backwards = matches!(query.page, Page::Before(_));
    let cursor = match &query.page {
        Page::After(cursor) | Page::Before(cursor) => Some(cursor),
        Page::Start | Page::Offset(_) => None,
    };
    let skip = if let Page::Offset(offset) = query.page { offset } else { 0 };
    let wanted = skip + query.size + 1;
    let order = Order { sort: &query.sort, backwards };

    let mut found: Vec<R> = Vec::new();
    plan.visit::<R>(reader, query, (backwards, cursor, wanted), |record| {
        if cursor.is_some_and(|cursor| order.compare(&place(&record, &query.sort), cursor) != Ordering::Greater) {
            return GO_ON;
        }
        if plan.ordered {
            found.push(record);
            return if found.len() == wanted { STOP } else { GO_ON };
        }
        found.push(record);
        // Sorting now and then keeps memory at two pages whatever the number of matches.
        if found.len() >= wanted * 2 {
            order.sort(&mut found);
            found.truncate(wanted);
        }
        GO_ON
    })?;
    if !plan.ordered {
        order.sort(&mut found);
        found.truncate(wanted);
    }
    let more = found.len() == wanted;
    found.truncate(wanted - 1);
    found.drain(..skip.min(found.len()));
    if backwards {
        found.reverse();
    }

    let first = found.first().map(|record| place(record, &query.sort));
    let last = found.last().map(|record| place(record, &query.sort));
    let (has_next, has_prev) = match query.page {
        Page::Before(_) => (true, more),
        Page::After(_) => (more, true),
        Page::Start => (more, false),
        Page::Offset(offset) => (more, offset > 0),
    };
    let count = if query.count { Some(plan.count::<R>(reader, query)?) } else { None };
    Ok(Listing { next: last.filter(|_| has_next), prev: first.filter(|_| has_prev), items: found, count })
}

/// Records that a filter names by their ids are looked up, not looked for.
fn by_ids(query: &ListQuery) -> Cow<'_, ListQuery> {
    let named = query.filters.iter().enumerate().find_map(|(position, filter)| match &filter.test {
        Test::OneOf(values) if filter.field == "id" => Some((position, values)),
        _ => None,
    });
    let Some((position, values)) = named else { return Cow::Borrowed(query) };
    let id = |value: &Scalar| if let Scalar::Integer(id) = value { u64::try_from(*id).ok() } else { None };
    let mut ids: Vec<u64> = values.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    if let Some(among) = &query.among {
        ids.retain(|id| among.binary_search(id).is_ok());
    }
    let mut query = ListQuery { among: Some(ids.into()), ..query.clone() };
    query.filters.remove(position);
    Cow::Owned(query)
}

/// Where a record stands in the sorted list.
fn place<R: Record>(record: &R, sort: &[SortKey]) -> Cursor {
    let keys = sort.iter().map(|key| record.field(&key.field).unwrap_or(Scalar::Null)).collect();
    Cursor { keys, id: record.id() }
}

struct Order<'q> {
    sort: &'q [SortKey],
    backwards: bool,
}

impl Order<'_> {
    fn compare(&self, a: &Cursor, b: &Cursor) -> Ordering {
        let mut order = Ordering::Equal;
        for (index, key) in self.sort.iter().enumerate() {
            let null = Scalar::Null;
            let (a, b) = (a.keys.get(index).unwrap_or(&null), b.keys.get(index).unwrap_or(&null));
            order = order.then_with(|| if key.descending { b.cmp(a) } else { a.cmp(b) });
        }
        // Ties go the way of the first key, as a reversed index scan does.
        let ids_descend = self.sort.first().is_some_and(|key| key.descending);
        order = order.then_with(|| if ids_descend { b.id.cmp(&a.id) } else { a.id.cmp(&b.id) });
        if self.backwards { order.reverse() } else { order }
    }

    fn sort<R: Record>(&self, records: &mut [R]) {
        records.sort_by_cached_key(|record| Placed { place: place(record, self.sort), order: self });
    }
}

struct Placed<'o> {
    place: Cursor,
    order: &'o Order<'o>,
}

impl PartialEq for Placed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Placed<'_> {}

impl PartialOrd for Placed<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Placed<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.compare(&self.place, &other.place)
    }
}

/// How a query is answered.
struct Plan {
    /// The index to walk; `None` walks the records by id.
    index: Option<Index>,
    /// What each walk is restricted to: a value of the index's filter field, if it has one.
    values: Vec<Option<Scalar>>,
    /// Each walk yields the wanted order.
    sorted: bool,
    /// All of them together do.
    ordered: bool,
    /// The filters that the walk does not answer.
    rest: Vec<Filter>,
    /// Few enough to be looked at one by one.
    few: Option<Arc<[u64]>>,
    /// Too many for that: what a walk finds has to be among them.
    many: Option<Arc<[u64]>>,
}

impl Plan {
    fn of<R: Record>(query: &ListQuery) -> Self {
        let by_id = match query.sort.as_slice() {
            [] => true,
            [key] => key.field == "id",
            _ => false,
        };
        let rest = query.filters.clone();
        let mut best =
            Self { index: None, values: vec![None], sorted: by_id, ordered: by_id, rest, few: None, many: None };
        if let Some(among) = &query.among {
            if among.len() <= FEW {
                return Self { few: Some(among.clone()), ..best };
            }
            best.many = Some(among.clone());
        }
        let mut score = u8::from(by_id);
        for index in R::INDEXES {
            let sorted = match (index.sort, query.sort.as_slice()) {
                (None, _) => by_id,
                (Some(sort), [key]) => key.field == sort,
                (Some(_), _) => false,
            };
            let Some((values, rest)) = Self::walks_of(*index, query) else { continue };
            // One value in order is best, then any value at all, then everything in order.
            let ordered = sorted && values.len() <= 1;
            let found = 2 * u8::from(index.filter.is_some()) + u8::from(sorted);
            if found > score {
                score = found;
                best = Self { index: Some(*index), values, sorted, ordered, rest, ..best };
            }
        }
        best
    }

    /// The walks over an index that a query takes, and the filters that they leave; `None` if it is of no use.
    fn walks_of(index: Index, query: &ListQuery) -> Option<(Vec<Option<Scalar>>, Vec<Filter>)> {
        let mut rest = query.filters.clone();
        let Some(field) = index.filter else { return Some((vec![None], rest)) };
        let (position, mut values) = rest.iter().enumerate().find_map(|(position, filter)| match &filter.test {
            Test::OneOf(values) if filter.field == field && !(index.present && values.contains(&Scalar::Null)) => {
                Some((position, values.clone()))
            }
            Test::Null if filter.field == field && !index.present => Some((position, vec![Scalar::Null])),
            _ => None,
        })?;
        values.sort();
        values.dedup();
        // Only this one is answered by the walk; another on the same field still has to hold.
        rest.remove(position);
        Some((values.into_iter().map(Some).collect(), rest))
    }

    /// Shows the records that match, from the cursor on and no more than `wanted` where a walk is in order.
    fn visit<R: Record>(
        &self,
        reader: &impl Reader,
        query: &ListQuery,
        (backwards, cursor, wanted): (bool, Option<&Cursor>, usize),
        mut see: impl FnMut(R) -> Visit,
    ) -> Result<(), StoreError> {
        let descending = query.sort.first().is_some_and(|key| key.descending) != backwards;
        if let Some(few) = &self.few {
            let ids: &mut dyn Iterator<Item = &u64> = if descending { &mut few.iter().rev() } else { &mut few.iter() };
            for id in ids {
                if let Some(record) = get::<R>(reader, *id)?.filter(|record| self.matches(record))
                    && see(record)?.is_break()
                {
                    break;
                }
            }
            return Ok(());
        }
        for Walk { table, keys } in self.walks::<R>(query, if self.sorted { cursor } else { None }, descending) {
            let mut seen = 0;
            reader.scan(table, keys, descending, |key, value| {
                let Some(record) = self.record::<R>(reader, key, value)? else { return GO_ON };
                if !self.matches(&record) {
                    return GO_ON;
                }
                seen += 1;
                let enough = see(record)?.is_break() || (self.sorted && seen == wanted);
                if enough { STOP } else { GO_ON }
            })?;
        }
        Ok(())
    }

    /// The record of a row that a walk came by, if it is among those that are looked for.
    fn record<R: Record>(&self, reader: &impl Reader, key: &[u8], value: &[u8]) -> Result<Option<R>, StoreError> {
        let id = trailing_id(key)?;
        if self.many.as_ref().is_some_and(|many| many.binary_search(&id).is_err()) {
            return Ok(None);
        }
        if self.index.is_none() {
            return decode(value).map(Some);
        }
        let record = get(reader, id)?;
        record.map(Some).ok_or_else(|| StoreError::Corrupt("an index row without its record".into()))
    }

    fn walks<R: Record>(&self, query: &ListQuery, cursor: Option<&Cursor>, descending: bool) -> Vec<Walk> {
        let seek = |table: Table, prefix: Vec<u8>, sorted: bool| {
            let mut keys = Keys::prefix(prefix.clone());
            if let Some(cursor) = cursor {
                let mut start = Key::new().octets(&prefix);
                if sorted && let Some(value) = cursor.keys.first() {
                    start = start.scalar(value);
                }
                let start = Bound::Excluded(start.id(cursor.id).build());
                keys = if descending { keys.to(start) } else { keys.from(start) };
            }
            Walk { table, keys }
        };
        let (table, sorted) = match &self.index {
            Some(index) => (index.table, index.sort.is_some() && !query.sort.is_empty()),
            None => (R::TABLE, false),
        };
        let prefix =
            |value: &Option<Scalar>| value.as_ref().map_or_else(Vec::new, |value| Key::new().scalar(value).build());
        self.values.iter().map(|value| seek(table, prefix(value), sorted)).collect()
    }

    fn matches<R: Record>(&self, record: &R) -> bool {
        self.rest.iter().all(|filter| record.field(&filter.field).is_some_and(|value| filter.test.holds(&value)))
    }

    fn count<R: Record>(&self, reader: &impl Reader, query: &ListQuery) -> Result<Count, StoreError> {
        if let Some(among) = &query.among {
            return count_among::<R>(reader, query, among);
        }
        if query.filters.is_empty() {
            let rows = reader.rows(R::TABLE)?;
            return Ok(Count { matches: usize::try_from(rows).unwrap_or(usize::MAX), truncated: false });
        }
        let (mut matches, mut seen) = (0, 0);
        for Walk { table, keys } in self.walks::<R>(query, None, false) {
            reader.scan(table, keys, false, |key, value| {
                seen += 1;
                let holds = if self.rest.is_empty() {
                    true
                } else if self.index.is_some() {
                    get::<R>(reader, trailing_id(key)?)?.is_some_and(|record| self.matches(&record))
                } else {
                    self.matches::<R>(&decode(value)?)
                };
                matches += usize::from(holds);
                if seen >= COUNT_BOUND { STOP } else { GO_ON }
            })?;
        }
        Ok(Count { matches, truncated: seen >= COUNT_BOUND })
    }
}

/// Counts one by one, as some may be gone; the newest ones if there are many.
fn count_among<R: Record>(reader: &impl Reader, query: &ListQuery, among: &[u64]) -> Result<Count, StoreError> {
    let holds =
        |filter: &Filter, record: &R| record.field(&filter.field).is_some_and(|value| filter.test.holds(&value));
    let mut matches = 0;
    for id in among.iter().rev().take(COUNT_AMONG) {
        let record: Option<R> = get(reader, *id)?;
        let is_match = record.is_some_and(|record| query.filters.iter().all(|filter| holds(filter, &record)));
        matches += usize::from(is_match);
    }
    Ok(Count { matches, truncated: among.len() > COUNT_AMONG })
}

struct Walk {
    table: Table,
    keys: Keys,
}
