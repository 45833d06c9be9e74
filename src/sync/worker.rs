//! One sync of one mailbox on a thread of its own: contained, cancelled where the mailbox is not what it was.

use super::Parts;
use super::passes::{Reached, sync};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::mailbox::Mailbox;
use crate::runtime::contain_blocking;
use crate::store::StoreError;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a sync came to.
pub(super) struct Run {
    pub mailbox: u64,
    /// The settings it ran with; a run of older settings says nothing about the new ones.
    pub generation: u64,
    pub new: usize,
    pub end: End,
}

/// How a sync ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// All wanted folders are as new as the server's.
    Everything,
    /// There is more to do, and others were waiting.
    Turn,
    /// Broken off in order: the instance stops, or the mailbox is not what it was. Neither a success nor a failure.
    Stopped,
    Failed(Failure),
}

/// Syncs a mailbox as it was read; firing `cancel` ends that wherever it stands.
pub(super) async fn run(parts: &Arc<Parts>, mailbox: Mailbox, cancel: CancellationToken) -> Run {
    let (id, generation) = (mailbox.id, mailbox.generation);
    let blocking = {
        let (parts, cancel) = (parts.clone(), cancel.clone());
        parts.tasks.clone().spawn_blocking(move || {
            let mut new = 0;
            let result = contain_blocking(|| sync(&parts, &mailbox, &cancel, &mut new));
            (new, result)
        })
    };
    let (new, result) = match blocking.await {
        Ok(outcome) => outcome,
        Err(error) => (0, Err(error.to_string())),
    };
    let result = result.unwrap_or_else(|panic| Err(panicked(id, &panic)));
    let end = match result {
        Ok(Reached::Everything) => End::Everything,
        Ok(Reached::Turn) => End::Turn,
        Ok(Reached::Stop) => End::Stopped,
        // What a session says that was cancelled is no failure of the server.
        Err(_) if cancel.is_cancelled() => End::Stopped,
        Err(failure) => End::Failed(failure),
    };
    Run { mailbox: id, generation, new, end }
}

/// A fault of ours, told as one.
pub(super) fn panicked(mailbox: u64, panic: &str) -> Failure {
    tracing::error!(mailbox, panic, "a sync panicked");
    let sentence = "Postroom failed while it read this mailbox. Please report this with the log.";
    Failure::new(FailureKind::Temporary, Scope::Mailbox, Stage::Fetch, sentence)
}

pub(super) fn store_failure(error: &StoreError) -> Failure {
    Failure::new(FailureKind::Temporary, Scope::Mailbox, Stage::Store, error.to_string())
}
