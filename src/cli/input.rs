//! Files that a command is given, `-` being standard input.

use super::exit::Failure;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest that is read, in bytes; more than the API takes in one request.
const LIMIT: u64 = 32 << 20;

/// The largest list that is read to be sent in parts, in bytes.
const LIST_LIMIT: u64 = 1 << 30;

pub fn octets(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path, LIMIT)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("{} cannot be read: {error}.", path.display()));
    let mut octets = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(limit + 1).read_to_end(&mut octets).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut octets).map_err(failed)?;
    }
    if octets.len() as u64 > limit {
        return Err(Failure::failed(format!("{} is larger than {} MiB.", path.display(), limit >> 20)));
    }
    Ok(octets)
}

pub fn text(path: &Path) -> Result<String, Failure> {
    utf8(path, octets(path)?)
}

/// A list of which no request takes all.
pub fn list(path: &Path) -> Result<String, Failure> {
    utf8(path, read(path, LIST_LIMIT)?)
}

fn utf8(path: &Path, octets: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(octets)
        .map_err(|_| Failure::failed(format!("{} is not UTF-8 text. Convert it first.", path.display())))
}
