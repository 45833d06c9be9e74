//! The words of a text, as they are looked for: folded, so that case, accents and the width of letters do not matter.
//!
//! Letters and digits that follow each other are a word. Scripts that put no spaces between words (Chinese, Japanese, Thai
//! and others) give each two neighbouring letters as a word instead, which finds every sequence of two or more.

use icu_normalizer::DecomposingNormalizerBorrowed;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A longer word is cut here, in octets; what is looked for is cut the same way.
const WORD_LIMIT: usize = 64;
/// How many different words of one message are kept.
const WORDS_LIMIT: usize = 2_000;
/// How many words can be looked for at the same time.
const TERMS_LIMIT: usize = 10;
/// The last word that is typed may be the beginning of one if it has so many letters.
const BEGINNING: usize = 3;

/// The different words of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words behind each other.
    letters: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Words {
    /// The words of several texts together, each once; of more than a few thousand the first ones.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut words = Self::default();
        // Two words with one hash are one word here: so rare that nothing depends on it.
        let mut known: HashSet<u64> = HashSet::new();
        for text in texts {
            each_word(text, |word| {
                if words.ends.len() < WORDS_LIMIT && known.insert(hash(word)) {
                    words.letters.push_str(word);
                    words.ends.push(u32::try_from(words.letters.len()).unwrap_or(u32::MAX));
                }
            });
        }
        words
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let word = &self.letters[from..*end as usize];
            from = *end as usize;
            word
        })
    }
}

fn hash(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// Which of several texts, counted from 0, have each word; both ascending.
pub fn inverted<'w>(texts: impl IntoIterator<Item = &'w Words>) -> Vec<(String, Vec<u32>)> {
    let mut found: HashMap<&str, Vec<u32>> = HashMap::new();
    for (number, words) in texts.into_iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        words.iter().for_each(|word| found.entry(word).or_default().push(number));
    }
    let mut found: Vec<(&str, Vec<u32>)> = found.into_iter().collect();
    found.sort_unstable_by_key(|(word, _)| *word);
    found.into_iter().map(|(word, texts)| (word.to_owned(), texts)).collect()
}

/// A word that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub word: String,
    /// It may be the beginning of a longer one.
    pub is_beginning: bool,
}

/// What a person looks for: all of these words. Empty if there is no word in it.
pub fn terms(query: &str) -> Vec<Term> {
    let mut words: Vec<String> = Vec::new();
    each_word(query, |word| words.push(word.to_owned()));
    let is_open = query.chars().next_back().is_some_and(char::is_alphanumeric);
    let last = words.last().cloned().filter(|last| is_open && is_long_enough(last));
    // A run of two letters and more is its pairs; the letter at its end says nothing beyond them.
    let mut terms: Vec<Term> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let ends_a_run = is_single_dense(word) && index > 0 && words[index - 1].ends_with(word.as_str());
        let is_known = terms.iter().any(|term| term.word == *word);
        if !ends_a_run && !is_known && terms.len() < TERMS_LIMIT {
            terms.push(Term { word: word.clone(), is_beginning: false });
        }
    }
    for term in &mut terms {
        // A single letter of a dense script stands at the beginning of a pair, or alone at the end of its run.
        term.is_beginning = is_single_dense(&term.word) || last.as_ref() == Some(&term.word);
    }
    terms
}

fn is_long_enough(word: &str) -> bool {
    word.chars().count() >= BEGINNING || is_single_dense(word)
}

fn is_single_dense(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(is_dense) && letters.next().is_none()
}

/// Shows every word of a text, folded, in its order.
fn each_word(text: &str, mut see: impl FnMut(&str)) {
    let mut run = Run { word: String::new(), before: None };
    if text.is_ascii() {
        for octet in text.bytes() {
            run.take(char::from(octet.to_ascii_lowercase()), &mut see);
        }
    } else {
        let normalizer = const { DecomposingNormalizerBorrowed::new_nfkd() };
        for letter in normalizer.normalize_iter(text.chars()).filter(|letter| !is_mark(*letter)) {
            if let Some(plain) = plain(letter) {
                plain.chars().for_each(|letter| run.take(letter, &mut see));
            } else {
                let folded = letter.to_lowercase().filter(|letter| !is_mark(*letter));
                folded.for_each(|letter| run.take(letter, &mut see));
            }
        }
    }
    run.end(&mut see);
}

/// The word that is being read.
struct Run {
    word: String,
    /// The letter before, in a script without spaces.
    before: Option<char>,
}

impl Run {
    fn take(&mut self, letter: char, see: &mut impl FnMut(&str)) {
        if is_dense(letter) {
            self.end_word(see);
            if let Some(before) = self.before.replace(letter) {
                self.word.extend([before, letter]);
                self.end_word(see);
            }
        } else if letter.is_alphanumeric() {
            self.end_dense(see);
            if self.word.len() + letter.len_utf8() <= WORD_LIMIT {
                self.word.push(letter);
            }
        } else {
            self.end(see);
        }
    }

    fn end(&mut self, see: &mut impl FnMut(&str)) {
        self.end_word(see);
        self.end_dense(see);
    }

    fn end_word(&mut self, see: &mut impl FnMut(&str)) {
        if !self.word.is_empty() {
            see(&self.word);
            self.word.clear();
        }
    }

