//! How values and keys become octets.
//!
//! A value is a version octet and MessagePack with field names, so that fields can come and go. A key is a tuple whose
//! octets sort as the tuple does: numbers big-endian, texts escaped and ended.

use super::StoreError;
use crate::domain::list::Scalar;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the value encoding; not of the schema.
const VALUE_VERSION: u8 = 1;

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut octets = vec![VALUE_VERSION];
    let mut serializer = rmp_serde::Serializer::new(&mut octets).with_struct_map();
    value.serialize(&mut serializer).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(octets)
}

pub(super) fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, StoreError> {
    match octets.split_first() {
        Some((&VALUE_VERSION, rest)) => {
            rmp_serde::from_slice(rest).map_err(|error| StoreError::Corrupt(error.to_string()))
        }
        Some((version, _)) => Err(StoreError::Corrupt(format!("value encoding {version} is not known"))),
        None => Err(StoreError::Corrupt("an empty value".into())),
    }
}

/// A key under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn id(mut self, id: u64) -> Self {
        self.0.extend_from_slice(&id.to_be_bytes());
        self
    }

    /// A signed number, in numeric order.
    pub fn number(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&(number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        self
    }

    pub fn octets(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    /// A text of any length, in octet order, followed by an end mark.
    pub fn text(mut self, text: &str) -> Self {
        for octet in text.bytes() {
            self.0.push(octet);
            if octet == 0 {
                self.0.push(0xFF);
            }
        }
        self.0.extend_from_slice(&[0, 0]);
        self
    }

    pub fn scalar(mut self, scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Null => {
                self.0.push(0);
                self
            }
            Scalar::Boolean(value) => {
                self.0.extend_from_slice(&[1, u8::from(*value)]);
                self
            }
            Scalar::Integer(number) => {
                self.0.push(2);
                self.number(*number)
            }
            Scalar::Time(time) => {
                self.0.push(3);
                self.number(time.millis())
            }
            Scalar::Text(text) => {
                self.0.push(4);
                self.text(text)
            }
        }
    }

    pub fn build(self) -> Vec<u8> {
        self.0
    }
}

/// The first key that is greater than every key with this prefix; `None` if there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The id at the end of an index key.
pub(super) fn trailing_id(key: &[u8]) -> Result<u64, StoreError> {
    key.last_chunk::<8>()
        .map(|octets| u64::from_be_bytes(*octets))
        .ok_or_else(|| StoreError::Corrupt("an index key without an id".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use proptest::prelude::*;

    fn scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            Just(Scalar::Null),
            any::<bool>().prop_map(Scalar::Boolean),
            any::<i64>().prop_map(Scalar::Integer),
            any::<i64>().prop_map(|millis| Scalar::Time(Timestamp::from_millis(millis))),
            "[a-c\0\u{ff}]{0,4}".prop_map(Scalar::Text),
        ]
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_tuples_do(a in (scalar(), scalar(), any::<u64>()), b in (scalar(), scalar(), any::<u64>())) {
            let key = |tuple: &(Scalar, Scalar, u64)| Key::new().scalar(&tuple.0).scalar(&tuple.1).id(tuple.2).build();
            prop_assert_eq!(a.cmp(&b), key(&a).cmp(&key(&b)));
        }

        #[test]
        fn a_prefix_ends_where_the_next_key_begins(prefix in prop::collection::vec(any::<u8>(), 0..4), rest in prop::collection::vec(any::<u8>(), 0..4)) {
            let with_prefix = [prefix.clone(), rest].concat();
            if let Some(end) = after_prefix(&prefix) {
                prop_assert!(with_prefix < end && end > prefix);
            } else {
                prop_assert!(prefix.iter().all(|octet| *octet == 0xFF));
            }
        }
    }
}
