//! `postroom demo`: the verb; what it does is in the room of that name.

use super::arguments::Global;
use super::exit::Failure;
use crate::config::Config;
use crate::demo::DemoError;
use clap::Args;

#[derive(Debug, Args)]
pub struct Demo {
    /// The address and port of the API; left out, 127.0.0.1:8025, or any free port if that is taken
    #[arg(long, value_name = "ADDR")]
    listen: Option<std::net::SocketAddr>,
    /// End by itself after this many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

pub fn run(demo: &Demo, global: &Global) -> Result<(), Failure> {
    let options = crate::demo::Options { listen: demo.listen, json: global.json, seconds: demo.seconds };
    let runtime = super::serve::runtime(&Config::default())
        .map_err(|error| Failure::failed(format!("No threads to work on: {error}.")))?;
    let result = runtime.block_on(crate::demo::run(options));
    runtime.shutdown_background();
    result.map(|_| ()).map_err(|error| match error {
        DemoError::Start(error) => error.into(),
        error => Failure::failed(error.to_string()),
    })
}
