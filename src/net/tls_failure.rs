//! What a failed handshake means, in words that help.

use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::io;

/// A failed handshake, and whether the server spoke no TLS at all: then STARTTLS is worth a try on a port without a
/// convention.
#[derive(Debug)]
pub(super) struct TlsTrouble {
    pub failure: Failure,
    pub no_tls_spoken: bool,
}

/// Explains why the handshake with `host` on `port` failed.
pub(super) fn tls_failure(error: &io::Error, host: &str, port: u16) -> TlsTrouble {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return protocol_trouble(tls, host, port);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => spoke_no_tls(
            Failure::temporary(Stage::Tls, format!("{host} did not finish the TLS handshake on port {port} in time."))
                .advice(format!("If this happens again: {}", port_advice(port))),
        ),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => spoke_no_tls(
            Failure::temporary(
                Stage::Tls,
                format!("{host} closed the connection on port {port} during the TLS handshake."),
            )
            .advice(format!("If this happens again: {}", port_advice(port))),
        ),
        io::ErrorKind::InvalidInput => certain(
            host_config(format!("The name {host} cannot be verified in TLS, because no certificate can carry it."))
                .advice("Use the server's host name as its certificate shows it."),
        ),
        _ => certain(Failure::temporary(Stage::Tls, format!("The TLS handshake with {host} failed: {error}."))),
    }
}

fn protocol_trouble(error: &TlsError, host: &str, port: u16) -> TlsTrouble {
    match error {
        TlsError::InvalidCertificate(reason) => certain(certificate_trouble(reason, host)),
        TlsError::NoCertificatesPresented => {
            certain(host_config(format!("{host} showed no certificate.")).advice("Ask the server's administrator."))
        }
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => spoke_no_tls(
            host_config(format!("{host} does not speak TLS on port {port}.")).advice(capitalised(&port_advice(port))),
        ),
        TlsError::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure)
        | TlsError::PeerIncompatible(_) => certain(
            host_config(format!("{host} and Postroom have no TLS version and cipher in common ({error})."))
                .advice("The server has to offer TLS 1.2 or newer with modern ciphers."),
        ),
        _ => certain(Failure::temporary(Stage::Tls, format!("The TLS handshake with {host} failed: {error}."))),
    }
}

fn certificate_trouble(reason: &CertificateError, host: &str) -> Failure {
    match reason {
        CertificateError::UnknownIssuer => {
            host_config(format!("The certificate of {host} was issued by somebody this machine does not trust."))
                .advice("If the server is yours, put its authority's certificate into a PEM file and name that file as extra_ca_file in the configuration.")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            host_config(format!("The certificate of {host} has expired."))
                .advice("The server's administrator has to renew it; check this machine's clock as well.")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            host_config(format!("The certificate of {host} is not valid yet.")).advice("Check this machine's clock.")
        }
        CertificateError::NotValidForName => wrong_name(host, &[]),
        CertificateError::NotValidForNameContext { presented, .. } => wrong_name(host, presented),
        CertificateError::Revoked => host_config(format!("The certificate of {host} was revoked."))
            .advice("The server's administrator has to replace it."),
        // What `openssl req -x509` makes by default; no setting of ours makes it acceptable.
        CertificateError::Other(inner) if inner.to_string().contains("CaUsedAsEndEntity") => {
            host_config(format!("{host} shows an authority's certificate (CA:TRUE) as its own."))
                .advice("The server needs a certificate that its authority issued for it, with CA:FALSE.")
        }
        other => host_config(format!("The certificate of {host} cannot be trusted: {other}."))
            .advice("The server's administrator has to replace it."),
    }
}

fn wrong_name(host: &str, presented: &[String]) -> Failure {
    let failure = host_config(format!("The certificate of the server is not for the name {host}."));
    if presented.is_empty() {
        return failure.advice("Use the host name that the server's certificate was issued for.");
    }
    // The names came from a stranger: a few of them, cut.
    let names: Vec<String> = presented.iter().take(5).map(|name| name.chars().take(80).collect()).collect();
    failure.advice(format!(
        "Use the host name that the server's certificate was issued for ({}).",
        crate::domain::failure::clean(&names.join(", "))
    ))
}

/// Nobody's retries are worth burning on this, but a probe now and then notices when the server was put right.
fn host_config(sentence: String) -> Failure {
    Failure::new(FailureKind::Config, Scope::Host, Stage::Tls, sentence)
}

fn port_advice(port: u16) -> String {
    match port {
        465 | 993 => "check that host and port belong to a mail server with TLS from the first byte.".into(),
        _ => format!(
            "port {port} may expect STARTTLS or plaintext; TLS from the first byte is usual on port 465 (SMTP) and 993 (IMAP), STARTTLS on 587 and 143."
        ),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn certain(failure: Failure) -> TlsTrouble {
    TlsTrouble { failure, no_tls_spoken: false }
}

fn spoke_no_tls(failure: Failure) -> TlsTrouble {
    TlsTrouble { failure, no_tls_spoken: true }
}
