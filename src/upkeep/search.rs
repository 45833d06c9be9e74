//! Keeps the search index small: merges what commits left behind, and takes in messages from before there was an index.

use crate::mime::parse_with_words;
use crate::runtime::Tasks;
use crate::store::{Store, StoreError, WordsOfBatch, raw, search_backlog};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// After something was stored, others have the processor for so long first.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(30);
/// Blocks that one commit removes.
const SWEPT: usize = 500;
/// Messages of the backlog that are taken in together, and how long others have the processor in between.
const BACKLOG: u64 = 100;
const REST: Duration = Duration::from_millis(50);

/// Works until it is told to stop.
pub(super) async fn keep_merged(store: Store, tasks: Tasks) {
    let stopping = tasks.stopping();
    let mut events = store.events();
    // What a kill left of a merge.
    if let Err(error) = sweep(&store, &stopping).await {
        tracing::error!(%error, "the remains of a merge could not be removed");
    }
    loop {
        events.borrow_and_update();
        let wait = match tidy(&store, &tasks, &stopping).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "the search index could not be tidied");
                Some(PAUSE_AFTER_ERROR)
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = async { tokio::time::sleep(wait.unwrap_or_default()).await }, if wait.is_some() => {}
            changed = events.changed(), if wait.is_none() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Does everything that there is to do now.
async fn tidy(store: &Store, tasks: &Tasks, stopping: &CancellationToken) -> Result<(), StoreError> {
    while !stopping.is_cancelled() {
        if merge(store, tasks, stopping).await? {
            sweep(store, stopping).await?;
        } else if !take_in(store, tasks).await? {
            break;
        }
    }
    Ok(())
}

/// Removes the segments that do not count any more.
async fn sweep(store: &Store, stopping: &CancellationToken) -> Result<(), StoreError> {
    while !stopping.is_cancelled() && store.write_patiently(|work| work.sweep_segments(SWEPT)).await? {}
    Ok(())
}

/// Merges segments if there are many; whether there were.
async fn merge(store: &Store, tasks: &Tasks, stopping: &CancellationToken) -> Result<bool, StoreError> {
    if !store.read().and_then(|snapshot| crate::store::wants_merge(&snapshot))? {
        return Ok(false);
    }
    let begun = store.write_patiently(|work| {
        let merge = work.begin_merge()?;
        Ok::<_, StoreError>(merge)
    });
    let Some(mut merge) = begun.await? else { return Ok(false) };
    while !stopping.is_cancelled() {
        let (snapshot, step) = (store.read()?, merge.clone());
        // A stretch takes some milliseconds of work.
        let reading = tasks.spawn_blocking(move || step.next(&snapshot));
        let merged = Arc::new(reading.await.map_err(|panic| StoreError::Corrupt(panic.to_string()))??);
        match store.write_patiently(move |work| work.put_merged(&merge, &merged)).await? {
            Some(rest) => merge = rest,
            None => break,
        }
    }
    Ok(true)
}

/// Takes in some messages from before there was an index, the newest ones first; whether there were any.
async fn take_in(store: &Store, tasks: &Tasks) -> Result<bool, StoreError> {
    let Some(last) = search_backlog(&store.read()?)? else { return Ok(false) };
    let first = last.saturating_sub(BACKLOG - 1).max(1);
    let snapshot = store.read()?;
    let reading = tasks.spawn_blocking(move || {
        let mut words = Vec::new();
        let mut ids = Vec::new();
        for id in first..=last {
            if let Some(octets) = raw(&snapshot, id)? {
                words.push(parse_with_words(&octets).1);
                ids.push(Some(id));
            }
        }
        Ok::<_, StoreError>((WordsOfBatch::of(&words), ids))
    });
    let (words, ids) = reading.await.map_err(|panic| StoreError::Corrupt(panic.to_string()))??;
    let left = Some(first - 1).filter(|left| *left > 0);
    store
        .write_patiently(move |work| {
            work.index_words(&words, &ids)?;
            for id in first..=last {
                work.adopt_into_thread(id)?;
            }
            work.note_backlog(left)
        })
        .await?;
    tokio::time::sleep(REST).await;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Message;
    use crate::domain::words::terms;
    use crate::runtime::{Runtime, SeededRandom};
    use crate::store::search;
    use crate::vault::{MasterKey, Vault};

    #[tokio::test]
    async fn what_was_stored_before_there_was_an_index_is_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let store = Store::open(&folder.path().join("store.redb"), 1 << 20, vault, Runtime::system()).unwrap();
        let count = 2 * BACKLOG + 50;
        store
            .write(move |work| {
                for number in 1..=count {
                    let message: Message = serde_json::from_value(serde_json::json!({
                        "id": 0, "mailbox_id": 1, "direction": "inbound", "message_id": null, "in_reply_to": [],
                        "references": [], "from": [], "to": [], "cc": [], "bcc": [], "reply_to": [], "subject": null,
                        "snippet": "", "sent_at": null, "received_at": null, "folder": "INBOX", "flags": [], "size": 3,
                        "classification": "other", "attachments": [], "authentication_results": [],
                        "parse_problems": [], "created_at": work.now(), "mailing_id": null,
                    }))
                    .unwrap();
                    let raw = format!("Subject: number n{number}\r\n\r\nGrüße\r\n");
                    work.create_message(message, &number.to_string(), raw.as_bytes())?;
                }
                // As the start of a store without an index notes it.
                work.note_backlog(Some(count))
            })
            .await
            .unwrap();
        let found = |query: &str| search(&store.read().unwrap(), &terms(query)).unwrap();
        assert!(found("grusse ").is_empty());
        let tasks = Tasks::new();
        tidy(&store, &tasks, &tasks.stopping()).await.unwrap();
        assert_eq!(found("GRÜSSE "), (1..=count).collect::<Vec<_>>());
        assert_eq!(found("n1 "), [1]);
        assert_eq!(search_backlog(&store.read().unwrap()).unwrap(), None);
    }
}
