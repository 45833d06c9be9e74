use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// The longest line that either protocol may send, without its CRLF.
pub(super) const MAX_LINE: usize = 8 << 10;
/// How much of an endless line is thrown away before the connection is.
const MAX_SKIPPED: usize = 1 << 20;
/// Output is collected up to here before it is sent in the middle of a response.
const FULL: usize = 64 << 10;
const HANDSHAKE: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection with bounded reads and collected writes, which go out before the next read.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    /// How much of `input` has been used up.
    used: usize,
    output: Vec<u8>,
    patience: Duration,
    secure: bool,
}

/// A line from the peer, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// It ended in LF without CR.
    BareLf,
    /// It was longer than [`MAX_LINE`] and has been thrown away.
    TooLong,
}

impl Wire {
    pub fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, patience: Duration) -> Self {
        Self { stream: Box::new(stream), input: Vec::new(), used: 0, output: Vec::new(), patience, secure: false }
    }

    /// Whether the connection is inside TLS.
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Turns to TLS as the server. What the peer sent before the handshake is thrown away: it was not protected.
    pub async fn secure_with(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        self.flush().await?;
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = Box::new(timeout(HANDSHAKE, TlsAcceptor::from(config).accept(plain)).await??);
        self.input.clear();
        self.used = 0;
        self.secure = true;
        Ok(())
    }

    /// Adds to the output.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.output.extend_from_slice(bytes.as_ref());
    }

    /// Replaces a text in what has been collected, everywhere.
    pub fn edit(&mut self, from: &[u8], to: &[u8]) {
        let mut at = 0;
        while let Some(found) = self.output[at..].windows(from.len().max(1)).position(|part| part == from) {
            self.output.splice(at + found..at + found + from.len(), to.iter().copied());
            at += found + to.len();
        }
    }

    /// Sends what has been collected.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        timeout(self.patience, async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        })
        .await??;
        self.output.clear();
        Ok(())
    }

    /// Sends what has been collected if it is much.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.output.len() >= FULL { self.flush().await } else { Ok(()) }
    }

    /// Reads a line up to LF. Can be cancelled without losing input; flush first, as half a write cannot be.
    pub async fn line(&mut self) -> io::Result<Line> {
        let mut searched = 0;
        let mut skipped = 0;
        loop {
            let pending = &self.input[self.used..];
            if let Some(at) = pending[searched..].iter().position(|&byte| byte == b'\n') {
                let end = searched + at;
                let line = match pending[..end].strip_suffix(b"\r") {
                    _ if skipped > 0 => Line::TooLong,
                    Some(line) if line.len() > MAX_LINE => Line::TooLong,
                    Some(line) => Line::Whole(line.to_vec()),
                    None => Line::BareLf,
                };
                self.used += end + 1;
                return Ok(line);
            }
            if pending.len() > MAX_LINE + 1 {
                skipped += pending.len();
                self.used = self.input.len();
                if skipped > MAX_SKIPPED {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
                }
            }
            searched = self.input.len() - self.used;
            self.fill().await?;
        }
    }

    /// Reads exactly so many bytes; the caller has bounded `count`.
    pub async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.input.len() - self.used < count {
            self.fill().await?;
        }
        let bytes = self.input[self.used..self.used + count].to_vec();
        self.used += count;
        Ok(bytes)
    }

    /// Whatever has come in, at least one byte; [`Wire::consume`] says how much of it was used up.
    pub async fn some(&mut self) -> io::Result<&[u8]> {
        if self.used == self.input.len() {
            self.fill().await?;
        }
        Ok(&self.input[self.used..])
    }

    pub fn consume(&mut self, count: usize) {
        self.used = (self.used + count).min(self.input.len());
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.input.drain(..self.used);
        self.used = 0;
        // `read_buf` adds to the vector only when it completes, so a cancelled read loses nothing.
        self.input.reserve(16 << 10);
        match timeout(self.patience, self.stream.read_buf(&mut self.input)).await?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_a_bare_line_feed_is_told_apart() {
        let (mut peer, ours) = tokio::io::duplex(64 << 10);
        let mut wire = Wire::new(ours, Duration::from_mins(1));
        let long = [vec![b'x'; MAX_LINE + 1], b"\r\n".to_vec()].concat();
        let fits = [vec![b'y'; MAX_LINE], b"\r\n".to_vec()].concat();
        peer.write_all(b"one\r\ntwo\n\r\n").await.unwrap();
        peer.write_all(&long).await.unwrap();
        peer.write_all(&fits).await.unwrap();
        peer.write_all(b"lit\r\neral").await.unwrap();
        drop(peer);
        assert_eq!(wire.line().await.unwrap(), Line::Whole(b"one".to_vec()));
        assert_eq!(wire.line().await.unwrap(), Line::BareLf);
        assert_eq!(wire.line().await.unwrap(), Line::Whole(Vec::new()));
        assert_eq!(wire.line().await.unwrap(), Line::TooLong);
        assert_eq!(wire.line().await.unwrap(), Line::Whole(vec![b'y'; MAX_LINE]));
        assert_eq!(wire.exactly(9).await.unwrap(), b"lit\r\neral");
        assert_eq!(wire.line().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
