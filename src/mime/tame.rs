//! Judges HTML before a tree is built of it: how deep the tree can be, what it can cost, how long its text can become.
//!
//! Each answer errs on the side of more: HTML that is built as a tree is never worse than was judged, whatever it hides in
//! comments, quotes and cells.

use super::markup::{Scanner, Token};
use std::collections::HashMap;

/// Whether building a tree is safe: the algorithms of the HTML specification repeat unclosed formatting elements in
/// every block, look up the whole stack of open elements, and compare every two attributes of a tag, so that hostile
/// HTML costs the square of its length. The bounds lie well above what newsletters have.
pub(super) fn is_tame(html: &str) -> bool {
    const TAGS: usize = 20_000;
    const ATTRIBUTES: usize = 500;
    const DEPTH: usize = 1_000;
    // Elements without content, and those that the next of their kind closes.
    const FLAT: [&str; 21] = [
        "area", "base", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p", "tbody",
        "td", "tfoot", "th", "thead", "tr", "wbr",
    ];
    let (mut tags, mut most_formatting) = (0, 0_usize);
    // Whatever a tag is inside of.
    if may_begin(html) > TAGS {
        return false;
    }
    // The text around a character reference is copied for each of them.
    if html.matches('&').count() * html.len() > 10_000_000_000 {
        return false;
    }
    let mut open = Open::default();
    for token in Scanner::of(html) {
        let Token::Tag { name, closing, attributes } = token else { continue };
        tags += 1;
        if tags > TAGS || attributes > ATTRIBUTES {
            return false;
        }
        // In foreign content other rules hold: nothing counts as flat or as closed there.
        open.is_foreign |= matches!(name.as_str(), "svg" | "math");
        if closing {
            open.end(&name);
        } else if open.is_foreign || is_scope(&name) || !FLAT.contains(&name.as_str()) {
            open.start(name);
        }
        most_formatting = most_formatting.max(open.formatting());
        if open.depth() > DEPTH || most_formatting * tags > 1_000_000 {
            return false;
        }
    }
    true
}

/// Whether its tree may be so deep that it needs a deep stack: by all that may begin an element, wherever it stands.
pub(super) fn may_be_deep(html: &str) -> bool {
    may_begin(html) > 500
}

/// How many elements there can be.
fn may_begin(html: &str) -> usize {
    html.as_bytes().windows(2).filter(|two| two[0] == b'<' && two[1].is_ascii_alphabetic()).count()
}

const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// Elements that no end tag within them reaches out of.
fn is_scope(name: &str) -> bool {
    matches!(name, "table" | "td" | "th" | "caption" | "object" | "marquee" | "applet" | "template")
}

/// The elements that a parser may have open, never fewer than it has: an end tag whose element lies outside of the cell
/// that it stands in is passed over, and the element stays open.
struct Open {
    scopes: Vec<Scope>,
    /// Of all scopes but the last.
    outer: (usize, usize),
    is_foreign: bool,
}

#[derive(Default)]
struct Scope {
    name: String,
    elements: HashMap<String, usize>,
    depth: usize,
    formatting: usize,
}

impl Default for Open {
    fn default() -> Self {
        Self { scopes: vec![Scope::default()], outer: (0, 0), is_foreign: false }
    }
}

impl Open {
    fn depth(&self) -> usize {
        self.outer.0 + self.scopes.last().map_or(0, |scope| scope.depth)
    }

    fn formatting(&self) -> usize {
        self.outer.1 + self.scopes.last().map_or(0, |scope| scope.formatting)
    }

    /// Where the innermost table begins.
    fn table(&self) -> usize {
        self.scopes.iter().rposition(|scope| matches!(scope.name.as_str(), "table" | "template")).unwrap_or(0)
    }

    fn start(&mut self, name: String) {
        let is_cell = matches!(name.as_str(), "td" | "th" | "caption");
        if is_cell && !self.is_foreign {
            // A cell closes the one before it.
            let table = self.table();
            let cell = |scope: &Scope| matches!(scope.name.as_str(), "td" | "th" | "caption");
            if let Some(at) = self.scopes.iter().rposition(cell).filter(|at| *at > table) {
                self.leave(at);
            }
        }
        if is_scope(&name) {
            if let Some(last) = self.scopes.last() {
                self.outer = (self.outer.0 + last.depth, self.outer.1 + last.formatting);
            }
            // The row and the body of a table stand between it and a cell.
            let depth = if is_cell { 3 } else { 1 };
            self.scopes.push(Scope { name, depth, ..Scope::default() });
        } else if let Some(scope) = self.scopes.last_mut() {
            scope.depth += 1;
            scope.formatting += usize::from(FORMATTING.contains(&name.as_str()));
            *scope.elements.entry(name).or_default() += 1;
        }
    }

