//! Ids: sequential integers from 1, so that they fit every client's integer.

use super::error::ApiError;
use crate::domain::resource::Resource;

/// Reads digits as an id from 1 to 2^63 - 1.
pub(super) fn parse(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|id| in_range(*id))
}

pub(super) fn in_range(id: u64) -> bool {
    (1..=i64::MAX.unsigned_abs()).contains(&id)
}

/// The id in a path; what is no id names nothing: 404.
pub fn path_id(resource: &Resource, text: &str) -> Result<u64, ApiError> {
    parse(text).ok_or_else(|| ApiError::not_found(resource, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mailbox::RESOURCE;

    #[test]
    fn a_path_id_is_a_positive_integer_and_anything_else_is_not_found() {
        assert_eq!(path_id(&RESOURCE, "1"), Ok(1));
        assert_eq!(path_id(&RESOURCE, "9223372036854775807"), Ok(i64::MAX.unsigned_abs()));
        for bad in ["", "0", "-1", "+1", " 1", "1.0", "1e3", "9223372036854775808", "99999999999999999999999", "x", "١"]
        {
            assert_eq!(path_id(&RESOURCE, bad).unwrap_err().status(), 404, "{bad}");
        }
        let error = path_id(&RESOURCE, "a\r\nb").unwrap_err();
        assert_eq!(error.to_string(), "Could not find 'mailbox' with ID 'ab'.");
    }
}
