//! Postroom: one binary that owns an organisation's mailboxes.
//!
//! The map of the house. A room uses only rooms below it; `tests/it/architecture.rs` checks the arrows.
//!
//! ```text
//! main.rs      parse, call, exit code
//! cli/         one file per verb group; over the local socket, or in-process where no server runs
//! demo/        `postroom demo`: seeding on top of the app and the mail server
//! app.rs       composition root: builds every part, starts and stops them in order
//! ───────────────────────────────────────────────────────────────────────────────────────────
//! api/         JSON:API resources, one file per resource; who is calling
//! public/      what recipients touch without a login: opt-out, open, click
//! ops/         logs, health
//! ───────────────────────────────────────────────────────────────────────────────────────────
//! send/        scheduler → gate → attempt → SMTP
//! sync/        scheduler → source (IMAP) → ingest
//! upkeep/      what must happen now and then
//! ───────────────────────────────────────────────────────────────────────────────────────────
//! connect/     a mailbox made usable: effective settings, opened credential, the IMAP session, live tests
//! ───────────────────────────────────────────────────────────────────────────────────────────
//! providers/   what is known about mail providers: presets, failure texts
//! store/       redb: tables, migrations, the group-commit writer, queries, the event log
//! ───────────────────────────────────────────────────────────────────────────────────────────
//! mime/        compose an outgoing message; parse an incoming one
//! net/         the one door to the outside: dial, TLS modes, egress rules, HTTP client
//! jsonapi/     the protocol, knowing no resource: documents, errors, queries
//! vault/       master key, seal, open
//! mailserver/  a small programmable SMTP and IMAP server for loopback: the demo's and the tests'
//! ───────────────────────────────────────────────────────────────────────────────────────────
//! domain/      types and rules, no I/O; time is an argument
//! runtime/     clock, randomness, cancellation, panic containment: the seams that tests hold
//! config/      defaults < file < environment < flags → plain structs
//! ```
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod connect;
pub mod demo;
pub mod domain;
pub mod jsonapi;
pub mod mailserver;
pub mod mime;
pub mod net;
pub mod ops;
pub mod providers;
pub mod public;
pub mod runtime;

pub mod send;
pub mod store;
pub mod sync;
pub mod upkeep;
pub mod vault;
