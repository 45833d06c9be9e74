//! What can be typed: the verbs and the options that all of them share.

use super::{demo, serve};
use crate::config::Overrides;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "postroom",
    bin_name = "postroom",
    version,
    about = "One binary that owns an organisation's mailboxes: server, client and tool.",
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Exit codes: postroom help exit-codes"
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb understands, before or after it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of every verb")]
pub struct Global {
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only the value: a token, an id
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print without colours, as NO_COLOR does
    #[arg(long, global = true)]
    pub no_color: bool,
    /// The data directory of the instance
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Talk to the server at this URL instead of the local one
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// A file with the API token for --url; - reads standard input
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Act as this user of the local server
    #[arg(long = "as", global = true, value_name = "EMAIL")]
    pub act_as: Option<String>,
}

impl Global {
    /// What of it concerns the configuration.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        overrides.config_file.clone_from(&self.config);
        if let Some(directory) = &self.data_dir {
            overrides.set("data_dir", directory);
        }
        overrides
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve the API, send and sync until told to stop
    Serve(serve::Serve),
    /// Try everything in a temporary directory, with a mail server of its own
    Demo(demo::Demo),
}
