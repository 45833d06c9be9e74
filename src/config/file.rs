//! The TOML file: each known key with its line, each unknown one as a problem.

use super::OPTIONS;
use super::setting::Raw;
use crate::domain::nearest::nearest;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// A value of the file and the line it stands on, counted from 1.
pub struct Entry {
    pub raw: Raw,
    pub line: usize,
}

/// Something wrong in the file: the line, the key where there is one, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: usize,
    pub key: Option<String>,
    pub sentence: String,
}

/// The known keys of a configuration file, by their paths, and everything that is wrong with the rest.
pub fn read(text: &str) -> (BTreeMap<&'static str, Entry>, Vec<Fault>) {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was recovered of a broken file says little about what was meant.
        let fault = |error: &toml::de::Error| Fault {
            line: line(error.span().map_or(0, |span| span.start)),
            key: None,
            sentence: format!("This is not TOML: {}.", error.message().replace('\n', ", ")),
        };
        return (BTreeMap::new(), errors.iter().map(fault).collect());
    }
    let (mut entries, mut faults) = (BTreeMap::new(), Vec::new());
    walk("", table.get_ref(), &line, &mut entries, &mut faults);
    faults.sort_by_key(|fault| fault.line);
    (entries, faults)
}

fn walk(
    prefix: &str,
    table: &DeTable<'_>,
    line: &impl Fn(usize) -> usize,
    entries: &mut BTreeMap<&'static str, Entry>,
    faults: &mut Vec<Fault>,
) {
    for (name, value) in table {
        let path = format!("{prefix}{}", name.get_ref());
        let at = line(name.span().start);
        if let Some(option) = OPTIONS.iter().find(|option| option.path == path) {
            entries.insert(option.path, Entry { raw: raw(value.get_ref()), line: at });
            continue;
        }
        match value.get_ref() {
            // A table's keys are looked at one by one, so that each is named; ours are never nested deeper than this.
            DeValue::Table(inner) if prefix.is_empty() && (!inner.is_empty() || is_section(&path)) => {
                walk(&format!("{path}."), inner, line, entries, faults);
            }
            _ => faults.push(Fault { line: at, sentence: unknown(&path, name.get_ref()), key: Some(path) }),
        }
    }
}

fn is_section(path: &str) -> bool {
    OPTIONS.iter().any(|option| option.path.split_once('.').is_some_and(|(section, _)| section == path))
}

fn unknown(path: &str, name: &str) -> String {
    let paths = || OPTIONS.iter().map(|option| option.path);
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    // In a table that exists only the key can be mistyped: the table's name must not count as likeness.
    let table = path.strip_suffix(name).filter(|table| paths().any(|known| known.starts_with(table)));
    let near = match table {
        Some(table) => {
            let siblings = || paths().filter(|known| known.starts_with(table));
            nearest(name, siblings().map(last)).and_then(|near| siblings().find(|known| last(known) == near))
        }
        None => nearest(path, paths()),
    };
    // Perhaps it was written in another table than the one it belongs to.
    match near.or_else(|| paths().find(|known| last(known) == name)) {
        Some(known) => format!("There is no such option. The nearest one is {known}."),
        None => "There is no such option.".to_owned(),
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::String(text.clone().into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other("a number beyond all bounds"),
        },
        DeValue::Boolean(flag) => Raw::Boolean(*flag),
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date or time"),
        DeValue::Array(_) => Raw::Other("a list"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_come_with_their_lines() {
        let (entries, faults) = read("# Ours\nlisten = \"[::1]:1\"\n\n[send]\nworkers = 0x10\n");
        assert_eq!(faults, []);
        assert_eq!(entries["listen"].line, 2);
        assert_eq!((&entries["send.workers"].raw, entries["send.workers"].line), (&Raw::Integer(16), 5));
    }

    #[test]
    fn each_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let text = "listem = 1\nworkers = 1\nzebra = 1\n[sned]\nworkers = 1\n[stoer]\n[send.deep]\nx = 1\n[log]\n";
        let faults: Vec<(usize, String, bool)> = read(text)
            .1
            .into_iter()
            .map(|fault| (fault.line, fault.key.unwrap(), fault.sentence.contains("nearest")))
            .collect();
        let expected = [
            (1, "listem", true),
            (2, "workers", true),
            (3, "zebra", false),
            (5, "sned.workers", true),
            (6, "stoer", false),
            (7, "send.deep", false),
        ];
        assert_eq!(faults, expected.map(|(line, key, near)| (line, key.to_owned(), near)));
    }

    #[test]
    fn a_broken_file_names_the_lines_that_cannot_be_read() {
        let (entries, faults) = read("listen = \"a\"\npublic_url = \n[send\n");
        assert!(entries.is_empty());
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert!(lines.contains(&2) && lines.contains(&3), "{faults:?}");
        assert_eq!(read("listen = 1\nlisten = 2\n").1.len(), 1, "a key twice");
    }
}
