//! Which of a server's folders are synced.

use super::ingest::FolderRole;
use super::source::WantedFolder;
use crate::connect::imap::{ImapFolder, sent_folder};
use crate::domain::folder_choice::chooses;
use std::collections::HashSet;

/// How many folders of one mailbox are synced; those that are listed first.
const LIMIT: usize = 500;

/// The inbox, the sent folder if there is one, and those that `choice` takes in (a list of
/// [`crate::domain::folder_choice`]); in this order, each once.
pub(super) fn wanted(inbox: &str, folders: &[ImapFolder], choice: Option<&str>) -> Vec<WantedFolder> {
    let title = |name: &str| {
        folders.iter().find(|folder| folder.name == name).map_or_else(|| name.to_owned(), |folder| folder.title.clone())
    };
    let mut wanted = vec![WantedFolder { name: inbox.to_owned(), title: title(inbox), role: FolderRole::Inbox }];
    if let Some(sent) = sent_folder(inbox, folders) {
        wanted.push(WantedFolder { name: sent.name.clone(), title: sent.title.clone(), role: FolderRole::Sent });
    }
    let Some(choice) = choice else { return wanted };
    let mut known: HashSet<String> = wanted.iter().map(|folder| folder.name.clone()).collect();
    for folder in folders.iter().filter(|folder| folder.selectable && !folder.name.eq_ignore_ascii_case(inbox)) {
        if wanted.len() == LIMIT {
            tracing::warn!(limit = LIMIT, "the mailbox chooses more folders than are synced");
            break;
        }
        if chooses(choice, &folder.title, folder.special) && known.insert(folder.name.clone()) {
            let (name, title) = (folder.name.clone(), folder.title.clone());
            wanted.push(WantedFolder { name, title, role: FolderRole::Other });
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::folder_choice::SpecialUse;

    fn folder(name: &str, title: &str, special: Option<SpecialUse>) -> ImapFolder {
        ImapFolder { name: name.into(), title: title.into(), delimiter: Some("/".into()), special, selectable: true }
    }

    fn names(choice: Option<&str>, folders: &[ImapFolder]) -> Vec<String> {
        wanted("INBOX", folders, choice).into_iter().map(|folder| folder.name).collect()
    }

    #[test]
    fn inbox_and_sent_come_first_and_once_and_others_by_choice() {
        let closed = ImapFolder { selectable: false, ..folder("Closed", "Closed", None) };
        let folders = [
            folder("Archive", "Archive", Some(SpecialUse::Archive)),
            folder("Entw&APw-rfe", "Entwürfe", Some(SpecialUse::Drafts)),
            folder("Inbox", "Inbox", None),
            folder("Sent", "Sent", Some(SpecialUse::Sent)),
            folder("Archive", "Archive", Some(SpecialUse::Archive)),
            closed,
        ];
        assert_eq!(names(None, &folders), ["INBOX", "Sent"]);
        assert_eq!(names(Some("*\n!\\Drafts"), &folders), ["INBOX", "Sent", "Archive"]);
        assert_eq!(names(Some("entwürfe"), &folders), ["INBOX", "Sent", "Entw&APw-rfe"]);
    }

    #[test]
    fn a_server_with_very_many_folders_is_synced_in_part() {
        let folders: Vec<ImapFolder> = (0..2_000).map(|n| folder(&format!("F{n}"), &format!("F{n}"), None)).collect();
        assert_eq!(names(Some("*"), &folders).len(), LIMIT);
    }
}
