//! "Did you mean …?": the known word that is nearest to a mistyped one.

/// Longer words than this many characters get no suggestion: nobody mistypes them, and the work stays bounded.
const LIMIT: usize = 64;

/// The candidate that is fewest edits (a character added, left out, changed, or two neighbours swapped) away from
/// `word`, if it is near enough to be meant: one edit for short words, a third of the length for longer ones. Case and
/// the difference between `-` and `_` do not count; among equals the first candidate wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = normal(word)?;
    let near = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, &normal(candidate)?), candidate)))
        .filter(|(edits, _)| *edits <= near)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The characters that are compared; `None` for an empty or overlong word.
fn normal(word: &str) -> Option<Vec<char>> {
    let fold = |letter: char| if letter == '-' { '_' } else { letter.to_ascii_lowercase() };
    let letters: Vec<char> = word.chars().take(LIMIT + 1).map(fold).collect();
    (!letters.is_empty() && letters.len() <= LIMIT).then_some(letters)
}

/// Optimal string alignment distance, three rows at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_one_that_was_meant_and_a_strange_one_finds_none() {
        let words = ["listen", "public_url", "data_dir", "send.workers", "sync.workers"];
        for (typed, meant) in [
            ("listem", Some("listen")),
            ("lsiten", Some("listen")),
            ("Public-URL", Some("public_url")),
            ("publicurl", Some("public_url")),
            ("send.worker", Some("send.workers")),
            ("snyc.workers", Some("sync.workers")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, words), meant, "{typed}");
        }
    }

    #[test]
    fn an_overlong_word_is_not_compared() {
        let long = "a".repeat(10_000);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        assert_eq!(nearest("ab", ["cd"]), None, "a short word must be almost right");
    }
}
