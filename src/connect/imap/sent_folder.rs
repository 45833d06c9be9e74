//! Which of a server's folders holds what was sent.

use super::answer::ImapFolder;
use crate::domain::folder_choice::SpecialUse;

/// What sent folders are called where the server does not say which one it is, the likelier names first: the last part
/// of a name, non-ASCII ones in modified UTF-7 as servers write them. Case does not matter.
const SENT: [&str; 16] = [
    "Sent",
    "Sent Items",
    "Sent Messages",
    "Sent Mail",
    "Gesendet",
    "Gesendete Objekte",
    "Gesendete Elemente",
    "Envoy&AOk-s",
    "Messages envoy&AOk-s",
    "&AMk-l&AOk-ments envoy&AOk-s",
    "Enviados",
    "Elementos enviados",
    "Inviata",
    "Posta inviata",
    "Verzonden items",
    "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-",
];

/// The sent folder, by what the server says or else by its name.
pub fn sent_folder<'a>(inbox: &str, folders: &'a [ImapFolder]) -> Option<&'a ImapFolder> {
    let open = || folders.iter().filter(|folder| folder.selectable && !folder.name.eq_ignore_ascii_case(inbox));
    let by_use = || open().find(|folder| folder.special == Some(SpecialUse::Sent));
    let by_name = || {
        let plain = |folder: &&ImapFolder| folder.special.is_none();
        SENT.iter().find_map(|name| open().filter(plain).find(|folder| last_part(folder).eq_ignore_ascii_case(name)))
    };
    by_use().or_else(by_name)
}

fn last_part(folder: &ImapFolder) -> &str {
    match folder.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()) {
        Some(delimiter) => folder.name.rsplit(delimiter).next().unwrap_or_default(),
        None => &folder.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, special: Option<SpecialUse>) -> ImapFolder {
        ImapFolder { name: name.into(), title: name.into(), delimiter: Some("/".into()), special, selectable: true }
    }

    fn sent(folders: &[ImapFolder]) -> Option<String> {
        sent_folder("INBOX", folders).map(|folder| folder.name.clone())
    }

    #[test]
    fn the_servers_word_counts_more_than_a_name() {
        let special = folder("[Gmail]/Gesendet", Some(SpecialUse::Sent));
        assert_eq!(sent(&[folder("Sent", None), special]).as_deref(), Some("[Gmail]/Gesendet"));
        assert_eq!(sent(&[folder("INBOX/Sent Items", None), folder("X", None)]).as_deref(), Some("INBOX/Sent Items"));
        assert_eq!(sent(&[folder("Sent Items", None), folder("sent", None)]).as_deref(), Some("sent"));
        let russian = "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-";
        assert_eq!(sent(&[folder(russian, None)]).as_deref(), Some(russian));
    }

    #[test]
    fn without_a_sent_folder_only_the_inbox_is_synced() {
        assert_eq!(
            sent(&[folder("INBOX", None), folder("Sent", Some(SpecialUse::Junk)), folder("Unsent", None)]),
            None
        );
        let closed = ImapFolder { selectable: false, ..folder("Sent", None) };
        assert_eq!(sent(&[closed]), None);
    }
}
