//! The binary: parse, call, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    postroom::cli::main(std::env::args_os())
}
