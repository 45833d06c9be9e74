//! Postfix's `smtp-sink`, which takes every message and keeps it, and `smtp-source`, which makes a load of them.

use super::process::{PATIENCE, Peer, find, free_port, is_root, open_folder, run};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Clone, Debug)]
pub struct Options {
    /// How many connections are served at once; further ones wait in the backlog.
    pub concurrency: u32,
    /// Whether messages are kept. Costs a file each, so a measurement leaves it.
    pub keep: bool,
    /// Further arguments: `["-f", "RCPT"]` refuses recipients, `["-w", "2"]` delays the answer to DATA.
    pub extra: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { concurrency: 256, keep: true, extra: Vec::new() }
    }
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// EHLO or HELO argument.
    pub helo: String,
    /// Argument of MAIL FROM: the address, without brackets.
    pub sender: String,
    /// What followed the address in MAIL FROM: `SIZE=…`, `BODY=8BITMIME`.
    pub parameters: String,
    /// Arguments of RCPT TO, in order, without brackets.
    pub recipients: Vec<String>,
    /// Header and body, dots unstuffed, with CRLF. The sink keeps lines, not line ends: it cannot tell a bare LF from
    /// CRLF and drops a bare CR, so whether line ends were right on the wire is for another server to prove.
    pub raw: Vec<u8>,
}

pub struct SmtpSink {
    peer: Peer,
    pub address: SocketAddr,
    folder: TempDir,
}

impl SmtpSink {
    /// `None` if `smtp-sink` is missing and may be.
    pub fn start(options: &Options) -> Option<Self> {
        let program = find("smtp-sink")?;
        for _ in 0..5 {
            if let Some(started) = Self::try_start(&program, options) {
                return Some(started);
            }
        }
        panic!("five times another program took the sink's port");
    }

    fn try_start(program: &Path, options: &Options) -> Option<Self> {
        let folder = open_folder();
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).expect("a folder for messages");
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o777)).expect("permissions");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (concurrency, target) = (options.concurrency.to_string(), address.to_string());
        let mut arguments = vec!["-c", "-h", "sink.test", "-m", &concurrency];
        if is_root() {
            arguments.extend(["-u", "nobody"]);
        }
        if options.keep {
            arguments.extend(["-d", "kept/m."]);
        }
        arguments.extend(options.extra.iter().map(String::as_str));
        arguments.extend([target.as_str(), "1024"]);
        let mut peer = Peer::spawn("smtp-sink", program, &arguments, folder.path());
        if !peer.listens(address) {
            assert!(peer.lost_its_port(), "smtp-sink does not start:\n{}", peer.log());
            return None;
        }
        Some(Self { peer, address, folder })
    }

    /// Every message whose final dot was answered, in no particular order.
    pub fn received(&self) -> Vec<Received> {
        let kept = fs::read_dir(self.folder.path().join("kept")).expect("the folder");
        let files: Vec<PathBuf> = kept.map(|entry| entry.expect("an entry").path()).collect();
        // A message still arriving is a file that the sink has open. Asked after the files were listed: what was there
        // then and is not open now is complete, or was given up and is gone.
        let open = self.open_files();
        let complete = files.into_iter().filter(|file| !open.contains(file));
        complete.filter_map(|file| fs::read(file).ok()).map(|dump| parse(&dump)).collect()
    }

    /// Waits for `count` messages. More are given too; less, when patience ends, fails the test.
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(Instant::now() < deadline, "{count} messages awaited, received: {received:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn open_files(&self) -> Vec<PathBuf> {
        let handles = fs::read_dir(format!("/proc/{}/fd", self.peer.id())).expect("the sink runs, and we may look");
        let kept = self.folder.path().canonicalize().expect("the folder");
        let targets = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        // As listed: the folder's own spelling, not the kernel's.
        targets.filter_map(|target| Some(self.folder.path().join(target.strip_prefix(&kept).ok()?))).collect()
    }
}

/// Reads a dump: `X-` lines and a `Received` field of the sink's own, then the message, then an empty line.
fn parse(dump: &[u8]) -> Received {
    let mut message = Received {
        helo: String::new(),
        sender: String::new(),
        parameters: String::new(),
        recipients: Vec::new(),
        raw: Vec::new(),
    };
    let mut lines = dump.strip_suffix(b"\n").unwrap_or(dump).split_inclusive(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next_if(|line| line.starts_with(b"X-")) {
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
        match name {
            "X-Helo-Args" => value.clone_into(&mut message.helo),
            "X-Mail-Args" => (message.sender, message.parameters) = path(value),
            "X-Rcpt-Args" => message.recipients.push(path(value).0),
            _ => {}
        }
    }
    let trace = lines.next().expect("the sink's Received field");
    assert!(trace.starts_with(b"Received: "), "{}", String::from_utf8_lossy(trace));
    while lines.next_if(|line| line.starts_with(b"\t")).is_some() {}
    for line in lines {
        message.raw.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        message.raw.extend_from_slice(b"\r\n");
    }
    message
}

/// `<a@b> SIZE=3` → address and parameters.
fn path(value: &str) -> (String, String) {
    let (address, parameters) = value.split_once('>').unwrap_or((value, ""));
    (address.trim_start_matches('<').to_owned(), parameters.trim().to_owned())
}

/// A load for a server: what Postfix's own client manages, to compare with.
#[derive(Clone, Copy, Debug)]
pub struct SmtpSource {
    pub sessions: u32,
    pub messages: u32,
    /// Bytes per message.
    pub size: u32,
    /// Whether a session sends many messages, or connects anew for each.
    pub reuse: bool,
}

impl SmtpSource {
    /// Sends all to `target` and gives the time it took; `None` if `smtp-source` is missing and may be.
    pub fn run(self, target: SocketAddr) -> Option<Duration> {
        let program = find("smtp-source")?;
        let [sessions, messages, size] = [self.sessions, self.messages, self.size].map(|number| number.to_string());
        let target = target.to_string();
        let mut arguments = vec!["-s", &sessions, "-m", &messages, "-l", &size];
        if self.reuse {
            arguments.push("-d");
        }
        arguments.extend(["-M", "source.test", "-f", "source@mail.test", "-t", "sink@mail.test", &target]);
        let start = Instant::now();
        run(&program, &arguments, b"");
        Some(start.elapsed())
    }
}
