//! Sealing and opening one secret.
//!
//! A sealed value: version (1 byte), key id (4), nonce (24), then the ciphertext and its tag (16) as
//! XChaCha20-Poly1305 makes them. Version, key id and place are associated data, so a value opens only where it was put.

use super::MasterKey;
use crate::domain::secret::SealedSecret;
use crate::runtime::Random;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use ring::hkdf;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// Where a sealed secret belongs: it opens at this place and at no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The store's table, or the kind of record.
    pub table: &'a str,
    /// The record's id in that table.
    pub record: u64,
    /// The attribute.
    pub field: &'a str,
}

/// Seals and opens secrets under one master key. Cheap to clone; keys are wiped with the last clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    /// The root of all subkeys, HKDF-SHA256 (RFC 5869) of the master key.
    root: hkdf::Prk,
    sealing: Zeroizing<[u8; 32]>,
    id: [u8; KEY_ID],
}

impl Vault {
    pub fn new(key: &MasterKey) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"postroom").extract(key.bytes());
        let sealing = expand(&root, "seal", "");
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&expand(&root, "id", "")[..KEY_ID]);
        Self(Arc::new(Keys { root, sealing, id }))
    }

    /// Seals `secret` for `place`, with a fresh nonce.
    pub fn seal(&self, place: &Place<'_>, secret: &SecretString, random: &dyn Random) -> SealedSecret {
        let plain = secret.expose_secret().as_bytes();
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce);
        // All the room at once: a vector that grows would leave copies of the plaintext behind.
        let mut sealed = Vec::with_capacity(HEADER + plain.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.0.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .cipher()
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                &associated(VERSION, self.0.id, place),
                (&mut sealed[HEADER..]).into(),
            )
            .expect("a secret is shorter than the cipher's limit of 256 GiB");
        sealed.extend_from_slice(&tag);
        SealedSecret::from_bytes(sealed)
    }

    /// Opens what [`Vault::seal`] made for the same place.
    ///
    /// Errors: [`VaultError::Malformed`] for bytes that no version of ours wrote, [`VaultError::OtherKey`] for a value
    /// sealed under another master key, [`VaultError::Damaged`] for one that was changed or belongs elsewhere.
    pub fn open(&self, place: &Place<'_>, sealed: &SealedSecret) -> Result<SecretString, VaultError> {
        let (version, rest) = sealed.as_bytes().split_first().ok_or(VaultError::Malformed)?;
        if *version != VERSION {
            return Err(VaultError::Malformed);
        }
        let (id, rest) = rest.split_first_chunk::<KEY_ID>().ok_or(VaultError::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(VaultError::Malformed)?;
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(VaultError::Malformed)?;
        if *id != self.0.id {
            return Err(VaultError::OtherKey);
        }
        let mut plain = body.to_vec();
        let opened = self.cipher().decrypt_inout_detached(
            &XNonce::from(*nonce),
            &associated(*version, *id, place),
            plain.as_mut_slice().into(),
            &Tag::from(*tag),
        );
        if opened.is_err() {
            plain.zeroize();
            return Err(VaultError::Damaged);
        }
        match String::from_utf8(plain) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(VaultError::Malformed)
            }
        }
    }

    /// A key of its own for another purpose (a signature, a token), which never changes while the master key stays.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.expand("derived", purpose)
    }

    pub(super) fn key_id(&self) -> [u8; KEY_ID] {
        self.0.id
    }

    pub(super) fn expand(&self, label: &str, purpose: &str) -> Zeroizing<[u8; 32]> {
        expand(&self.0.root, label, purpose)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0.sealing).into())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(key {:08x})", u32::from_be_bytes(self.0.id))
    }
}

/// Why a sealed secret does not open. Carries nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// Not a value that this version can read.
    Malformed,
    /// Sealed under another master key.
    OtherKey,
    /// Changed since it was sealed, or sealed for another place.
    Damaged,
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "The stored secret is not in a format that this version can read. Enter it again.",
            Self::OtherKey => "The stored secret was sealed with another master key. Enter it again.",
            Self::Damaged => "The stored secret was damaged or moved and cannot be opened. Enter it again.",
        })
    }
}

impl std::error::Error for VaultError {}

