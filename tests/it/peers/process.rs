//! A foreign program that lives as long as its test: found, started, watched, ended, its log kept.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a peer may take to start or to answer before the test fails. Generous: it decides nothing else.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The path of a program, also where only the superuser's search path leads. `None` if it is missing and the
/// environment allows that (said loudly); otherwise a missing program fails the test.
pub fn find(program: &str) -> Option<PathBuf> {
    let search = std::env::var("PATH").unwrap_or_default();
    let folders = search.split(':').chain(["/usr/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin", "/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
    if found.is_none() {
        missing(program);
    }
    found
}

/// The folder into which `tests/run` unpacked a program that cannot be installed beside others. `None` if it is missing
/// and may be, as with [`find`].
pub fn unpacked(name: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let all = variable("POSTROOM_TEST_PEERS").unwrap_or_else(|| {
        // Where root's daemons run as nobody, they cannot look into root's home.
        let caches = if is_root() { Some("/var/cache".into()) } else { variable("XDG_CACHE_HOME") };
        caches.unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".cache")).join("postroom-tests")
    });
    let folder = all.join(name);
    if folder.join("complete").exists() {
        return Some(folder);
    }
    missing(&format!("{name} (in {})", all.display()));
    None
}

/// Fails the test, or says loudly that it is skipped.
fn missing(program: &str) {
    assert!(
        std::env::var("POSTROOM_TESTS_WITHOUT_PEERS").is_ok_and(|value| value == "1"),
        "{program} is not installed. Run tests/run, which installs what the tests talk to, or set \
         POSTROOM_TESTS_WITHOUT_PEERS=1 to do without these tests."
    );
    // Not eprintln: the test harness would swallow it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is missing, and with it what this test proves");
}

/// Whether the tests run as root, where daemons want another user to run as.
pub fn is_root() -> bool {
    current_user().0 == 0
}

/// The numeric user and group of this process.
pub fn current_user() -> (u32, u32) {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let id = |field: &str| -> u32 {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
        line.split_whitespace().nth(1).expect("an effective id").parse().expect("a number")
    };
    (id("Uid:"), id("Gid:"))
}

/// The name of a numeric user or group, as `/etc/passwd` or `/etc/group` has it.
pub fn name_of(table: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    let text = fs::read_to_string(table).ok()?;
    text.lines()
        .find(|line| line.split(':').nth(2) == Some(&id))
        .and_then(|line| line.split(':').next())
        .map(Into::into)
}

/// A folder that other users may look into, for peers that drop their privileges.
pub fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("peer-").tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

/// A port that is free now, for programs that cannot take port 0. It lies below the usual range of ephemeral ports,
/// so that nobody's port 0 takes it meanwhile. Two test runs may still collide: then start again with another.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_500;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes start at different places.
    let start = u16::try_from(u64::from(std::process::id()) * 97 % u64::from(COUNT)).expect("in range");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        // On both addresses that peers use.
        let free = |last| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).is_ok();
        if free(1) && free(2) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Becomes the program, and beside it leaves a shell that waits for the end of our pipe, which comes even if the tests
/// are killed; then it ends the whole group.
const SCRIPT: &str = "exec 3<&0; (read -r _; kill -KILL 0) <&3 & exec 3<&-; exec \"$@\" </dev/null";

/// A running program, the leader of a process group that ends with it. It also ends when the tests are killed.
pub struct Peer {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts `program`; what it prints goes to `name.log` in `folder`.
    pub fn spawn(name: &str, program: &Path, arguments: &[&str], folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { name: name.to_owned(), child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the program ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our child")
    }

    /// Waits until `address` takes connections. False if the program ended before; panics when patience ends.
    pub fn listens(&mut self, address: SocketAddr) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.ended().is_none() {
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                // Somebody else may have been faster at this port.
                return self.ended().is_none();
            }
            assert!(Instant::now() < deadline, "{} does not listen on {address}\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }

    /// Whether it gave up because another program had the port.
    pub fn lost_its_port(&self) -> bool {
        self.log().contains("Address already in use")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The waiting shell reads the end of the pipe and kills the group, itself included.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, self.log());
        }
    }
}

/// Runs a program to its end and gives what it printed; a failure fails the test with everything it said.
pub fn run(program: &Path, arguments: &[&str], input: &[u8]) -> String {
    try_run(program, arguments, input).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// The same for a program that may fail; then everything it said.
pub fn try_run(program: &Path, arguments: &[&str], input: &[u8]) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // In a thread of its own: a large input and a large output would wait for each other.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("our child");
    writer.join().expect("the writer ends");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} {}: {}\n{printed}{complaint}", program.display(), arguments.join(" "), output.status))
}
