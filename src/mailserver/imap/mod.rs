//! The IMAP side: RFC 3501 with IDLE, LITERAL+, SASL-IR, SPECIAL-USE, UIDPLUS, UNSELECT and MOVE; if
//! so wished with CONDSTORE and QRESYNC (RFC 7162), or Gmail's X-GM-EXT-1.
//!
//! `parse` reads commands, `session` holds the state of a connection and asks the script, the other files are one group
//! of commands each: `login`, `folders`, `selected` (the session's view of a folder, and what other sessions changed),
//! `fetch`, `search`, `change` (STORE, COPY, EXPUNGE, APPEND). `resync` is ENABLE and what it changes, `gmail` Gmail's items. `header` cuts a
//! message for FETCH and SEARCH.
//! ENVELOPE, BODYSTRUCTURE and MIME parts are not served: the house fetches whole messages and headers.

mod change;
mod fetch;
mod folders;
mod gmail;
mod header;
mod item;
mod login;
mod parse;
mod resync;
mod search;
mod selected;
mod sequence;
mod session;

#[cfg(test)]
mod tests;

pub(super) use session::Session;
