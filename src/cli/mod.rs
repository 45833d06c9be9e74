//! The command line: one file per group of verbs.
//!
//! - `arguments.rs`: the verbs and the options that all of them share; `exit.rs`: exit codes and failures;
//! - `output.rs`, `listing.rs`: tables, JSON, nothing that steers a terminal; lists that are long;
//! - `session.rs`, `answer.rs`: the conversation with a server, and what it answers;
//! - `secret.rs`, `input.rs`, `moment.rs`: secrets, files and times as they are given;
//! - `serve.rs`, `demo.rs` run an instance; `help.rs` asks nobody; every other verb is a client of the API.
//!
//! Promises: results on standard output, all else on standard error; a failure says its cause and the next step, and has
//! its exit code; a secret is never an argument and never printed, but for a new token. Uses every room below it.

mod answer;
mod api;
mod arguments;
mod clock;
mod demo;
mod dkim;
mod exit;
mod health;
mod help;
mod input;
mod listing;
mod mailbox;
mod message;
mod moment;
mod output;
mod queue;
mod secret;
mod send;
mod serve;
mod session;
mod setup;
mod suppression;
mod token;

use arguments::{Arguments, Verb};
use clap::Parser;
use exit::{Exit, Failure};
use output::Output;
use session::{Session, WithoutServer};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that `arguments` (the program's name first) spell out, and gives the exit code of the process.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Any verb may come to hold a password, a token or the key.
    crate::vault::write_no_core_file();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output, errors to the other; that nobody reads them is no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { 0 });
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                output::say(&failure.text);
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let global = &arguments.global;
    let output = Output { json: global.json, quiet: global.quiet };
    match &arguments.verb {
        Verb::Serve(serve) => serve::run(serve, global, output),
        Verb::Demo(demo) => demo::run(demo, global),
        Verb::Paths => help::paths(global, output),
        Verb::Dkim => dkim::run(global, output),
        Verb::Help { topic } => help::help(topic, output),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::failed(format!("No thread to work on: {error}.")))?;
            runtime.block_on(ask(arguments, output))
        }
    }
}

/// The verbs that are clients of the API.
async fn ask(arguments: &Arguments, output: Output) -> Result<(), Failure> {
    let without = match &arguments.verb {
        Verb::Setup(_) | Verb::Token(_) | Verb::Clock(_) => WithoutServer::OpenTheStore,
        _ => WithoutServer::Fail,
    };
    let session = Session::open(&arguments.global, without, output).await?;
    let result = match &arguments.verb {
        Verb::Setup(setup) => setup::run(setup, &session, output).await,
        Verb::Token(token) => token::run(token, &session, output).await,
        Verb::Mailbox(mailbox) => mailbox::run(mailbox, &session, output).await,
        Verb::Send(send) => send::run(send, &session, output).await,
        Verb::Queue(queue) => queue::run(queue, &session, output).await,
        Verb::Message(message) => message::run(message, &session, output).await,
        Verb::Suppression(verb) => suppression::run(verb, &session, output).await,
        Verb::Health => health::run(&session, output).await,
        Verb::Clock(clock) => clock::run(clock, &session, output).await,
        Verb::Api(api) => api::run(api, &session).await,
        Verb::Serve(_) | Verb::Demo(_) | Verb::Dkim | Verb::Paths | Verb::Help { .. } => Ok(()),
    };
    session.close().await;
    result
}
