//! From an endpoint to a connection on which one may log in: greeting, capabilities, STARTTLS (RFC 3501, 2595, 8314).
//!
//! Nothing that was said before TLS counts afterwards, and nothing of it is shown to people: it may come from anybody.

use super::ImapLimits;
use super::trouble::{broken, closed, dismissed, garbled, late, refusal};
use crate::connect::discretion::Discretion;
use crate::domain::connection::Endpoint;
use crate::domain::failure::{Failure, Stage};
use crate::domain::stages::Stages;
use crate::net::{Connection, Network, StartTls};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest line before the log-in.
const LINE_LIMIT: usize = 16 << 10;

/// How many lines may precede the answer to a command.
const LINES_LIMIT: usize = 100;

/// A connection as safe as the settings want it, greeted.
pub(super) struct Greeted {
    pub connection: Connection,
    /// What was received after the answer to the last command.
    pub ahead: Vec<u8>,
    pub offered: Offered,
}

/// What the server can do, as far as logging in is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    pub start_tls: bool,
    pub login_disabled: bool,
    /// AUTHENTICATE PLAIN.
    pub plain: bool,
}

pub(super) async fn greeted(
    network: &Network,
    endpoint: &Endpoint,
    limits: &ImapLimits,
    discretion: &Discretion,
    stages: &mut Stages,
) -> Result<Greeted, Failure> {
    let (connection, start_tls) = network.open(endpoint, limits.connect, stages).await?;
    let is_final = start_tls == StartTls::Done || (start_tls == StartTls::IfOffered && connection.plaintext_allowed());
    let mut wire = Wire { connection, received: Vec::new(), limit: limits.step, shows_lines: is_final, discretion };
    wire.greeting(stages).await?;
    let mut offered = wire.capabilities("p1", stages).await?;
    if may_start_tls(&wire, start_tls, offered, stages)? {
        wire.consent(stages).await?;
        let connection = wire.connection.upgrade(stages).await?;
        wire = Wire { connection, received: Vec::new(), limit: limits.step, shows_lines: true, discretion };
        offered = wire.capabilities("p3", stages).await?;
    }
    Ok(Greeted { connection: wire.connection, ahead: wire.received, offered })
}

/// Decides about STARTTLS; an error where plaintext must not go on.
fn may_start_tls(wire: &Wire<'_>, start_tls: StartTls, offered: Offered, stages: &mut Stages) -> Result<bool, Failure> {
    let sentence = match start_tls {
        StartTls::Done => return Ok(false),
        _ if offered.start_tls => return Ok(true),
        StartTls::IfOffered if wire.connection.plaintext_allowed() => return Ok(false),
        StartTls::IfOffered => "which goes to loopback and private addresses only",
        StartTls::Required => "which this mailbox's settings rule out",
    };
    let host = wire.connection.host();
    let failure = Failure::config(
        Stage::StartTls,
        format!("{host} offers no STARTTLS; without it everything would be sent unencrypted, {sentence}."),
    )
    .advice("Use a port with TLS (993, or 143 with STARTTLS); if this server used to offer it, somebody may be listening in.");
    Err(noted(stages, Instant::now(), failure))
}

struct Wire<'a> {
    connection: Connection,
    received: Vec<u8>,
    /// How long the server may take to answer.
    limit: Duration,
    /// Whether what the server says may be shown to people.
    shows_lines: bool,
    /// What must not be shown even then.
    discretion: &'a Discretion,
}

