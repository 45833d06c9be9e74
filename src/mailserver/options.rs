use crate::runtime::{Clock, SystemClock};
use rustls::ServerConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// How a server behaves when no rule says otherwise. `Options::default()` is a friendly server without TLS.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct Options {
    /// The loopback address to bind (127.0.0.1); any other kind of address is refused.
    pub bind: IpAddr,
    /// Ports of the four listeners; 0 takes a free one. The last two are used only with `tls`.
    pub smtp_port: u16,
    pub imap_port: u16,
    pub smtps_port: u16,
    pub imaps_port: u16,
    /// With it STARTTLS is offered on the plain listeners, and the implicit TLS listeners exist.
    pub tls: Option<Arc<ServerConfig>>,
    /// What the server calls itself in greetings.
    pub hostname: String,
    /// Where dates come from: INTERNALDATE, trace headers, [`super::Accepted::at`].
    pub clock: Arc<dyn Clock>,
    /// MAIL is refused until the client has logged in (530 5.7.0). Default: false.
    pub require_auth: bool,
    /// Logins are refused, and not offered, on a connection without TLS. Default: false.
    pub require_tls_for_auth: bool,
    /// Whom RCPT accepts.
    pub recipients: Recipients,
    /// The largest message, in bytes after dot-unstuffing. Default: 32 MiB.
    pub max_message: usize,
    /// Messages a folder may hold; a full inbox answers RCPT with 452 4.2.2. Default: 100,000.
    pub max_folder: usize,
    /// Connections at one time; more are closed at once. Default: 1,000.
    pub max_connections: usize,
    /// How many accepted messages [`super::MailServer::accepted`] remembers. Default: 100,000.
    pub accepted_kept: usize,
    /// How many IMAP log-ins [`super::MailServer::take_logins`] remembers. Default: 0.
    pub logins_kept: usize,
    /// Submission by a logged-in user also files a copy in that user's Sent folder, as Gmail does. Default: false.
    pub file_sent_copies: bool,
    /// Filed copies begin with Return-Path and Received. Default: false, the bytes stay as they came.
    pub trace_headers: bool,
    /// A connection that is silent for so long is closed. Default: 30 minutes.
    pub patience: Duration,
    /// What EHLO announces beyond the usual, or keeps quiet.
    pub smtp_capabilities: Capabilities,
    /// What CAPABILITY announces beyond the usual, or keeps quiet. An extra `LOGINDISABLED` also disables LOGIN; an extra
    /// `ENABLE`, `CONDSTORE`, `QRESYNC` or `X-GM-EXT-1` is not only announced but done. The presets ([`Options::qresync`]) say which
    /// words go together.
    pub imap_capabilities: Capabilities,
    /// How many expunged UIDs a folder remembers; of older ones QRESYNC says all that are not there. Default: 10,000.
    pub expunged_kept: usize,
    /// ENABLE answers that it enabled nothing, and enables nothing. Default: false.
    pub enables_nothing: bool,
    /// The folders keep no mod-sequences (NOMODSEQ), whatever is announced. Default: false.
    pub no_mod_sequences: bool,
}

/// What IMAP offers unless told otherwise, beyond STARTTLS and the ways to log in.
pub(super) const IMAP_USUAL: [&str; 9] =
    ["IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "IDLE", "UIDPLUS", "SPECIAL-USE", "UNSELECT", "MOVE"];

/// Presets for the kinds of IMAP servers there are. `Options::default()` is one with the usual extensions, but without
/// mod-sequences.
impl Options {
    /// `IMAP4rev1` (RFC 3501) and nothing else.
    pub fn plain() -> Self {
        Self { imap_capabilities: Capabilities::without(&IMAP_USUAL[1..]), ..Self::default() }
    }

    /// The usual extensions and CONDSTORE (RFC 7162).
    pub fn condstore() -> Self {
        Self { imap_capabilities: Capabilities::with(&["CONDSTORE", "ENABLE"]), ..Self::default() }
    }

    /// The usual extensions, CONDSTORE and QRESYNC (RFC 7162).
    pub fn qresync() -> Self {
        Self { imap_capabilities: Capabilities::with(&["CONDSTORE", "ENABLE", "QRESYNC"]), ..Self::default() }
    }

    /// Gmail's: the usual extensions, CONDSTORE without QRESYNC, and X-GM-EXT-1, by which a message that is shown in two
    /// folders ([`super::MailServer::show_also`]) is known as one.
    pub fn gmail() -> Self {
        let imap_capabilities = Capabilities::with(&["CONDSTORE", "ENABLE", "X-GM-EXT-1"]);
        Self { imap_capabilities, ..Self::default() }
    }

    /// Whether IMAP offers an extension.
    pub(super) fn offers(&self, word: &str) -> bool {
        let usual = IMAP_USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(word));
        self.imap_capabilities.adds(word) || (usual && !self.imap_capabilities.hides(word))
    }
}

/// Whom RCPT accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipients {
    /// Accounts of this server; others get 550 5.1.1.
    #[default]
    Accounts,
    /// Anybody; mail for an address without an account is accepted and filed nowhere.
    Anybody,
}

/// A change to the capabilities that a server announces by itself.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// Words not to announce (`STARTTLS`, `PIPELINING`); what they stand for is refused too where it is a command.
    pub hidden: Vec<String>,
    /// Lines (SMTP) or words (IMAP) to announce in addition.
    pub extra: Vec<String>,
}

impl Capabilities {
    /// Hides words.
    pub fn without(words: &[&str]) -> Self {
        Self { hidden: words.iter().map(|&word| word.to_owned()).collect(), extra: Vec::new() }
    }

    /// Adds words.
    pub fn with(words: &[&str]) -> Self {
        Self { hidden: Vec::new(), extra: words.iter().map(|&word| word.to_owned()).collect() }
    }

    pub(super) fn hides(&self, word: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(word))
    }

    pub(super) fn adds(&self, word: &str) -> bool {
        self.extra.iter().any(|extra| extra.eq_ignore_ascii_case(word))
    }

    /// The usual ones with this change applied; a word is what stands before the first space.
    pub(super) fn apply(&self, usual: impl IntoIterator<Item = String>) -> Vec<String> {
        let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let kept = usual.into_iter().filter(|line| !self.hides(line) && !self.hides(&first(line)));
        kept.chain(self.extra.iter().cloned()).collect()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            smtp_port: 0,
            imap_port: 0,
            smtps_port: 0,
            imaps_port: 0,
            tls: None,
            hostname: "mail.postroom.test".into(),
            clock: Arc::new(SystemClock::new()),
            require_auth: false,
            require_tls_for_auth: false,
            recipients: Recipients::Accounts,
            max_message: 32 << 20,
            max_folder: 100_000,
            max_connections: 1_000,
            accepted_kept: 100_000,
            logins_kept: 0,
            file_sent_copies: false,
            trace_headers: false,
            patience: Duration::from_mins(30),
            smtp_capabilities: Capabilities::default(),
            imap_capabilities: Capabilities::default(),
            expunged_kept: 10_000,
            enables_nothing: false,
            no_mod_sequences: false,
        }
    }
}
