//! Users.

use super::record::{Index, Record, find, get};
use super::tables::{Table, USERS, USERS_BY_EMAIL};
use super::{Reader, StoreError, Work, list};
use crate::domain::event::{Event, EventKind};
use crate::domain::list::{ListQuery, Scalar};
use crate::domain::mailbox::address_key;
use crate::domain::time::Timestamp;
use crate::domain::user::{Role, User};

impl Record for User {
    const TABLE: Table = USERS;
    const INDEXES: &'static [Index] = &[Index::by("email", USERS_BY_EMAIL)];
    const COUNTER: &'static str = "users";

    fn id(&self) -> u64 {
        self.id
    }
}

pub fn user_by_email(reader: &impl Reader, email: &str) -> Result<Option<User>, StoreError> {
    find(reader, "email", &Scalar::Text(address_key(email)))
}

/// The oldest administrator who is not locked: whom the local socket speaks for.
pub fn first_admin(reader: &impl Reader) -> Result<Option<User>, StoreError> {
    let users = list::<User>(reader, &ListQuery::all().size(ListQuery::MAX_SIZE))?.items;
    Ok(users.into_iter().find(|user| user.role == Role::Admin && !user.locked))
}

impl Work<'_> {
    /// A sign of activity. It is no edit: `updatedAt` stays, and no event tells of it.
    pub fn note_activity(&mut self, user: u64, at: Timestamp) -> Result<(), StoreError> {
        let Some(before) = get::<User>(self, user)?.filter(|user| user.last_active_at < Some(at)) else {
            return Ok(());
        };
        self.put_record(Some(&before), &User { last_active_at: Some(at), ..before.clone() })
    }

    /// Adds a user; the id of `user` is ignored. The caller has checked that the address is free.
    pub fn create_user(&mut self, mut user: User) -> Result<User, StoreError> {
        user.id = self.next_id(User::COUNTER)?;
        self.put_record(None, &user)?;
        self.event(Event::new(EventKind::UserCreated, self.now()).user(user.id))?;
        Ok(user)
    }
}