impl Wire<'_> {
    async fn greeting(&mut self, stages: &mut Stages) -> Result<(), Failure> {
        let begun = Instant::now();
        let line = match tokio::time::timeout(self.limit, self.line()).await {
            Ok(line) => line,
            Err(_) => Err(late(Stage::Greeting, self.connection.host())),
        };
        let line = line.map_err(|failure| noted(stages, begun, failure))?;
        let host = self.connection.host();
        let word = line.strip_prefix("* ").map(|rest| first_word(rest).to_ascii_uppercase());
        let failure = match word.as_deref() {
            Some("OK") => {
                stages.passed(Stage::Greeting, begun.elapsed(), self.shown(&line));
                return Ok(());
            }
            // A session that somebody else has logged in: over plaintext it would even skip STARTTLS.
            Some("PREAUTH") => {
                Failure::config(Stage::Greeting, format!("{host} claims that we are logged in already.")).advice(
                    "If it happens again, somebody may be tampering with the connection; use port 993 with TLS.",
                )
            }
            Some("BYE") => dismissed(Stage::Greeting, host, self.shown(line.get(5..).unwrap_or_default())),
            _ => Failure::config(Stage::Greeting, format!("{host} does not greet like an IMAP server."))
                .advice("Check imapHost and imapPort: 993 with TLS or 143 with STARTTLS are usual.")
                .server(self.shown(&line)),
        };
        Err(noted(stages, begun, failure))
    }

    async fn capabilities(&mut self, tag: &str, stages: &mut Stages) -> Result<Offered, Failure> {
        let begun = Instant::now();
        let answer = self.ask(Stage::Capabilities, tag, "CAPABILITY").await;
        let answer = answer.map_err(|failure| noted(stages, begun, failure))?;
        let mut words = String::new();
        for line in &answer {
            let rest = line.strip_prefix("* ").unwrap_or_default();
            if first_word(rest).eq_ignore_ascii_case("CAPABILITY") {
                words.push_str(rest.get(10..).unwrap_or_default());
            }
        }
        let words = words.to_ascii_uppercase();
        let has = |word: &str| words.split_ascii_whitespace().any(|found| found == word);
        stages.passed(Stage::Capabilities, begun.elapsed(), self.shown(words.trim()));
        Ok(Offered { start_tls: has("STARTTLS"), login_disabled: has("LOGINDISABLED"), plain: has("AUTH=PLAIN") })
    }

    /// STARTTLS up to the server's consent, behind which nothing may follow in plaintext.
    async fn consent(&mut self, stages: &mut Stages) -> Result<(), Failure> {
        let begun = Instant::now();
        let answer = self.ask(Stage::StartTls, "p2", "STARTTLS").await;
        let failure = match answer {
            Ok(_) if self.received.is_empty() => {
                stages.passed(Stage::StartTls, begun.elapsed(), "");
                return Ok(());
            }
            Ok(_) => Failure::temporary(
                Stage::StartTls,
                format!("{} sent more than its consent to STARTTLS, unencrypted.", self.connection.host()),
            )
            .advice("If it happens again, somebody may be tampering with the connection."),
            Err(failure) => failure,
        };
        Err(noted(stages, begun, failure))
    }

    /// Sends a command and returns the lines up to the tagged OK. The whole exchange is bounded, however slowly its
    /// bytes drip in.
    async fn ask(&mut self, stage: Stage, tag: &str, command: &str) -> Result<Vec<String>, Failure> {
        match tokio::time::timeout(self.limit, self.exchange(stage, tag, command)).await {
            Ok(answer) => answer,
            Err(_) => Err(late(stage, self.connection.host())),
        }
    }

    async fn exchange(&mut self, stage: Stage, tag: &str, command: &str) -> Result<Vec<String>, Failure> {
        let line = format!("{tag} {command}\r\n");
        let sent = async {
            self.connection.write_all(line.as_bytes()).await?;
            self.connection.flush().await
        };
        sent.await.map_err(|error| broken(stage, self.connection.host(), &error))?;
        let mut lines = Vec::new();
        while lines.len() < LINES_LIMIT {
            let line = self.line().await.map_err(|failure| Failure { stage, ..failure })?;
            let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let host = self.connection.host();
            match (first, first_word(rest).to_ascii_uppercase().as_str()) {
                (first, "OK") if first == tag => return Ok(lines),
                (first, "NO" | "BAD") if first == tag => {
                    let mut failure = refusal(stage, host, self.shown(rest));
                    failure.sentence = format!("{host} refused the command {command}.");
                    return Err(failure);
                }
                ("*", "BYE") => return Err(dismissed(stage, host, self.shown(rest.get(4..).unwrap_or_default()))),
                ("*", _) => lines.push(line),
                // No tag of ours, and nothing that a server may say now (RFC 3501 section 7).
                _ => break,
            }
        }
        Err(garbled(stage, self.connection.host()))
    }

    async fn line(&mut self) -> Result<String, Failure> {
        line(&mut self.connection, &mut self.received).await
    }

    fn shown<'a>(&self, line: &'a str) -> &'a str {
        if self.shows_lines && !self.discretion.is_broken_by(line) { line } else { "" }
    }
}

/// One line without its end; what is not UTF-8 is replaced. `received` keeps what came behind it. May be cancelled: nothing
/// is lost then.
pub(super) async fn line(connection: &mut Connection, received: &mut Vec<u8>) -> Result<String, Failure> {
    let stage = Stage::Greeting;
    let mut searched = 0;
    loop {
        if let Some(end) = received[searched..].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = received.drain(..=searched + end).collect();
            return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
        }
        searched = received.len();
        if searched > LINE_LIMIT {
            return Err(garbled(stage, connection.host()));
        }
        let mut block = [0; 2048];
        match connection.read(&mut block).await {
            Ok(0) => return Err(closed(stage, connection.host())),
            Ok(count) => received.extend_from_slice(&block[..count]),
            Err(error) => return Err(broken(stage, connection.host(), &error)),
        }
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// Records the failure of a step: the server's own line where there is one.
pub(super) fn noted(stages: &mut Stages, begun: Instant, mut failure: Failure) -> Failure {
    failure.server = failure.server.filter(|line| !line.is_empty());
    let line = failure.server.as_ref().unwrap_or(&failure.sentence);
    stages.failed(failure.stage, begun.elapsed(), line);
    failure
}
