//! A mailbox made usable: what the workers of `send` and `sync` both need and neither owns.
//!
//! - [`effective`]: what a mailbox's settings come down to, from the record, what it implies, and presets.
//! - [`credential`]: a secret opened for one session, also for a draft that is not saved yet.
//! - [`imap`]: one IMAP session over [`crate::net`]; the one place that knows the `imap` crate.
//! - [`live_test`]: the staged live tests behind `testSend`, `testSync`, `validateSend` and `validateSync`.
//!
//! Promises: no credential leaves before the connection is as safe as the settings want it; a secret is in memory only
//! while a session logs in; whatever a server says is bounded in size, depth, count and time, and a panic that it
//! provokes ends its session only. Uses `providers`, `store`, `net`, `vault` and the ground floor.

pub mod credential;
pub mod effective;
pub mod imap;
