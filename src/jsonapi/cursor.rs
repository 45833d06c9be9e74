//! Page cursors: a place in a sorted list as one opaque word.

use crate::domain::list::{Cursor, Scalar, SortKey};
use crate::domain::resource::{Kind, Resource};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The longest cursor that is read: five long sort values fit.
const LONGEST: usize = 16_384;

/// What is inside. The tag says which list the place is in.
#[derive(Serialize, Deserialize)]
struct Sealed {
    tag: [u8; 4],
    cursor: Cursor,
}

/// Why a cursor is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadCursor {
    /// Not one of ours, or cut short.
    Unreadable,
    /// Of a list with another sort, or of another resource.
    OtherList,
}

impl BadCursor {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unreadable => "is not a cursor of this server; take it from the links of a list.",
            Self::OtherList => "is a cursor of a list with another sort; start again without it.",
        }
    }
}

pub(super) fn encode(resource: &str, sort: &[SortKey], cursor: &Cursor) -> String {
    let sealed = Sealed { tag: tag(resource, sort), cursor: cursor.clone() };
    // Numbers, times and texts always encode; an empty cursor would be the first page.
    URL_SAFE_NO_PAD.encode(rmp_serde::to_vec(&sealed).unwrap_or_default())
}

pub(super) fn decode(resource: &Resource, sort: &[SortKey], text: &str) -> Result<Cursor, BadCursor> {
    if text.len() > LONGEST {
        return Err(BadCursor::Unreadable);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadCursor::Unreadable)?;
    let sealed: Sealed = rmp_serde::from_slice(&bytes).map_err(|_| BadCursor::Unreadable)?;
    if sealed.tag != tag(resource.name, sort) || sealed.cursor.keys.len() != sort.len() {
        return Err(BadCursor::OtherList);
    }
    // The tag is no signature: whoever makes a cursor of their own gets a place, but never a value of a wrong kind.
    let fits = |(key, value): (&SortKey, &Scalar)| {
        let kind = resource.attribute(&key.field).map(|found| found.kind);
        matches!(
            (kind, value),
            (_, Scalar::Null)
                | (None | Some(Kind::Integer { .. }), Scalar::Integer(_))
                | (Some(Kind::Boolean), Scalar::Boolean(_))
                | (Some(Kind::Time), Scalar::Time(_))
                | (Some(Kind::Text { .. }), Scalar::Text(_))
        )
    };
    if sort.iter().zip(&sealed.cursor.keys).all(fits) { Ok(sealed.cursor) } else { Err(BadCursor::Unreadable) }
}

fn tag(resource: &str, sort: &[SortKey]) -> [u8; 4] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(resource.as_bytes());
    for key in sort {
        context.update(if key.descending { b",-" } else { b"," });
        context.update(key.field.as_bytes());
    }
    let digest = context.finish();
    let octets = digest.as_ref();
    [octets[0], octets[1], octets[2], octets[3]]
}
