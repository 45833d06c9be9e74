//! Which folders of a mailbox are synced beside its inbox and its sent folder.
//!
//! A list of lines. Each names folders as people see them: `Projects`, `Projects/*`, `*`; or by what they are for
//! (RFC 6154): `\Archive`, `\All`. A star stands for any characters. A line that begins with `!` takes folders out
//! again; the last line that fits decides. Case does not count.

use super::exclusions::matches;

/// How many lines a list may have.
const LINE_COUNT: usize = 500;
/// The longest line, in characters.
const LINE_LENGTH: usize = 255;

/// What a folder is for (RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    All,
    Archive,
    Drafts,
    Flagged,
    Junk,
    Sent,
    Trash,
}

impl SpecialUse {
    pub const EVERY: [Self; 7] =
        [Self::All, Self::Archive, Self::Drafts, Self::Flagged, Self::Junk, Self::Sent, Self::Trash];

    /// As servers and lists write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|special| special.name().eq_ignore_ascii_case(name))
    }
}

/// Whether a list takes in a folder, by the name that people see and by what it is for.
pub fn chooses(list: &str, name: &str, special: Option<SpecialUse>) -> bool {
    let name = name.to_lowercase();
    let mut chosen = false;
    for line in lines(list) {
        let (takes, pattern) = line.strip_prefix('!').map_or((true, line), |rest| (false, rest.trim_start()));
        let fits = if pattern.starts_with('\\') {
            special.is_some_and(|special| special.name().eq_ignore_ascii_case(pattern))
        } else {
            matches(&pattern.to_lowercase(), &name)
        };
        if fits {
            chosen = takes;
        }
    }
    chosen
}

/// What is wrong with a list, in a sentence that names the line.
pub fn problem(list: &str) -> Option<String> {
    let count = lines(list).count();
    if count > LINE_COUNT {
        return Some(format!("The list has {count} lines; at most {LINE_COUNT} are allowed."));
    }
    list.lines().enumerate().find_map(|(index, line)| {
        let pattern = line.trim().trim_start_matches('!').trim_start();
        let number = index + 1;
        if pattern.chars().count() > LINE_LENGTH {
            return Some(format!("Line {number} is longer than {LINE_LENGTH} characters."));
        }
        if pattern.chars().any(char::is_control) {
            return Some(format!("Line {number} has a control character."));
        }
        if pattern.is_empty() && !line.trim().is_empty() {
            return Some(format!("Line {number} names no folder."));
        }
        if pattern.starts_with('\\') && SpecialUse::from_name(pattern).is_none() {
            let known = SpecialUse::EVERY.map(SpecialUse::name).join(", ");
            return Some(format!("Line {number}: {pattern} is not known; known are {known}."));
        }
        None
    })
}

fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_choose_by_name_by_pattern_and_by_use_and_the_last_line_that_fits_decides() {
        for (list, name, special, expected) in [
            ("Projects", "projects", None, true),
            ("Projects", "Projects/2026", None, false),
            ("Projects/*", "Projects/2026", None, true),
            ("*", "anything/at all", None, true),
            ("*\n!\\Trash\n!Spam", "Papierkorb", Some(SpecialUse::Trash), false),
            ("*\n!\\Trash\n!Spam", "spam", None, false),
            ("*\n!\\Trash\nPapierkorb", "Papierkorb", Some(SpecialUse::Trash), true),
            ("\\archive", "Ablage", Some(SpecialUse::Archive), true),
            ("\\Archive", "Archive", None, false),
            ("Entwürfe", "ENTWÜRFE", None, true),
            ("", "x", None, false),
        ] {
            assert_eq!(chooses(list, name, special), expected, "{list:?} {name}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_its_line() {
        assert_eq!(problem("Projects\n\n \\All\n! \\Junk\n*"), None);
        for (list, said) in [
            ("a\n\\Archives", "Line 2: \\Archives is not known"),
            ("!", "Line 1 names no folder"),
            ("a\tb", "Line 1 has a control"),
            (&"x".repeat(300), "Line 1 is longer"),
            (&"x\n".repeat(501), "501 lines"),
        ] {
            assert!(problem(list).is_some_and(|problem| problem.contains(said)), "{list:?}: {:?}", problem(list));
        }
    }
}
