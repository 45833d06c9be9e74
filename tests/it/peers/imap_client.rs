//! Just enough of an IMAP client to look at a server without our own code: lines out, lines in, plain or over TLS.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead as _, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub struct ImapClient {
    stream: BufReader<Box<dyn Stream>>,
    tag: u32,
    pub greeting: String,
}

impl ImapClient {
    pub fn plain(address: SocketAddr) -> Result<Self> {
        Self::greeted(Box::new(connect(address)?))
    }

    /// TLS from the first byte; trusts `authority` only.
    pub fn tls(address: SocketAddr, name: &str, authority: CertificateDer<'static>) -> Result<Self> {
        Self::greeted(Box::new(secure(connect(address)?, name, authority)?))
    }

    /// Plain, then STARTTLS, without reading the greeting twice.
    pub fn starttls(address: SocketAddr, name: &str, authority: CertificateDer<'static>) -> Result<Self> {
        let tcp = connect(address)?;
        let mut plain = Self::greeted(Box::new(tcp.try_clone()?))?;
        plain.command("STARTTLS")?;
        let stream: Box<dyn Stream> = Box::new(secure(tcp, name, authority)?);
        Ok(Self { stream: BufReader::new(stream), ..plain })
    }

    fn greeted(stream: Box<dyn Stream>) -> Result<Self> {
        let mut client = Self { stream: BufReader::new(stream), tag: 0, greeting: String::new() };
        client.greeting = client.line()?;
        Ok(client)
    }

    /// Sends a command; the untagged lines and, last, the tagged one without its tag. Literals count as lines.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        write!(self.stream.get_mut(), "{tag}{command}\r\n")?;
        self.stream.get_mut().flush()?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(end) = line.strip_prefix(&tag) {
                lines.push(end.to_owned());
                return Ok(lines);
            }
            lines.push(line);
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_mins(1)))?;
    Ok(tcp)
}

fn secure(
    mut tcp: TcpStream,
    name: &str,
    authority: CertificateDer<'static>,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).expect("a valid authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a host name");
    let mut session = ClientConnection::new(Arc::new(config), name).expect("a session");
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(session, tcp))
}
