use super::account::Account;
use super::numbering::Numbering;
use super::options::Options;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// There is no such account, or no such folder in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub(super) address: String,
    /// `None` if the account itself is unknown.
    pub(super) folder: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => write!(f, "{} has no folder {folder:?}", self.address),
            None => write!(f, "there is no account {:?}", self.address),
        }
    }
}

impl std::error::Error for Unknown {}

/// All accounts, by address in lower case. Each account has a lock of its own.
pub(super) struct Store {
    accounts: RwLock<HashMap<String, Arc<Account>>>,
    numbering: Arc<Numbering>,
}

impl Store {
    pub fn new(options: &Options) -> Self {
        Self { accounts: RwLock::default(), numbering: Arc::new(Numbering::new(options)) }
    }

    pub fn add_account(&self, address: &str, password: &str) {
        let key = address.to_lowercase();
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&key) {
            account.set_password(password);
        } else {
            let account = Account::new(key.clone(), password, self.numbering.clone());
            accounts.insert(key, Arc::new(account));
        }
    }

    pub fn account(&self, address: &str) -> Result<Arc<Account>, Unknown> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let found = accounts.get(&address.to_lowercase()).cloned();
        found.ok_or_else(|| Unknown { address: address.to_owned(), folder: None })
    }

    /// The account, if name and password are right.
    pub fn login(&self, name: &str, password: &str) -> Option<Arc<Account>> {
        self.account(name).ok().filter(|account| account.knows(password))
    }
}
