//! A secret as it rests in a record: sealed by the vault, opaque to everybody else.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The ciphertext of one secret. Only the vault can make sense of the bytes.
///
/// It goes into the store (binary formats) and nowhere else: a format for people, such as JSON, refuses it, so that a
/// record that finds its way into a response by mistake fails there instead of carrying its ciphertexts along.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret(…)")
    }
}

impl Serialize for SealedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Err(serde::ser::Error::custom("a sealed secret is written to the store only"));
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for SealedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a sealed secret")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = sequence.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }

        if deserializer.is_human_readable() {
            return Err(D::Error::custom("a sealed secret is read from the store only"));
        }
        deserializer.deserialize_byte_buf(Bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_survives_the_store_format_as_compact_bytes() {
        let sealed = SealedSecret::from_bytes(vec![0xC7; 100]);
        let stored = rmp_serde::to_vec_named(&sealed).unwrap();
        assert_eq!(stored.len(), 102, "a bin 8 header of two bytes, then the bytes as they are");
        assert_eq!(rmp_serde::from_slice::<SealedSecret>(&stored).unwrap(), sealed);
    }

    #[test]
    fn a_sealed_secret_goes_into_no_json_and_into_no_debug_output() {
        let sealed = SealedSecret::from_bytes(vec![65, 66, 67]);
        assert_eq!(format!("{sealed:?}"), "SealedSecret(…)");
        assert!(serde_json::to_string(&sealed).is_err());
        assert!(serde_json::from_str::<SealedSecret>("[65,66,67]").is_err());
    }
}
