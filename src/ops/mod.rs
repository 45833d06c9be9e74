//! What an operator sees of a running instance.
//!
//! - `telemetry.rs`: log lines on standard error, as text or JSON, fit for a terminal, a file or the journal.
//!
//! Promises: one event is one line, whatever a server put into it; lines of other crates, which may quote what went
//! over a connection, are kept out below warnings. Uses the ground floor (`config`, `runtime`).

pub mod health;
pub mod telemetry;
