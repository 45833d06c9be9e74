//! Changes to the HTML and the text of an outgoing mail: links replaced, signatures put in their place. Everything else
//! stays as it was written, octet for octet. Linear in the length of the body, whatever it holds.

use super::markup;
use super::quotes::{is_attribution, is_dated, is_separator};
use mail_parser::decoders::html::add_html_token;
use std::ops::Range;

/// How much of what follows a quotation is looked at for text, in octets.
const TAIL: usize = 64 * 1024;

/// One tag, by its places in the HTML.
struct Tag {
    start: usize,
    end: usize,
    /// In lower case.
    name: String,
    closing: bool,
    /// Names in lower case, and where the values stand, without their quotes; the quotes or the bare value around.
    attributes: Vec<(String, Range<usize>, Range<usize>)>,
}

impl Tag {
    fn value<'h>(&self, html: &'h str, name: &str) -> Option<&'h str> {
        self.attributes.iter().find(|(found, ..)| found == name).map(|(_, inner, _)| &html[inner.clone()])
    }
}

struct Tags<'h> {
    html: &'h str,
    at: usize,
}

impl<'h> Tags<'h> {
    fn of(html: &'h str) -> Self {
        Self { html, at: 0 }
    }

    fn seek(&self, from: usize, what: &str) -> Option<usize> {
        self.html[from..].find(what).map(|at| from + at)
    }

    fn skip_to_end(&mut self) -> Option<Tag> {
        self.at = self.html.len();
        None
    }

    /// Reads attributes from behind a tag's name; the place behind its `>`, or `None` where it never ends.
    fn attributes(&self, mut at: usize, found: &mut Vec<(String, Range<usize>, Range<usize>)>) -> Option<usize> {
        let octets = self.html.as_bytes();
        let span = |mut at: usize, stops: &dyn Fn(u8) -> bool| {
            while octets.get(at).is_some_and(|octet| !stops(*octet)) {
                at += 1;
            }
            at
        };
        loop {
            at = span(at, &|octet| !octet.is_ascii_whitespace() && octet != b'/');
            if *octets.get(at)? == b'>' {
                return Some(at + 1);
            }
            // A name may begin with `=`; that is how browsers read it.
            let name_end = span(at + 1, &|octet| octet.is_ascii_whitespace() || matches!(octet, b'=' | b'>' | b'/'));
            let name = at..name_end;
            at = span(name_end, &|octet| !octet.is_ascii_whitespace());
            if octets.get(at) != Some(&b'=') {
                at = name_end;
                continue;
            }
            at = span(at + 1, &|octet| !octet.is_ascii_whitespace());
            let first = *octets.get(at)?;
            let (inner, outer) = if matches!(first, b'"' | b'\'') {
                let end = span(at + 1, &|octet| octet == first);
                octets.get(end)?;
                (at + 1..end, at..end + 1)
            } else {
                let end = span(at, &|octet| octet.is_ascii_whitespace() || octet == b'>');
                (at..end, at..end)
            };
            at = outer.end;
            found.push((self.html.get(name).unwrap_or_default().to_ascii_lowercase(), inner, outer));
        }
    }

    /// Behind the end of an element whose content is no markup.
    fn behind_raw_text(&self, from: usize, name: &str) -> usize {
        let octets = self.html.as_bytes();
        let mut at = from;
        while let Some(found) = self.seek(at, "</") {
            let candidate = octets.get(found + 2..found + 2 + name.len());
            if candidate.is_some_and(|candidate| candidate.eq_ignore_ascii_case(name.as_bytes())) {
                return found;
            }
            at = found + 2;
        }
        self.html.len()
    }
}

