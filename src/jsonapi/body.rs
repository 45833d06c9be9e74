//! A request's body: the right media type, within bounds, valid JSON.

use super::error::ApiError;
use super::response::MEDIA_TYPE;
use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::StreamExt as _;
use serde_json::Value;
use serde_json::error::Category;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// How deep lists and objects may nest.
const DEPTH: usize = 32;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest body in octets; register another one as `app_data` of the app or of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit(pub usize);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(1 << 20)
    }
}

/// The JSON of a body. It may hold passwords: its debug print says nothing.
pub struct JsonApiBody(pub Value);

impl fmt::Debug for JsonApiBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonApiBody(…)")
    }
}

impl FromRequest for JsonApiBody {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let BodyLimit(limit) = request
                .app_data::<BodyLimit>()
                .or_else(|| request.app_data::<web::Data<BodyLimit>>().map(|data| &***data))
                .copied()
                .unwrap_or_default();
            let headers = request.headers();
            // A body that says it is too large is not read at all.
            let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            if announced.is_some_and(|octets: u64| octets > limit as u64) {
                return Err(ApiError::too_large(limit, ""));
            }
            let bytes = tokio::time::timeout(PATIENCE, read(payload, limit, "")).await;
            let bytes = bytes.map_err(|_| ApiError::too_slow())??;
            if bytes.is_empty() {
                return Err(ApiError::malformed_body("The request has no body; a JSON:API document is needed."));
            }
            check_content_type(headers)?;
            parse(&bytes).map(Self)
        })
    }
}

/// The largest text body, in octets.
const TEXT_LIMIT: usize = 8 << 20;

/// A body that is UTF-8 text in another format than JSON.
pub struct TextBody {
    pub text: String,
    media_type: String,
}

impl TextBody {
    /// 415 unless the body came as this type; parameters do not count.
    pub fn require_type(&self, wanted: &str) -> Result<(), ApiError> {
        if self.media_type.eq_ignore_ascii_case(wanted) {
            return Ok(());
        }
        Err(ApiError::unsupported_media_type(format!("Send {wanted}.")))
    }
}

impl FromRequest for TextBody {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_owned();
        let payload = payload.take();
        Box::pin(async move {
            let bytes =
                tokio::time::timeout(PATIENCE, read(payload, TEXT_LIMIT, " Send it in several requests.")).await;
            let text = String::from_utf8(bytes.map_err(|_| ApiError::too_slow())??);
            let text = text.map_err(|_| ApiError::malformed_body("The body is not UTF-8 text."))?;
            Ok(Self { text, media_type })
        })
    }
}

async fn read(mut payload: Payload, limit: usize, advice: &str) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::malformed_body("The request's body broke off."))?;
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::too_large(limit, advice));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// JSON:API 1.0 forbids media type parameters; a charset is tolerated, as clients send it.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse =
        |what: &str| Err(ApiError::unsupported_media_type(format!("{what}; send {MEDIA_TYPE} or application/json.")));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("The body is encoded, which is not supported");
    }
    let mut given = headers.get_all(header::CONTENT_TYPE);
    let Some(content_type) = given.next() else { return refuse("The request has a body but no Content-Type") };
    let Ok(content_type) = content_type.to_str() else { return refuse("The Content-Type is not readable") };
    if given.next().is_some() {
        return refuse("The request has more than one Content-Type");
    }
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if ![MEDIA_TYPE, "application/json"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return refuse("The Content-Type is not one of the API");
    }
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let charset = value.trim().trim_matches('"');
        if !name.trim().eq_ignore_ascii_case("charset") {
            return refuse("The Content-Type has a parameter other than charset");
        }
        if !["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)) {
            return refuse("The charset of the body must be UTF-8");
        }
    }
    Ok(())
}

/// Parses strict JSON. An error says where and what, and never repeats the body.
fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = position(&bytes[..error.valid_up_to()]);
        ApiError::malformed_body(format!("The body is not valid UTF-8 (line {line}, column {column})."))
    })?;
    if let Some(at) = too_deep(bytes) {
        let (line, column) = position(&bytes[..at]);
        let detail = format!("The body nests more than {DEPTH} levels deep (line {line}, column {column}).");
        return Err(ApiError::malformed_body(detail));
    }
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        // Syntax errors are fixed sentences of the parser; whatever else there is might repeat a value.
        let reason = match error.classify() {
            Category::Syntax => error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
            Category::Eof => "it ends too early".to_owned(),
            Category::Data | Category::Io => "it cannot be read".to_owned(),
        };
        ApiError::malformed_body(format!("The body is not valid JSON: {reason} ({place})."))
    })
}

