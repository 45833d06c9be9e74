//! `postroom clock`: the clock of the machine, as far as sending depends on it.

use super::answer::cell;
use super::exit::{Exit, Failure};
use super::output::{Output, pairs};
use super::session::Session;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Clock {
    /// Tell whether the clock can be right; it cannot where something was recorded at a later time already
    Show,
    /// Take the clock for right as it is, so that sending goes on; limits count as if no time had passed
    Accept,
}

pub async fn run(clock: &Clock, session: &Session, output: Output) -> Result<(), Failure> {
    let document = match clock {
        Clock::Show => session.get("/api/v2/clock").await?,
        Clock::Accept => session.call("POST", "/api/v2/clock/actions/accept", None).await?,
    };
    let shown = &document.0["meta"]["clock"];
    let right = shown["right"] == true;
    let state = || if right { "right".to_owned() } else { "behind".to_owned() };
    let text = || {
        let mut lines = vec![("Now".to_owned(), cell(&shown["now"])), ("State".to_owned(), state())];
        if !right {
            lines.push(("Reason".to_owned(), cell(&shown["reason"])));
        }
        match shown["accepted"].as_bool() {
            Some(true) => lines.push(("Accepted".to_owned(), "sending goes on".to_owned())),
            Some(false) => lines.push(("Accepted".to_owned(), "it was right already".to_owned())),
            None => {}
        }
        pairs(&lines)
    };
    output.show(|| document.0.clone(), state, text)?;
    if right { Ok(()) } else { Err(Failure::new(Exit::Unhealthy, "Sending waits for the clock.")) }
}