impl Iterator for Tags<'_> {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        loop {
            let start = self.seek(self.at, "<")?;
            let rest = &self.html[start + 1..];
            if rest.starts_with("!--") {
                // `<!-->` is a whole comment.
                match self.seek(start + 2, "-->") {
                    Some(end) => self.at = end + 3,
                    None => return self.skip_to_end(),
                }
                continue;
            }
            if rest.starts_with(['!', '?']) {
                match self.seek(start, ">") {
                    Some(end) => self.at = end + 1,
                    None => return self.skip_to_end(),
                }
                continue;
            }
            let closing = rest.starts_with('/');
            let name_start = start + 1 + usize::from(closing);
            if !self.html[name_start..].starts_with(|first: char| first.is_ascii_alphabetic()) {
                self.at = start + 1;
                continue;
            }
            let name_end = self.html[name_start..]
                .find(|letter: char| letter.is_ascii_whitespace() || matches!(letter, '/' | '>'))
                .map_or(self.html.len(), |end| name_start + end);
            let name = self.html[name_start..name_end].to_ascii_lowercase();
            let mut attributes = Vec::new();
            let Some(end) = self.attributes(name_end, &mut attributes) else { return self.skip_to_end() };
            let is_raw =
                matches!(name.as_str(), "script" | "style" | "textarea" | "title" | "xmp" | "noscript" | "iframe");
            self.at = if is_raw && !closing { self.behind_raw_text(end, &name) } else { end };
            return Some(Tag { start, end, name, closing, attributes });
        }
    }
}

/// The HTML with the target of every link (`a`, `area`) replaced for which `replace` has another; it is asked with the
/// target as a browser reads it.
pub fn rewrite_links(html: &str, mut replace: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(html.len() + html.len() / 4);
    let mut copied = 0;
    for tag in Tags::of(html) {
        if tag.closing || !matches!(tag.name.as_str(), "a" | "area") {
            continue;
        }
        let Some((_, inner, outer)) = tag.attributes.iter().find(|(name, ..)| name == "href") else { continue };
        if let Some(target) = replace(&decoded(&html[inner.clone()])) {
            out.push_str(&html[copied..outer.start]);
            out.push('"');
            out.push_str(&escaped(&target));
            out.push('"');
            copied = outer.end;
        }
    }
    out.push_str(&html[copied..]);
    out
}

/// The HTML with `block` below what was written and above what is quoted at the end, if anything is.
pub fn html_with_signature(html: &str, block: &str) -> String {
    let place = quotation(html).unwrap_or_else(|| end_of_body(html));
    let place = markup::swallowing(html).map_or(place, |open| open.min(place));
    format!("{}\n<br>\n{block}{}", &html[..place], &html[place..])
}

/// The HTML with `block` as the last thing of its body.
pub fn html_with_last(html: &str, block: &str) -> String {
    let end = end_of_body(html);
    let place = markup::swallowing(html).map_or(end, |open| open.min(end));
    format!("{}{block}{}", &html[..place], &html[place..])
}

/// The text with `block` below what was written and above what is quoted (`>`) at the end, with the line that
/// introduces it, or above a mail that follows `-----Original Message-----`.
pub fn text_with_signature(text: &str, block: &str) -> String {
    let mut place = None;
    let mut at = text.len();
    for line in text.split_inclusive('\n').rev() {
        let start = at - line.len();
        let words = line.trim();
        if words.starts_with('>') {
            place = Some(start);
        } else if !words.is_empty() {
            if place.is_some() && words.ends_with(':') {
                place = Some(introduction(text, start, words));
            }
            break;
        }
        at = start;
    }
    // What a separator is above of need not end in `>`, and may hold quotations of its own.
    let place = separator_line(text).filter(|line| place.is_none_or(|place| *line < place)).or(place);
    match place {
        Some(place) => format!("{}\n\n{block}\n\n{}", text[..place].trim_end(), &text[place..]).trim_start().to_owned(),
        None => format!("{}\n\n{block}", text.trim_end()).trim_start().to_owned(),
    }
}

/// Where the first line begins by which mail programs part what is written from a whole mail below it.
fn separator_line(text: &str) -> Option<usize> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        let start = at;
        at += line.len();
        is_separator(line).then_some(start)
    })
}

