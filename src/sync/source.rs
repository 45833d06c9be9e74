//! What a mail server must be able to answer for its mailbox to be synced.
//!
//! Every call blocks and belongs on a thread that may. After a failure a source is of no more use, unless it says so:
//! what was committed stays, and the next sync goes on from the stored cursor.

use super::ingest::FolderRole;
use crate::domain::failure::Failure;
use crate::domain::message::FolderCursor;
use crate::domain::time::Timestamp;

/// One message as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub uid: u32,
    /// Without `\Recent`, which says nothing about the message.
    pub flags: Vec<String>,
    /// When the server received it.
    pub internal_date: Option<Timestamp>,
    /// The size that the server gives, in bytes.
    pub size: u32,
    /// The message byte for byte; its header only (perhaps empty) if `truncated`.
    pub raw: Vec<u8>,
    /// The message is larger than the limit, or the server would not give more of it.
    pub truncated: bool,
}

/// Some messages, and the cursor that is true once they are stored along with all batches before this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Newest first. May be empty where only the cursor moves: to the end of a backfill, or past messages that are gone.
    pub messages: Vec<Fetched>,
    pub cursor: FolderCursor,
    /// How many messages of this folder are known to follow.
    pub remaining: u64,
}

/// A folder that is synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFolder {
    /// The server's name for it.
    pub name: String,
    /// The name that people see.
    pub title: String,
    pub role: FolderRole,
}

/// Where the sync of a folder takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    First,
    Resumed,
    /// The server has numbered the messages anew: it is as if for the first time, but what was stored is still stored,
    /// and whoever stores has to recognise it by the messages themselves.
    Renumbered {
        before: u32,
    },
}

/// A mail server, logged in.
///
/// After [`Source::begin`], batches come until `None`. Together they are everything above `known.high`, oldest batch
/// first (the cursor has no room for a hole), then everything older than `known.low` down to the first sync's horizon,
/// newest first. Each message that stays on the server comes exactly once, also if the sync is interrupted after any
/// batch and begun again from that batch's cursor. Messages that arrive while batches are fetched wait for the next sync.
/// The next batch may be asked for while the last one is being committed, as long as commits stay in order.
pub trait Source {
    /// The folders that are to be synced, the inbox first. `choice` names others beside it and the sent folder, as
    /// [`crate::domain::folder_choice`] reads it.
    fn folders(&mut self, choice: Option<&str>) -> Result<Vec<WantedFolder>, Failure>;

    /// Opens a folder and finds out what is new since `known`.
    fn begin(&mut self, folder: &str, known: Option<FolderCursor>) -> Result<Beginning, Failure>;

    /// Whether the source can go on, after a failure, with another folder.
    fn is_usable(&self) -> bool;

    /// What is to be stored next; `None` once the folder is as new as at [`Source::begin`].
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure>;

    /// Says good-bye, within a few seconds.
    fn close(&mut self);
}
