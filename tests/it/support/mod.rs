//! The product as its users have it: the binary in a home of its own, and its API over HTTP.
//!
//! - `binary`: where the binary is, a home with nothing in it, one command run to its end.
//! - `server`: `postroom serve`, started, watched, stopped or killed.
//! - `client`: a JSON:API client that knows documents and status codes, and no resource.
//! - `journal`: syncs that are asked for, and the event log of a stopped server.
//! - `people`: users of each role in an app of this process.

pub mod binary;
pub mod client;
pub mod instance;
pub mod journal;
pub mod people;
pub mod server;

mod binary_test;
