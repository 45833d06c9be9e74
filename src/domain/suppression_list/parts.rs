//! A long list in parts that one import each takes: whole records, below a heading that reads as the list's own.

use super::{Columns, RECORD_LIMIT, RECORDS, Records, records, separator};

/// How large a part is at most, in octets: also what a proxy that nobody configured lets through.
const OCTETS: usize = 1 << 20;

/// A part of a list, and where in the list it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub text: String,
    /// The line of the list that the part's second one is; its first is the heading.
    second: usize,
}

impl Part {
    /// The line of the list that is this line of the part.
    pub fn line_of_list(&self, line: usize) -> usize {
        (line + self.second).saturating_sub(2)
    }
}

/// The parts of a list, one after the other.
pub struct Parts<'t> {
    heading: String,
    records: Records<'t>,
}

impl<'t> Parts<'t> {
    /// An error: the list as a whole, as in [`super::read`].
    pub fn of(text: &'t str) -> Result<Self, String> {
        let mut all = records(text);
        let mut heading = (Columns::default(), 2);
        let mut ahead = all.clone();
        while let Some(record) = ahead.next() {
            match record {
                Ok((_, cells)) if cells.iter().all(|cell| cell.trim().is_empty()) => continue,
                Ok((_, cells)) if !cells.iter().any(|cell| cell.contains('@')) => {
                    heading = (Columns::of(&cells)?, cells.len().max(2));
                    all = ahead;
                }
                Ok(_) | Err(_) => {}
            }
            break;
        }
        let (columns, width) = heading;
        let names: Vec<&str> = (0..width).map(|at| columns.name(at)).collect();
        let heading = names.join(&separator(text).to_string()) + "\n";
        Ok(Self { heading, records: all })
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let mut part = Part { text: self.heading.clone(), second: self.records.line };
        for _ in 0..RECORDS {
            let before = self.records.clone();
            if self.records.next().is_none() {
                break;
            }
            let record = &before.rest[..before.rest.len() - self.records.rest.len()];
            let record = shortened(record);
            if part.text.len() + record.len() > OCTETS {
                self.records = before;
                break;
            }
            part.text.push_str(record);
            if record.len() > RECORD_LIMIT {
                part.text.push('\n');
            }
        }
        (part.text.len() > self.heading.len()).then_some(part)
    }
}

/// Of a line that is too long for a record as much as shows that it is.
fn shortened(record: &str) -> &str {
    let end = record.char_indices().map(|(at, _)| at).find(|at| *at > RECORD_LIMIT);
    end.map_or(record, |end| &record[..end])
}

#[cfg(test)]
mod tests {
    use super::super::{BadLine, Import, read};
    use super::*;
    use proptest::prelude::*;

    /// What an import of each part says, as lines of the list.
    fn in_parts(text: &str) -> (usize, Import) {
        let mut all = Import::default();
        let mut count = 0;
        for part in Parts::of(text).unwrap() {
            assert!(part.text.len() <= OCTETS + 1);
            let import = read(&part.text).unwrap();
            all.rows.extend(
                import.rows.into_iter().map(|row| super::super::Row { line: part.line_of_list(row.line), ..row }),
            );
            all.bad.extend(import.bad.into_iter().map(|bad| BadLine { line: part.line_of_list(bad.line), ..bad }));
            count += 1;
        }
        (count, all)
    }

    #[test]
    fn the_parts_of_a_long_list_say_what_the_list_says() {
        let rows = |number: usize| format!("n{number}@x.example;\"no,\r\nnever\";complaint\r\n");
        let bad = format!("nobody;;\r\n\"open@x.example;;\r\n{}\r\n", "é".repeat(OCTETS));
        let body: String = (0..60_000).map(rows).collect();
        let text = format!("\u{feff}\r\nE-Mail;Note, if any;Note;Reason\r\n{body}{bad}last@x.example;;;manual");
        let text = text.replace("example;\"", "example;;\"");
        let (count, import) = in_parts(&text);
        assert!(count > 2, "{count}");
        assert_eq!(import.rows.len(), 60_001);
        assert_eq!((import.rows[0].line, import.rows[59_999].line), (3, 120_001));
        assert_eq!(import.rows[59_999].note.as_deref(), Some("no,\r\nnever"));
        assert_eq!(import.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [120_003, 120_004, 120_005]);
        assert_eq!(import.rows[60_000].line, 120_006);
        // Without a heading, and with more records than one import takes.
        let (count, import) = in_parts(&"a@x.example\n".repeat(RECORDS + 1));
        assert_eq!((count, import.rows.len(), import.rows[RECORDS].line), (2, RECORDS + 1, RECORDS + 1));
        assert!(Parts::of("name\nx\n").is_err());
        assert_eq!(in_parts("").0, 0);
    }

    proptest! {
        #[test]
        fn a_short_list_is_one_part_that_reads_the_same(
            heading in "(email;note\n|email\n|x,Address\r|\n)?", text in "(a@x.example|[,;\"\n\r\t]|é|\r\n){0,40}"
        ) {
            let text = heading + &text;
            if let Ok(import) = read(&text) {
                prop_assert_eq!(in_parts(&text).1, import);
            }
        }
    }
}
