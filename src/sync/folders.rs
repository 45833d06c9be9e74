//! Which of a server's folders are synced.

use super::source::Folders;
use crate::connect::imap::{ImapFolder, sent_folder};

/// The inbox, and the sent folder if there is one.
pub(super) fn wanted(inbox: &str, folders: &[ImapFolder]) -> Folders {
    Folders { inbox: inbox.to_owned(), sent: sent_folder(inbox, folders).map(|folder| folder.name.clone()) }
}
