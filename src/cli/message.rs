//! `postroom message`: what was synced.

use super::answer::{Record, cell, refused};
use super::exit::Failure;
use super::mailbox;
use super::output::{Output, pairs, printable, table, write_out};
use super::session::Session;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum Message {
    /// List messages, the newest first
    List(List),
    /// Show a message
    Show {
        #[arg(value_name = "ID")]
        id: u64,
        /// As it was received, octet for octet
        #[arg(long)]
        raw: bool,
    },
    /// Save an attachment of a message
    Attachment {
        #[arg(value_name = "ID")]
        id: u64,
        /// Its part, as `message show` names it
        #[arg(value_name = "PART")]
        part: u32,
        /// Where to; a file that is there already is left alone
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those of this mailbox: its id or its address
    #[arg(long, value_name = "ID|EMAIL")]
    mailbox: Option<String>,
    /// Only those with all of these words in subject, people or text
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// Only those of this thread
    #[arg(long, value_name = "ID")]
    thread: Option<u64>,
    /// Only those in this folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub async fn run(message: &Message, session: &Session, output: Output) -> Result<(), Failure> {
    match message {
        Message::List(list) => listed(list, session, output).await,
        Message::Show { id, raw: true } => raw(*id, session).await,
        Message::Attachment { id, part, output: file } => attachment(*id, *part, file, session, output).await,
        Message::Show { id, raw: false } => {
            let message = session.get(&format!("/api/v2/messages/{id}")).await?;
            let record = message.record();
            output.show(|| message.0.clone(), || body(record), || shown(record))
        }
    }
}

async fn listed(list: &List, session: &Session, output: Output) -> Result<(), Failure> {
    let mailbox = match &list.mailbox {
        Some(name) => Some(mailbox::find(session, name).await?.id),
        None => None,
    };
    let mut query = vec![("sort", "-receivedAt"), ("count", "false")];
    let thread = list.thread.map(|id| id.to_string());
    query.extend(mailbox.as_deref().map(|id| ("filter[mailbox][id]", id)));
    query.extend(thread.as_deref().map(|id| ("filter[thread][id]", id)));
    query.extend(list.folder.as_deref().map(|folder| ("filter[folder]", folder)));
    query.extend(list.search.as_deref().map(|words| ("filter[q]", words)));
    if !output.json {
        query.push(("fields[message]", "receivedAt,direction,from,subject,mailbox"));
    }
    let messages = session.list("messages", &query, usize::try_from(list.limit).unwrap_or(usize::MAX)).await?;
    let row = |message: Record<'_>| {
        let [received, direction, subject] = ["receivedAt", "direction", "subject"].map(|name| message.text(name));
        let mailbox = cell(message.related("mailbox"));
        vec![message.id(), mailbox, received, direction, people(message.attribute("from")), subject]
    };
    let text = || {
        let rows: Vec<Vec<String>> = messages.records().map(row).collect();
        table(&["ID", "MAILBOX", "RECEIVED", "DIRECTION", "FROM", "SUBJECT"], &rows)
    };
    output.show(|| messages.0.clone(), || messages.ids(), text)
}

async fn raw(id: u64, session: &Session) -> Result<(), Failure> {
    let answer = session.ask("GET", &format!("/api/v2/messages/{id}/raw"), None).await?;
    if let Some(failure) = refused(&answer) {
        return Err(failure);
    }
    // A terminal would obey what a stranger wrote; a file or a pipe gets the octets.
    if io::stdout().is_terminal() {
        let text = String::from_utf8_lossy(&answer.body).replace("\r\n", "\n");
        write_out(printable(&text).as_bytes())
    } else {
        write_out(&answer.body)
    }
}

/// Saves an attachment under a name of the reader's choice: what the sender calls it may be anything.
async fn attachment(id: u64, part: u32, file: &Path, session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.ask("GET", &format!("/api/v2/messages/{id}/attachments/{part}"), None).await?;
    if let Some(failure) = refused(&answer) {
        return Err(failure);
    }
    let saved = OpenOptions::new().write(true).create_new(true).open(file);
    let saved = saved.and_then(|mut saved| saved.write_all(&answer.body));
    let name = file.display();
    saved.map_err(|error| Failure::failed(format!("The file {name} cannot be written: {error}.")))?;
    let size = answer.body.len();
    output.show(
        || json!({"file": name.to_string(), "size": size}),
        || name.to_string(),
        || format!("{name}: {size} octets"),
    )
}

fn shown(message: Record<'_>) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (label, name) in [("From", "from"), ("To", "to"), ("Cc", "cc"), ("Reply-To", "replyTo")] {
        let people = people(message.attribute(name));
        if people != "-" {
            lines.push((label.to_owned(), people));
        }
    }
    for (label, name) in [
        ("Subject", "subject"),
        ("Received", "receivedAt"),
        ("Folder", "folder"),
        ("Kind", "classification"),
        ("Message-ID", "messageId"),
    ] {
        lines.push((label.to_owned(), message.text(name)));
    }
    for attachment in message.attribute("attachments").as_array().into_iter().flatten() {
        let [part, name, kind, size] = ["part", "name", "contentType", "size"].map(|member| cell(&attachment[member]));
        lines.push(("Attachment".to_owned(), format!("{name} (part {part}, {kind}, {size} octets)")));
    }
    format!("{}\n{}", pairs(&lines), body(message))
}

fn body(message: Record<'_>) -> String {
    match message.attribute("bodyText").as_str() {
        Some(text) => text.replace("\r\n", "\n"),
        None if message.attribute("bodyHtml").is_null() => "(no text)".to_owned(),
        None => format!("(HTML only; see it with: postroom message show {} --json)", message.id()),
    }
}

/// `Name <address>`, separated by commas; a dash for nobody.
fn people(list: &Value) -> String {
    let one = |person: &Value| match (person["name"].as_str().filter(|name| !name.is_empty()), cell(&person["address"]))
    {
        (Some(name), address) => format!("{name} <{address}>"),
        (None, address) => address,
    };
    let all: Vec<String> = list.as_array().into_iter().flatten().map(one).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_shown_as_mail_writes_them() {
        assert_eq!(
            people(&json!([{"name": "Ann", "address": "a@x"}, {"name": null, "address": "b@x"}])),
            "Ann <a@x>, b@x"
        );
        assert_eq!(people(&json!(null)), "-");
    }

    #[test]
    fn a_message_is_shown_with_its_header_and_its_text() {
        let message = json!({"id": 7, "attributes": {
            "from": [{"name": "Ann", "address": "a@x"}], "to": [{"name": null, "address": "b@x"}], "cc": [],
            "subject": "Hi\r\nX-Evil: 1", "receivedAt": "2026-07-08T18:40:47.000Z", "folder": "INBOX",
            "classification": "reply", "messageId": "<1@x>", "bodyText": "One\r\nTwo",
            "attachments": [{"part": 2, "name": "a.pdf", "contentType": "application/pdf", "size": 3}],
        }});
        assert_eq!(
            shown(Record(&message)),
            "From        Ann <a@x>\nTo          b@x\nSubject     Hi  X-Evil: 1\nReceived    2026-07-08T18:40:47.000Z\n\
             Folder      INBOX\nKind        reply\nMessage-ID  <1@x>\nAttachment  a.pdf (part 2, application/pdf, 3 octets)\n\n\
             One\nTwo"
        );
        let html = json!({"id": 7, "attributes": {"bodyHtml": "<p>"}});
        assert!(body(Record(&html)).contains("postroom message show 7 --json"));
    }
}
