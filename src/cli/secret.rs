//! Secrets on their way in: from a prompt, standard input or a file; never an argument.

use super::exit::Failure;
use secrecy::SecretString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// How long a secret may be, in bytes; what the API takes.
const LIMIT: usize = 65_535;

/// The first line's worth of a file, or of standard input where the path is `-`: all of it but the last line's end.
pub fn read(path: &Path) -> Result<SecretString, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("{} cannot be read: {error}.", path.display()));
    if path == Path::new("-") {
        return take(io::stdin().lock(), "Standard input");
    }
    take(File::open(path).map_err(failed)?, &path.display().to_string())
}

fn take(source: impl Read, name: &str) -> Result<SecretString, Failure> {
    // Room for all of it from the start: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LIMIT + 3));
    source
        .take(LIMIT as u64 + 3)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("{name} cannot be read: {error}.")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.len() > LIMIT || line.contains(['\n', '\r', '\0']) {
        return Err(Failure::failed(format!("{name} must hold one line with the secret, of at most {LIMIT} bytes.")));
    }
    Ok(SecretString::from(line))
}

/// Asks for it without showing it. `None` where nobody can be asked, or where nothing was typed.
pub fn ask(question: &str) -> Result<Option<SecretString>, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let typed = rpassword::prompt_password(question)
        .map(Zeroizing::new)
        .map_err(|error| Failure::failed(format!("The password cannot be read: {error}.")))?;
    Ok((!typed.is_empty()).then(|| SecretString::from(typed.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_secret_is_one_line_without_its_end() {
        for (text, secret) in [("a b\n", "a b"), ("a\r\n", "a"), (" a ", " a "), ("ü", "ü")] {
            assert_eq!(take(text.as_bytes(), "x").unwrap().expose_secret(), secret);
        }
        let long = "x".repeat(LIMIT + 1);
        for bad in [&b""[..], b"\n", b"a\nb\n", b"\xff", b"a\0b", long.as_bytes()] {
            assert!(take(bad, "x").is_err());
        }
    }
}
