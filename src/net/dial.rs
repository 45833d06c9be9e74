//! From an endpoint to an open connection: name, egress rule, TCP, TLS, each a recorded stage.

use super::connection::{Connection, Facts};
use super::dialer::{Dialer, SystemDialer};
use super::egress::{self, EgressRules, Place, Refusal};
use super::tls::{Trust, TrustError};
use super::tls_failure::TlsTrouble;
use crate::domain::connection::{Endpoint, TlsMode};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::stages::Stages;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// More addresses of one name than this are not tried.
const ADDRESS_LIMIT: usize = 8;

/// The way to every mail server. Cheap to clone.
#[derive(Clone)]
pub struct Network {
    dialer: Arc<dyn Dialer>,
    tls: TlsConnector,
    egress: EgressRules,
}

/// What is left to do about TLS on a connection that [`Network::open`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Nothing: the connection is in TLS.
    Done,
    /// STARTTLS has to be offered and to succeed before anything else is said.
    Required,
    /// STARTTLS has to succeed if it is offered; else [`Connection::plaintext_allowed`] decides.
    IfOffered,
}

impl Network {
    /// The machine's own resolver, sockets and certificate store, and the certificates of `extra_ca_file`.
    pub fn system(extra_ca_file: Option<&Path>, egress: EgressRules) -> Result<Self, TrustError> {
        Ok(Self::new(Arc::new(SystemDialer), &Trust::system(extra_ca_file)?, egress))
    }

    pub fn new(dialer: Arc<dyn Dialer>, trust: &Trust, egress: EgressRules) -> Self {
        Self { dialer, tls: TlsConnector::from(Arc::new(trust.client())), egress }
    }

    /// Connects as the endpoint's [`TlsMode`] wants it, up to the point where the mail protocol has to speak. `timeout`
    /// bounds each of name lookup, TCP (all addresses together) and the TLS handshake.
    ///
    /// On a port without a convention a server that speaks no TLS is dialled a second time for STARTTLS; a certificate
    /// that does not verify is final.
    pub async fn open(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
        stages: &mut Stages,
    ) -> Result<(Connection, StartTls), Failure> {
        let plain = self.connect(endpoint, timeout, stages).await?;
        match endpoint.tls {
            TlsMode::StartTls => Ok((plain, StartTls::Required)),
            TlsMode::StartTlsIfOffered => Ok((plain, StartTls::IfOffered)),
            TlsMode::Implicit => Ok((plain.upgrade(stages).await?, StartTls::Done)),
            TlsMode::ImplicitThenStartTls => match plain.handshake(stages).await {
                Ok(connection) => Ok((connection, StartTls::Done)),
                Err(TlsTrouble { no_tls_spoken: true, .. }) => {
                    Ok((self.connect(endpoint, timeout, stages).await?, StartTls::Required))
                }
                Err(trouble) => Err(trouble.failure),
            },
        }
    }

    /// Connects and, if `implicit_tls`, goes into TLS at once; the endpoint's own [`TlsMode`] is not looked at.
    pub async fn dial(
        &self,
        endpoint: &Endpoint,
        implicit_tls: bool,
        timeout: Duration,
        stages: &mut Stages,
    ) -> Result<Connection, Failure> {
        let plain = self.connect(endpoint, timeout, stages).await?;
        if implicit_tls { plain.upgrade(stages).await } else { Ok(plain) }
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
        stages: &mut Stages,
    ) -> Result<Connection, Failure> {
        let host = staged(stages, Stage::Dns, plain_host(&endpoint.host))?;
        let begun = Instant::now();
        let addresses = match self.resolve(&host, timeout).await {
            Ok(addresses) => {
                stages.passed(Stage::Dns, begun.elapsed(), count(addresses.len()));
                addresses
            }
            Err(failure) => {
                stages.failed(Stage::Dns, begun.elapsed(), &failure.sentence);
                return Err(failure);
            }
        };
        let allowed = staged(stages, Stage::Egress, self.allowed(endpoint, &host, &addresses))?;
        stages.passed(Stage::Egress, Duration::ZERO, format!("{} allowed", count(allowed.len())));
        let begun = Instant::now();
        match self.first_that_answers(&host, &allowed, timeout).await {
            Ok((stream, peer)) => {
                stages.passed(Stage::Tcp, begun.elapsed(), peer.to_string());
                let peer_is_private = egress::place(peer.ip()) == Place::Private;
                let plaintext_allowed = peer_is_private || self.egress.allow_public_plaintext;
                let facts = Facts { host, peer, peer_is_private, plaintext_allowed, tls: self.tls.clone(), timeout };
                Ok(Connection::plain(stream, facts))
            }
            Err(failure) => {
                stages.failed(Stage::Tcp, begun.elapsed(), &failure.sentence);
                Err(failure)
            }
        }
    }

