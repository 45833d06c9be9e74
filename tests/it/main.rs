//! The product from outside, against servers that others wrote: one binary, a module per behaviour.
//!
//! - `architecture`: reads `src/` and checks which room uses which.
//! - `corpus`: samples of what comes back, each with what is to be read in it.
//! - `cli`: the command line, as a person and as a script have it.
//! - `dkim`: signatures, as dkimpy judges them.
//! - `demo`: `postroom demo` keeps what it promises.
//! - `exclusions`: whose mail is not stored, and the question why.
//! - `fuzz`: mutations of the corpus break nothing.
//! - `hostile_imap`, `hostile_smtp`: servers that mean no good.
//! - `imap_session`: sync as Dovecot sees it.
//! - `peers`: real mail servers and an independent mail parser, started for one test each.
//! - `sync_judge`: what is stored is what a real server has, whatever happens.
//! - `returned`: what comes back after a mailing, and what follows.
//! - `renumbered`: a server that numbers its messages anew.
//! - `support`: the product's own binary in a home of its own, and a client of its API.
//!
//! The peers (`dovecot`, Cyrus, `smtp-sink`, `python3`) must be there; `tests/run` sees to that. Without them a test
//! fails, unless `POSTROOM_TESTS_WITHOUT_PEERS=1` says that this machine is known not to have them.

mod aliases;
mod architecture;
mod attachments;
mod bad_input;
mod canary;
mod cli;
mod clock;
mod contract;
mod corpus;
mod crm;
mod demo;
mod disk_space;
mod dkim;
mod doubt;
mod edit_races;
mod exclusions;
mod folders;
mod fuzz;
mod hostile_imap;
mod hostile_smtp;
mod imap_session;
mod injection;
mod kill;
mod limits;
mod live_tests;
mod mailing_edits;
mod main_job;
mod octets;
#[allow(dead_code, reason = "a fixture offers what mail servers can do, not only what today's tests ask of it")]
mod peers;
mod public_url;
mod recipients;
mod renumbered;
mod returned;
mod search;
mod sending;
mod server_changes;
mod server_kinds;
mod shutdown;
mod smtputf8;
#[allow(dead_code, reason = "as above")]
mod support;
mod suppression;
mod sync_judge;
mod sync_schedule;
mod tarpits;
mod templates;
mod threads;
mod torture;
mod tracking;
mod unsubscribe;
mod watched_inbox;
mod wire;
