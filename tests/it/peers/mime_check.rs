//! Python's `email` package as a second reader of our messages: `check_mime.py` beside this file does the work.

use super::process::find;
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What an independent parser read, decoded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// With its angle brackets.
    pub message_id: Option<String>,
    pub subject: Option<String>,
    pub date: Option<String>,
    pub from: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub reply_to: Vec<Address>,
    /// Line ends are LF.
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// Names and decoded values, in order.
    pub headers: Vec<(String, String)>,
    /// Sentences; empty for a message without fault.
    pub defects: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Address {
    pub name: String,
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    pub name: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    /// Decoded, in bytes.
    pub size: u64,
}

impl Reading {
    /// The first header field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads messages (CRLF line ends) with Python, defects and all. `None` if Python is missing and may be.
pub fn read(messages: &[&[u8]]) -> Option<Vec<Reading>> {
    let python = find("python3")?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |number: usize| -> PathBuf { folder.path().join(format!("{number}.eml")) };
    for (number, message) in messages.iter().enumerate() {
        fs::write(path(number), message).expect("a message is written");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/check_mime.py");
    // -I: no surprise from the environment's own modules.
    let output =
        Command::new(python).args(["-I", script]).args((0..messages.len()).map(path)).output().expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let readings: Vec<Reading> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("check_mime.py: {error}\n{said}"));
    assert_eq!(readings.len(), messages.len());
    let faulty = readings.iter().any(|reading| !reading.defects.is_empty());
    assert_eq!(output.status.code(), Some(i32::from(faulty)), "the exit code says whether there are defects: {said}");
    Some(readings)
}

/// The same, and fails the test if any message has a defect.
pub fn read_flawless(messages: &[&[u8]]) -> Option<Vec<Reading>> {
    let readings = read(messages)?;
    for (reading, message) in readings.iter().zip(messages) {
        assert!(reading.defects.is_empty(), "{:#?} in\n{}", reading.defects, String::from_utf8_lossy(message));
    }
    Some(readings)
}
