//! What must happen now and then: removing the messages of deleted mailboxes, a batch at a time, what was made for a
//! mailing that never came (`uploads.rs`), and what was kept long enough
//! (`retention.rs`); merging the search index (`search.rs`).
//!
//! Uses `store` and the ground floor; started and stopped by `app`.

mod retention;
mod search;
mod uploads;

use crate::config::{StoreConfig, SyncConfig};
use crate::domain::event::EventKind;
use crate::runtime::Tasks;
use crate::store::{Store, StoreError, deleted_mailboxes, events_after};
use retention::Kept;
use std::time::Duration;

/// Messages removed in one commit: small enough that nobody waits long behind it.
const BATCH: usize = 200;
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(30);

/// The running upkeep.
pub struct Upkeep {
    tasks: Tasks,
}

impl Upkeep {
    pub fn start(store: Store, sync: &SyncConfig, kept: &StoreConfig) -> Self {
        let tasks = Tasks::new();
        let stopping = tasks.stopping();
        tasks.spawn(uploads::keep_swept(store.clone(), stopping.clone()));
        tasks.spawn(search::keep_merged(store.clone(), tasks.clone()));
        tasks.spawn(retention::keep_forgetting(store.clone(), Kept::of(sync, kept), stopping.clone()));
        tasks.spawn(async move {
            let mut events = store.events();
            loop {
                let seen = *events.borrow_and_update();
                let swept = sweep(&store, &stopping).await;
                if let Err(error) = &swept {
                    tracing::error!(%error, "the messages of a deleted mailbox could not be removed");
                }
                let retry = swept.is_err();
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(PAUSE_AFTER_ERROR), if retry => {}
                    () = next_deletion(&store, &mut events, seen) => {}
                }
            }
        });
        Self { tasks }
    }

    /// Stops between two batches; the next start goes on.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.tasks.stop(patience).await
    }
}

async fn next_deletion(store: &Store, events: &mut tokio::sync::watch::Receiver<u64>, mut seen: u64) {
    loop {
        if events.changed().await.is_err() {
            return std::future::pending().await;
        }
        let _ = events.borrow_and_update();
        let Ok(snapshot) = store.read() else { continue };
        while let Ok(new) = events_after(&snapshot, seen, 1000) {
            if new.iter().any(|event| event.kind == EventKind::MailboxDestroyed) {
                return;
            }
            match new.last() {
                Some(last) => seen = last.id,
                None => break,
            }
        }
    }
}

async fn sweep(store: &Store, stopping: &tokio_util::sync::CancellationToken) -> Result<(), StoreError> {
    let deleted = deleted_mailboxes(&store.read()?)?;
    for mailbox in deleted {
        while !stopping.is_cancelled() {
            let done = store
                .write_patiently(move |work| {
                    let done = work.sweep_messages(mailbox, BATCH)?;
                    if done {
                        work.forget_deleted_mailbox(mailbox)?;
                    }
                    Ok::<_, StoreError>(done)
                })
                .await?;
            if done {
                break;
            }
        }
    }
    Ok(())
}
