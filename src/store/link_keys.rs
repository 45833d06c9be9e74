//! The keys of public links: sealed under the master key, and never removed, as their links live for years.
//!
//! A link depends on these keys only. Another master key reseals them, and every link goes on working.

use super::codec::{Key, decode, encode};
use super::reader::{GO_ON, Keys, Reader};
use super::tables::LINK_KEYS;
use super::{StoreError, Work};
use crate::domain::link::{LinkKey, LinkKeys};
use crate::domain::secret::SealedSecret;
use crate::vault::{Place, Vault};
use secrecy::{ExposeSecret, SecretString};

fn place(id: u32) -> Place<'static> {
    Place { table: "links", record: u64::from(id), field: "key" }
}

/// Every key, the newest last.
pub fn link_keys(reader: &impl Reader, vault: &Vault) -> Result<LinkKeys, StoreError> {
    let mut keys = Vec::new();
    reader.scan(LINK_KEYS, Keys::all(), false, |key, value| {
        let id =
            u32::from_be_bytes(key.try_into().map_err(|_| StoreError::Corrupt("a link key without an id".into()))?);
        let sealed: SealedSecret = decode(value)?;
        let text = vault.open(&place(id), &sealed).map_err(|error| StoreError::Vault(error.to_string()))?;
        let key = LinkKey::from_text(id, text.expose_secret());
        keys.push(key.ok_or_else(|| StoreError::Corrupt("a link key of the wrong length".into()))?);
        GO_ON
    })?;
    Ok(LinkKeys(keys))
}

impl Work<'_> {
    /// The key that new links are made with; the first one is made when it is needed.
    pub fn link_key(&mut self) -> Result<LinkKey, StoreError> {
        match link_keys(self, self.vault)?.0.pop() {
            Some(newest) => Ok(newest),
            None => self.add_link_key(),
        }
    }

    /// Makes a key for the links from now on; those of the older keys stay valid.
    pub fn add_link_key(&mut self) -> Result<LinkKey, StoreError> {
        let id = link_keys(self, self.vault)?.0.last().map_or(1, |newest| newest.id + 1);
        let mut secret = [0; 32];
        self.runtime.random.fill(&mut secret);
        let key = LinkKey::new(id, secret);
        let text = SecretString::from(key.to_text().as_str());
        let sealed = self.vault.seal(&place(id), &text, &*self.runtime.random);
        self.put(LINK_KEYS, &Key::new().octets(&id.to_be_bytes()).build(), &encode(&sealed)?)?;
        Ok(key)
    }
}
