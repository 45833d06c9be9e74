//! Small segments become larger ones, a stretch of words at a time: each stretch is a commit of its own, and until the
//! last one the small segments are what counts. What a kill leaves of a merge is swept away.

use super::segment::{Block, Entry, blocks};
use super::{SEGMENT_COUNTER, Segment, block_key, scan_words, segments};
use crate::domain::message::Message;
use crate::store::codec::{Key, encode, trailing_id};
use crate::store::reader::{Keys, Reader, STOP};
use crate::store::tables::{SEARCH_BLOCKS, SEARCH_SEGMENTS};
use crate::store::{Record, StoreError, Work};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// So many segments of about the same size become one.
const TOGETHER: usize = 8;
/// A segment with so many messages is not merged any more.
const LARGEST: u64 = 1_000_000;
/// How many postings are read of each segment for one stretch, and those of the last word beyond.
const STRETCH: usize = 20_000;

type MessagesOfWords = BTreeMap<String, Vec<u64>>;

/// Segments on their way to become one.
#[derive(Clone, Debug)]
pub struct Merge {
    sources: Vec<u64>,
    target: u64,
    messages: u64,
    /// Everything up to this word is written.
    done: String,
}

/// A stretch of a merged segment.
pub struct Merged {
    pub(super) blocks: Vec<Block>,
    /// The last word of it; `None` where the sources end.
    pub(super) last: Option<String>,
}

/// Which segments would best be merged now; `None` while there are few of each size.
fn due(all: &[(u64, Segment)]) -> Option<Vec<(u64, Segment)>> {
    let mut by_size: BTreeMap<u32, Vec<(u64, Segment)>> = BTreeMap::new();
    for (id, segment) in all.iter().filter(|(_, segment)| segment.messages < LARGEST) {
        by_size.entry(segment.messages.max(1).ilog2() / TOGETHER.ilog2()).or_default().push((*id, *segment));
    }
    by_size.into_values().find(|alike| alike.len() >= TOGETHER).map(|mut alike| {
        alike.truncate(TOGETHER);
        alike
    })
}

/// Whether there are many segments of one size.
pub fn wants_merge(reader: &impl Reader) -> Result<bool, StoreError> {
    Ok(due(&segments(reader)?).is_some())
}

impl Merge {
    /// The next stretch. Reads only, so that nobody waits for it.
    pub fn next(&self, reader: &impl Reader) -> Result<Merged, StoreError> {
        let (words, end) = self.read(reader)?;
        let mut is_there = HashMap::new();
        let mut entries = Vec::with_capacity(words.len());
        for (word, mut messages) in words {
            messages.sort_unstable();
            messages.dedup();
            let mut left = Vec::with_capacity(messages.len());
            for id in messages {
                if exists(reader, id, &mut is_there)? {
                    left.push(id);
                }
            }
            entries.push(Entry { word, messages: left });
        }
        let last = end.and(entries.last().map(|entry| entry.word.clone()));
        Ok(Merged { blocks: blocks(entries), last })
    }

    /// Words after the last stretch with all their messages, one at least; and the first word that is not among them, if
    /// any.
    fn read(&self, reader: &impl Reader) -> Result<(MessagesOfWords, Option<String>), StoreError> {
        let mut words = MessagesOfWords::new();
        let mut end: Option<String> = None;
        for source in &self.sources {
            let mut read = 0;
            let mut last: Option<String> = None;
            let mut is_cut = false;
            scan_words(reader, *source, &self.done, |entry| {
                if entry.word <= self.done && !self.done.is_empty() {
                    return Ok(true);
                }
                // A word is whole once another one begins.
                is_cut = read >= STRETCH && last.as_ref().is_some_and(|last| *last != entry.word);
                if is_cut {
                    last = Some(entry.word);
                    return Ok(false);
                }
                read += entry.messages.len();
                last = Some(entry.word.clone());
                words.entry(entry.word).or_default().extend(entry.messages);
                Ok(true)
            })?;
            if let Some(first_unread) = last.filter(|_| is_cut) {
                end = Some(end.map_or(first_unread.clone(), |end| end.min(first_unread)));
            }
        }
        if let Some(end) = &end {
            words.retain(|word, _| word < end);
        }
        Ok((words, end))
    }
}

fn exists(reader: &impl Reader, id: u64, known: &mut HashMap<u64, bool>) -> Result<bool, StoreError> {
    if let Some(there) = known.get(&id) {
        return Ok(*there);
    }
    let there = reader.with(Message::TABLE, &Key::new().id(id).build(), |_| ())?.is_some();
    known.insert(id, there);
    Ok(there)
}

impl Work<'_> {
    /// Begins to merge segments if there are many of one size.
    pub fn begin_merge(&mut self) -> Result<Option<Merge>, StoreError> {
        let Some(chosen) = due(&segments(self)?) else { return Ok(None) };
        let target = self.next_id(SEGMENT_COUNTER)?;
        let messages = chosen.iter().map(|(_, segment)| segment.messages).sum();
        Ok(Some(Merge {
            sources: chosen.into_iter().map(|(id, _)| id).collect(),
            target,
            messages,
            done: String::new(),
        }))
    }

    /// Writes a stretch of a merge; what is left to do, or `None` once the new segment stands for the old ones.
    pub fn put_merged(&mut self, merge: &Merge, merged: &Merged) -> Result<Option<Merge>, StoreError> {
        for block in &merged.blocks {
            self.put(SEARCH_BLOCKS, &block_key(merge.target, &block.word, block.first), &block.octets)?;
        }
        if let Some(done) = &merged.last {
            return Ok(Some(Merge { done: done.clone(), ..merge.clone() }));
        }
        for source in &merge.sources {
            self.remove(SEARCH_SEGMENTS, &Key::new().id(*source).build())?;
        }
        let segment = Segment { messages: merge.messages };
        self.put(SEARCH_SEGMENTS, &Key::new().id(merge.target).build(), &encode(&segment)?)?;
        Ok(None)
    }

    /// Removes up to `limit` blocks of segments that do not count; whether there may be more. Never while a merge is
    /// under way.
    pub fn sweep_segments(&mut self, limit: usize) -> Result<bool, StoreError> {
        let counting: Vec<u64> = segments(self)?.into_iter().map(|(id, _)| id).collect();
        let (mut from, mut removed) = (Bound::Unbounded, 0);
        loop {
            let mut found = None;
            self.scan(SEARCH_BLOCKS, Keys::all().from(from), false, |key, _| {
                found = Some(trailing_id(key.get(..8).unwrap_or_default())?);
                STOP
            })?;
            let Some(segment) = found else { return Ok(false) };
            if !counting.contains(&segment) {
                removed += self.clear(SEARCH_BLOCKS, &Key::new().id(segment).build(), limit - removed)?;
                if removed >= limit {
                    return Ok(true);
                }
            }
            from = Bound::Included(Key::new().id(segment + 1).build());
        }
    }
}
