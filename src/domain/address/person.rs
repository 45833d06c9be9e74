use super::{Address, AddressProblem, is_forbidden_in_header};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An address and the name to show with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    #[serde(default)]
    pub name: Option<String>,
    pub address: Address,
}

impl Person {
    /// The longest `Name <address>`, in octets.
    pub const LIMIT: usize = 998;

    /// Reads `ann@example.org`, `Ann Lee <ann@example.org>` or `"Lee, Ann" <ann@example.org>`; exactly one person.
    pub fn parse(text: &str) -> Result<Self, AddressProblem> {
        if text.len() > Self::LIMIT {
            return Err(AddressProblem::TooLong);
        }
        if text.chars().any(is_forbidden_in_header) {
            return Err(AddressProblem::ControlCharacter);
        }
        let text = text.trim();
        let Some(body) = text.strip_suffix('>') else {
            return Ok(Self::from(Address::parse(text)?));
        };
        let (name, rest) = if body.starts_with('"') { quoted_name(body)? } else { bare_name(body)? };
        let address = rest.trim_start().strip_prefix('<').ok_or(AddressProblem::NameInvalid)?;
        let name = name.trim();
        Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), address: Address::parse(address)? })
    }
}

/// The name in quotes, and what follows it.
fn quoted_name(text: &str) -> Result<(String, &str), AddressProblem> {
    let mut name = String::new();
    let mut characters = text.chars();
    characters.next();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Ok((name, characters.as_str())),
            '\\' => name.push(characters.next().ok_or(AddressProblem::NameInvalid)?),
            _ => name.push(c),
        }
    }
    Err(AddressProblem::NameInvalid)
}

/// The name up to the `<`, and what follows it.
fn bare_name(text: &str) -> Result<(String, &str), AddressProblem> {
    let (name, rest) = text.split_at(text.find('<').ok_or(AddressProblem::NameInvalid)?);
    // With an @ and a comma it is a list of addresses, of which all but the last would be lost.
    if name.contains(['"', '>']) || (name.contains('@') && name.contains([',', ';'])) {
        return Err(AddressProblem::NameInvalid);
    }
    Ok((name.to_owned(), rest))
}

impl From<Address> for Person {
    fn from(address: Address) -> Self {
        Self { name: None, address }
    }
}

impl fmt::Display for Person {
    /// `Name <address>`, the name in quotes where it needs them; [`Person::parse`] reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_deref() {
            None | Some("") => self.address.fmt(f),
            Some(name) if name.contains(['"', '\\', '<', '>', '(', ')', '[', ']', ':', ';', '@', ',', '.']) => {
                write!(f, "\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), self.address)
            }
            Some(name) => write!(f, "{name} <{}>", self.address),
        }
    }
}

impl std::str::FromStr for Person {
    type Err = AddressProblem;

    fn from_str(text: &str) -> Result<Self, AddressProblem> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_are_read_with_and_without_a_name_and_written_back() {
        for (text, name, address, written) in [
            ("ann@example.org", None, "ann@example.org", "ann@example.org"),
            ("<ann@example.org>", None, "ann@example.org", "ann@example.org"),
            (" Ann  Lee <ann@example.org> ", Some("Ann  Lee"), "ann@example.org", "Ann  Lee <ann@example.org>"),
            ("Müller<m@example.org>", Some("Müller"), "m@example.org", "Müller <m@example.org>"),
            ("\"Lee, Ann\" <a@b>", Some("Lee, Ann"), "a@b", "\"Lee, Ann\" <a@b>"),
            ("Lee, Ann <a@b>", Some("Lee, Ann"), "a@b", "\"Lee, Ann\" <a@b>"),
            (r#""a \"b\" \\c" <a@b>"#, Some(r#"a "b" \c"#), "a@b", r#""a \"b\" \\c" <a@b>"#),
            ("\"\" <a@b>", None, "a@b", "a@b"),
            ("👩\u{200D}💻 <a@b>", Some("👩\u{200D}💻"), "a@b", "👩\u{200D}💻 <a@b>"),
            ("a@b <a@b>", Some("a@b"), "a@b", "\"a@b\" <a@b>"),
            (r#""x <y>" <"q >"@b>"#, Some("x <y>"), "\"q >\"@b", r#""x <y>" <"q >"@b>"#),
            ("\"q q\"@example.org", None, "\"q q\"@example.org", "\"q q\"@example.org"),
        ] {
            let person = Person::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(person.name.as_deref(), name, "{text}");
            assert_eq!(person.address.as_given(), address, "{text}");
            assert_eq!(person.to_string(), written, "{text}");
            assert_eq!(Person::parse(&person.to_string()).unwrap(), person, "{text}");
        }
    }

    #[test]
    fn lists_broken_quotes_and_line_breaks_are_refused() {
        for bad in [
            "",
            "Ann",
            "Ann <>",
            "Ann <ann@example.org",
            "ann@example.org>",
            "a@b, c@d",
            "a@b, Cee <c@d>",
            "\"Ann <ann@example.org>",
            "\"Ann\" ann@example.org>",
            "Ann <a@b> <c@d>",
            "Ann\r\nBcc: eve@example.org <a@b>",
            "Ann\0 <a@b>",
            "Ann\u{2028} <a@b>",
        ] {
            assert!(Person::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Person::parse(&format!("{} <a@b>", "x".repeat(1000))), Err(AddressProblem::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(name in "[^\\pC\\pZ]([^\\pC\\u2028\\u2029]{0,30}[^\\pC\\pZ])?") {
            let person = Person { name: Some(name), address: Address::parse("ann@example.org").unwrap() };
            prop_assert_eq!(Person::parse(&person.to_string()).unwrap(), person);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[\"<>\\\\@, a.é]{0,30}") {
            if let Ok(person) = Person::parse(&text) {
                prop_assert_eq!(Person::parse(&person.to_string()).unwrap(), person);
            }
        }
    }
}
