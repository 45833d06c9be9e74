use super::folder::Folder;
use super::folder_name::{MAX_NAME, canonical};
use super::numbering::Numbering;
use super::store::Unknown;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Folders that one account may have.
const MAX_FOLDERS: usize = 1_000;

/// One user of the server. Small when empty, so that a server can carry ten thousand of them.
pub(super) struct Account {
    /// In lower case.
    pub address: String,
    password: Mutex<SecretString>,
    folders: Mutex<BTreeMap<String, Folder>>,
    numbering: Arc<Numbering>,
    changed: Notify,
}

/// A folder as LIST tells of it.
pub(super) struct Listed {
    pub name: String,
    pub special_use: Option<&'static str>,
    pub has_children: bool,
}

impl Account {
    pub fn new(address: String, password: &str, numbering: Arc<Numbering>) -> Self {
        let account = Self {
            address,
            password: Mutex::new(password.into()),
            folders: Mutex::default(),
            numbering,
            changed: Notify::new(),
        };
        account.insert("INBOX", None);
        account.insert("Sent", Some("\\Sent"));
        account
    }

    pub fn set_password(&self, password: &str) {
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) = password.into();
    }

    pub fn knows(&self, password: &str) -> bool {
        self.password.lock().unwrap_or_else(PoisonError::into_inner).expose_secret() == password
    }

    /// Creates a folder; `false` if it exists, or if there are too many.
    pub fn create(&self, name: &str) -> bool {
        self.insert(&canonical(name), None)
    }

    /// The same with a special use.
    pub fn create_special(&self, name: &str, special_use: &'static str) -> bool {
        self.insert(&canonical(name), Some(special_use))
    }

    /// Deletes a folder with its messages; INBOX stays.
    pub fn delete(&self, name: &str) -> bool {
        let name = canonical(name);
        let deleted = name != "INBOX" && self.folders().remove(&name).is_some();
        self.changed.notify_waiters();
        deleted
    }

    /// Gives a folder and those inside it another name; what is in them stays the same. INBOX gives its messages away and
    /// stays (RFC 3501 section 6.3.5). `false` if there is no such folder, or no room under the new name.
    pub fn rename(&self, from: &str, to: &str) -> bool {
        let (from, to) = (canonical(from), canonical(to));
        let renamed =
            if from == "INBOX" { self.insert(&to, None) && self.empty(&to) } else { self.transfer(&from, &to) };
        self.changed.notify_waiters();
        renamed
    }

    fn transfer(&self, from: &str, to: &str) -> bool {
        let mut folders = self.folders();
        let inside = format!("{from}/");
        let names: Vec<String> =
            folders.keys().filter(|name| *name == from || name.starts_with(&inside)).cloned().collect();
        let target = |name: &str| format!("{to}{}", &name[from.len()..]);
        let free = |name: &String| !folders.contains_key(&target(name)) && target(name).len() <= MAX_NAME;
        if !folders.contains_key(from) || !names.iter().all(free) {
            return false;
        }
        let taken: Vec<_> = names.iter().filter_map(|name| Some((target(name), folders.remove(name)?))).collect();
        folders.extend(taken);
        true
    }

    /// Moves all messages of INBOX to a folder; `false` if that is gone again.
    fn empty(&self, to: &str) -> bool {
        let mut folders = self.folders();
        let inbox = folders.get("INBOX").map_or_else(Vec::new, |inbox| inbox.messages().to_vec());
        let Some(target) = folders.get_mut(to) else { return false };
        for message in &inbox {
            target.add_copy(message);
        }
        if let Some(inbox) = folders.get_mut("INBOX") {
            inbox.remove(|_| true);
        }
        true
    }

    /// All folders in order.
    pub fn list(&self) -> Vec<Listed> {
        let folders = self.folders();
        let has_children = |name: &str| {
            let inside = format!("{name}/");
            folders.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside))
        };
        let listed = |(name, folder): (&String, &Folder)| Listed {
            name: name.clone(),
            special_use: folder.special_use,
            has_children: has_children(name),
        };
        folders.iter().map(listed).collect()
    }

    pub fn read<T>(&self, name: &str, look: impl FnOnce(&Folder) -> T) -> Result<T, Unknown> {
        self.folders().get(&canonical(name)).map(look).ok_or_else(|| self.no_folder(name))
    }

    /// Changes a folder and wakes whoever idles on this account if something did change.
    pub fn change<T>(&self, name: &str, work: impl FnOnce(&mut Folder) -> T) -> Result<T, Unknown> {
        let mut folders = self.folders();
        let folder = folders.get_mut(&canonical(name)).ok_or_else(|| self.no_folder(name))?;
        let before = folder.version;
        let result = work(folder);
        let changed = folder.version != before;
        drop(folders);
        if changed {
            self.changed.notify_waiters();
        }
        Ok(result)
    }

    /// Completes with the next change after the returned future was enabled.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    fn insert(&self, name: &str, special_use: Option<&'static str>) -> bool {
        let mut folders = self.folders();
        let room = folders.len() < MAX_FOLDERS && !folders.contains_key(name);
        if room {
            folders.insert(name.to_owned(), Folder::new(self.numbering.clone(), special_use));
        }
        room
    }

    fn folders(&self) -> MutexGuard<'_, BTreeMap<String, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_folder(&self, name: &str) -> Unknown {
        Unknown { address: self.address.clone(), folder: Some(name.to_owned()) }
    }
}
