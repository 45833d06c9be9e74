//! What a session finds out.

use crate::domain::folder_choice::SpecialUse;
use crate::domain::time::Timestamp;

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
}
