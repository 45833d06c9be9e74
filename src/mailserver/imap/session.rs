use super::parse::{Cursor, Fault, announced};
use super::resync::Enabled;
use super::selected::Selected;
use crate::mailserver::Shared;
use crate::mailserver::account::Account;
use crate::mailserver::script::{Point, Scene, dropped};
use crate::mailserver::wire::{Line, Wire};
use std::io;
use std::sync::Arc;

/// Bad commands that a connection may send before it is closed.
const MAX_ERRORS: u32 = 50;
/// The longest literal, other than a message to APPEND.
const MAX_LITERAL: usize = 4 << 10;
/// A command without its message: lines and small literals together.
const MAX_COMMAND: usize = 64 << 10;

/// The commands, by the names that rules know them by.
const VERBS: &str = "APPEND AUTHENTICATE CAPABILITY CHECK CLOSE COPY CREATE DELETE ENABLE EXAMINE EXPUNGE FETCH ID IDLE LIST \
    LOGIN LOGOUT LSUB MOVE NOOP RENAME SEARCH SELECT STARTTLS STATUS STORE SUBSCRIBE UID UNSELECT UNSUBSCRIBE";

/// What the tagged OK says, or why there is none.
pub(super) type Outcome = Result<String, Fault>;

/// One IMAP connection. An I/O error of any method ends it.
pub(in crate::mailserver) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) user: Option<Arc<Account>>,
    pub(super) selected: Option<Selected>,
    pub(super) enabled: Enabled,
    /// Failed logins.
    pub(super) failures: u32,
    /// The tag of the command at hand.
    pub(super) tag: String,
    /// What rules want said behind its tagged reply.
    pub(super) after: Vec<u8>,
    /// Rules want the connection closed in place of its tagged reply.
    pub(super) vanish: bool,
    /// What rules want replaced in its answer.
    edits: Vec<(Vec<u8>, Vec<u8>)>,
    errors: u32,
}

impl Session {
    pub fn new(shared: Arc<Shared>, wire: Wire) -> Self {
        Self {
            shared,
            wire,
            user: None,
            selected: None,
            enabled: Enabled::default(),
            failures: 0,
            tag: String::new(),
            after: Vec::new(),
            vanish: false,
            edits: Vec::new(),
            errors: 0,
        }
    }

    /// Converses until the client logs out or the connection ends.
    pub async fn run(mut self) -> io::Result<()> {
        let end = self.converse().await;
        // What was said before the end still goes out: a BYE, the replies to what was pipelined.
        self.wire.flush().await.and(end)
    }

