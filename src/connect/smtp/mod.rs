//! One SMTP session over [`crate::net`]: connect, TLS, log in, hand over messages (RFC 5321, 3207, 4954).
//!
//! [`SmtpSession::open`] leaves a session that may speak for the mailbox; [`SmtpSession::envelope`] names sender and
//! recipients (pipelined where offered) and tells each recipient's fate; [`SmtpSession::deliver`] sends the message.
//! Between the two the caller records that the message may now leave. Whatever goes wrong is a
//! [`crate::domain::failure::Failure`], classified in one function (`classify`).
//!
//! Promises: no credential before TLS, except where the egress rules allow plaintext; no bare CR, bare LF or NUL on the
//! wire; no byte of ours that a stranger's text could turn into a command; every verb has its deadline and every reply
//! its bound; a failure is [`FailureKind::Doubt`](crate::domain::failure::FailureKind::Doubt) exactly if the server may
//! have accepted the message. Uses `domain` and `net`.

mod auth;
mod capabilities;
mod classify;
mod command;
mod message;
mod open;
mod reply;
mod session;
mod wire;

pub use auth::Credential;
pub use capabilities::Capabilities;
pub use message::check_message;
pub use session::{EnvelopeOptions, SmtpSession};

use crate::domain::connection::Endpoint;
use std::time::Duration;

/// What a session needs to know about a mailbox's server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    pub endpoint: Endpoint,
    /// `None`: no AUTH, as for a relay in the local network.
    pub credential: Option<Credential>,
    /// What EHLO says: our own host name or an address literal (`[192.0.2.1]`).
    pub hello_name: String,
    pub timeouts: Timeouts,
}

/// How long each part of a session may take: sending the command and reading the whole reply. The defaults follow
/// RFC 5321 section 4.5.3.2, shorter where a person may be waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Each of name lookup, TCP and TLS.
    pub connect: Duration,
    pub greeting: Duration,
    /// EHLO, STARTTLS, each step of AUTH, RSET.
    pub command: Duration,
    pub mail_from: Duration,
    /// Each recipient's reply.
    pub rcpt_to: Duration,
    /// The sender and all recipients together: this, and for each recipient a little more.
    pub envelope: Duration,
    pub per_recipient: Duration,
    /// From DATA to 354.
    pub data: Duration,
    /// One block of the message.
    pub data_block: Duration,
    /// The whole message without the final dot.
    pub data_total: Duration,
    /// From the final dot to its reply: giving up early here is the commonest cause of duplicates.
    pub final_dot: Duration,
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_mins(1),
            command: Duration::from_mins(1),
            mail_from: Duration::from_mins(5),
            rcpt_to: Duration::from_mins(5),
            envelope: Duration::from_mins(10),
            // Some make each recipient wait on purpose.
            per_recipient: Duration::from_secs(15),
            data: Duration::from_mins(2),
            data_block: Duration::from_mins(3),
            data_total: Duration::from_mins(30),
            final_dot: Duration::from_mins(10),
            quit: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// The same bound for everything: for a live test that somebody waits for, and for tests.
    pub fn all(limit: Duration) -> Self {
        Self {
            connect: limit,
            greeting: limit,
            command: limit,
            mail_from: limit,
            rcpt_to: limit,
            envelope: limit,
            per_recipient: limit,
            data: limit,
            data_block: limit,
            data_total: limit,
            final_dot: limit,
            quit: limit,
        }
    }
}

#[cfg(test)]
mod tests;
