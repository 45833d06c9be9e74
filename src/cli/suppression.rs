//! `postroom suppression`: addresses that nobody in the organisation mails.

use super::answer::{Document, Record, cell, refused};
use super::exit::{Exit, Failure};
use super::input;
use super::listing::Listing;
use super::output::{Output, write_on, write_out};
use super::session::{PAGE, Session};
use crate::domain::suppression::Reason;
use crate::domain::suppression_list::Parts;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Suppression {
    /// List the suppressed addresses
    List {
        /// Only those with this reason
        #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::NAMES))]
        reason: Option<String>,
    },
    /// Suppress an address
    Add(Add),
    /// Let an address be mailed again
    Rm {
        #[arg(value_name = "ID|EMAIL")]
        address: String,
    },
    /// Suppress every address of a CSV file with the columns email, reason and note
    Import {
        /// - reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print every suppressed address as CSV
    Export,
}

#[derive(Debug, Args)]
pub struct Add {
    #[arg(value_name = "EMAIL")]
    email: String,
    /// unsubscribe, hardBounce, complaint or manual
    #[arg(long, value_name = "REASON", default_value = "manual")]
    reason: String,
    /// What to remember about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub async fn run(suppression: &Suppression, session: &Session, output: Output) -> Result<(), Failure> {
    match suppression {
        Suppression::List { reason } => {
            let reason = reason.as_deref().map(|reason| ("filter[reason]", reason));
            let query: Vec<(&str, &str)> = reason.into_iter().chain([("newFilterSyntax", "true")]).collect();
            list(&query, session, output).await
        }
        Suppression::Add(add) => {
            let attributes = json!({"email": add.email, "reason": add.reason, "note": add.note});
            let body = json!({"data": {"type": "suppression", "attributes": attributes}});
            let made = session.call("POST", "/api/v2/suppressions", Some(&body)).await?;
            let text = || format!("{} is suppressed.", made.record().text("email"));
            output.show(|| made.0.clone(), || made.record().id(), text)
        }
        Suppression::Rm { address } => {
            let id = find(session, address).await?;
            session.call("DELETE", &format!("/api/v2/suppressions/{id}"), None).await?;
            let text = || format!("{address} can be mailed again.");
            output.show(|| json!({"meta": {"deleted": id}}), String::new, text)
        }
        Suppression::Import { file } => import(file, session, output).await,
        Suppression::Export => {
            let answer = session.ask("GET", "/api/v2/suppressions/export", None).await?;
            match refused(&answer) {
                Some(failure) => Err(failure),
                None => write_out(&answer.body),
            }
        }
    }
}

/// Prints each page as it comes: there may be very many.
async fn list(query: &[(&str, &str)], session: &Session, output: Output) -> Result<(), Failure> {
    let row = |record: Record| {
        let cells = ["email", "reason", "createdAt", "source", "note"].map(|name| record.text(name));
        std::iter::once(record.id()).chain(cells).collect()
    };
    let mut listing = Listing::new(output, &["ID", "ADDRESS", "REASON", "SINCE", "SOURCE", "NOTE"], row);
    let mut pages = session.pages("suppressions", query, PAGE);
    while let Some(page) = pages.next().await? {
        if !write_on(listing.page(&page).as_bytes())? {
            return Ok(());
        }
    }
    write_out(listing.end().as_bytes())
}

async fn find(session: &Session, address: &str) -> Result<String, Failure> {
    if !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(address.to_owned());
    }
    match session.by_email("suppressions", address).await? {
        Some(found) => Ok(cell(&found["id"])),
        None => Err(Failure::new(Exit::NotFound, format!("{address} is not suppressed."))),
    }
}

/// Sends a list in as many parts as it takes; what is told of a line is told of the line of the file.
async fn import(file: &std::path::Path, session: &Session, output: Output) -> Result<(), Failure> {
    let list = input::list(file)?;
    let (mut added, mut known, mut rejected) = (0, 0, Vec::new());
    for part in Parts::of(&list).map_err(Failure::failed)? {
        let body = Some(part.text.clone().into_bytes());
        let answer = session.ask_as("POST", "/api/v2/suppressions/import", "text/csv", body).await?;
        if let Some(failure) = refused(&answer) {
            return Err(broken_off(failure, added, part.line_of_list(2)));
        }
        let done = Document::read(&answer.body)?;
        let meta = &done.0["meta"];
        added += meta["added"].as_u64().unwrap_or(0);
        known += meta["known"].as_u64().unwrap_or(0);
        for bad in meta["rejectedLines"].as_array().into_iter().flatten() {
            let line = bad["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or_default();
            rejected.push(json!({"line": part.line_of_list(line), "detail": bad["detail"]}));
        }
    }
    let meta = json!({"added": added, "known": known, "rejected": rejected.len(), "rejectedLines": rejected});
    let text = || format!("{added} addresses were added, {known} were suppressed already.");
    output.show(|| json!({"meta": meta}), || added.to_string(), text)?;
    if rejected.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} lines could not be taken:", rejected.len());
    for line in &rejected {
        let _ = write!(text, "\n  line {}: {}", line["line"], cell(&line["detail"]));
    }
    Err(Failure::new(Exit::Partly, text))
}

/// Why an import ended, and what of it is done: the parts before stay.
fn broken_off(failure: Failure, added: u64, line: usize) -> Failure {
    if added == 0 {
        return failure;
    }
    let text = format!(
        "{}\nUp to line {line} of the list, {added} addresses were added. To import it all again does no harm.",
        failure.text
    );
    Failure { text, exit: Exit::Partly }
}
