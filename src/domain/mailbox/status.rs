//! The health of a mailbox: what its two sides last met, and what state follows from it.

use super::folder_trouble::FolderTrouble;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The two things that a mailbox does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    Send,
    Sync,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Sync => "sync",
        }
    }
}

/// The state of one side, as `sendState` and `syncState` show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SideState {
    Ok,
    /// Held by a failure of the mailbox; probed again by itself.
    Paused,
    /// A limit delays the next mailing.
    Limited,
    /// Failing for the time being; retried.
    Erroring,
    /// The server refuses the credential.
    AuthFailed,
    Disabled,
    NotConfigured,
}

impl SideState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Paused => "paused",
            Self::Limited => "limited",
            Self::Erroring => "erroring",
            Self::AuthFailed => "authFailed",
            Self::Disabled => "disabled",
            Self::NotConfigured => "notConfigured",
        }
    }
}

/// What one side last met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SideStatus {
    pub errored_at: Option<Timestamp>,
    /// The end of the last run, well or not.
    pub finished_at: Option<Timestamp>,
    pub success_at: Option<Timestamp>,
    /// Since when an error stands that does not go away by itself.
    pub permanent_error_at: Option<Timestamp>,
    /// The failure that stands; cleared by a success, an edit of the settings or a passed test.
    pub failure: Option<Failure>,
    /// How many times in a row the side failed.
    pub failures: u32,
    /// While a failure stands: when it is tried again.
    pub probe_at: Option<Timestamp>,
    /// When a failure was last forgotten without a success.
    pub pardoned_at: Option<Timestamp>,
}

impl SideStatus {
    pub fn succeeded(&mut self, now: Timestamp) {
        *self = Self {
            errored_at: self.errored_at,
            finished_at: Some(now),
            success_at: Some(now),
            pardoned_at: self.pardoned_at,
            ..Self::default()
        };
    }

    /// Records a failure that concerns the mailbox or its host and when the next try is due.
    pub fn failed(&mut self, failure: Failure, now: Timestamp, probe_at: Timestamp) {
        self.errored_at = Some(now);
        self.finished_at = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.permanent_error_at = match failure.kind {
            FailureKind::Temporary | FailureKind::Doubt => None,
            FailureKind::Permanent | FailureKind::Auth | FailureKind::Quota | FailureKind::Config => {
                self.permanent_error_at.or(Some(now))
            }
        };
        self.probe_at = Some(probe_at);
        self.failure = Some(failure);
    }

    /// Forgets the standing failure, because the settings changed or a test passed: the next try is due at once. What was
    /// under way at `now` says nothing about it any more.
    pub fn pardoned(&mut self, now: Timestamp) {
        self.pardoned_at = Some(now);
        self.failure = None;
        self.failures = 0;
        self.probe_at = None;
        self.permanent_error_at = None;
    }

    /// The state that follows from what was met, for a side that is configured and enabled.
    pub fn state(&self) -> SideState {
        match self.failure.as_ref().map(|failure| failure.kind) {
            None => SideState::Ok,
            Some(FailureKind::Auth) => SideState::AuthFailed,
            Some(FailureKind::Temporary | FailureKind::Doubt) => SideState::Erroring,
            Some(FailureKind::Permanent | FailureKind::Quota | FailureKind::Config) => SideState::Paused,
        }
    }
}

/// Both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub send: SideStatus,
    pub sync: SideStatus,
    /// When the next regular sync is due, as the sync scheduler last decided.
    pub next_sync_at: Option<Timestamp>,
    /// Whether the server files what it accepts in the sent folder by itself; `None` as long as nothing showed it.
    pub files_sent_copies: Option<bool>,
    /// How many copies in a row the server did not file, as long as nothing shows whether it does.
    pub sent_copies_missed: u32,
    /// Folders that the server does not open, by the names that people see.
    pub folder_troubles: BTreeMap<String, FolderTrouble>,
}

impl Status {
    pub fn side(&self, side: Side) -> &SideStatus {
        match side {
            Side::Send => &self.send,
            Side::Sync => &self.sync,
        }
    }

    pub fn side_mut(&mut self, side: Side) -> &mut SideStatus {
        match side {
            Side::Send => &mut self.send,
            Side::Sync => &mut self.sync,
        }
    }
}
