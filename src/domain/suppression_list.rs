//! Suppression lists as CSV (RFC 4180): what is exported reads back the same, and no spreadsheet runs a cell of it.

mod parts;

use super::address::Address;
use super::suppression::{NOTE_LENGTH, Reason, Suppression};
pub use parts::{Part, Parts};
use std::fmt::Write as _;

/// How many records one import takes.
pub const RECORDS: usize = 50_000;

/// The first line of an export.
pub const HEADING: &str = "email,reason,note,source,createdAt\r\n";

/// One address of an import, with the line it stood on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub email: String,
    pub reason: Reason,
    pub note: Option<String>,
}

/// A line that could not be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    pub line: usize,
    pub why: String,
}

/// What an import says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    pub rows: Vec<Row>,
    pub bad: Vec<BadLine>,
}

/// Reads a list: a heading with `email` and, if they are there, `reason` and `note` among its columns, or addresses alone
/// in the first column. Each bad line is told with its number, and takes no other along. An error: the list as a whole.
pub fn read(text: &str) -> Result<Import, String> {
    let mut records = records(text)
        .filter(|record| !matches!(record, Ok((_, cells)) if cells.iter().all(|cell| cell.trim().is_empty())))
        .peekable();
    let mut columns = Columns::default();
    if let Some(Ok((_, cells))) = records.peek()
        && !cells.iter().any(|cell| cell.contains('@'))
    {
        columns = Columns::of(cells)?;
        records.next();
    }
    let mut import = Import::default();
    for record in records {
        if import.rows.len() + import.bad.len() == RECORDS {
            return Err(format!(
                "The list has more than {RECORDS} records; nothing was imported. Send it in several requests, each with \
                 its heading, or import it with postroom suppression import, which does so."
            ));
        }
        match record.and_then(|(line, cells)| columns.row(line, &cells)) {
            Ok(row) => import.rows.push(row),
            Err(bad) => import.bad.push(bad),
        }
    }
    Ok(import)
}

fn records(text: &str) -> Records<'_> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Records { rest: text, line: 1, separator: separator(text) }
}

/// Where in a line things stand; by default as in a list without a heading.
#[derive(Default)]
struct Columns {
    email: usize,
    reason: Option<usize>,
    note: Option<usize>,
}

impl Columns {
    fn of(heading: &[String]) -> Result<Self, String> {
        let column = |wanted: &[&str]| {
            heading.iter().position(|cell| wanted.iter().any(|name| cell.trim().eq_ignore_ascii_case(name)))
        };
        let email = column(&["email", "e-mail", "address", "email address", "emailAddress"]).ok_or(
            "The first line has neither an address nor a column named email. Allowed columns: email, reason, note.",
        )?;
        Ok(Self { email, reason: column(&["reason"]), note: column(&["note"]) })
    }

    /// What a heading says of this column; nothing of one that is not read.
    fn name(&self, at: usize) -> &'static str {
        match at {
            at if at == self.email => "email",
            at if self.reason == Some(at) => "reason",
            at if self.note == Some(at) => "note",
            _ => "",
        }
    }

    fn row(&self, line: usize, cells: &[String]) -> Result<Row, BadLine> {
        let bad = |why: String| BadLine { line, why };
        let cell = |at: Option<usize>| {
            at.and_then(|at| cells.get(at)).map(|cell| unguarded(cell).trim()).filter(|cell| !cell.is_empty())
        };
        let email = cell(Some(self.email)).ok_or_else(|| bad("There is no address.".into()))?;
        if let Err(problem) = Address::parse(email) {
            return Err(bad(problem.to_string()));
        }
        let reason = match cell(self.reason) {
            None => Reason::Manual,
            Some(name) => Reason::from_name(name)
                .ok_or_else(|| bad("The reason is none of unsubscribe, hardBounce, complaint and manual.".into()))?,
        };
        let note =
            cell(self.note).map(|note| note.chars().filter(|letter| *letter != '\0').take(NOTE_LENGTH).collect());
        Ok(Row { line, email: email.to_owned(), reason, note })
    }
}

