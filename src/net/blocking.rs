//! A connection lent to blocking code: every call bounded in time, all calls together bounded in bytes.

use super::connection::Connection;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Why a [`BlockingStream`] ended a call by itself. Found inside the `io::Error` by [`StreamStop::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStop {
    /// The work was cancelled.
    Cancelled,
    /// The deadline of the whole session passed.
    Deadline,
    /// One read or write took longer than it may.
    Idle,
    /// The server sent more bytes than it may.
    Budget,
}

impl StreamStop {
    /// The reason inside an error, if the stream itself ended the call.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }

    /// Never `Interrupted`: the standard library would try again for ever.
    fn error(self) -> io::Error {
        let kind = match self {
            Self::Cancelled => io::ErrorKind::ConnectionAborted,
            Self::Deadline | Self::Idle => io::ErrorKind::TimedOut,
            Self::Budget => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Display for StreamStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the work was cancelled",
            Self::Deadline => "the session took longer than it may",
            Self::Idle => "the server did not answer in time",
            Self::Budget => "the server sent more than it may",
        })
    }
}

impl std::error::Error for StreamStop {}

/// The limits of one stream, adjustable from outside while a protocol library owns the stream itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StreamControls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Mutex<Limits>,
    cancel: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long one read or write may take.
    timeout: Duration,
    /// When the whole session has to be over.
    deadline: Option<Instant>,
    /// How many bytes may still be read.
    budget: u64,
}

impl StreamControls {
    /// Sets how long one read or write may take.
    pub fn set_timeout(&self, timeout: Duration) {
        self.limits().timeout = timeout;
    }

    /// Sets when the session has to be over; `None` for never.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.limits().deadline = deadline;
    }

    /// Sets how many bytes may be read from now on.
    pub fn set_budget(&self, bytes: u64) {
        self.limits().budget = bytes;
    }

    /// How many bytes may still be read.
    pub fn budget(&self) -> u64 {
        self.limits().budget
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the next call may take and which reason ends it.
    fn patience(&self) -> Result<(Duration, StreamStop), StreamStop> {
        let limits = *self.limits();
        let Some(deadline) = limits.deadline else { return Ok((limits.timeout, StreamStop::Idle)) };
        let left = deadline.saturating_duration_since(Instant::now());
        match left {
            Duration::ZERO => Err(StreamStop::Deadline),
            left if left < limits.timeout => Ok((left, StreamStop::Deadline)),
            _ => Ok((limits.timeout, StreamStop::Idle)),
        }
    }
}

/// `std::io::Read` and `Write` over a [`Connection`]. Only for threads that may block (`spawn_blocking`): called inside
/// async code it panics. After an error the stream must not be used again.
pub struct BlockingStream {
    connection: Connection,
    runtime: Handle,
    controls: StreamControls,
}

impl BlockingStream {
    /// Starts with a `timeout` per read or write, a `budget` of bytes to read, and no deadline. Whoever fires `cancel`
    /// ends the call in flight and every later one.
    pub fn new(
        connection: Connection,
        runtime: Handle,
        timeout: Duration,
        budget: u64,
        cancel: CancellationToken,
    ) -> Self {
        let limits = Mutex::new(Limits { timeout, deadline: None, budget });
        Self { connection, runtime, controls: StreamControls(Arc::new(Shared { limits, cancel })) }
    }

    pub fn controls(&self) -> StreamControls {
        self.controls.clone()
    }

    /// Runs one operation within its limits.
    fn bounded<T>(
        runtime: &Handle,
        controls: &StreamControls,
        work: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let (patience, reason) = controls.patience().map_err(StreamStop::error)?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = controls.0.cancel.cancelled() => Err(StreamStop::Cancelled.error()),
                result = tokio::time::timeout(patience, work) => result.unwrap_or_else(|_| Err(reason.error())),
            }
        })
    }
}

impl Read for BlockingStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let budget = self.controls.budget();
        if budget == 0 {
            return Err(StreamStop::Budget.error());
        }
        let length = buffer.len().min(usize::try_from(budget).unwrap_or(usize::MAX));
        let read = self.connection.read(&mut buffer[..length]);
        let count = Self::bounded(&self.runtime, &self.controls, read)?;
        let mut limits = self.controls.limits();
        limits.budget = limits.budget.saturating_sub(count as u64);
        Ok(count)
    }
}

impl Write for BlockingStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::bounded(&self.runtime, &self.controls, self.connection.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::bounded(&self.runtime, &self.controls, self.connection.flush())
    }
}

impl fmt::Debug for BlockingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingStream").field("connection", &self.connection).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "blocking_tests.rs"]
mod tests;
