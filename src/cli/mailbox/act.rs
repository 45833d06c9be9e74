//! Syncing now, pausing, resuming, removing.

use super::{Sides, find, save, standing};
use crate::cli::exit::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::session::Session;
use serde_json::{Map, Value, json};
use std::io::{self, IsTerminal, Write};

pub async fn sync(name: &str, session: &Session, output: Output) -> Result<(), Failure> {
    let found = find(session, name).await?;
    let answer = session.call("POST", &format!("{}/actions/sync", found.path()), None).await?;
    let text = || format!("{} is being synced.", answer.record().text("email"));
    output.show(|| answer.0.clone(), || found.id.clone(), text)
}

/// Pauses (`held`) or resumes one side or both.
pub async fn hold(name: &str, sides: Sides, held: bool, session: &Session, output: Output) -> Result<(), Failure> {
    let found = find(session, name).await?;
    let both = !sides.send && !sides.sync;
    let attributes: Map<String, Value> = [("sendDisabled", sides.send), ("syncDisabled", sides.sync)]
        .into_iter()
        .filter(|(_, asked)| both || *asked)
        .map(|(name, _)| (name.to_owned(), held.into()))
        .collect();
    let saved = save::change(session, &found, attributes).await?;
    let mailbox = saved.record();
    let done = if held { "paused" } else { "resumed" };
    let text = || format!("Mailbox {} ({}) is {done}: {}", mailbox.id(), mailbox.text("email"), standing(mailbox));
    output.show(|| saved.0.clone(), || mailbox.id(), text)
}

pub async fn remove(name: &str, yes: bool, session: &Session, output: Output) -> Result<(), Failure> {
    let found = find(session, name).await?;
    let email = session.get(&found.path()).await?.record().text("email");
    if !yes
        && !confirmed(&format!("Remove mailbox {} ({email})? What is queued in it will not be sent. [y/N] ", found.id))?
    {
        return Err(Failure::failed("Nothing was removed."));
    }
    session.call("DELETE", &found.path(), None).await?;
    let document = || json!({"meta": {"deleted": found.id}});
    output.show(document, String::new, || format!("Mailbox {} ({email}) is removed.", found.id))
}

fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("Nobody can be asked here: add --yes to remove it."));
    }
    let failed = |error: io::Error| Failure::failed(format!("The answer cannot be read: {error}."));
    let mut stderr = io::stderr();
    stderr.write_all(printable(question).as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
