use std::fmt;

/// The flags of a message (RFC 3501 section 2.3.2), without `\Recent`, which belongs to a session.
/// System flags take a byte; keywords are kept as they were first written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    system: u8,
    keywords: Vec<Box<str>>,
}

const SYSTEM: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];
/// Keywords that one message may carry; more are ignored.
const MAX_KEYWORDS: usize = 64;

impl Flags {
    /// Whether a flag is set; case does not matter.
    pub fn contains(&self, flag: &str) -> bool {
        match bit(flag) {
            Some(bit) => self.system & bit != 0,
            None => self.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(flag)),
        }
    }

    /// Sets a flag. An unknown flag with a backslash, and `\Recent`, is ignored, as a server may.
    pub fn insert(&mut self, flag: &str) {
        if let Some(bit) = bit(flag) {
            self.system |= bit;
        } else if !flag.starts_with('\\') && !self.contains(flag) && self.keywords.len() < MAX_KEYWORDS {
            self.keywords.push(flag.into());
        }
    }

    /// Clears a flag.
    pub fn remove(&mut self, flag: &str) {
        match bit(flag) {
            Some(bit) => self.system &= !bit,
            None => self.keywords.retain(|keyword| !keyword.eq_ignore_ascii_case(flag)),
        }
    }

    /// The flags that are set, system flags first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let system = SYSTEM.iter().copied().filter(|flag| self.contains(flag));
        system.chain(self.keywords.iter().map(|keyword| &**keyword))
    }
}

impl<'a> FromIterator<&'a str> for Flags {
    fn from_iter<T: IntoIterator<Item = &'a str>>(flags: T) -> Self {
        let mut set = Self::default();
        flags.into_iter().for_each(|flag| set.insert(flag));
        set
    }
}

/// Space-separated, as they stand between the parentheses of a FLAGS response.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, flag) in self.iter().enumerate() {
            write!(f, "{}{flag}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

fn bit(flag: &str) -> Option<u8> {
    SYSTEM.iter().position(|name| name.eq_ignore_ascii_case(flag)).map(|index| 1 << index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_a_set_without_regard_to_case() {
        let mut flags: Flags = ["\\seen", "$Work", "$WORK", "\\Recent", "\\Strange"].into_iter().collect();
        assert_eq!(flags.to_string(), "\\Seen $Work");
        flags.insert("\\Answered");
        flags.remove("$work");
        assert_eq!(flags.to_string(), "\\Answered \\Seen");
    }
}
