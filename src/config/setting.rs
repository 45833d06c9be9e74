//! The kinds of values that an option can have: how each is read from text or TOML, and how it is written.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// A value as it was found, before it is known to be what the option wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// From a flag, a variable or a credential: text that may stand for any kind.
    Text(String),
    /// From TOML, where the writer has told the kinds apart.
    String(String),
    Integer(i128),
    Boolean(bool),
    /// A kind that no option has (a date, a list, …), by its name in TOML.
    Other(&'static str),
}

impl Raw {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// How it is shown to whoever has to correct it: cut, on one line, and without a password that sits in a URL.
impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::String(text) if text.contains('@') => f.write_str("a value with an @ (not shown)"),
            Self::Text(text) | Self::String(text) => {
                let short: String = text.chars().take(60).collect();
                write!(f, "{short:?}{}", if short.len() < text.len() { "…" } else { "" })
            }
            Self::Integer(number) => write!(f, "the number {number}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

/// A raw value, and what paths in it are relative to.
pub struct Found {
    pub raw: Raw,
    pub base: PathBuf,
    pub home: Option<PathBuf>,
}

/// One kind of value.
pub trait Setting: Sized {
    /// What is allowed, to be read after "allowed is" ("a whole number").
    const ALLOWED: &'static str;
    /// Reads it; `None` if that is not what was found.
    fn read(found: &Found) -> Option<Self>;
    /// As one would write it in the file, without quotes.
    fn show(&self) -> String;
}

impl Setting for bool {
    const ALLOWED: &'static str = "true or false";

    fn read(found: &Found) -> Option<Self> {
        match &found.raw {
            Raw::Boolean(flag) => Some(*flag),
            Raw::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const ALLOWED: &'static str = "a whole number";

    fn read(found: &Found) -> Option<Self> {
        match &found.raw {
            Raw::Integer(number) => (*number).try_into().ok(),
            Raw::Text(text) => digits(text),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for SocketAddr {
    const ALLOWED: &'static str = "an IP address and a port, such as 127.0.0.1:8025 or [::1]:8025";

    fn read(found: &Found) -> Option<Self> {
        found.raw.text()?.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for PathBuf {
    const ALLOWED: &'static str = "a path";

    /// Absolute afterwards: relative to the configuration file, or to the current directory for flags and variables.
    fn read(found: &Found) -> Option<Self> {
        let text = found.raw.text().filter(|text| !text.is_empty() && !text.contains('\0'))?;
        let path = match (text.strip_prefix("~/"), &found.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => found.base.join(text),
        };
        Some(path.components().filter(|part| *part != Component::CurDir).collect())
    }

    fn show(&self) -> String {
        Path::display(self).to_string()
    }
}

/// An option that may be left open; shown as an empty text then.
impl<T: Setting> Setting for Option<T> {
    const ALLOWED: &'static str = T::ALLOWED;

    fn read(found: &Found) -> Option<Self> {
        T::read(found).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(Setting::show).unwrap_or_default()
    }
}

const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A time span, written as a whole number with a unit: `30s`, `10m`, `12h`, `7d`.
impl Setting for Duration {
    const ALLOWED: &'static str = "a time with its unit (ms, s, m, h or d), such as 30s or 7d";

    fn read(found: &Found) -> Option<Self> {
        with_unit(found.raw.text()?, &TIME_UNITS).map(Self::from_millis)
    }

    fn show(&self) -> String {
        show_unit(u64::try_from(self.as_millis()).unwrap_or(u64::MAX), &TIME_UNITS)
    }
}

/// A number of bytes, written as a whole number with a unit: `64KiB`, `25MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Setting for ByteSize {
    const ALLOWED: &'static str = "a size with its unit (B, KiB, MiB or GiB), such as 25MiB";

    fn read(found: &Found) -> Option<Self> {
        with_unit(found.raw.text()?, &SIZE_UNITS).map(Self)
    }

    fn show(&self) -> String {
        show_unit(self.0, &SIZE_UNITS)
    }
}

/// The address under which recipients and integrators reach this server; no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads an http or https URL without user name, query and fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let url = url::Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        Some(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl Setting for PublicUrl {
    const ALLOWED: &'static str =
        "an http or https address without user name, query and fragment, such as https://mail.example.org";

    fn read(found: &Found) -> Option<Self> {
        Self::parse(found.raw.text()?)
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Setting for LogFormat {
    const ALLOWED: &'static str = "text or json";

    fn read(found: &Found) -> Option<Self> {
        match found.raw.text()? {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
        .to_owned()
    }
}

/// The least important log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    const NAMES: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Setting for LogLevel {
    const ALLOWED: &'static str = "error, warn, info, debug or trace";

    fn read(found: &Found) -> Option<Self> {
        let text = found.raw.text()?;
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, level)| *level)
    }

    fn show(&self) -> String {
        Self::NAMES.iter().find(|(_, level)| level == self).map_or("", |(name, _)| name).to_owned()
    }
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    // Digits only: `parse` alone would let a sign through.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = (digits::<u64>(&text[..end])?, text[end..].trim_start());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// In the largest unit that gives a whole number.
fn show_unit(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    let (name, factor) = fitting.unwrap_or(&units[units.len() - 1]);
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(raw: Raw) -> Option<T> {
        T::read(&Found { raw, base: PathBuf::from("/etc/postroom"), home: Some(PathBuf::from("/home/ann")) })
    }

    fn text<T: Setting>(text: &str) -> Option<T> {
        read(Raw::Text(text.into()))
    }

    #[test]
    fn times_and_sizes_need_a_unit_and_print_as_they_are_written() {
        for (written, millis) in [("250ms", 250), ("30s", 30_000), ("10m", 600_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(text::<Duration>(written), Some(Duration::from_millis(millis)), "{written}");
        }
        assert_eq!(text::<Duration>("7d").unwrap().show(), "7d");
        assert_eq!(text::<Duration>("90s").unwrap().show(), "90s");
        assert_eq!(text::<ByteSize>("25 MiB"), Some(ByteSize::mib(25)));
        assert_eq!(text::<ByteSize>("1024KiB").unwrap().show(), "1MiB");
        for bad in ["", "30", "s", "-1s", "+1s", "1.5h", "1h30m", "30 parsecs", "99999999999999999999d", "1MB"] {
            assert_eq!(text::<Duration>(bad), None, "{bad}");
            assert_eq!(text::<ByteSize>(bad), None, "{bad}");
        }
        assert_eq!(text::<Duration>("18446744073709551615d"), None, "no overflow");
    }

    #[test]
    fn toml_kinds_are_not_mixed_up_and_texts_from_variables_are_read_as_what_is_wanted() {
        assert_eq!(read::<u32>(Raw::String("8".into())), None);
        assert_eq!(read::<u32>(Raw::Integer(8)), Some(8));
        assert_eq!(read::<u32>(Raw::Integer(-8)), None);
        assert_eq!(text::<u32>("8"), Some(8));
        assert_eq!(text::<u32>("+8"), None);
        assert_eq!(read::<bool>(Raw::String("true".into())), None);
        assert_eq!(text::<bool>("true"), Some(true));
        assert_eq!(text::<bool>("yes"), None);
        assert_eq!(read::<LogFormat>(Raw::Integer(1)), None);
    }

    #[test]
    fn paths_are_resolved_against_where_they_were_written() {
        assert_eq!(text::<PathBuf>("./ca.pem"), Some("/etc/postroom/ca.pem".into()));
        assert_eq!(text::<PathBuf>("/srv/ca.pem"), Some("/srv/ca.pem".into()));
        assert_eq!(text::<PathBuf>("~/ca.pem"), Some("/home/ann/ca.pem".into()));
        assert_eq!(text::<PathBuf>(""), None);
    }

    #[test]
    fn a_public_url_is_a_plain_web_address() {
        assert_eq!(text::<PublicUrl>("https://mail.example.org/").unwrap().as_str(), "https://mail.example.org");
        assert_eq!(text::<PublicUrl>("http://pi:8025/post/").unwrap().as_str(), "http://pi:8025/post");
        for bad in ["mail.example.org", "ftp://a", "https://u:p@a", "https://a?x", "https://a#x", "https://", "/x"] {
            assert_eq!(text::<PublicUrl>(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_found_value_is_shown_short_on_one_line_and_without_what_may_be_a_password() {
        assert_eq!(Raw::Text("a\nb".into()).to_string(), "\"a\\nb\"");
        assert!(Raw::Text("x".repeat(500)).to_string().chars().count() < 70);
        assert!(!Raw::Text("https://ann:hunter2@a".into()).to_string().contains("hunter2"));
    }
}
