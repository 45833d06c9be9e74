//! Times as they are typed: `2026-07-08T18:40Z`, a day, or a span from now such as `90d` or `30m`.

use super::exit::Failure;
use crate::domain::time::Timestamp;
use crate::runtime::{Clock, SystemClock};
use std::time::Duration;

const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];

/// The time that `text` means now, as the API takes it.
pub fn moment(option: &str, text: &str) -> Result<String, Failure> {
    at(text, SystemClock::new().now()).map(|time| time.to_string()).ok_or_else(|| {
        Failure::usage(format!(
            "{option}: '{text}' is no time. Write 2026-07-08T18:40:00Z, or a span from now such as 30m, 12h, 90d."
        ))
    })
}

fn at(text: &str, now: Timestamp) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Some(now.plus(span(text)?)))
}

/// A whole number with a unit.
fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let digits = text.strip_suffix(unit)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A thousand years are enough for anybody, and stay within what a time can be.
    let span = digits.parse::<u64>().ok()?.checked_mul(seconds).filter(|span| *span <= 1_000 * 366 * 86_400)?;
    Some(Duration::from_secs(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_a_span_from_now() {
        let now = Timestamp::parse("2026-07-08T00:00:00Z").unwrap();
        for (text, time) in [
            ("2026-07-09", "2026-07-09T00:00:00.000Z"),
            ("2026-07-09T10:00:00+02:00", "2026-07-09T08:00:00.000Z"),
            ("90d", "2026-10-06T00:00:00.000Z"),
            ("30m", "2026-07-08T00:30:00.000Z"),
            ("1w", "2026-07-15T00:00:00.000Z"),
        ] {
            assert_eq!(at(text, now).unwrap().to_string(), time, "{text}");
        }
        for bad in ["", "d", "-1d", "+1d", "1.5h", "1y", "tomorrow", "99999999999999999999d", "9999999d", "1ü"] {
            assert_eq!(at(bad, now), None, "{bad}");
        }
    }
}
