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

/// A message as it is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub uid: u32,
    /// Separated by spaces, without `\Recent`.
    pub flags: String,
    pub message_id: String,
}

/// A name as a quoted string.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
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

    /// The same for a command that must be done; otherwise an error with what the server said.
    pub fn done(&mut self, command: &str) -> Result<Vec<String>> {
        let lines = self.command(command)?;
        if lines.last().is_some_and(|line| line.starts_with("OK")) {
            return Ok(lines);
        }
        Err(std::io::Error::other(format!("{command}: {lines:?}")))
    }

    /// Puts a message into a folder, which is named as the server names it (needs LITERAL+).
    pub fn append(&mut self, folder: &str, flags: &str, raw: &[u8]) -> Result<()> {
        let mut command = format!("APPEND {} ({flags}) {{{}+}}\r\n", quoted(folder), raw.len()).into_bytes();
        command.extend_from_slice(raw);
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.stream.get_mut().write_all(tag.as_bytes())?;
        self.stream.get_mut().write_all(&command)?;
        self.stream.get_mut().write_all(b"\r\n")?;
        self.stream.get_mut().flush()?;
        loop {
            let line = self.line()?;
            match line.strip_prefix(&tag) {
                Some(end) if end.starts_with("OK") => return Ok(()),
                Some(end) => return Err(std::io::Error::other(format!("APPEND: {end}"))),
                None => {}
            }
        }
    }

    /// The folders that can be opened, as the server names them.
    pub fn list(&mut self) -> Result<Vec<String>> {
        let lines = self.done(r#"LIST "" "*""#)?;
        let can_be_opened = |line: &&String| !line.contains("\\Noselect") && !line.contains("\\NonExistent");
        let names = lines.iter().filter(|line| line.starts_with("* LIST")).filter(can_be_opened);
        let mut names: Vec<String> = names
            .filter_map(|line| line.split_once("\"/\" ").map(|(_, name)| name.trim_matches('"').to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Opens a folder and gives every message in it, in order of UID.
    pub fn messages(&mut self, folder: &str) -> Result<Vec<Held>> {
        let opened = self.done(&format!("SELECT {}", quoted(folder)))?;
        if opened.iter().any(|line| line == "* 0 EXISTS") {
            return Ok(Vec::new());
        }
        let lines = self.done("UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")?;
        let mut messages: Vec<Held> = Vec::new();
        for line in &lines {
            if let Some((_, items)) = line.split_once(" FETCH (").filter(|(start, _)| start.starts_with("* ")) {
                let Some((_, uid)) = items.split_once("UID ") else { continue };
                let uid = uid.split(|end: char| !end.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
                let Some((uid, (_, flags))) = uid.zip(items.split_once("FLAGS (")) else { continue };
                let flags = flags.split(')').next().unwrap_or_default();
                let flags: Vec<_> = flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
                messages.push(Held { uid, flags: flags.join(" "), message_id: String::new() });
            } else if line.to_ascii_lowercase().starts_with("message-id:") {
                let id = line.split_once(':').map_or("", |(_, id)| id.trim());
                if let Some(last) = messages.last_mut() {
                    id.clone_into(&mut last.message_id);
                }
            }
        }
        Ok(messages)
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
