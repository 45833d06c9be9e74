//! The binary under test, and a home in which it finds nothing but what a test put there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub struct Binary;

impl Binary {
    /// The binary that cargo built for this test.
    pub fn path() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_postroom"))
    }
}

/// A home: data, configuration and key, apart from the user's own. Survives restarts of the server, not the test.
pub struct Home {
    folder: TempDir,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("home-").tempdir().expect("a temporary folder");
        for name in ["data", "config", "state", "run"] {
            fs::create_dir(folder.path().join(name)).expect("a folder in the home");
        }
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What `--data-dir` names.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// What `POSTROOM_MASTER_KEY_FILE` names; the product makes it.
    pub fn key_file(&self) -> PathBuf {
        self.path().join("master.key")
    }

    /// What `--config` names, once [`Self::configure`] wrote it.
    pub fn config_file(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    /// Writes the configuration file (TOML); every command from now on gets it.
    pub fn configure(&self, toml: &str) {
        fs::write(self.config_file(), toml).expect("the configuration is written");
    }

    /// A command with this home's environment and nothing of the tests' own but the search path.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Binary::path());
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("TZ", "UTC")
            .env("NO_COLOR", "1")
            .env("POSTROOM_MASTER_KEY_FILE", self.key_file());
        command
    }

    /// The same with `--data-dir` and, where there is one, `--config`.
    pub fn command_on_data(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--data-dir").arg(self.data());
        if self.config_file().exists() {
            command.arg("--config").arg(self.config_file());
        }
        command
    }

    /// Runs `postroom ARGUMENTS --data-dir …` to its end.
    pub fn run(&self, arguments: &[&str], input: &str) -> Finished {
        finish(&mut self.command_on_data(arguments), input)
    }
}

/// A command that ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The standard output of a command that must have succeeded, without the last line's end.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout.trim_end()
    }

    /// Standard error of a command that must have ended with this exit code.
    #[track_caller]
    pub fn failed(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.stderr.trim_end()
    }
}

pub fn finish(command: &mut Command, input: &str) -> Finished {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    // A command that ends without reading its input is no failure.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("our child");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Home {
    /// Makes the first administrator and returns an API token of theirs.
    pub fn administrator(&self) -> String {
        self.run(&["setup", "--email", "admin@example.org"], "").ok();
        self.run(&["token", "create", "--user", "admin@example.org", "--quiet"], "").ok().trim().to_owned()
    }
}
