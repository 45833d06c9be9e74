//! Files that a command is given, `-` being standard input.

use super::exit::Failure;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest that is read, in bytes; more than the API takes in one request.
const LIMIT: u64 = 32 << 20;

pub fn octets(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("{} cannot be read: {error}.", path.display()));
    let mut octets = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(LIMIT + 1).read_to_end(&mut octets).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(LIMIT + 1).read_to_end(&mut octets).map_err(failed)?;
    }
    if octets.len() as u64 > LIMIT {
        return Err(Failure::failed(format!("{} is larger than {} MiB.", path.display(), LIMIT >> 20)));
    }
    Ok(octets)
}

pub fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(octets(path)?)
        .map_err(|_| Failure::failed(format!("{} is not UTF-8 text. Convert it first.", path.display())))
}
