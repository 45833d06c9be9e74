//! `postroom demo`: everything in a temporary directory, with an in-process mail server. (being built)

use crate::app::StartError;
use std::net::SocketAddr;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the API is served; any free port where none is named.
    pub listen: Option<SocketAddr>,
    /// Print one line of JSON once ready, and no log.
    pub json: bool,
    /// End by itself after this many seconds.
    pub seconds: Option<u64>,
}

/// Runs the demo until it is told to stop.
pub fn run(_: Options) -> Result<(), StartError> {
    Err(StartError::Failed("The demo is not built yet.".into()))
}
