//! Log lines on standard error.

use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::runtime::Clock;
use std::fmt::Debug;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use tracing::field::Field;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Who reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person, who likes colours.
    Terminal,
    /// A file or another program.
    Plain,
    /// systemd's journal, which keeps the time itself and takes the priority from the start of a line (sd-daemon(3)).
    Journal,
}

impl Reader {
    /// Who reads the standard error of this process.
    ///
    /// `JOURNAL_STREAM` names the device and inode of the journal's socket; a child whose standard error went elsewhere
    /// inherits it all the same, so both are compared (systemd.exec(5)). `NO_COLOR` and `--no-color` (`colour` false)
    /// make a terminal plain.
    pub fn of_stderr(colour: bool) -> Self {
        let stderr = std::fs::metadata("/proc/self/fd/2").ok().map(|file| (file.dev(), file.ino()));
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::IsTerminal::is_terminal(&io::stderr());
        Self::decide(
            variable("JOURNAL_STREAM").as_deref(),
            stderr,
            terminal && colour && variable("NO_COLOR").is_none(),
        )
    }

    fn decide(journal: Option<&str>, stderr: Option<(u64, u64)>, colour: bool) -> Self {
        let named = journal.and_then(|pair| {
            let (device, inode) = pair.split_once(':')?;
            Some((device.parse().ok()?, inode.parse().ok()?))
        });
        match (named, colour) {
            (Some(_), _) if named == stderr => Self::Journal,
            (_, true) => Self::Terminal,
            (_, false) => Self::Plain,
        }
    }
}

/// Sends the events of this process to standard error from now on. Only the first call in a process has an effect.
pub fn start(config: &LogConfig, clock: Arc<dyn Clock>, reader: Reader) {
    // It fails only if somebody was first, and then there is nothing to add.
    let _ = subscriber(config, clock, reader, io::stderr).try_init();
}

/// The same for any writer: `output` is called once per line.
pub fn subscriber<W, O>(
    config: &LogConfig,
    clock: Arc<dyn Clock>,
    reader: Reader,
    output: O,
) -> impl Subscriber + use<W, O>
where
    W: Write + 'static,
    O: Fn() -> W + Send + Sync + 'static,
{
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Other crates may log what they send, a password among it, at their lower levels.
    let others = level.min(LevelFilter::WARN);
    let filter = Targets::new().with_default(others).with_target("postroom", level);
    let lines = Lines { output, journal: reader == Reader::Journal };
    let layer =
        fmt::layer().with_writer(lines).with_ansi(reader == Reader::Terminal && config.format == LogFormat::Text);
    let fields = debug_fn(field).delimited(" ");
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match (config.format, reader) {
        (LogFormat::Text, Reader::Journal) => layer.fmt_fields(fields).without_time().with_level(false).boxed(),
        (LogFormat::Text, _) => layer.fmt_fields(fields).with_timer(Time(clock)).boxed(),
        (LogFormat::Json, Reader::Journal) => layer.json().flatten_event(true).without_time().boxed(),
        (LogFormat::Json, _) => layer.json().flatten_event(true).with_timer(Time(clock)).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter))
}

/// The house's clock for the lines, so that a replayed run writes the times of its own clock.
struct Time(Arc<dyn Clock>);

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", self.0.now())
    }
}

/// Writes the fields of an event as text. Control characters in them came from outside: a line break would look like a
/// line of our own, an escape sequence would reach the terminal of whoever reads the log.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    for letter in format!("{value:?}").chars() {
        if letter.is_control() { write!(writer, "{}", letter.escape_default())? } else { writer.write_char(letter)? }
    }
    Ok(())
}

/// Puts the priority in front of a line where the journal reads it.
struct Lines<O> {
    output: O,
    journal: bool,
}

impl<'a, W: Write, O: Fn() -> W + 'a> MakeWriter<'a> for Lines<O> {
    type Writer = Line<W>;

    fn make_writer(&'a self) -> Line<W> {
        Line { output: (self.output)(), priority: "" }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<W> {
        let priority = match *meta.level() {
            _ if !self.journal => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        };
        Line { output: (self.output)(), priority }
    }
}

struct Line<W> {
    output: W,
    priority: &'static str,
}

impl<W: Write> Write for Line<W> {
    /// The layer hands over an event as a whole, so this is the start of a line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.output.write_all(&[self.priority.as_bytes(), event].concat())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::runtime::ManualClock;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the events of `work` look like.
    fn logged(format: LogFormat, level: LogLevel, reader: Reader, work: impl FnOnce()) -> String {
        let memory = Memory::default();
        let output = memory.clone();
        let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
        let subscriber = subscriber(&LogConfig { format, level }, clock, reader, move || output.clone());
        tracing::subscriber::with_default(subscriber, work);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_plain_line_has_the_clocks_time_the_level_and_no_colour() {
        let text = logged(LogFormat::Text, LogLevel::Info, Reader::Plain, || {
            tracing::info!(mailbox = 7, "synced");
            tracing::debug!("not shown");
        });
        assert!(text.starts_with("2026-07-08T18:40:47.000Z  INFO ") && text.ends_with(" synced mailbox=7\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_terminal_gets_colours() {
        let text = logged(LogFormat::Text, LogLevel::Info, Reader::Terminal, || tracing::info!("synced"));
        assert!(text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_journal_gets_a_priority_and_no_time() {
        let text = logged(LogFormat::Text, LogLevel::Debug, Reader::Journal, || {
            tracing::error!("gone");
            tracing::debug!("idle");
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("<3>") && lines[1].starts_with("<7>"), "{text}");
        assert!(!text.contains("2026") && !text.contains("ERROR"), "{text}");
    }

    #[test]
    fn a_json_line_is_one_document() {
        let text = logged(LogFormat::Json, LogLevel::Info, Reader::Plain, || {
            tracing::warn!(server = "550 no\r\nsuch user", "refused");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["timestamp"], "2026-07-08T18:40:47.000Z");
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"refused".into()));
        assert_eq!(line["server"], "550 no\r\nsuch user");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_line_break_from_outside_starts_no_line_of_its_own() {
        for reader in [Reader::Journal, Reader::Plain, Reader::Terminal] {
            let line = "550 no\r\n<2>forged\u{1b}[2J\u{9b}2J";
            let text = logged(LogFormat::Text, LogLevel::Info, reader, || {
                tracing::info!(server = %line, quoted = line, "refused: {line}");
            });
            assert_eq!(text.lines().count(), 1, "{text}");
            assert_eq!(text.matches("\\r\\n<2>forged\\u{1b}[2J\\u{9b}2J").count(), 3, "{text}");
            assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{9b}'), "{text}");
        }
    }

    #[test]
    fn other_crates_are_heard_from_warnings_on_only() {
        let text = logged(LogFormat::Text, LogLevel::Trace, Reader::Plain, || {
            tracing::debug!(target: "imap::client", "C: a1 LOGIN ann hunter2");
            tracing::warn!(target: "imap::client", "odd");
            tracing::trace!("ours");
        });
        assert!(!text.contains("hunter2") && text.contains("odd") && text.contains("ours"), "{text}");
    }

    #[test]
    fn the_journal_is_recognised_by_the_socket_and_not_by_the_variable_alone() {
        assert_eq!(Reader::decide(Some("8:123"), Some((8, 123)), true), Reader::Journal);
        assert_eq!(Reader::decide(Some("8:123"), Some((8, 124)), true), Reader::Terminal);
        assert_eq!(Reader::decide(Some("nonsense"), None, false), Reader::Plain);
        assert_eq!(Reader::decide(None, None, false), Reader::Plain);
    }
}
