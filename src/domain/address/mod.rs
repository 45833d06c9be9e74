//! Email addresses (RFC 5321 §4.1.2, internationalised by RFC 6531) and people who have one.

mod person;
pub use person::Person;

use icu_normalizer::ComposingNormalizerBorrowed;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use md5::{Digest, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest address, in octets (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const ADDRESS_LIMIT: usize = 254;
/// The longest local part, in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_LIMIT: usize = 64;

/// A valid email address, kept as it was given.
///
/// Two spellings of one address compare as different; compare [`Address::key`] to find out whether they are the same
/// mailbox. In JSON and in the store it is the given string, so the rules here may grow wider but never narrower.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    given: String,
    /// Where the `@` between local part and domain stands in `given`.
    at: usize,
    domain_ascii: String,
}

/// Why a text is not an email address; displays as a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressProblem {
    Empty,
    TooLong,
    ControlCharacter,
    Space,
    NoAt,
    NoLocalPart,
    LocalPartTooLong,
    LocalPartInvalid,
    NoDomain,
    DomainInvalid,
    NameInvalid,
}

impl fmt::Display for AddressProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "The email address is empty.",
            Self::TooLong => "The email address is too long.",
            Self::ControlCharacter => "The email address contains a line break or another invisible character.",
            Self::Space => "The email address contains a space.",
            Self::NoAt => "The email address has no @.",
            Self::NoLocalPart => "The email address has nothing before the @.",
            Self::LocalPartTooLong => "The part of the email address before the @ is longer than 64 octets.",
            Self::LocalPartInvalid => "The part of the email address before the @ is not valid.",
            Self::NoDomain => "The email address has nothing after the @.",
            Self::DomainInvalid => "The part of the email address after the @ is not a valid domain.",
            Self::NameInvalid => "The name before the email address is not valid; put it in double quotes.",
        })
    }
}

impl std::error::Error for AddressProblem {}

/// What no header field may carry: line breaks of any script, NUL and the other control characters.
pub(crate) fn is_forbidden_in_header(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// What no address may carry: the above, and marks that show nothing but change what a reader sees. (Names may: some
/// scripts and emoji need them.)
fn is_invisible(c: char) -> bool {
    is_forbidden_in_header(c)
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

impl Address {
    /// Reads one address without a name, such as `ann@example.org`; spaces around it are dropped.
    pub fn parse(text: &str) -> Result<Self, AddressProblem> {
        let given = text.trim_matches(' ');
        if given.is_empty() {
            return Err(AddressProblem::Empty);
        }
        if given.len() > ADDRESS_LIMIT {
            return Err(AddressProblem::TooLong);
        }
        if given.chars().any(is_invisible) {
            return Err(AddressProblem::ControlCharacter);
        }
        let at = given.rfind('@').ok_or(AddressProblem::NoAt)?;
        let (local, domain) = (&given[..at], &given[at + 1..]);
        check_local(local)?;
        let domain_ascii = domain_to_ascii(domain)?;
        if local.len() + 1 + domain_ascii.len() > ADDRESS_LIMIT {
            return Err(AddressProblem::TooLong);
        }
        Ok(Self { given: given.to_owned(), at, domain_ascii })
    }

    /// The address as it was given, without the spaces around it.
    pub fn as_given(&self) -> &str {
        &self.given
    }

    /// The part before the `@`, with its quotes where it has any.
    pub fn local_part(&self) -> &str {
        &self.given[..self.at]
    }

    /// The domain in lower-case A-labels (`xn--exmple-cua.org`), or an address literal in brackets.
    pub fn domain_ascii(&self) -> &str {
        &self.domain_ascii
    }

    /// The address as it goes on the wire: the local part as given, the domain in A-labels. ASCII unless
    /// [`Address::needs_smtputf8`].
    pub fn ascii(&self) -> String {
        format!("{}@{}", self.local_part(), self.domain_ascii)
    }

    /// Whether only a server with SMTPUTF8 (RFC 6531) can carry the address.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local_part().is_ascii()
    }

    /// What is equal for two spellings of one address: case folded, accents composed (NFC), needless quotes and
    /// backslashes dropped (RFC 5321 §4.1.2), the domain in A-labels.
    pub fn key(&self) -> String {
        let local = self.local_part();
        let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(unescaped);
        let local = match inner {
            Some(inner) if is_dot_atom(&inner) => inner,
            Some(inner) => format!("\"{}\"", inner.replace('\\', "\\\\").replace('"', "\\\"")),
            None => local.to_owned(),
        };
        let local = local.to_lowercase();
        if local.is_ascii() {
            return format!("{local}@{}", self.domain_ascii);
        }
        let composed = const { ComposingNormalizerBorrowed::new_nfc() }.normalize(&local);
        format!("{composed}@{}", self.domain_ascii)
    }
}

/// What a quoted string says.
fn unescaped(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        out.push(if letter == '\\' { letters.next().unwrap_or(letter) } else { letter });
    }
    out
}

