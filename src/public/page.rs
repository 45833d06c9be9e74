//! The pages: one small HTML frame, no script, nothing loaded from anywhere.

use super::{Language, guarded};
use crate::mime::escaped;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use std::sync::LazyLock;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;font:1.125rem/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}\
main{max-width:32rem;margin:12vh auto;padding:0 1.5rem}\
h1{font-size:1.5rem;line-height:1.25}\
p{white-space:pre-line;overflow-wrap:anywhere}\
button{font:inherit;font-weight:600;min-height:3rem;padding:.5rem 1.5rem;border:2px solid transparent;\
border-radius:.5rem;background:#1d4ed8;color:#fff;cursor:pointer}\
button:focus-visible{outline:3px solid;outline-offset:3px}";

/// The style by its hash, and a form that posts to where it came from; nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// What one page says. Texts are plain; they are escaped here.
pub(super) struct Page<'a> {
    pub language: Language,
    pub status: StatusCode,
    pub heading: &'a str,
    pub text: &'a str,
    /// The one button, which posts to the page's own address.
    pub button: Option<&'a str>,
}

impl Page<'_> {
    pub fn response(&self) -> HttpResponse {
        let tag = self.language.words().tag;
        let button = self.button.map_or_else(String::new, |button| {
            let button = escaped(button);
            format!("<form method=\"post\"><button name=\"confirm\" value=\"page\">{button}</button></form>\n")
        });
        let (heading, text) = (escaped(self.heading), escaped(self.text));
        let html = format!(
            "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{heading}</h1>\n<p>{text}</p>\n{button}</main>\n</body>\n</html>\n"
        );
        let mut response = HttpResponse::build(self.status).content_type("text/html; charset=utf-8").body(html);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(tag));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
        guarded(response)
    }
}

/// A link that leads nowhere, or that could not be served: which of them, the status says.
pub(super) fn refusal(request: &HttpRequest, status: StatusCode) -> HttpResponse {
    let language = Language::of(request);
    let words = language.words();
    let (heading, text) = if status == StatusCode::SERVICE_UNAVAILABLE {
        (words.trouble, words.trouble_text)
    } else {
        (words.missing, words.missing_text)
    };
    Page { language, status, heading, text, button: None }.response()
}
