//! `postroom api`: the escape hatch to everything that has no verb.

use super::answer::refused;
use super::exit::Failure;
use super::input;
use super::output::{json_text, printable, write_out};
use super::session::Session;
use clap::Args;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Api {
    /// GET, POST, PATCH or DELETE
    #[arg(value_name = "METHOD")]
    method: String,
    /// The path with its query, such as /api/v2/mailboxes?page[size]=10
    #[arg(value_name = "PATH")]
    path: String,
    /// The body: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    data: Option<PathBuf>,
}

pub async fn run(api: &Api, session: &Session) -> Result<(), Failure> {
    if !api.path.starts_with('/') {
        return Err(Failure::usage(format!("A path starts with /, such as /api/v2/{}", api.path)));
    }
    let body = api.data.as_deref().map(input::octets).transpose()?;
    let answer = session.ask(&api.method.to_ascii_uppercase(), &api.path, body).await?;
    if !answer.body.is_empty() {
        let shown = if io::stdout().is_terminal() { for_people(&answer.body) } else { answer.body.clone() };
        write_out(&shown)?;
        if !shown.ends_with(b"\n") {
            write_out(b"\n")?;
        }
    }
    // What went wrong was printed with the body.
    match refused(&answer) {
        Some(failure) if !answer.body.is_empty() => {
            Err(Failure { text: format!("The server answered with status {}.", answer.status), ..failure })
        }
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn for_people(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(document) => json_text(&document),
        Err(_) => printable(&String::from_utf8_lossy(body)),
    }
    .into_bytes()
}
