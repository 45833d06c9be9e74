//! HTML of messages: as plain text, and made safe to show.

use super::{markup, tame, text};
use crate::runtime::{contain_blocking, contain_deep};
use ammonia::{Builder, UrlRelative};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// How much HTML is looked at, in octets; what follows is cut off.
const HTML_LIMIT: usize = 1024 * 1024;
/// A stack for the deepest tree that is built, in octets; only what is used of it takes memory.
const STACK: usize = 64 * 1024 * 1024;
/// The width of derived text, in columns.
const WIDTH: usize = 76;

/// The text of an HTML body for the text/plain part: wrapped at 76 columns between words, links as footnotes. Bounded (the first MiB)
/// and total: HTML that no tree should be built of is read without one.
pub fn text_from_html(html: &str) -> String {
    let html = text::cut(html, HTML_LIMIT);
    rendered(html, true)
}

/// [`text_from_html`] where it leaves nothing out: `None` where it would cut the end off, or read without the links.
pub fn whole_text_from_html(html: &str) -> Option<String> {
    let is_whole = html.len() <= HTML_LIMIT;
    is_whole.then(|| laid_out(html, true)).flatten().map(|text| tidied(&text))
}

/// The text of an HTML body as a person reads it: quoted mail marked by `>`, links without their targets. Bounded and
/// total as [`text_from_html`] is.
pub(super) fn text_without_links(html: &str) -> String {
    let html = text::cut(html, HTML_LIMIT);
    rendered(html, false)
}

fn rendered(html: &str, footnotes: bool) -> String {
    tidied(&laid_out(html, footnotes).unwrap_or_else(|| markup::plain(html, HTML_LIMIT)))
}

fn laid_out(html: &str, footnotes: bool) -> Option<String> {
    let is_safe = tame::is_tame(html) && tame::is_shallow(html);
    is_safe.then(|| contained(html, || render(html, footnotes)).flatten()).flatten()
}

fn tidied(text: &str) -> String {
    text.trim().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Builds a tree and takes it down again, on a deep stack where it may be a deep one. `None`: it came to nothing.
fn contained<T: Send>(html: &str, work: impl FnOnce() -> T + Send) -> Option<T> {
    if tame::may_be_deep(html) { contain_deep(STACK, work).ok() } else { contain_blocking(work).ok() }
}

/// Lays out HTML without breaking words: what a person copies out of a text is whole.
fn render(html: &str, footnotes: bool) -> Option<String> {
    for room in [WIDTH - 16, 0] {
        let Some((html, words)) = set_aside(html, room) else { break };
        if let Some(text) = wrapped(&html, footnotes).and_then(|text| put_back(&text, &words)) {
            return Some(text);
        }
    }
    wrapped(html, footnotes)
}

/// Marks the beginning, the end and the inside of what stands for a long word: for private use, a column wide each.
const STAND_IN: [char; 3] = ['\u{E000}', '\u{E001}', '\u{E002}'];
/// Words of up to so many octets are short enough to be wrapped as they are, wherever they stand.
const LONG: usize = 40;

/// The HTML with long words (addresses, tokens) replaced by something as wide as they are, but no wider than `room`
/// columns; `None` where there are none, or it could be mistaken. Text of scripts that need no spaces is no long word.
fn set_aside(html: &str, room: usize) -> Option<(String, Vec<String>)> {
    if html.contains(STAND_IN) {
        return None;
    }
    let (mut out, mut words, mut copied) = (String::with_capacity(html.len()), Vec::new(), 0);
    for token in markup::Scanner::of(html) {
        let markup::Token::Text(text) = token else { continue };
        for word in text.split_ascii_whitespace().filter(|word| word.len() > LONG && word.is_ascii()) {
            let at = word.as_ptr().addr() - html.as_ptr().addr();
            let number = words.len().to_string();
            out.push_str(&html[copied..at]);
            out.push(STAND_IN[0]);
            out.push_str(&number);
            out.extend(std::iter::repeat_n(STAND_IN[2], word.len().min(room).saturating_sub(number.len() + 2)));
            out.push(STAND_IN[1]);
            copied = at + word.len();
            words.push(markup::decoded(word));
        }
    }
    out.push_str(&html[copied..]);
    (!words.is_empty()).then_some((out, words))
}

/// The text with the words in their places; `None` where one of them was broken all the same.
fn put_back(text: &str, words: &[String]) -> Option<String> {
    let (mut out, mut found) = (String::with_capacity(text.len()), 0);
    let mut parts = text.split(STAND_IN[0]);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (number, rest) = part.split_once(STAND_IN[1])?;
        let number: usize = number.trim_end_matches(STAND_IN[2]).parse().ok()?;
        out.push_str(words.get(number)?);
        out.push_str(rest);
        found += 1;
    }
    (found > 0 && !out.contains(STAND_IN)).then_some(out)
}

