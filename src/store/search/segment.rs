//! How a segment is written: its words ascending, each with its messages ascending, cut into blocks.
//!
//! In a block a word is written as what it has in common with the one before and its rest, messages as the distance to the
//! one before. The messages of a common word go over several entries, each with the word.

use super::super::StoreError;

/// A block ends with the entry that makes it this large, in octets.
const BLOCK: usize = 4 * 1024;
/// How many messages one entry has.
const ENTRY: usize = 2 * 1024;

/// A word with messages that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub word: String,
    pub messages: Vec<u64>,
}

/// A block that is ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Its first word, and the first message there.
    pub word: String,
    pub first: u64,
    pub octets: Vec<u8>,
}

/// The blocks of entries, whose words ascend.
pub(super) fn blocks(all: impl IntoIterator<Item = Entry>) -> Vec<Block> {
    let mut built: Vec<Block> = Vec::new();
    let mut before = String::new();
    for Entry { word, messages } in all {
        for messages in messages.chunks(ENTRY) {
            let Some(first) = messages.first() else { continue };
            if built.last().is_none_or(|block| block.octets.len() >= BLOCK) {
                built.push(Block { word: word.clone(), first: *first, octets: Vec::with_capacity(BLOCK + 512) });
                before.clear();
            }
            let Some(block) = built.last_mut() else { continue };
            write(&mut block.octets, &before, &word, messages);
            before.clone_from(&word);
        }
    }
    built
}

fn write(octets: &mut Vec<u8>, before: &str, word: &str, messages: &[u64]) {
    let shared = before.bytes().zip(word.bytes()).take_while(|(one, other)| one == other).count();
    let rest = &word.as_bytes()[shared..];
    put(octets, shared as u64);
    put(octets, rest.len() as u64);
    octets.extend_from_slice(rest);
    put(octets, messages.len() as u64);
    let mut last = 0;
    for message in messages {
        put(octets, message.wrapping_sub(last));
        last = *message;
    }
}

/// The entries of a block.
pub(super) fn entries(block: &[u8]) -> impl Iterator<Item = Result<Entry, StoreError>> {
    let mut reading = Reading { rest: block, word: Vec::new() };
    std::iter::from_fn(move || {
        if reading.rest.is_empty() {
            return None;
        }
        let entry = reading.entry();
        if entry.is_none() {
            reading.rest = &[];
        }
        Some(entry.ok_or_else(|| StoreError::Corrupt("a block of the search index cannot be read".into())))
    })
}

struct Reading<'b> {
    rest: &'b [u8],
    word: Vec<u8>,
}

impl Reading<'_> {
    fn entry(&mut self) -> Option<Entry> {
        let (shared, length) = (self.length()?, self.length()?);
        if shared > self.word.len() || length > self.rest.len() {
            return None;
        }
        self.word.truncate(shared);
        let (rest, after) = self.rest.split_at(length);
        self.word.extend_from_slice(rest);
        self.rest = after;
        let count = self.length()?;
        // Each takes an octet at least.
        let mut messages = Vec::with_capacity(count.min(self.rest.len()));
        let mut last: u64 = 0;
        for _ in 0..count {
            last = last.wrapping_add(self.number()?);
            messages.push(last);
        }
        Some(Entry { word: String::from_utf8(self.word.clone()).ok()?, messages })
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number: u64 = 0;
        for shift in (0..64).step_by(7) {
            let (octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(octet & 0x7F) << shift;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

/// A number in groups of seven bits, the lowest first; all but the last with the high bit set.
fn put(octets: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return octets.push(low);
        }
        octets.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn what_is_written_is_read(
            words in proptest::collection::btree_map("[a-cé]{1,6}", proptest::collection::btree_set(any::<u64>(), 1..40), 0..40),
            common in proptest::collection::btree_set(1u64..100_000, 0..6_000),
        ) {
            let mut words: BTreeMap<String, BTreeSet<u64>> = words;
            if !common.is_empty() {
                words.insert("common".into(), common);
            }
            let all = words.iter().map(|(word, ids)| Entry { word: word.clone(), messages: ids.iter().copied().collect() });
            let built = blocks(all);
            let mut read: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
            for block in &built {
                let mut first = true;
                for entry in entries(&block.octets) {
                    let entry = entry.unwrap();
                    if std::mem::take(&mut first) {
                        prop_assert_eq!((&entry.word, entry.messages[0]), (&block.word, block.first));
                    }
                    read.entry(entry.word).or_default().extend(entry.messages);
                }
                prop_assert!(block.octets.len() <= BLOCK + ENTRY * 10 + 100);
            }
            prop_assert_eq!(read, words);
        }

        #[test]
        fn rubbish_is_no_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read: Vec<_> = entries(&octets).collect();
            prop_assert!(read.len() <= octets.len());
        }
    }
}
