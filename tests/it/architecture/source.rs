//! One file of Rust, with everything blanked that is not code of the product: comments, strings, test modules.

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

pub struct Source {
    /// Below `src/`, with slashes: `net/dial.rs`.
    pub path: String,
    pub text: String,
    /// As long as `text`, byte for byte; what does not count is spaces.
    pub code: String,
    /// Holds tests and nothing else.
    pub test: bool,
    /// Files that this one declares as test modules: paths below `src/`, with and without `.rs` as a folder.
    test_modules: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut code = blank_text(text);
        let mut test_modules = Vec::new();
        let whole = code.trim_start().starts_with("#![cfg(test)]");
        for item in test_items(&code) {
            if let Some(module) = declared_module(&text[item.clone()], &code[item.clone()]) {
                test_modules.push(resolve(path, &module));
            }
            blank(&mut code, item);
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let only_tests = whole || name == "tests.rs" || name.ends_with("_tests.rs") || path.contains("/tests/");
        Self { path: path.to_owned(), text: text.to_owned(), code, test: only_tests, test_modules }
    }

    /// Every `.rs` file below `root`, in order of path, with test-only files marked.
    pub fn read_all(root: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let below = path.strip_prefix(root).unwrap().to_str().expect("a path in UTF-8").to_owned();
                    sources.push(Self::new(&below, &fs::read_to_string(&path).unwrap()));
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        Self::mark_tests(&mut sources);
        sources
    }

    /// Marks the files that another one declares under `#[cfg(test)]`, and what lies in their folders.
    pub fn mark_tests(sources: &mut [Self]) {
        let modules: HashSet<String> = sources.iter().flat_map(|source| source.test_modules.iter().cloned()).collect();
        for source in sources {
            let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
            let mut upwards = Some(stem);
            while let Some(path) = upwards {
                source.test |= modules.contains(path);
                upwards = path.rsplit_once('/').map(|(above, _)| above);
            }
        }
    }

    /// The room that the file belongs to: the first folder, or the name of a file on top. None for `lib.rs`.
    pub fn room(&self) -> Option<&str> {
        let room = self.path.split('/').next().unwrap_or_default();
        let room = room.strip_suffix(".rs").unwrap_or(room);
        (room != "lib").then_some(room)
    }

    /// How many modules deep the file is: 1 for `app.rs` and `net/mod.rs`, 2 for `net/dial.rs`.
    pub fn depth(&self) -> usize {
        match self.path.as_str() {
            "lib.rs" | "main.rs" => 0,
            path if path.ends_with("/mod.rs") => path.matches('/').count(),
            path => path.matches('/').count() + 1,
        }
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }
}

pub fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Every place where `name` stands as a whole name (or whole path, if it holds `::`).
pub fn names<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(name).map(|(at, _)| at).filter(move |&at| {
        let free_before = at == 0 || !is_name(bytes[at - 1]);
        free_before && bytes.get(at + name.len()).is_none_or(|&byte| !is_name(byte))
    })
}

fn blank(code: &mut String, range: Range<usize>) {
    let blanked: String = code[range.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    code.replace_range(range, &blanked);
}

/// Blanks comments, strings and characters, and keeps every other byte in its place.
fn blank_text(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = text.to_owned();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').map_or(text.len(), |length| at + length)
        } else if rest.starts_with("/*") {
            at + block_comment(rest)
        } else if rest.starts_with('"') {
            at + quoted(rest, b'"')
        } else if let Some(length) = raw_string(rest).filter(|_| at == 0 || !is_name(bytes[at - 1])) {
            at + length
        } else if rest.starts_with('\'') {
            at + character(rest)
        } else {
            // Never land inside a character: the next byte that starts one.
            at += rest.chars().next().map_or(1, char::len_utf8);
            // A name is passed as a whole, or the r of `bar"` would start a raw string.
            continue;
        };
        blank(&mut code, at..end);
        at = end;
    }
    code
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let start = ["r", "br", "cr"].iter().find(|prefix| rest.starts_with(**prefix))?.len();
    let hashes = rest[start..].bytes().take_while(|&byte| byte == b'#').count();
    rest[start + hashes..].strip_prefix('"')?;
    let body = start + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[body..].find(&close).map_or(rest.len(), |length| body + length + close.len()))
}

/// The length of a character literal, or 1 for the tick of a lifetime.
fn character(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    match inside.next() {
        Some('\\') => quoted(rest, b'\''),
        Some(one) if inside.next() == Some('\'') => 2 + one.len_utf8(),
        _ => 1,
    }
}

/// Every item under an attribute that leaves it out of the product: from the attribute to the item's end.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(").map(|at| at + from) {
        let attribute = closing(code, start + 1);
        from = attribute;
        let condition: String = code[start..attribute].chars().filter(|c| !c.is_whitespace()).collect();
        let only_tests = condition == "#[cfg(test)]"
            || condition.starts_with("#[cfg(all(test,")
            || (condition.starts_with("#[cfg(all(") && condition.ends_with(",test))]"));
        if only_tests {
            from = item_end(code, attribute);
            items.push(start..from);
        }
    }
    items
}

/// The offset after the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Where the item ends that follows an attribute: a block, a semicolon, or the comma of a field or an arm.
fn item_end(code: &str, after_attribute: usize) -> usize {
    let bytes = code.as_bytes();
    let mut at = after_attribute;
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if !code[at..].starts_with("#[") {
            break;
        }
        at = closing(code, at + 1);
    }
    let (statement, block) = kind(&code[at..]);
    while at < bytes.len() {
        match bytes[at] {
            b';' => return at + 1,
            b',' if !statement && !block => return at + 1,
            b'(' | b'[' => at = closing(code, at),
            b'{' => {
                at = closing(code, at);
                if !statement {
                    return at;
                }
            }
            b'}' | b')' | b']' => return at,
            _ => at += 1,
        }
    }
    code.len()
}

/// Whether an item is a statement that ends with a semicolon, or a declaration that may end with a block.
fn kind(item: &str) -> (bool, bool) {
    let item = match item.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest[closing(rest, 0)..].trim_start(),
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => item,
    };
    let mut words = item.split(|c: char| !c.is_alphanumeric() && c != '_');
    match words.next().unwrap_or_default() {
        "use" | "static" | "let" | "type" => (true, false),
        "const" => (words.next() != Some("fn"), true),
        "mod" | "fn" | "impl" | "struct" | "enum" | "trait" | "union" | "extern" | "async" | "macro_rules" => {
            (false, true)
        }
        _ => (false, false),
    }
}

/// `mod name;`: the name, or the file of its `#[path]`.
fn declared_module(text: &str, code: &str) -> Option<String> {
    let start = names(code, "mod").next()?;
    let name = code[start + 3..].trim().strip_suffix(';')?.trim();
    if !name.bytes().all(is_name) {
        return None;
    }
    // The code has its strings blanked; the text has them.
    let path = text.find("#[path").and_then(|at| text[at..].split('"').nth(1));
    Some(path.map_or_else(|| name.to_owned(), |path| format!("={path}")))
}

/// Where a module declared in `file` lies, without `.rs`. A `#[path]` (marked `=`) counts from the file's folder.
fn resolve(file: &str, module: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = match module.strip_prefix('=') {
        Some(path) => return join(folder, path.strip_suffix(".rs").unwrap_or(path)),
        None if file.ends_with("/mod.rs") || file == "lib.rs" || file == "main.rs" => folder,
        None => file.strip_suffix(".rs").unwrap_or(file),
    };
    join(below, module)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
