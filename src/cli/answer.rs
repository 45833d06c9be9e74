//! What a server answered: documents, and refusals as text for people.

use super::exit::{Exit, Failure};
use super::output::on_one_line;
use crate::net::Answer;
use serde_json::Value;
use std::fmt::Write as _;

/// A JSON:API document; missing members read as null.
#[derive(Clone, Debug, Default)]
pub struct Document(pub Value);

impl Document {
    pub fn read(body: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| Failure::failed(format!("The answer is no JSON ({error}): is this a postroom server?")))
    }

    /// The one record.
    pub fn record(&self) -> Record<'_> {
        Record(&self.0["data"])
    }

    /// The records of a list.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.0["data"].as_array().into_iter().flatten().map(Record)
    }

    pub fn take_list(&mut self, member: &str) -> Vec<Value> {
        match self.0.get_mut(member).map(Value::take) {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        }
    }

    /// The ids of a list, one per line.
    pub fn ids(&self) -> String {
        self.records().map(|record| record.id() + "\n").collect()
    }
}

/// A resource object.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a>(pub &'a Value);

impl<'a> Record<'a> {
    pub fn id(self) -> String {
        cell(&self.0["id"])
    }

    pub fn attribute(self, name: &str) -> &'a Value {
        &self.0["attributes"][name]
    }

    /// An attribute as a cell of a table.
    pub fn text(self, name: &str) -> String {
        cell(self.attribute(name))
    }

    /// The id of a related record.
    pub fn related(self, name: &str) -> &'a Value {
        &self.0["relationships"][name]["data"]["id"]
    }
}

/// A value as people read it; null is a dash.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The failure that an answer stands for; `None` below 400, but for redirects, which are not followed.
pub fn refused(answer: &Answer) -> Option<Failure> {
    let status = answer.status;
    if (300..400).contains(&status) {
        let place = answer.header("location").unwrap_or("nowhere");
        let text = format!("The server sent us elsewhere ({status}): {place}. If that is right, name it with --url.");
        return Some(Failure::failed(text));
    }
    let exit = Exit::of_status(status)?;
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = match errors {
        [] => format!("The server answered with status {status}."),
        [error] => describe(error),
        several => several.iter().map(|error| format!("- {}", describe(error))).collect::<Vec<_>>().join("\n"),
    };
    if status == 401 {
        text.push_str("\nName a file with a valid token: --token-file FILE. On the server one is made with: postroom token create --user EMAIL");
    }
    Some(Failure::new(exit, text.trim_end()))
}

/// One error object: what is wrong and where; of a live test, how far it came.
fn describe(error: &Value) -> String {
    let said = error["detail"].as_str().or_else(|| error["title"].as_str()).unwrap_or("The server gave no reason.");
    let source = &error["source"];
    let place = ["pointer", "parameter", "header"].into_iter().find_map(|member| source[member].as_str());
    // An empty pointer is the body as a whole.
    let place = place.filter(|place| !place.is_empty());
    let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{said}{place}{}", stages(&error["meta"]["stages"]))
}

/// The stages of a live test, each on a line of its own after a line break; empty if there are none.
pub fn stages(stages: &Value) -> String {
    let mut text = String::new();
    for stage in stages.as_array().into_iter().flatten() {
        let mark = if stage["ok"] == true { '✓' } else { '✗' };
        let name = stage["stage"].as_str().unwrap_or("?");
        let line = stage["line"].as_str().map(on_one_line).unwrap_or_default();
        let row = format!("  {mark} {name:<14} {:>6} ms  {line}", stage["millis"].as_u64().unwrap_or(0));
        let _ = write!(text, "\n{}", row.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    #[test]
    fn every_error_is_told_with_its_place() {
        let body = json!({"errors": [
            {"detail": "One is wrong.", "source": {"pointer": "/data/attributes/one"}},
            {"title": "Two", "source": {"parameter": "filter[x]"}},
        ]});
        let failure = refused(&answer(422, &body)).unwrap();
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(failure.text, "- One is wrong. (/data/attributes/one)\n- Two (filter[x])");
    }

    #[test]
    fn a_failed_live_test_shows_how_far_it_came() {
        let stages = json!([
            {"stage": "dns", "ok": true, "millis": 3, "line": "192.0.2.1"},
            {"stage": "tcp", "ok": false, "millis": 1200},
        ]);
        let body = json!({"errors": [{"detail": "Nobody listens.", "meta": {"stages": stages}}]});
        assert_eq!(
            refused(&answer(422, &body)).unwrap().text,
            "Nobody listens.\n  ✓ dns                 3 ms  192.0.2.1\n  ✗ tcp              1200 ms"
        );
    }

    #[test]
    fn an_answer_that_is_no_document_is_told_by_its_status() {
        assert!(refused(&answer(200, &json!(null))).is_none());
        assert!(refused(&answer(502, &json!("<html>"))).unwrap().text.contains("502"));
        assert!(refused(&answer(302, &json!(null))).unwrap().text.contains("elsewhere"));
        assert_eq!(refused(&answer(401, &json!({}))).unwrap().exit, Exit::NotAllowed);
        assert_eq!(refused(&answer(404, &json!({"errors": 7}))).unwrap().exit, Exit::NotFound);
    }
}
