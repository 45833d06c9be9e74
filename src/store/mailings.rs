//! Mailings: what waits and when it may go, and what is under way.

use super::codec::{Key, decode, encode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::record::{Index, Record, find, get};
use super::tables::{
    CONTENTS, DUE, ERRANDS, MAILINGS, MAILINGS_BY_MAILBOX, MAILINGS_BY_MESSAGE_ID, MAILINGS_BY_PROSPECT,
    MAILINGS_BY_STATE, MAILINGS_BY_USER, Table,
};
use super::{StoreError, Work};
use crate::domain::event::{Event, EventKind};
use crate::domain::list::Scalar;
use crate::domain::mailing::{Content, Mailing, State};
use crate::domain::time::Timestamp;
use std::ops::Bound;

impl Record for Mailing {
    const TABLE: Table = MAILINGS;
    const INDEXES: &'static [Index] = &[
        Index::by("mailbox.id", MAILINGS_BY_MAILBOX),
        Index::by("messageId", MAILINGS_BY_MESSAGE_ID),
        Index::by("prospect.id", MAILINGS_BY_PROSPECT).where_present(),
        Index::by("state", MAILINGS_BY_STATE),
        Index::by("user.id", MAILINGS_BY_USER),
    ];
    const COUNTER: &'static str = "mailings";

    fn id(&self) -> u64 {
        self.id
    }
}

/// What a mailing says.
pub fn content(reader: &impl Reader, mailing: u64) -> Result<Content, StoreError> {
    Ok(reader.with(CONTENTS, &Key::new().id(mailing).build(), decode)?.transpose()?.unwrap_or_default())
}

/// The mailing with a Message-ID (without angle brackets).
pub fn mailing_by_message_id(reader: &impl Reader, message_id: &str) -> Result<Option<Mailing>, StoreError> {
    find(reader, "messageId", &Scalar::Text(format!("<{message_id}>")))
}

fn due_key(mailing: &Mailing) -> Option<Vec<u8>> {
    let due = mailing.due.filter(|_| mailing.state.waits())?;
    Some(Key::new().id(mailing.mailbox_id).number(due.millis()).id(mailing.id).build())
}

pub(super) fn due_of(key: &[u8]) -> Result<(u64, Timestamp, u64), StoreError> {
    let number = |at: usize| -> Result<u64, StoreError> {
        key.get(at..at + 8)
            .and_then(|octets| octets.try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| StoreError::Corrupt("a due key of the wrong length".into()))
    };
    let millis = (number(8)? ^ (1 << 63)).cast_signed();
    Ok((number(0)?, Timestamp::from_millis(millis), number(16)?))
}

/// The mailing of a mailbox that may go out first: its time and id.
pub fn due_head(reader: &impl Reader, mailbox: u64) -> Result<Option<(Timestamp, u64)>, StoreError> {
    let mut head = None;
    reader.scan(DUE, Keys::prefix(Key::new().id(mailbox).build()), false, |key, _| {
        let (_, due, id) = due_of(key)?;
        head = Some((due, id));
        STOP
    })?;
    Ok(head)
}

/// The head of every mailbox that has something waiting; costs one look-up a mailbox, however much waits.
pub fn due_heads(reader: &impl Reader) -> Result<Vec<(u64, Timestamp)>, StoreError> {
    let mut heads = Vec::new();
    let mut from = Bound::Unbounded;
    loop {
        let mut head = None;
        reader.scan(DUE, Keys::all().from(from.clone()), false, |key, _| {
            head = Some(due_of(key)?);
            STOP
        })?;
        let Some((mailbox, due, _)) = head else { return Ok(heads) };
        heads.push((mailbox, due));
        from = Bound::Included(Key::new().id(mailbox.saturating_add(1)).build());
    }
}

/// Up to `limit` mailings of a mailbox that wait, in the order in which they may go out.
pub fn waiting_mailings(reader: &impl Reader, mailbox: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
    let mut ids = Vec::new();
    reader.scan(DUE, Keys::prefix(Key::new().id(mailbox).build()), false, |key, _| {
        ids.push(trailing_id(key)?);
        if ids.len() == limit { STOP } else { GO_ON }
    })?;
    Ok(ids)
}

/// Up to `limit` mailings of a mailbox that wait, behind this place in their order: when they may go out, and their ids.
pub fn waiting_behind(
    reader: &impl Reader,
    mailbox: u64,
    place: (Timestamp, u64),
    limit: usize,
) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    let mut found = Vec::new();
    let from = Bound::Excluded(Key::new().id(mailbox).number(place.0.millis()).id(place.1).build());
    reader.scan(DUE, Keys::prefix(Key::new().id(mailbox).build()).from(from), false, |key, _| {
        let (_, due, id) = due_of(key)?;
        found.push((due, id));
        if found.len() == limit { STOP } else { GO_ON }
    })?;
    Ok(found)
}

fn errand_key(mailing: &Mailing) -> Option<Vec<u8>> {
    mailing.errand_at().map(|at| Key::new().number(at.millis()).id(mailing.id).build())
}

/// The next errands to the sent folders, the earliest first: when, and about which mailing.
pub fn errands(reader: &impl Reader, limit: usize) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    errands_in(reader, Keys::all(), limit)
}

