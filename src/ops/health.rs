//! `/healthz` says that the process answers; `/readyz` says, check by check, whether it can do its work.

use crate::store::Store;
use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

/// What the checks look at.
#[derive(Clone)]
pub struct Health {
    store: Store,
}

impl Health {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn checks(&self) -> Vec<(&'static str, Result<(), String>)> {
        let read = self.store.read().map(|_| ()).map_err(|error| error.to_string());
        // An empty unit of work goes through the writer without touching the disk.
        let write = self
            .store
            .write_patiently(|_| Ok::<_, crate::store::StoreError>(()))
            .await
            .map_err(|error| error.to_string());
        let writer =
            if self.store.is_broken() { Err("an earlier write failed; restart to recover".into()) } else { write };
        let space = self.store.shortage().map_or(Ok(()), |shortage| Err(shortage.to_string()));
        // Without a clock that can be right nothing is sent.
        let clock = self.store.moment().fault().map_or(Ok(()), Err);
        vec![("storeRead", read), ("storeWrite", writer), ("diskSpace", space), ("clock", clock)]
    }
}

/// Mounts both routes; they need no login.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/healthz").route(web::get().to(alive)).route(web::head().to(alive)))
        .service(web::resource("/readyz").route(web::get().to(ready)).route(web::head().to(ready)));
}

async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let checks = health.checks().await;
    let ok = checks.iter().all(|(_, result)| result.is_ok());
    let listed: Map<String, Value> = checks
        .into_iter()
        .map(|(name, result)| (name.to_owned(), result.map_or_else(Value::from, |()| "ok".into())))
        .collect();
    let body = json!({"status": if ok { "ok" } else { "failing" }, "checks": listed});
    if ok { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}
