//! Composes outgoing messages and reads incoming ones.
//!
//! [`compose`] turns a mailing into the bytes that go on the wire: the same input always makes the same bytes, no
//! field can smuggle in another (control characters are refused with the field's name), every line ends with CRLF and
//! none is too long. [`parse`] reads whatever arrived and never fails: what cannot be understood is left out and noted
//! under `problems`; sizes, depths and counts are bounded, the work is linear, nothing is fetched. `classify` tells
//! people from machines by header fields, [`Report`] is what bounces and complaints say, [`reply_text`] what a person
//! wrote without what they quote. [`sanitise`] makes a message's HTML safe to show. [`sign`] puts DKIM signatures in
//! front of a message.
//!
//! Uses the ground floor only. lettre stays in `compose`.

mod classify;
mod compose;
mod decode;
mod dkim;
mod entity;
mod fields;
mod html;
mod identity;
mod ids;
mod markup;
mod opt_out;
mod parse;
mod quotes;
mod reply;
mod report;
mod rewrite;
mod tame;
mod text;

pub use compose::{Attached, ComposeError, Composed, Octets, Outgoing, compose};
pub use dkim::{KeyProblem, Signer, SigningKey, sign};
pub use html::{sanitise, text_from_html, whole_text_from_html};
pub use identity::identity;
pub use parse::{Incoming, contained, parse, parse_summary, parse_with_words, part_content};
pub use reply::reply_text;
pub use report::Report;
pub use rewrite::{escaped, html_with_last, html_with_signature, rewrite_links, text_with_signature};
