//! Memory for large messages: however many workers there are they do not fill it up, and one mailbox takes a quarter at
//! most, as its server may be slow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// In mebibytes: seven messages of the largest default size. Larger ones go one after the other, smaller ones together.
const ALL: u32 = 256;
const OF_ONE: u32 = ALL / 4;

/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What there is.
pub(super) struct Room {
    all: Arc<Semaphore>,
    /// Of each mailbox that uses some.
    of_one: Mutex<HashMap<u64, Weak<Semaphore>>>,
}

/// What one message takes, until this is dropped.
pub(super) struct Taken {
    _of_one: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL as usize)), of_one: Mutex::default() }
    }
}

impl Room {
    /// Waits for so many mebibytes for a mailbox, but not long: `None` where there are none, as whoever waits keeps others
    /// waiting.
    pub async fn take(&self, mailbox: u64, mebibytes: u32) -> Option<Taken> {
        tokio::time::timeout(PATIENCE, self.taken(mailbox, mebibytes)).await.ok()?.ok()
    }

    async fn taken(&self, mailbox: u64, mebibytes: u32) -> Result<Taken, AcquireError> {
        // In this order: who waits for the others of its mailbox takes nothing from the rest.
        let of_one = self.of(mailbox).acquire_many_owned(mebibytes.min(OF_ONE)).await?;
        let of_all = self.all.clone().acquire_many_owned(mebibytes.min(OF_ONE)).await?;
        Ok(Taken { _of_one: of_one, _of_all: of_all })
    }

    fn of(&self, mailbox: u64) -> Arc<Semaphore> {
        let mut rooms = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|_, room| room.strong_count() > 0);
        let known = rooms.get(&mailbox).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let room = Arc::new(Semaphore::new(OF_ONE as usize));
            rooms.insert(mailbox, Arc::downgrade(&room));
            room
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn one_mailbox_takes_no_more_than_a_quarter_whatever_its_messages() {
        let room = Room::default();
        let first = room.take(1, 40).await.unwrap();
        assert!(room.take(1, 40).now_or_never().is_none(), "its share is used up");
        let others: Vec<Taken> = (2..6).map(|other| room.take(other, 40).now_or_never().unwrap().unwrap()).collect();
        drop(first);
        // Larger than a share: it goes, alone.
        let huge = room.take(1, 1000).now_or_never().unwrap().unwrap();
        assert!(room.take(1, 1).now_or_never().is_none());
        drop((huge, others));
        assert_eq!(room.all.available_permits(), 256);
        room.of(9);
        assert_eq!(room.of_one.lock().unwrap().len(), 1, "nothing is kept of those who use none");
    }
}
