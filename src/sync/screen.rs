//! Whose mail is not stored: the exclusions of a mailbox and of the organisation, made ready for a sync.

use crate::domain::mailbox::Mailbox;
use crate::domain::message::Message;
use crate::domain::screening;
use crate::store::{self, Reader, StoreError};

/// What is known beforehand of the people in a mailbox's messages.
#[derive(Debug, Default)]
pub(super) struct Screen(screening::Screen);

impl Screen {
    pub fn of(reader: &impl Reader, mailbox: &Mailbox) -> Result<Self, StoreError> {
        let (own, lists) = store::screening(reader, mailbox)?;
        Ok(Self(screening::Screen::new(own, &lists)))
    }

    pub fn is_own(&self, address: &str) -> bool {
        self.0.is_own(address)
    }

    /// Whether everybody in a message, other than the mailbox itself, is excluded. Where there is nobody else it is
    /// stored.
    pub fn excludes(&self, message: &Message) -> bool {
        let people = [&message.from, &message.to, &message.cc, &message.bcc, &message.reply_to];
        self.0.excludes(people.into_iter().flatten().map(|person| person.address.as_str()))
    }
}
