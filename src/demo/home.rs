//! The demo's own place on the disk.

use crate::config::{KeyPlace, Places};
use crate::runtime::Random;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A temporary directory that only its owner can look into; removed with everything in it when dropped.
pub(super) struct Home {
    root: PathBuf,
}

impl Home {
    /// Makes it in the system's directory for such. A name that is there already is never used: somebody else may have
    /// prepared it.
    pub fn make(random: &dyn Random) -> io::Result<Self> {
        let mut bits = [0; 8];
        random.fill(&mut bits);
        let root = std::env::temp_dir().join(format!("postroom-demo-{:016x}", u64::from_be_bytes(bits)));
        DirBuilder::new().mode(0o700).create(&root)?;
        Ok(Self { root })
    }

    /// Data, socket and master key; the key beside the data, as everywhere.
    pub fn places(&self) -> Places {
        Places {
            data_dir: self.root.join("data"),
            socket: self.root.join("api.sock"),
            master_key: KeyPlace::File(self.root.join("master.key")),
        }
    }

    #[cfg(test)]
    fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

fn remove(root: &Path) {
    if let Err(error) = std::fs::remove_dir_all(root) {
        tracing::warn!(%error, directory = %root.display(), "the demo's directory could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SystemRandom;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_home_is_private_and_leaves_nothing_behind() {
        let home = Home::make(&SystemRandom::new()).unwrap();
        let root = home.root().to_owned();
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir(home.places().data_dir).unwrap();
        std::fs::write(home.places().master_key.path(), "x").unwrap();
        drop(home);
        assert!(!root.exists());
    }
}
