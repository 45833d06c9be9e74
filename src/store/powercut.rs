//! A storage that loses its power: it keeps what was written and what was synced apart, and after a chosen number of
//! syncs nothing becomes durable any more. What a restart finds is what was durable.

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Default)]
struct Images {
    live: Vec<u8>,
    durable: Vec<u8>,
    syncs: u64,
    cut_at: u64,
    dead: bool,
}

/// The disk of a machine whose power can be cut; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Images>>);

impl Disk {
    /// A disk whose power goes at the `cut_at`-th sync: that sync fails and nothing after it succeeds.
    pub fn with_cut_at(cut_at: u64) -> Self {
        let disk = Self::default();
        disk.images().cut_at = cut_at;
        disk
    }

    /// What a restart finds, with power for so many syncs.
    pub fn restarted(&self, cut_at: u64) -> Self {
        let durable = self.images().durable.clone();
        Self(Arc::new(Mutex::new(Images { live: durable.clone(), durable, syncs: 0, cut_at, dead: false })))
    }

    pub fn syncs(&self) -> u64 {
        self.images().syncs
    }

    pub fn is_dead(&self) -> bool {
        self.images().dead
    }

    fn images(&self) -> std::sync::MutexGuard<'_, Images> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn powerless() -> io::Error {
    io::Error::other("the power is cut")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.images().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let images = self.images();
        if images.dead {
            return Err(powerless());
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let octets = images.live.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(octets);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut images = self.images();
        if images.dead {
            return Err(powerless());
        }
        images.live.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut images = self.images();
        images.syncs += 1;
        if images.dead || images.syncs >= images.cut_at {
            images.dead = true;
            return Err(powerless());
        }
        images.durable = images.live.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut images = self.images();
        if images.dead {
            return Err(powerless());
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        images.live.get_mut(start..start + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}
