//! What a session with a mail server went through, stage by stage: shown by the live tests and in traces.

use super::failure::{Stage, clean};
use serde::Serialize;
use std::time::Duration;

/// One stage that was passed, or the one that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageReport {
    pub stage: Stage,
    pub ok: bool,
    /// How long the stage took, in milliseconds.
    pub millis: u64,
    /// The server's own line, or what was found (an address, a protocol version).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// The stages of one session, in the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Stages(Vec<StageReport>);

impl Stages {
    /// More than this many stages are not kept: a session passes about ten.
    const LIMIT: usize = 40;

    pub fn new() -> Self {
        Self::default()
    }

    pub fn passed(&mut self, stage: Stage, took: Duration, line: impl AsRef<str>) {
        self.add(stage, true, took, line.as_ref());
    }

    pub fn failed(&mut self, stage: Stage, took: Duration, line: impl AsRef<str>) {
        self.add(stage, false, took, line.as_ref());
    }

    pub fn reports(&self) -> &[StageReport] {
        &self.0
    }

    fn add(&mut self, stage: Stage, ok: bool, took: Duration, line: &str) {
        if self.0.len() < Self::LIMIT {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let line = clean(line);
            self.0.push(StageReport { stage, ok, millis, line: (!line.is_empty()).then_some(line) });
        }
    }
}
