//! Mutations of the corpus, read as a sync and a reader would: nothing panics, nothing takes long or grows, and what is
//! found keeps its promises.
//!
//! Seeded: `POSTROOM_FUZZ_SEED` repeats a run, `POSTROOM_FUZZ_MINUTES` makes it a long one, in which an input of at most
//! 256 KiB that takes more than a second is a finding too.

mod mutate;

use crate::corpus::samples;
use mutate::{Dice, mutated};
use postroom::mime::{self, Incoming, Report};
use std::time::{Duration, Instant};

/// How many inputs the quick form reads.
const QUICK: u64 = 250;
/// The largest input, in octets.
const LARGEST: usize = 256 * 1024;
/// What an input may take in a long run.
const SLOW: Duration = Duration::from_secs(1);

/// Reads an input in every way there is; what is wrong about it.
fn problem(raw: &[u8]) -> Option<String> {
    let (whole, summary) = (mime::parse(raw), mime::parse_summary(raw));
    let is_lost = |read: &Incoming| read.problems.iter().any(|problem| problem.contains("could not be read at all"));
    if is_lost(&whole) || is_lost(&summary) {
        return Some("the parser panics".into());
    }
    if (&whole.message_id, &whole.subject, whole.nature) != (&summary.message_id, &summary.subject, summary.nature) {
        return Some("whole and summary differ".into());
    }
    let kept = serde_json::to_vec(&whole).map_or(usize::MAX, |kept| kept.len());
    // Escapes and replacement characters make several octets of one.
    if kept > 8 * raw.len() + 64 * 1024 {
        return Some(format!("{kept} octets are kept of {}", raw.len()));
    }
    if let Some(Report::Undelivered { bounces, originals }) = &whole.report {
        if bounces.is_empty() || bounces.len() > 100 || originals.len() > 10 {
            return Some(format!("{} bounces, {} originals", bounces.len(), originals.len()));
        }
        for bounce in bounces {
            let is_soft = bounce.severity == postroom::domain::bounce::Severity::Soft;
            if bounce.text.chars().count() > 500 || (bounce.is_of_the_address() && is_soft) {
                return Some(format!("{bounce:?}"));
            }
        }
    }
    let reply = mime::reply_text(whole.text.as_deref(), whole.html.as_deref());
    if let (Some(text), Some(reply)) = (&whole.text, &reply)
        && reply.len() > text.len()
        && !text.trim().is_empty()
    {
        return Some("the reply is longer than the text".into());
    }
    if let Some(html) = &whole.html {
        let shown = mime::sanitise(html);
        let lower = shown.to_ascii_lowercase();
        for bad in ["<script", "<iframe", "<object", "<form", "<style", "<base"] {
            if lower.contains(bad) {
                return Some(format!("{bad} survives: {}", shown.chars().take(300).collect::<String>()));
            }
        }
        let again = mime::sanitise(&shown);
        if again.len() > shown.len() + shown.len() / 4 + 1024 {
            return Some("what is safe grows when it is made safe again".into());
        }
        let _ = mime::text_from_html(html);
    }
    let parts: Vec<u32> = whole.attachments.iter().map(|attachment| attachment.part).take(5).collect();
    for part in parts {
        if mime::part_content(raw, part).is_some_and(|content| content.len() > raw.len()) {
            return Some(format!("part {part} is larger than the message"));
        }
    }
    let identity = mime::identity(raw, 0);
    (identity.len() != 71).then(|| format!("an identity of {} characters", identity.len()))
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn nothing_that_arrives_breaks_the_reading_of_it() {
    let minutes: Option<u64> = std::env::var("POSTROOM_FUZZ_MINUTES").ok().and_then(|text| text.parse().ok());
    let seed = std::env::var("POSTROOM_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let is_over = |count: u64, took: Duration| minutes.map_or(count >= QUICK, |minutes| took.as_secs() >= minutes * 60);
    let samples = samples();
    let begun = Instant::now();
    let (mut count, mut octets, mut slowest) = (0_u64, 0_u64, (Duration::ZERO, 0));
    let mut findings = Vec::new();
    while !is_over(count, begun.elapsed()) && findings.len() < 20 {
        // Each input has a number that makes it again.
        let input = mutated(&samples, &mut Dice::new(seed + count), LARGEST);
        let started = Instant::now();
        let found = std::panic::catch_unwind(|| problem(&input)).unwrap_or_else(|_| Some("a panic".into()));
        let took = started.elapsed();
        if took > slowest.0 {
            slowest = (took, seed + count);
        }
        let found =
            found.or((minutes.is_some() && took > SLOW).then(|| format!("{} octets took {took:?}", input.len())));
        if let Some(found) = found {
            println!("seed {}: {found}", seed + count);
            if let Some(folder) = std::env::var_os("POSTROOM_FUZZ_KEEP") {
                let _ = std::fs::write(std::path::Path::new(&folder).join(format!("{}.eml", seed + count)), &input);
            }
            findings.push(format!("seed {}: {found}", seed + count));
        }
        count += 1;
        octets += input.len() as u64;
    }
    println!(
        "{count} inputs from seed {seed} on, {} MB, in {:.0?}; the slowest took {:.0?} (seed {}); at most {} MB of memory",
        octets / 1_000_000,
        begun.elapsed(),
        slowest.0,
        slowest.1,
        peak() / 1024,
    );
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
