//! Mailboxes, their secrets and their health.

use super::codec::{Key, decode, encode, trailing_id};
use super::reader::{GO_ON, Keys, Reader};
use super::record::{Index, Record, find};
use super::tables::{
    CURSORS, DELETED_MAILBOXES, MAILBOXES, MAILBOXES_BY_EMAIL, MAILBOXES_BY_USER, SLOTS_HELD, SLOTS_RETURNED,
    SLOTS_SPENT, STATUSES, Table,
};
use super::{StoreError, Work};
use crate::domain::event::{Event, EventKind};
use crate::domain::list::Scalar;
use crate::domain::mailbox::{Mailbox, SecretField, Status, address_key};
use crate::vault::{Place, Vault};
use secrecy::SecretString;

impl Record for Mailbox {
    const TABLE: Table = MAILBOXES;
    const INDEXES: &'static [Index] =
        &[Index::by("email", MAILBOXES_BY_EMAIL), Index::by("user.id", MAILBOXES_BY_USER)];
    const COUNTER: &'static str = "mailboxes";

    fn id(&self) -> u64 {
        self.id
    }
}

/// What a write does to a secret; a field that it does not mention stays.
pub enum SecretChange {
    Set(SecretString),
    Clear,
}

fn place(mailbox: u64, field: SecretField) -> Place<'static> {
    Place { table: "mailboxes", record: mailbox, field: field.name() }
}

/// Opens a secret of a mailbox; `None` where none is set.
pub fn open_secret(vault: &Vault, mailbox: &Mailbox, field: SecretField) -> Result<Option<SecretString>, StoreError> {
    mailbox
        .secrets
        .get(&field)
        .map(|sealed| vault.open(&place(mailbox.id, field), sealed))
        .transpose()
        .map_err(|error| StoreError::Vault(error.to_string()))
}

pub fn mailbox_by_email(reader: &impl Reader, email: &str) -> Result<Option<Mailbox>, StoreError> {
    find(reader, "email", &Scalar::Text(address_key(email)))
}

/// The health of a mailbox; a mailbox without a record has met nothing yet.
pub fn status(reader: &impl Reader, mailbox: u64) -> Result<Status, StoreError> {
    Ok(reader.with(STATUSES, &Key::new().id(mailbox).build(), decode)?.transpose()?.unwrap_or_default())
}

/// The mailboxes of whose health something is recorded.
pub fn mailboxes_with_status(reader: &impl Reader) -> Result<Vec<u64>, StoreError> {
    let mut ids = Vec::new();
    reader.scan(STATUSES, Keys::all(), false, |key, _| {
        ids.push(trailing_id(key)?);
        GO_ON
    })?;
    Ok(ids)
}

/// Mailboxes that were deleted and whose messages are still being removed.
pub fn deleted_mailboxes(reader: &impl Reader) -> Result<Vec<u64>, StoreError> {
    let mut ids = Vec::new();
    reader.scan(DELETED_MAILBOXES, Keys::all(), false, |key, _| {
        ids.push(trailing_id(key)?);
        GO_ON
    })?;
    Ok(ids)
}

impl Work<'_> {
    /// Adds a mailbox; the id of `mailbox` is ignored. The caller has checked that the address is free.
    pub fn create_mailbox(
        &mut self,
        mut mailbox: Mailbox,
        secrets: &[(SecretField, SecretChange)],
    ) -> Result<Mailbox, StoreError> {
        mailbox.id = self.next_id(Mailbox::COUNTER)?;
        self.apply_secrets(&mut mailbox, secrets);
        self.put_record(None, &mailbox)?;
        self.event(Event::new(EventKind::MailboxCreated, self.now()).mailbox(mailbox.id).user(mailbox.user_id))?;
        Ok(mailbox)
    }

    /// Writes an edited mailbox.
    pub fn update_mailbox(
        &mut self,
        before: &Mailbox,
        mut after: Mailbox,
        secrets: &[(SecretField, SecretChange)],
    ) -> Result<Mailbox, StoreError> {
        self.apply_secrets(&mut after, secrets);
        self.put_record(Some(before), &after)?;
        self.event(Event::new(EventKind::MailboxUpdated, self.now()).mailbox(after.id).user(after.user_id))?;
        Ok(after)
    }

    /// A change of state moves `updatedAt`, without the event of an edit.
    pub fn touch_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), StoreError> {
        let after = Mailbox { updated_at: self.now(), ..mailbox.clone() };
        self.put_record(Some(mailbox), &after)
    }

    pub fn put_status(&mut self, mailbox: u64, status: &Status) -> Result<(), StoreError> {
        self.put(STATUSES, &Key::new().id(mailbox).build(), &encode(status)?)
    }

    /// Removes a mailbox with its secrets, health and cursors; its messages go in batches ([`Work::sweep_messages`]).
    pub fn delete_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), StoreError> {
        let id = mailbox.id;
        self.remove_record(mailbox)?;
        for alias in super::aliases_of(self, id)? {
            self.delete_alias(&alias)?;
        }
        self.remove(STATUSES, &Key::new().id(id).build())?;
        for table in [CURSORS, SLOTS_HELD, SLOTS_SPENT, SLOTS_RETURNED] {
            let mut keys = Vec::new();
            self.scan(table, Keys::prefix(Key::new().id(id).build()), false, |key, _| {
                keys.push(key.to_vec());
                GO_ON
            })?;
            for key in keys {
                self.remove(table, &key)?;
            }
        }
        self.put(DELETED_MAILBOXES, &Key::new().id(id).build(), &[])?;
        self.event(Event::new(EventKind::MailboxDestroyed, self.now()).mailbox(id).user(mailbox.user_id))?;
        Ok(())
    }

    /// Nothing is left of a deleted mailbox.
    pub fn forget_deleted_mailbox(&mut self, mailbox: u64) -> Result<(), StoreError> {
        self.remove(DELETED_MAILBOXES, &Key::new().id(mailbox).build())
    }

    fn apply_secrets(&self, mailbox: &mut Mailbox, secrets: &[(SecretField, SecretChange)]) {
        for (field, change) in secrets {
            match change {
                SecretChange::Clear => mailbox.secrets.remove(field),
                SecretChange::Set(secret) => {
                    let sealed = self.vault.seal(&place(mailbox.id, *field), secret, &*self.runtime.random);
                    mailbox.secrets.insert(*field, sealed)
                }
            };
        }
    }
}
