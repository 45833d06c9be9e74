//! `postroom serve` as a process: its URL, its logs, an orderly end and a sudden one.

use super::binary::{Finished, Home};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the server may take to start or to stop before the test fails. Generous: it decides nothing else.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lines that a process prints, as they come, from both outputs.
#[derive(Default)]
struct Lines {
    lines: Mutex<Printed>,
    more: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Out,
    Err,
}

#[derive(Default)]
struct Printed {
    lines: Vec<(Output, String)>,
    /// How many outputs have ended.
    ended: usize,
}

impl Lines {
    fn follow(self: &Arc<Self>, which: Output, output: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                lines.change(|printed| printed.lines.push((which, String::from_utf8_lossy(&line).into_owned())));
            }
            lines.change(|printed| printed.ended += 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Printed)) {
        change(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_all();
    }

    /// The first thing that `pick` finds in any line, past or to come. `None` when both outputs ended without it.
    fn wait<T>(&self, pick: impl Fn(Output, &str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut printed = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = 0;
        loop {
            if let Some(found) = printed.lines[read..].iter().find_map(|(which, line)| pick(*which, line)) {
                return Some(found);
            }
            read = printed.lines.len();
            if printed.ended == 2 {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not printed in time:\n{}", joined(&printed.lines, |_| true));
            printed = self.more.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn text(&self, of: impl Fn(Output) -> bool) -> String {
        joined(&self.lines.lock().unwrap_or_else(PoisonError::into_inner).lines, of)
    }
}

fn joined(lines: &[(Output, String)], of: impl Fn(Output) -> bool) -> String {
    let lines = lines.iter().filter(|(which, _)| of(*which)).map(|(_, line)| line.as_str());
    lines.collect::<Vec<_>>().join("\n")
}

pub struct Server {
    child: Child,
    lines: Arc<Lines>,
    /// Where it listens: `http://127.0.0.1:40123`, without a slash at the end.
    pub url: String,
}

impl Server {
    /// Starts `postroom serve` on a port of its own choice and waits until it says where it listens.
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, &[], &[])
    }

    /// The same with further arguments and environment.
    pub fn start_with(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = home.command_on_data(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments).envs(environment.iter().copied());
        Self::spawn(&mut command).unwrap_or_else(|ended| panic!("the server does not start: {ended:#?}"))
    }

    /// Starts a server that must refuse to serve: how it ended and what it said.
    pub fn refuses(home: &Home, arguments: &[&str]) -> Finished {
        let mut command = home.command_on_data(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        match Self::spawn(&mut command) {
            Ok(server) => panic!("the server started at {}", server.url),
            Err(ended) => ended,
        }
    }

    /// The most memory that it has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Any command that prints a URL once it serves (`serve`, `demo`); or how it ended without one.
    pub fn spawn(command: &mut Command) -> Result<Self, Finished> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = Arc::new(Lines::default());
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        lines.follow(Output::Out, stdout);
        lines.follow(Output::Err, stderr);
        // Built before it is waited for, so that a failure on the way ends the process.
        let mut server = Self { child, lines, url: String::new() };
        if let Some(url) = server.lines.wait(|which, line| url_in(line).filter(|_| which == Output::Out)) {
            server.url = url;
            return Ok(server);
        }
        let code = server.wait().code();
        let [stdout, stderr] = [Output::Out, Output::Err].map(|one| server.lines.text(|which| which == one));
        Err(Finished { code, stdout, stderr })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far, on both outputs.
    pub fn logs(&self) -> String {
        self.lines.text(|_| true)
    }

    /// Waits until a line of the log holds `text`; false if the server ended without it.
    pub fn logged(&self, text: &str) -> bool {
        self.lines.wait(|_, line| line.contains(text).then_some(())).is_some()
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `STOP`.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell");
        assert!(status.success(), "{script}: {status}");
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL: as if the power went, but for the disk's cache.
    pub fn kill(mut self) {
        self.child.kill().expect("our child");
        self.wait();
    }

    /// Waits for an end that something else brings about.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not stop:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the server printed ----\n{}", self.logs());
        }
    }
}

/// The origin of the first loopback URL with a port: the line itself may be prose, JSON or a URL alone.
pub fn url_in(line: &str) -> Option<String> {
    line.match_indices("http").find_map(|(at, _)| {
        let rest = &line[at..];
        let scheme = ["http://", "https://"].into_iter().find(|scheme| rest.starts_with(scheme))?;
        let after = &rest[scheme.len()..];
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]-".contains(c))).unwrap_or(after.len());
        let (host, port) = after[..end].trim_end_matches(['.', ':']).rsplit_once(':')?;
        let loopback = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
        let port: u16 = port.parse().ok()?;
        (loopback && port > 0).then(|| format!("{scheme}{host}:{port}"))
    })
}
