//! `postroom send`: one mailing.

use super::answer::{Document, Record, cell};
use super::exit::{Exit, Failure};
use super::moment::moment;
use super::output::Output;
use super::session::Session;
use super::{input, mailbox};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use url::form_urlencoded;

/// How often the state is asked for while waiting.
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("body").args(["html", "text"]).required(true).multiple(true)))]
pub struct Send {
    /// The mailbox that sends: its address or its id
    #[arg(long, value_name = "EMAIL")]
    from: String,
    /// Recipients: addresses, or "Name <address>"
    #[arg(long, value_name = "EMAIL", num_args = 1.., required = true)]
    to: Vec<String>,
    #[arg(long, value_name = "EMAIL", num_args = 1..)]
    cc: Vec<String>,
    #[arg(long, value_name = "EMAIL", num_args = 1..)]
    bcc: Vec<String>,
    #[arg(long, value_name = "EMAIL")]
    reply_to: Option<String>,
    #[arg(long, value_name = "TEXT")]
    subject: String,
    /// The HTML body: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    html: Option<PathBuf>,
    /// The text body: a file, or - for standard input; made of the HTML where it is not given
    #[arg(long, value_name = "FILE|-")]
    text: Option<PathBuf>,
    /// Files to go with it
    #[arg(long, value_name = "FILE", num_args = 1..)]
    attach: Vec<PathBuf>,
    /// Not before: a time, or a span from now such as 30m
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Add a link and a header by which its one recipient opts out; the server needs to know its public URL
    #[arg(long)]
    unsubscribe: bool,
    /// Wait until it has left or failed, so many seconds at most
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
}

impl Send {
    fn body(&self, mailbox: &str, attachments: &[Value]) -> Result<Value, Failure> {
        let is_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        if is_stdin(&self.html) && is_stdin(&self.text) {
            return Err(Failure::usage("Standard input can be --html or --text, not both."));
        }
        let mut attributes = json!({"to": self.to, "subject": self.subject});
        let read = |path: &Option<PathBuf>| path.as_deref().map(input::text).transpose();
        let time = self.at.as_deref().map(|text| moment("--at", text)).transpose()?;
        let given = [
            ("bodyHtml", read(&self.html)?.map(Value::from)),
            ("bodyText", read(&self.text)?.map(Value::from)),
            ("scheduledAt", time.map(Value::from)),
            ("replyTo", self.reply_to.as_deref().map(Value::from)),
            ("includeUnsubscribeLink", self.unsubscribe.then(|| true.into())),
            ("cc", (!self.cc.is_empty()).then(|| json!(self.cc))),
            ("bcc", (!self.bcc.is_empty()).then(|| json!(self.bcc))),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                attributes[name] = value;
            }
        }
        Ok(json!({"data": {
            "type": "mailing",
            "attributes": attributes,
            "relationships": {
                "mailbox": {"data": {"type": "mailbox", "id": mailbox}},
                "attachments": {"data": attachments},
            },
        }}))
    }
}

/// Uploads a file as it is read; how a mailing names it.
async fn attached(path: &Path, session: &Session) -> Result<Value, Failure> {
    let failed = |why: String| Failure::failed(format!("{} cannot be attached: {why}.", path.display()));
    let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| failed("it has no name".to_owned()))?;
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed("it is a directory".to_owned()));
    }
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("filename", name).finish();
    let uploaded = session.upload(&format!("/api/v2/attachments?{query}"), media_type(name), file).await;
    let uploaded = uploaded.map_err(|failure| Failure {
        text: format!("{} cannot be attached: {}", path.display(), failure.text),
        ..failure
    })?;
    Ok(json!({"type": "attachment", "id": uploaded.record().id()}))
}

/// What the end of a name says a file is: enough for a reader to open it with the right program.
fn media_type(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
    match end.as_str() {
        "pdf" => "application/pdf",
        "txt" | "log" | "md" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "ics" => "text/calendar",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "json" => "application/json",
        "xml" => "application/xml",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        _ => "application/octet-stream",
    }
}

pub async fn run(send: &Send, session: &Session, output: Output) -> Result<(), Failure> {
    let mailbox = mailbox::find(session, &send.from).await?;
    let mut attachments = Vec::with_capacity(send.attach.len());
    for path in &send.attach {
        attachments.push(attached(path, session).await?);
    }
    let body = send.body(&mailbox.id, &attachments)?;
    let mut mailing = session.call("POST", "/api/v2/mailings", Some(&body)).await?;
    if let Some(seconds) = send.wait {
        mailing = settled(mailing, Duration::from_secs(seconds.into()), session).await?;
    }
    let record = mailing.record();
    output.show(|| mailing.0.clone(), || record.id(), || told(record))?;
    match (send.wait, record.attribute("state").as_str().unwrap_or_default()) {
        (None, _) => Ok(()),
        (_, "failed" | "bounced") => Err(Failure::failed("")),
        (_, state) if has_left(state) => partly(record),
        (_, "delivering") => Err(Failure::failed(format!(
            "It is being handed over at this moment. What became of it: postroom queue show {}",
            record.id()
        ))),
        _ => Err(Failure::failed("It has not left yet; it stays in the queue.")),
    }
}

/// Waits until the mailing has left or failed, or the patience is over; its latest state.
async fn settled(mut mailing: Document, patience: Duration, session: &Session) -> Result<Document, Failure> {
    let begin = Instant::now();
    let path = format!("/api/v2/mailings/{}", mailing.record().id());
    while !is_final(mailing.record().attribute("state").as_str().unwrap_or_default()) && begin.elapsed() < patience {
        tokio::time::sleep(PAUSE).await;
        mailing = session.get(&path).await?;
    }
    Ok(mailing)
}

fn has_left(state: &str) -> bool {
    matches!(state, "delivered" | "opened" | "replied")
}

fn is_final(state: &str) -> bool {
    has_left(state) || matches!(state, "failed" | "bounced")
}

/// A mailing that some recipients' server refused is done in part.
fn partly(mailing: Record<'_>) -> Result<(), Failure> {
    let refused: Vec<String> = mailing
        .attribute("recipientOutcomes")
        .as_array()
        .into_iter()
        .flatten()
        .filter(|outcome| outcome["state"] == "failed")
        .map(|outcome| format!("{} was refused: {}", cell(&outcome["address"]), cell(&outcome["answer"])))
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Partly, refused.join("\n"))) }
}

fn told(mailing: Record<'_>) -> String {
    let mut text = format!("Mailing {} is {}.", mailing.id(), mailing.text("state"));
    for reason in ["errorReason", "delayReason"] {
        if let Some(reason) = mailing.attribute(reason).as_str() {
            text.push_str("\n  ");
            text.push_str(reason);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_that_was_refused_makes_it_a_part() {
        let mailing = json!({"attributes": {"recipientOutcomes": [
            {"address": "a@x", "state": "accepted"}, {"address": "b@x", "state": "failed", "answer": "550 no"},
        ]}});
        let failure = partly(Record(&mailing)).unwrap_err();
        assert_eq!((failure.exit, failure.text.as_str()), (Exit::Partly, "b@x was refused: 550 no"));
        assert_eq!(partly(Record(&json!({}))), Ok(()));
    }
}
