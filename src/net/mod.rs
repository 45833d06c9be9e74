//! The one door to the outside: every socket that the house opens towards a server is opened here.
//!
//! [`Network`] looks a name up, holds every address against the egress rule ([`egress`]), connects to exactly the
//! address that was checked and verifies the *name* in TLS; plaintext becomes TLS by [`Connection::upgrade`]. A
//! [`Dialer`] is the seam below it: the system's resolver and sockets, or [`MapDialer`] for tests and the demo.
//! [`BlockingStream`] lends a connection to blocking code, with deadline and byte budget. [`HttpClient`] is how the
//! command line talks to our own server.
//!
//! Promises: no connection without the egress rule; no unverified certificate, ever; every step bounded in time; each
//! failure a sentence that a person can act on. Uses `domain` only; knows no mail protocol.

#[cfg(test)]
pub(crate) mod authority;
mod blocking;
mod connection;
mod dial;
mod dialer;
pub mod egress;
mod http;
mod tls;
mod tls_failure;

pub use blocking::{BlockingStream, StreamControls, StreamStop};
pub use connection::Connection;
pub use dial::{Network, StartTls};
pub use dialer::{Dialer, Dialing, MapDialer, SystemDialer};
pub use egress::EgressRules;
pub use http::{Answer, HttpClient, HttpError};
pub use tls::{Trust, TrustError};
