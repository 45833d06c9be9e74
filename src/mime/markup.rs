//! A forgiving scan over HTML, linear in its length: tags and text, no tree.
//!
//! It turns HTML into text where a tree would cost too much, and it judges beforehand whether a tree would.

use mail_parser::decoders::html::add_html_token;
use std::collections::HashMap;

/// One piece of HTML.
enum Token<'a> {
    Text(&'a str),
    Tag {
        /// In lower case.
        name: String,
        closing: bool,
        /// An upper bound for the number of its attributes.
        attributes: usize,
    },
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let Some(markup) = self.rest.strip_prefix('<') else {
                let end = self.rest.find('<').unwrap_or(self.rest.len());
                return Some(Token::Text(self.take(end)));
            };
            if let Some(comment) = markup.strip_prefix("!--") {
                self.rest = after_comment(comment);
            } else if markup.starts_with(['!', '?']) {
                self.rest = markup.find('>').map_or("", |end| &markup[end + 1..]);
            } else if markup.trim_start_matches('/').starts_with(|c: char| c.is_ascii_alphabetic()) {
                return Some(self.tag(markup));
            } else {
                let end = markup.find('<').map_or(self.rest.len(), |end| end + 1);
                return Some(Token::Text(self.take(end)));
            }
        }
    }
}

impl<'a> Scanner<'a> {
    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Reads a tag from behind its `<`, and for elements whose content is no markup goes on to where that ends.
    fn tag(&mut self, markup: &'a str) -> Token<'a> {
        let closing = markup.starts_with('/');
        let markup = markup.trim_start_matches('/');
        let name_end = markup.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(markup.len());
        let name = markup[..name_end].to_ascii_lowercase();
        let mut quote = None;
        let mut attributes = 0;
        let mut end = markup.len();
        for (at, byte) in markup.bytes().enumerate().skip(name_end) {
            match (quote, byte) {
                (Some(open), _) if byte == open => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'>') => {
                    end = at + 1;
                    break;
                }
                (None, b' ' | b'\t' | b'\n' | b'\r' | b'\x0C' | b'/' | b'=') => attributes += 1,
                _ => {}
            }
        }
        self.rest = &markup[end..];
        if !closing && matches!(name.as_str(), "script" | "style" | "title" | "textarea" | "xmp" | "iframe") {
            self.rest = from_closing_tag(self.rest, &name);
        }
        Token::Tag { name, closing, attributes }
    }
}

/// What follows a comment's end (`-->`, `--!>`, or at once `>` or `->`).
fn after_comment(comment: &str) -> &str {
    if let Some(rest) = comment.strip_prefix('>').or_else(|| comment.strip_prefix("->")) {
        return rest;
    }
    let mut rest = comment;
    while let Some(at) = rest.find("--") {
        let after = &rest[at + 2..];
        if let Some(end) = after.strip_prefix('>').or_else(|| after.strip_prefix("!>")) {
            return end;
        }
        rest = &rest[at + 1..];
    }
    ""
}

/// The text from `</name` on.
fn from_closing_tag<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        if rest.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return &rest[at..];
        }
        rest = &rest[at + 2..];
    }
    ""
}

/// Whether building a tree is safe: the algorithms of the HTML specification repeat unclosed formatting elements in
/// every block, look up the whole stack of open elements, and compare every two attributes of a tag, so that hostile
/// HTML costs the square of its length. The bounds lie well above what newsletters have.
pub(super) fn is_tame(html: &str) -> bool {
    const TAGS: usize = 20_000;
    const ATTRIBUTES: usize = 500;
    const DEPTH: usize = 1_000;
    const FORMATTING: [&str; 14] =
        ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];
    // Elements without content, and those that the next of their kind closes.
    const FLAT: [&str; 21] = [
        "area", "base", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p", "tbody",
        "td", "tfoot", "th", "thead", "tr", "wbr",
    ];
    let (mut tags, mut depth, mut formatting, mut most_formatting) = (0, 0_usize, 0_usize, 0);
    let mut open: HashMap<String, usize> = HashMap::new();
    // The text around a character reference is copied for each of them.
    if html.matches('&').count() * html.len() > 10_000_000_000 {
        return false;
    }
    // In foreign content other rules hold: nothing counts as flat or as closed there.
    let mut is_foreign = false;
    for token in (Scanner { rest: html }) {
        let Token::Tag { name, closing, attributes } = token else { continue };
        tags += 1;
        if tags > TAGS || attributes > ATTRIBUTES {
            return false;
        }
        is_foreign |= matches!(name.as_str(), "svg" | "math");
        let is_formatting = FORMATTING.contains(&name.as_str());
        if closing {
            if let Some(count) = open.get_mut(&name).filter(|count| **count > 0 && !is_foreign) {
                *count -= 1;
                depth -= 1;
                formatting -= usize::from(is_formatting);
            }
        } else if is_foreign || !FLAT.contains(&name.as_str()) {
            *open.entry(name).or_default() += 1;
            depth += 1;
            formatting += usize::from(is_formatting);
            most_formatting = most_formatting.max(formatting);
        }
        if depth > DEPTH || most_formatting * tags > 1_000_000 {
            return false;
        }
    }
    true
}

