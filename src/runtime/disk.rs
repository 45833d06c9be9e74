//! How much room the disk has left.

use std::io;
use std::path::Path;

/// The octets that an ordinary user can still write to the file system of `path`.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(path)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_some_room_and_a_missing_path_is_an_error() {
        assert!(free_space(&std::env::temp_dir()).unwrap() > 0);
        assert!(free_space(Path::new("/nowhere/at/all")).is_err());
    }
}