fn wrapped(html: &str, footnotes: bool) -> Option<String> {
    html2text::config::plain()
        .no_table_borders()
        .no_link_wrapping()
        .allow_width_overflow()
        .link_footnotes(footnotes)
        .string_from_read(html.as_bytes(), WIDTH)
        .ok()
}

/// HTML made safe to show: no scripts, handlers, forms, frames or style sheets, nothing that is loaded from elsewhere
/// (images only as `data:` and `cid:`), links that tell their target nothing. Bounded: the first MiB is kept.
pub fn sanitise(html: &str) -> String {
    let html = text::cut(html, HTML_LIMIT);
    tame::is_tame(html)
        .then(|| contained(html, || CLEANER.clean(html).to_string()))
        .flatten()
        .unwrap_or_else(|| format!("<pre>{}</pre>", ammonia::clean_text(&markup::plain(html, HTML_LIMIT))))
}

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .add_tags(["font", "u", "big", "tt"])
        .add_generic_attributes(["style", "align", "dir"])
        .add_tag_attributes("font", ["color", "face", "size"])
        .add_tag_attributes("table", ["width", "border", "cellpadding", "cellspacing", "bgcolor"])
        .add_tag_attributes("td", ["width", "height", "valign", "bgcolor"])
        .add_tag_attributes("th", ["width", "height", "valign", "bgcolor"])
        .add_tag_attributes("tr", ["valign", "bgcolor"])
        .rm_tags(["map", "area"])
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "data", "cid"]))
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .filter_style_properties(HashSet::from(STYLES))
        .attribute_filter(|tag, attribute, value| keep(tag, attribute, value).then_some(Cow::Borrowed(value)));
    builder
});

/// Style properties that cannot cover what is around a message nor load anything.
const STYLES: [&str; 27] = [
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-left",
    "border-radius",
    "border-right",
    "border-spacing",
    "border-top",
    "color",
    "direction",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "letter-spacing",
    "line-height",
    "max-width",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "text-align",
    "text-decoration",
    "vertical-align",
    "width",
];

