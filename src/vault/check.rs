//! The key check value: how a store notices that it is opened with another key than the one it was made with.

use super::Vault;
use std::fmt;

/// The version of the check value's format.
const VERSION: u8 = 1;

impl Vault {
    /// What a store keeps beside its data: a version, the key's id and 16 bytes derived from the key, from which
    /// nothing can be learned about it.
    pub fn key_check(&self) -> Vec<u8> {
        let mut value = vec![VERSION];
        value.extend_from_slice(&self.key_id());
        value.extend_from_slice(&self.expand("check", "")[..16]);
        value
    }

    /// Compares a store's check value with this key. An error means: do not start, and change nothing.
    pub fn verify_check(&self, kept: &[u8]) -> Result<(), WrongKey> {
        // Not a secret and not a guess from outside, so comparing it need not take constant time.
        if kept == self.key_check() {
            return Ok(());
        }
        match kept {
            [VERSION, a, b, c, d, rest @ ..] if rest.len() == 16 && [*a, *b, *c, *d] != self.key_id() => {
                Err(WrongKey::Other { wanted: hex([*a, *b, *c, *d]), given: hex(self.key_id()) })
            }
            _ => Err(WrongKey::Unreadable),
        }
    }
}

/// The store was made with another key, or its check value is unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongKey {
    /// The ids of the key that the store was made with and of the one that was given.
    Other {
        wanted: String,
        given: String,
    },
    Unreadable,
}

impl fmt::Display for WrongKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { wanted, given } => write!(
                f,
                "This store was made with the master key {wanted}, but the key given is {given}. Nothing was changed. \
                 Name the file with the right key in POSTROOM_MASTER_KEY_FILE, or put it back in its place; without it \
                 the stored passwords cannot be read."
            ),
            Self::Unreadable => write!(
                f,
                "The store's note on its master key is damaged or was written by a newer version. Nothing was changed. \
                 Use the version that last opened this store, or restore a backup."
            ),
        }
    }
}

impl std::error::Error for WrongKey {}

/// A key's id as people see it: eight hexadecimal digits.
fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SeededRandom;
    use crate::vault::MasterKey;

    fn vault(seed: u64) -> Vault {
        Vault::new(&MasterKey::ephemeral(&SeededRandom::new(seed)))
    }

    #[test]
    fn the_key_a_store_was_made_with_is_recognised_and_another_is_named() {
        let kept = vault(1).key_check();
        assert_eq!(vault(1).verify_check(&kept), Ok(()));
        let error = vault(2).verify_check(&kept).unwrap_err();
        assert!(matches!(&error, WrongKey::Other { wanted, given } if wanted != given && wanted.len() == 8));
        assert!(error.to_string().contains("POSTROOM_MASTER_KEY_FILE"));
    }

    #[test]
    fn a_damaged_check_value_is_refused_whatever_was_damaged() {
        let kept = vault(1).key_check();
        for position in 0..kept.len() {
            let mut damaged = kept.clone();
            damaged[position] ^= 1;
            assert!(vault(1).verify_check(&damaged).is_err(), "byte {position}");
            assert!(vault(1).verify_check(&kept[..position]).is_err(), "cut to {position}");
        }
        assert!(vault(1).verify_check(&[&kept[..], &[0]].concat()).is_err());
    }
}
