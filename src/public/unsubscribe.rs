//! The opt-out: a page with one button, and the POST of that button or of a mail program (RFC 8058).

use super::page::{Page, refusal};
use super::{Language, Public, unavailable};
use crate::domain::link::{Link, Purpose};
use crate::domain::mailbox::{Mailbox, RESOURCE};
use crate::domain::resource::Preset;
use crate::domain::suppression::Reason;
use crate::store::{OptOut, StoreError, get, suppression_of};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use std::time::Duration;

/// How much of a body is read, and for how long: what it says is of no account, the token is the wish.
const BODY: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// GET and HEAD: what opting out would do. Changes nothing, whoever looks.
pub(super) async fn show(public: web::Data<Public>, request: HttpRequest, token: web::Path<String>) -> HttpResponse {
    let language = Language::of(&request);
    let words = language.words();
    let link = match public.link(Purpose::Unsubscribe, &token) {
        Ok(Some(link)) => link,
        Ok(None) => return refusal(&request, StatusCode::NOT_FOUND),
        Err(error) => return unavailable(&request, &error),
    };
    match look(&public, &link) {
        Ok(Look { opted_out: true, .. }) => {
            let (heading, text) = (words.already, words.already_text);
            Page { language, status: StatusCode::OK, heading, text, button: None }.response()
        }
        Ok(Look { message, .. }) => {
            let text = message.as_deref().unwrap_or(words.message);
            let (heading, button) = (words.unsubscribe, Some(words.button));
            Page { language, status: StatusCode::OK, heading, text, button }.response()
        }
        Err(error) => unavailable(&request, &error),
    }
}

/// POST: opts out, in whatever encoding and with whatever body, and says so. Never redirects, asks for no cookie.
pub(super) async fn opt_out(
    public: web::Data<Public>,
    request: HttpRequest,
    token: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let body = tokio::time::timeout(PATIENCE, beginning(body)).await.unwrap_or_default();
    let link = match public.link(Purpose::Unsubscribe, &token) {
        Ok(Some(link)) => link,
        Ok(None) => return refusal(&request, StatusCode::NOT_FOUND),
        Err(error) => return unavailable(&request, &error),
    };
    let from_page = body.starts_with(b"confirm=page");
    let opt_out =
        OptOut { email: link.detail, mailing: link.mailing, source: if from_page { "page" } else { "oneClick" } };
    if let Err(error) = public.store.write_patiently(move |work| work.opt_out(&opt_out)).await {
        return unavailable(&request, &error);
    }
    let language = Language::of(&request);
    let words = language.words();
    let (heading, text) = (words.done, words.done_text);
    Page { language, status: StatusCode::OK, heading, text, button: None }.response()
}

/// What there is to show of a link.
struct Look {
    opted_out: bool,
    /// The mailbox's own `optOutMessage`; none where it is the declared one, which the pages say in each language.
    message: Option<String>,
}

fn look(public: &Public, link: &Link) -> Result<Look, StoreError> {
    let snapshot = public.store.read()?;
    let opted_out =
        suppression_of(&snapshot, &link.detail)?.is_some_and(|suppression| suppression.reason == Reason::Unsubscribe);
    let message = get::<Mailbox>(&snapshot, link.mailbox)?.and_then(|mailbox| mailbox.settings.opt_out_message);
    let preset = RESOURCE.attribute("optOutMessage").map(|attribute| attribute.preset);
    let message =
        message.filter(|text| !text.trim().is_empty() && !matches!(preset, Some(Preset::Text(own)) if own == text));
    Ok(Look { opted_out, message })
}

async fn beginning(mut body: web::Payload) -> Vec<u8> {
    let mut octets = Vec::new();
    while let Some(Ok(chunk)) = body.next().await {
        octets.extend_from_slice(&chunk);
        if octets.len() > BODY {
            break;
        }
    }
    octets
}