    fn end(&mut self, name: &str) {
        if self.is_foreign {
            return;
        }
        if is_scope(name) {
            let last = self.scopes.len() - 1;
            let reach = if matches!(name, "table" | "td" | "th" | "caption") { self.table() } else { last };
            let found = self.scopes.iter().rposition(|scope| scope.name == name);
            if let Some(at) = found.filter(|at| *at >= reach.max(1)) {
                self.leave(at);
            }
        } else if let Some(scope) = self.scopes.last_mut()
            && let Some(count) = scope.elements.get_mut(name).filter(|count| **count > 0)
        {
            *count -= 1;
            scope.depth -= 1;
            scope.formatting -= usize::from(FORMATTING.contains(&name));
        }
    }

    /// Closes a scope and all in it. What formats text beside the cells of a table goes on behind it.
    fn leave(&mut self, at: usize) {
        let mut left: usize = 0;
        while self.scopes.len() > at.max(1) {
            let Some(scope) = self.scopes.pop() else { break };
            left = if scope.name == "table" { left + scope.formatting } else { 0 };
            if let Some(last) = self.scopes.last() {
                self.outer = (self.outer.0 - last.depth, self.outer.1 - last.formatting);
            }
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.depth += left;
            scope.formatting += left;
        }
    }
}

/// Whether HTML can be written as indented text: every level of quotes and lists takes columns from each line, until
/// every character has a line of its own behind all the marks of its levels.
pub(super) fn is_shallow(html: &str) -> bool {
    const LEVELS: usize = 20;
    const MARKED: usize = 4_000_000;
    // Levels of each scope: an end tag reaches no further out than the cell that it stands in.
    let mut scopes: Vec<(String, usize)> = vec![(String::new(), 0)];
    let (mut levels, mut most) = (0_usize, 0);
    for token in Scanner::of(html) {
        let Token::Tag { name, closing, .. } = token else { continue };
        // A heading has a mark too.
        let is_heading = name.len() == 2 && name.starts_with('h') && name.ends_with(|c: char| c.is_ascii_digit());
        let is_level = is_heading || matches!(name.as_str(), "blockquote" | "ul" | "ol" | "dl" | "dd" | "menu" | "dir");
        let is_scope = matches!(name.as_str(), "table" | "td" | "th" | "caption" | "button" | "object" | "marquee");
        let Some((_, inside)) = scopes.last_mut() else { break };
        if is_level && closing && *inside > 0 {
            *inside -= 1;
            levels -= 1;
        } else if is_level && !closing {
            *inside += 1;
            levels += 1;
            most = most.max(levels);
        } else if is_scope && closing {
            // It closes what stands in it; no cell is closed from within a table of its own.
            let table = scopes.iter().rposition(|(scope, _)| scope == "table").unwrap_or(0);
            if let Some(at) = scopes.iter().rposition(|(scope, _)| *scope == name).filter(|at| *at >= table) {
                levels -= scopes.drain(at..).map(|(_, inside)| inside).sum::<usize>();
            }
        } else if is_scope && !closing {
            scopes.push((name, 0));
        }
    }
    most <= LEVELS || most.saturating_mul(html.len()) <= MARKED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_as_deep_as_they_can_be() {
        let word = "x".repeat(100_000);
        for (html, is_flat) in [
            (format!("{}{word}", "<blockquote>".repeat(10)), true),
            (format!("{}{word}", "<blockquote>x</blockquote>".repeat(100)), true),
            (format!("{}{word}", "<table><td><ul><li>x</ul></td></table>".repeat(100)), true),
            (format!("{}{word}", "<blockquote>".repeat(100)), false),
            (format!("{}{word}", "<h1>x</h1><h2>y</h2>".repeat(100)), true),
            (format!("{}{word}", "<h1><div>".repeat(100)), false),
            // The end tag does not reach out of its cell.
            (format!("{}{word}", "<blockquote><table><td></blockquote>".repeat(100)), false),
            (format!("{}{word}", "<ul><table><td></table></ul>".repeat(100)), true),
        ] {
            assert_eq!(is_shallow(&html), is_flat, "{}", &html[..40]);
        }
    }

    #[test]
    fn html_that_would_cost_its_square_is_not_tame() {
        let many = |text: &str, count| text.repeat(count);
        let distinct = (0..5_000).map(|n| format!("<b id={n}>")).collect::<Vec<_>>().concat();
        for wild in [
            many("<div>", 5_000),
            many("<div></x>", 5_000),
            many("<br>", 50_000),
            distinct + &many("<p>x</p>", 5_000),
            format!("<p {}>", (0..5_000).map(|n| format!("a{n} ")).collect::<Vec<_>>().concat()),
            format!("<svg>{}", many("<input></input>", 5_000)),
            many("<div><!--</div>-->", 5_000),
            // No end tag reaches out of the cell or the table that it stands in.
            many("<div><table><td></div></table>", 1_500),
            many("<table><td><table><tr></td></tr>", 1_500),
            many("<table><tr><td>", 300),
            format!("<p x'>{}", many("<div>", 5_000)),
            format!("<p =\">{}", many("<div>", 5_000)),
            format!("<svg><style>{}", many("<div>", 5_000)),
            many("<div><//div>", 5_000),
        ] {
            assert!(!is_tame(&wild), "{}", &wild[..60]);
        }
        assert!(is_tame(&many("<table><tr><td><a href=\"https://example.org/a?b=c\"><b>x</b></a></table><p>y", 1_500)));
    }
}
