//! What this room's tests hold in their hands: a server with two accounts, and a peer on a raw socket.

use super::{MailServer, Options};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(super) const ANN: &str = "ann@example.test";
pub(super) const BOB: &str = "bob@example.test";

/// A server with the accounts of Ann and Bob, passwords `ann-secret` and `bob-secret`.
pub(super) async fn server(options: Options) -> MailServer {
    let server = MailServer::start(options).await.unwrap();
    server.add_account(ANN, "ann-secret");
    server.add_account(BOB, "bob-secret");
    server
}

/// A certificate for localhost: the server's side, and a client that trusts it and nothing else.
pub(super) fn tls() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let certificate = issued.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A client that says exactly what it is told to.
pub(super) struct Peer(BufReader<Box<dyn Stream>>);

impl Peer {
    pub async fn to(address: SocketAddr) -> Self {
        Self(BufReader::new(Box::new(TcpStream::connect(address).await.unwrap())))
    }

    /// Turns to TLS; panics if there is plaintext left to read.
    pub async fn secured(self, config: &Arc<ClientConfig>) -> Self {
        assert_eq!(self.0.buffer(), b"", "plaintext before the handshake");
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, self.0.into_inner());
        Self(BufReader::new(Box::new(stream.await.unwrap())))
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next line without CRLF; `<closed>` at the end.
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        // A reset is an end too: it is what a peer sees that still had something to say.
        let _ = self.0.read_until(b'\n', &mut line).await;
        if line.is_empty() {
            return "<closed>".into();
        }
        String::from_utf8(line).unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    /// The rest until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }

    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Says a line and returns the last line of the SMTP reply.
    pub async fn ask(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// The last line of an SMTP reply.
    pub async fn reply(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Says lines one by one and checks how each reply begins.
    pub async fn talk(&mut self, exchange: &[(&str, &str)]) {
        for (line, wanted) in exchange {
            let reply = self.ask(line).await;
            assert!(reply.starts_with(wanted), "{line}: {reply} instead of {wanted}");
        }
    }

    /// Says an IMAP command with tag `t` and returns its responses, the tagged one last.
    pub async fn command(&mut self, command: &str) -> Vec<String> {
        self.write(format!("t {command}\r\n")).await;
        self.until_tagged().await
    }

    /// Lines up to the one tagged `t`, or to the end.
    pub async fn until_tagged(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().await);
            if lines.last().is_some_and(|line| line.starts_with("t ") || line == "<closed>") {
                return lines;
            }
        }
    }
}
