//! The words of messages and which messages have them: an inverted index.
//!
//! What one commit stores becomes a segment of its own, written once (`segment.rs`); upkeep merges small segments into
//! larger ones (`merge.rs`), so that there are few of them. A message is in one segment. A message that is gone stays in
//! the index until its segment is merged; whoever reads looks whether it is there.

mod merge;
mod segment;

pub use merge::{Merge, Merged, wants_merge};

use super::codec::{Key, decode, encode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::tables::{META, SEARCH_BLOCKS, SEARCH_SEGMENTS, Table};
use super::{StoreError, Work};
use crate::domain::words::{Term, Words, inverted};
use redb::{ReadableTable, WriteTransaction};
use segment::{Entry, blocks, entries};
use serde::{Deserialize, Serialize};

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    /// How many messages it has words of.
    messages: u64,
}

const SEGMENT_COUNTER: &str = "search.segments";
/// The messages up to this one were stored before there was an index.
const BACKLOG: &[u8] = b"search.backlog";
/// So many messages with one word, or one beginning of a word, are looked at in a segment.
const POSTINGS: usize = 2_000_000;

/// The messages with all of these words, ascending.
pub fn search(reader: &impl Reader, terms: &[Term]) -> Result<Vec<u64>, StoreError> {
    let mut found = Vec::new();
    for (segment, _) in segments(reader)? {
        let mut all: Option<Vec<u64>> = None;
        for term in terms {
            let some = postings(reader, segment, term)?;
            let both = match all {
                None => some,
                Some(all) => intersection(&all, &some),
            };
            let is_empty = both.is_empty();
            all = Some(both);
            if is_empty {
                break;
            }
        }
        found.extend(all.unwrap_or_default());
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// How many messages that were stored before there was an index are not in it yet: those up to this one.
pub fn search_backlog(reader: &impl Reader) -> Result<Option<u64>, StoreError> {
    reader.with(META, BACKLOG, decode)?.transpose()
}

fn segments(reader: &impl Reader) -> Result<Vec<(u64, Segment)>, StoreError> {
    let mut found = Vec::new();
    reader.scan(SEARCH_SEGMENTS, Keys::all(), false, |key, value| {
        found.push((trailing_id(key)?, decode(value)?));
        GO_ON
    })?;
    Ok(found)
}

/// The messages of a segment with a word, ascending.
fn postings(reader: &impl Reader, segment: u64, term: &Term) -> Result<Vec<u64>, StoreError> {
    let is_wanted = |word: &str| if term.is_beginning { word.starts_with(&term.word) } else { word == term.word };
    let mut found: Vec<u64> = Vec::new();
    scan_words(reader, segment, &term.word, |entry| {
        let is_behind = *entry.word > *term.word && !is_wanted(&entry.word);
        if is_wanted(&entry.word) {
            found.extend(entry.messages);
        }
        Ok(!is_behind && found.len() < POSTINGS)
    })?;
    if term.is_beginning {
        found.sort_unstable();
        found.dedup();
    }
    Ok(found)
}

/// Shows the entries of a segment from a word on, and perhaps some before it, until `see` has enough.
fn scan_words(
    reader: &impl Reader,
    segment: u64,
    from: &str,
    mut see: impl FnMut(Entry) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let prefix = Key::new().id(segment).build();
    // The word may begin in the block before the first one that begins with it.
    let mut start = prefix.clone();
    let before = Keys::prefix(prefix.clone()).to(std::ops::Bound::Excluded(Key::new().id(segment).text(from).build()));
    reader.scan(SEARCH_BLOCKS, before, true, |key, _| {
        start = key.to_vec();
        STOP
    })?;
    reader.scan(SEARCH_BLOCKS, Keys::prefix(prefix).from(std::ops::Bound::Included(start)), false, |_, block| {
        for entry in entries(block) {
            if !see(entry?)? {
                return STOP;
            }
        }
        GO_ON
    })
}

fn intersection(one: &[u64], other: &[u64]) -> Vec<u64> {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let mut rest = many;
    let mut both = Vec::new();
    for id in few {
        let at = rest.partition_point(|candidate| candidate < id);
        rest = &rest[at..];
        if rest.first() == Some(id) {
            both.push(*id);
        }
    }
    both
}

fn block_key(segment: u64, word: &str, first: u64) -> Vec<u8> {
    Key::new().id(segment).text(word).id(first).build()
}

/// Notes in a store without an index which messages it has.
pub(super) fn adopt(transaction: &WriteTransaction, messages: Table) -> Result<(), StoreError> {
    let last = transaction.open_table(messages)?.last()?.map(|(key, _)| trailing_id(key.value())).transpose()?;
    let mut meta = transaction.open_table(META)?;
    let is_new = transaction.open_table(SEARCH_SEGMENTS)?.first()?.is_none() && meta.get(BACKLOG)?.is_none();
    if let Some(last) = last.filter(|_| is_new) {
        meta.insert(BACKLOG, encode(&last)?.as_slice())?;
    }
    Ok(())
}

/// The words of messages that are to be stored together, turned around outside the writer thread.
#[derive(Clone, Debug, Default)]
pub struct WordsOfBatch {
    words: Vec<(String, Vec<u32>)>,
}

impl WordsOfBatch {
    /// The words of the first message, the second one and so on.
    pub fn of<'w>(messages: impl IntoIterator<Item = &'w Words>) -> Self {
        Self { words: inverted(messages) }
    }
}

impl Work<'_> {
    /// Lets messages be found by their words; `ids` has the id of each message of the batch, or `None` for those that
    /// were not stored.
    pub fn index_words(&mut self, batch: &WordsOfBatch, ids: &[Option<u64>]) -> Result<(), StoreError> {
        let messages = ids.iter().flatten().count() as u64;
        let of_word = |(word, numbers): &(String, Vec<u32>)| {
            let number = |number: &u32| ids.get(*number as usize).copied().flatten();
            let mut messages: Vec<u64> = numbers.iter().filter_map(number).collect();
            messages.sort_unstable();
            (!messages.is_empty()).then(|| Entry { word: word.clone(), messages })
        };
        let built = blocks(batch.words.iter().filter_map(of_word));
        if messages == 0 || built.is_empty() {
            return Ok(());
        }
        let segment = self.next_id(SEGMENT_COUNTER)?;
        for block in built {
            self.put(SEARCH_BLOCKS, &block_key(segment, &block.word, block.first), &block.octets)?;
        }
        self.put(SEARCH_SEGMENTS, &Key::new().id(segment).build(), &encode(&Segment { messages })?)
    }

    /// Notes that of the messages from before there was an index those after one are in it now.
    pub fn note_backlog(&mut self, left: Option<u64>) -> Result<(), StoreError> {
        match left {
            Some(last) => self.put(META, BACKLOG, &encode(&last)?),
            None => self.remove(META, BACKLOG),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
