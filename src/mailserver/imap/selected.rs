use super::parse::Fault;
use super::resync::Dialect;
use super::sequence::written;
use super::session::Session;
use crate::mailserver::account::Account;
use crate::mailserver::flags::Flags;
use crate::mailserver::folder::{Folder, StoredMessage};
use crate::mailserver::store::Unknown;
use std::io;
use std::sync::Arc;

/// A session's view of the folder that it selected. Sequence numbers are places in `uids`; they move only when the
/// session has told its client so.
pub(super) struct Selected {
    pub account: Arc<Account>,
    pub folder: String,
    pub read_only: bool,
    pub uids: Vec<u32>,
    uid_validity: u32,
    /// The folder's version that the client knows.
    version: u64,
    /// Messages from this UID on are `\Recent` in this session.
    recent_from: u32,
}

/// A message by the place and the UID that the client knows it by.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub sequence: u32,
    pub uid: u32,
}

impl Selected {
    /// Opens a folder; returns the untagged responses of SELECT too. `highest` turns the highest mod-sequence into the
    /// one that tells of it.
    pub fn open(
        account: Arc<Account>,
        name: &str,
        read_only: bool,
        highest: impl FnOnce(u64) -> String,
    ) -> Result<(Self, String), Unknown> {
        let opened = account.change(name, |folder| {
            let recent_from = folder.recent_from;
            if !read_only {
                folder.recent_from = folder.uid_next;
            }
            let uids: Vec<u32> = folder.messages().iter().map(|message| message.uid).collect();
            let recent = uids.iter().filter(|&&uid| uid >= recent_from).count();
            let unseen = folder.messages().iter().position(|message| !message.flags.contains("\\Seen"));
            let mut said = vec![format!("{FLAGS}* {} EXISTS\r\n* {recent} RECENT\r\n", uids.len())];
            if let Some(index) = unseen {
                said.push(format!("* OK [UNSEEN {}] First unseen\r\n", index + 1));
            }
            said.push(format!("* OK [UIDVALIDITY {}] UIDs valid\r\n", folder.uid_validity));
            said.push(format!("* OK [UIDNEXT {}] Next UID\r\n", folder.uid_next));
            said.push(highest(folder.version));
            said.push(if read_only { "* OK [PERMANENTFLAGS ()] None\r\n" } else { PERMANENT_FLAGS }.to_owned());
            (uids, folder.uid_validity, folder.version, recent_from, said.concat())
        });
        let (uids, uid_validity, version, recent_from, said) = opened?;
        let folder = name.to_owned();
        Ok((Self { account, folder, read_only, uids, uid_validity, version, recent_from }, said))
    }

