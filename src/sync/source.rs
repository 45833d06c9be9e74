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
    /// The provider's own numbers of the message and of its thread.
    pub provider_numbers: Option<(u64, u64)>,
}

/// A message that is stored already and was met at another place, or under another number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub uid: u32,
    pub message: u64,
    pub flags: Vec<String>,
}

/// What tells a message without its text.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Without angle brackets.
    pub message_id: Option<&'a str>,
    pub size: Option<u64>,
    pub internal_date: Option<Timestamp>,
    /// The provider's own number of it.
    pub provider_id: Option<u64>,
}

/// The id of the stored message that a sighting is of, if there is exactly one.
pub type Find = Box<dyn Fn(&Sighting) -> Option<u64>>;

/// Finds the stored message that a sighting is of, if there is exactly one. Whether it goes by the Message-ID decides
/// what is asked of the server, and whether messages from before the first sync's horizon are looked at.
pub struct Recognise {
    pub by_message_id: bool,
    pub find: Find,
}

/// Some messages, and the cursor that is true once they are stored along with all batches before this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Newest first. May be empty where only the cursor moves: to the end of a backfill, or past messages that are gone.
    pub messages: Vec<Fetched>,
    pub known: Vec<Known>,
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

/// The folders of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Those that are synced, the inbox first.
    pub wanted: Vec<WantedFolder>,
    /// The server's names of all that there are; `None` where the list may not be complete.
    pub listed: Option<Vec<String>>,
}

/// How much of a folder is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is newer than the cursor.
    Newer,
    /// That, and then what is older, down to the first sync's horizon.
    Whole,
}

/// Where the sync of a folder takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    First,
    Resumed,
    /// The server has numbered the messages anew: it is as if for the first time, but what was stored is still stored,
    /// and whoever stores has to recognise it by the messages themselves.
    Renumbered,
}

/// What is stored of the open folder, as far as finding changes needs to know it.
pub trait Stored {
    /// Up to `limit` stored UIDs above `uid`, ascending.
    fn uids_after(&self, uid: u32, limit: usize) -> Result<Vec<u32>, Failure>;
}

/// What changed among the messages that are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// UIDs with their flags; many may be as they were.
    pub flags: Vec<(u32, Vec<String>)>,
    /// UIDs that the server has no longer, ascending.
    pub gone: Vec<u32>,
    /// UIDs between the ends of the cursor that the server has and the store has not, ascending.
    pub missing: Vec<u32>,
    /// What becomes true of the cursor once all that is stored: its fields beside the UIDs.
    pub cursor: FolderCursor,
}

/// A mail server, logged in.
///
/// A folder is opened, begun, and then asked for its batches and its changes. Together the batches are everything above
/// `known.high`, oldest batch first (the cursor has no room for a hole), then everything older than `known.low` down to
/// the first sync's horizon, newest first. Each message that stays on the server comes exactly once, also if the sync is
/// interrupted after any batch and begun again from that batch's cursor. Messages that arrive while batches are fetched
/// wait for the next sync. The next batch may be asked for while the last one is being committed, as long as commits stay
/// in order.
pub trait Source {
    /// The folders; `choice` names those to be synced beside the inbox and the sent folder, as
    /// [`crate::domain::folder_choice`] reads it.
    fn folders(&mut self, choice: Option<&str>) -> Result<Folders, Failure>;

    /// Opens a folder, by the server's name; its UIDVALIDITY.
    fn open(&mut self, folder: &str) -> Result<u32, Failure>;

    /// Finds out what is new in the open folder since `known`.
    fn begin(
        &mut self,
        known: Option<FolderCursor>,
        part: Part,
        recognise: Option<Recognise>,
    ) -> Result<Beginning, Failure>;

    /// Whether the provider has numbers of its own for messages, which are the same in every folder.
    fn has_provider_numbers(&mut self) -> Result<bool, Failure>;

    /// What is to be stored next; `None` once the folder is as new as when it was begun.
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure>;

    /// What changed since `known` among the messages that are `stored`, once all batches are: flags, and messages that
    /// went. Of a folder that was begun for the first time only the cursor.
    fn changes(&mut self, stored: &dyn Stored) -> Result<Changes, Failure>;

    /// Asks for messages between the ends of the cursor; they come as batches.
    fn fetch_missing(&mut self, uids: Vec<u32>);

    /// Whether the source can go on, after a failure, with another folder.
    fn is_usable(&self) -> bool;

    /// Says good-bye, within a few seconds.
    fn close(&mut self);
}
