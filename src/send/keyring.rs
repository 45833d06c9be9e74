//! The DKIM keys of this instance: a directory with one file per key, named like the DNS record that tells of it
//! (`SELECTOR._domainkey.DOMAIN.pem`). Read once, at the start; what is wrong with any of them stops the start, because
//! mail that should be signed and is not ends in spam folders unseen.

use crate::domain::address::Address;
use crate::domain::time::Timestamp;
use crate::mime::{KeyProblem, Signer, SigningKey, sign};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// How many keys there may be, over all domains.
const KEYS: usize = 1000;
/// How many of them for one domain: one of each algorithm, and those that are being replaced.
const PER_DOMAIN: usize = 4;
/// The longest key file, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;
const MARK: &str = "._domainkey.";
const ENDING: &str = ".pem";

/// The keys by domain, in ASCII. Cheap to clone; the default signs nothing.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<BTreeMap<String, Vec<Named>>>);

#[derive(Debug)]
struct Named {
    selector: String,
    key: SigningKey,
}

/// Why the keys cannot be used; displays as a sentence that names the file.
#[derive(Debug)]
pub enum KeyringError {
    Unreadable {
        path: PathBuf,
        why: io::Error,
    },
    /// Others than its owner and group may read it.
    Exposed {
        path: PathBuf,
        mode: u32,
    },
    Name {
        path: PathBuf,
    },
    Key {
        path: PathBuf,
        problem: KeyProblem,
    },
    TooMany {
        path: PathBuf,
    },
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => {
                write!(f, "The DKIM keys in {} cannot be read: {why}. See send.dkim_keys.", path.display())
            }
            Self::Exposed { path, mode } => write!(
                f,
                "The DKIM key {} may be used by everybody on this machine (mode {mode:04o}). Run: chmod o= {0:?}",
                path.display()
            ),
            Self::Name { path } => write!(
                f,
                "The name of the DKIM key {} does not say whom it signs for; call it SELECTOR._domainkey.DOMAIN.pem.",
                path.display()
            ),
            Self::Key { path, problem } => write!(f, "The DKIM key {} cannot sign: {problem}.", path.display()),
            Self::TooMany { path } => write!(
                f,
                "There are too many DKIM keys in {}: at most {KEYS}, and {PER_DOMAIN} for one domain.",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeyringError {}

impl Keyring {
    /// Reads every `.pem` file of a directory.
    pub fn load(directory: &Path) -> Result<Self, KeyringError> {
        let unreadable = |why| KeyringError::Unreadable { path: directory.to_owned(), why };
        let mut keys: BTreeMap<String, Vec<Named>> = BTreeMap::new();
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|ending| ending == "pem") {
                files.push(path);
            }
            if files.len() > KEYS {
                return Err(KeyringError::TooMany { path: directory.to_owned() });
            }
        }
        // The same order at every start, and with it the same signatures.
        files.sort();
        for path in files {
            let (selector, domain) = named(&path).ok_or_else(|| KeyringError::Name { path: path.clone() })?;
            let key = SigningKey::from_pem(&pem(&path)?)
                .map_err(|problem| KeyringError::Key { path: path.clone(), problem })?;
            let of_domain = keys.entry(domain).or_default();
            if of_domain.len() == PER_DOMAIN {
                return Err(KeyringError::TooMany { path });
            }
            of_domain.push(Named { selector, key });
        }
        Ok(Self(Arc::new(keys)))
    }

    /// The names and texts of the DNS records (TXT) to publish.
    pub fn records(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().flat_map(|(domain, keys)| {
            keys.iter().map(move |named| (format!("{}{MARK}{domain}", named.selector), named.key.record()))
        })
    }

    /// The message with the signatures of its author's domain in front; as it is where there is no key. `None` if a key
    /// fails.
    pub(super) fn sign(&self, domain: &str, message: Vec<u8>, at: Timestamp) -> Option<Vec<u8>> {
        let Some(keys) = self.0.get(domain) else { return Some(message) };
        let signers: Vec<Signer<'_>> =
            keys.iter().map(|named| Signer { domain, selector: &named.selector, key: &named.key }).collect();
        sign(&message, &signers, at)
    }
}

/// Selector and domain that a file is named for, in ASCII and small letters.
fn named(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
    let (selector, domain) = name.split_once(MARK)?;
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
    };
    let domain = Address::parse(&format!("x@{domain}")).ok()?.domain_ascii().to_owned();
    let fits = selector.split('.').all(label) && domain.split('.').all(label);
    fits.then(|| (selector.to_ascii_lowercase(), domain))
}

fn pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let unreadable = |why| KeyringError::Unreadable { path: path.to_owned(), why };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_LIMIT {
        return Err(unreadable(io::Error::other("not a file, or too long for a key")));
    }
    if metadata.mode() & 0o007 != 0 {
        return Err(KeyringError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o777 });
    }
    // With its full size from the start: what grows leaves copies behind.
    let mut pem = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_LIMIT + 1).unwrap_or(0)));
    File::open(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut pem)).map_err(unreadable)?;
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const RSA: &[u8] = include_bytes!("../mime/dkim/test_keys/rsa_2048.pem");

    fn place(folder: &Path, name: &str, pem: &[u8], mode: u32) {
        let path = folder.join(name);
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_are_found_by_the_names_of_their_records() {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path(), "Mail.2026._domainkey.Bücher.Example.pem", RSA, 0o640);
        place(folder.path(), "README", b"no key", 0o644);
        let keys = Keyring::load(folder.path()).unwrap();
        let records: Vec<(String, String)> = keys.records().collect();
        assert_eq!(records[0].0, "mail.2026._domainkey.xn--bcher-kva.example");
        assert!(records.len() == 1 && records[0].1.starts_with("v=DKIM1; k=rsa; p=MII"), "{records:?}");
        let message = b"From: a@example.org\r\n\r\nx\r\n".to_vec();
        let now = Timestamp::from_millis(1_800_000_000_000);
        assert_eq!(keys.sign("example.org", message.clone(), now), Some(message.clone()), "a domain without a key");
        let signed = keys.sign("xn--bcher-kva.example", message.clone(), now).unwrap();
        assert!(signed.starts_with(b"DKIM-Signature: ") && signed.ends_with(&message));
        assert!(!format!("{keys:?}").contains("MII"));
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_file() {
        for (name, pem, mode, wanted) in [
            ("mail.example.org.pem", RSA, 0o600, "SELECTOR._domainkey.DOMAIN.pem"),
            ("-._domainkey.example.org.pem", RSA, 0o600, "SELECTOR._domainkey.DOMAIN.pem"),
            ("m._domainkey..pem", RSA, 0o600, "SELECTOR._domainkey.DOMAIN.pem"),
            ("m._domainkey.example.org.pem", RSA, 0o644, "chmod o="),
            ("m._domainkey.example.org.pem", b"nothing", 0o600, "no private key in PEM"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            place(folder.path(), name, pem, mode);
            let error = Keyring::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains(name), "{error}");
        }
        let missing = Path::new("/nowhere/at/all");
        assert!(Keyring::load(missing).unwrap_err().to_string().contains("send.dkim_keys"));
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=PER_DOMAIN {
            place(folder.path(), &format!("m{number}._domainkey.example.org.pem"), RSA, 0o600);
        }
        assert!(matches!(Keyring::load(folder.path()), Err(KeyringError::TooMany { .. })));
    }
}
