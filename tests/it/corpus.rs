//! Samples of what comes back to those who send mail, written after the formats of the usual mail systems and programs:
//! bounces, notices of delay, complaints, automatic replies, receipts, replies, opt-outs. Beside each lies what is to be
//! read in it; all names are invented.
//!
//! `tests/corpus/NAME.eml` is a message as it arrives, octet for octet; `NAME.json` says what it is: `kind`, and where
//! they apply `bounces`, `complainants`, `originals`, `replyText`, `tokens` (how many opt-out tokens) and `problems` (how
//! many). What is left out must not be there.

use postroom::domain::bounce::{Bounce, Severity};
use postroom::domain::classification::Nature;
use postroom::mime::{self, Incoming, Report};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A message as it arrives.
pub struct Sample {
    pub name: String,
    pub raw: Vec<u8>,
    expected: PathBuf,
}

/// Every sample, by name.
pub fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut found: Vec<Sample> = std::fs::read_dir(&folder)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry of the corpus").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "eml"))
        .map(|path| Sample {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            raw: std::fs::read(&path).expect("a sample"),
            expected: path.with_extension("json"),
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn kind(read: &Incoming) -> &'static str {
    match (&read.report, read.nature) {
        (Some(Report::Undelivered { .. }), _) => "bounce",
        (Some(Report::Progress), _) => "progress",
        (Some(Report::Complaint { .. }), _) => "complaint",
        (Some(Report::Receipt), _) => "receipt",
        (None, Nature::Report) => "report",
        (None, _) if !read.opt_out_tokens.is_empty() => "optOut",
        (None, Nature::Automatic) if read.is_answer => "automatic",
        (None, Nature::Automatic) => "toMany",
        (None, Nature::Human) => "human",
    }
}

fn bounce(found: &Bounce) -> Value {
    let mut shown = json!({
        "recipient": found.recipient,
        "code": found.code,
        "enhanced": found.enhanced.map(|code| code.to_string()),
        "severity": if found.severity == Severity::Hard { "hard" } else { "soft" },
        "reason": found.reason.name(),
        "suppresses": found.is_of_the_address(),
    });
    if let Some(original) = &found.original_recipient {
        shown["original"] = json!(original);
    }
    shown
}

/// What a message says, in the words of the expectations.
fn shown(raw: &[u8]) -> Value {
    let read = mime::parse(raw);
    let mut shown = json!({"kind": kind(&read)});
    match &read.report {
        Some(Report::Undelivered { bounces, originals }) => {
            shown["bounces"] = bounces.iter().map(bounce).collect();
            shown["originals"] = json!(originals);
        }
        Some(Report::Complaint { recipients, originals }) => {
            shown["complainants"] = json!(recipients);
            shown["originals"] = json!(originals);
        }
        _ => {}
    }
    if shown["kind"] == "human" {
        shown["replyText"] = json!(mime::reply_text(read.text.as_deref(), read.html.as_deref()));
    }
    if !read.opt_out_tokens.is_empty() {
        shown["tokens"] = json!(read.opt_out_tokens.len());
    }
    if !read.problems.is_empty() {
        shown["problems"] = json!(read.problems.len());
    }
    shown
}

#[test]
fn every_sample_is_read_as_what_it_is() {
    let samples = samples();
    let mut wrong = Vec::new();
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for sample in &samples {
        let expected = std::fs::read(&sample.expected).unwrap_or_else(|_| panic!("{} expects nothing", sample.name));
        let expected: Value = serde_json::from_slice(&expected).unwrap_or_else(|why| panic!("{}: {why}", sample.name));
        *kinds.entry(expected["kind"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        let found = shown(&sample.raw);
        if found != expected {
            wrong.push(format!("{}\n  is read as {found}\n  but is     {expected}", sample.name));
        }
        // The summary that a sync stores must say the same as the whole.
        let (whole, summary) = (mime::parse(&sample.raw), mime::parse_summary(&sample.raw));
        if (&whole.report, &whole.opt_out_tokens) != (&summary.report, &summary.opt_out_tokens) {
            wrong.push(format!("{} is read otherwise in summary: {:?}", sample.name, summary.report));
        }
    }
    println!("{} samples: {kinds:?}", samples.len());
    assert!(wrong.is_empty(), "{} samples are misread:\n{}", wrong.len(), wrong.join("\n"));
    assert!(samples.len() >= 60, "the corpus has lost samples: {} are left", samples.len());
}