/// Where the introduction of a quotation begins whose last line starts at `start`: one line above where mail programs
/// wrapped it, which shows in a last line that is none alone, begins with the address, or goes on after a date.
fn introduction(text: &str, start: usize, last: &str) -> usize {
    let Some(above) = text[..start].split_inclusive('\n').next_back() else { return start };
    let first = above.trim();
    let is_wrapped =
        !is_attribution(last) || last.starts_with('<') || (first.ends_with(',') && is_dated(&first.to_lowercase()));
    let begins_it = !first.is_empty() && !first.starts_with('>') && is_attribution(&format!("{first} {last}"));
    if is_wrapped && begins_it { start - above.len() } else { start }
}

/// Where the quotation at the end begins: what mail programs mark as such, or else the last `blockquote` if nothing is
/// written below it.
fn quotation(html: &str) -> Option<usize> {
    let (mut depth, mut last, mut last_end) = (0_usize, None, 0);
    for tag in Tags::of(html) {
        if tag.closing {
            if tag.name == "blockquote" {
                depth = depth.saturating_sub(1);
                last_end = tag.end;
            }
            continue;
        }
        if tag.name == "blockquote" {
            if depth == 0 {
                last = Some(tag.start);
            }
            depth += 1;
            last_end = tag.end;
        }
        let class = tag.value(html, "class").unwrap_or_default();
        let is_marked = class
            .split_ascii_whitespace()
            .any(|class| matches!(class, "gmail_quote" | "gmail_quote_container" | "moz-cite-prefix" | "yahoo_quoted"));
        if depth == 0 && (is_marked || matches!(tag.value(html, "id"), Some("appendonsend" | "divRplyFwdMsg"))) {
            return Some(tag.start);
        }
    }
    last.filter(|_| markup::plain(&html[last_end..], TAIL).is_empty())
}

fn end_of_body(html: &str) -> usize {
    let (mut body, mut document) = (None, None);
    for tag in Tags::of(html).filter(|tag| tag.closing) {
        match tag.name.as_str() {
            "body" => body = Some(tag.start),
            "html" => document = Some(tag.start),
            _ => {}
        }
    }
    body.or(document).unwrap_or(html.len())
}