/// Whether HTML can be written as indented text: every level of quotes and lists takes columns from each line, until
/// every character has a line of its own behind all the marks of its levels.
pub(super) fn is_shallow(html: &str) -> bool {
    const LEVELS: usize = 20;
    const MARKED: usize = 4_000_000;
    // Levels of each scope: an end tag reaches no further out than the cell that it stands in.
    let mut scopes: Vec<(String, usize)> = vec![(String::new(), 0)];
    let (mut levels, mut most) = (0_usize, 0);
    for token in (Scanner { rest: html }) {
        let Token::Tag { name, closing, .. } = token else { continue };
        let is_level = matches!(name.as_str(), "blockquote" | "ul" | "ol" | "dl" | "dd" | "menu" | "dir");
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

/// The text of HTML without a tree: blocks on lines of their own, entities decoded, scripts, styles and titles left
/// out; reading stops once `limit` octets of text are there.
pub(super) fn plain(html: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut hidden: Option<String> = None;
    for token in (Scanner { rest: html }) {
        match token {
            Token::Tag { name, closing, .. } => match &hidden {
                Some(until) if (closing && *until == name) || (*until == "head" && name == "body") => hidden = None,
                None if !closing && matches!(name.as_str(), "script" | "style" | "title" | "head" | "template") => {
                    hidden = Some(name);
                }
                None if matches!(name.as_str(), "td" | "th") => push_once(&mut out, ' '),
                None if is_block(&name) => push_once(&mut out, '\n'),
                _ => {}
            },
            Token::Text(text) if hidden.is_none() => push_text(&mut out, text),
            Token::Text(_) => {}
        }
        if out.len() > limit {
            break;
        }
    }
    out.trim().to_owned()
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "blockquote"
            | "br"
            | "center"
            | "dd"
            | "div"
            | "dl"
            | "dt"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hr"
            | "li"
            | "main"
            | "ol"
            | "p"
            | "pre"
            | "section"
            | "table"
            | "tbody"
            | "tr"
            | "ul"
    )
}

fn push_once(out: &mut String, c: char) {
    if c == '\n' {
        out.truncate(out.trim_end_matches(' ').len());
    }
    if !out.is_empty() && !out.ends_with([c, '\n']) {
        out.push(c);
    }
}

fn push_text(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_whitespace() {
            push_once(out, ' ');
            rest = rest.trim_ascii_start();
            continue;
        }
        let entity_end = rest.bytes().take(40).position(|byte| byte == b';').filter(|_| c == '&');
        if let Some(end) = entity_end {
            add_html_token(out, &rest.as_bytes()[..=end], false);
            rest = &rest[end + 1..];
            continue;
        }
        let first = c.len_utf8();
        let end =
            rest[first..].find(|c: char| c == '&' || c.is_ascii_whitespace()).map_or(rest.len(), |end| first + end);
        out.push_str(&rest[..end]);
        rest = &rest[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_reads_as_lines_of_text() {
        for (html, text) in [
            ("<p>Hello</p><p>World</p>", "Hello\nWorld"),
            ("<div>a</div><div>b<br>c</div>", "a\nb\nc"),
            ("<head><title>no</title><style>p{}</style></head><body>yes", "yes"),
            ("a <!-- <b>no --> b<script>if (a<b) no</script>c", "a bc"),
            ("Gr&uuml;&szlig;e &amp; &#8364; &nonsense; & more", "Grüße & € &nonsense; & more"),
            ("1 < 2 <3", "1 < 2 <3"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>", "a b\nc"),
            ("<p title=\">\">x", "x"),
            ("<!doctype html><?xml?>x", "x"),
            ("<!-->x", "x"),
            ("é&é;<", "é&é;<"),
            ("<unfinished", ""),
        ] {
            assert_eq!(plain(html, 1000), text, "{html}");
        }
    }

    #[test]
    fn levels_are_counted_as_deep_as_they_can_be() {
        let word = "x".repeat(100_000);
        for (html, is_flat) in [
            (format!("{}{word}", "<blockquote>".repeat(10)), true),
            (format!("{}{word}", "<blockquote>x</blockquote>".repeat(100)), true),
            (format!("{}{word}", "<table><td><ul><li>x</ul></td></table>".repeat(100)), true),
            (format!("{}{word}", "<blockquote>".repeat(100)), false),
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
        ] {
            assert!(!is_tame(&wild), "{}", &wild[..60]);
        }
        assert!(is_tame(&many("<table><tr><td><a href=\"https://example.org/a?b=c\"><b>x</b></a></table><p>y", 1_500)));
    }
}
