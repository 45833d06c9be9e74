//! Whether a message is stored, by who is in it: the exclusions of a mailbox and of the organisation, without the
//! mailbox's own addresses. A sync decides by [`Screen`], and whoever asks why is answered by it too.

use super::exclusions::{Patterns, excluding};
use super::mailbox::address_key;
use serde::Serialize;
use std::collections::HashSet;

/// Which list a pattern stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum List {
    Mailbox,
    /// `prospectEmailExclusions` of the organisation's settings.
    OrgSettings,
}

/// The lists of exclusions that count for a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub mailbox: Option<String>,
    pub organisation: Option<String>,
}

impl Lists {
    fn each(&self) -> impl Iterator<Item = (List, &str)> {
        let mailbox = self.mailbox.as_deref().map(|list| (List::Mailbox, list));
        mailbox.into_iter().chain(self.organisation.as_deref().map(|list| (List::OrgSettings, list)))
    }
}

/// Why a message with these correspondents is stored or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether it is left out. What concerns our own mailings is stored nevertheless.
    pub excluded: bool,
    pub correspondents: Vec<Judged>,
}

/// One of the correspondents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    pub email: String,
    /// One of the mailbox's own addresses, which does not count.
    pub own: bool,
    pub excluded: bool,
    /// The first pattern that covers the address, as it stands in its list.
    pub pattern: Option<String>,
    pub list: Option<List>,
}

/// What is known beforehand of the people in a mailbox's messages.
#[derive(Debug, Default)]
pub struct Screen {
    own: HashSet<String>,
    excluded: Patterns,
}

impl Screen {
    /// `own` are the mailbox's addresses, its aliases among them.
    pub fn new(own: impl IntoIterator<Item = String>, lists: &Lists) -> Self {
        let own = own.into_iter().map(|address| address_key(&address)).collect();
        Self { own, excluded: Patterns::of(lists.each().map(|(_, list)| list)) }
    }

    pub fn is_own(&self, address: &str) -> bool {
        self.own.contains(&address_key(address))
    }

    /// Whether everybody other than the mailbox itself is excluded. Where there is nobody else, nobody is.
    pub fn excludes<'a>(&self, correspondents: impl IntoIterator<Item = &'a str>) -> bool {
        if self.excluded.is_empty() {
            return false;
        }
        let mut others =
            correspondents.into_iter().filter(|address| !address.is_empty() && !self.is_own(address)).peekable();
        others.peek().is_some() && others.all(|address| self.excluded.cover(address))
    }

    /// The same with its reasons; `lists` are those that the screen was made of.
    pub fn explain(&self, lists: &Lists, correspondents: &[&str]) -> Verdict {
        let judged = correspondents.iter().map(|email| {
            let own = self.is_own(email);
            let found = lists.each().filter(|_| !own).find_map(|(name, list)| Some((name, excluding(list, email)?)));
            Judged {
                email: (*email).to_owned(),
                own,
                excluded: found.is_some(),
                pattern: found.map(|(_, pattern)| pattern.to_owned()),
                list: found.map(|(list, _)| list),
            }
        });
        Verdict { correspondents: judged.collect(), excluded: self.excludes(correspondents.iter().copied()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists() -> Lists {
        Lists {
            mailbox: Some("*@private.example\nann@x.example".into()),
            organisation: Some("*@y.example, *@x.example".into()),
        }
    }

    fn screen(lists: &Lists) -> Screen {
        Screen::new(["Me@our.example".to_owned(), "alias@our.example".to_owned()], lists)
    }

    #[test]
    fn a_verdict_names_the_pattern_and_its_list_and_leaves_own_addresses_out() {
        let verdict = screen(&lists()).explain(&lists(), &["me@OUR.example", "ann@x.example", "bo@x.example"]);
        let shown: Vec<_> =
            verdict.correspondents.iter().map(|one| (one.own, one.pattern.as_deref(), one.list)).collect();
        assert_eq!(
            shown,
            [
                (true, None, None),
                (false, Some("ann@x.example"), Some(List::Mailbox)),
                (false, Some("*@x.example"), Some(List::OrgSettings)),
            ]
        );
        assert!(verdict.excluded);
    }

    #[test]
    fn one_who_is_not_excluded_keeps_the_message_and_so_does_nobody_at_all() {
        let (screen, lists) = (screen(&lists()), lists());
        assert!(!screen.explain(&lists, &["ann@x.example", "else@z.example"]).excluded);
        assert!(!screen.explain(&lists, &["alias@our.example"]).excluded);
        assert!(!screen.explain(&lists, &[]).excluded);
    }

    proptest! {
        #[test]
        fn the_reasons_agree_with_the_verdict(
            list in "([ab*]{1,2}@[ab*]{1,2}\\.x\n){0,4}",
            people in proptest::collection::vec("[ab]{1,2}@[ab]{1,2}\\.x", 1..4),
        ) {
            let lists = Lists { mailbox: Some(list), organisation: None };
            let people: Vec<&str> = people.iter().map(String::as_str).collect();
            let verdict = screen(&lists).explain(&lists, &people);
            prop_assert_eq!(verdict.excluded, verdict.correspondents.iter().all(|one| one.excluded));
        }
    }
}
