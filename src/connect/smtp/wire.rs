//! Commands out, replies in: the connection with its read buffer, and a deadline on everything.

use super::reply::{LINE_LIMIT, NoReply, Reply, ReplyReader};
use crate::connect::discretion::Discretion;
use crate::domain::failure::Failure;
use crate::domain::stages::Stages;
use crate::net::Connection;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// Why there is no reply. Prints as the second half of a sentence.
#[derive(Debug)]
pub(super) enum WireError {
    Io(io::Error),
    Closed,
    TimedOut,
    NoReply(NoReply),
    /// It had said something before it was asked.
    OutOfStep,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("it closed the connection"),
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::NoReply(reason) => reason.fmt(f),
            Self::OutOfStep => f.write_str("it answered before it was asked"),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    f.write_str("it dropped the connection")
                }
                _ => write!(f, "the connection failed ({error})"),
            },
        }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One connection as SMTP sees it.
pub(super) struct Wire {
    connection: Connection,
    /// What was received and not yet read as a reply; less than a line and a read ahead.
    received: Vec<u8>,
    /// What no reply may show, from the greeting on: a server may remember it from an earlier session.
    discretion: Discretion,
}

impl Wire {
    pub fn new(connection: Connection, discretion: Discretion) -> Self {
        Self { connection, received: Vec::new(), discretion }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the server has said more than was asked for.
    pub fn has_more(&self) -> bool {
        !self.received.is_empty()
    }

    /// The connection in TLS. Nothing that was received before is carried over; the caller has refused it already.
    pub async fn upgrade(self, stages: &mut Stages) -> Result<Self, Failure> {
        Ok(Self::new(self.connection.upgrade(stages).await?, self.discretion))
    }

    /// Sends one command and reads its reply; `limit` bounds both together.
    pub async fn ask(&mut self, command: &str, limit: Duration) -> Result<Reply, WireError> {
        let begun = Instant::now();
        // The command may be a credential.
        let line = Zeroizing::new(format!("{command}\r\n"));
        self.send(line.as_bytes(), limit).await?;
        self.reply(limit.saturating_sub(begun.elapsed())).await
    }

    /// Sends bytes and hands them to the network; nothing if the server has said more than it was asked for: that would
    /// be taken for the answer to what is sent now.
    pub async fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<(), WireError> {
        if self.has_more() {
            return Err(WireError::OutOfStep);
        }
        let sending = async {
            self.connection.write_all(bytes).await?;
            self.connection.flush().await
        };
        match tokio::time::timeout(limit, sending).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(WireError::TimedOut),
        }
    }

    /// Reads one whole reply. `limit` bounds all of it, however slowly the bytes drip in.
    pub async fn reply(&mut self, limit: Duration) -> Result<Reply, WireError> {
        match tokio::time::timeout(limit, self.read_reply()).await {
            Ok(result) => result,
            Err(_) => Err(WireError::TimedOut),
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, WireError> {
        let mut reader = ReplyReader::default();
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if let Some(mut reply) = reader.line(line).map_err(WireError::NoReply)? {
                    self.discretion.scrub(&mut reply.lines);
                    return Ok(reply);
                }
            }
            if self.received.len() > LINE_LIMIT {
                return Err(WireError::NoReply(NoReply::TooLong));
            }
            let mut block = [0; 2048];
            let count = self.connection.read(&mut block).await?;
            if count == 0 {
                return Err(WireError::Closed);
            }
            self.received.extend_from_slice(&block[..count]);
        }
    }

    /// Says that nothing more will be sent.
    pub async fn close(&mut self) {
        // The session is over either way.
        let _ = self.connection.shutdown().await;
    }
}
