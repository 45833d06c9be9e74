//! Mutations of the corpus, read as a sync and a reader would: nothing panics, nothing takes long or grows, and what is
//! found keeps its promises.
//!
//! Seeded: `POSTROOM_FUZZ_SEED` repeats a run, or one input of it; `POSTROOM_FUZZ_MINUTES` makes it a long one, in which
//! an input of at most 256 KiB that takes more than a second of the processor is a finding too; its findings are kept in
//! the folder `POSTROOM_FUZZ_KEEP`.

mod mutate;

use crate::corpus::samples;
use mutate::{Dice, mutated};
use postroom::domain::bounce::Severity;
use postroom::mime::{self, Incoming, Report};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many inputs the quick form reads.
const QUICK: u64 = 250;
/// The largest input, in octets.
const LARGEST: usize = 256 * 1024;
/// What an input may take in a long run.
const SLOW: Duration = Duration::from_secs(1);

/// How much of the processor this thread has had, or of the clock where nobody tells.
fn spent(begun: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| begun.elapsed(), Duration::from_nanos)
}

/// What each way of reading an input took.
struct Times {
    begun: Instant,
    each: Vec<(&'static str, Duration)>,
}

impl Times {
    fn of<T>(&mut self, what: &'static str, work: impl FnOnce() -> T) -> T {
        let before = spent(self.begun);
        let done = work();
        self.each.push((what, spent(self.begun).saturating_sub(before)));
        done
    }

    fn total(&self) -> Duration {
        self.each.iter().map(|(_, took)| *took).sum()
    }
}

/// Reads an input in every way there is; what is wrong about it.
fn problem(raw: &[u8], times: &mut Times) -> Option<String> {
    let whole = times.of("parse", || mime::parse(raw));
    let summary = times.of("summary", || mime::parse_summary(raw));
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
        let broken = |bounce: &&postroom::domain::bounce::Bounce| {
            let is_soft = bounce.severity == Severity::Soft;
            bounce.text.chars().count() > 500 || (bounce.is_of_the_address() && is_soft)
        };
        if let Some(bounce) = bounces.iter().find(broken) {
            return Some(format!("{bounce:?}"));
        }
    }
    let reply = times.of("reply text", || mime::reply_text(whole.text.as_deref(), whole.html.as_deref()));
    if let (Some(text), Some(reply)) = (&whole.text, &reply)
        && reply.len() > text.len()
        && !text.trim().is_empty()
    {
        return Some("the reply is longer than the text".into());
    }
    if let Some(html) = &whole.html {
        let shown = times.of("sanitise", || mime::sanitise(html));
        let lower = shown.to_ascii_lowercase();
        let active = ["<script", "<iframe", "<object", "<embed", "<form", "<style", "<base", "<svg", "<math", "<link"];
        if let Some(bad) = active.iter().find(|bad| lower.contains(**bad)) {
            return Some(format!("{bad} survives: {}", shown.chars().take(300).collect::<String>()));
        }
        if shown.len() > 8 * html.len() + 1024 {
            return Some(format!("{} octets of HTML become {}", html.len(), shown.len()));
        }
        times.of("text from HTML", || mime::text_from_html(html));
    }
    let parts: Vec<u32> = whole.attachments.iter().map(|attachment| attachment.part).take(5).collect();
    for part in parts {
        let content = times.of("part", || mime::part_content(raw, part));
        if content.is_some_and(|content| content.len() > raw.len()) {
            return Some(format!("part {part} is larger than the message"));
        }
    }
    let identity = times.of("identity", || mime::identity(raw, 0));
    (identity.len() != 71).then(|| format!("an identity of {} characters", identity.len()))
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn nothing_that_arrives_breaks_the_reading_of_it() {
    let minutes = number("POSTROOM_FUZZ_MINUTES");
    let first = number("POSTROOM_FUZZ_SEED").unwrap_or(1);
    let is_over = |count: u64, took: Duration| minutes.map_or(count >= QUICK, |minutes| took.as_secs() >= minutes * 60);
    let kept = std::env::var_os("POSTROOM_FUZZ_KEEP").map(PathBuf::from);
    let samples = samples();
    let begun = Instant::now();
    let (mut count, mut octets, mut slowest) = (0_u64, 0_u64, (Duration::ZERO, 0, 0));
    let mut findings = Vec::new();
    while !is_over(count, begun.elapsed()) && findings.len() < 20 {
        // Each input has a number that makes it again.
        let seed = first + count;
        let input = mutated(&samples, &mut Dice::new(seed), LARGEST);
        if let Some(folder) = &kept {
            // Should it take the whole process down, it is there to be looked at.
            std::fs::write(folder.join("current.eml"), &input).expect("a folder for findings");
        }
        let mut times = Times { begun, each: Vec::new() };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| problem(&input, &mut times)));
        let found = found.unwrap_or_else(|_| Some("a panic".into()));
        let took = times.total();
        slowest = slowest.max((took, seed, input.len()));
        let is_slow = minutes.is_some() && took > SLOW;
        if let Some(found) = found.or(is_slow.then(|| format!("{} octets took {:?}", input.len(), times.each))) {
            println!("seed {seed}: {found}");
            if let Some(folder) = &kept {
                std::fs::write(folder.join(format!("{seed}.eml")), &input).expect("a folder for findings");
            }
            findings.push(format!("seed {seed}: {found}"));
        }
        count += 1;
        octets += input.len() as u64;
    }
    println!(
        "{count} inputs from seed {first} on, {} MB, in {:.0?}; the slowest took {:.0?} (seed {}, {} octets); {} MB of \
         memory at most",
        octets / 1_000_000,
        begun.elapsed(),
        slowest.0,
        slowest.1,
        slowest.2,
        peak() / 1024,
    );
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