fn check_local(local: &str) -> Result<(), AddressProblem> {
    if local.is_empty() {
        return Err(AddressProblem::NoLocalPart);
    }
    if local.len() > LOCAL_LIMIT {
        return Err(AddressProblem::LocalPartTooLong);
    }
    if is_dot_atom(local) || is_quoted_string(local) {
        return Ok(());
    }
    if !local.starts_with('"') && local.chars().any(char::is_whitespace) {
        return Err(AddressProblem::Space);
    }
    Err(AddressProblem::LocalPartInvalid)
}

/// `dot-atom-text` of RFC 5322 §3.2.3, with the non-ASCII characters of RFC 6532.
fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_character))
}

/// `atext` of RFC 5322 §3.2.3, with the non-ASCII characters of RFC 6532.
pub(crate) fn is_atom_character(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
    } else {
        !c.is_whitespace() && !is_invisible(c)
    }
}

/// `Quoted-string` of RFC 5321 §4.1.2; the caller has refused control characters.
fn is_quoted_string(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"') else { return false };
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return characters.as_str().is_empty(),
            '\\' if characters.next().is_none_or(|escaped| !escaped.is_ascii()) => return false,
            _ => {}
        }
    }
    false
}

fn domain_to_ascii(domain: &str) -> Result<String, AddressProblem> {
    if domain.is_empty() {
        return Err(AddressProblem::NoDomain);
    }
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let six = literal.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map(|_| &literal[5..]);
        let canonical = match six {
            Some(six) => six.parse::<Ipv6Addr>().map(|address| format!("[IPv6:{address}]")).ok(),
            None => literal.parse::<Ipv4Addr>().map(|address| format!("[{address}]")).ok(),
        };
        return canonical.ok_or(AddressProblem::DomainInvalid);
    }
    if domain.chars().any(char::is_whitespace) {
        return Err(AddressProblem::Space);
    }
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| AddressProblem::DomainInvalid)?;
    // `ann@127.0.0.1` is neither a domain nor an address literal.
    if ascii.rsplit('.').next().is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(AddressProblem::DomainInvalid);
    }
    Ok(ascii.into_owned())
}