    /// The last letter of a run begins no pair: it is there alone, so that looking for one letter finds it too.
    fn end_dense(&mut self, see: &mut impl FnMut(&str)) {
        if let Some(last) = self.before.take() {
            see(last.encode_utf8(&mut [0; 4]));
        }
    }
}

/// Letters of scripts that put no spaces between words.
fn is_dense(letter: char) -> bool {
    !letter.is_ascii()
        && matches!(letter,
            '\u{0E00}'..='\u{0EFF}' // Thai, Lao
            | '\u{1000}'..='\u{109F}' // Myanmar
            | '\u{1780}'..='\u{17FF}' // Khmer
            | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{309F}' | '\u{30A1}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' // Japanese
            | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}' // Han
        )
}

/// Marks that are written over, under and through other letters.
fn is_mark(letter: char) -> bool {
    matches!(letter,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0487}' | '\u{0591}'..='\u{05BD}' | '\u{0610}'..='\u{061A}'
        | '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}' | '\u{3099}' | '\u{309A}' | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}'
        | '\u{00AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

/// Letters that people write in another way, and that do not fall apart by themselves.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'ø' | 'Ø' => "o",
        'ł' | 'Ł' => "l",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'þ' | 'Þ' => "th",
        'ı' => "i",
        'ς' => "σ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        let mut words: Vec<String> = Words::of([text]).iter().map(str::to_owned).collect();
        words.sort_unstable();
        words
    }

    fn looked_for(query: &str) -> Vec<(String, bool)> {
        terms(query).into_iter().map(|term| (term.word, term.is_beginning)).collect()
    }

    #[test]
    fn case_accents_width_and_ligatures_do_not_matter() {
        assert_eq!(words("Grüße, GRÜSSE! grusse"), ["grusse"]);
        assert_eq!(words("Élève ÉLÈVE eleve e\u{301}le\u{300}ve"), ["eleve"]);
        assert_eq!(words("ｆｕｌｌ ﬁne №5 İstanbul ISTANBUL ıstanbul"), ["fine", "full", "istanbul", "no5"]);
        assert_eq!(words("Ærø Łódź Þór Ὀδυσσεύς ΟΔΥΣΣΕΥΣ"), ["aero", "lodz", "thor", "οδυσσευσ"]);
        assert_eq!(words("Ёлка ёлка елка"), ["елка"]);
    }

    #[test]
    fn words_end_at_what_is_no_letter_and_come_once() {
        assert_eq!(
            words("ann@example.org, Ann's (2nd) re-order\n\nann"),
            ["2nd", "ann", "example", "order", "org", "re", "s"]
        );
        assert_eq!(words(&"x".repeat(500)), ["x".repeat(WORD_LIMIT)]);
        assert_eq!(words(" \u{200B}.,;"), Vec::<String>::new());
        assert_eq!(words("in\u{AD}vis\u{200B}ible"), ["invisible"]);
    }

    #[test]
    fn scripts_without_spaces_come_in_pairs() {
        assert_eq!(words("東京都abc 京"), ["abc", "京", "京都", "東京", "都"]);
        assert_eq!(looked_for("東京都"), [("東京".into(), false), ("京都".into(), false)]);
        assert_eq!(looked_for("京"), [("京".into(), true)]);
        assert_eq!(words("한국어"), words("한국어"));
        assert_eq!(words("한국어").len(), 1);
    }

    #[test]
    fn only_the_last_word_may_be_a_beginning_and_only_while_it_is_typed() {
        assert_eq!(looked_for("Red appl"), [("red".into(), false), ("appl".into(), true)]);
        assert_eq!(looked_for("red apple "), [("red".into(), false), ("apple".into(), false)]);
        assert_eq!(looked_for("red ap"), [("red".into(), false), ("ap".into(), false)]);
        assert_eq!(
            looked_for("ann@example.org"),
            [("ann".into(), false), ("example".into(), false), ("org".into(), true)]
        );
        assert_eq!(looked_for(" … "), []);
        let many: Vec<String> = (0..50).map(|n| format!("w{n}")).collect();
        assert_eq!(terms(&many.join(" ")).len(), TERMS_LIMIT);
    }

    #[test]
    fn of_too_many_words_the_first_ones_stay() {
        let many: Vec<String> = (0..30_000).map(|n| format!("w{n:06}")).collect();
        let words = Words::of(["subject", &many.join(" ")]);
        assert!(words.ends.len() <= WORDS_LIMIT);
        assert!(words.iter().any(|word| word == "subject") && words.iter().any(|word| word == "w000000"));
        assert!(words.iter().all(|word| word < "w010000"));
    }

    #[test]
    fn several_texts_are_turned_around() {
        let (one, other) = (Words::of(["b a"]), Words::of(["c b"]));
        let found = inverted([&one, &Words::default(), &other]);
        assert_eq!(found, [("a".into(), vec![0]), ("b".into(), vec![0, 2]), ("c".into(), vec![2])]);
    }

    proptest! {
        #[test]
        fn every_word_of_a_text_is_found_by_looking_for_it(text in "\\PC{0,200}") {
            let all = words(&text);
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            for term in terms(&text) {
                let holds = all.iter().any(|word| *word == term.word || (term.is_beginning && word.starts_with(&term.word)));
                prop_assert!(holds, "{:?} in {:?}", term, all);
            }
        }
    }
}
