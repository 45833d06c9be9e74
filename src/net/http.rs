//! A small HTTP client: how the command line talks to our own server, over its local socket or a URL that the operator
//! gave. It follows no redirect, uses no proxy and reads no more than it may. The egress rule for mail does not apply:
//! the operator named the place on the command line.

use super::tls::Trust;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 64 << 20;
/// How much of an upload is read at once, in bytes.
const PIECE: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a whole request: a live test of a mailbox may take 30 s on the server's side.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

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
        self.exchange(method, path_and_query, headers, body.map(reqwest::Body::from)).await
    }

    /// The same with a body that is read while it is sent, and so is never in memory as a whole.
    pub async fn upload(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl std::io::Read + Send + 'static,
    ) -> Result<Answer, HttpError> {
        let pieces = futures_util::stream::unfold(Some(body), |body| async move {
            let mut body = body?;
            let mut piece = vec![0; PIECE];
            // Files and pipes are read in place: the command line has nothing else to do meanwhile.
            match body.read(&mut piece) {
                Ok(0) => None,
                Ok(length) => {
                    piece.truncate(length);
                    Some((Ok(piece), Some(body)))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        self.exchange(method, path_and_query, headers, Some(reqwest::Body::wrap_stream(pieces))).await
    }

    async fn exchange(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Option<reqwest::Body>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    /// Answers one request with `answer` and returns what was asked.
    async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &'static [u8]) -> String {
        let mut asked = Vec::new();
        while !asked.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            asked.push(byte[0]);
        }
        stream.write_all(answer).await.unwrap();
        let _ = stream.shutdown().await;
        String::from_utf8(asked).unwrap()
    }

    async fn tcp(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/base/", listener.local_addr().unwrap());
        (base, tokio::spawn(async move { serve(listener.accept().await.unwrap().0, answer).await }))
    }

    #[tokio::test]
    async fn a_request_reaches_the_local_socket_and_its_answer_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postroom.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nETag: \"1\"\r\n\r\n{}";
            serve(listener.accept().await.unwrap().0, answer).await
        });
        let client = HttpClient::unix(&path).unwrap();
        let answer = client.request("POST", "/api/v2/x?a=1", &[("accept", "text/x")], Some(b"{}".to_vec())).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("etag"), answer.body.as_slice()), (201, Some("\"1\""), &b"{}"[..]));
        let asked = server.await.unwrap();
        assert!(
            asked.starts_with("POST /api/v2/x?a=1 HTTP/1.1\r\n") && asked.contains("accept: text/x\r\n"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (base, server) =
            tcp(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
        let answer = HttpClient::url(&base, &Trust::nobody()).unwrap().request("GET", "/x", &[], None).await.unwrap();
        assert_eq!(answer.status, 302);
        assert!(server.await.unwrap().starts_with("GET /base/x HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn a_broken_answer_and_a_missing_server_are_told_apart() {
        let (base, _server) = tcp(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await;
        let client = HttpClient::url(&base, &Trust::nobody()).unwrap();
        assert!(matches!(client.request("GET", "/", &[], None).await, Err(HttpError::Broken(_))));
        let missing = HttpClient::unix(Path::new("/nonexistent/postroom.sock")).unwrap();
        assert!(matches!(missing.request("GET", "/", &[], None).await, Err(HttpError::Unreachable(_))));
    }

    #[tokio::test]
    async fn requests_that_make_no_sense_are_refused_before_anything_is_sent() {
        for base in ["", "localhost", "ftp://localhost", "http://ann:secret@localhost"] {
            assert!(matches!(HttpClient::url(base, &Trust::nobody()), Err(HttpError::Invalid(_))), "{base}");
        }
        let client = HttpClient::url("http://127.0.0.1:1", &Trust::nobody()).unwrap();
        for (method, path, header) in [
            ("G T", "/", ("a", "b")),
            ("GET", "x", ("a", "b")),
            ("GET", "/", ("a", "b\r\nc: d")),
            ("GET", "/", ("a b", "c")),
        ] {
            let answer = client.request(method, path, &[header], None).await;
            assert!(matches!(answer, Err(HttpError::Invalid(_))), "{method} {path}: {answer:?}");
        }
    }
}
