//! Whose mail is not stored: the exclusions of a mailbox and of the organisation, made ready for a sync.

use crate::domain::exclusions::Patterns;
use crate::domain::mailbox::{Mailbox, address_key};
use crate::domain::message::Message;
use crate::store::{Reader, StoreError, aliases_of, org_settings};

/// What is known beforehand of the people in a mailbox's messages.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// The keys of the mailbox's own addresses, its aliases among them.
    own: Vec<String>,
    excluded: Patterns,
}

impl Screen {
    pub fn of(reader: &impl Reader, mailbox: &Mailbox) -> Result<Self, StoreError> {
        let mut own = vec![mailbox.key()];
        own.extend(aliases_of(reader, mailbox.id)?.iter().map(crate::domain::mail_alias::MailAlias::key));
        let organisation = org_settings(reader)?.prospect_email_exclusions;
        let lists = [&mailbox.settings.prospect_email_exclusions, &organisation];
        Ok(Self { own, excluded: Patterns::of(lists.into_iter().filter_map(|list| list.as_deref())) })
    }

    pub fn is_own(&self, address: &str) -> bool {
        self.own.contains(&address_key(address))
    }

    /// Whether everybody in a message, other than the mailbox itself, is excluded. Where there is nobody else it is
    /// stored.
    pub fn excludes(&self, message: &Message) -> bool {
        if self.excluded.is_empty() {
            return false;
        }
        let people = [&message.from, &message.to, &message.cc, &message.bcc, &message.reply_to];
        let mut others = people
            .into_iter()
            .flatten()
            .map(|person| person.address.as_str())
            .filter(|address| !address.is_empty() && !self.is_own(address))
            .peekable();
        others.peek().is_some() && others.all(|address| self.excluded.cover(address))
    }
}
