use super::space::Shortage;
use std::fmt;

/// What the store can fail with. None of it is the client's fault; `Busy` and `Full` ask to come
/// back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The disk or the file answered with an error; nothing of the unit of work was kept.
    Storage(String),
    /// A stored value cannot be read.
    Corrupt(String),
    /// Another process holds the store.
    InUse,
    /// The store was written by a newer version.
    NewerFormat { found: u32, known: u32 },
    /// The master key is not the one the store was made with.
    WrongKey(String),
    /// A secret could not be opened.
    Vault(String),
    /// Too many units of work are waiting.
    Busy,
    /// Too little disk space is left to take in anything new; nothing of the unit of work was kept.
    Full(Shortage),
    /// The writer has stopped: the instance is shutting down, or an earlier write failed.
    Stopped(String),
    /// The unit of work panicked; nothing of it was kept.
    Panicked(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(text) => write!(f, "The store could not be read or written: {text}."),
            Self::Corrupt(text) => write!(f, "The store holds a value that cannot be read: {text}."),
            Self::InUse => {
                f.write_str("Another postroom process holds the store. Stop it first, or talk to it over its socket.")
            }
            Self::NewerFormat { found, known } => write!(
                f,
                "The store has format {found}, but this version of postroom knows formats up to {known}. Install the newer version again; nothing was changed."
            ),
            Self::WrongKey(text) | Self::Vault(text) => f.write_str(text),
            Self::Full(shortage) => shortage.fmt(f),
            Self::Busy => f.write_str("Too many writes are waiting. Try again in a moment."),
            Self::Stopped(text) => write!(f, "The store accepts no more writes: {text}."),
            Self::Panicked(text) => write!(f, "A unit of work panicked and was taken back: {text}."),
        }
    }
}

impl std::error::Error for StoreError {}

macro_rules! from_redb {
    ($($error:ty),+) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Storage(error.to_string())
            }
        }
    )+};
}

from_redb!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            other => Self::Storage(other.to_string()),
        }
    }
}
