//! The rules of [`house`](super::house), held against sources.

use super::house::{CONFINED, Confined, EMPTY_NAMES, HOUSE, LONGEST, Sign};
use super::source::{Source, is_name, names};
use std::collections::BTreeMap;
use std::fmt;

/// Where a rule is broken, which one, and what to do instead.
pub struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  src/{}:{}: {}", self.file, self.line, self.rule)
    }
}

fn violation(source: &Source, offset: usize, rule: String) -> Violation {
    Violation { file: source.path.clone(), line: source.line(offset), rule }
}

fn allowed(room: &str) -> Option<&'static str> {
    HOUSE.iter().find(|(name, _)| *name == room).map(|(_, rooms)| *rooms)
}

/// A room uses only rooms that its row names, whether by `use crate::x`, `crate::x::y` or a chain of `super`.
pub fn arrows(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.test) {
        let Some(room) = source.room() else { continue };
        let Some(rooms) = allowed(room) else {
            let rule = format!(
                "`{room}` is no room: give it a row in tests/it/architecture/house.rs and a line in src/lib.rs"
            );
            found.push(violation(source, 0, rule));
            continue;
        };
        for (offset, used) in uses(source) {
            let known = allowed(&used).is_some();
            if used == "*" {
                found.push(violation(source, offset, "`crate::*` hides who uses whom: name the rooms".to_owned()));
            } else if known && used != room && !rooms.split_whitespace().any(|name| name == used) {
                let below = if rooms.is_empty() { "no room at all" } else { rooms };
                let rule = format!(
                    "`{room}` may not use `{used}`. Move what both need to a room below both, or let app hand it in. \
                     `{room}` may use: {below}"
                );
                found.push(violation(source, offset, rule));
            }
        }
    }
    found
}

/// What is used from the crate's root: offset and first name.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let code = source.code.as_str();
    let mut found = Vec::new();
    let root = if source.path == "main.rs" { "postroom" } else { "crate" };
    for at in names(code, root) {
        for name in heads(&code[at + root.len()..]) {
            found.push((at, name));
        }
    }
    for at in names(code, "super") {
        // Count the chain from its first link only.
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut end = at;
        let mut links = 0;
        while code[end..].starts_with("super") {
            links += 1;
            end += "super".len();
            if code[end..].starts_with("::super") {
                end += 2;
            }
        }
        if links == source.depth() && links > 0 {
            found.extend(heads(&code[end..]).into_iter().filter(|name| name != "*").map(|name| (at, name)));
        }
    }
    found
}

