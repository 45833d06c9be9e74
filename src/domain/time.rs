//! Points in time: UTC, milliseconds, as the wire shows them (`2026-07-08T18:40:47.000Z`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. In JSON a string with milliseconds and `Z`; in the store an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The range that has a four-digit year, which is what the wire format can carry.
const EARLIEST: i64 = -62_135_596_800_000;
const LATEST: i64 = 253_402_300_799_999;

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to `self`; negative if `self` is the earlier one.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Reads an RFC 3339 time, or a day (`2026-07-08`) as its first moment in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let millis = if text.len() == 10 {
            let day: jiff::civil::Date = text.parse().ok()?;
            day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()
        } else {
            text.parse::<jiff::Timestamp>().ok()?.as_millisecond()
        };
        (EARLIEST..=LATEST).contains(&millis).then_some(Self(millis))
    }

    /// What there should be instead of a text that is no time here, as in `must be …`.
    pub fn expected_of(text: &str) -> &'static str {
        let is_clock = |text: &str| text.len() > 10 && text.parse::<jiff::civil::DateTime>().is_ok();
        let offset = || {
            let (rest, offset) = text.split_at_checked(text.len().checked_sub("+02:00".len())?)?;
            (offset.starts_with(['+', '-']) && offset.as_bytes()[3] == b':').then_some(rest)
        };
        match text.strip_suffix(['Z', 'z']).or_else(offset) {
            Some(rest) if is_clock(rest) => "a time from the year 1 to 9999-12-30T22:00:00.999Z",
            None if is_clock(text) => "a date and time with its zone: end it with Z, or with an offset such as +02:00",
            _ => "an RFC 3339 date and time such as 2026-07-08T18:40:47.000Z",
        }
    }

    /// Reads a time as IMAP writes it, such as ` 1-Feb-2026 23:59:59 +0100` (RFC 3501 section 9, date-time).
    pub fn parse_internal_date(text: &str) -> Option<Self> {
        let time = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()?.to_timestamp().ok()?;
        let millis = time.as_millisecond();
        (EARLIEST..=LATEST).contains(&millis).then_some(Self(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.clamp(EARLIEST, LATEST);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        write!(f, "{time:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a date and time"))
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_print_as_the_wire_shows_them() {
        let time = Timestamp::parse("2026-07-08T18:40:47Z").unwrap();
        assert_eq!(time.to_string(), "2026-07-08T18:40:47.000Z");
        assert_eq!(Timestamp::parse("2026-07-08T20:40:47.5+02:00").unwrap().to_string(), "2026-07-08T18:40:47.500Z");
        assert_eq!(Timestamp::parse("2026-07-08").unwrap().to_string(), "2026-07-08T00:00:00.000Z");
        for bad in ["", "yesterday", "2026-13-01", "2026-07-08T25:00:00Z", "2026-07-08 18:40", "99999-01-01T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_time_is_said() {
        for (text, expected) in [
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.999Z"),
            ("9999-12-31T23:59:59+00:00", "9999-12-30T22:00:00.999Z"),
            ("2026-07-08T18:40:47", "with its zone"),
            ("tomorrow", "such as 2026"),
            ("€", "such as 2026"),
        ] {
            assert_eq!(Timestamp::parse(text), None);
            assert!(Timestamp::expected_of(text).contains(expected), "{text}");
        }
        assert!(Timestamp::parse("9999-12-30T22:00:00.999Z").is_some());
    }
}
