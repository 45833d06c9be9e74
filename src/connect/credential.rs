//! Secrets opened for one session, of a mailbox as it is stored or as somebody is about to save it.

use crate::domain::failure::{Failure, Stage};
use crate::domain::mailbox::{Mailbox, SecretField};
use crate::store::{SecretChange, open_secret};
use crate::vault::Vault;
use secrecy::SecretString;

/// A mailbox as it is to be used: the record, with secrets that may not be stored yet laid over it.
#[derive(Clone, Copy)]
pub struct Draft<'a> {
    mailbox: &'a Mailbox,
    changes: &'a [(SecretField, SecretChange)],
}

impl<'a> Draft<'a> {
    /// The mailbox as it is stored.
    pub fn stored(mailbox: &'a Mailbox) -> Self {
        Self { mailbox, changes: &[] }
    }

    /// The mailbox as it would be after a write: its settings merged already, and what the write does to its secrets.
    pub fn new(mailbox: &'a Mailbox, changes: &'a [(SecretField, SecretChange)]) -> Self {
        Self { mailbox, changes }
    }

    pub fn mailbox(&self) -> &'a Mailbox {
        self.mailbox
    }

    /// Whether a secret is set.
    pub fn has(&self, field: SecretField) -> bool {
        match self.change(field) {
            Some(SecretChange::Set(_)) => true,
            Some(SecretChange::Clear) => false,
            None => self.mailbox.secrets.contains_key(&field),
        }
    }

    /// The secret in the clear: the new one where one was given, the sealed one else. To be dropped after the log-in.
    pub fn open(&self, vault: &Vault, field: SecretField) -> Result<SecretString, Failure> {
        let missing = || {
            Failure::config(Stage::Settings, format!("No {} is set for this mailbox.", field.name()))
                .advice(format!("Set {}.", field.name()))
        };
        match self.change(field) {
            Some(SecretChange::Set(secret)) => Ok(secret.clone()),
            Some(SecretChange::Clear) => Err(missing()),
            None => match open_secret(vault, self.mailbox, field) {
                Ok(secret) => secret.ok_or_else(missing),
                Err(error) => Err(Failure::config(Stage::Settings, error.to_string())
                    .advice(format!("Enter the {} of this mailbox again.", field.name()))),
            },
        }
    }

    fn change(&self, field: SecretField) -> Option<&'a SecretChange> {
        // The last word counts, as it does when the changes are stored.
        self.changes.iter().rev().find(|(changed, _)| *changed == field).map(|(_, change)| change)
    }
}
