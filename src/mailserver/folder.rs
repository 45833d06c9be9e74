use super::departed::Departed;
use super::flags::Flags;
use super::numbering::Numbering;
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
    /// The same wherever the account shows this message, copies and moves included (X-GM-MSGID).
    pub number: u64,
    /// The folder's [`super::MailServer::mod_sequence`] with which this message came or its flags last changed.
    pub mod_sequence: u64,
}

/// The messages of one folder in the order of their UIDs, and what a session needs to notice changes.
#[derive(Debug)]
pub(super) struct Folder {
    pub uid_validity: u32,
    pub uid_next: u32,
    /// Grows with every change, so that an unchanged folder costs a session one comparison: the highest mod-sequence
    /// (RFC 7162).
    pub version: u64,
    /// UIDs from here on have not been shown to any session that selected the folder for writing.
    pub recent_from: u32,
    /// `\Sent` and the like (RFC 6154).
    pub special_use: Option<&'static str>,
    messages: Vec<StoredMessage>,
    departed: Departed,
    numbering: Arc<Numbering>,
}

impl Folder {
    pub fn new(numbering: Arc<Numbering>, special_use: Option<&'static str>) -> Self {
        Self {
            uid_validity: numbering.uid_validity(),
            uid_next: 1,
            // Mod-sequences are positive.
            version: 1,
            recent_from: 1,
            special_use,
            messages: Vec::new(),
            departed: Departed::default(),
            numbering,
        }
    }

    pub fn messages(&self) -> &[StoredMessage] {
        &self.messages
    }

    pub fn message(&self, uid: u32) -> Option<&StoredMessage> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok().map(|index| &self.messages[index])
    }

    /// Adds a new message and returns its UID.
    pub fn append(&mut self, raw: Arc<[u8]>, flags: Flags, date: Timestamp) -> u32 {
        let number = self.numbering.message();
        self.add(raw, flags, date, number)
    }

    /// Adds a message that the account has already, and returns its UID here.
    pub fn add_copy(&mut self, original: &StoredMessage) -> u32 {
        self.add(original.raw.clone(), original.flags.clone(), original.date, original.number)
    }

    fn add(&mut self, raw: Arc<[u8]>, flags: Flags, date: Timestamp, number: u64) -> u32 {
        let uid = self.uid_next;
        self.uid_next = self.uid_next.saturating_add(1);
        self.version += 1;
        self.messages.push(StoredMessage { uid, flags, date, raw, number, mod_sequence: self.version });
        uid
    }

    /// Changes the flags of a message and returns it as it is then; a change to nothing new is no change.
    pub fn set_flags(&mut self, uid: u32, change: impl FnOnce(&mut Flags)) -> Option<&StoredMessage> {
        let index = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        let message = &mut self.messages[index];
        let before = message.flags.clone();
        change(&mut message.flags);
        if message.flags != before {
            self.version += 1;
            message.mod_sequence = self.version;
        }
        Some(message)
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
            self.departed.add(self.version, &gone, self.numbering.expunged_kept);
        }
        gone
    }

    /// The UIDs that left after a mod-sequence, ascending. If that is too long ago to know, all that ever left.
    pub fn departed_after(&self, mod_sequence: u64) -> Vec<u32> {
        let all = || (1..self.uid_next).filter(|&uid| self.message(uid).is_none()).collect();
        self.departed.after(mod_sequence).unwrap_or_else(all)
    }

    pub fn renumber(&mut self, uid_validity: u32) {
        self.uid_validity = uid_validity;
        self.version += 1;
        self.departed = Departed::default();
        self.uid_next = 1;
        self.recent_from = 1;
        for message in &mut self.messages {
            message.uid = self.uid_next;
            message.mod_sequence = self.version;
            self.uid_next += 1;
        }
    }
}
