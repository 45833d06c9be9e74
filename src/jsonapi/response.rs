//! Answers: the media type, the location of what was made, entity tags.

use super::error::ApiError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// The media type of every answer.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";

/// An answer with any status.
pub fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    with_body(HttpResponse::build(status), body)
}

/// 200.
pub fn ok(body: &impl Serialize) -> HttpResponse {
    json(StatusCode::OK, body)
}

/// 201 with the absolute URL of what was made.
pub fn created(location: &str, body: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    with_body(response, body)
}

/// 204.
pub fn no_content() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

fn with_body(mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(body) => response.content_type(MEDIA_TYPE).body(body),
        Err(_) => HttpResponse::from_error(ApiError::internal()),
    }
}

/// A strong entity tag (RFC 9110 §8.8.3), quotes included, of what `state` serializes to.
pub fn etag(state: &impl Serialize) -> String {
    // Serialization of our own values does not fail; if it did, a tag of nothing matches no other record's.
    let bytes = serde_json::to_vec(state).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]))
}

/// Whether the client has this state already (`If-None-Match`, weak comparison): the answer is then 304.
pub fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    tags(headers, &header::IF_NONE_MATCH).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// 412 unless `If-Match` is absent or names this state (strong comparison).
pub fn require_match(headers: &HeaderMap, etag: &str) -> Result<(), ApiError> {
    if !headers.contains_key(header::IF_MATCH) || tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == etag)
    {
        Ok(())
    } else {
        Err(ApiError::precondition_failed())
    }
}

/// Our tags hold no comma, so the list splits at each.
fn tags<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use serde_json::json;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn answers_carry_the_media_type_and_the_location() {
        let answer = created("https://x/api/v2/mailboxes/1", &json!({}));
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.headers().get("content-type").unwrap(), MEDIA_TYPE);
        assert_eq!(answer.headers().get("location").unwrap(), "https://x/api/v2/mailboxes/1");
        assert_eq!((ok(&json!({})).status().as_u16(), no_content().status().as_u16()), (200, 204));
    }

    #[test]
    fn an_update_passes_only_with_the_tag_of_what_is_there() {
        let (old, new) = (etag(&json!({"a": 1})), etag(&json!({"a": 2})));
        assert!(old != new && old.starts_with('"') && old.ends_with('"') && !old.contains(','));
        assert_eq!(require_match(&HeaderMap::new(), &new), Ok(()));
        assert_eq!(require_match(&headers(header::IF_MATCH, "*"), &new), Ok(()));
        let both: &'static str = format!("{old}, {new}").leak();
        assert_eq!(require_match(&headers(header::IF_MATCH, both), &new), Ok(()));
        let stale: &'static str = old.clone().leak();
        assert_eq!(require_match(&headers(header::IF_MATCH, stale), &new).unwrap_err().status(), 412);
        let weak: &'static str = format!("W/{new}").leak();
        assert!(require_match(&headers(header::IF_MATCH, weak), &new).is_err(), "weak tags match no update");
        assert!(none_match(&headers(header::IF_NONE_MATCH, weak), &new));
        assert!(!none_match(&HeaderMap::new(), &new) && !none_match(&headers(header::IF_NONE_MATCH, weak), &old));
    }
}
