//! The protocol of the API, JSON:API 1.0, knowing no resource: what a resource is it reads from its declaration.
//!
//! - `query.rs`, `parameters.rs`, `filter.rs`, `values.rs`, `cursor.rs`: a query string becomes a [`ListRequest`], or every complaint at once;
//! - `body.rs` and `write.rs`: a request body becomes JSON within bounds, then a [`Write`];
//! - `document.rs`, `links.rs`, `response.rs`: resource objects, documents, links, answers;
//! - `error.rs`: every error the API answers with; `id.rs`: ids in paths.
//!
//! Promises: nothing that a client sends panics or grows without bound; an attribute that is not declared readable never
//! leaves, whoever hands it in; no error and no debug print carries a value of a body. Uses `domain` only.

mod body;
mod cursor;
mod document;
mod error;
mod filter;
mod id;
mod links;
mod parameters;
mod query;
mod response;
mod values;
mod write;

pub use body::{BodyLimit, JsonApiBody, TextBody};
pub use document::{Document, FieldSet, ListDocument, Permissions, ResourceObject, Shown, object};
pub use error::{ApiError, ErrorObject, Source, clean};
pub use id::path_id;
pub use links::{Links, PageLinks, plural};
pub use query::{ListRequest, Purpose, Rules, SEARCH};
pub use response::{MEDIA_TYPE, created, etag, json, no_content, none_match, ok, require_match};
pub use write::{Expect, Write};
