//! The format of the file: created, checked against the key, migrated, or refused.

use super::StoreError;
use super::codec::{decode, encode};
use super::tables::{ALL, META};
use crate::vault::Vault;
use redb::{Database, ReadableDatabase, TableHandle, WriteTransaction};
use std::collections::BTreeSet;

/// The format that this version writes.
pub const FORMAT: u32 = 1;

const FORMAT_KEY: &[u8] = b"format";
const KEY_CHECK: &[u8] = b"key-check";

/// One step from a format to the next, run in the transaction that also writes the new number.
type Migration = fn(&WriteTransaction) -> Result<(), StoreError>;

/// `MIGRATIONS[n]` leads from format n + 1 to n + 2.
const MIGRATIONS: &[Migration] = &[];

/// How every commit is made.
pub(super) fn tune(transaction: &mut WriteTransaction) {
    // The allocator's state goes with each commit, so that a start after a crash need not walk the whole file.
    transaction.set_quick_repair(true);
}

/// Makes the database ready for this version, in one commit; changes nothing where it refuses.
pub(super) fn prepare(database: &Database, vault: &Vault) -> Result<(), StoreError> {
    let found = found_format(database, vault)?;
    if found == Some(FORMAT) && missing_tables(database)?.is_empty() {
        return Ok(());
    }
    let mut transaction = database.begin_write()?;
    tune(&mut transaction);
    for table in ALL {
        transaction.open_table(*table)?;
    }
    super::slots::adopt(&transaction)?;
    super::places::adopt(&transaction)?;
    super::messages::adopt(&transaction)?;
    super::search::adopt(&transaction, super::tables::MESSAGES)?;
    match found {
        None => {
            transaction.open_table(META)?.insert(KEY_CHECK, vault.key_check().as_slice())?;
        }
        Some(found) => {
            for step in MIGRATIONS.iter().skip(usize::try_from(found - 1).unwrap_or(usize::MAX)) {
                step(&transaction)?;
            }
        }
    }
    transaction.open_table(META)?.insert(FORMAT_KEY, encode(&FORMAT)?.as_slice())?;
    transaction.commit()?;
    Ok(())
}

/// Tables that this version knows and the file does not have: a new table alone is no new format.
fn missing_tables(database: &Database) -> Result<Vec<&'static str>, StoreError> {
    let snapshot = database.begin_read()?;
    let there: BTreeSet<String> = snapshot.list_tables()?.map(|table| table.name().to_owned()).collect();
    Ok(ALL.iter().map(TableHandle::name).filter(|name| !there.contains(*name)).collect())
}

/// Refuses a store that this version or this key cannot use; changes nothing.
pub(super) fn inspect(database: &impl ReadableDatabase, vault: &Vault) -> Result<(), StoreError> {
    found_format(database, vault).map(|_| ())
}

/// The format of an existing store whose key is the right one; `None` for a new file.
fn found_format(database: &impl ReadableDatabase, vault: &Vault) -> Result<Option<u32>, StoreError> {
    let snapshot = database.begin_read()?;
    let meta = match snapshot.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(format) = meta.get(FORMAT_KEY)?.map(|value| decode::<u32>(value.value())).transpose()? else {
        return Err(StoreError::Corrupt("the store does not say its format".into()));
    };
    if format > FORMAT {
        return Err(StoreError::NewerFormat { found: format, known: FORMAT });
    }
    if format == 0 {
        return Err(StoreError::Corrupt("format 0 does not exist".into()));
    }
    let check = meta.get(KEY_CHECK)?.map(|value| value.value().to_vec()).unwrap_or_default();
    vault.verify_check(&check).map_err(|error| StoreError::WrongKey(error.to_string()))?;
    Ok(Some(format))
}

/// Makes a file say that it has another format.
#[cfg(test)]
pub(super) fn pretend(transaction: &WriteTransaction, format: u32) {
    let value = encode(&format).expect("a number can be encoded");
    transaction
        .open_table(META)
        .expect("the table is there")
        .insert(FORMAT_KEY, value.as_slice())
        .expect("it is written");
}
