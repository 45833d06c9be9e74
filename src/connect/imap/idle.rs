//! A connection that waits for news of one folder: IDLE (RFC 2177).
//!
//! It waits without a thread of its own, and knows only what waiting takes: what is new is fetched in an
//! [`ImapSession`](super::ImapSession). IDLE is ended and begun again every few minutes, which keeps servers and
//! middleboxes from closing the connection and finds out soon about one that is dead without saying so.

use super::ImapLimits;
use super::credential::Credential;
use super::preamble::{Greeted, Offered, greeted, line};
use super::trouble::{broken, closed, dismissed, garbled, late, refusal};
use crate::connect::discretion::Discretion;
use crate::connect::effective::SyncSettings;
use crate::domain::failure::{Failure, Stage};
use crate::domain::stages::Stages;
use crate::net::{Connection, Network};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

/// How many lines may precede the answer to a command.
const LINES_LIMIT: usize = 2_000;
/// The longest literal that is passed over.
const LITERAL_LIMIT: usize = 64 << 10;
/// How much a server may say between two renewals, in bytes.
const CHATTER: usize = 1 << 20;
/// A server that ends IDLE by itself sooner than this does not mean it.
const AT_ONCE: Duration = Duration::from_secs(5);
/// How long a good-bye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long the steps of a watch may take.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Each of name lookup, TCP and TLS.
    pub connect: Duration,
    /// One command with its answer.
    pub step: Duration,
    /// How often IDLE is begun anew; well below the 29 minutes after which servers may end it.
    pub renew: Duration,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), step: Duration::from_secs(30), renew: Duration::from_mins(5) }
    }
}

/// What happened in a watched folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Flags changed, or messages are gone.
    Change,
    /// There are more messages than before.
    Mail,
}

/// What a folder was like when its watch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchedFolder {
    pub exists: u32,
    pub uid_validity: Option<u32>,
    pub uid_next: Option<u32>,
}

/// A connection that waits for news of the inbox.
pub struct Watch {
    connection: Connection,
    received: Vec<u8>,
    limits: WatchLimits,
    discretion: Discretion,
    folder: WatchedFolder,
    /// The number of the last command.
    command: u32,
    /// Since when the server has been idling.
    idling: Option<Instant>,
    news: Option<News>,
    /// How much the server may still say.
    budget: usize,
}

impl Watch {
    /// Connects, logs in and opens the inbox for reading. `None`: the server knows no IDLE. `secret` is not kept.
    pub async fn open(
        network: &Network,
        settings: &SyncSettings,
        secret: &SecretString,
        limits: WatchLimits,
    ) -> Result<Option<Self>, Failure> {
        let credential = Credential { username: &settings.username, password: secret };
        credential.check()?;
        let discretion = credential.discretion();
        let bounds = ImapLimits { connect: limits.connect, step: limits.step, ..ImapLimits::default() };
        let greeted = greeted(network, &settings.endpoint, &bounds, &discretion, &mut Stages::new()).await?;
        let Greeted { connection, ahead, offered } = greeted;
        let mut watch = Self {
            connection,
            received: ahead,
            limits,
            discretion,
            folder: WatchedFolder::default(),
            command: 0,
            idling: None,
            news: None,
            budget: CHATTER,
        };
        watch.log_in(offered, &credential).await?;
        let offered = watch.ask(Stage::Capabilities, "CAPABILITY", None).await?;
        if !offered.capabilities.iter().any(|word| word == "IDLE") {
            watch.close().await;
            return Ok(None);
        }
        let examine = format!("EXAMINE {}", quoted(&settings.inbox));
        watch.ask(Stage::Select, &examine, None).await?;
        watch.news = None;
        Ok(Some(watch))
    }

    /// The folder as it was opened.
    pub fn folder(&self) -> WatchedFolder {
        self.folder
    }

    /// Completes when something happened in the folder; fails when the connection is of no more use. A call that is
    /// dropped before leaves the connection fit only to be closed.
    pub async fn news(&mut self) -> Result<News, Failure> {
        let stage = Stage::Fetch;
        loop {
            if let Some(news) = self.news.take() {
                return Ok(news);
            }
            let Some(since) = self.idling else {
                self.budget = CHATTER;
                self.ask(stage, "IDLE", None).await?;
                self.idling = Some(Instant::now());
                continue;
            };
            let Ok(line) = timeout_at(since + self.limits.renew, self.line(stage)).await else {
                // Half of a dead connection looks like a quiet one: only an answer tells them apart.
                self.idling = None;
                self.send(stage, b"DONE\r\n").await?;
                self.answer(stage, "IDLE", None).await?;
                continue;
            };
            let line = line?;
            if let Some(rest) = line.strip_prefix("* ") {
                self.untagged(stage, rest)?;
            } else if line.split(' ').next() == Some(self.tag().as_str()) {
                self.idling = None;
                self.tagged(stage, "IDLE", &line)?;
                if since.elapsed() < AT_ONCE {
                    let host = self.connection.host();
                    return Err(Failure::temporary(stage, format!("{host} offers IDLE and ends it at once.")));
                }
            } else if !line.starts_with('+') {
                return Err(garbled(stage, self.connection.host()));
            }
        }
    }

