//! Mail aliases: further addresses of mailboxes.

use super::codec::Key;
use super::reader::{GO_ON, Keys, Reader};
use super::record::{Index, Record, find, get};
use super::tables::{MAIL_ALIASES, MAIL_ALIASES_BY_EMAIL, MAIL_ALIASES_BY_MAILBOX, Table};
use super::{StoreError, Work};
use crate::domain::list::Scalar;
use crate::domain::mail_alias::MailAlias;
use crate::domain::mailbox::address_key;

impl Record for MailAlias {
    const TABLE: Table = MAIL_ALIASES;
    const INDEXES: &'static [Index] =
        &[Index::by("email", MAIL_ALIASES_BY_EMAIL), Index::by("mailbox.id", MAIL_ALIASES_BY_MAILBOX)];
    const COUNTER: &'static str = "mailAliases";

    fn id(&self) -> u64 {
        self.id
    }
}

/// The alias with an address, whatever its spelling.
pub fn alias_by_email(reader: &impl Reader, email: &str) -> Result<Option<MailAlias>, StoreError> {
    find(reader, "email", &Scalar::Text(address_key(email)))
}

/// The aliases of a mailbox.
pub fn aliases_of(reader: &impl Reader, mailbox: u64) -> Result<Vec<MailAlias>, StoreError> {
    let mut ids = Vec::new();
    let prefix = Key::new().scalar(&mailbox.into()).build();
    reader.scan(MAIL_ALIASES_BY_MAILBOX, Keys::prefix(prefix), false, |key, _| {
        ids.push(super::codec::trailing_id(key)?);
        GO_ON
    })?;
    ids.into_iter().filter_map(|id| get(reader, id).transpose()).collect()
}

impl Work<'_> {
    /// Adds an alias; its id is ignored. The caller has checked that the address is free.
    pub fn create_alias(&mut self, mut alias: MailAlias) -> Result<MailAlias, StoreError> {
        alias.id = self.next_id(MailAlias::COUNTER)?;
        self.put_record(None, &alias)?;
        Ok(alias)
    }

    pub fn delete_alias(&mut self, alias: &MailAlias) -> Result<(), StoreError> {
        self.remove_record(alias)
    }
}
