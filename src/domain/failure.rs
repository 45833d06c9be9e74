//! One vocabulary for everything that can go wrong with a mail server, so that the schedulers, the live tests and the
//! API treat the same failure the same way.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// How a failure is to be treated. What nobody marked counts as temporary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// Try again later.
    Temporary,
    /// Trying again will not help.
    Permanent,
    /// The server refused the credential.
    Auth,
    /// The provider's own limit is reached.
    Quota,
    /// The settings cannot work, or name something that is not built or not allowed.
    Config,
    /// The message may or may not have been accepted: never repeat blindly.
    Doubt,
}

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    Recipient,
    /// This one message (its size, its content), whoever receives it.
    Message,
    Mailbox,
    Host,
}

/// The step of a mail session at which something happened, in the order in which a session reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Working out the settings, before any packet.
    Settings,
    /// The egress rule on where connections may go.
    Egress,
    Dns,
    Tcp,
    Tls,
    Greeting,
    /// EHLO or CAPABILITY.
    Capabilities,
    StartTls,
    Authentication,
    MailFrom,
    RcptTo,
    Data,
    /// From the final dot to the server's reply.
    FinalDot,
    Rset,
    FolderList,
    Select,
    Fetch,
    Append,
    /// Storing what was received.
    Store,
}

impl Stage {
    /// The name used in `meta.stages`, `lastError.stage` and texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Egress => "egress",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Capabilities => "capabilities",
            Self::StartTls => "startTls",
            Self::Authentication => "authentication",
            Self::MailFrom => "mailFrom",
            Self::RcptTo => "rcptTo",
            Self::Data => "data",
            Self::FinalDot => "finalDot",
            Self::Rset => "rset",
            Self::FolderList => "folderList",
            Self::Select => "select",
            Self::Fetch => "fetch",
            Self::Append => "append",
            Self::Store => "store",
        }
    }
}

/// An enhanced mail system status code, RFC 3463 (`5.7.8`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// Reads `class.subject.detail` from the start of a reply's text; `None` if it does not start with one.
    pub fn from_reply(text: &str) -> Option<Self> {
        let word = text.split_ascii_whitespace().next()?;
        let mut parts = word.split('.');
        let class = parts.next()?;
        let (subject, detail) = (parts.next()?, parts.next()?);
        let digits = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") || !digits(subject) || !digits(detail) {
            return None;
        }
        Some(Self(class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What went wrong with a mail server, as people and schedulers need it. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub kind: FailureKind,
    pub scope: Scope,
    pub stage: Stage,
    /// The reply code of the protocol (SMTP 550, HTTP 429), where there was one.
    #[serde(default)]
    pub code: Option<u16>,
    #[serde(default)]
    pub enhanced: Option<EnhancedCode>,
    /// The server's own line, cut to [`Failure::LINE_LIMIT`] characters, control characters replaced.
    #[serde(default)]
    pub server: Option<String>,
    /// What happened, in one sentence for people.
    pub sentence: String,
    /// What to do about it, in one sentence.
    #[serde(default)]
    pub advice: Option<String>,
    /// How long the server asked to be left alone, in seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

impl Failure {
    /// How much of a server's line is kept, in characters.
    pub const LINE_LIMIT: usize = 500;

    pub fn new(kind: FailureKind, scope: Scope, stage: Stage, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            scope,
            stage,
            code: None,
            enhanced: None,
            server: None,
            sentence: sentence.into(),
            advice: None,
            retry_after: None,
        }
    }

    /// A failure of the network or of the server as a whole, worth another try.
    pub fn temporary(stage: Stage, sentence: impl Into<String>) -> Self {
        Self::new(FailureKind::Temporary, Scope::Host, stage, sentence)
    }

    /// Settings that cannot work until somebody changes them.
    pub fn config(stage: Stage, sentence: impl Into<String>) -> Self {
        Self::new(FailureKind::Config, Scope::Mailbox, stage, sentence)
    }

    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    #[must_use]
    pub fn code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    /// Keeps the server's own line, cleaned and cut; an enhanced code at its start is kept apart as well.
    #[must_use]
    pub fn server(mut self, line: &str) -> Self {
        self.enhanced = self.enhanced.or_else(|| EnhancedCode::from_reply(line));
        self.server = Some(clean(line));
        self
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait.as_secs());
        self
    }

    /// Whether it is a fault of this machine that passes, a disk or a memory that is busy: neither the server nor the
    /// mailing is to blame.
    pub fn is_our_own(&self) -> bool {
        self.stage == Stage::Store && self.kind == FailureKind::Temporary
    }

    /// One paragraph for people: what happened, what the server said, what to do.
    pub fn explain(&self) -> String {
        let mut text = self.sentence.clone();
        if let Some(line) = &self.server {
            text.push_str(" The server said: \u{201c}");
            if let Some(code) = self.code {
                let _ = write!(text, "{code} ");
            }
            text.push_str(line);
            text.push('\u{201d}');
            if !text.ends_with(['.', '!', '?']) {
                text.push('.');
            }
        }
        if let Some(advice) = &self.advice {
            text.push(' ');
            text.push_str(advice);
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain())
    }
}

impl std::error::Error for Failure {}

/// At most `limit` octets from the start of a text, not splitting a character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// A line that a stranger sent, made fit to be stored and shown.
pub fn clean(line: &str) -> String {
    line.chars()
        .take(Failure::LINE_LIMIT)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_read_only_where_they_are_real() {
        assert_eq!(EnhancedCode::from_reply("5.7.8 Bad credentials"), Some(EnhancedCode(5, 7, 8)));
        assert_eq!(EnhancedCode::from_reply("4.7.0"), Some(EnhancedCode(4, 7, 0)));
        for text in ["", "3.1.1 no", "5.1 no", "5.1.1.1 no", "5.1.1000", "5..1", "host 5.1.1"] {
            assert_eq!(EnhancedCode::from_reply(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_passes_on_this_machine_is_our_own_fault() {
        assert!(Failure::temporary(Stage::Store, "Busy.").is_our_own());
        assert!(!Failure::temporary(Stage::Tcp, "Busy.").is_our_own());
        // It would fail for ever.
        assert!(!Failure::config(Stage::Store, "It cannot be composed.").is_our_own());
    }

    #[test]
    fn a_failure_explains_what_happened_what_was_said_and_what_to_do() {
        let failure =
            Failure::new(FailureKind::Auth, Scope::Mailbox, Stage::Authentication, "The server refused the password.")
                .code(535)
                .server("5.7.8 Bad\r\ncredentials")
                .advice("Check the user name and the password.");
        assert_eq!(failure.enhanced, Some(EnhancedCode(5, 7, 8)));
        assert_eq!(
            failure.explain(),
            "The server refused the password. The server said: \u{201c}535 5.7.8 Bad  credentials\u{201d}. Check the user name and the password."
        );
    }
}
