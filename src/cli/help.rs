//! `postroom help`: of a verb, and the exit codes; `postroom paths`.

use super::arguments::{Arguments, Global};
use super::exit::{Exit, Failure};
use super::output::{Output, pairs, write_out};
use crate::config::{Config, Machine};
use clap::CommandFactory;
use serde_json::json;

/// Prints the help of what `topic` spells out (`mailbox add`), or the exit codes.
pub fn help(topic: &[String], output: Output) -> Result<(), Failure> {
    if topic.len() == 1 && topic[0] == "exit-codes" {
        let codes: Vec<(String, String)> =
            Exit::TABLE.iter().map(|(code, meaning)| (code.to_string(), (*meaning).to_owned())).collect();
        let document = || codes.iter().cloned().collect::<std::collections::BTreeMap<_, _>>();
        return output.show(|| json!(document()), || pairs(&codes), || pairs(&codes));
    }
    let mut command = Arguments::command();
    command.build();
    let mut found = &mut command;
    for word in topic {
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            Failure::usage(format!("There is no verb '{}'. All of them: postroom --help", topic.join(" ")))
        })?;
    }
    write_out(found.render_long_help().to_string().as_bytes())
}

/// Where this instance keeps its things.
pub fn paths(global: &Global, output: Output) -> Result<(), Failure> {
    let loaded = Config::load(&global.overrides(), &Machine)?;
    let shown = |path: &std::path::Path| path.display().to_string();
    let places = [
        ("dataDir", shown(&loaded.places.data_dir)),
        ("socket", shown(&loaded.places.socket)),
        ("masterKey", shown(loaded.places.master_key.path())),
        ("config", loaded.file.as_deref().map_or_else(|| "(none)".to_owned(), shown)),
    ]
    .map(|(name, path)| (name.to_owned(), path));
    let document = || places.iter().cloned().collect::<std::collections::BTreeMap<_, _>>();
    output.show(|| json!(document()), || pairs(&places), || pairs(&places))
}
