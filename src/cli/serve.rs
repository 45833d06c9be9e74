//! `postroom serve`: an instance from its start to its ordered end.

use super::arguments::Global;
use super::exit::Failure;
use super::output::Output;
use crate::app::{App, Blueprint};
use crate::config::{Config, Loaded, Machine};
use crate::ops::telemetry::{self, Reader};
use crate::store::first_admin;
use clap::Args;
use serde_json::json;
use std::io;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Blocking threads beside those of sync: name look-ups, file reads.
const SPARE_BLOCKING_THREADS: usize = 16;
/// Of each thread. The parsers bound their depth, so that none of them needs more.
const STACK: usize = 1 << 20;

#[derive(Debug, Args)]
pub struct Serve {
    /// The address and port of the API; port 0 takes any free one [default: 127.0.0.1:8025]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The address under which recipients and integrators reach this server
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

pub fn run(serve: &Serve, global: &Global, output: Output) -> Result<(), Failure> {
    let mut overrides = global.overrides();
    if let Some(address) = &serve.listen {
        overrides.set("listen", address);
    }
    if let Some(url) = &serve.public_url {
        overrides.set("public_url", url);
    }
    let loaded = Config::load(&overrides, &Machine)?;
    let runtime =
        runtime(&loaded.config).map_err(|error| Failure::failed(format!("No threads to work on: {error}.")))?;
    let result = runtime.block_on(until_told(&loaded, global, output));
    // Whatever still runs was given its time; the process ends now.
    runtime.shutdown_background();
    result
}

/// Threads are bounded: memory is, too. (glibc keeps an arena per thread; fewer threads, fewer arenas.)
pub(super) fn runtime(config: &Config) -> io::Result<Runtime> {
    let workers = match config.server.threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        threads => usize::try_from(threads).unwrap_or(2),
    };
    let blocking = usize::try_from(config.sync.workers).unwrap_or(8) + SPARE_BLOCKING_THREADS;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(blocking)
        .thread_stack_size(STACK)
        .thread_name("postroom")
        .enable_all()
        .build()
}

async fn until_told(loaded: &Loaded, global: &Global, output: Output) -> Result<(), Failure> {
    // From here on no signal ends the process by itself: an early one waits for the start.
    let mut signals =
        Signals::new().map_err(|error| Failure::failed(format!("Signals cannot be received: {error}.")))?;
    let blueprint = Blueprint::serving(loaded);
    telemetry::start(&loaded.config.log, blueprint.runtime.clock.clone(), Reader::of_stderr(!global.no_color));
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let app = App::start(blueprint).await?;
    announce(&app, output)?;
    signals.end().await;
    tracing::info!("stopping: no new work, what is in flight is finished; a second signal ends at once");
    tokio::select! {
        () = app.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.end() => Err(Failure::failed("Ended at once by a second signal; the next start takes up what was in flight.")),
    }
}

fn announce(app: &App, output: Output) -> Result<(), Failure> {
    let Some(address) = app.address() else { return Ok(()) };
    let url = format!("http://{address}");
    let version = env!("CARGO_PKG_VERSION");
    output.show(
        || json!({"url": url, "version": version}),
        || url.clone(),
        || format!("postroom {version} is listening on {url}"),
    )?;
    if let Ok(snapshot) = app.store().read()
        && let Ok(None) = first_admin(&snapshot)
    {
        output.note("Create the first admin: postroom setup --email you@example.org");
    }
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody asks for the end.
    async fn end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::warn!("SIGHUP does nothing yet: restart to read the configuration again");
                }
            }
        }
    }
}
