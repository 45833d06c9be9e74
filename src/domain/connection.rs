//! How a mail server is to be reached: what the workers need to open a session.

use serde::{Deserialize, Serialize};

/// When the connection turns to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// STARTTLS must be offered and must succeed before anything else is said.
    StartTls,
    /// A port without a convention: implicit TLS is tried first, then required STARTTLS on a new connection.
    ImplicitThenStartTls,
    /// STARTTLS where it is offered (and then verified, without falling back); where it is not offered, plaintext to
    /// loopback and private addresses only, unless the configuration allows it.
    StartTlsIfOffered,
}

impl TlsMode {
    /// What `imapSsl` and `smtpSsl` mean on a port.
    pub fn for_port(ssl: bool, port: u16) -> Self {
        match (ssl, port) {
            (false, _) => Self::StartTlsIfOffered,
            (true, 993 | 465) => Self::Implicit,
            (true, 143 | 587 | 25 | 2525) => Self::StartTls,
            (true, _) => Self::ImplicitThenStartTls,
        }
    }
}

/// Where a connection may go, beyond what is never allowed (link-local, metadata, multicast, reserved).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// Public addresses, and for mail only the mail ports 25, 465, 587, 2525, 143, 993.
    Public,
    /// Loopback and private ranges and other ports as well: an administrator named the host.
    Private,
}

/// A server to talk to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// A DNS name or an IP address, without brackets, scheme or path.
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
    pub reach: Reach,
}