fn expand(root: &hkdf::Prk, label: &str, purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // No label contains a slash, so no two pairs of label and purpose read the same.
    root.expand(&[b"postroom/1/", label.as_bytes(), b"/", purpose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes are what HKDF-SHA256 gives in one block");
    key
}

/// Every part has a length of its own or a fixed one, so no two places encode alike.
fn associated(version: u8, key_id: [u8; KEY_ID], place: &Place<'_>) -> Vec<u8> {
    let mut data = vec![version];
    data.extend_from_slice(&key_id);
    for text in [place.table, place.field] {
        data.extend_from_slice(&(text.len() as u64).to_be_bytes());
        data.extend_from_slice(text.as_bytes());
    }
    data.extend_from_slice(&place.record.to_be_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SeededRandom;
    use proptest::prelude::*;

    const HERE: Place<'static> = Place { table: "mailboxes", record: 7, field: "password" };

    fn vault(seed: u64) -> Vault {
        Vault::new(&MasterKey::ephemeral(&SeededRandom::new(seed)))
    }

    fn sealed_here(text: &str) -> SealedSecret {
        vault(1).seal(&HERE, &SecretString::from(text), &SeededRandom::new(9))
    }

    #[test]
    fn a_secret_opens_at_its_own_place_only() {
        let sealed = sealed_here("correct horse");
        assert_eq!(vault(1).open(&HERE, &sealed).unwrap().expose_secret(), "correct horse");
        for elsewhere in [
            Place { record: 8, ..HERE },
            Place { field: "smtpPassword", ..HERE },
            Place { table: "auths", ..HERE },
            // The same letters with the border elsewhere.
            Place { table: "mailboxesp", field: "assword", ..HERE },
        ] {
            assert_eq!(vault(1).open(&elsewhere, &sealed).unwrap_err(), VaultError::Damaged, "{elsewhere:?}");
        }
    }

    #[test]
    fn a_value_with_any_byte_flipped_or_cut_off_does_not_open() {
        let sealed = sealed_here("correct horse").as_bytes().to_vec();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 0x10;
            assert!(vault(1).open(&HERE, &SealedSecret::from_bytes(changed)).is_err(), "byte {position} flipped");
            let cut = SealedSecret::from_bytes(sealed[..position].to_vec());
            assert!(vault(1).open(&HERE, &cut).is_err(), "cut to {position} bytes");
        }
    }

    #[test]
    fn another_master_key_opens_nothing_even_under_a_forged_key_id() {
        let sealed = sealed_here("correct horse");
        assert_eq!(vault(2).open(&HERE, &sealed).unwrap_err(), VaultError::OtherKey);
        let mut forged = sealed.as_bytes().to_vec();
        forged[1..=KEY_ID].copy_from_slice(&vault(2).key_id());
        assert_eq!(vault(2).open(&HERE, &SealedSecret::from_bytes(forged)).unwrap_err(), VaultError::Damaged);
    }

    #[test]
    fn sealing_the_same_secret_twice_gives_two_nonces_and_two_ciphertexts() {
        let (vault, random, secret) = (vault(1), SeededRandom::new(3), SecretString::from("x"));
        let (a, b) = (vault.seal(&HERE, &secret, &random), vault.seal(&HERE, &secret, &random));
        assert_ne!(a.as_bytes()[5..HEADER], b.as_bytes()[5..HEADER]);
        assert_ne!(a.as_bytes()[HEADER..], b.as_bytes()[HEADER..]);
    }

    #[test]
    fn debug_output_and_errors_carry_no_secret() {
        let key = MasterKey::ephemeral(&SeededRandom::new(1));
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
        let sealed = sealed_here("correct horse");
        let opened = vault(1).open(&HERE, &sealed).unwrap();
        assert!(!format!("{:?} {sealed:?} {opened:?}", vault(1)).contains("horse"));
    }

    #[test]
    fn derived_keys_differ_by_purpose_and_master_key_and_stay_the_same_otherwise() {
        assert_eq!(*vault(1).derive("unsubscribe"), *vault(1).derive("unsubscribe"));
        assert_ne!(*vault(1).derive("unsubscribe"), *vault(1).derive("open"));
        assert_ne!(*vault(1).derive("unsubscribe"), *vault(2).derive("unsubscribe"));
        assert_ne!(*vault(1).derive(""), *vault(1).0.sealing);
    }

    #[test]
    fn a_value_sealed_by_the_first_release_still_opens() {
        // Written down once: whoever changes the format must add a version, not change this test.
        let stored = "010987bd5b646070befe52afae62eaaf875e8a2dc0b689b544e52bec43a60ac671\
                      fcfa1722264d24c9845078b7639532e3dda6c8891ff7b30185";
        let byte = |at| u8::from_str_radix(&stored[at..at + 2], 16).unwrap();
        let sealed = SealedSecret::from_bytes((0..stored.len()).step_by(2).map(byte).collect());
        assert_eq!(vault(1).open(&HERE, &sealed).unwrap().expose_secret(), "correct horse");
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_opens_again(
            text in ".{0,200}", table in "[a-z]{1,12}", record: u64, field in "[a-zA-Z]{0,12}", seed: u64,
        ) {
            let place = Place { table: &table, record, field: &field };
            let sealed = vault(5).seal(&place, &SecretString::from(text.as_str()), &SeededRandom::new(seed));
            prop_assert_eq!(sealed.as_bytes().len(), HEADER + text.len() + TAG);
            let opened = vault(5).open(&place, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), text.as_str());
        }

        #[test]
        fn bytes_that_nobody_sealed_never_open_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(vault(5).open(&HERE, &SealedSecret::from_bytes(bytes)).is_err());
        }
    }
}
