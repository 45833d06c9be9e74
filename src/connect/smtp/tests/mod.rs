//! Sessions against scripted servers: each test plays the server line by line.

mod delivering;
mod opening;

use super::*;
use crate::domain::connection::{Reach, TlsMode};
use crate::domain::failure::Failure;
use crate::domain::stages::Stages;
use crate::net::authority::Authority;
use crate::net::{EgressRules, MapDialer, Network, Trust};
use secrecy::SecretString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Long enough for any machine; only what must never happen takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Short enough to wait for.
const BRIEF: Duration = Duration::from_millis(50);
const PUBLIC: &str = "9.9.9.9";
const LAN: &str = "10.0.0.1";
const NAME: &str = "mail.example";
const PASSWORD: &str = "c4nary-pässword";

/// The server's end of one connection.
struct Peer<S = TcpStream>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// One line, without its CRLF, which it must have.
    async fn hear(&mut self) -> String {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await.unwrap();
        let line = String::from_utf8(line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("not a whole line: {line:?}")).to_owned()
    }

    async fn expect(&mut self, line: &str) {
        assert_eq!(self.hear().await, line);
    }

    /// Greets and answers EHLO with these capabilities.
    async fn welcome(&mut self, capabilities: &[&str]) {
        self.say("220 mail.example ESMTP\r\n").await;
        self.hello(capabilities).await;
    }

    async fn hello(&mut self, capabilities: &[&str]) {
        self.expect("EHLO client.example").await;
        let last = capabilities.len();
        let lines = [&[NAME], capabilities].concat();
        let reply: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}\r\n", if index == last { ' ' } else { '-' }))
            .collect();
        self.say(&reply.concat()).await;
    }

    /// MAIL and one RCPT, both accepted.
    async fn envelope(&mut self) {
        self.expect("MAIL FROM:<ann@example.com>").await;
        self.say("250 ok\r\n").await;
        self.expect("RCPT TO:<bob@example.net>").await;
        self.say("250 ok\r\n").await;
    }

    /// DATA up to and with the final dot; the bytes as they came.
    async fn data(&mut self) -> Vec<u8> {
        self.expect("DATA").await;
        self.say("354 go on\r\n").await;
        let mut body = Vec::new();
        while body != b".\r\n" && !body.ends_with(b"\r\n.\r\n") {
            body.push(self.0.read_u8().await.unwrap());
        }
        body
    }

    /// Everything until the client closes.
    async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A client that goes away in the middle may reset the connection.
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }
}

/// Plays `script` on the first connection, and whatever it returns can be awaited.
async fn server<T, F>(script: impl FnOnce(Peer) -> F + Send + 'static) -> (SocketAddr, JoinHandle<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        script(Peer(BufReader::new(stream))).await
    });
    (address, task)
}

/// A network in which `mail.example` is at `place` and `target` answers there.
fn network_at(place: &str, target: SocketAddr, trust: &Trust) -> Network {
    let place: IpAddr = place.parse().unwrap();
    let dialer = [465, 587, 2526]
        .into_iter()
        .fold(MapDialer::new().name(NAME, [place]), |map, port| map.route(SocketAddr::new(place, port), target));
    Network::new(Arc::new(dialer), trust, EgressRules::default())
}

fn settings(port: u16, tls: TlsMode) -> SmtpSettings {
    SmtpSettings {
        endpoint: Endpoint { host: NAME.into(), port, tls, reach: Reach::Private },
        credential: None,
        hello_name: "client.example".into(),
        timeouts: Timeouts::all(PATIENCE),
    }
}

fn with_password(mut settings: SmtpSettings) -> SmtpSettings {
    settings.credential =
        Some(Credential { username: "ann@example.com".into(), password: SecretString::from(PASSWORD) });
    settings
}

/// Opens a plaintext session with a server in the local network.
async fn open_lan(target: SocketAddr, change: impl FnOnce(&mut SmtpSettings)) -> Result<SmtpSession, Failure> {
    let mut settings = settings(587, TlsMode::StartTlsIfOffered);
    change(&mut settings);
    SmtpSession::open(&network_at(LAN, target, &Trust::nobody()), &settings, &mut Stages::new()).await
}

fn bob() -> Vec<String> {
    vec!["bob@example.net".into()]
}

async fn envelope(session: &mut SmtpSession) -> Result<Vec<Result<(), Failure>>, Failure> {
    session.envelope("ann@example.com", &bob(), EnvelopeOptions::default()).await
}
