//! A file on its way out: the octets that were uploaded, chunk by chunk, for whoever may see the attachment.

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::shown::visible;
use crate::domain::attachment::{Attachment, RESOURCE, UNKNOWN_TYPE};
use crate::jsonapi::{ApiError, path_id};
use crate::store::{Snapshot, Store, StoreError, attachment_chunk};
use actix_web::body::SizedStream;
use actix_web::http::header::{self, Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use futures_util::stream::{Stream, try_unfold};
use std::io;

pub(super) async fn content(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let attachment: Attachment = visible(&api.store.read()?, &caller, path_id(&RESOURCE, &id)?)?;
    let mut response = HttpResponse::Ok();
    as_download(&mut response, &attachment.name, &attachment.content_type);
    let octets = chunks(api.store.clone(), move |snapshot, number| attachment_chunk(snapshot, attachment.id, number));
    Ok(response.body(SizedStream::new(attachment.size, octets)))
}

/// The headers of something that is to be saved. Whatever it is, no browser renders it under our origin.
pub(in crate::api) fn as_download(response: &mut HttpResponseBuilder, name: &str, content_type: &str) {
    response
        .insert_header(disposition(name))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"));
    // A name that no header can carry is left out rather than refused.
    let content_type = header::HeaderValue::from_str(content_type);
    response.insert_header((
        header::CONTENT_TYPE,
        content_type.unwrap_or_else(|_| header::HeaderValue::from_static(UNKNOWN_TYPE)),
    ));
}

/// One chunk at a time, each from a look of its own: a slow reader keeps no old state of the store alive.
pub(in crate::api) fn chunks(
    store: Store,
    chunk: impl Fn(&Snapshot, u32) -> Result<Option<Vec<u8>>, StoreError>,
) -> impl Stream<Item = Result<web::Bytes, io::Error>> {
    try_unfold((store, chunk, 0_u32), |(store, chunk, number)| async move {
        let found = store.read().and_then(|snapshot| chunk(&snapshot, number));
        match found {
            Ok(Some(octets)) => Ok(Some((web::Bytes::from(octets), (store, chunk, number + 1)))),
            // Where what is read went away meanwhile, fewer octets come than were announced, and the client sees it.
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    })
}

/// To be saved, under its name: in full, and in ASCII for old clients.
fn disposition(name: &str) -> ContentDisposition {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' { c } else { '_' })
        .collect();
    let extended = ExtendedValue { charset: Charset::Ext("UTF-8".into()), language_tag: None, value: name.into() };
    let mut parameters = vec![DispositionParam::Filename(plain.clone())];
    if plain != name {
        parameters.push(DispositionParam::FilenameExt(extended));
    }
    ContentDisposition { disposition: DispositionType::Attachment, parameters }
}