/// The same, behind this place in their order.
pub fn errands_behind(
    reader: &impl Reader,
    place: (Timestamp, u64),
    limit: usize,
) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    let from = Bound::Excluded(Key::new().number(place.0.millis()).id(place.1).build());
    errands_in(reader, Keys::all().from(from), limit)
}

fn errands_in(reader: &impl Reader, keys: Keys, limit: usize) -> Result<Vec<(Timestamp, u64)>, StoreError> {
    let mut found = Vec::new();
    reader.scan(ERRANDS, keys, false, |key, _| {
        let at = key.first_chunk::<8>().copied().map(u64::from_be_bytes);
        let at = at.ok_or_else(|| StoreError::Corrupt("an errand's key of the wrong length".into()))?;
        found.push((Timestamp::from_millis((at ^ (1 << 63)).cast_signed()), trailing_id(key)?));
        if found.len() == limit { STOP } else { GO_ON }
    })?;
    Ok(found)
}

impl Work<'_> {
    /// Adds a mailing; the id of `mailing` is ignored.
    pub fn create_mailing(&mut self, mut mailing: Mailing, content: &Content) -> Result<Mailing, StoreError> {
        mailing.id = self.next_id(Mailing::COUNTER)?;
        self.mirror_recipients(None, &mut mailing)?;
        self.use_attachments(mailing.id, &[], &content.attachments)?;
        self.put_record(None, &mailing)?;
        self.put(CONTENTS, &Key::new().id(mailing.id).build(), &encode(content)?)?;
        if let Some(key) = due_key(&mailing) {
            self.put(DUE, &key, &[])?;
        }
        self.mailing_event(EventKind::MailingCreated, &mailing)?;
        Ok(mailing)
    }

    /// Writes a changed mailing; a change of its state is an event of its own.
    pub fn save_mailing(&mut self, before: &Mailing, after: &Mailing) -> Result<(), StoreError> {
        let (old, new) = (due_key(before), due_key(after));
        if old != new {
            if let Some(key) = old {
                self.remove(DUE, &key)?;
            }
            if let Some(key) = new {
                self.put(DUE, &key, &[])?;
            }
        }
        let (old, new) = (errand_key(before), errand_key(after));
        if old != new {
            if let Some(key) = old {
                self.remove(ERRANDS, &key)?;
            }
            if let Some(key) = new {
                self.put(ERRANDS, &key, &[])?;
            }
        }
        self.put_record(Some(before), after)?;
        if before.state != after.state {
            // What came back before the delivery could be recorded does not hide it.
            if before.state == State::Delivering && matches!(after.state, State::Replied | State::Bounced) {
                self.mailing_event(EventKind::MailingDelivered, after)?;
            }
            self.mailing_event(EventKind::of_state(after.state), after)?;
        }
        Ok(())
    }

    /// Writes a mailing that a client has edited, with what it says now and what it said before.
    pub fn edit_mailing(
        &mut self,
        before: &Mailing,
        mut after: Mailing,
        old: &Content,
        new: &Content,
    ) -> Result<Mailing, StoreError> {
        if before.recipients != after.recipients {
            self.mirror_recipients(Some(before), &mut after)?;
        }
        if old != new {
            self.use_attachments(after.id, &old.attachments, &new.attachments)?;
            self.put_content(after.id, new)?;
        }
        self.save_mailing(before, &after)?;
        self.mailing_event(EventKind::MailingUpdated, &after)?;
        Ok(after)
    }

    pub fn put_content(&mut self, mailing: u64, content: &Content) -> Result<(), StoreError> {
        self.put(CONTENTS, &Key::new().id(mailing).build(), &encode(content)?)
    }

    /// Something about a mailing that is not a change of state.
    pub fn mailing_event(&mut self, kind: EventKind, mailing: &Mailing) -> Result<(), StoreError> {
        self.event(Event::new(kind, self.now()).mailbox(mailing.mailbox_id).mailing(mailing.id).user(mailing.user_id))?;
        Ok(())
    }

    /// Lets an id wait whether or not there is such a mailing, or no longer: what a corrupt store may say.
    #[cfg(test)]
    pub fn make_due(&mut self, mailbox: u64, due: Timestamp, id: u64, waits: bool) -> Result<(), StoreError> {
        let key = Key::new().id(mailbox).number(due.millis()).id(id).build();
        if waits { self.put(DUE, &key, &[]) } else { self.remove(DUE, &key) }
    }

    pub fn delete_mailing(&mut self, mailing: &Mailing) -> Result<(), StoreError> {
        if let Some(key) = due_key(mailing) {
            self.remove(DUE, &key)?;
        }
        let content = content(self, mailing.id)?;
        self.use_attachments(mailing.id, &content.attachments, &[])?;
        self.remove_recipients(mailing)?;
        if let Some(key) = errand_key(mailing) {
            self.remove(ERRANDS, &key)?;
        }
        self.remove(CONTENTS, &Key::new().id(mailing.id).build())?;
        self.remove_record(mailing)?;
        self.mailing_event(EventKind::MailingDestroyed, mailing)
    }

    /// The mailing, for a unit that changes it; `None` if it is gone.
    pub fn mailing(&self, id: u64) -> Result<Option<Mailing>, StoreError> {
        get(self, id)
    }
}
