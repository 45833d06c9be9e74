//! Answers list queries: by an index in the wanted order where there is one, else by a scan that keeps one page.

use super::StoreError;
use super::codec::{Key, decode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP, Visit};
use super::record::{Index, Record, get};
use super::tables::Table;
use crate::domain::list::{Count, Cursor, Filter, ListQuery, Listing, Page, Scalar, SortKey, Test};
use std::cmp::Ordering;
use std::ops::Bound;

/// Counting stops after this many records were looked at.
const COUNT_BOUND: usize = 50_000;

/// One page of the records that match, with the cursors around it.
pub fn list<R: Record>(reader: &impl Reader, query: &ListQuery) -> Result<Listing<R>, StoreError> {
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
    plan.visit::<R>(reader, query, backwards, cursor, |record| {
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
    /// The values of the index's filter field, one walk each.
    values: Vec<Scalar>,
    /// The walk yields the wanted order.
    ordered: bool,
    /// The filters that the walk does not answer.
    rest: Vec<Filter>,
}

impl Plan {
    fn of<R: Record>(query: &ListQuery) -> Self {
        let by_id = match query.sort.as_slice() {
            [] => true,
            [key] => key.field == "id",
            _ => false,
        };
        let mut best: Option<(u8, Self)> = None;
        for index in R::INDEXES {
            let sorted = match (index.sort, query.sort.as_slice()) {
                (None, _) => by_id,
                (Some(sort), [key]) => key.field == sort,
                (Some(_), _) => false,
            };
            let chosen = index.filter.and_then(|field| {
                query.filters.iter().enumerate().find_map(|(position, filter)| match &filter.test {
                    Test::OneOf(values) if filter.field == field => Some((position, values.clone())),
                    Test::Null if filter.field == field => Some((position, vec![Scalar::Null])),
                    _ => None,
                })
            });
            let Some((position, mut values)) = chosen else { continue };
            values.sort();
            values.dedup();
            // Only this one is answered by the walk; another on the same field still has to hold.
            let mut rest = query.filters.clone();
            rest.remove(position);
            let ordered = sorted && values.len() <= 1;
            let plan = Self { index: Some(*index), values, ordered, rest };
            let score = 1 + u8::from(plan.ordered);
            if best.as_ref().is_none_or(|(other, _)| score > *other) {
                best = Some((score, plan));
            }
        }
        best.map_or_else(
            || Self { index: None, values: Vec::new(), ordered: by_id, rest: query.filters.clone() },
            |(_, plan)| plan,
        )
    }

    /// Shows every record that matches, from the cursor on where the walk is ordered.
    fn visit<R: Record>(
        &self,
        reader: &impl Reader,
        query: &ListQuery,
        backwards: bool,
        cursor: Option<&Cursor>,
        mut see: impl FnMut(R) -> Visit,
    ) -> Result<(), StoreError> {
        let descending = query.sort.first().is_some_and(|key| key.descending) != backwards;
        for walk in self.walks::<R>(query, if self.ordered { cursor } else { None }, descending) {
            let Walk { table, keys } = walk;
            let by_index = self.index.is_some();
            reader.scan(table, keys, descending, |key, value| {
                let record: R = if by_index {
                    match get(reader, trailing_id(key)?)? {
                        Some(record) => record,
                        None => return Err(StoreError::Corrupt("an index row without its record".into())),
                    }
                } else {
                    decode(value)?
                };
                if self.matches(&record) { see(record) } else { GO_ON }
            })?;
        }
        Ok(())
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
        match &self.index {
            Some(index) => self
                .values
                .iter()
                .map(|value| {
                    seek(index.table, Key::new().scalar(value).build(), index.sort.is_some() && !query.sort.is_empty())
                })
                .collect(),
            None => Vec::from([seek(R::TABLE, Vec::new(), false)]),
        }
    }

    fn matches<R: Record>(&self, record: &R) -> bool {
        self.rest.iter().all(|filter| record.field(&filter.field).is_some_and(|value| filter.test.holds(&value)))
    }

    fn count<R: Record>(&self, reader: &impl Reader, query: &ListQuery) -> Result<Count, StoreError> {
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

struct Walk {
    table: Table,
    keys: Keys,
}