    /// Says good-bye, within a few seconds.
    pub async fn close(mut self) {
        let done = if self.idling.is_some() { "DONE\r\n" } else { "" };
        self.command += 1;
        let words = format!("{done}{} LOGOUT\r\n", self.tag());
        // Nothing depends on the answer.
        let _ = timeout(GOODBYE, async {
            self.connection.write_all(words.as_bytes()).await?;
            self.connection.flush().await?;
            self.connection.shutdown().await
        })
        .await;
    }

    async fn log_in(&mut self, offered: Offered, credential: &Credential<'_>) -> Result<(), Failure> {
        let stage = Stage::Authentication;
        if !offered.login_disabled && (credential.is_ascii() || !offered.plain) {
            let password = Zeroizing::new(quoted(credential.password.expose_secret()));
            let command = Zeroizing::new(format!("LOGIN {} {}", quoted(credential.username), *password));
            self.ask(stage, &command, None).await?;
        } else if offered.plain {
            let answer = Zeroizing::new(format!("{}\r\n", STANDARD.encode(credential.plain().as_bytes())));
            self.ask(stage, "AUTHENTICATE PLAIN", Some(answer)).await?;
        } else {
            let host = self.connection.host();
            let sentence = format!("{host} takes no log-in by password on this connection.");
            return Err(Failure::config(stage, sentence));
        }
        Ok(())
    }

    /// Sends a command and waits for the tagged OK, or the consent to go on.
    async fn ask(&mut self, stage: Stage, command: &str, answer: Option<Zeroizing<String>>) -> Result<Heard, Failure> {
        self.command += 1;
        let line = Zeroizing::new(format!("{} {command}\r\n", self.tag()));
        self.send(stage, line.as_bytes()).await?;
        let verb = command.split(' ').next().unwrap_or_default();
        self.answer(stage, verb, answer).await
    }

    async fn send(&mut self, stage: Stage, bytes: &[u8]) -> Result<(), Failure> {
        let sending = async {
            self.connection.write_all(bytes).await?;
            self.connection.flush().await
        };
        match timeout(self.limits.step, sending).await {
            Ok(sent) => sent.map_err(|error| broken(stage, self.connection.host(), &error)),
            Err(_) => Err(late(stage, self.connection.host())),
        }
    }

    async fn answer(&mut self, stage: Stage, verb: &str, answer: Option<Zeroizing<String>>) -> Result<Heard, Failure> {
        match timeout(self.limits.step, self.heard(stage, verb, answer)).await {
            Ok(heard) => heard,
            Err(_) => Err(late(stage, self.connection.host())),
        }
    }

    async fn heard(
        &mut self,
        stage: Stage,
        verb: &str,
        mut answer: Option<Zeroizing<String>>,
    ) -> Result<Heard, Failure> {
        let mut heard = Heard::default();
        for _ in 0..LINES_LIMIT {
            let line = self.line(stage).await?;
            if let Some(rest) = line.strip_prefix("* ") {
                if let Some(words) = rest.strip_prefix("CAPABILITY ") {
                    heard.capabilities.extend(words.split_ascii_whitespace().map(str::to_ascii_uppercase));
                }
                self.untagged(stage, rest)?;
            } else if line.starts_with('+') {
                if let Some(answer) = answer.take() {
                    self.send(stage, answer.as_bytes()).await?;
                } else if verb == "IDLE" && self.idling.is_none() {
                    return Ok(heard);
                } else {
                    break;
                }
            } else {
                return self.tagged(stage, verb, &line).map(|()| heard);
            }
        }
        Err(garbled(stage, self.connection.host()))
    }