/// The lower-case hex MD5 of the trimmed, lower-cased address: a look-up key for clients, never a security measure.
pub fn md5_hash(address: &str) -> String {
    let digest = Md5::digest(address.trim().to_lowercase().as_bytes());
    digest.iter().fold(String::with_capacity(32), |mut hex, byte| {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        hex
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.given, f)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressProblem;

    fn from_str(text: &str) -> Result<Self, AddressProblem> {
        Self::parse(text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.given)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_addresses_have_a_key_and_a_wire_form() {
        for (given, key, ascii) in [
            ("ann@example.org", "ann@example.org", "ann@example.org"),
            ("  Ann.Lee+tag@Example.ORG ", "ann.lee+tag@example.org", "Ann.Lee+tag@example.org"),
            ("Ann@Exämple.org", "ann@xn--exmple-cua.org", "Ann@xn--exmple-cua.org"),
            ("ann@XN--EXMPLE-CUA.org", "ann@xn--exmple-cua.org", "ann@xn--exmple-cua.org"),
            ("\"ann\"@example.org", "ann@example.org", "\"ann\"@example.org"),
            ("\"Ann Lee@x\"@example.org", "\"ann lee@x\"@example.org", "\"Ann Lee@x\"@example.org"),
            ("\"a\\\"b\"@example.org", "\"a\\\"b\"@example.org", "\"a\\\"b\"@example.org"),
            ("JÜRGEN@example.org", "jürgen@example.org", "JÜRGEN@example.org"),
            ("root@localhost", "root@localhost", "root@localhost"),
            ("ann@[127.0.0.1]", "ann@[127.0.0.1]", "ann@[127.0.0.1]"),
            ("ann@[ipv6:0:0::1]", "ann@[IPv6:::1]", "ann@[IPv6:::1]"),
            ("ann@例え.jp", "ann@xn--r8jz45g.jp", "ann@xn--r8jz45g.jp"),
        ] {
            let address = Address::parse(given).unwrap_or_else(|problem| panic!("{given}: {problem}"));
            assert_eq!(address.as_given(), given.trim(), "{given}");
            assert_eq!(address.key(), key, "{given}");
            assert_eq!(address.ascii(), ascii, "{given}");
            assert_eq!(address.needs_smtputf8(), given.starts_with('J'), "{given}");
        }
    }

    #[test]
    fn invalid_addresses_are_refused_with_their_problem() {
        use AddressProblem as P;
        for (bad, problem) in [
            ("", P::Empty),
            ("   ", P::Empty),
            ("ann", P::NoAt),
            ("@example.org", P::NoLocalPart),
            ("ann@", P::NoDomain),
            ("ann lee@example.org", P::Space),
            ("ann@exam ple.org", P::Space),
            ("Ann <ann@example.org>", P::Space),
            (".ann@example.org", P::LocalPartInvalid),
            ("ann.@example.org", P::LocalPartInvalid),
            ("an..n@example.org", P::LocalPartInvalid),
            ("an(n)@example.org", P::LocalPartInvalid),
            ("a@b@example.org", P::LocalPartInvalid),
            ("\"ann@example.org", P::LocalPartInvalid),
            ("\"an\"n\"@example.org", P::LocalPartInvalid),
            ("\"ann\\\"@example.org", P::LocalPartInvalid),
            ("ann,bob@example.org", P::LocalPartInvalid),
            ("ann@-example.org", P::DomainInvalid),
            ("ann@example..org", P::DomainInvalid),
            ("ann@example.org.", P::DomainInvalid),
            ("ann@exam_ple.org", P::DomainInvalid),
            ("ann@127.0.0.1", P::DomainInvalid),
            ("ann@[300.0.0.1]", P::DomainInvalid),
            ("ann@[example.org]", P::DomainInvalid),
            ("ann@example.org>", P::DomainInvalid),
            ("ann@exam\u{FF0F}ple.org", P::DomainInvalid),
            ("ann@example.org\r\nBcc: eve@example.org", P::ControlCharacter),
            ("ann\n@example.org", P::ControlCharacter),
            ("\"ann\r\n\"@example.org", P::ControlCharacter),
            ("ann\0@example.org", P::ControlCharacter),
            ("ann\t@example.org", P::ControlCharacter),
            ("ann\u{2028}@example.org", P::ControlCharacter),
            ("ann\u{85}@example.org", P::ControlCharacter),
            ("ann\u{202E}@example.org", P::ControlCharacter),
        ] {
            assert_eq!(Address::parse(bad).map(|address| address.key()), Err(problem), "{bad:?}");
        }
        assert_eq!(Address::parse(&format!("{}@x.org", "a".repeat(65))), Err(P::LocalPartTooLong));
        assert_eq!(Address::parse(&format!("a@{}org", "abcdefgh.".repeat(30))), Err(P::TooLong));
        assert_eq!(Address::parse(&format!("a@{}.org", "a".repeat(64))), Err(P::DomainInvalid));
    }

    #[test]
    fn the_hash_is_that_of_the_trimmed_lower_cased_address() {
        assert_eq!(md5_hash(" MyEmailAddress@example.com "), "0bc83cb571cd1c50ba6f3e8a78ef1346");
    }

    #[test]
    fn an_address_is_a_string_in_json() {
        let address: Address = serde_json::from_str("\"Ann@Exämple.org\"").unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"Ann@Exämple.org\"");
        assert!(serde_json::from_str::<Address>("\"ann\"").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_accepts_it_accepts_again(text in "\\PC{0,40}(@\\PC{0,20})?") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(address.as_given()).unwrap(), address.clone());
                prop_assert_eq!(Address::parse(&address.ascii()).unwrap().key(), address.key());
            }
            let _ = md5_hash(&text);
        }
    }
}

#[cfg(test)]
mod key_tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_have_one_key() {
        for (one, other) in [
            ("\u{e4}rger@example.org", "a\u{308}rger@example.org"),
            ("\u{c4}RGER@example.org", "\u{e4}rger@EXAMPLE.org"),
            ("ann@example.org", "\"ann\"@example.org"),
            ("ann@example.org", "\"a\\n\\n\"@example.org"),
            ("\"a b\"@example.org", "\"a\\ b\"@example.org"),
        ] {
            assert_eq!(Address::parse(one).unwrap().key(), Address::parse(other).unwrap().key(), "{one} {other}");
        }
        for (one, other) in [("ann@example.org", "anna@example.org"), ("\"a b\"@example.org", "ab@example.org")] {
            assert_ne!(Address::parse(one).unwrap().key(), Address::parse(other).unwrap().key(), "{one} {other}");
        }
    }
}
