use super::flags::Flags;
use crate::domain::time::Timestamp;
use std::sync::Arc;

/// A message in a folder. The bytes are shared between copies.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    pub uid: u32,
    pub flags: Flags,
    /// INTERNALDATE.
    pub date: Timestamp,
    /// The message byte for byte.
    pub raw: Arc<[u8]>,
    /// The folder's version with which this message or its flags last changed.
    pub(super) changed: u64,
}

/// The messages of one folder in the order of their UIDs, and what a session needs to notice changes.
#[derive(Debug)]
pub(super) struct Folder {
    pub uid_validity: u32,
    pub uid_next: u32,
    /// Grows with every change, so that an unchanged folder costs a session one comparison.
    pub version: u64,
    /// UIDs from here on have not been shown to any session that selected the folder for writing.
    pub recent_from: u32,
    /// `\Sent` and the like (RFC 6154).
    pub special_use: Option<&'static str>,
    messages: Vec<StoredMessage>,
}

impl Folder {
    pub fn new(uid_validity: u32, special_use: Option<&'static str>) -> Self {
        Self { uid_validity, uid_next: 1, version: 0, recent_from: 1, special_use, messages: Vec::new() }
    }

    pub fn messages(&self) -> &[StoredMessage] {
        &self.messages
    }

    pub fn message(&self, uid: u32) -> Option<&StoredMessage> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok().map(|index| &self.messages[index])
    }

    pub fn append(&mut self, raw: Arc<[u8]>, flags: Flags, date: Timestamp) -> u32 {
        let uid = self.uid_next;
        self.uid_next = self.uid_next.saturating_add(1);
        self.version += 1;
        self.messages.push(StoredMessage { uid, flags, date, raw, changed: self.version });
        uid
    }

    /// Changes the flags of a message and returns what they are then; a change to nothing new is no change.
    pub fn set_flags(&mut self, uid: u32, change: impl FnOnce(&mut Flags)) -> Option<&Flags> {
        let index = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        let message = &mut self.messages[index];
        let before = message.flags.clone();
        change(&mut message.flags);
        if message.flags != before {
            self.version += 1;
            message.changed = self.version;
        }
        Some(&message.flags)
    }

    /// Takes messages out and returns their UIDs.
    pub fn remove(&mut self, mut unwanted: impl FnMut(&StoredMessage) -> bool) -> Vec<u32> {
        let mut gone = Vec::new();
        self.messages.retain(|message| {
            let go = unwanted(message);
            if go {
                gone.push(message.uid);
            }
            !go
        });
        if !gone.is_empty() {
            self.version += 1;
        }
        gone
    }

    pub fn renumber(&mut self, uid_validity: u32) {
        self.uid_validity = uid_validity;
        self.version += 1;
        self.uid_next = 1;
        self.recent_from = 1;
        for message in &mut self.messages {
            message.uid = self.uid_next;
            message.changed = self.version;
            self.uid_next += 1;
        }
    }
}
