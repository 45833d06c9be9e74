//! The embedded store: one redb file.
//!
//! * Every change is a unit of work ([`Store::write`]) that spans resources and is durable before it is answered.
//! * Reads take a [`Snapshot`] and never wait for writers.
//! * Every state change appends an event in the same transaction; [`Store::events`] wakes whoever follows the log.
//! * Values are versioned MessagePack, keys big-endian tuples (`codec`); every table is listed in `tables`.
//! * redb's types stop here. One file of queries per resource.
//!
//! Uses the ground floor and `vault`, which seals secrets on the writer thread once their record has its id.

mod attachments;
mod codec;
mod error;
mod events;
mod file;
mod idempotency;
mod link_keys;
mod loose;
mod mail_aliases;
mod mailboxes;
mod mailings;
mod messages;
mod org_settings;
mod places;
#[cfg(test)]
pub(crate) mod powercut;
mod query;
mod reader;
mod recipients;
mod record;
mod retention;
mod schema;
mod screening;
mod search;
mod slots;
mod space;
mod suppressions;
mod tables;
#[cfg(test)]
mod tests;
mod threads;
mod timeline;
mod tokens;
mod traffic;
mod users;
mod work;
mod writer;

pub use attachments::{
    ATTACHMENT_CHUNK, attachment_chunk, attachment_content, user_of_attachment, users_of_attachment,
};
pub use error::StoreError;
pub use events::{events_after, latest_event};
pub use idempotency::{FirstAnswer, first_answer};
pub use link_keys::link_keys;
pub use mail_aliases::{alias_by_email, aliases_of};
pub use mailboxes::{SecretChange, deleted_mailboxes, mailbox_by_email, mailboxes_with_status, open_secret, status};
pub use mailings::{
    content, due_head, due_heads, errands, errands_behind, mailing_by_message_id, waiting_behind, waiting_mailings,
};
pub use messages::{message_by_identity, raw, raw_chunk, raw_size};
pub use org_settings::org_settings;
pub use places::{
    Placed, ServerPlace, cursor, cursors, message_at, placed, places_list, places_of, stale_places, uids_after,
};
pub use query::list;
pub use reader::{Reader, Snapshot};
pub use record::{Record, find, get};
pub use retention::{Budget, Stretch, beyond_budget, look_through};
pub use schema::FORMAT;
pub use screening::screening;
pub use search::{Merge, Merged, WordsOfBatch, search, search_backlog, wants_merge};
pub use slots::{Slots, slots};
pub use space::Shortage;
pub use suppressions::{OptOut, suppression_of};
pub use tokens::token_by_hash;
pub use traffic::messages_after;
pub use users::{first_admin, user_by_email};
pub use work::Work;

use crate::domain::limits::Moment;
use crate::runtime::Runtime;
use crate::vault::Vault;
use redb::{Database, ReadableDatabase};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The store of one instance. Cheap to clone; the file is let go when the last clone and the writer are gone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Held>,
    writer: Arc<writer::Writer>,
    events: watch::Receiver<u64>,
    vault: Vault,
    runtime: Runtime,
    timeline: Arc<timeline::Timeline>,
    space: Arc<space::Space>,
}

/// The open file, and a way to learn when it has been let go. A count of its holders would not tell: the last one is
/// no longer counted while it still closes the file.
struct Held {
    database: Database,
    let_go: CancellationToken,
    /// Fields go in this order: the file first, then the news.
    _news: DropGuard,
}

impl Held {
    fn new(database: Database) -> Self {
        let let_go = CancellationToken::new();
        Self { database, _news: let_go.clone().drop_guard(), let_go }
    }
}

