//! Lists of address patterns: `ann@example.org`, `*@example.org`, `*@*.example.org`, `example.org`.
//!
//! A star stands for any characters. A pattern without an `@` is a domain. Case does not count, and a domain means the
//! same in either spelling. Matching takes time linear in the pattern and the address.

use super::address::{ADDRESS_LIMIT, Address};
use std::collections::HashSet;

/// The longest pattern, in characters.
const PATTERN_LIMIT: usize = 320;

/// The patterns of a list, separated by commas or line breaks, without empty ones.
pub fn patterns(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', '\n', '\r']).map(str::trim).filter(|pattern| !pattern.is_empty())
}

/// The first pattern of a list that an address matches.
pub fn excluding<'l>(list: &'l str, address: &str) -> Option<&'l str> {
    if address.len() > ADDRESS_LIMIT {
        return None;
    }
    let key = super::mailbox::address_key(address);
    patterns(list).find(|pattern| matches(&normal(pattern), &key))
}

/// Lists made ready for many addresses: whole addresses and whole domains cost one look-up however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    addresses: HashSet<String>,
    domains: HashSet<String>,
    others: Vec<String>,
}

impl Patterns {
    pub fn of<'l>(lists: impl IntoIterator<Item = &'l str>) -> Self {
        let mut found = Self::default();
        for pattern in lists.into_iter().flat_map(patterns).map(normal) {
            if !pattern.contains('*') {
                found.addresses.insert(pattern);
            } else if let Some(domain) = pattern.strip_prefix("*@").filter(|domain| !domain.contains('*')) {
                found.domains.insert(domain.to_owned());
            } else {
                found.others.push(pattern);
            }
        }
        found
    }

    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.domains.is_empty() && self.others.is_empty()
    }

    /// Whether a pattern matches an address, which may be no address at all.
    pub fn cover(&self, address: &str) -> bool {
        if address.len() > ADDRESS_LIMIT {
            return false;
        }
        let key = super::mailbox::address_key(address);
        self.addresses.contains(&key)
            || key.rsplit_once('@').is_some_and(|(_, domain)| self.domains.contains(domain))
            || self.others.iter().any(|pattern| matches(pattern, &key))
    }
}

/// What is wrong with a list, in a sentence.
pub fn problem(list: &str) -> Option<String> {
    patterns(list).find_map(problem_of)
}

/// What is wrong with a list that has a pattern on each line, in a sentence that names the line.
pub fn problem_of_lines(list: &str) -> Option<String> {
    list.lines()
        .enumerate()
        .find_map(|(at, line)| patterns(line).find_map(problem_of).map(|why| format!("Line {}: {why}", at + 1)))
}

fn problem_of(pattern: &str) -> Option<String> {
    let why = if pattern.chars().count() > PATTERN_LIMIT {
        "is too long"
    } else if pattern.chars().any(|character| character.is_whitespace() || character.is_control()) {
        "contains a space"
    } else if pattern.matches('@').count() > 1 {
        "has more than one @"
    } else if !pattern.contains('*') && Address::parse(&normal(pattern).replacen("*@", "x@", 1)).is_err() {
        "is neither an address nor a domain"
    } else {
        return None;
    };
    let shown: String = pattern.chars().filter(|character| !character.is_control()).take(60).collect();
    Some(format!("The pattern '{shown}' {why}. Patterns look like ann@example.org, *@example.org or *@*.example.org."))
}

/// The pattern as keys of addresses are written: lower case, the domain in A-labels where it has no star.
fn normal(pattern: &str) -> String {
    let (local, domain) = pattern.rsplit_once('@').unwrap_or(("*", pattern));
    let local = if local.is_empty() { "*" } else { local };
    let domain = if domain.contains('*') {
        domain.to_lowercase()
    } else {
        idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase())
    };
    format!("{}@{domain}", local.to_lowercase())
}

/// Each piece between stars is looked for behind the one before it: no way back, so no explosion.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_addresses_domains_and_parts_of_them() {
        for (list, address, expected) in [
            ("ann@example.org", "Ann@Example.org", true),
            ("ann@example.org", "joann@example.org", false),
            ("*@example.com", "bert@example.com", true),
            ("*@example.com", "bert@mail.example.com", false),
            ("*@*.example.org", "a@b.example.org", true),
            ("*@*.example.org", "a@example.org", false),
            ("example.com", "bert@example.com", true),
            ("@example.com", "bert@example.com", true),
            ("*@münchen.example", "a@xn--mnchen-3ya.example", true),
            ("*@xn--mnchen-3ya.example", "a@München.example", true),
            ("ann+*@example.org", "ann+list@example.org", true),
            ("a*b*c@example.org", "axxbyybzc@example.org", true),
            ("a*a@example.org", "a@example.org", false),
            ("*", "a@example.org", false),
            ("*@*", "a@example.org", true),
            ("a@x.example, b@x.example\nc@x.example", "c@x.example", true),
            ("", "a@example.org", false),
            (" , ,\n", "a@example.org", false),
        ] {
            assert_eq!(excluding(list, address).is_some(), expected || list == "*", "{list:?} {address}");
        }
        assert_eq!(excluding("x@y.example, *@example.org", "a@example.org"), Some("*@example.org"));
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_the_pattern() {
        assert_eq!(problem("ann@example.org, *@example.com,\n example.net , *@*.x.example"), None);
        for bad in ["ann@b@example.org", "ann lee@example.org", "no domain", "ann@", &"a".repeat(400)] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_bad_line_is_told_with_its_number() {
        let problem = problem_of_lines("ann@example.org\r\n\r\n*@example.com\nnot one, x@y.example").unwrap();
        assert!(problem.starts_with("Line 4: The pattern 'not one'"), "{problem}");
        assert_eq!(problem_of_lines("*@example.com\n"), None);
    }

    #[test]
    fn many_stars_cost_no_more_than_few() {
        let pattern = format!("{}b@x.example", "a*".repeat(150));
        assert!(!matches(&pattern, &format!("{}@x.example", "a".repeat(240))));
    }

    proptest! {
        #[test]
        fn a_pattern_without_a_star_matches_itself_alone(a in "[a-c]{1,3}@[a-c]{1,3}\\.example", b in "[a-c]{1,3}@[a-c]{1,3}\\.example") {
            prop_assert_eq!(excluding(&a, &b).is_some(), a == b);
        }

        #[test]
        fn stars_match_as_the_obvious_slow_way_does(pattern in "[ab*]{0,6}", text in "[ab]{0,6}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
                    Some((letter, rest)) => text.first() == Some(letter) && slow(rest, &text[1..]),
                }
            }
            prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn lists_made_ready_match_as_lists_do(list in "([ab*]{1,2}@?[ab*]{0,2}\\.x[,\n]){0,5}", address in "[ab]{1,2}@[ab]{1,2}\\.x") {
            prop_assert_eq!(Patterns::of([list.as_str()]).cover(&address), excluding(&list, &address).is_some());
        }

        #[test]
        fn no_list_makes_it_panic(list in ".{0,80}", address in ".{0,80}") {
            let _ = (excluding(&list, &address), problem(&list));
        }
    }
}