    async fn converse(&mut self) -> io::Result<()> {
        match self.pass(Point::ImapConnect, None).await {
            Ok(()) => {
                let greeting =
                    format!("* OK [CAPABILITY {}] {} ready\r\n", self.capabilities(), self.shared.options.hostname);
                self.wire.put(greeting);
            }
            Err(Fault::Io(error)) => return Err(error),
            Err(_) => {}
        }
        self.finish(Vec::new())?;
        while let Some(command) = self.read().await? {
            if command.is_empty() {
                continue;
            }
            if self.command(&command).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a command with its literals; an empty one has been refused and answered already.
    async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut command = Vec::new();
        let mut message = 0;
        loop {
            let line = match self.wire.line().await? {
                Line::Whole(line) => line,
                Line::BareLf => return self.refuse(b"", "Lines end in CRLF"),
                Line::TooLong => return self.refuse(b"", "Line too long"),
            };
            command.extend_from_slice(&line);
            // Of the line alone: the end of a literal may look like the announcement of another.
            let Some((length, waits)) = announced(&line) else { return Ok(Some(command)) };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let appends = self.user.is_some() && message == 0 && verb(&command).eq_ignore_ascii_case("APPEND");
            let fits = length <= MAX_LITERAL || (appends && length <= self.shared.options.max_message);
            if !fits || command.len() - message > MAX_COMMAND {
                if waits {
                    return self.refuse(&command, "[TOOBIG] Literal too big");
                }
                // The bytes are on their way; there is no telling them from commands but reading them all.
                self.wire.put("* BYE Literal too big\r\n");
                return Err(io::ErrorKind::InvalidData.into());
            }
            if waits {
                self.wire.put("+ Go ahead\r\n");
            }
            if length > MAX_LITERAL {
                message = length;
            }
            command.extend_from_slice(b"\r\n");
            command.extend_from_slice(&self.wire.exactly(length).await?);
        }
    }

    fn refuse(&mut self, command: &[u8], complaint: &str) -> io::Result<Option<Vec<u8>>> {
        let tag = Cursor::new(command).atom().unwrap_or("*").to_owned();
        self.bad(&tag, complaint).map(|()| Some(Vec::new()))
    }

    /// Answers a command; `true` if it was the last one.
    async fn command(&mut self, command: &[u8]) -> io::Result<bool> {
        let mut cursor = Cursor::new(command);
        let Ok(tag) = cursor.run(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) else {
            return self.bad("*", "No tag").map(|()| false);
        };
        tag.clone_into(&mut self.tag);
        let outcome = self.execute(&mut cursor).await;
        let logout = verb(command).eq_ignore_ascii_case("LOGOUT");
        let reply = match outcome {
            Ok(text) => format!("{} OK {text}\r\n", self.tag),
            Err(Fault::No(text)) => format!("{} NO {text}\r\n", self.tag),
            Err(Fault::Bad(text)) => {
                let tag = self.tag.clone();
                self.bad(&tag, text)?;
                String::new()
            }
            Err(Fault::Answered) => String::new(),
            Err(Fault::Io(error)) => return Err(error),
        };
        self.finish(reply.into_bytes()).map(|()| logout)
    }

    async fn execute(&mut self, cursor: &mut Cursor<'_>) -> Outcome {
        let verb = known_verb(cursor)?;
        let by_uid = verb == "UID";
        let verb = if by_uid { known_verb(cursor)? } else { verb };
        if self.shared.options.imap_capabilities.hides(verb) {
            return Err(Fault::Bad("Unknown command"));
        }
        self.pass(Point::ImapCommand(verb), None).await?;
        let outcome = match (verb, by_uid) {
            ("FETCH", _) => self.fetch(cursor, by_uid).await,
            ("STORE", _) => self.store(cursor, by_uid),
            ("SEARCH", _) => self.search(cursor, by_uid),
            ("COPY" | "MOVE", _) => self.copy(cursor, by_uid, verb == "MOVE"),
            ("EXPUNGE", _) => self.expunge(cursor, by_uid),
            (_, true) => Err(Fault::Bad("Not a UID command")),
            ("SELECT" | "EXAMINE", _) => self.select(cursor, verb == "EXAMINE"),
            ("APPEND", _) => self.append(cursor),
            ("ENABLE", _) => self.enable(cursor),
            ("LIST" | "LSUB", _) => self.list(cursor, verb),
            ("STATUS", _) => self.status(cursor),
            ("CREATE" | "DELETE" | "RENAME" | "SUBSCRIBE" | "UNSUBSCRIBE", _) => self.manage(cursor, verb),
            ("LOGIN", _) => self.login(cursor).await,
            ("AUTHENTICATE", _) => self.authenticate(cursor).await,
            _ => {
                if verb != "ID" {
                    cursor.end()?;
                }
                match verb {
                    "STARTTLS" => self.start_tls().await,
                    "IDLE" => self.idle().await,
                    "CHECK" => self.selected().map(|_| "CHECK done".into()),
                    "CLOSE" | "UNSELECT" => self.close(verb == "CLOSE"),
                    "CAPABILITY" => {
                        self.wire.put(format!("* CAPABILITY {}\r\n", self.capabilities()));
                        Ok("CAPABILITY done".into())
                    }
                    "ID" => {
                        self.wire.put("* ID NIL\r\n");
                        Ok("ID done".into())
                    }
                    "LOGOUT" => {
                        self.selected = None;
                        self.wire.put("* BYE See you\r\n");
                        Ok("LOGOUT done".into())
                    }
                    _ => Ok("NOOP done".into()),
                }
            }
        };
        // RFC 3501 section 7.4.1: no EXPUNGE while the client may be naming messages by number.
        let by_number = !by_uid && ["FETCH", "STORE", "SEARCH"].contains(&verb);
        if outcome.is_ok() && !by_number {
            self.tell_news()?;
        }
        outcome
    }

    /// Asks the script; `Err` if the command has been answered by it.
    pub(super) async fn pass(&mut self, at: Point, user: Option<&str>) -> Result<(), Fault> {
        let user = user.or(self.user.as_ref().map(|user| user.address.as_str()));
        let scene = Scene { user, tag: &self.tag, ..Scene::default() };
        let cue = self.shared.script.cue(&mut self.wire, at, scene).await?;
        self.wire.put(cue.before);
        self.after.extend_from_slice(&cue.after);
        self.vanish |= cue.close_unanswered;
        self.edits.extend(cue.edits);
        let Some(bytes) = cue.instead else { return Ok(()) };
        self.wire.put(bytes);
        Err(if cue.close { Fault::Io(dropped()) } else { Fault::Answered })
    }

    /// Ends a command with its tagged reply, or as rules will have it.
    pub(super) fn finish(&mut self, reply: Vec<u8>) -> io::Result<()> {
        let after = std::mem::take(&mut self.after);
        if std::mem::take(&mut self.vanish) {
            return Err(dropped());
        }
        self.wire.put(reply);
        for (from, to) in self.edits.drain(..) {
            self.wire.edit(&from, &to);
        }
        self.wire.put(after);
        Ok(())
    }

    fn bad(&mut self, tag: &str, complaint: &str) -> io::Result<()> {
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            self.wire.put("* BYE Too many errors\r\n");
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.wire.put(format!("{tag} BAD {complaint}\r\n"));
        Ok(())
    }

    /// IDLE (RFC 2177): tells what happens in the selected folder until the client says DONE.
    async fn idle(&mut self) -> Outcome {
        let account = self.account()?;
        self.wire.put("+ idling\r\n");
        loop {
            let changed = account.changed();
            tokio::pin!(changed);
            // Enabled before the look, so that a change between look and wait is not missed.
            changed.as_mut().enable();
            self.tell_news()?;
            self.wire.flush().await?;
            tokio::select! {
                line = self.wire.line() => match line? {
                    Line::Whole(line) if line.eq_ignore_ascii_case(b"DONE") => return Ok("IDLE done".into()),
                    _ => return Err(Fault::Bad("Expected DONE")),
                },
                () = changed => {}
            }
        }
    }

    /// Who is logged in.
    pub(super) fn account(&self) -> Result<Arc<Account>, Fault> {
        self.user.clone().ok_or(Fault::Bad("Log in first"))
    }
}

fn known_verb(cursor: &mut Cursor<'_>) -> Result<&'static str, Fault> {
    cursor.space()?;
    let word = cursor.atom()?;
    let known = VERBS.split_ascii_whitespace().find(|verb| verb.eq_ignore_ascii_case(word));
    known.ok_or(Fault::Bad("Unknown command"))
}

/// The word behind the tag, for what must be known of a command before it is complete.
fn verb(command: &[u8]) -> &str {
    let word = command.split(|byte| b" \r\n".contains(byte)).nth(1).unwrap_or_default();
    std::str::from_utf8(word).unwrap_or_default()
}
