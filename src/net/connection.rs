//! An open connection, in plaintext or in TLS.

use super::tls_failure::{TlsTrouble, tls_failure};
use crate::domain::failure::{Failure, Stage};
use crate::domain::stages::Stages;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection to a server. Dropping it closes the socket.
pub struct Connection {
    stream: Stream,
    facts: Facts,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What the dial found out and a later upgrade needs.
#[derive(Clone)]
pub(super) struct Facts {
    /// The name to verify, in ASCII, without a final dot.
    pub host: String,
    pub peer: SocketAddr,
    pub peer_is_private: bool,
    pub plaintext_allowed: bool,
    pub tls: TlsConnector,
    pub timeout: Duration,
}

impl Connection {
    /// The name or address that was dialled, in ASCII.
    pub fn host(&self) -> &str {
        &self.facts.host
    }

    pub(super) fn plain(stream: TcpStream, facts: Facts) -> Self {
        Self { stream: Stream::Plain(stream), facts }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The address that the egress rule allowed.
    pub fn peer(&self) -> SocketAddr {
        self.facts.peer
    }

    /// Whether the server is on this machine or in a private network.
    pub fn peer_is_private(&self) -> bool {
        self.facts.peer_is_private
    }

    /// Whether mail and credentials may pass without TLS where the server offers none (RFC 3207 section 6 leaves this
    /// to policy): to loopback and private addresses, or where the configuration allows it.
    pub fn plaintext_allowed(&self) -> bool {
        self.facts.plaintext_allowed
    }

    /// Turns a plaintext connection into TLS, verifying the certificate against the name that was dialled. The caller
    /// has to make sure that nothing was received after the server's consent: what came before the handshake is not
    /// protected by it.
    pub async fn upgrade(self, stages: &mut Stages) -> Result<Self, Failure> {
        self.handshake(stages).await.map_err(|trouble| trouble.failure)
    }

    pub(super) async fn handshake(self, stages: &mut Stages) -> Result<Self, TlsTrouble> {
        let begun = Instant::now();
        let port = self.facts.peer.port();
        let host = self.facts.host.as_str();
        let result = match self.stream {
            Stream::Plain(tcp) => handshake(tcp, &self.facts).await,
            Stream::Tls(_) => Err(io::Error::other("the connection is in TLS already")),
        };
        match result {
            Ok(tls) => {
                let session = tls.get_ref().1;
                let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
                stages.passed(Stage::Tls, begun.elapsed(), format!("{version}, certificate valid for {host}"));
                Ok(Self { stream: Stream::Tls(Box::new(tls)), facts: self.facts })
            }
            Err(error) => {
                let trouble = tls_failure(&error, host, port);
                stages.failed(Stage::Tls, begun.elapsed(), &trouble.failure.sentence);
                Err(trouble)
            }
        }
    }
}

async fn handshake(tcp: TcpStream, facts: &Facts) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(facts.host.clone())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a name that a certificate can carry"))?;
    match tokio::time::timeout(facts.timeout, facts.tls.connect(name, tcp)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.facts.peer)
            .field("tls", &self.is_tls())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
