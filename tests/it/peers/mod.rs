//! Programs that others wrote, as the judges of ours: each started for one test, on loopback, in a folder of its own.
//!
//! - `dovecot`: an IMAP server as people run it, with users, TLS and a certificate of a private [`authority`].
//! - `cyrus`: another IMAP server, stricter than most.
//! - `smtp_sink`: Postfix's SMTP sink and source: what was received, and a load to compare with.
//! - `dkim_check`: dkimpy, as an independent judge of our signatures.
//! - `mime_check`: Python's `email` package in its strictest mood, as an independent reader of what we compose.
//! - `check_imap.py`: Python's imaplib, as an independent client of the mail server that the tests bring along.
//!
//! Every `start` answers `None` where the peer is missing and `POSTROOM_TESTS_WITHOUT_PEERS=1` allows that; the test
//! then returns. Dropping a peer ends its processes; if the test is failing, its log is printed.

pub mod authority;
pub mod cyrus;
pub mod dkim_check;
pub mod dovecot;
pub mod imap_client;
pub mod mime_check;
pub mod process;
pub mod smtp_sink;

mod cyrus_test;
mod dovecot_test;
mod mail_server_test;
mod mime_check_test;
mod smtp_sink_test;