/// An attribute's value with its character references read.
fn decoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(40).position(|octet| octet == b';');
        let name = end.map(|end| &rest[1..end]);
        if let (Some(end), Some(name)) = (end, name)
            && !name.is_empty()
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'#')
        {
            add_html_token(&mut out, &rest.as_bytes()[..=end], false);
            rest = &rest[end + 1..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// A text as the value of a quoted attribute, or between tags.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn upper(html: &str) -> String {
        rewrite_links(html, |target| target.starts_with("http").then(|| format!("T({target})")))
    }

    #[test]
    fn only_the_targets_of_links_change() {
        for (html, expected) in [
            (r#"<a href="http://a/?x=1&amp;y=2">t</a>"#, r#"<a href="T(http://a/?x=1&amp;y=2)">t</a>"#),
            ("<A CLASS=b HREF='http://a' id=c>t</A>", "<A CLASS=b HREF=\"T(http://a)\" id=c>t</A>"),
            ("<a href=http://a>t</a>", "<a href=\"T(http://a)\">t</a>"),
            ("<area href = \"http://a\"/>", "<area href = \"T(http://a)\"/>"),
            ("<a title='>' href='http://a'>t</a>", "<a title='>' href=\"T(http://a)\">t</a>"),
            ("<a href='http&#58;//a'>t</a>", "<a href=\"T(http://a)\">t</a>"),
        ] {
            assert_eq!(upper(html), expected);
        }
        for same in [
            "<a href='mailto:a@b'>t</a>",
            "<a name=x>t</a>",
            "<img src='http://a'>",
            "<link href='http://a'>",
            "<!-- <a href='http://a'> -->",
            "<style><a href='http://a'></style>",
            "<script>'<a href=\"http://a\">'</script>",
            "http://a",
            "<a href=\"http://a",
            "<a data-href='http://a'>t</a>",
            "< a href='http://a'>",
        ] {
            assert_eq!(upper(same), same);
        }
    }

    #[test]
    fn a_signature_stands_above_what_is_quoted_and_inside_the_body() {
        for (html, expected) in [
            ("<p>Hi</p>", "<p>Hi</p>\n<br>\nS"),
            ("<html><body><p>Hi</p></body></html>", "<html><body><p>Hi</p>\n<br>\nS</body></html>"),
            ("<p>Hi</p><blockquote>old</blockquote>", "<p>Hi</p>\n<br>\nS<blockquote>old</blockquote>"),
            (
                "<p>Hi</p><div class=\"gmail_quote\">On … wrote:<blockquote>old</blockquote></div>",
                "<p>Hi</p>\n<br>\nS<div class=\"gmail_quote\">On … wrote:<blockquote>old</blockquote></div>",
            ),
            ("<blockquote>theirs</blockquote><p>mine</p>", "<blockquote>theirs</blockquote><p>mine</p>\n<br>\nS"),
            (
                "<blockquote>1</blockquote>a<blockquote>2<blockquote>3</blockquote></blockquote>",
                "<blockquote>1</blockquote>a\n<br>\nS<blockquote>2<blockquote>3</blockquote></blockquote>",
            ),
        ] {
            assert_eq!(html_with_signature(html, "S"), expected);
        }
        assert_eq!(html_with_last("<body>a</BODY>", "P"), "<body>aP</BODY>");
    }

    #[test]
    fn a_signature_in_text_stands_above_the_quotation_and_its_introduction() {
        for (text, expected) in [
            ("Hi", "Hi\n\nS"),
            (
                "Hi\n\nOn Monday Bert wrote:\n> old\n>\n> older\n",
                "Hi\n\nS\n\nOn Monday Bert wrote:\n> old\n>\n> older\n",
            ),
            ("Hi\r\n> old", "Hi\n\nS\n\n> old"),
            (
                "Hi\n\nOn Monday, 2 March 2026 at 10:00, Bert Demo\n<bert@demo.test> wrote:\n\n> old\n",
                "Hi\n\nS\n\nOn Monday, 2 March 2026 at 10:00, Bert Demo\n<bert@demo.test> wrote:\n\n> old\n",
            ),
            (
                "Hi\nOn 2 March 2026 at 10:00 Bert\nwrote:\n> old\n",
                "Hi\n\nS\n\nOn 2 March 2026 at 10:00 Bert\nwrote:\n> old\n",
            ),
            (
                "See you at 10:00\nOn 2 March 2026 Bert wrote:\n> old\n",
                "See you at 10:00\n\nS\n\nOn 2 March 2026 Bert wrote:\n> old\n",
            ),
            ("> theirs\nmine", "> theirs\nmine\n\nS"),
            (
                "Hi\r\n-----Original Message-----\r\nFrom: Bert\r\n\r\nold\r\n> older\r\n",
                "Hi\n\nS\n\n-----Original Message-----\r\nFrom: Bert\r\n\r\nold\r\n> older\r\n",
            ),
            ("An Original Message\n-- \nAnn", "An Original Message\n-- \nAnn\n\nS"),
            ("", "S"),
        ] {
            assert_eq!(text_with_signature(text, "S"), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_html_nothing_is_lost(html in "([<>/a!-]|blockquote|href=|\"|'|&amp;|&| |é|http://x|<a |</a>|<!--|-->|<style>){0,40}") {
            prop_assert_eq!(rewrite_links(&html, |_| None), html.clone());
            let _ = upper(&html);
            let signed = html_with_signature(&html, "\u{1}");
            prop_assert_eq!(signed.replace("\n<br>\n\u{1}", ""), html.clone());
            let _ = text_with_signature(&html, "S");
        }
    }
}
