//! The store's file: made whole or not at all, and for nobody else to read. Bodies of messages lie in it in the clear.

use super::StoreError;
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes it under another name first, so that a half-made file never carries the store's. Only the owner may read it,
/// also where the directory is open to everybody.
pub(super) fn make(path: &Path, fill: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let new = path.with_extension("redb.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(disk_error(&new, &error)),
        _ => {}
    }
    let empty = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    drop(empty.map_err(|error| disk_error(&new, &error))?);
    fill(&new)?;
    fs::rename(&new, path).map_err(|error| disk_error(path, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| disk_error(folder, &error))
}

/// Takes a store's file from everybody who is neither its owner nor in its group: earlier versions, and copies, left it
/// readable. What the group may is the operator's choice.
pub(super) fn keep_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error| disk_error(path, &error);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "the store could be used by everybody on this machine; that is over");
        fs::set_permissions(path, Permissions::from_mode(mode & 0o770)).map_err(failed)?;
    }
    Ok(())
}

fn disk_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Storage(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_its_owners_alone_and_one_that_was_open_to_all_is_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        fs::write(path.with_extension("redb.new"), "left by a crash").unwrap();
        make(&path, |new| {
            assert_eq!(fs::read(new).unwrap(), b"");
            Ok(())
        })
        .unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
        keep_private(&path).unwrap();
        assert_eq!(mode(), 0o640);
    }
}
