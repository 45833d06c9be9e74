//! An HTTP/1.1 client that does as little as it can: requests are made beforehand or by formatting, answers are read
//! to their end and looked at no further than the status.

use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How many connections a load has.
pub const CONNECTIONS: usize = 64;

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer; its body lies in the connection's buffer until the next request.
pub struct Answer<'c> {
    pub status: u16,
    pub body: &'c [u8],
}

impl Connection {
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a request and reads its answer. An error means that the connection is gone.
    pub async fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let (status, length) = read_head(&self.buffer[..head]);
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok(Answer { status, body: &self.buffer[head..head + length] })
    }

    async fn more(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn read_head(head: &[u8]) -> (u16, usize) {
    let head = std::str::from_utf8(head).expect("a head in ASCII");
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status line");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    });
    (status, length.unwrap_or(0))
}

/// A request as it goes over the wire.
pub fn request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
    if !body.is_empty() {
        let _ = write!(text, "Content-Type: application/vnd.api+json\r\nContent-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += &body;
    text.into_bytes()
}

/// Sends one request after the other over every connection until time is up; how many were answered per second.
/// `make` makes the request with a number; every answer must have the status.
pub async fn for_a_while(
    address: SocketAddr,
    time: Duration,
    status: u16,
    make: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> f64 {
    let (start, answered) = run(address, usize::MAX, time, status, make).await;
    super::figures::rate(answered, start.elapsed())
}

/// Sends so many requests over all connections.
pub async fn so_many(
    address: SocketAddr,
    count: usize,
    status: u16,
    make: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) {
    run(address, count, Duration::MAX, status, make).await;
}

async fn run(
    address: SocketAddr,
    count: usize,
    time: Duration,
    status: u16,
    make: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> (Instant, usize) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await.expect("the server takes connections"));
    }
    let (make, next) = (Arc::new(make), Arc::new(AtomicUsize::new(0)));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (make, next) = (make.clone(), next.clone());
        tasks.spawn(async move {
            let mut answered = 0;
            while start.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break;
                }
                let answer = connection.exchange(&make(number)).await.expect("an answer");
                assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(answer.body));
                answered += 1;
            }
            answered
        });
    }
    (start, tasks.join_all().await.into_iter().sum())
}
