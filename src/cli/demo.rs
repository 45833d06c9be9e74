//! `postroom demo`: the verb; what it does is in the room of that name.

use super::arguments::Global;
use super::exit::Failure;
use clap::Args;

#[derive(Debug, Args)]
pub struct Demo {
    /// The address and port of the API; any free port where none is named
    #[arg(long, value_name = "ADDR")]
    listen: Option<std::net::SocketAddr>,
    /// End by itself after this many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

pub fn run(demo: &Demo, global: &Global) -> Result<(), Failure> {
    let options = crate::demo::Options { listen: demo.listen, json: global.json, seconds: demo.seconds };
    Ok(crate::demo::run(options)?)
}
