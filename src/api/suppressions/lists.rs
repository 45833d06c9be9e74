//! Suppressions as CSV, in and out.

use super::may_add;
use crate::api::Api;
use crate::api::caller::Caller;
use crate::domain::list::{Cursor, ListQuery, Page};
use crate::domain::suppression::Suppression;
use crate::domain::suppression_list::{HEADING, Row, line, read};
use crate::jsonapi::{ApiError, ErrorObject, TextBody, ok};
use crate::store::{Reader, Store, StoreError, list};
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::stream;
use serde_json::{Value, json};

/// Addresses of one commit: few enough that nobody waits long behind it.
const BATCH: usize = 500;

/// Adds every address of a list that can be added and tells each line that cannot. To repeat an import is harmless.
pub(super) async fn import(api: web::Data<Api>, caller: Caller, body: TextBody) -> Result<HttpResponse, ApiError> {
    may_add(&caller)?;
    body.require_type("text/csv")?;
    let import = read(&body.text).map_err(|why| ErrorObject::invalid("", why))?;
    let mut added = 0;
    for batch in import.rows.chunks(BATCH) {
        let (batch, creator) = (batch.to_vec(), caller.id());
        let new = api
            .store
            .write_patiently(move |work| {
                if let Some(shortage) = work.shortage() {
                    return Err(StoreError::Full(shortage));
                }
                let mut new = 0;
                for Row { email, reason, note, .. } in &batch {
                    let mut wanted = Suppression::new(email, *reason, "import", work.now());
                    wanted.note.clone_from(note);
                    wanted.creator_id = Some(creator);
                    new += usize::from(work.suppress(wanted)?.1);
                }
                Ok::<_, StoreError>(new)
            })
            .await?;
        added += new;
    }
    let known = import.rows.len() - added;
    let bad: Vec<Value> = import.bad.iter().map(|bad| json!({"line": bad.line, "detail": bad.why})).collect();
    Ok(ok(&json!({"meta": {"added": added, "known": known, "rejected": bad.len(), "rejectedLines": bad}})))
}

/// Every suppression, oldest first; each page as it is when its turn comes.
pub(super) async fn export(api: web::Data<Api>, _: Caller) -> Result<HttpResponse, ApiError> {
    let export = Export { store: api.store.clone(), last: None, done: false, heading: true };
    let pages = stream::unfold(export, |export| async move { export.page() });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"suppressions.csv\""))
        .streaming(Box::pin(pages)))
}

/// How far an export has come: one page in memory, however long the list, and no old state of the store kept alive
/// between two, however slow the reader.
struct Export {
    store: Store,
    last: Option<Cursor>,
    done: bool,
    heading: bool,
}

impl Export {
    fn page(mut self) -> Option<(Result<Bytes, StoreError>, Self)> {
        if self.done {
            return None;
        }
        let page = self.last.take().map_or(Page::Start, Page::After);
        let query = ListQuery { page, count: false, ..ListQuery::all() }.size(ListQuery::MAX_SIZE);
        let mut text = if std::mem::take(&mut self.heading) { HEADING.to_owned() } else { String::new() };
        match self.store.read().and_then(|snapshot| list::<Suppression>(&snapshot, &query)) {
            Ok(found) => {
                text.extend(found.items.iter().map(line));
                self.done = found.next.is_none();
                self.last = found.next;
                Some((Ok(Bytes::from(text)), self))
            }
            Err(error) => {
                tracing::error!(%error, "an export of suppressions broke off");
                self.done = true;
                Some((Err(error), self))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::suppression::Reason;
    use crate::runtime::{Runtime, SeededRandom};
    use crate::vault::{MasterKey, Vault};

    #[tokio::test]
    async fn an_export_holds_on_to_no_state_of_the_store_between_two_pages() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let store = Store::open(&folder.path().join("store.redb"), 1 << 20, vault, Runtime::system()).unwrap();
        let made = store.write(|work| {
            (0..=ListQuery::MAX_SIZE + 1)
                .map(|number| {
                    let email = format!("n{number}@x.example");
                    work.suppress(Suppression::new(&email, Reason::Manual, "api", work.now())).map(|(made, _)| made)
                })
                .collect::<Result<Vec<_>, StoreError>>()
        });
        let made = made.await.unwrap();
        let export = Export { store: store.clone(), last: None, done: false, heading: true };
        let (first, export) = export.page().unwrap();
        assert_eq!(String::from_utf8_lossy(&first.unwrap()).lines().count(), ListQuery::MAX_SIZE + 1);
        // The first, which has gone out, and the one that would be next.
        for gone in [made[0].clone(), made[ListQuery::MAX_SIZE].clone()] {
            store.write(move |work| work.delete_suppression(&gone)).await.unwrap();
        }
        let (second, export) = export.page().unwrap();
        let last = format!("n{}@x.example,", ListQuery::MAX_SIZE + 1);
        let second = second.unwrap();
        let second = String::from_utf8_lossy(&second);
        assert!(second.starts_with(&last) && second.lines().count() == 1, "{second}");
        assert!(export.page().is_none());
    }
}
