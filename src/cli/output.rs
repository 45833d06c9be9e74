//! What is printed: one JSON document, only the value, or text for people.
//!
//! Whatever a server or a stranger's mail put into a text, no control character of it reaches a terminal.

use super::exit::Failure;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
}

impl Output {
    /// Prints the one of the three that was asked for; nothing if it is empty.
    pub fn show(
        self,
        document: impl FnOnce() -> Value,
        value: impl FnOnce() -> String,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = if self.json {
            json_text(&document())
        } else if self.quiet {
            printable(&value())
        } else {
            printable(&text())
        };
        if text.is_empty() { Ok(()) } else { write_out(format!("{}\n", text.trim_end_matches('\n')).as_bytes()) }
    }

    /// A remark beside the result, on standard error; none with `--quiet`.
    pub fn note(self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }
}

/// A line on standard error. That nobody reads it is no failure.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// Octets to standard output as they are. A reader that has left (`| head`) is no failure.
pub fn write_out(octets: &[u8]) -> Result<(), Failure> {
    write_on(octets).map(|_| ())
}

/// The same; whether somebody still reads.
pub fn write_on(octets: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("Standard output cannot be written: {error}."))),
    }
}

/// A document, indented. JSON leaves some control characters as they are; escaped they mean the same.
pub fn json_text(document: &Value) -> String {
    let text = format!("{document:#}");
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '\n' && is_harmful(letter) {
            // All of them lie in the basic plane: one unit of UTF-16 each.
            let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Text of several lines, fit for a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if !matches!(letter, '\n' | '\t') && is_harmful(letter) { '\u{fffd}' } else { letter })
        .collect()
}

/// The same on one line.
pub fn on_one_line(text: &str) -> String {
    let spaced: String =
        text.chars().map(|letter| if matches!(letter, '\n' | '\r' | '\t') { ' ' } else { letter }).collect();
    printable(&spaced)
}

/// Controls, which may steer the terminal, and marks that turn the direction of writing, which make text lie.
fn is_harmful(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows below a heading, in columns as wide as they need to be.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| on_one_line(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|text| text.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(heading);
    for row in &rows {
        text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

/// Names and values below each other; the values start in one column.
pub fn pairs(lines: &[(String, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| {
        format!("{name:<width$}  {}", on_one_line(value)).trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_and_ends_no_line_in_spaces() {
        let rows =
            [vec!["1".into(), "ann@example.org".into(), "ok".into()], vec!["12".into(), "bö".into(), String::new()]];
        assert_eq!(
            table(&["ID", "ADDRESS", "SEND"], &rows),
            "ID  ADDRESS          SEND\n1   ann@example.org  ok\n12  bö\n"
        );
        assert_eq!(table(&["ID"], &[]), "ID\n");
    }

    #[test]
    fn no_escape_sequence_reaches_the_terminal() {
        let evil = "a\u{1b}[2Jb\u{9b}31mc\u{7f}\r\u{202e}d\ne";
        assert_eq!(printable(evil), "a\u{fffd}[2Jb\u{fffd}31mc\u{fffd}\u{fffd}\u{fffd}d\ne");
        assert!(!on_one_line(evil).contains('\n'));
        assert_eq!(table(&["A"], &[vec!["x\n\u{1b}y".into()]]), "A\nx \u{fffd}y\n");
        let document = json!({"subject": evil});
        let text = json_text(&document);
        assert!(!text.chars().any(|letter| letter != '\n' && is_harmful(letter)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document, "it means the same");
    }
}
