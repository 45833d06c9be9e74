//! `postroom demo`: the main job on the embedded default, without a mailbox of one's own.
//!
//! - `home.rs`: a temporary directory with a store and a key of its own, gone at the end.
//! - `stage.rs`: the in-process mail server, who has an account there, and Grace, who answers what she gets.
//! - `seed.rs`: the first administrator, a token and four mailboxes, all made through the API.
//! - `story.rs`: what the mailboxes send, also through the API.
//! - `narrator.rs`, `sentences.rs`: the event log, told in plain words. `summary.rs`: what it came to.
//! - `welcome.rs`: what is printed before that.
//!
//! Promises: nothing leaves the machine, as the only addresses that can be dialled are those of the mail server here;
//! nothing stays on it. Knows `app` and everything below; only `cli` calls it.

mod home;
mod narrator;
mod seed;
mod sentences;
mod stage;
mod story;
mod summary;
mod welcome;

pub use summary::Summary;

use crate::app::{App, Blueprint, StartError};
use crate::config::{Config, LogConfig, LogLevel};
use crate::net::HttpError;
use crate::ops::telemetry;
use crate::runtime::{Runtime, Tasks};
use home::Home;
use narrator::Narrator;
use seed::Seeded;
use stage::Stage;
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long the demo's own tasks may take to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many answers may wait for somebody to sync them; what is beyond that is found by the regular sync.
const ANSWERS: usize = 100;

/// How the demo is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the API is served; `None` takes the usual port, or any free one if that is taken.
    pub listen: Option<SocketAddr>,
    /// One line of JSON once ready, and nothing else on standard output.
    pub json: bool,
    /// Ends after this many seconds, counted from when it is ready; `None` ends with a signal only.
    pub seconds: Option<u64>,
}

