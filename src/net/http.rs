//! A small HTTP client: how the command line talks to our own server, over its local socket or a URL that the operator
//! gave. It follows no redirect, uses no proxy and reads no more than it may. The egress rule for mail does not apply:
//! the operator named the place on the command line.

use super::tls::Trust;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a whole request: a live test of a mailbox may take 30 s on the server's side.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A server to ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    base: reqwest::Url,
}

/// What the server answered, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. Prints as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The request makes no sense: the base URL, the path, a method or a header.
    Invalid(String),
    /// Nobody listens there, or TLS failed.
    Unreachable(String),
    Timeout,
    TooLarge,
    /// The connection broke after it was open: the request may or may not have been carried out.
    Broken(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "The request is not valid: {reason}."),
            Self::Unreachable(reason) => write!(f, "The server cannot be reached: {reason}."),
            Self::Timeout => f.write_str("The server did not answer in time."),
            Self::TooLarge => write!(f, "The answer is larger than {} MiB.", BODY_LIMIT >> 20),
            Self::Broken(reason) => write!(f, "The connection to the server broke: {reason}."),
        }
    }
}

impl std::error::Error for HttpError {}

impl HttpClient {
    /// Through the server's local socket.
    pub fn unix(path: &Path) -> Result<Self, HttpError> {
        let base = parse("http://localhost")?;
        Self::build(Self::builder(&Trust::nobody()).unix_socket(path.to_owned()), base)
    }

    /// Through a base URL with scheme http or https, such as `https://mail.example.com/postroom`.
    pub fn url(base: &str, trust: &Trust) -> Result<Self, HttpError> {
        let base = parse(base)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(HttpError::Invalid("the server's URL starts with http:// or https://".into()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(HttpError::Invalid("the server's URL carries no user name and no password".into()));
        }
        Self::build(Self::builder(trust), base)
    }

    fn builder(trust: &Trust) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(trust.client())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
    }

    fn build(builder: reqwest::ClientBuilder, base: reqwest::Url) -> Result<Self, HttpError> {
        let client = builder.build().map_err(|error| HttpError::Invalid(chain(&error)))?;
        Ok(Self { client, base })
    }

    /// Sends one request and reads the whole answer. `path_and_query` starts with `/` and is appended to the base URL's
    /// path.
    pub async fn request(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, HttpError> {
        let method = reqwest::Method::from_bytes(method.as_bytes())
            .map_err(|_| HttpError::Invalid(format!("{method} is no method")))?;
        let mut request = self.client.request(method, self.place(path_and_query)?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    /// Appending text cannot leave the base's host: the path starts with a slash and the base has no open authority.
    fn place(&self, path_and_query: &str) -> Result<reqwest::Url, HttpError> {
        if !path_and_query.starts_with('/') {
            return Err(HttpError::Invalid("a path starts with /".into()));
        }
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url.set_fragment(None);
        Ok(url)
    }
}

fn parse(url: &str) -> Result<reqwest::Url, HttpError> {
    reqwest::Url::parse(url).map_err(|error| HttpError::Invalid(format!("the server's URL is no URL: {error}")))
}

// By value, as `map_err` hands it over.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: reqwest::Error) -> HttpError {
    if error.is_builder() {
        HttpError::Invalid(chain(&error))
    } else if error.is_connect() {
        HttpError::Unreachable(chain(&error))
    } else if error.is_timeout() {
        HttpError::Timeout
    } else {
        HttpError::Broken(chain(&error))
    }
}

/// The innermost reason of an error, which is the part that says something.
fn chain(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
