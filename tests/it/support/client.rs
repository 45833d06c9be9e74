//! A JSON:API client that takes nothing on trust: every answer's media type and shape is checked as it comes in.

use serde_json::{Value, json};
use std::sync::Once;
use std::time::Duration;

pub const MEDIA_TYPE: &str = "application/vnd.api+json";

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer: status, header fields, its octets, and as a document (null if it is none).
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub octets: Vec<u8>,
    pub text: String,
    pub json: Value,
}

/// A request with everything that a test may want to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Path and query from the root, or a whole URL such as `links.next`.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a [u8]>,
}

impl Client {
    /// Talks to the server at `base` (`http://127.0.0.1:40123`), as whoever the token stands for.
    pub fn new(base: &str, token: Option<&str>) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Somebody else in this process may have been first; it is the same one.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_mins(1))
            // An empty store: these tests speak http on loopback only, and the system's need not exist.
            .tls_certs_only([])
            .build()
            .expect("a client");
        Self { http, base: base.trim_end_matches('/').to_owned(), token: token.map(ToOwned::to_owned) }
    }

    /// The same over connections of its own.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self::new(&self.base, self.token.as_deref())
    }

    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request { method: "GET", path, ..Request::default() }).await.checked()
    }

    /// What is no document: the text of the answer as it came.
    pub async fn get_raw(&self, path: &str) -> String {
        self.send(Request { method: "GET", path, ..Request::default() }).await.expect(200).text
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request { method: "DELETE", path, ..Request::default() }).await.checked()
    }

    /// POST without a body, as for an action.
    pub async fn act(&self, path: &str) -> Answer {
        self.send(Request { method: "POST", path, ..Request::default() }).await.checked()
    }

    pub async fn post(&self, path: &str, document: &Value) -> Answer {
        self.write("POST", path, document, &[]).await
    }

    pub async fn patch(&self, path: &str, document: &Value) -> Answer {
        self.write("PATCH", path, document, &[]).await
    }

    /// A document with further header fields, such as `Idempotency-Key`.
    pub async fn write(&self, method: &str, path: &str, document: &Value, headers: &[(&str, &str)]) -> Answer {
        let body = document.to_string();
        let mut all = vec![("Content-Type", MEDIA_TYPE)];
        all.extend(headers);
        self.send(Request { method, path, headers: &all, body: Some(body.as_bytes()) }).await.checked()
    }

    /// Creates a resource; 201 or the test fails. Gives the resource object.
    pub async fn create(&self, kind: &str, collection: &str, attributes: &Value) -> Value {
        let document = json!({"data": {"type": kind, "attributes": attributes}});
        let mut answer = self.post(&format!("/api/v2/{collection}"), &document).await.expect(201);
        answer.json["data"].take()
    }

    /// Exactly this request and its answer, unchecked. Panics if there is no answer.
    pub async fn send(&self, request: Request<'_>) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("{request:?}: {error:?}"))
    }

    /// The same, for a server that may be going away.
    pub async fn try_send(&self, request: Request<'_>) -> Result<Answer, reqwest::Error> {
        let path = request.path;
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).expect("a method");
        let mut builder = self.http.request(method, url);
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body.to_vec());
        }
        let response = builder.send().await?;
        let status = response.status().as_u16();
        let field = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = response.headers().iter().map(field).collect();
        let octets = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&octets).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, octets, text, json })
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Fails the test, with the whole answer, unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The first error's `source.pointer` or `source.parameter`.
    pub fn blamed(&self) -> Option<&str> {
        let source = &self.json["errors"][0]["source"];
        source["pointer"].as_str().or_else(|| source["parameter"].as_str())
    }

    /// A body is a JSON:API document in its media type, with `data`, `errors` or `meta`; 204 has none.
    #[track_caller]
    pub fn checked(self) -> Self {
        if self.text.is_empty() {
            assert!(self.status == 204 || self.status == 304, "{} without a body", self.status);
            return self;
        }
        assert_ne!(self.status, 204, "a body after 204: {}", self.text);
        let media_type = self.header("content-type").unwrap_or_default();
        assert_eq!(media_type.split(';').next(), Some(MEDIA_TYPE), "{}: {}", self.status, self.text);
        let has = |member: &str| self.json.get(member).is_some();
        assert!(has("data") || has("errors") || has("meta"), "no JSON:API document: {}", self.text);
        assert_eq!(has("errors"), self.status >= 400, "errors belong to a failure: {} {}", self.status, self.text);
        self
    }
}
