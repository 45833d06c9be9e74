//! The key file: one line of text, readable by its owner only, outside the data directory.

use crate::config::{KeyPlace, Places};
use crate::runtime::Random;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use zeroize::Zeroizing;

/// What the line in a key file starts with; the number is the format's version.
const PREFIX: &str = "postroom-key-1:";
/// A key file is about 60 bytes long; one that is longer than this is something else.
const FILE_LIMIT: usize = 128;

/// The 32 bytes under which everything is sealed. Wiped when dropped, never printed.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key that lives only as long as the process: for `demo` and for tests.
    pub fn ephemeral(random: &dyn Random) -> Self {
        let mut key = Self(Zeroizing::new([0; 32]));
        random.fill(key.0.as_mut_slice());
        key
    }

    fn to_line(&self) -> Zeroizing<String> {
        // Room for all of it from the start: a string that grows leaves copies of the key behind.
        let mut line = Zeroizing::new(String::with_capacity(FILE_LIMIT));
        line.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(self.0.as_slice(), &mut line);
        line.push('\n');
        line
    }

    fn from_line(line: &[u8], path: &Path) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(path.to_owned());
        let line = std::str::from_utf8(line).map_err(|_| malformed())?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let encoded = line.strip_suffix('\r').unwrap_or(line).strip_prefix(PREFIX).ok_or_else(malformed)?;
        let mut decoded = Zeroizing::new([0_u8; FILE_LIMIT]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, decoded.as_mut_slice()).map_err(|_| malformed())?;
        let mut key = Self(Zeroizing::new([0; 32]));
        if length != key.0.len() {
            return Err(KeyError::Length { path: path.to_owned(), length });
        }
        key.0.copy_from_slice(&decoded[..length]);
        Ok(key)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Where the master key is kept: a path that was found not to lie inside the data directory, so that a copy of that
/// directory is useless alone.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// Permission bits that must not be set.
    forbidden: u32,
}

impl KeyFile {
    /// A key file of our own: nobody but its owner may have any access to it.
    ///
    /// Errors: [`KeyError::InsideData`], following symbolic links as far as the paths exist.
    pub fn at(path: &Path, data_dir: &Path) -> Result<Self, KeyError> {
        Self::new(path, data_dir, 0o077)
    }

    /// A credential that systemd passed in: it may grant the service's user access by an access control list, which
    /// shows up in the group's bits; so only access by everybody is refused.
    pub fn credential(path: &Path, data_dir: &Path) -> Result<Self, KeyError> {
        Self::new(path, data_dir, 0o007)
    }

    /// The key file of an instance, as its configuration has decided.
    pub fn of(places: &Places) -> Result<Self, KeyError> {
        match &places.master_key {
            KeyPlace::File(path) => Self::at(path, &places.data_dir),
            KeyPlace::Credential(path) => Self::credential(path, &places.data_dir),
        }
    }

