//! Whose mail a mailbox stores.

use super::find;
use crate::cli::answer::cell;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::cli::session::Session;
use serde_json::Value;
use url::form_urlencoded;

pub async fn test(name: &str, correspondents: &[String], session: &Session, output: Output) -> Result<(), Failure> {
    if let Some(bad) = correspondents.iter().find(|address| address.contains(',')) {
        return Err(Failure::usage(format!("Separate addresses by spaces: {bad}")));
    }
    let found = find(session, name).await?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("actionParams[email]", &correspondents.join(","))
        .finish();
    let answer = session.call("POST", &format!("{}/actions/testExclusions?{query}", found.path()), None).await?;
    let verdict = &answer.0["meta"]["exclusions"];
    let word = if verdict["excluded"] == true { "excluded" } else { "stored" };
    output.show(|| answer.0.clone(), || word.to_owned(), || explained(verdict))
}

fn explained(verdict: &Value) -> String {
    let of = |judged: &Value| {
        let list = if judged["list"] == "mailbox" { "the mailbox's list" } else { "the organisation's list" };
        let why = match &judged["pattern"] {
            _ if judged["own"] == true => "one of the mailbox's own addresses, which does not count".to_owned(),
            Value::Null => "not excluded".to_owned(),
            pattern => format!("excluded by {} in {list}", cell(pattern)),
        };
        format!("{}: {why}", cell(&judged["email"]))
    };
    let end = if verdict["excluded"] == true {
        "A message with only these is not stored, unless it concerns a mailing of ours."
    } else {
        "A message with these is stored."
    };
    let judged = verdict["correspondents"].as_array().into_iter().flatten();
    judged.map(of).chain([end.to_owned()]).collect::<Vec<_>>().join("\n")
}
