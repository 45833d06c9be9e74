//! The SMTP side (RFC 5321): greeting, EHLO, STARTTLS, AUTH, transactions.
//!
//! `command` reads what a client says, `body` takes the dots out of a message, `auth` asks for credentials,
//! `session` holds the state of a connection and answers, asking the script at every point.

mod auth;
mod body;
mod command;
mod session;
mod transaction;

#[cfg(test)]
mod tests;

pub(super) use session::Session;
