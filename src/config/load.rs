//! From everywhere a value can come from to one configuration, or to all that is wrong with it.

use super::file::{self, Entry};
use super::places::{self, Places};
use super::setting::{Found, Raw};
use super::{Config, OPTIONS, Opt, Surroundings};
use crate::domain::nearest::nearest;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// How long a configuration file may be, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;
/// How long a value in a file of its own may be, in bytes.
const VALUE_LIMIT: u64 = 64 * 1024;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The configuration file that was named; it must exist then.
    pub config_file: Option<PathBuf>,
    values: BTreeMap<String, String>,
}

impl Overrides {
    /// Sets an option by its path (`data_dir`, `send.workers`) as its flag was given.
    pub fn set(&mut self, path: &str, value: impl Into<String>) {
        self.values.insert(path.to_owned(), value.into());
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Variable(String),
    /// The file that a variable `POSTROOM_X_FILE` names.
    VariableFile {
        variable: String,
        path: PathBuf,
    },
    /// A systemd credential.
    Credential(PathBuf),
    /// The configuration file; lines count from 1.
    File {
        path: PathBuf,
        line: usize,
    },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::VariableFile { variable, path } => write!(f, "{} (named by {variable})", path.display()),
            Self::Credential(path) => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The option's path, or the unknown key.
    pub key: Option<String>,
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.origin, self.sentence),
            None => write!(f, "{}: {}", self.origin, self.sentence),
        }
    }
}

/// All that is wrong with a configuration (exit code 78); one problem per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A configuration that was found to be good.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub places: Places,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// What is allowed but deserves a line in the log.
    pub warnings: Vec<String>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// Where an option's value came from.
    pub fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }
}

impl Config {
    /// Reads the configuration: flag > variable > the file a variable names > systemd credential > file > default.
    pub fn load(overrides: &Overrides, surroundings: &dyn Surroundings) -> Result<Loaded, ConfigError> {
        let mut reading = Reading { surroundings, problems: Vec::new() };
        let file = reading.choose_file(overrides);
        let mut entries = file.as_deref().map(|path| reading.file(path)).unwrap_or_default();
        reading.refuse_unknown_flags(overrides);

        let mut config = Self::default();
        let mut origins = BTreeMap::new();
        for option in OPTIONS {
            let Some((raw, origin)) = reading.find(option, overrides, &mut entries, file.as_deref()) else { continue };
            let base = match (&origin, &file) {
                (Origin::File { .. }, Some(file)) => file.parent().unwrap_or(Path::new("/")).to_owned(),
                _ => surroundings.current_dir(),
            };
            let found = Found { raw, base, home: surroundings.variable("HOME").map(PathBuf::from) };
            if !(option.take)(&mut config, &found) {
                let sentence = format!("Found {}, allowed is {}.", found.raw, (option.allowed)());
                reading.problem(origin.clone(), Some(option.path), sentence);
            }
            origins.insert(option.path, origin);
        }

        let origin = |path: &str| origins.get(path).cloned().unwrap_or(Origin::Default);
        let places = places::decide(&config.places, origin, file.as_deref(), surroundings).map_err(|undecided| {
            for key in undecided {
                let sentence = "There is no home directory (HOME) to find a place in; name one.";
                reading.problem(Origin::Default, Some(key), sentence);
            }
        });
        match places {
            Ok(places) if reading.problems.is_empty() => {
                let warnings = warnings(&config);
                Ok(Loaded { config, places, file, warnings, origins })
            }
            _ => Err(ConfigError { problems: reading.problems }),
        }
    }
}

/// One reading of the configuration, and what went wrong so far.
struct Reading<'a> {
    surroundings: &'a dyn Surroundings,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn problem(&mut self, origin: Origin, key: Option<&str>, sentence: impl Into<String>) {
        self.problems.push(Problem { origin, key: key.map(str::to_owned), sentence: sentence.into() });
    }

    fn choose_file(&self, overrides: &Overrides) -> Option<PathBuf> {
        let named = overrides.config_file.clone();
        let named = named.or_else(|| self.surroundings.variable("POSTROOM_CONFIG").map(PathBuf::from));
        named.map(|path| self.surroundings.current_dir().join(path)).or_else(|| places::default_file(self.surroundings))
    }

    fn file(&mut self, path: &Path) -> BTreeMap<&'static str, Entry> {
        let at = |line| Origin::File { path: path.to_owned(), line };
        match self.surroundings.read(path, FILE_LIMIT) {
            Ok(text) => {
                let (entries, faults) = file::read(&text);
                for fault in faults {
                    self.problem(at(fault.line), fault.key.as_deref(), fault.sentence);
                }
                entries
            }
            Err(error) => {
                self.problem(at(1), None, format!("The configuration file cannot be read: {error}."));
                BTreeMap::new()
            }
        }
    }

    fn refuse_unknown_flags(&mut self, overrides: &Overrides) {
        for path in overrides.values.keys().filter(|path| OPTIONS.iter().all(|option| option.path != **path)) {
            let near = nearest(path, OPTIONS.iter().map(|option| option.path));
            let near = near.map(|near| format!(" The nearest one is {near}.")).unwrap_or_default();
            let origin = Origin::Flag("command line".to_owned());
            self.problem(origin, Some(path), format!("There is no such option.{near}"));
        }
    }

    /// The value of the source that comes first for this option; `None` leaves the default.
    fn find(
        &mut self,
        option: &Opt,
        overrides: &Overrides,
        entries: &mut BTreeMap<&'static str, Entry>,
        file: Option<&Path>,
    ) -> Option<(Raw, Origin)> {
        if let Some(text) = overrides.values.get(option.path) {
            return Some((Raw::Text(text.clone()), Origin::Flag(option.flag())));
        }
        let variable = option.variable();
        if let Some(text) = self.surroundings.variable(&variable) {
            return Some((Raw::Text(text), Origin::Variable(variable)));
        }
        let variable = format!("{variable}_FILE");
        if let Some(path) = self.surroundings.variable(&variable) {
            let path = self.surroundings.current_dir().join(path);
            return self.value_file(option, &path.clone(), Origin::VariableFile { variable, path });
        }
        if let Some(directory) = self.surroundings.variable("CREDENTIALS_DIRECTORY") {
            let path = Path::new(&directory).join(option.credential());
            if self.surroundings.exists(&path) {
                return self.value_file(option, &path, Origin::Credential(path.clone()));
            }
        }
        let entry = entries.remove(option.path)?;
        Some((entry.raw, Origin::File { path: file?.to_owned(), line: entry.line }))
    }

    fn value_file(&mut self, option: &Opt, path: &Path, origin: Origin) -> Option<(Raw, Origin)> {
        match self.surroundings.read(path, VALUE_LIMIT) {
            Ok(text) => {
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Some((Raw::Text(line.strip_suffix('\r').unwrap_or(line).to_owned()), origin))
            }
            Err(error) => {
                self.problem(origin, Some(option.path), format!("The file cannot be read: {error}."));
                None
            }
        }
    }
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.server.listen.ip().is_loopback() {
        warnings.push(format!(
            "The API is served on {} without TLS: whoever can read the network can read tokens. Put a proxy with TLS in \
             front, or listen on a loopback address.",
            config.server.listen
        ));
    }
    if config.server.public_url.as_ref().is_some_and(|url| !url.is_https()) {
        warnings.push("public_url is not https: links in mails can be read and changed on their way.".to_owned());
    }
    if config.net.allow_plaintext {
        warnings.push("allow_plaintext is set: passwords may cross the internet unencrypted.".to_owned());
    }
    warnings
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
