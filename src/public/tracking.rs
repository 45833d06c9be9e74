//! Open pixels and tracked links: what they point to is always served, and counted where a person seems to have come.

use super::{Public, guarded, page, unavailable};
use crate::domain::event::EventKind;
use crate::domain::link::{Purpose, target};
use crate::domain::mailing::Mailing;
use crate::domain::time::Timestamp;
use crate::domain::tracking::Visit;
use crate::store::{StoreError, get};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A transparent picture of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

const MINUTE: i64 = 60_000;
/// Visits counted per mailing and minute: each costs a commit, and a link can be fetched in a loop.
const PER_MINUTE: u32 = 30;
/// Mailings kept count of in a minute; beyond them nothing is counted.
const MAILINGS: usize = 20_000;

/// Keeps whoever has a link from making the store write without end.
#[derive(Default)]
pub struct Bound(Mutex<(i64, HashMap<u64, u32>)>);

impl Bound {
    fn admits(&self, mailing: u64, now: Timestamp) -> bool {
        let minute = now.millis().div_euclid(MINUTE);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != minute {
            *counts = (minute, HashMap::new());
        }
        if counts.1.len() >= MAILINGS && !counts.1.contains_key(&mailing) {
            return false;
        }
        let count = counts.1.entry(mailing).or_default();
        *count = count.saturating_add(1);
        *count <= PER_MINUTE
    }
}

pub(super) async fn open(public: web::Data<Public>, request: HttpRequest, token: web::Path<String>) -> HttpResponse {
    match public.link(Purpose::Open, &token) {
        Ok(Some(link)) => {
            count(&public, &request, Purpose::Open, link.mailing).await;
            guarded(HttpResponse::Ok().content_type("image/gif").body(PIXEL))
        }
        Ok(None) => page::refusal(&request, StatusCode::NOT_FOUND),
        Err(error) => unavailable(&request, &error),
    }
}

pub(super) async fn click(public: web::Data<Public>, request: HttpRequest, token: web::Path<String>) -> HttpResponse {
    match public.link(Purpose::Click, &token) {
        Ok(Some(link)) => {
            // Ours, as the token says; looked at once more all the same.
            let Some(target) = target(&link.detail) else { return page::refusal(&request, StatusCode::NOT_FOUND) };
            count(&public, &request, Purpose::Click, link.mailing).await;
            guarded(HttpResponse::Found().insert_header((header::LOCATION, target)).finish())
        }
        Ok(None) => page::refusal(&request, StatusCode::NOT_FOUND),
        Err(error) => unavailable(&request, &error),
    }
}

/// Counts a visit, if it is a person's. That it cannot be counted keeps nobody from what they came for.
async fn count(public: &Public, request: &HttpRequest, purpose: Purpose, mailing: u64) {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foretold = ["purpose", "sec-purpose", "x-purpose", "x-moz"].into_iter().filter_map(text);
    let foretold = foretold.map(str::to_ascii_lowercase);
    let announced = request.method() == Method::HEAD
        || foretold.into_iter().any(|purpose| purpose.contains("prefetch") || purpose.contains("preview"));
    let user_agent = text(header::USER_AGENT.as_str()).map(str::to_owned);
    if (Visit { user_agent: user_agent.as_deref(), announced }).is_a_machine()
        || !public.counting.admits(mailing, public.store.runtime().clock.now())
    {
        return;
    }
    let counted = public
        .store
        .write(move |work| {
            let Some(before) = get::<Mailing>(work, mailing)? else { return Ok(()) };
            let (mut after, now) = (before.clone(), work.now());
            let visit = Visit { user_agent: user_agent.as_deref(), announced };
            let counts = match purpose {
                Purpose::Click => after.clicked(&visit, now),
                _ => after.opened(&visit, now),
            };
            if !counts {
                return Ok::<_, StoreError>(());
            }
            work.save_mailing(&before, &after)?;
            match purpose {
                Purpose::Click => work.mailing_event(EventKind::MailingClicked, &after),
                // The change of state, if it is one, is an event of its own.
                _ if before.state == after.state => work.mailing_event(EventKind::MailingOpened, &after),
                _ => Ok(()),
            }
        })
        .await;
    if let Err(error) = counted {
        tracing::warn!(mailing, %error, "an open or a click could not be counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fetched_in_a_loop_is_counted_a_bounded_number_of_times() {
        let (bound, now) = (Bound::default(), Timestamp::from_millis(5 * MINUTE));
        let counted = (0..1000).filter(|_| bound.admits(1, now)).count();
        assert_eq!(counted, 30);
        assert!(bound.admits(2, now));
        assert!(bound.admits(1, Timestamp::from_millis(6 * MINUTE)));
    }
}
