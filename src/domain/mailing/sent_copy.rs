//! The copy of an accepted mailing in the mailbox's sent folder.

use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long after the acceptance `auto` looks whether the server has filed a copy of its own.
pub const COPY_DELAY: Duration = Duration::from_mins(1);

/// How often filing is tried.
pub const COPY_TRIES: u32 = 10;

/// How far the copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CopyState {
    /// It is to be looked for, and filed if it is not there.
    Wanted,
    /// We filed it.
    Filed,
    /// The server had filed one by itself.
    Found,
    /// It could not be filed, or is not wanted any more.
    GivenUp,
}

/// Our own copy of a mailing. There is at most one for a mailing, whatever happens to its recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCopy {
    pub state: CopyState,
    /// When it is looked for next.
    pub next: Timestamp,
    #[serde(default)]
    pub tries: u32,
    /// An APPEND may have left: a copy that is found may be our own, and says nothing about the server.
    #[serde(default)]
    pub begun: bool,
}

impl SentCopy {
    pub fn wanted(at: Timestamp) -> Self {
        Self { state: CopyState::Wanted, next: at, tries: 0, begun: false }
    }
}