    async fn resolve(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        match tokio::time::timeout(timeout, self.dialer.resolve(host)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(Failure::new(
                FailureKind::Config,
                Scope::Host,
                Stage::Dns,
                format!("There is no server with the name {host}."),
            )
            .advice("Check the spelling of the host name.")),
            Ok(Ok(addresses)) => Ok(by_turns(&addresses)),
            Ok(Err(error)) => {
                Err(Failure::temporary(Stage::Dns, format!("The name {host} could not be looked up: {error}."))
                    .advice("Check this machine's network and name servers."))
            }
            Err(_) => Err(Failure::temporary(
                Stage::Dns,
                format!("Looking up the name {host} took longer than {} s.", timeout.as_secs()),
            )
            .advice("Check this machine's network and name servers.")),
        }
    }

    /// The addresses that the egress rule allows. A failure names no address: a refusal must not map our network.
    fn allowed(&self, endpoint: &Endpoint, host: &str, addresses: &[IpAddr]) -> Result<Vec<SocketAddr>, Failure> {
        let mut first_refusal = None;
        let mut allowed = Vec::new();
        for &address in addresses {
            match egress::check(self.egress, address, endpoint.port, endpoint.reach) {
                Ok(()) => allowed.push(SocketAddr::new(address, endpoint.port)),
                Err(refusal) => first_refusal = first_refusal.or(Some(refusal)),
            }
        }
        allowed.truncate(ADDRESS_LIMIT);
        match first_refusal {
            Some(refusal) if allowed.is_empty() => Err(refused(refusal, host)),
            _ => Ok(allowed),
        }
    }

    /// Tries one address after the other; each gets its share of the time that is left.
    async fn first_that_answers(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        let deadline = Instant::now() + timeout;
        let mut failure = None;
        for (tried, &address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - tried).unwrap_or(1);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            let result = match tokio::time::timeout(share, self.dialer.connect(address)).await {
                Ok(result) => result,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            match result {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => failure = Some(unreachable(&error, host, address.port(), timeout)),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::temporary(Stage::Tcp, format!("{host} has no address."))))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("egress", &self.egress).finish_non_exhaustive()
    }
}

/// Records the failure of a stage that takes no time.
fn staged<T>(stages: &mut Stages, stage: Stage, result: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &result {
        stages.failed(stage, Duration::ZERO, &failure.sentence);
    }
    result
}

/// The host in ASCII and without the final dot of a full name, so that lookup, TLS and texts see the same name.
fn plain_host(host: &str) -> Result<String, Failure> {
    let invalid = || {
        Failure::config(Stage::Dns, "The host name is not valid.")
            .advice("Give a DNS name or an IP address, without scheme, port, brackets or spaces.")
    };
    let host = host.trim_end_matches('.');
    let ascii =
        if host.is_ascii() { host.to_ascii_lowercase() } else { idna::domain_to_ascii(host).map_err(|_| invalid())? };
    let fits = !ascii.is_empty() && ascii.len() <= 253;
    let clean = ascii.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if fits && clean { Ok(ascii) } else { Err(invalid()) }
}

/// IPv6 and IPv4 in turns, each in the resolver's order, so that a broken protocol costs one attempt and not all.
fn by_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut same, mut other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    same.reverse();
    other.reverse();
    let mut turns = Vec::with_capacity(addresses.len());
    while !same.is_empty() || !other.is_empty() {
        turns.extend(same.pop());
        turns.extend(other.pop());
    }
    turns.dedup();
    turns
}

fn count(addresses: usize) -> String {
    if addresses == 1 { "1 address".into() } else { format!("{addresses} addresses") }
}

fn refused(refusal: Refusal, host: &str) -> Failure {
    let failure = Failure::config(Stage::Egress, format!("Connections to {host} are not allowed: {refusal}."));
    match refusal {
        Refusal::Never => failure.advice("Use the mail server's public host name."),
        Refusal::Private => failure.advice(
            "An administrator has to set this host on the mailbox, or allow private addresses in the configuration.",
        ),
        Refusal::Port(_) => failure
            .advice("Use one of the ports 25, 465, 587, 2525, 143 and 993, or have an administrator set the port."),
    }
}

fn unreachable(error: &io::Error, host: &str, port: u16, timeout: Duration) -> Failure {
    let (sentence, advice) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            format!("{host} refused the connection on port {port}."),
            "Check the port, and whether the mail server is running.",
        ),
        io::ErrorKind::TimedOut => (
            format!("{host} did not answer on port {port} within {} s.", timeout.as_secs()),
            "Check host and port; a firewall, or a provider that blocks this port, looks like this too.",
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            (format!("There is no way to {host} from this machine: {error}."), "Check this machine's network.")
        }
        _ => (format!("The connection to {host} on port {port} failed: {error}."), "Check host, port and network."),
    };
    Failure::temporary(Stage::Tcp, sentence).advice(advice)
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
