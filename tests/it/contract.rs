//! The wire contract, as clients of the Outreach API rely on it.
//!
//! - `lists`: pages, sorts, filters, fields, includes, counts.
//! - `access`: what each role sees and may do, and that the answers say so.
//! - `documents`: resource objects, links, connection checks, what is tolerated in a request.
//! - `edits`: PATCH, entity tags, the secrets rule, owners, deletion.
//! - `idempotency`: repeated creates.

mod access;
mod documents;
mod edits;
mod idempotency;
mod lists;

use crate::support::client::Answer;
use serde_json::{Value, json};

/// The ids of a list, in its order.
fn ids(answer: &Answer) -> Vec<u64> {
    let data = answer.json["data"].as_array().expect("a list");
    data.iter().map(|object| object["id"].as_u64().expect("an integer id")).collect()
}

/// A PATCH of a mailbox.
fn edit(id: u64, attributes: &Value) -> Value {
    json!({"data": {"type": "mailbox", "id": id, "attributes": attributes}})
}

fn path(id: u64) -> String {
    format!("/api/v2/mailboxes/{id}")
}

/// Whether one of the errors points there.
fn blames(answer: &Answer, pointer: &str) -> bool {
    let errors = answer.json["errors"].as_array().expect("errors");
    errors.iter().any(|error| error["source"]["pointer"] == pointer)
}
