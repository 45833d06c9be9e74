use super::command::Command;
use crate::mailserver::Shared;
use crate::mailserver::account::Account;
use crate::mailserver::script::{Cue, Point, Scene, dropped};
use crate::mailserver::wire::{Line, Wire};
use std::io;
use std::sync::Arc;

/// Bad commands that a connection may send before it is closed.
const MAX_ERRORS: u32 = 50;

/// One SMTP connection. An error of any method ends it.
pub(in crate::mailserver) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) connection: u64,
    /// What the client calls itself; `None` before EHLO or HELO.
    pub(super) name: Option<String>,
    /// It said EHLO.
    pub(super) extended: bool,
    pub(super) user: Option<Arc<Account>>,
    /// Failed logins.
    pub(super) failures: u32,
    errors: u32,
    /// The transaction: MAIL FROM, and the recipients accepted so far.
    pub(super) sender: Option<String>,
    pub(super) recipients: Vec<String>,
    /// MAIL FROM asked for SMTPUTF8.
    pub(super) utf8: bool,
}

impl Session {
    pub fn new(shared: Arc<Shared>, wire: Wire, connection: u64) -> Self {
        Self {
            shared,
            wire,
            connection,
            name: None,
            extended: false,
            user: None,
            failures: 0,
            errors: 0,
            sender: None,
            recipients: Vec::new(),
            utf8: false,
        }
    }

    /// Converses until the client quits or the connection ends.
    pub async fn run(mut self) -> io::Result<()> {
        let end = self.converse().await;
        // What was said before the end still goes out: a 421, the replies to what was pipelined.
        self.wire.flush().await.and(end)
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.step(Point::SmtpConnect, |session| format!("220 {} ESMTP", session.shared.options.hostname)).await?;
        loop {
            let line = match self.wire.line().await? {
                Line::Whole(line) => String::from_utf8(line).map_err(|_| "500 5.5.2 Not UTF-8"),
                Line::BareLf => Err("500 5.5.2 Lines end in CRLF"),
                Line::TooLong => Err("500 5.5.2 Line too long"),
            };
            let quit = match &line {
                Ok(line) => self.command(Command::parse(line)).await?,
                Err(complaint) => self.complain(complaint).map(|()| false)?,
            };
            if quit {
                return Ok(());
            }
        }
    }

    /// Answers a command; `true` if it was the last one.
    async fn command(&mut self, command: Command<'_>) -> io::Result<bool> {
        match command {
            Command::Hello { extended, name } => {
                let name = name.to_owned();
                self.step(Point::Ehlo, move |session| session.hello(extended, name)).await?;
            }
            Command::StartTls => self.start_tls().await?,
            Command::Auth(arguments) => self.auth(arguments).await?,
            Command::Mail(path) => self.mail(path).await?,
            Command::Rcpt(path) => self.rcpt(path).await?,
            Command::Data => self.data().await?,
            Command::Reset => {
                self.step(Point::Rset, |session| {
                    session.reset();
                    "250 2.0.0 OK".into()
                })
                .await?;
            }
            Command::Noop => self.step(Point::Noop, |_| "250 2.0.0 OK".into()).await?,
            Command::Verify => self.say("252 2.1.5 Cannot verify; send some mail")?,
            Command::Quit => {
                self.step(Point::Quit, |_| "221 2.0.0 Bye".into()).await?;
                return Ok(true);
            }
            Command::BadArguments => self.complain("501 5.5.4 Syntax error in arguments")?,
            Command::Unknown => self.complain("500 5.5.1 Command unrecognized")?,
        }
        Ok(false)
    }

    fn hello(&mut self, extended: bool, name: String) -> String {
        self.reset();
        self.name = Some(name);
        self.extended = extended;
        let options = &self.shared.options;
        if !extended {
            return format!("250 {}", options.hostname);
        }
        let mut usual = vec![
            "PIPELINING".to_owned(),
            format!("SIZE {}", options.max_message),
            "8BITMIME".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        if options.tls.is_some() && !self.wire.secure() {
            usual.push("STARTTLS".to_owned());
        }
        if self.wire.secure() || !options.require_tls_for_auth {
            usual.push("AUTH PLAIN LOGIN".to_owned());
        }
        let mut lines = vec![options.hostname.clone()];
        lines.extend(options.smtp_capabilities.apply(usual));
        let last = lines.pop().unwrap_or_default();
        let mut reply: String = lines.iter().flat_map(|line| ["250-", line, "\r\n"]).collect();
        reply.push_str("250 ");
        reply.push_str(&last);
        reply
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let mut ready = false;
        self.step(Point::StartTls, |session| {
            let options = &session.shared.options;
            if options.tls.is_none() || options.smtp_capabilities.hides("STARTTLS") {
                return "502 5.5.1 Command not implemented".into();
            }
            if session.wire.secure() {
                return "503 5.5.1 TLS is on".into();
            }
            ready = true;
            "220 2.0.0 Ready to start TLS".into()
        })
        .await?;
        if ready {
            self.shared.secure(&mut self.wire).await?;
            // RFC 3207 section 4.2: whatever the client said before is forgotten.
            (self.name, self.extended, self.user) = (None, false, None);
            self.reset();
        }
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
        self.utf8 = false;
    }

    /// Asks the script, does the work unless it says otherwise, and replies.
    pub(super) async fn step(&mut self, at: Point, work: impl FnOnce(&mut Self) -> String) -> io::Result<()> {
        self.step_as(at, None, work).await
    }

    /// The same for somebody who is not logged in yet.
    pub(super) async fn step_as(
        &mut self,
        at: Point,
        user: Option<String>,
        work: impl FnOnce(&mut Self) -> String,
    ) -> io::Result<()> {
        let cue = self.cue(at, user, None).await?;
        self.follow(cue, work).map(|_| ())
    }

    /// Asks the script. `named` is the recipient that RCPT names; else those accepted so far are shown.
    pub(super) async fn cue(&mut self, at: Point, user: Option<String>, named: Option<String>) -> io::Result<Cue> {
        let user = user.or_else(|| self.user.as_ref().map(|user| user.address.clone()));
        let scene = Scene {
            sender: self.sender.as_deref(),
            recipients: named.as_ref().map_or(&self.recipients, std::slice::from_ref),
            user: user.as_deref(),
            tag: "",
        };
        self.shared.script.cue(&mut self.wire, at, scene).await
    }

    /// Does the work and replies as the script has it. `true` if the work was done.
    pub(super) fn follow(&mut self, cue: Cue, work: impl FnOnce(&mut Self) -> String) -> io::Result<bool> {
        self.wire.put(cue.before);
        let done = cue.instead.is_none();
        match cue.instead {
            Some(bytes) => self.wire.put(bytes),
            None if cue.close_unanswered => {
                work(self);
                return Err(dropped());
            }
            None => {
                let reply = work(self);
                self.say(&reply)?;
            }
        }
        self.wire.put(cue.after);
        if cue.close { Err(dropped()) } else { Ok(done) }
    }

    /// Replies; nothing is said for "". A 421 closes the connection.
    pub(super) fn say(&mut self, reply: &str) -> io::Result<()> {
        if reply.is_empty() {
            return Ok(());
        }
        self.wire.put(reply);
        self.wire.put("\r\n");
        if reply.starts_with("421") { Err(dropped()) } else { Ok(()) }
    }

    fn complain(&mut self, reply: &str) -> io::Result<()> {
        self.errors += 1;
        self.say(if self.errors >= MAX_ERRORS { "421 4.7.0 Too many errors" } else { reply })
    }
}