    /// Every message in the view, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        (1..).zip(&self.uids).map(|(sequence, &uid)| Place { sequence, uid })
    }

    /// What `*` stands for.
    pub fn last(&self, by_uid: bool) -> u32 {
        if by_uid { self.uids.last().copied().unwrap_or(0) } else { self.exists() }
    }

    pub fn is_recent(&self, uid: u32) -> bool {
        uid >= self.recent_from
    }

    /// Flags as this session shows them.
    pub fn flags(&self, uid: u32, flags: &Flags) -> String {
        let shown = flags.to_string();
        let gap = if shown.is_empty() { "" } else { " " };
        if self.is_recent(uid) { format!("\\Recent{gap}{shown}") } else { shown }
    }

    /// A message's flags and, if so wished, their mod-sequence, as the items of a FETCH response.
    pub fn told(&self, message: &StoredMessage, dialect: Dialect) -> String {
        let flags = self.flags(message.uid, &message.flags);
        let told = format!("FLAGS ({flags})");
        if dialect.mod_sequences { format!("{told} MODSEQ ({})", message.mod_sequence) } else { told }
    }

    /// Changes the folder; the client hears of it from the command that does so, and not again as news.
    pub fn change<T>(&mut self, work: impl FnOnce(&mut Folder) -> T) -> Result<T, Unknown> {
        let known = self.version;
        let (result, up_to_date, version) = self.account.change(&self.folder, |folder| {
            let up_to_date = folder.version == known;
            (work(folder), up_to_date, folder.version)
        })?;
        if up_to_date {
            self.version = version;
        }
        Ok(result)
    }

    /// Forgets messages (ascending); returns the responses that tell the client so, in the same breath.
    pub fn forget(&mut self, uids: &[u32], dialect: Dialect) -> String {
        let mut gone = Vec::with_capacity(uids.len());
        let mut places = Vec::with_capacity(uids.len());
        for (sequence, uid) in (1_u32..).zip(&self.uids) {
            if uids.binary_search(uid).is_ok() {
                gone.push(*uid);
                places.push(sequence);
            }
        }
        self.uids.retain(|uid| gone.binary_search(uid).is_err());
        if dialect.vanished {
            return if gone.is_empty() { String::new() } else { format!("* VANISHED {}\r\n", written(&gone)) };
        }
        // From the end, so that a number said does not move the ones to come.
        let said: Vec<String> = places.iter().rev().map(|place| format!("* {place} EXPUNGE\r\n")).collect();
        said.concat()
    }

    /// What has changed since the client was last told: EXPUNGE, EXISTS, RECENT and flags, to be said in this order.
    /// `None` if the folder is gone or numbered anew, after which a session cannot go on.
    pub fn news(&mut self, dialect: Dialect) -> Option<String> {
        let account = self.account.clone();
        account.read(&self.folder.clone(), |folder| self.compare(folder, dialect)).ok().flatten()
    }

    fn compare(&mut self, folder: &Folder, dialect: Dialect) -> Option<String> {
        if folder.uid_validity != self.uid_validity {
            return None;
        }
        if folder.version == self.version {
            return Some(String::new());
        }
        let mut said = Vec::new();
        let before = self.uids.len();
        let gone: Vec<u32> = self.uids.iter().copied().filter(|&uid| folder.message(uid).is_none()).collect();
        said.push(self.forget(&gone, dialect));
        let known = self.uids.last().copied().unwrap_or(0);
        let kept = self.uids.len();
        self.uids.extend(folder.messages().iter().map(|message| message.uid).filter(|&uid| uid > known));
        if self.uids.len() != kept || before != kept {
            let recent = self.uids.iter().filter(|&&uid| self.is_recent(uid)).count();
            said.push(format!("* {} EXISTS\r\n* {recent} RECENT\r\n", self.uids.len()));
        }
        for place in self.places().take(kept) {
            let Some(message) = folder.message(place.uid) else { continue };
            if message.mod_sequence > self.version {
                let told = self.told(message, dialect);
                said.push(format!("* {} FETCH (UID {} {told})\r\n", place.sequence, place.uid));
            }
        }
        self.version = folder.version;
        Some(said.concat())
    }

    fn exists(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }
}

const FLAGS: &str = "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n";
const PERMANENT_FLAGS: &str = "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Limited\r\n";

impl Session {
    /// The selected folder, or the complaint that there is none.
    pub(super) fn selected(&mut self) -> Result<&mut Selected, Fault> {
        self.selected.as_mut().ok_or(Fault::Bad("No folder selected"))
    }

    /// The same for a command that changes it.
    pub(super) fn writable(&mut self) -> Result<&mut Selected, Fault> {
        let selected = self.selected()?;
        if selected.read_only { Err(Fault::No("[READ-ONLY] Folder is read-only".into())) } else { Ok(selected) }
    }

    /// Tells the client what others changed in its folder.
    pub(super) fn tell_news(&mut self) -> io::Result<()> {
        let dialect = self.dialect();
        let Some(selected) = &mut self.selected else { return Ok(()) };
        if let Some(news) = selected.news(dialect) {
            self.wire.put(news);
            return Ok(());
        }
        self.wire.put("* BYE The selected folder is not what it was\r\n");
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the selected folder is not what it was"))
    }
}