/// The names that follow `::` directly, or in braces: `::a`, `::{a, b::c}`, `::*`.
fn heads(after: &str) -> Vec<String> {
    let Some(rest) = after.trim_start().strip_prefix("::") else { return Vec::new() };
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else { return head(rest).into_iter().collect() };
    let mut found: Vec<String> = head(group).into_iter().collect();
    let mut depth = 1;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => found.extend(head(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn head(text: &str) -> Option<String> {
    let text = text.trim_start();
    if text.starts_with('*') {
        return Some("*".to_owned());
    }
    let length = text.bytes().take_while(|&byte| is_name(byte)).count();
    (length > 0).then(|| text[..length].to_owned())
}

/// Crates, sockets, the clock and unfinished code appear only where they may.
pub fn confinement(sources: &[Source]) -> Vec<Violation> {
    CONFINED.iter().flat_map(|rule| confined(rule, sources)).collect()
}

fn confined(rule: &Confined, sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut taken: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.test) {
        let home = rule.homes.iter().find(|home| source.path.starts_with(**home)).copied();
        for sign in rule.signs {
            let Some(offset) = places(sign, &source.code).into_iter().next() else { continue };
            let Some(home) = home else {
                let offsets = places(sign, &source.code);
                found.extend(offsets.into_iter().map(|at| violation(source, at, complaint(sign, rule))));
                continue;
            };
            let files = taken.entry(home).or_default();
            if !files.contains(&source.path.as_str()) {
                files.push(&source.path);
            }
            if files.len() > rule.files_per_home {
                let others = files[..files.len() - 1].join(", ");
                let complaint = format!("{} (already in src/{others})", complaint(sign, rule));
                found.push(violation(source, offset, complaint));
            }
        }
    }
    found
}

fn complaint(sign: &Sign, rule: &Confined) -> String {
    let what = match sign {
        Sign::Crate(name) => format!("the crate `{name}`"),
        Sign::Path(path) => format!("`{path}`"),
        Sign::Macro(name) => format!("`{name}!`"),
    };
    format!("{what} may not be here: {}", rule.remedy)
}

fn places(sign: &Sign, code: &str) -> Vec<usize> {
    match sign {
        Sign::Path(path) => names(code, path).collect(),
        Sign::Macro(name) => names(code, name).filter(|at| code[at + name.len()..].starts_with('!')).collect(),
        Sign::Crate(name) if shadowed(code, name) => names(code, name).filter(|&at| rooted(code, at)).collect(),
        Sign::Crate(name) => names(code, name).filter(|&at| names_crate(code, at, name)).collect(),
    }
}

/// `::imap::…`: from the list of crates, whatever is named alike nearby.
fn rooted(code: &str, at: usize) -> bool {
    code[..at]
        .strip_suffix("::")
        .is_some_and(|before| !before.as_bytes().last().is_some_and(|&b| is_name(b) || b == b'>'))
}

/// A path begins here (`redb::…`), or an import of the whole crate (`use redb;`, `use redb as r;`).
fn names_crate(code: &str, at: usize, name: &str) -> bool {
    let after = &code[at + name.len()..];
    if rooted(code, at) {
        return true;
    }
    if code[..at].ends_with("::") {
        return false;
    }
    let imported = code[..at].trim_end().ends_with("use") || code[..at].trim_end().ends_with("extern crate");
    after.starts_with("::") || imported
}

/// Whether the file has a module of its own by the crate's name (`mod imap`, `use super::imap`).
fn shadowed(code: &str, name: &str) -> bool {
    names(code, name).any(|at| {
        let before = code[..at].trim_end();
        if before.ends_with("mod") || ["super::", "self::", "crate::"].iter().any(|root| before.ends_with(root)) {
            return true;
        }
        // `use super::{imap, smtp};` and `use crate::sync::imap;`
        let statement = &code[code[..at].rfind(';').map_or(0, |end| end + 1)..at];
        let import = statement.rfind("use ").map(|from| statement[from + 4..].trim_start());
        let ours = |path: &str| ["super::", "self::", "crate::"].iter().any(|root| path.starts_with(root));
        let ends_there = !code[at + name.len()..].starts_with("::");
        import.is_some_and(ours) && ends_there
    })
}

/// Files have a telling name and end before they hold a second thing.
pub fn files(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            let rule = format!("{lines} lines, {LONGEST} is the limit: find the second thing that the file does");
            found.push(Violation { file: source.path.clone(), line: lines, rule });
        }
        let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
        if let Some(name) = stem.split('/').find(|name| EMPTY_NAMES.contains(name)) {
            found.push(violation(source, 0, format!("`{name}` says nothing: name the file after what it holds")));
        }
    }
    found
}

/// Every room that exists is on the map at the top of `lib.rs`.
pub fn map(sources: &[Source], lib: &str) -> Vec<Violation> {
    let drawn = |room: &str| {
        lib.lines().filter_map(|line| line.strip_prefix("//! ")).any(|line| {
            let first = line.split_whitespace().next().unwrap_or_default();
            first == format!("{room}/") || first == format!("{room}.rs")
        })
    };
    let mut rooms: Vec<&Source> =
        sources.iter().filter(|source| source.room().is_some_and(|room| !drawn(room))).collect();
    rooms.dedup_by_key(|source| source.room());
    let rule = |source: &Source| {
        format!("`{}` is not on the map in src/lib.rs: draw it there", source.room().unwrap_or_default())
    };
    rooms.into_iter().map(|source| violation(source, 0, rule(source))).collect()
}