/// Why the demo did not run, or broke off.
#[derive(Debug)]
pub enum DemoError {
    /// The temporary directory.
    Home(io::Error),
    /// The in-process mail server.
    MailServer(io::Error),
    Start(StartError),
    /// The demo's own requests did not reach the API.
    Http(HttpError),
    /// The API answered one of them with something else than was asked for: the request, and what was wrong.
    Refused {
        request: String,
        detail: String,
    },
    /// Signals cannot be waited for.
    Signals(io::Error),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(error) => {
                write!(f, "A temporary directory cannot be made in {}: {error}.", std::env::temp_dir().display())
            }
            Self::MailServer(error) => write!(f, "The demo's mail server cannot listen on loopback: {error}."),
            Self::Start(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Refused { request, detail } => write!(f, "{request} was refused: {detail}"),
            Self::Signals(error) => write!(f, "Signals cannot be received: {error}."),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<HttpError> for DemoError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

/// Runs the demo to its end, by time or by a signal, and prints what happens to standard output.
pub async fn run(options: Options) -> Result<Summary, DemoError> {
    let log = LogConfig { level: LogLevel::Warn, ..LogConfig::default() };
    telemetry::start(&log, Runtime::system().clock, telemetry::Reader::of_stderr(true));
    // Before anything is there to be cleaned up: a signal must never skip that.
    let mut terminate = signal(SignalKind::terminate()).map_err(DemoError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DemoError::Signals)?;

    let mut demo = Demo::open(options.listen).await?;
    print(&if options.json { demo.ready().to_json() } else { demo.ready().welcome(options.seconds) });
    let output: Box<dyn Write + Send> = if options.json { Box::new(io::sink()) } else { Box::new(io::stdout()) };
    demo.play(output);
    let time_is_up = async {
        match options.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let broken = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        () = time_is_up => None,
        error = demo.broken() => Some(error),
    };
    let summary = demo.close().await;
    if !options.json {
        print(&format!("\n{summary}"));
    }
    broken.map_or(Ok(summary), Err)
}

/// Whoever reads may have gone away; that is no reason to end early or badly.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// What a person or a program needs to use the running demo.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The origin of the API, without a slash at the end.
    pub url: String,
    /// An API token of the administrator, who owns the four mailboxes.
    pub token: String,
    pub smtp: SocketAddr,
    pub imap: SocketAddr,
    pub data_dir: PathBuf,
}

/// A demo that is set up. It ends with [`Demo::close`]; dropped without it, its directory is removed all the same.
pub struct Demo {
    app: App,
    stage: Stage,
    seeded: Seeded,
    ready: Ready,
    runtime: Runtime,
    tasks: Tasks,
    story: Option<JoinHandle<Result<(), DemoError>>>,
    narrator: Narrator,
    narrating: Option<JoinHandle<Narrator>>,
    // The last field: what is in there is closed before it is removed.
    _home: Home,
}

impl Demo {
    /// Starts the mail server and an instance on `listen`, and makes the mailboxes.
    pub async fn open(listen: Option<SocketAddr>) -> Result<Self, DemoError> {
        let runtime = Runtime::system();
        let home = Home::make(&*runtime.random).map_err(DemoError::Home)?;
        let stage = Stage::start(&runtime).await.map_err(DemoError::MailServer)?;
        let mut config = Config::default();
        config.server.listen = listen.unwrap_or_else(|| or_any_port(config.server.listen));
        let places = home.places();
        let blueprint = Blueprint {
            config,
            places: places.clone(),
            runtime: runtime.clone(),
            dialer: Arc::new(stage.dialer()),
            local_links: true,
            serving: true,
        };
        let app = App::start(blueprint).await.map_err(DemoError::Start)?;
        let seeded = match seed::seed(app.socket(), &stage).await {
            Ok(seeded) => seeded,
            Err(error) => {
                app.stop().await;
                return Err(error);
            }
        };
        let address = app.address().unwrap_or_else(|| stage.smtp());
        let ready = Ready {
            url: format!("http://{address}"),
            token: seeded.token().to_owned(),
            smtp: stage.smtp(),
            imap: stage.imap(),
            data_dir: places.data_dir,
        };
        let narrator = Narrator::new(app.store().clone(), runtime.clock.now());
        let tasks = Tasks::new();
        let (story, narrating) = (None, None);
        Ok(Self { app, stage, seeded, ready, runtime, tasks, story, narrator, narrating, _home: home })
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Lets the mail flow and tells of it on `output`, a line for each thing that happens.
    pub fn play(&mut self, output: impl Write + Send + 'static) {
        let (answered, mut answers) = mpsc::channel(ANSWERS);
        let grace = stage::answer_mail(self.stage.server(), self.runtime.clone(), answered);
        self.spawn(grace);
        let seeded = self.seeded.clone();
        self.spawn(async move {
            while let Some(address) = answers.recv().await {
                // A mailbox that its user deleted or disabled meanwhile needs no sync.
                if let Err(error) = seeded.sync(&address).await {
                    tracing::debug!(%error, "an answer waits for the regular sync");
                }
            }
        });
        let (seeded, store, stopping) = (self.seeded.clone(), self.app.store().clone(), self.tasks.stopping());
        self.story = Some(self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => Ok(()),
                told = story::play(&seeded, &store) => told,
            }
        }));
        let (narrator, stopping) = (self.narrator.clone(), self.tasks.stopping());
        self.narrating = Some(self.tasks.spawn(narrator.follow(output, stopping)));
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.tasks.stopping();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Completes when the story cannot go on; never, where all is well.
    async fn broken(&mut self) -> DemoError {
        if let Some(story) = self.story.take() {
            match story.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(panic) => return DemoError::Refused { request: "The story".into(), detail: panic.to_string() },
            }
        }
        std::future::pending().await
    }

    /// Ends everything in order, removes the directory, and says what it came to.
    pub async fn close(self) -> Summary {
        let Self { mut app, stage, seeded, tasks, mut narrator, narrating, _home: home, .. } = self;
        let ended = tasks.stop(PATIENCE).await;
        // Its idle connections would be waited for.
        drop(seeded);
        app.wind_down().await;
        if let Some(narrating) = narrating.filter(|_| ended)
            && let Ok(so_far) = narrating.await
        {
            narrator = so_far;
        }
        // What was in flight has ended by now.
        let summary = narrator.finish();
        app.stop().await;
        stage.stop().await;
        drop(home);
        summary
    }
}

/// The address, or one with a free port if another program listens there.
fn or_any_port(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_by_any_free_one() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        assert_eq!(or_any_port(address), "127.0.0.1:0".parse().unwrap());
    }
}