    /// The end of the last command.
    fn tagged(&self, stage: Stage, verb: &str, line: &str) -> Result<(), Failure> {
        let host = self.connection.host();
        let mut words = line.splitn(3, ' ');
        let (tag, word, text) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if tag != Some(self.tag().as_str()) {
            return Err(garbled(stage, host));
        }
        match word.to_ascii_uppercase().as_str() {
            "OK" => Ok(()),
            "NO" | "BAD" => {
                let mut failure = refusal(stage, host, &self.discretion.scrubbed(text.to_owned()));
                if stage == Stage::Fetch || stage == Stage::Capabilities {
                    failure.sentence = format!("{host} refused the command {verb}.");
                }
                Err(failure)
            }
            _ => Err(garbled(stage, host)),
        }
    }

    /// Takes in what the server says by itself.
    fn untagged(&mut self, stage: Stage, line: &str) -> Result<(), Failure> {
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if first.eq_ignore_ascii_case("BYE") {
            let text = self.discretion.scrubbed(line.get(4..).unwrap_or_default().to_owned());
            return Err(dismissed(stage, self.connection.host(), &text));
        }
        let code = |name: &str| -> Option<u32> {
            let rest = line.get(3..)?.trim_start().strip_prefix('[')?;
            rest.strip_prefix(name)?.strip_prefix(' ')?.split(']').next()?.parse().ok().filter(|number| *number != 0)
        };
        if first.eq_ignore_ascii_case("OK") {
            self.folder.uid_validity = code("UIDVALIDITY").or(self.folder.uid_validity);
            self.folder.uid_next = code("UIDNEXT").or(self.folder.uid_next);
            return Ok(());
        }
        let number = first.parse::<u32>().ok();
        let news = match (number, second.to_ascii_uppercase().as_str()) {
            (Some(count), "EXISTS") => {
                let before = std::mem::replace(&mut self.folder.exists, count);
                match count.cmp(&before) {
                    std::cmp::Ordering::Greater => Some(News::Mail),
                    std::cmp::Ordering::Equal => None,
                    std::cmp::Ordering::Less => Some(News::Change),
                }
            }
            (Some(_), "EXPUNGE") => {
                self.folder.exists = self.folder.exists.saturating_sub(1);
                Some(News::Change)
            }
            (Some(_), "FETCH") => Some(News::Change),
            _ if first.eq_ignore_ascii_case("VANISHED") => Some(News::Change),
            _ => None,
        };
        self.news = self.news.max(news);
        Ok(())
    }

    /// One response; of its literals nothing is kept.
    async fn line(&mut self, stage: Stage) -> Result<String, Failure> {
        let mut whole = self.piece(stage).await?;
        let mut end = literal(&whole);
        while let Some(length) = end {
            self.skip(stage, length).await?;
            let piece = self.piece(stage).await?;
            end = literal(&piece);
            whole.push_str(&piece);
            if whole.len() > LITERAL_LIMIT {
                return Err(garbled(stage, self.connection.host()));
            }
        }
        Ok(whole)
    }

    async fn piece(&mut self, stage: Stage) -> Result<String, Failure> {
        let piece = line(&mut self.connection, &mut self.received).await.map_err(|it| Failure { stage, ..it })?;
        self.spend(stage, piece.len() + 2)?;
        Ok(piece)
    }

    async fn skip(&mut self, stage: Stage, length: usize) -> Result<(), Failure> {
        if length > LITERAL_LIMIT {
            return Err(garbled(stage, self.connection.host()));
        }
        self.spend(stage, length)?;
        while self.received.len() < length {
            let mut block = [0; 2048];
            match self.connection.read(&mut block).await {
                Ok(0) => return Err(closed(stage, self.connection.host())),
                Ok(count) => self.received.extend_from_slice(&block[..count]),
                Err(error) => return Err(broken(stage, self.connection.host(), &error)),
            }
        }
        self.received.drain(..length);
        Ok(())
    }

    fn spend(&mut self, stage: Stage, bytes: usize) -> Result<(), Failure> {
        let Some(left) = self.budget.checked_sub(bytes) else {
            let sentence = format!("{} says more than there can be news.", self.connection.host());
            return Err(Failure::temporary(stage, sentence));
        };
        self.budget = left;
        Ok(())
    }

    fn tag(&self) -> String {
        format!("w{}", self.command)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("folder", &self.folder).field("idling", &self.idling).finish_non_exhaustive()
    }
}

/// What a command brought beside its end.
#[derive(Debug, Default)]
struct Heard {
    capabilities: Vec<String>,
}

/// The length of the literal that a line announces at its end.
fn literal(line: &str) -> Option<usize> {
    let (_, digits) = line.strip_suffix('}')?.rsplit_once('{')?;
    let digits = digits.strip_suffix('+').unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().unwrap_or(usize::MAX))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
