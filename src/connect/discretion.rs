//! What a server says is stored and shown; a server that repeats the credential must not make it public that way.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// What stands in the place of a line that is not shown.
pub(super) const NOT_SHOWN: &str = "(not shown: the server repeated the credential)";

/// The forms in which the credential of a session may come back. Empty where there is none.
#[derive(Default)]
pub(super) struct Discretion(Vec<Zeroizing<String>>);

impl Discretion {
    pub fn about(username: &str, password: &str) -> Self {
        if password.is_empty() {
            return Self::default();
        }
        let mut forms = vec![Zeroizing::new(password.to_owned())];
        let plain = Zeroizing::new(format!("\0{username}\0{password}"));
        forms.push(Zeroizing::new(STANDARD.encode(plain.as_bytes())));
        // Base64 of something that holds the password, at each of the three places where it may begin.
        for lead in 0..3 {
            let padded = Zeroizing::new([&b"\0\0"[..lead], password.as_bytes()].concat());
            let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&*padded));
            // The first and the last characters depend on the neighbours too.
            let from = [0, 2, 3][lead];
            let to = encoded.len() - usize::from(!padded.len().is_multiple_of(3));
            let middle = encoded.get(from..to).unwrap_or_default();
            // A few characters could be anything.
            if middle.len() >= 6 {
                forms.push(Zeroizing::new(middle.to_owned()));
            }
        }
        Self(forms)
    }

    /// Whether a text holds the credential, in the clear or encoded.
    pub fn is_broken_by(&self, text: &str) -> bool {
        self.0.iter().any(|form| text.contains(form.as_str()))
    }

    /// The lines as they may be shown. The code at the start of a line stays: it says how to go on.
    pub fn scrub(&self, lines: &mut [String]) {
        if self.0.is_empty() {
            return;
        }
        let mut left = false;
        for line in &mut *lines {
            if self.is_broken_by(line) {
                *line = self.replacement(line);
            }
            left |= !line.is_empty();
        }
        // Cut in two by a line's end, with or without the code that every line repeats.
        let rest = |line: &String| line.split_once(' ').map_or(String::new(), |(_, rest)| rest.to_owned());
        let joined = Zeroizing::new(lines.concat());
        let without_codes: Zeroizing<String> =
            Zeroizing::new(lines.iter().take(1).cloned().chain(lines.iter().skip(1).map(rest)).collect());
        if left && (self.is_broken_by(&joined) || self.is_broken_by(&without_codes)) {
            for line in lines {
                *line = self.replacement(line);
            }
        }
    }

    /// The same for one line.
    pub fn scrubbed(&self, line: String) -> String {
        if self.is_broken_by(&line) { self.replacement(&line) } else { line }
    }

    fn replacement(&self, line: &str) -> String {
        use crate::domain::failure::EnhancedCode;
        match EnhancedCode::from_reply(line).map(|code| code.to_string()).filter(|code| !self.is_broken_by(code)) {
            Some(code) => format!("{code} {NOT_SHOWN}"),
            None => NOT_SHOWN.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD as BASE64;

    #[test]
    fn a_credential_is_found_in_the_clear_and_in_base64_wherever_it_stands() {
        let discretion = Discretion::about("ann", "c4nary-pässword");
        for text in [
            "no c4nary-pässword here".to_owned(),
            BASE64.encode("\0ann\0c4nary-pässword"),
            BASE64.encode("c4nary-pässword"),
            BASE64.encode("xc4nary-pässwordx"),
            BASE64.encode("xyc4nary-pässwordxy"),
            BASE64.encode("xyzc4nary-pässwordxyz"),
            format!("334 {}", BASE64.encode("user=ann\u{1}auth=c4nary-pässword\u{1}")),
        ] {
            assert!(discretion.is_broken_by(&text), "{text}");
        }
        assert!(!discretion.is_broken_by("550 5.1.1 no such user c4nary"));
        assert!(!Discretion::about("ann", "").is_broken_by("anything"));
        assert!(!Discretion::default().is_broken_by("anything"));
    }

    #[test]
    fn only_what_gives_it_away_goes_and_the_code_stays() {
        let discretion = Discretion::about("ann", "pass word");
        let mut lines = vec!["5.7.1 go away".to_owned(), "5.7.1 pass word".to_owned()];
        discretion.scrub(&mut lines);
        assert_eq!(lines, ["5.7.1 go away".to_owned(), format!("5.7.1 {NOT_SHOWN}")]);
        let mut lines = vec!["pass w".to_owned(), "ord".to_owned()];
        discretion.scrub(&mut lines);
        assert_eq!(lines, [NOT_SHOWN, NOT_SHOWN]);
        let mut lines = vec!["5.7.1 pass w".to_owned(), "5.7.1 ord".to_owned()];
        discretion.scrub(&mut lines);
        assert!(lines.iter().all(|line| !line.contains("ord")), "{lines:?}");
    }
}
