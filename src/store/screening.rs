//! What decides whose mail in a mailbox is stored.

use super::{Reader, StoreError, aliases_of, org_settings};
use crate::domain::mailbox::Mailbox;
use crate::domain::screening::Lists;

/// The mailbox's own addresses, its aliases among them, and the exclusions that count for it.
pub fn screening(reader: &impl Reader, mailbox: &Mailbox) -> Result<(Vec<String>, Lists), StoreError> {
    let mut own = vec![mailbox.settings.email.clone()];
    own.extend(aliases_of(reader, mailbox.id)?.into_iter().map(|alias| alias.email));
    let organisation = org_settings(reader)?.prospect_email_exclusions;
    Ok((own, Lists { mailbox: mailbox.settings.prospect_email_exclusions.clone(), organisation }))
}
