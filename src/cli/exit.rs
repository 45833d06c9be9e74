//! How a command ends: the exit codes, and the one error type of the command line.

use crate::app::StartError;
use crate::config::ConfigError;
use crate::net::HttpError;
use std::fmt;

/// The exit codes, as `postroom help exit-codes` prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Failed,
    Usage,
    Partly,
    NotAllowed,
    NotFound,
    Unhealthy,
    Configuration,
}

impl Exit {
    /// Code and meaning of every way to end.
    pub const TABLE: &[(u8, &str)] = &[
        (0, "done"),
        (1, "failed"),
        (2, "wrong usage: an unknown verb, option or value"),
        (3, "partly done"),
        (4, "not signed in, or not allowed"),
        (5, "not found"),
        (6, "the server is unhealthy or does not run"),
        (78, "the configuration, the master key or a place is at fault"),
    ];

    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partly => 3,
            Self::NotAllowed => 4,
            Self::NotFound => 5,
            Self::Unhealthy => 6,
            Self::Configuration => 78,
        }
    }

    /// The one that an answer of the API stands for; `None` below 400.
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            0..=399 => None,
            401 | 403 => Some(Self::NotAllowed),
            404 => Some(Self::NotFound),
            _ => Some(Self::Failed),
        }
    }
}

/// Why a command did not succeed: what is printed on standard error, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// Whole sentences: the cause and, where there is one, the next step. Empty if all was said already.
    pub text: String,
}

impl Failure {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, format!("The configuration cannot be used.\n{error}"))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Configuration(text) => Self::new(Exit::Configuration, text),
            StartError::Failed(text) => Self::new(Exit::Failed, text),
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let exit = if matches!(error, HttpError::Unreachable(_)) { Exit::Unhealthy } else { Exit::Failed };
        Self::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_table_that_users_see() {
        for exit in [
            Exit::Failed,
            Exit::Usage,
            Exit::Partly,
            Exit::NotAllowed,
            Exit::NotFound,
            Exit::Unhealthy,
            Exit::Configuration,
        ] {
            assert!(Exit::TABLE.iter().any(|(code, _)| *code == exit.code()), "{exit:?}");
        }
    }

    #[test]
    fn an_answers_status_decides_the_exit_code() {
        for (status, exit) in [
            (200, None),
            (204, None),
            (401, Some(Exit::NotAllowed)),
            (403, Some(Exit::NotAllowed)),
            (404, Some(Exit::NotFound)),
            (409, Some(Exit::Failed)),
            (422, Some(Exit::Failed)),
            (503, Some(Exit::Failed)),
        ] {
            assert_eq!(Exit::of_status(status), exit, "{status}");
        }
    }
}
