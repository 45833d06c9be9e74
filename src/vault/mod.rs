//! The master key, and every secret sealed under it.
//!
//! - `key.rs`: the key file, made once outside the data directory and refused when others may read it.
//! - `seal.rs`: [`Vault`] seals a secret for one place (table, record, field) and opens it there and nowhere else.
//! - `memory.rs`: no core file of a process that holds secrets.
//! - `check.rs`: the value that the store keeps to notice a wrong key before anything is written.
//!
//! Promises: a sealed value that was moved, swapped or changed by one bit does not open; no secret and no key shows up
//! in debug output or in an error; keys are wiped from memory when dropped. It never writes a file except a new key
//! that it was asked to make. Uses the ground floor only (`domain`, `runtime`, `config`).

mod check;
mod key;
mod memory;
mod seal;

pub use check::WrongKey;
pub use key::{KeyError, KeyFile, MasterKey};
pub use memory::write_no_core_file;
pub use seal::{Place, Vault, VaultError};
