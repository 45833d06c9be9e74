//! The live tests of a mailbox, stage by stage.

use super::{Sides, find};
use crate::cli::answer::{Document, refused, stages};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::session::Session;
use serde_json::{Map, Value, json};

/// How the test of one side ended.
struct Tested {
    side: &'static str,
    /// The answer's document: the mailbox with `meta.stages`, or errors that carry them.
    document: Document,
    refusal: Option<Failure>,
}

impl Tested {
    fn to_json(&self) -> Value {
        match &self.refusal {
            None => json!({"ok": true, "stages": self.document.0["meta"]["stages"]}),
            Some(_) => json!({
                "ok": false,
                "stages": self.document.0["errors"][0]["meta"]["stages"],
                "errors": self.document.0["errors"],
            }),
        }
    }

    fn to_line(&self) -> String {
        format!("{}\t{}", self.side, if self.refusal.is_none() { "works" } else { "failed" })
    }

    fn to_text(&self) -> String {
        match &self.refusal {
            None => format!("{}: works{}\n", self.side, stages(&self.document.0["meta"]["stages"])),
            Some(failure) => format!("{}: failed. {}\n", self.side, failure.text),
        }
    }
}

pub async fn run(name: &str, sides: Sides, session: &Session, output: Output) -> Result<(), Failure> {
    let found = find(session, name).await?;
    let mailbox = session.get(&found.path()).await?;
    let mut tested = Vec::new();
    for (side, asked, action, state) in
        [("send", sides.send, "testSend", "sendState"), ("sync", sides.sync, "testSync", "syncState")]
    {
        let none_asked = !sides.send && !sides.sync;
        let by_default = none_asked && mailbox.record().text(state) != "notConfigured";
        if !asked && !by_default {
            continue;
        }
        output.note(&format!("Testing {side} of {}…", mailbox.record().text("email")));
        let answer = session.ask("POST", &format!("{}/actions/{action}", found.path()), None).await?;
        let refusal = refused(&answer);
        // Only a failed test is a result; not being allowed to test ends it here.
        if let Some(failure) = refusal.as_ref().filter(|_| answer.status != 422) {
            return Err(Failure::new(failure.exit, failure.text.clone()));
        }
        tested.push(Tested { side, document: Document::read(&answer.body)?, refusal });
    }
    if tested.is_empty() {
        return Err(Failure::failed("Neither side is configured. Set smtpHost and imapHost: postroom mailbox set"));
    }
    let document =
        || Value::Object(tested.iter().map(|one| (one.side.to_owned(), one.to_json())).collect::<Map<_, _>>());
    let states = || tested.iter().map(Tested::to_line).collect::<Vec<_>>().join("\n");
    output.show(document, states, || tested.iter().map(Tested::to_text).collect())?;
    match tested.iter().filter(|one| one.refusal.is_some()).count() {
        0 => Ok(()),
        failed if failed == tested.len() => Err(Failure::failed("")),
        _ => Err(Failure::new(Exit::Partly, "")),
    }
}