fn keep(tag: &str, attribute: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    let has_scheme = |schemes: &[&str]| schemes.iter().any(|scheme| value.starts_with(scheme));
    match (tag, attribute) {
        // SVG can carry scripts and references of its own.
        ("img", "src") => {
            has_scheme(&["cid:", "data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp"])
        }
        ("a", "href") => has_scheme(&["http:", "https:", "mailto:", "tel:"]),
        (_, "src" | "href" | "cite" | "background" | "srcset" | "poster" | "longdesc") => false,
        // An escape could hide any of the words.
        (_, "style") => !["url", "image", "import", "expression", "\\", "@"].iter().any(|word| value.contains(word)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn html_becomes_wrapped_text_with_its_links() {
        let text =
            text_from_html("<h1>Hi</h1><p>Dear <b>Ann</b>,<br>see <a href=\"https://example.org/x\">this</a></p>");
        assert!(text.contains("Hi") && text.contains("Dear") && text.contains("https://example.org/x"), "{text}");
        let text = text_from_html(&format!("<p>{}</p>", "word ".repeat(100)));
        assert!(text.lines().count() > 5 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn long_words_are_not_broken_and_lines_are_wrapped_before_them() {
        let url = format!("https://app.example.com/reset?token={}", "a1".repeat(60));
        let written = url.replace('?', "?x=1&amp;");
        let read = url.replace('?', "?x=1&");
        let words = "some words before it ".repeat(4);
        for html in [
            format!("<p>{words}<b>{written}</b> and after</p>"),
            format!("<blockquote><blockquote><ul><li>{words}{written}</li></ul></blockquote></blockquote>"),
            format!("<table><tr><td>{words}</td><td>{written}</td></tr></table>"),
            format!("<pre>{written}</pre>"),
            format!("{}{written}{}", "<blockquote>".repeat(12), "</blockquote>".repeat(12)),
        ] {
            let text = text_from_html(&html);
            assert!(text.contains(&read), "{html}: {text}");
            let others = text.lines().filter(|line| !line.contains("token"));
            assert!(others.clone().all(|line| line.len() <= WIDTH), "{text}");
        }
        // Its target stays a footnote, and a text without spaces is wrapped.
        let text = text_from_html(&format!("<a href=\"{written}\">{written}</a>"));
        assert_eq!(text.matches(&read).count(), 2, "{text}");
        let text = text_from_html(&format!("<p>{}</p>", "漢字".repeat(100)));
        assert!(text.lines().count() > 4, "{text}");
        // What looks like a stand-in is left alone.
        let odd = format!("<p>\u{E000}0\u{E001} {url}</p>");
        assert!(text_from_html(&odd).contains('\u{E000}'));
    }

    #[test]
    fn hostile_html_costs_neither_time_nor_stack() {
        let hostile = [
            "<div>".repeat(50_000),
            "<table><tr><td>".repeat(15_000),
            "<table><tr><td>".repeat(60) + "x",
            (0..10_000).map(|n| format!("<b id={n}>")).collect::<Vec<_>>().concat() + &"<p>x</p>".repeat(10_000),
            "<".repeat(100_000),
            "<ul><li>".repeat(20_000),
            "<!--".repeat(100_000),
            "<script>".repeat(50_000),
            "</".repeat(100_000),
            "&".repeat(200_000),
            "a&</x>".repeat(50_000),
            "<div><table><td></div></table>".repeat(4_000),
            "<table><td><table><tr></td></tr>".repeat(4_000),
            "<table><tr><td>".repeat(240) + "x",
            "<tdJ'>".to_owned() + &"<table><tr><td>".repeat(6_000),
            "<select><style></select>".to_owned() + &"<table><tr><td>".repeat(6_000),
            "<noscript><!--</noscript>".to_owned() + &"<table><tr><td>".repeat(6_000),
        ];
        let small_stack = std::thread::Builder::new().stack_size(512 * 1024);
        let work = move || {
            let deep =
                ["<div>", "<blockquote>", "<ul><li>", "<b id=1>", "<table><tr><td>"].map(|tag| tag.repeat(950) + "x");
            for html in hostile.iter().chain(&deep) {
                let _ = text_from_html(html);
                let _ = sanitise(html);
            }
            let deep = format!("{}{}", "<blockquote>".repeat(150), "word".repeat(30_000));
            let most = [text_from_html(&deep).len(), text_without_links(&deep).len()];
            assert!(most.iter().all(|most| *most < 8 * deep.len()), "{} octets become {most:?}", deep.len());
        };
        small_stack.spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn nothing_active_and_nothing_remote_survives() {
        for html in [
            "<script>alert(1)</script>x",
            "<p onclick=alert(1)>x",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=\"java\tscript:alert(1)\">x</a>",
            "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
            "<img src=\"https://evil.example/pixel\">x",
            "<img src=\"//evil.example/pixel\">x",
            "<img src=\"data:image/svg+xml;base64,evil.example\">x",
            "<img srcset=\"https://evil.example/pixel 2x\">x",
            "<div style=\"background-color:url(https://evil.example)\">x</div>",
            "<div style=\"color:ur\\6c(https://evil.example)\">x</div>",
            "<style>@import 'https://evil.example'</style>x",
            "<link rel=stylesheet href=https://evil.example>x",
            "<iframe src=https://evil.example></iframe>x",
            "<form action=https://evil.example><input name=a></form>x",
            "<object data=https://evil.example></object><embed src=https://evil.example>x",
            "<svg><animate attributeName=href values=javascript:alert(1) /></svg>x",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">x",
            "<table background=https://evil.example><td>x</table>",
            "<base href=https://evil.example>x",
            "<meta http-equiv=refresh content=\"0;url=https://evil.example\">x",
            "<video poster=https://evil.example src=https://evil.example></video>x",
            "<blockquote cite=https://evil.example>x</blockquote>",
        ] {
            let safe = sanitise(html).to_ascii_lowercase();
            for word in
                ["evil.example", "<script", "onclick=", "javascript:", "<img src=\"x", "<iframe", "<form", "<style"]
            {
                assert!(!safe.contains(word), "{html} became {safe}");
            }
        }
    }

    #[test]
    fn formatting_links_and_embedded_images_survive() {
        assert_eq!(
            sanitise("<a href=\"https://example.org\">x</a>"),
            "<a href=\"https://example.org\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a>"
        );
        for html in [
            "<p style=\"color:red\">x</p>",
            "<img src=\"cid:logo@example.org\" alt=\"logo\">",
            "<img src=\"data:image/png;base64,AAAA\">",
            "<blockquote>quoted</blockquote>",
        ] {
            assert_eq!(sanitise(html), html);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(html in "(<[a-z]{0,6}|>|\"|&|;|</|[ -~]|\\PC){0,60}") {
            let _ = text_from_html(&html);
            let safe = sanitise(&html);
            prop_assert!(!safe.contains("<script"));
        }
    }
}
