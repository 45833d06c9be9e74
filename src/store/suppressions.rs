//! Suppressed addresses, one record each, and the opt-out that makes one.

use super::record::{Index, Record, find};
use super::tables::{SUPPRESSIONS, SUPPRESSIONS_BY_EMAIL, Table};
use super::{Reader, StoreError, Work};
use crate::domain::event::{Event, EventKind};
use crate::domain::finding::{Consequences, Finding};
use crate::domain::list::Scalar;
use crate::domain::mailbox::address_key;
use crate::domain::suppression::Suppression;
use serde_json::json;

impl Record for Suppression {
    const TABLE: Table = SUPPRESSIONS;
    const INDEXES: &'static [Index] = &[Index::by("email", SUPPRESSIONS_BY_EMAIL)];
    const COUNTER: &'static str = "suppressions";

    fn id(&self) -> u64 {
        self.id
    }
}

/// The suppression of an address, in whatever spelling.
pub fn suppression_of(reader: &impl Reader, email: &str) -> Result<Option<Suppression>, StoreError> {
    find(reader, "email", &Scalar::Text(address_key(email)))
}

/// A recipient's wish not to be mailed again, as a signed link or report brought it.
#[derive(Clone, Debug)]
pub struct OptOut {
    pub email: String,
    pub mailing: u64,
    /// How it came: `page`, `oneClick` or `mail`.
    pub source: &'static str,
}

impl Work<'_> {
    /// Suppresses an address. Where it is suppressed already, what was known stays, but for a person's own wish, which
    /// takes the place of any other reason. Gives the record, and whether the address is newly suppressed.
    pub fn suppress(&mut self, mut wanted: Suppression) -> Result<(Suppression, bool), StoreError> {
        let Some(before) = suppression_of(self, &wanted.email)? else {
            wanted.id = self.next_id(Suppression::COUNTER)?;
            self.put_record(None, &wanted)?;
            self.suppression_event(EventKind::SuppressionCreated, &wanted)?;
            return Ok((wanted, true));
        };
        if before.reason.is_a_wish() || !wanted.reason.is_a_wish() {
            return Ok((before, false));
        }
        let after = Suppression { id: before.id, note: wanted.note.or(before.note.clone()), ..wanted };
        self.put_record(Some(&before), &after)?;
        self.suppression_event(EventKind::SuppressionUpdated, &after)?;
        Ok((after, false))
    }

    /// An opt-out, in one unit: the address is suppressed and the mailing, if it is still there, says so. Doing it again
    /// changes nothing.
    pub fn opt_out(&mut self, opt_out: &OptOut) -> Result<(), StoreError> {
        let now = self.now();
        let finding = Finding::OptOut { address: &opt_out.email, source: opt_out.source };
        let found = self.mailing(opt_out.mailing)?.and_then(|mailing| Consequences::of(&mailing, &finding, now, now));
        self.follow(found.unwrap_or_else(|| Consequences::of_opt_out(&opt_out.email, opt_out.source, now)), None)
    }

    /// Writes what follows from a finding, in this unit of work; `message` is the one that told it.
    pub fn follow(&mut self, consequences: Consequences, message: Option<u64>) -> Result<(), StoreError> {
        for mut suppression in consequences.suppressions {
            suppression.message_id = message;
            self.suppress(suppression)?;
        }
        if let Some(mailing) = consequences.mailing {
            let (before, after) = *mailing;
            self.save_mailing(&before, &after)?;
            consequences.events.into_iter().try_for_each(|kind| self.mailing_event(kind, &after))?;
        }
        Ok(())
    }

    /// Removes a suppression: the address can be mailed again.
    pub fn delete_suppression(&mut self, suppression: &Suppression) -> Result<(), StoreError> {
        self.remove_record(suppression)?;
        self.suppression_event(EventKind::SuppressionDestroyed, suppression)
    }

    fn suppression_event(&mut self, kind: EventKind, suppression: &Suppression) -> Result<(), StoreError> {
        let mut event = Event::new(kind, self.now());
        event.mailing_id = suppression.mailing_id;
        event.message_id = suppression.message_id;
        event.user_id = suppression.creator_id;
        let (id, reason) = (suppression.id, suppression.reason.name());
        self.event(event.payload(json!({"suppression": id, "email": suppression.email, "reason": reason})))?;
        Ok(())
    }
}
