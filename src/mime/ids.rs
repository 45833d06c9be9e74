//! Lists of message identifiers as they come: folded, commented, without brackets.

/// The longest identifier that is kept, in octets.
const ID_LIMIT: usize = 998;
/// How many identifiers of a list are kept from either end.
const KEPT: usize = 50;

/// The identifiers in a field, without angle brackets and without white space (which folding may have put in). Where
/// nothing stands in brackets, words with an `@` are taken.
pub(super) fn identifiers(field: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut rest = field;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let Some(end) = rest.find(['>', '<']) else { break };
        if rest.as_bytes()[end] == b'>' {
            ids.extend(identifier(&rest[..end]));
        }
        rest = &rest[end..];
    }
    if ids.is_empty() {
        let words = field.split(|c: char| c.is_whitespace() || ",;<>()\"".contains(c));
        ids.extend(words.filter(|word| word.contains('@')).filter_map(identifier));
    }
    first_and_last(ids)
}

fn identifier(text: &str) -> Option<String> {
    let id: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    (!id.is_empty() && id.len() <= ID_LIMIT).then_some(id)
}

/// The start of a thread and its latest messages: what matching and threading need of a list that may be endless.
pub(super) fn first_and_last(mut ids: Vec<String>) -> Vec<String> {
    if ids.len() > 2 * KEPT {
        ids.drain(KEPT..ids.len() - KEPT);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_found_however_they_are_written() {
        for (field, expected) in [
            ("<a@b>", vec!["a@b"]),
            ("<a@b> <c@d>\r\n\t<e@f>", vec!["a@b", "c@d", "e@f"]),
            ("<a@b>,<c@d>", vec!["a@b", "c@d"]),
            ("<very.long.\r\n part@b>", vec!["very.long.part@b"]),
            ("Your message of Monday <a@b>", vec!["a@b"]),
            ("a@b", vec!["a@b"]),
            ("(comment) a@b;", vec!["a@b"]),
            ("<no-at>", vec!["no-at"]),
            ("<a@b", vec!["a@b"]),
            ("<<a@b>>", vec!["a@b"]),
            ("<>", vec![]),
            ("", vec![]),
            ("> < <", vec![]),
        ] {
            assert_eq!(identifiers(field), expected, "{field:?}");
        }
        assert!(identifiers(&format!("<{}@b>", "a".repeat(2000))).is_empty());
    }

    #[test]
    fn of_an_endless_thread_the_start_and_the_end_are_kept() {
        let field = (0..1000).map(|n| format!("<{n}@x> ")).collect::<Vec<_>>().concat();
        let ids = identifiers(&field);
        assert_eq!((ids.len(), ids[49].as_str(), ids[50].as_str()), (100, "49@x", "950@x"));
    }
}
