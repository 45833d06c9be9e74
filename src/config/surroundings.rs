//! The seam to the machine that the configuration is read on.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What the configuration needs to know of the machine. Tests bring their own.
pub trait Surroundings {
    /// An environment variable; `None` if it is unset or empty.
    fn variable(&self, name: &str) -> Option<String>;
    /// The text of a file of at most `limit` bytes; a longer one is an error.
    fn read(&self, path: &Path, limit: u64) -> io::Result<String>;
    fn exists(&self, path: &Path) -> bool;
    /// Whether root is running this.
    fn is_root(&self) -> bool;
    /// What relative paths in flags and variables are relative to.
    fn current_dir(&self) -> PathBuf;
}

/// The machine itself.
pub struct Machine;

impl Surroundings for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        // A value that is not UTF-8 becomes one that is refused where it matters, rather than silently absent.
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        // Opening a pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut text = String::new();
        File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
        if text.len() as u64 > limit {
            return Err(io::Error::other(format!("longer than {limit} bytes")));
        }
        Ok(text)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_root(&self) -> bool {
        // The effective user is the second number of the line (proc(5)). Without /proc nobody counts as root.
        fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| {
                let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
                Some(line.split_ascii_whitespace().nth(1)? == "0")
            })
            .unwrap_or(false)
    }

    fn current_dir(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
    }
}
