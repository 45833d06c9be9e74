//! `postroom queue`: mailings that have not been sent.

use super::answer::{Document, Record, cell};
use super::exit::{Exit, Failure};
use super::mailbox;
use super::output::{Output, pairs, table};
use super::session::Session;
use crate::domain::mailing::State;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// The states of what has not been sent.
const UNSENT: &str = "scheduled,queued,delivering,failed";

#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List what waits, is under way or failed
    List(List),
    /// Show a mailing: what became of each recipient, and what was tried
    Show {
        #[arg(value_name = "ID", value_parser = mailing_id)]
        id: u64,
    },
    /// Send failed mailings again, and those that wait for their next try at once
    Retry {
        #[arg(value_name = "ID", required = true, value_parser = mailing_id)]
        ids: Vec<u64>,
    },
    /// Take mailings back; they become drafts
    Cancel {
        #[arg(value_name = "ID", required = true, value_parser = mailing_id)]
        ids: Vec<u64>,
    },
}

fn mailing_id(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "the id of a mailing is a number, such as 12; `postroom queue list` shows them")
}

/// States with commas between them.
fn states(text: &str) -> Result<String, String> {
    match text.split(',').map(str::trim).find(|name| State::from_name(name).is_none()) {
        Some(unknown) => {
            let all = State::ALL.map(State::name).join(", ");
            Err(format!("'{unknown}' is no state of a mailing; there are {all}"))
        }
        None => Ok(text.to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those of this mailbox: its id or its address
    #[arg(long, value_name = "ID|EMAIL")]
    mailbox: Option<String>,
    /// Only those in these states, such as failed or drafted,scheduled
    #[arg(long, value_name = "STATE", default_value = UNSENT, value_parser = states)]
    state: String,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub async fn run(queue: &Queue, session: &Session, output: Output) -> Result<(), Failure> {
    match queue {
        Queue::List(list) => listed(list, session, output).await,
        Queue::Show { id } => {
            let mailing = session.get(&format!("/api/v2/mailings/{id}")).await?;
            let record = mailing.record();
            output.show(|| mailing.0.clone(), || record.text("state"), || shown(record))
        }
        Queue::Retry { ids } => act("retry", ids, session, output).await,
        Queue::Cancel { ids } => act("cancel", ids, session, output).await,
    }
}

async fn listed(list: &List, session: &Session, output: Output) -> Result<(), Failure> {
    let mailbox = match &list.mailbox {
        Some(name) => Some(mailbox::find(session, name).await?.id),
        None => None,
    };
    let mut query = vec![("filter[state]", list.state.as_str()), ("count", "false")];
    query.extend(mailbox.as_deref().map(|id| ("filter[mailbox][id]", id)));
    if !output.json {
        query.push(("fields[mailing]", "state,mailboxAddress,to,cc,bcc,subject,delayReason,errorReason"));
    }
    let mailings = session.list("mailings", &query, usize::try_from(list.limit).unwrap_or(usize::MAX)).await?;
    let row = |mailing: Record<'_>| {
        let reason = ["errorReason", "delayReason"].map(|name| mailing.attribute(name).as_str().unwrap_or_default());
        let reason = reason.into_iter().find(|reason| !reason.is_empty()).unwrap_or("-").to_owned();
        let [state, from, subject] = ["state", "mailboxAddress", "subject"].map(|name| mailing.text(name));
        vec![mailing.id(), state, from, recipients(mailing), subject, reason]
    };
    let text = || {
        let rows: Vec<Vec<String>> = mailings.records().map(row).collect();
        table(&["ID", "STATE", "FROM", "TO", "SUBJECT", "REASON"], &rows)
    };
    output.show(|| mailings.0.clone(), || mailings.ids(), text)
}

/// The first recipient, and how many more there are.
fn recipients(mailing: Record<'_>) -> String {
    let lists = ["to", "cc", "bcc"].map(|name| mailing.attribute(name).as_array().map_or(&[][..], Vec::as_slice));
    let mut all = lists.into_iter().flatten();
    match (all.next(), all.count()) {
        (None, _) => "-".to_owned(),
        (Some(first), 0) => cell(first),
        (Some(first), more) => format!("{} +{more}", cell(first)),
    }
}

fn shown(mailing: Record<'_>) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (label, name) in [
        ("State", "state"),
        ("From", "mailboxAddress"),
        ("Subject", "subject"),
        ("Message-ID", "messageId"),
        ("Scheduled", "scheduledAt"),
        ("Next try", "retryAt"),
        ("Delay", "delayReason"),
        ("Error", "errorReason"),
    ] {
        if !mailing.attribute(name).is_null() {
            lines.push((label.to_owned(), mailing.text(name)));
        }
    }
    let each = |name: &str| mailing.attribute(name).as_array().cloned().unwrap_or_default();
    for outcome in each("recipientOutcomes") {
        let said = outcome["answer"].as_str().map(|answer| format!(": {answer}")).unwrap_or_default();
        let text = format!("{} {}{said}", cell(&outcome["address"]), cell(&outcome["state"]));
        lines.push((cell(&outcome["kind"]), text));
    }
    for attempt in each("attempts") {
        let code = attempt["code"].as_u64().map(|code| format!(" {code}")).unwrap_or_default();
        let text = format!("{} {}{code} {}", cell(&attempt["at"]), cell(&attempt["stage"]), cell(&attempt["text"]));
        lines.push(("Attempt".to_owned(), text));
    }
    pairs(&lines)
}

/// Acts on each; what is refused does not keep the others from their turn.
async fn act(verb: &str, ids: &[u64], session: &Session, output: Output) -> Result<(), Failure> {
    let mut done: Vec<Value> = Vec::new();
    let mut refused: Vec<Failure> = Vec::new();
    for id in ids {
        match session.call("POST", &format!("/api/v2/mailings/{id}/actions/{verb}"), None).await {
            Ok(mut mailing) => done.push(mailing.0["data"].take()),
            Err(failure) => refused.push(Failure { text: format!("Mailing {id}: {}", failure.text), ..failure }),
        }
    }
    let some = !done.is_empty();
    let mailings = Document(json!({"data": done}));
    let line = |mailing: Record<'_>| format!("Mailing {} is {}.\n", mailing.id(), mailing.text("state"));
    output.show(|| mailings.0.clone(), || mailings.ids(), || mailings.records().map(line).collect())?;
    let text = refused.iter().map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("\n");
    match refused.first() {
        None => Ok(()),
        Some(_) if some => Err(Failure::new(Exit::Partly, text)),
        Some(first) => Err(Failure::new(first.exit, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_recipients_are_counted() {
        let mailing = json!({"attributes": {"to": ["a@x", "b@x"], "cc": [], "bcc": ["c@x"]}});
        assert_eq!(recipients(Record(&mailing)), "a@x +2");
        assert_eq!(recipients(Record(&json!({"attributes": {"to": ["a@x"]}}))), "a@x");
        assert_eq!(recipients(Record(&json!({}))), "-");
    }

    #[test]
    fn a_mailing_is_shown_with_what_became_of_it() {
        let mailing = json!({"attributes": {
            "state": "failed", "subject": "Hi", "errorReason": "No.", "scheduledAt": null,
            "recipientOutcomes": [{"kind": "to", "address": "a@x", "state": "failed", "answer": "550 no"}],
            "attempts": [{"at": "2026-07-08T18:40:47.000Z", "stage": "rcptTo", "code": 550, "text": "no"}],
        }});
        assert_eq!(
            shown(Record(&mailing)),
            "State    failed\nSubject  Hi\nError    No.\nto       a@x failed: 550 no\nAttempt  2026-07-08T18:40:47.000Z rcptTo 550 no\n"
        );
    }
}
