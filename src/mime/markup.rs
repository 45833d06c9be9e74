//! A forgiving scan over HTML, linear in its length: tags and text, no tree.
//!
//! It turns HTML into text where a tree would cost too much; `tame` judges by it beforehand whether a tree would.

use mail_parser::decoders::html::add_html_token;

/// One piece of HTML.
pub(super) enum Token<'a> {
    Text(&'a str),
    Tag {
        /// In lower case.
        name: String,
        closing: bool,
        /// An upper bound for the number of its attributes.
        attributes: usize,
    },
}

pub(super) struct Scanner<'a> {
    rest: &'a str,
    /// Foreign content (`svg`, `math`) has begun: there a style or a title holds markup.
    is_foreign: bool,
    /// What was read last has no end.
    is_open: bool,
}

/// Where in a tag, behind its name.
#[derive(Clone, Copy)]
enum InTag {
    Before,
    Name,
    AfterName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
}

/// Elements whose content is no markup.
const RAW: [&str; 9] = ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript"];

impl<'a> Scanner<'a> {
    pub(super) fn of(html: &'a str) -> Self {
        Self { rest: html, is_foreign: false, is_open: false }
    }
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
            } else if markup.strip_prefix('/').unwrap_or(markup).starts_with(|c: char| c.is_ascii_alphabetic()) {
                return Some(self.tag(markup));
            } else if markup.starts_with('/') {
                // No name: a comment, up to the next end of a tag.
                self.rest = markup.find('>').map_or("", |end| &markup[end + 1..]);
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

    /// Reads a tag from behind its `<` as the HTML specification does (§13.2.5), which takes a quote for one only where
    /// a value begins; for elements whose content is no markup goes on to where that ends.
    #[allow(clippy::match_same_arms, reason = "one place after the other")]
    fn tag(&mut self, markup: &'a str) -> Token<'a> {
        let closing = markup.starts_with('/');
        let markup = markup.strip_prefix('/').unwrap_or(markup);
        let name_end = markup.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(markup.len());
        let name = markup[..name_end].to_ascii_lowercase();
        let mut attributes = 0;
        let mut end = markup.len();
        self.is_open = true;
        let mut place = InTag::Before;
        for (at, byte) in markup.bytes().enumerate().skip(name_end) {
            let is_space = byte.is_ascii_whitespace();
            place = match (place, byte) {
                (InTag::Quoted(open), _) if byte != open => place,
                (InTag::Quoted(_), _) => InTag::Before,
                (_, b'>') => {
                    end = at + 1;
                    self.is_open = false;
                    break;
                }
                (InTag::Before | InTag::Name | InTag::AfterName, b'/') => InTag::Before,
                (InTag::Before, _) if is_space => InTag::Before,
                (InTag::Name | InTag::AfterName, b'=') => InTag::BeforeValue,
                (InTag::Name | InTag::AfterName, _) if is_space => InTag::AfterName,
                (InTag::Before | InTag::AfterName, _) => {
                    attributes += 1;
                    InTag::Name
                }
                (InTag::Name, _) => InTag::Name,
                (InTag::BeforeValue, _) if is_space => InTag::BeforeValue,
                (InTag::BeforeValue, b'"' | b'\'') => InTag::Quoted(byte),
                (InTag::Unquoted, _) if is_space => InTag::Before,
                (InTag::BeforeValue | InTag::Unquoted, _) => InTag::Unquoted,
            };
        }
        self.rest = &markup[end..];
        self.is_foreign |= !closing && matches!(name.as_str(), "svg" | "math");
        if !closing && !self.is_foreign && RAW.contains(&name.as_str()) {
            self.rest = from_closing_tag(self.rest, &name);
            self.is_open |= self.rest.is_empty();
        }
        Token::Tag { name, closing, attributes }
    }
}

/// Where a comment, a tag or an element whose content is no markup begins that has no end: whatever follows is part of it,
/// and nobody sees it. A comment at the very end counts as well.
pub(super) fn swallowing(html: &str) -> Option<usize> {
    let mut scanner = Scanner::of(html);
    loop {
        let at = html.len() - scanner.rest.len();
        let token = scanner.next();
        if scanner.is_open || (token.is_none() && at < html.len()) {
            return Some(at);
        }
        token?;
    }
}

/// The text of HTML text, entities decoded.
pub(super) fn decoded(text: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, text);
    out
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

/// The text of HTML without a tree: blocks on lines of their own, entities decoded, scripts, styles and titles left
/// out; reading stops once `limit` octets of text are there.
pub(super) fn plain(html: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut hidden: Option<String> = None;
    for token in Scanner::of(html) {
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
    fn what_has_no_end_swallows_what_follows() {
        for (before, open) in [
            ("<p>a</p>", "<!-- b"),
            ("a", "<!-- b > c"),
            ("a<b>", "<style>p {}"),
            ("", "<title>x"),
            ("a ", "<textarea>x</b>"),
            ("a", "<a href=\"x>b</a>"),
            ("a", "<b"),
            ("a<!-- b -->c", "<!--"),
        ] {
            assert_eq!(swallowing(&format!("{before}{open}")), Some(before.len()), "{before}{open}");
        }
        for whole in [
            "",
            "a",
            "<p>a</p>",
            "a<!-- b -->c",
            "<style>p {}</style>",
            "<a href='x>y'>b</a>",
            "1 < 2",
            "<title>x</title>",
        ] {
            assert_eq!(swallowing(whole), None, "{whole}");
        }
    }

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
            ("<p title = '>' a=b>x", "x"),
            ("<p \"a>b", "b"),
            ("a<//p>b</>c", "abc"),
            ("<!doctype html><?xml?>x", "x"),
            ("<!-->x", "x"),
            ("é&é;<", "é&é;<"),
            ("<unfinished", ""),
        ] {
            assert_eq!(plain(html, 1000), text, "{html}");
        }
    }
}
