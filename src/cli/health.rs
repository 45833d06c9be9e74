//! `postroom health`: whether the server can do its work.

use super::answer::{Document, cell, refused};
use super::exit::{Exit, Failure};
use super::output::{Output, pairs};
use super::session::Session;

pub async fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let unhealthy = |failure: Failure| Failure { exit: Exit::Unhealthy, ..failure };
    let answer = session.ask("GET", "/readyz", None).await.map_err(unhealthy)?;
    if let Some(failure) = refused(&answer).filter(|_| answer.status != 503) {
        return Err(unhealthy(failure));
    }
    let health = Document::read(&answer.body).map_err(unhealthy)?;
    let checks: Vec<(String, String)> =
        health.0["checks"].as_object().into_iter().flatten().map(|(name, state)| (name.clone(), cell(state))).collect();
    let status = || cell(&health.0["status"]);
    output.show(|| health.0.clone(), status, || format!("status: {}\n{}", status(), pairs(&checks)))?;
    if answer.status == 200 {
        Ok(())
    } else {
        let failing: Vec<&str> =
            checks.iter().filter(|(_, state)| state != "ok").map(|(name, _)| name.as_str()).collect();
        Err(Failure::new(
            Exit::Unhealthy,
            format!("The server is not ready: {}. Its log says more.", failing.join(", ")),
        ))
    }
}
