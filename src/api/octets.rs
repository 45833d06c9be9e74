//! The octets of messages: as they were synced, and of their attachments. From the store, or from the server where the
//! store does not have them.

use super::Api;
use super::attachments::{as_download, chunks};
use super::caller::Caller;
use super::path::at;
use super::shown::visible;
use crate::domain::mailbox::Mailbox;
use crate::domain::message::{Message, RESOURCE};
use crate::jsonapi::{ApiError, path_id};
use crate::mime;
use crate::store::{get, raw, raw_chunk, raw_size};
use crate::sync::on_demand::{Pieces, Unavailable};
use actix_web::body::{BodyStream, SizedStream};
use actix_web::{HttpResponse, web};
use futures_util::stream::unfold;
use std::io;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Messages that are taken apart at the same time: each may lie in memory whole.
static TURNS: Semaphore = Semaphore::const_new(2);
/// A larger message is not taken apart on its way from the server, in octets.
const WHOLE: usize = 64 << 20;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/messages/{id}/raw").get(show_raw))
        .service(at("/messages/{id}/attachments/{part}").get(show_attachment));
}

/// `GET /messages/{id}/raw`: the message as it was synced, octet for octet.
async fn show_raw(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let message = message(&api, &caller, &id)?;
    let mut response = HttpResponse::Ok();
    as_download(&mut response, &format!("message-{}.eml", message.id), "message/rfc822");
    if message.body_stored {
        let size = raw_size(&api.store.read()?, message.id)?;
        let octets = chunks(api.store.clone(), move |snapshot, number| raw_chunk(snapshot, message.id, number));
        return Ok(response.body(SizedStream::new(size, octets)));
    }
    let pieces = from_server(&api, message).await?;
    let pieces = unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        let piece = piece.map(web::Bytes::from).map_err(|failure| io::Error::other(failure.explain()));
        Some((piece, pieces))
    });
    Ok(response.body(BodyStream::new(pieces)))
}

/// `GET /messages/{id}/attachments/{part}`: what is attached, decoded.
async fn show_attachment(
    api: web::Data<Api>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (id, part) = path.into_inner();
    let message = message(&api, &caller, &id)?;
    let (number, listed) = (message.id, message.attachments.clone());
    let attachment = part.parse().ok().and_then(|part: u32| listed.iter().find(|one| one.part == part));
    let Some(attachment) = attachment else {
        return Err(ApiError::not_found(&RESOURCE, format!("{number}/attachments/{part}")));
    };
    // A slow server must not hold a turn that others wait for.
    let fetched = if message.body_stored { None } else { Some(whole(from_server(&api, message).await?).await?) };
    let _turn = TURNS.acquire().await;
    let octets = match fetched {
        Some(octets) => octets,
        None => raw(&api.store.read()?, number)?.unwrap_or_default(),
    };
    let part = attachment.part;
    let content = web::block(move || mime::part_content(&octets, part)).await.ok().flatten();
    let content = content.ok_or_else(|| ApiError::conflict("The attachment cannot be read; see /raw."))?;
    let mut response = HttpResponse::Ok();
    let name = attachment.name.clone().unwrap_or_else(|| format!("attachment-{part}"));
    as_download(&mut response, &name, &attachment.content_type);
    Ok(response.body(content))
}

fn message(api: &Api, caller: &Caller, id: &str) -> Result<Message, ApiError> {
    visible(&api.store.read()?, caller, path_id(&RESOURCE, id)?)
}

async fn from_server(api: &Api, message: Message) -> Result<Pieces, ApiError> {
    let mailbox: Option<Mailbox> = get(&api.store.read()?, message.mailbox_id)?;
    let (Some(sync), Some(mailbox)) = (&api.sync, mailbox) else { return Err(ApiError::busy(Duration::from_secs(30))) };
    sync.octets(mailbox, message).await.map_err(|error| match error {
        Unavailable::Busy => ApiError::busy(Duration::from_secs(5)),
        Unavailable::Gone => ApiError::conflict(
            "The octets of this message are not stored, and its server has it no longer where it was last seen. If it was \
             moved there, sync the mailbox and try again.",
        ),
        Unavailable::Failed(failure) => ApiError::conflict(format!(
            "The octets of this message are not stored, and its server could not be asked for them: {}",
            failure.explain()
        )),
        Unavailable::Store(error) => error.into(),
    })
}

/// All pieces together, within bounds.
async fn whole(mut pieces: Pieces) -> Result<Vec<u8>, ApiError> {
    let mut octets = Vec::new();
    while let Some(piece) = pieces.recv().await {
        let piece = piece.map_err(|failure| ApiError::conflict(failure.explain()))?;
        if octets.len() + piece.len() > WHOLE {
            return Err(ApiError::conflict("The message is too large to be taken apart here; see /raw."));
        }
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}
