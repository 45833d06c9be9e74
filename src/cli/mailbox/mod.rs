//! `postroom mailbox`: connect, look at, change, test and remove mailboxes.
//!
//! `save.rs` adds and changes, `value.rs` types what is written as `name=value`, `check.rs` runs the live tests, `act.rs`
//! syncs, pauses, resumes and removes, `exclusions.rs` asks whose mail is stored; here are the verbs, and what finds and shows a mailbox.

mod act;
mod check;
mod exclusions;
mod save;
mod value;

use super::answer::{Document, Record, cell};
use super::exit::{Exit, Failure};
use super::output::{Output, pairs, table};
use super::session::Session;
use clap::{Args, Subcommand};

/// One mailbox of the server, named by its id or its address.
#[derive(Debug, Args)]
pub struct Name {
    /// Its id or its address
    #[arg(value_name = "ID|EMAIL")]
    mailbox: String,
}

/// Which side of a mailbox; both where none is named.
#[derive(Clone, Copy, Debug, Args)]
pub struct Sides {
    /// Only sending
    #[arg(long)]
    send: bool,
    /// Only syncing
    #[arg(long)]
    sync: bool,
}

#[derive(Debug, Subcommand)]
pub enum Mailbox {
    /// Connect a mailbox, after a live test of sending and syncing
    Add(Box<save::Add>),
    /// List the mailboxes with their states
    List,
    /// Show a mailbox
    Show(Name),
    /// Change attributes: name=value…, name=null to clear
    Set(save::Set),
    /// Test live, stage by stage, whether sending and syncing work
    Test {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sides: Sides,
    },
    /// Tell whether mail with these correspondents is stored, or which exclusion keeps it out
    TestExclusions {
        #[command(flatten)]
        name: Name,
        /// Who else is in the message
        #[arg(required = true, value_name = "ADDRESS")]
        correspondents: Vec<String>,
    },
    /// Sync now
    Sync(Name),
    /// Stop sending and syncing; what is queued waits
    Pause {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sides: Sides,
    },
    /// Take up sending and syncing again
    Resume {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sides: Sides,
    },
    /// Remove a mailbox
    Rm {
        #[command(flatten)]
        name: Name,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub async fn run(mailbox: &Mailbox, session: &Session, output: Output) -> Result<(), Failure> {
    match mailbox {
        Mailbox::Add(add) => save::add(add, session, output).await,
        Mailbox::List => {
            let mailboxes = session.list("mailboxes", &[("sort", "email")], usize::MAX).await?;
            output.show(|| mailboxes.0.clone(), || mailboxes.ids(), || listed(&mailboxes))
        }
        Mailbox::Show(name) => {
            let found = find(session, &name.mailbox).await?;
            let mailbox = session.get(&found.path()).await?;
            output.show(|| mailbox.0.clone(), || found.id.clone(), || shown(mailbox.record()))
        }
        Mailbox::Set(set) => save::set(set, session, output).await,
        Mailbox::Test { name, sides } => check::run(&name.mailbox, *sides, session, output).await,
        Mailbox::TestExclusions { name, correspondents } => {
            exclusions::test(&name.mailbox, correspondents, session, output).await
        }
        Mailbox::Sync(name) => act::sync(&name.mailbox, session, output).await,
        Mailbox::Pause { name, sides } => act::hold(&name.mailbox, *sides, true, session, output).await,
        Mailbox::Resume { name, sides } => act::hold(&name.mailbox, *sides, false, session, output).await,
        Mailbox::Rm { name, yes } => act::remove(&name.mailbox, *yes, session, output).await,
    }
}

/// A mailbox that was named on the command line.
pub struct Found {
    pub id: String,
}

impl Found {
    pub fn path(&self) -> String {
        format!("/api/v2/mailboxes/{}", self.id)
    }
}

/// By address where the name is one; whether an id exists is left to the request that uses it.
pub async fn find(session: &Session, name: &str) -> Result<Found, Failure> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Found { id: name.to_owned() });
    }
    match session.by_email("mailboxes", name).await? {
        Some(mailbox) => Ok(Found { id: cell(&mailbox["id"]) }),
        None => {
            Err(Failure::new(Exit::NotFound, format!("There is no mailbox {name}. All of them: postroom mailbox list")))
        }
    }
}

fn listed(mailboxes: &Document) -> String {
    let columns = ["email", "sendState", "syncState", "sentInDay", "providerType"];
    let rows: Vec<Vec<String>> = mailboxes
        .records()
        .map(|mailbox| std::iter::once(mailbox.id()).chain(columns.map(|name| mailbox.text(name))).collect())
        .collect();
    table(&["ID", "ADDRESS", "SEND", "SYNC", "SENT 24H", "PROVIDER"], &rows)
}

/// Every attribute that has a value.
fn shown(mailbox: Record<'_>) -> String {
    let attributes = mailbox.0["attributes"].as_object().into_iter().flatten();
    let lines = std::iter::once(("id".to_owned(), mailbox.id()))
        .chain(attributes.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), cell(value))));
    pairs(&lines.collect::<Vec<_>>())
}

/// One line on how a mailbox stands.
fn standing(mailbox: Record<'_>) -> String {
    let mut text = format!("sending {}, syncing {}", mailbox.text("sendState"), mailbox.text("syncState"));
    for reason in ["sendStateReason", "syncStateReason"] {
        if let Some(reason) = mailbox.attribute(reason).as_str() {
            text.push_str("\n  ");
            text.push_str(reason);
        }
    }
    text
}
