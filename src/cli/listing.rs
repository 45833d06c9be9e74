//! A long list, printed as its pages come: in memory is one of them.

use super::answer::{Document, Record};
use super::output::{Output, json_text, on_one_line, printable};
use std::fmt::Write as _;

/// What becomes of the pages: the pieces of one JSON document, ids, or one table.
pub struct Listing {
    output: Output,
    heading: &'static [&'static str],
    row: fn(Record) -> Vec<String>,
    /// As wide as the widest cell so far: a page may widen them, and none is narrower than those above it.
    widths: Vec<usize>,
    begun: bool,
}

impl Listing {
    pub fn new(output: Output, heading: &'static [&'static str], row: fn(Record) -> Vec<String>) -> Self {
        Self { output, heading, row, widths: vec![0; heading.len()], begun: false }
    }

    /// What to print for the next page.
    pub fn page(&mut self, page: &Document) -> String {
        if self.output.json {
            page.records().map(|record| self.item(record)).collect()
        } else if self.output.quiet {
            printable(&page.ids())
        } else {
            let rows: Vec<Vec<String>> = page.records().map(self.row).collect();
            self.rows(rows)
        }
    }

    /// What to print behind the last page.
    pub fn end(mut self) -> String {
        match (self.output.json, self.begun) {
            (true, true) => "\n  ]\n}\n".to_owned(),
            (true, false) => "{\n  \"data\": []\n}\n".to_owned(),
            (false, false) if !self.output.quiet => self.rows(Vec::new()),
            _ => String::new(),
        }
    }

    fn item(&mut self, record: Record) -> String {
        let before = if std::mem::replace(&mut self.begun, true) { ",\n" } else { "{\n  \"data\": [\n" };
        let indented: Vec<String> = json_text(record.0).lines().map(|line| format!("    {line}")).collect();
        format!("{before}{}", indented.join("\n"))
    }

    fn rows(&mut self, mut rows: Vec<Vec<String>>) -> String {
        if !std::mem::replace(&mut self.begun, true) {
            rows.insert(0, self.heading.iter().map(|&name| name.to_owned()).collect());
        }
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| on_one_line(cell)).collect()).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn printed(output: Output, pages: &[Value]) -> String {
        let row: fn(Record) -> Vec<String> = |record| vec![record.id(), record.text("email"), record.text("note")];
        let mut listing = Listing::new(output, &["ID", "ADDRESS", "NOTE"], row);
        let text: String = pages.iter().map(|page| listing.page(&Document(page.clone()))).collect();
        text + &listing.end()
    }

    #[test]
    fn pages_become_one_document_one_table_or_ids() {
        let record = |id: u64, email: &str| json!({"id": id, "attributes": {"email": email, "note": "a\nb"}});
        let (a, b, c) = (record(1, "a@x"), record(2, "b@x"), record(3, "long@x.example"));
        let pages = [json!({"data": [a, b]}), json!({"data": [c]}), json!({"data": []})];
        let json = Output { json: true, ..Output::default() };
        assert_eq!(printed(json, &pages), json_text(&json!({"data": [a, b, c]})) + "\n", "as if it were one page");
        assert_eq!(printed(json, &[]), json_text(&json!({"data": []})) + "\n");
        assert_eq!(printed(Output { quiet: true, ..Output::default() }, &pages), "1\n2\n3\n");
        let table = "ID  ADDRESS  NOTE\n1   a@x      a b\n2   b@x      a b\n3   long@x.example  a b\n";
        assert_eq!(printed(Output::default(), &pages), table);
        assert_eq!(printed(Output::default(), &[]), "ID  ADDRESS  NOTE\n");
    }
}
