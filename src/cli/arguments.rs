//! What can be typed: the verbs and the options that all of them share.

use super::{api, clock, demo, mailbox, message, queue, send, serve, setup, suppression, token};
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
    // As an attribute: a name in capitals in a comment would want backticks, which a terminal does not.
    #[arg(long, global = true, help = "Print without colours, as NO_COLOR does")]
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
    /// Make the first administrator
    Setup(setup::Setup),
    /// API tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Mailboxes
    #[command(subcommand)]
    Mailbox(mailbox::Mailbox),
    /// Send a mailing
    Send(send::Send),
    /// Mailings that have not been sent
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Synced messages
    #[command(subcommand)]
    Message(message::Message),
    /// Addresses that nobody in the organisation mails
    #[command(subcommand)]
    Suppression(suppression::Suppression),
    /// Tell whether the server can do its work
    Health,
    /// The clock of the machine, where it holds up sending
    #[command(subcommand)]
    Clock(clock::Clock),
    /// Make any request of the API
    Api(api::Api),
    /// Print the DNS records of the configured DKIM keys
    Dkim,
    /// Show where this instance keeps its things
    Paths,
    /// Explain a verb, or the exit codes: help exit-codes
    Help {
        #[arg(value_name = "VERB")]
        topic: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_declaration_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_every_verb_stand_before_or_after_it() {
        for line in ["postroom --json --data-dir /d mailbox list", "postroom mailbox list --data-dir /d --json"] {
            let global = parse(line).unwrap().global;
            assert!(global.json && global.data_dir.as_deref() == Some("/d"), "{line}");
        }
        assert_eq!(
            parse("postroom health --as ann@example.org").unwrap().global.act_as.as_deref(),
            Some("ann@example.org")
        );
    }

    #[test]
    fn several_recipients_follow_one_option_or_several() {
        for line in ["--to a@x b@x", "--to a@x --to b@x"] {
            let line = format!("postroom send --from c@x {line} --subject s --text -");
            let Verb::Send(send) = parse(&line).unwrap().verb else { panic!("{line}") };
            assert!(format!("{send:?}").contains(r#"to: ["a@x", "b@x"]"#), "{send:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for line in [
            "postroom",
            "postroom serv",
            "postroom mailbox",
            "postroom mailbox add",
            "postroom mailbox add a@x --password secret",
            "postroom send --from a@x --to b@x --subject s",
            "postroom token revoke one",
            "postroom message list --limit 0",
            "postroom queue cancel",
            "postroom queue retry x",
            "postroom serve --link",
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.use_stderr() && error.exit_code() == 2, "{line}: {error}");
        }
    }
}