/// What parts the cells of this list: the one that its first line with any has most of, outside quotes. The others are
/// text then, as in a note that says `no; never`.
fn separator(text: &str) -> char {
    for line in text.split(['\n', '\r']) {
        let mut counts = SEPARATORS.map(|separator| (0_usize, separator));
        let mut quoted = false;
        for letter in line.chars() {
            quoted ^= letter == '"';
            for (count, separator) in &mut counts {
                *count += usize::from(!quoted && letter == *separator);
            }
        }
        // The first of equals.
        if let Some((_, found)) =
            counts.into_iter().rev().max_by_key(|(count, _)| *count).filter(|(count, _)| *count > 0)
        {
            return found;
        }
    }
    SEPARATORS[0]
}

const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// Records of CSV with the line each starts on. A line ends with LF, CRLF or a CR alone.
#[derive(Clone)]
struct Records<'t> {
    rest: &'t str,
    line: usize,
    separator: char,
}

/// No record is longer, in octets: a quote that never ends costs one record, not the rest of the list.
const RECORD_LIMIT: usize = 16 * 1024;

impl Iterator for Records<'_> {
    type Item = Result<(usize, Vec<String>), BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let (mut cells, mut cell, mut quoted, mut used) = (Vec::new(), String::new(), false, 0);
        let mut letters = self.rest.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            used = at + letter.len_utf8();
            if used > RECORD_LIMIT {
                break;
            }
            match letter {
                '"' if quoted => {
                    if letters.next_if(|(_, next)| *next == '"').is_some() {
                        cell.push('"');
                    } else {
                        quoted = false;
                    }
                }
                '"' if cell.is_empty() => quoted = true,
                letter if letter == self.separator && !quoted => cells.push(std::mem::take(&mut cell)),
                '\n' | '\r' if !quoted => {
                    if letter == '\r' && letters.next_if(|(_, next)| *next == '\n').is_some() {
                        used += 1;
                    }
                    cells.push(cell);
                    return Some(self.took(line, used, Ok(cells)));
                }
                other => cell.push(other),
            }
        }
        if quoted || used > RECORD_LIMIT {
            // What follows is read again from the next line on.
            let end = self
                .rest
                .find(['\n', '\r'])
                .map_or(self.rest.len(), |end| end + if self.rest[end..].starts_with("\r\n") { 2 } else { 1 });
            return Some(self.took(line, end, Err("A quote is not closed, or the line is too long.".to_owned())));
        }
        cells.push(cell);
        Some(self.took(line, self.rest.len(), Ok(cells)))
    }
}

impl Records<'_> {
    fn took(
        &mut self,
        line: usize,
        octets: usize,
        cells: Result<Vec<String>, String>,
    ) -> Result<(usize, Vec<String>), BadLine> {
        let (taken, rest) = self.rest.split_at(octets);
        self.line += taken.matches(['\n', '\r']).count() - taken.matches("\r\n").count();
        self.rest = rest;
        cells.map(|cells| (line, cells)).map_err(|why| BadLine { line, why })
    }
}

/// One line of an export, which an import takes whatever the note: those of before may be longer than one may be now.
pub fn line(suppression: &Suppression) -> String {
    let mut line = String::new();
    let note: String = suppression.note.iter().flat_map(|note| note.chars()).take(NOTE_LENGTH).collect();
    let created_at = suppression.created_at.to_string();
    let cells = [suppression.email.as_str(), suppression.reason.name(), &note, &suppression.source, &created_at];
    for (number, cell) in cells.into_iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let cell = guarded(cell);
        let _ = if cell.contains(['"', ',', ';', '\t', '\r', '\n']) {
            write!(line, "{comma}\"{}\"", cell.replace('"', "\"\""))
        } else {
            write!(line, "{comma}{cell}")
        };
    }
    line.push_str("\r\n");
    line
}

/// What a spreadsheet takes for a formula at the start of a cell; the apostrophe is among them so that it reads back.
const TRIGGERS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

fn guarded(cell: &str) -> String {
    if cell.starts_with(TRIGGERS) { format!("'{cell}") } else { cell.to_owned() }
}

fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(TRIGGERS)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use proptest::prelude::*;

    fn emails(text: &str) -> (Vec<String>, Vec<usize>) {
        let import = read(text).unwrap();
        (import.rows.into_iter().map(|row| row.email).collect(), import.bad.into_iter().map(|bad| bad.line).collect())
    }

    #[test]
    fn a_list_is_read_with_a_heading_or_without() {
        let both = vec!["a@x.example".to_owned(), "b@x.example".to_owned()];
        for text in [
            "a@x.example\nb@x.example",
            "\u{feff}a@x.example\r\n\r\nb@x.example\r\n",
            "Name;E-Mail\nAnn;a@x.example\nBert;b@x.example\n",
            "email,note\ra@x.example,no; never\rb@x.example,x\r",
            "Name;E-Mail\nDemo, Ann;a@x.example\nDemo, Bert;b@x.example\n",
            "email\tnote\r\na@x.example\tno, thanks; really\r\nb@x.example\r\n",
            "email,reason,note\n\"a@x.example\",unsubscribe,\"said \"\"no\"\",\nthanks\"\nb@x.example,,\n",
        ] {
            assert_eq!(emails(text), (both.clone(), vec![]), "{text}");
        }
        assert!(read("name,reason\nx,y\n").is_err());
        assert_eq!(emails(""), (vec![], vec![]));
    }

    #[test]
    fn each_bad_line_is_told_with_its_number_and_takes_no_other_along() {
        let text =
            "email,reason\nnobody,\na@x.example,\n,manual\nb@x.example,bored\n\"c@x.example,\nd@x.example,complaint\n";
        assert_eq!(emails(text), (vec!["a@x.example".into(), "d@x.example".into()], vec![2, 4, 5, 6]));
        let long = format!("a@x.example\n\"{}\nb@x.example\n", "x,".repeat(RECORD_LIMIT));
        assert_eq!(emails(&long), (vec!["a@x.example".into(), "b@x.example".into()], vec![2]));
    }

    #[test]
    fn only_one_separator_parts_the_cells_of_a_list() {
        let import = read("email,reason,note\na@x.example,manual,no; never\nb@x.example,manual,a\tb\n").unwrap();
        let notes: Vec<_> = import.rows.iter().map(|row| row.note.as_deref()).collect();
        assert_eq!((notes, import.bad), (vec![Some("no; never"), Some("a\tb")], vec![]));
        let import = read("email\ra@x.example\r\"\rnobody\r").unwrap();
        assert_eq!(import.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4], "lines that end with CR count");
    }

    #[test]
    fn too_many_records_are_refused_as_a_whole() {
        assert!(read(&"a@x.example\n".repeat(RECORDS)).is_ok());
        assert!(read(&"a@x.example\n".repeat(RECORDS + 1)).is_err());
    }

    #[test]
    fn no_cell_of_an_export_starts_a_formula() {
        let mut suppression = Suppression::new("=cmd|x@x.example", Reason::Manual, "api", Timestamp::default());
        suppression.note = Some("@SUM(A1), \"x\"".into());
        assert_eq!(
            line(&suppression),
            "'=cmd|x@x.example,manual,\"'@SUM(A1), \"\"x\"\"\",api,1970-01-01T00:00:00.000Z\r\n"
        );
    }

    #[test]
    fn whatever_the_note_the_address_comes_back() {
        let mut suppression = Suppression::new("a@x.example", Reason::Manual, "api", Timestamp::default());
        suppression.note = Some("\u{10000}\"".repeat(RECORD_LIMIT));
        let import = read(&format!("{HEADING}{}", line(&suppression))).unwrap();
        assert_eq!((import.rows.len(), import.bad), (1, vec![]));
        assert_eq!(import.rows[0].note.as_ref().map(|note| note.chars().count()), Some(NOTE_LENGTH));
    }

    proptest! {
        #[test]
        fn an_export_reads_back_as_it_was(local in "[a-z=+'-]{1,8}", note in "[a-z=+@'\",;\n\r\t-]{0,12}", reason in 0..2_usize) {
            let reason = [Reason::Unsubscribe, Reason::Complaint][reason];
            let mut suppression = Suppression::new(&format!("{local}@x.example"), reason, "api", Timestamp::default());
            suppression.note = Some(note.clone()).filter(|note| !note.trim().is_empty());
            let import = read(&format!("{HEADING}{}", line(&suppression))).unwrap();
            prop_assert_eq!(import.bad, vec![]);
            prop_assert_eq!(&import.rows[0].email, &suppression.email);
            prop_assert_eq!(import.rows[0].reason, suppression.reason);
            let note = import.rows[0].note.clone().unwrap_or_default();
            let wanted = suppression.note.unwrap_or_default();
            prop_assert_eq!(note.trim(), wanted.trim());
        }

        #[test]
        fn no_text_makes_it_panic(text in "([a-z@.,;\"'\n\r]|é){0,60}") {
            let _ = read(&text);
        }
    }
}
