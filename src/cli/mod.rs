//! The command line: one file per group of verbs.
//!
//! - `arguments.rs`: the verbs and the options that all of them share; `exit.rs`: exit codes and failures;
//! - `output.rs`: tables, JSON, nothing that steers a terminal;
//! - `serve.rs`, `demo.rs` run an instance; every other verb is a client of its API.
//!
//! Promises: results on standard output, all else on standard error; a failure says its cause and the next step, and has
//! its exit code; a secret is never an argument and never printed, but for a new token. Uses every room below it.

mod arguments;
mod demo;
mod exit;
mod output;
mod serve;

use arguments::{Arguments, Verb};
use clap::Parser;
use exit::Failure;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that `arguments` (the program's name first) spell out, and gives the exit code of the process.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output, errors to the other; that nobody reads them is no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::Exit::Usage.code() } else { 0 });
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
        Verb::Serve(serve) => serve::run(serve, global, &output),
        Verb::Demo(demo) => demo::run(demo, global),
    }
}
