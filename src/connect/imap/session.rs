//! A logged-in session. The only file that names the `imap` crate.

use super::answer::{Abilities, FolderState, ImapFolder};
use super::credential::Credential;
use super::preamble::{Greeted, Offered, greeted, noted};
use super::screen::{Screen, Veil, lifted};
use super::trouble::{broken, closed, dismissed, garbled, refusal};
use super::{ImapLimits, changes, folder_name, query};
use crate::connect::discretion::Discretion;
use crate::connect::effective::SyncSettings;
use crate::domain::failure::{Failure, Stage};
use crate::domain::folder_choice::SpecialUse;
use crate::domain::stages::Stages;
use crate::domain::time::Timestamp;
use crate::net::{BlockingStream, Network, StreamControls};
use crate::runtime::contain_blocking;
use imap::types::{Fetches, Flag, UnsolicitedResponse};
use imap_proto::{NameAttribute, ResponseCode};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Folders beyond this many are not looked at.
pub const FOLDER_LIMIT: usize = 5_000;

/// What a server may send beyond what was asked for: flags, sizes, news of other messages.
pub(super) const SLACK: u64 = 256 << 10;

/// What the facts or the frame of one message take at most, in bytes.
pub(super) const PER_MESSAGE: u64 = 4 << 10;

const LOGOUT: Duration = Duration::from_secs(3);

type Session = imap::Session<Screen<BlockingStream>>;

/// One logged-in session. Every call blocks; after a call that failed for any other reason than the server's plain
/// refusal, the session has ended and every further call fails.
pub struct ImapSession {
    session: Session,
    controls: StreamControls,
    veil: Veil,
    limits: ImapLimits,
    host: String,
    ended: bool,
    discretion: Discretion,
    /// The UIDVALIDITY with which the open folder was opened.
    validity: Option<u32>,
    /// What the server offers, once it was asked.
    abilities: Option<Abilities>,
}

