//! Links: absolute, from the public origin.

use super::cursor;
use crate::domain::list::{Cursor, ListQuery, Page, SortKey};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;

/// Everything but the unreserved characters of RFC 3986 §2.3.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the API is seen from outside. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    origin: Arc<str>,
}

impl Links {
    /// `origin` without a path, for example `https://mail.example.org`; a slash at its end is dropped.
    pub fn new(origin: &str) -> Self {
        Self { origin: origin.trim_end_matches('/').into() }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `<origin>/api/v2/<path>`, for example of `mailboxes`.
    pub fn to(&self, path: &str) -> String {
        format!("{}/api/v2/{path}", self.origin)
    }

    /// The URL of one record.
    pub fn record(&self, plural: &str, id: u64) -> String {
        format!("{}/api/v2/{plural}/{id}", self.origin)
    }

    /// The list of `plural` whose relationship `filter` is the record `id`.
    pub fn related(&self, plural: &str, filter: &str, id: u64) -> String {
        format!("{}/api/v2/{plural}?filter%5B{filter}%5D%5Bid%5D={id}", self.origin)
    }
}

/// The plural of a type as in the path: `mailAliases` of `mailAlias`.
pub fn plural(name: &str) -> String {
    let sibilant = ["s", "x", "z", "ch", "sh"].iter().any(|end| name.ends_with(end));
    format!("{name}{}", if sibilant { "es" } else { "s" })
}

/// The links of a list. What does not exist is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageLinks {
    pub first: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// What the links of a list are made from: the parameters of the request and where the answer stands.
pub(super) struct Pages<'r> {
    /// `<origin>/api/v2/<path>`.
    pub base: String,
    /// The parameters that every link carries: all but the page's place.
    pub parameters: &'r [(String, String)],
    /// The resource's name, which cursors are bound to.
    pub resource: &'r str,
    pub query: &'r ListQuery,
    /// `page[limit]` and `page[offset]` instead of cursors.
    pub old_style: bool,
}

impl Pages<'_> {
    /// `matches`: how many records there are, if that was counted to the end.
    pub fn links(&self, next: Option<&Cursor>, prev: Option<&Cursor>, matches: Option<usize>) -> PageLinks {
        if self.old_style {
            return self.by_offset(next, matches);
        }
        let at = |name: &str, cursor: &Cursor| self.url(Some((name, &self.cursor(&self.query.sort, cursor))));
        PageLinks {
            first: self.url(None),
            prev: prev.map(|cursor| at("page[before]", cursor)),
            next: next.map(|cursor| at("page[after]", cursor)),
            last: None,
        }
    }

    /// Past the largest offset the next page is named by a cursor, so that whoever follows links sees everything.
    fn by_offset(&self, next: Option<&Cursor>, matches: Option<usize>) -> PageLinks {
        let size = self.query.size.max(1);
        let here = if let Page::Offset(offset) = self.query.page { offset } else { 0 };
        let at = |offset: usize| self.url(Some(("page[offset]", &offset.to_string())));
        let following = |cursor: &Cursor| match here + size {
            offset if offset <= ListQuery::MAX_OFFSET => at(offset),
            _ => self.url(Some(("page[after]", &self.cursor(&self.query.sort, cursor)))),
        };
        let last = matches.map(|matches| matches.saturating_sub(1) / size * size);
        PageLinks {
            first: at(0),
            prev: (here > 0).then(|| at(here.saturating_sub(size))),
            next: next.map(following),
            last: last.filter(|offset| *offset <= ListQuery::MAX_OFFSET).map(at),
        }
    }

    fn cursor(&self, sort: &[SortKey], cursor: &Cursor) -> String {
        cursor::encode(self.resource, sort, cursor)
    }

    fn url(&self, place: Option<(&str, &str)>) -> String {
        let mut url = self.base.clone();
        let kept = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (index, (name, value)) in kept.chain(place).enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            let (name, value) = (utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY));
            // Writing to a string does not fail.
            let _ = write!(url, "{separator}{name}={value}");
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_those_of_the_paths() {
        for (singular, expected) in [
            ("mailbox", "mailboxes"),
            ("mailAlias", "mailAliases"),
            ("mailing", "mailings"),
            ("user", "users"),
            ("message", "messages"),
            ("auth", "auths"),
        ] {
            assert_eq!(plural(singular), expected);
        }
    }

    #[test]
    fn an_origin_may_end_in_a_slash() {
        let links = Links::new("https://mail.example.org/");
        assert_eq!(links.record("mailboxes", 18), "https://mail.example.org/api/v2/mailboxes/18");
    }
}