/// Line and column, from 1, of what follows `before`; columns count octets, as the JSON parser does.
fn position(before: &[u8]) -> (usize, usize) {
    let line_start = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    (before.split(|octet| *octet == b'\n').count(), before.len() - line_start + 1)
}

/// Where the nesting gets too deep. Looks at brackets outside of strings only, so it needs no valid JSON.
fn too_deep(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, octet) in bytes.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > DEPTH {
                    return Some(at);
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    async fn extract(content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Result<Value, ApiError> {
        let mut request = TestRequest::post().app_data(BodyLimit(2_000)).set_payload(body.into());
        if let Some(content_type) = content_type {
            request = request.insert_header((header::CONTENT_TYPE, content_type));
        }
        let (request, mut payload) = request.to_http_parts();
        JsonApiBody::from_request(&request, &mut payload).await.map(|body| body.0)
    }

    #[actix_web::test]
    async fn a_body_needs_one_of_two_media_types() {
        for good in [
            "application/vnd.api+json",
            "Application/Vnd.API+json",
            "application/vnd.api+json; charset=utf-8",
            "application/vnd.api+json;charset=\"UTF-8\";",
            "application/json",
            "application/json ; Charset=utf-8",
        ] {
            assert_eq!(extract(Some(good), "{}").await, Ok(serde_json::json!({})), "{good}");
        }
        for bad in [
            None,
            Some("text/plain"),
            Some(""),
            Some("application/x-www-form-urlencoded"),
            Some("application/vnd.api+json; ext=bulk"),
            Some("application/json; charset=utf-16"),
            Some("application/jsonx"),
        ] {
            assert_eq!(extract(bad, "{}").await.unwrap_err().status(), 415, "{bad:?}");
        }
    }

    #[actix_web::test]
    async fn a_body_beyond_the_limit_is_refused_with_the_limit() {
        let error = extract(Some(MEDIA_TYPE), format!("\"{}\"", "x".repeat(2_000))).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.to_string().contains("2000 octets")), (413, true));
        assert!(extract(Some(MEDIA_TYPE), format!("\"{}\"", "x".repeat(1_998))).await.is_ok());
        assert_eq!(extract(None, "").await.unwrap_err().status(), 400, "no body at all");
    }

    #[test]
    fn a_broken_body_is_told_where_and_never_repeated() {
        let canary = "hunter2";
        for (body, expected) in [
            (format!("{{\"a\": \"{canary}\",\n  {canary}"), "line 2, column 3"),
            (format!("{{\"{canary}\": 1e999}}"), "number out of range"),
            (format!("{{\"{canary}\": \"\\ud800\"}}"), "not valid JSON"),
            (format!("{{\"{canary}\": \"\\ud800x\"}}"), "not valid JSON"),
            (format!("{{\"{canary}\": nul"), "line 1"),
            (format!("{{\"{canary}\": 1}} {{}}"), "trailing characters"),
            (format!("\"{canary}\n\""), "control character"),
            (canary.to_owned(), "line 1, column 1"),
            (format!("[\"{canary}\","), "ends too early"),
            (format!("{}\"{canary}\"", "[".repeat(33)), "more than 32 levels"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().contains(expected), "{body}: {error}");
            assert!(!format!("{error} {error:?}").contains(canary), "{error}");
        }
        let error = parse(b"{\n\"a\": \"\xff\"}").unwrap_err();
        assert!(error.to_string().contains("not valid UTF-8 (line 2, column 7)"), "{error}");
    }

    #[test]
    fn brackets_in_strings_do_not_count_as_depth_and_the_last_of_repeated_keys_wins() {
        let text = format!("\"{}\\\"{}\"", "[".repeat(100), "{".repeat(100));
        assert!(parse(text.as_bytes()).is_ok());
        assert!(parse(format!("{}{}", "[".repeat(32), "]".repeat(32)).as_bytes()).is_ok());
        assert_eq!(parse(b"{\"a\": 1, \"a\": 2}").unwrap()["a"], 2);
    }

    #[test]
    fn a_debug_print_shows_nothing_of_a_body() {
        assert_eq!(format!("{:?}", JsonApiBody(serde_json::json!({"password": "hunter2"}))), "JsonApiBody(…)");
    }

    proptest! {
        #[test]
        fn any_octets_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