impl ImapSession {
    /// Connects, goes into TLS as the settings want it, and logs in. `secret` is not kept.
    pub fn open(
        network: &Network,
        settings: &SyncSettings,
        secret: &SecretString,
        stages: &mut Stages,
        limits: ImapLimits,
    ) -> Result<Self, Failure> {
        let credential = Credential { username: &settings.username, password: secret };
        credential.check().map_err(|failure| noted(stages, Instant::now(), failure))?;
        let runtime = Handle::current();
        let discretion = credential.discretion();
        let opened = runtime.block_on(async {
            let over = async {
                match limits.deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = limits.cancel.cancelled() => None,
                greeted = greeted(network, &settings.endpoint, &limits, &discretion, stages) => Some(greeted),
                () = over => None,
            }
        });
        let Some(opened) = opened else {
            return Err(given_up(stages, &settings.endpoint.host));
        };
        let Greeted { connection, ahead, offered } = opened?;
        let host = connection.host().to_owned();
        let stream = BlockingStream::new(connection, runtime, limits.step, SLACK, limits.cancel.clone());
        let controls = stream.controls();
        let screen = Screen::new(stream, controls.clone(), ahead);
        let veil = screen.veil();
        let client = imap::Client::new(screen);
        controls.set_deadline(Some(due(&limits, limits.command)));
        let begun = Instant::now();
        match contain_blocking(|| log_in(client, &host, offered, &credential))
            .unwrap_or_else(|panic| Err(lost(Stage::Authentication, &host, &panic)))
        {
            Ok(session) => {
                stages.passed(Stage::Authentication, begun.elapsed(), "");
                let (ended, validity, abilities) = (false, None, None);
                Ok(Self { session, controls, veil, limits, host, ended, discretion, validity, abilities })
            }
            Err(failure) => Err(noted(stages, begun, discreet(&discretion, failure))),
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the session can take another command.
    pub fn is_usable(&self) -> bool {
        !self.ended
    }

    /// What the server offers; what has to be switched on for it (RFC 5161) is on from the first call.
    pub fn abilities(&mut self) -> Result<Abilities, Failure> {
        if let Some(known) = self.abilities {
            return Ok(known);
        }
        let mut found = self.run(Stage::Capabilities, SLACK, |session| {
            let offered = session.capabilities()?;
            let has = |word: &str| offered.has_str(word);
            // Both need ENABLE, and whoever knows RFC 7162 knows it.
            let enable = has("ENABLE");
            Ok(Abilities {
                condstore: enable && (has("CONDSTORE") || has("QRESYNC")),
                qresync: enable && has("QRESYNC"),
                gmail: has("X-GM-EXT-1"),
            })
        })?;
        if found.condstore {
            let word = if found.qresync { "ENABLE QRESYNC" } else { "ENABLE CONDSTORE" };
            match self.raw(Stage::Capabilities, SLACK, word) {
                // Some answer with an empty list and tell of changes all the same: what EXAMINE says decides about that.
                // To be told what went needs a word.
                Ok(answer) => found.qresync &= changes::enabled(&answer).iter().any(|word| word == "QRESYNC"),
                Err(failure) if self.is_usable() => {
                    tracing::debug!(host = self.host, %failure, "the server offers what it does not switch on");
                    (found.condstore, found.qresync) = (false, false);
                }
                Err(failure) => return Err(failure),
            }
        }
        self.abilities = Some(found);
        Ok(found)
    }

    /// One command with everything that the server sent before its final line.
    pub(super) fn raw(&mut self, stage: Stage, budget: u64, command: &str) -> Result<Vec<u8>, Failure> {
        self.run(stage, budget, |session| session.run_command_and_read_response(command))
    }

    /// The UIDVALIDITY of the open folder.
    pub(super) fn validity(&self) -> Option<u32> {
        self.validity
    }

    /// The server does not do what it offers.
    pub(super) fn forget_qresync(&mut self) {
        if let Some(abilities) = &mut self.abilities {
            abilities.qresync = false;
        }
    }

    /// The session is of no more use.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Every folder, up to a few thousand.
    pub fn folders(&mut self) -> Result<Vec<ImapFolder>, Failure> {
        self.run(Stage::FolderList, 4 << 20, |session| {
            let names = session.list(Some(""), Some("*"))?;
            Ok(names.iter().take(FOLDER_LIMIT).map(folder).collect())
        })
    }

    /// Opens a folder for reading; no flag of any message changes.
    pub fn examine(&mut self, name: &str) -> Result<FolderState, Failure> {
        check_name(name)?;
        self.validity = None;
        let state = self.run(Stage::Select, SLACK, |session| {
            let folder = session.examine(name)?;
            let real = |number: &u32| *number != 0;
            Ok(FolderState {
                exists: folder.exists,
                uid_validity: folder.uid_validity.filter(real),
                uid_next: folder.uid_next.filter(real),
                mod_seq: folder.highest_mod_seq.filter(|number| *number != 0),
            })
        })?;
        self.validity = state.uid_validity;
        Ok(state)
    }

    /// The UIDs of the open folder within `uids`, received `since` (by day; the server's time zone counts), among the
    /// messages at `places` if given; ascending.
    pub fn search(
        &mut self,
        places: Option<&RangeInclusive<u32>>,
        uids: &RangeInclusive<u32>,
        since: Option<Timestamp>,
    ) -> Result<Vec<u32>, Failure> {
        let query = query::search(places, uids, since);
        let found = self.run(Stage::Fetch, 4 << 20, |session| session.uid_search(&query))?;
        // `*` finds the last message even if all are older.
        let mut found: Vec<u32> = found.into_iter().filter(|uid| *uid != 0 && uids.contains(uid)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Whether the open folder has a message with this Message-ID (without angle brackets).
    pub fn has_message(&mut self, message_id: &str) -> Result<bool, Failure> {
        let query = query::by_message_id(message_id).ok_or_else(|| {
            Failure::config(Stage::Fetch, "The Message-ID contains a character that IMAP cannot carry.")
        })?;
        let found = self.run(Stage::Fetch, SLACK, |session| session.uid_search(&query))?;
        Ok(found.into_iter().any(|uid| uid != 0))
    }

    /// The UID of the last message of the open folder.
    ///
    /// Fetched, not searched for: a number that a SEARCH answers by mistake would hide all mail below it for good.
    pub fn last_uid(&mut self) -> Result<Option<u32>, Failure> {
        let fetches = self.run(Stage::Fetch, SLACK, |session| session.uid_fetch("*", FACTS))?;
        // The last message has the highest number; what is said of others was not asked for.
        let last = fetches.iter().filter(|fetch| is_answer(fetch)).max_by_key(|fetch| fetch.message);
        Ok(last.and_then(|fetch| fetch.uid).filter(|uid| *uid != 0))
    }

    /// The whole messages of `uids` (ascending), which together take about `size` bytes; those that the server did not
    /// give are missing. Sizes may be estimates: up to twice as much is read.
    pub fn bodies(&mut self, uids: &[u32], size: u64) -> Result<Vec<(u32, Vec<u8>)>, Failure> {
        let budget = size.saturating_mul(2).saturating_add(1 << 20);
        self.texts(uids, "(UID BODY.PEEK[])", budget, |fetch| fetch.body().map(<[u8]>::to_vec))
    }

    /// The headers of `uids` (ascending).
    pub fn headers(&mut self, uids: &[u32]) -> Result<Vec<(u32, Vec<u8>)>, Failure> {
        let budget = (1 << 20) * uids.len() as u64;
        self.texts(uids, "(UID BODY.PEEK[HEADER])", budget, |fetch| fetch.header().map(<[u8]>::to_vec))
    }

    /// Up to `count` octets of a message from one on; fewer at its end, none behind it or if it is gone.
    pub fn piece(&mut self, uid: u32, from: u64, count: u32) -> Result<Vec<u8>, Failure> {
        let query = format!("(UID BODY.PEEK[]<{from}.{count}>)");
        let texts = self.texts(&[uid], &query, u64::from(count), |fetch| fetch.body().map(<[u8]>::to_vec))?;
        Ok(texts.into_iter().next().map(|(_, piece)| piece).unwrap_or_default())
    }

    /// Fetches one text of each of `uids` (ascending), as large as the budget allows.
    fn texts(
        &mut self,
        uids: &[u32],
        query: &str,
        budget: u64,
        text: impl Fn(&imap::types::Fetch<'_>) -> Option<Vec<u8>>,
    ) -> Result<Vec<(u32, Vec<u8>)>, Failure> {
        self.veil.set(true);
        let texts = self.fetch(uids, query, budget, |uid, fetch| Some((uid, lifted(text(fetch)?))));
        self.veil.set(false);
        Ok(one_each(texts?))
    }

    /// Fetches in as few commands as possible. What the server says of messages that nobody asked about is ignored.
    fn fetch<T>(
        &mut self,
        uids: &[u32],
        query: &str,
        budget: u64,
        read: impl Fn(u32, &imap::types::Fetch<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut found = Vec::with_capacity(uids.len());
        let mut rest = uids;
        while !rest.is_empty() {
            let (set, taken) = query::uid_set(rest);
            let (asked, later) = rest.split_at(taken);
            rest = later;
            let budget = budget + SLACK + PER_MESSAGE * taken as u64;
            let fetches: Fetches = self.run(Stage::Fetch, budget, |session| session.uid_fetch(&set, query))?;
            found.extend(fetches.iter().filter_map(|fetch| {
                let uid = fetch.uid.filter(|uid| asked.binary_search(uid).is_ok())?;
                read(uid, fetch)
            }));
        }
        Ok(found)
    }

    /// Files a message, marked as read. The message may be there even if this fails without a refusal.
    pub fn append(&mut self, folder: &str, message: &[u8]) -> Result<(), Failure> {
        check_name(folder)?;
        // The crate puts quotes around the name and does not look inside.
        let name = folder.replace('\\', "\\\\").replace('"', "\\\"");
        self.run(Stage::Append, SLACK, |session| {
            let mut append = session.append(&name, message);
            append.flag(Flag::Seen);
            append.finish().map(|_| ())
        })
    }

    /// Says good-bye; takes no longer than a few seconds, whatever the server does.
    pub fn logout(mut self) {
        if self.ended {
            return;
        }
        self.limits.command = LOGOUT;
        // Nothing depends on the answer.
        let _ = self.run(Stage::Fetch, SLACK, Session::logout);
    }

    /// Runs one command within its bounds. A refusal that repeats the credential loses its text.
    fn run<T>(
        &mut self,
        stage: Stage,
        budget: u64,
        command: impl FnOnce(&mut Session) -> imap::Result<T>,
    ) -> Result<T, Failure> {
        self.exchange(stage, budget, command).map_err(|failure| discreet(&self.discretion, failure))
    }

    fn exchange<T>(
        &mut self,
        stage: Stage,
        budget: u64,
        command: impl FnOnce(&mut Session) -> imap::Result<T>,
    ) -> Result<T, Failure> {
        if self.ended {
            return Err(Failure::temporary(stage, format!("The session with {} has ended.", self.host)));
        }
        self.controls.set_budget(budget);
        self.controls.set_deadline(Some(due(&self.limits, self.limits.command)));
        let session = &mut self.session;
        let result = contain_blocking(|| command(session));
        // Until shown otherwise: what is in the stream now may belong to a command that was given up.
        self.ended = true;
        let value = match result {
            Err(panic) => return Err(lost(stage, &self.host, &panic)),
            Ok(Err(error)) => {
                self.ended = !is_refusal(&error);
                return Err(failure(stage, &self.host, error));
            }
            Ok(Ok(value)) => value,
        };
        for news in self.session.take_all_unsolicited() {
            match news {
                UnsolicitedResponse::Bye { information, .. } => {
                    return Err(dismissed(stage, &self.host, &information.unwrap_or_default()));
                }
                UnsolicitedResponse::Ok { code: Some(ResponseCode::UidValidity(now)), .. }
                    if self.validity.is_some_and(|before| before != now) =>
                {
                    return Err(Failure::temporary(
                        stage,
                        format!("{} numbered the messages of the folder anew during the session.", self.host),
                    ));
                }
                _ => {}
            }
        }
        self.ended = false;
        Ok(value)
    }
}

impl fmt::Debug for ImapSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapSession").field("host", &self.host).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// What is asked of a message without its text.
const FACTS: &str = "(UID FLAGS INTERNALDATE RFC822.SIZE)";

/// Without size and date it is news of a flag, not an answer to [`FACTS`].
fn is_answer(fetch: &imap::types::Fetch<'_>) -> bool {
    fetch.size.is_some() || fetch.internal_date().is_some()
}

fn discreet(discretion: &Discretion, mut failure: Failure) -> Failure {
    failure.server = failure.server.map(|line| discretion.scrubbed(line));
    failure
}

/// The first text of each message.
fn one_each(mut texts: Vec<(u32, Vec<u8>)>) -> Vec<(u32, Vec<u8>)> {
    texts.sort_by_key(|(uid, _)| *uid);
    texts.dedup_by_key(|(uid, _)| *uid);
    texts
}

/// What AUTHENTICATE asks for.
struct Plain<'a>(&'a Credential<'a>);

impl imap::Authenticator for Plain<'_> {
    type Response = String;

    fn process(&self, _challenge: &[u8]) -> String {
        (*self.0.plain()).clone()
    }
}

/// One try with one mechanism: a second try with the same password would only bring a lock-out nearer.
fn log_in(
    client: imap::Client<Screen<BlockingStream>>,
    host: &str,
    offered: Offered,
    credential: &Credential<'_>,
) -> Result<Session, Failure> {
    // LOGIN is what every server knows; it cannot carry anything but ASCII.
    let result = if !offered.login_disabled && (credential.is_ascii() || !offered.plain) {
        client.login(credential.username, credential.password.expose_secret())
    } else if offered.plain {
        client.authenticate("PLAIN", &Plain(credential))
    } else {
        return Err(Failure::config(
            Stage::Authentication,
            format!("{host} takes no log-in by password on this connection."),
        )
        .advice("The server may want TLS first (imapSsl), or the provider may have to allow password log-ins for this mailbox."));
    };
    result.map_err(|(error, _)| failure(Stage::Authentication, host, error))
}

/// The server said no and the session goes on.
fn is_refusal(error: &imap::Error) -> bool {
    matches!(error, imap::Error::No(_) | imap::Error::Bad(_) | imap::Error::Validate(_))
}

fn failure(stage: Stage, host: &str, error: imap::Error) -> Failure {
    match error {
        imap::Error::Io(error) => broken(stage, host, &error),
        imap::Error::ConnectionLost => closed(stage, host),
        imap::Error::No(no) => refusal(stage, host, &line(no.code.as_ref(), &no.information)),
        imap::Error::Bad(bad) => refusal(stage, host, &line(bad.code.as_ref(), &bad.information)),
        // The crate says the same of a response that it could not read; then there is no text.
        imap::Error::Bye(bye) if bye.information != NOTHING_SAID => {
            dismissed(stage, host, &line(bye.code.as_ref(), &bye.information))
        }
        imap::Error::Append => Failure::temporary(stage, format!("{host} did not take the message for the folder.")),
        imap::Error::Validate(_) => Failure::config(stage, "A name contains a character that IMAP cannot carry."),
        _ => garbled(stage, host),
    }
}

/// What the crate puts where the server gave no text.
const NOTHING_SAID: &str = "no explanation given";

/// The server's line as it was, as far as the crate kept it.
fn line(code: Option<&ResponseCode<'_>>, text: &str) -> String {
    match code {
        Some(ResponseCode::Alert) => format!("[ALERT] {text}"),
        Some(ResponseCode::TryCreate) => format!("[TRYCREATE] {text}"),
        _ => text.to_owned(),
    }
}

/// The crate panicked on what the server sent. The text of the panic may hold anything.
fn lost(stage: Stage, host: &str, panic: &str) -> Failure {
    tracing::warn!(host, stage = stage.name(), panic, "an IMAP answer could not be digested");
    garbled(stage, host)
}

/// The session was stopped, or its time was over, before anybody could log in.
fn given_up(stages: &mut Stages, host: &str) -> Failure {
    let stage = stages.reports().last().map_or(Stage::Dns, |report| report.stage);
    let sentence = format!("The session with {host} took longer than it may; it came as far as {}.", stage.name());
    noted(stages, Instant::now(), Failure::temporary(stage, sentence))
}

fn due(limits: &ImapLimits, patience: Duration) -> Instant {
    let due = Instant::now() + patience;
    limits.deadline.map_or(due, |deadline| deadline.min(due))
}

fn folder(name: &imap::types::Name<'_>) -> ImapFolder {
    let mut folder = ImapFolder {
        name: name.name().to_owned(),
        title: folder_name::decoded(name.name()),
        delimiter: name.delimiter().map(str::to_owned),
        special: None,
        selectable: true,
    };
    for attribute in name.attributes() {
        let special = match attribute {
            NameAttribute::NoSelect => {
                folder.selectable = false;
                continue;
            }
            NameAttribute::Extension(word) if word.eq_ignore_ascii_case("\\NonExistent") => {
                folder.selectable = false;
                continue;
            }
            NameAttribute::All => SpecialUse::All,
            NameAttribute::Archive => SpecialUse::Archive,
            NameAttribute::Drafts => SpecialUse::Drafts,
            NameAttribute::Flagged => SpecialUse::Flagged,
            NameAttribute::Junk => SpecialUse::Junk,
            NameAttribute::Sent => SpecialUse::Sent,
            NameAttribute::Trash => SpecialUse::Trash,
            _ => continue,
        };
        // Of several, where mail is sent to is what matters.
        if folder.special != Some(SpecialUse::Sent) {
            folder.special = Some(special);
        }
    }
    folder
}

/// The crate quotes what EXAMINE is given; a control character has no place in a folder's name.
fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() || !name.is_ascii() || name.chars().any(char::is_control) {
        return Err(Failure::config(Stage::Select, "The folder's name contains a character that IMAP cannot carry."));
    }
    Ok(())
}
