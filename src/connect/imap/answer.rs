//! What a session finds out.

use crate::domain::folder_choice::SpecialUse;
use crate::domain::time::Timestamp;
use std::ops::RangeInclusive;

/// A folder as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapFolder {
    /// As the server writes it (modified UTF-7, RFC 3501 section 5.1.3).
    pub name: String,
    /// As people read it.
    pub title: String,
    /// What separates the levels of the name.
    pub delimiter: Option<String>,
    pub special: Option<SpecialUse>,
    /// Whether it can be opened at all.
    pub selectable: bool,
}

/// An opened folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderState {
    /// How many messages it has.
    pub exists: u32,
    /// `None` where the server gives none, or 0: it then has no lasting UIDs.
    pub uid_validity: Option<u32>,
    /// The server's guess at the next UID; `None` where it gives none, or 0.
    pub uid_next: Option<u32>,
    /// The highest mod-sequence (RFC 7162); `None` where the server keeps none for this folder.
    pub mod_seq: Option<u64>,
}

/// What a server offers beyond the plain protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It tells which flags changed since a mod-sequence (RFC 7162 section 3.1).
    pub condstore: bool,
    /// It tells which messages went since then, too (RFC 7162 section 3.2).
    pub qresync: bool,
    /// It numbers messages and threads as Gmail does.
    pub gmail: bool,
}

/// What changed in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// UIDs with the flags that they have now, as the server gave them.
    pub flags: Vec<(u32, Vec<String>)>,
    /// Ranges of UIDs that the server has no longer; they may name many that never were.
    pub gone: Vec<RangeInclusive<u32>>,
    /// Whether `gone` is all that the server said.
    pub complete: bool,
}

/// What is known of a message without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub uid: u32,
    pub flags: Vec<String>,
    /// When the server received it (INTERNALDATE).
    pub received_at: Option<Timestamp>,
    /// RFC822.SIZE, in bytes; some servers only estimate it.
    pub size: Option<u64>,
    /// The Message-ID, without angle brackets, where it was asked for.
    pub message_id: Option<String>,
    /// Gmail's numbers of the message and of its thread.
    pub gmail: Option<(u64, u64)>,
}