    fn new(path: &Path, data_dir: &Path, forbidden: u32) -> Result<Self, KeyError> {
        if resolve(path).starts_with(resolve(data_dir)) {
            return Err(KeyError::InsideData { path: path.to_owned(), data_dir: data_dir.to_owned() });
        }
        Ok(Self { path: path.to_owned(), forbidden })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the key. [`KeyError::Missing`] if there is no such file; every other error means that there is one which
    /// must not be used.
    pub fn load(&self) -> Result<MasterKey, KeyError> {
        let failed = |action| move |error| KeyError::io(action, &self.path, error);
        // Looked at before it is opened as well: opening a pipe would wait for a writer.
        self.refuse_if_exposed(&fs::metadata(&self.path).map_err(failed("read"))?)?;
        let file = File::open(&self.path).map_err(failed("read"))?;
        self.refuse_if_exposed(&file.metadata().map_err(failed("read"))?)?;
        let mut text = Zeroizing::new([0_u8; FILE_LIMIT + 1]);
        let mut length = 0;
        while length < text.len() {
            match (&file).read(&mut text[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(KeyError::io("read", &self.path, error)),
            }
        }
        if length > FILE_LIMIT {
            return Err(KeyError::Malformed(self.path.clone()));
        }
        MasterKey::from_line(&text[..length], &self.path)
    }

    /// Makes a new key. When this returns, the key is on disk to stay; a crash at any moment leaves either no file at
    /// the path or a whole one. A file that is already there is never touched: [`KeyError::Exists`].
    pub fn create(&self, random: &dyn Random) -> Result<MasterKey, KeyError> {
        let failed = |action| move |error| KeyError::io(action, &self.path, error);
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        make_directory(parent).map_err(failed("make the directory of"))?;
        let key = MasterKey::ephemeral(random);
        let mut suffix = [0; 8];
        random.fill(&mut suffix);
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.new", u64::from_be_bytes(suffix)));
        let draft = parent.join(name);
        let written = write_new(&draft, key.to_line().as_bytes()).and_then(|()| {
            // A link, not a rename: it fails if somebody else made a key meanwhile, where a rename would replace it.
            fs::hard_link(&draft, &self.path)
        });
        let removed = fs::remove_file(&draft);
        written.map_err(failed("create"))?;
        removed.map_err(failed("create"))?;
        sync_directory(parent).map_err(failed("create"))?;
        Ok(key)
    }

    fn refuse_if_exposed(&self, metadata: &fs::Metadata) -> Result<(), KeyError> {
        if !metadata.is_file() {
            return Err(KeyError::Malformed(self.path.clone()));
        }
        if metadata.mode() & self.forbidden != 0 {
            return Err(KeyError::Exposed { path: self.path.clone(), mode: metadata.mode() & 0o777 });
        }
        Ok(())
    }
}

/// Why there is no master key to work with. Each says what to do; none carries a part of the key.
#[derive(Debug)]
pub enum KeyError {
    /// There is no file at the path.
    Missing(PathBuf),
    /// A key was to be made where a file already is.
    Exists(PathBuf),
    /// The key would lie inside the data directory.
    InsideData { path: PathBuf, data_dir: PathBuf },
    /// Others than the owner may read or write the file.
    Exposed { path: PathBuf, mode: u32 },
    /// The file holds no key line.
    Malformed(PathBuf),
    /// The file's key has another length than 32 bytes.
    Length { path: PathBuf, length: usize },
    /// The system refused to read or write the file.
    Io { action: &'static str, path: PathBuf, error: io::Error },
}

impl KeyError {
    fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound if action == "read" => Self::Missing(path.to_owned()),
            ErrorKind::AlreadyExists if action == "create" => Self::Exists(path.to_owned()),
            _ => Self::Io { action, path: path.to_owned(), error },
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "There is no master key at {}. Put the key that belongs to this store back there, or name its place in \
                 POSTROOM_MASTER_KEY_FILE.",
                path.display()
            ),
            Self::Exists(path) => {
                write!(f, "{} exists already; a master key is never overwritten.", path.display())
            }
            Self::InsideData { path, data_dir } => write!(
                f,
                "The master key {} lies inside the data directory {}, so that whoever copies the data has the key too. \
                 Move it elsewhere and name its place in POSTROOM_MASTER_KEY_FILE.",
                path.display(),
                data_dir.display()
            ),
            Self::Exposed { path, mode } => write!(
                f,
                "The master key {} may be used by others than its owner (mode {mode:04o}). Run: chmod 600 {0:?}",
                path.display()
            ),
            Self::Malformed(path) => write!(
                f,
                "{} is not a master key: it should be a file with one line that starts with {PREFIX}. Put the right \
                 file there, or name its place in POSTROOM_MASTER_KEY_FILE.",
                path.display()
            ),
            Self::Length { path, length } => write!(
                f,
                "The master key in {} has {length} bytes instead of 32: it was cut or changed. Put an intact copy there.",
                path.display()
            ),
            Self::Io { action, path, error } => {
                write!(f, "Could not {action} the master key {}: {error}.", path.display())
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// The path as the system would follow it: links resolved as far as the path exists, the rest taken by its words.
fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        let (Ok(mut resolved), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) else { continue };
        for part in rest.components() {
            if part == Component::ParentDir {
                resolved.pop();
            } else {
                resolved.push(part);
            }
        }
        return resolved;
    }
    path
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Whatever the umask took away: the owner must be able to read it again.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes what is missing of a directory, for its owner only, and makes it durable.
fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for part in missing {
        match part.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent)?,
            _ => sync_directory(Path::new("."))?,
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