impl std::ops::Deref for Held {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Store {
    /// Opens the file, creating it where there is none. Refuses a newer format, a wrong key and a store in use,
    /// changing nothing.
    pub fn open(path: &Path, cache_bytes: usize, vault: Vault, runtime: Runtime) -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        if !path.exists() {
            file::make(path, |new| schema::prepare(&builder.create(new)?, &vault))?;
        }
        // Opened for reading first: what is refused for its key or its format is not written to, not even by redb. A
        // store that was not closed in order can only be opened for writing.
        match builder.open_read_only(path) {
            Ok(database) => schema::inspect(&database, &vault)?,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse),
            Err(_) => {}
        }
        file::keep_private(path)?;
        Self::start(builder.open(path)?, vault, runtime)
    }

    /// The same over a storage of the caller's: tests cut its power.
    pub fn open_with(
        storage: impl redb::StorageBackend,
        cache_bytes: usize,
        vault: Vault,
        runtime: Runtime,
    ) -> Result<Self, StoreError> {
        let database = Database::builder().set_cache_size(cache_bytes).create_with_backend(storage)?;
        Self::start(database, vault, runtime)
    }

    fn start(database: Database, vault: Vault, runtime: Runtime) -> Result<Self, StoreError> {
        schema::prepare(&database, &vault)?;
        let snapshot = Snapshot::new(database.begin_read()?, None);
        let latest = latest_event(&snapshot)?;
        let timeline = Arc::new(timeline::Timeline::open(&snapshot, runtime.clock.clone())?);
        drop(snapshot);
        let database = Arc::new(Held::new(database));
        let space = Arc::new(space::Space::new(runtime.clock.clone()));
        let (committed, events) = watch::channel(latest);
        let seams = (vault.clone(), runtime.clone(), timeline.clone(), space.clone());
        let writer = writer::Writer::start(database.clone(), seams, committed)?;
        Ok(Self { database, writer: Arc::new(writer), events, vault, runtime, timeline, space })
    }

    /// Runs a unit of work and answers when it is durable. Where it returns an error nothing of it is kept.
    /// It may run twice: it must depend on nothing but the store and what it was given.
    pub async fn write<T, E>(&self, work: impl FnMut(&mut Work) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// The same for the engines, whose work must not be lost: waits for a place in the queue instead of `Busy`, and is
    /// let through while the disk has too little room. A unit that takes in something new has to ask for the
    /// [`Reader::shortage`] itself.
    pub async fn write_patiently<T, E>(
        &self,
        work: impl FnMut(&mut Work) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write_patiently(work).await
    }

    /// What is committed now.
    pub fn read(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot::new(self.database.begin_read()?, self.shortage()))
    }

    /// The id of the last durable event; changes with every commit that appended one.
    pub fn events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// Whether a commit has failed since the start; nothing more is written then.
    pub fn is_broken(&self) -> bool {
        self.writer.is_broken()
    }

    /// Lets go of the file: waits until everything that was handed to the writer is answered and every other holder
    /// of this store has let go, for ten seconds at most. `false` if somebody still held on.
    pub async fn close(self) -> bool {
        let let_go = self.database.let_go.clone();
        drop(self);
        tokio::time::timeout(std::time::Duration::from_secs(10), let_go.cancelled()).await.is_ok()
    }

    /// Keeps `floor` octets of the disk free, as `measure` tells: below that, what would take in something new is
    /// refused with [`StoreError::Full`]. To be called once, before the store is shared.
    pub fn keep_free(&self, floor: u64, measure: impl Fn() -> std::io::Result<u64> + Send + Sync + 'static) {
        self.space.keep_free(floor, measure);
    }

    /// What the disk lacks now, if anything.
    pub fn shortage(&self) -> Option<Shortage> {
        self.space.shortage()
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Puts on disk that the wall clock was set: after a crash it would look like time that passed.
    pub async fn keep_the_clock(&self) -> Result<(), StoreError> {
        self.write_patiently(|work| {
            work.keep_the_clock();
            Ok(())
        })
        .await
    }

    /// Takes a wall clock that stands before the last commit for right, and puts that on disk. `false` if nothing spoke
    /// against the clock.
    pub async fn accept_the_clock(&self) -> Result<bool, StoreError> {
        let accepted = self.timeline.accept();
        if accepted {
            self.keep_the_clock().await?;
        }
        Ok(accepted)
    }

    /// The present, by the wall clock and in the steady time of the sending limits.
    pub fn moment(&self) -> Moment {
        self.timeline.moment()
    }
}
