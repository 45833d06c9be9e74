use super::parse::{Cursor, Fault};
use super::session::{Outcome, Session};
use crate::mailserver::options::IMAP_USUAL;
use crate::mailserver::plain::plain_credentials;
use crate::mailserver::script::{Point, dropped};
use crate::mailserver::wire::Line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Failed logins that a connection may have before it is closed.
const MAX_FAILURES: u32 = 5;

/// CAPABILITY, STARTTLS, LOGIN and AUTHENTICATE.
impl Session {
    pub(super) fn capabilities(&self) -> String {
        let options = &self.shared.options;
        let mut usual = IMAP_USUAL.to_vec();
        if options.tls.is_some() && !self.wire.secure() {
            usual.push("STARTTLS");
        }
        usual.push(if self.login_allowed() { "AUTH=PLAIN" } else { "LOGINDISABLED" });
        let mut words = options.imap_capabilities.apply(usual.into_iter().map(str::to_owned));
        words.sort();
        words.dedup();
        // IMAP4rev1 is customary in front.
        words.sort_by_key(|word| word != "IMAP4rev1");
        words.join(" ")
    }

    pub(super) async fn start_tls(&mut self) -> Outcome {
        if self.shared.options.tls.is_none() {
            return Err(Fault::Bad("Unknown command"));
        }
        if self.wire.secure() || self.user.is_some() {
            return Err(Fault::Bad("Not now"));
        }
        let reply = format!("{} OK Begin TLS\r\n", self.tag);
        self.finish(reply.into_bytes())?;
        self.shared.secure(&mut self.wire).await?;
        Err(Fault::Answered)
    }

    pub(super) async fn login(&mut self, arguments: &mut Cursor<'_>) -> Outcome {
        self.shared.journal.count(|counts| counts.auth_attempts += 1);
        arguments.space()?;
        let name = arguments.astring()?;
        arguments.space()?;
        let password = arguments.astring()?;
        arguments.end()?;
        self.log_in(&name, &password).await
    }

    pub(super) async fn authenticate(&mut self, arguments: &mut Cursor<'_>) -> Outcome {
        self.shared.journal.count(|counts| counts.auth_attempts += 1);
        arguments.space()?;
        let mechanism = arguments.atom()?.to_ascii_uppercase();
        let initial = if arguments.take(" ") { Some(arguments.run(|byte| byte.is_ascii_graphic())?) } else { None };
        arguments.end()?;
        if mechanism != "PLAIN" || self.shared.options.imap_capabilities.hides("AUTH=PLAIN") {
            return Err(Fault::No("[CANNOT] Unsupported mechanism".into()));
        }
        let response = if let Some(initial) = initial {
            initial.as_bytes().to_vec()
        } else {
            self.wire.put("+ \r\n");
            match self.wire.line().await? {
                Line::Whole(line) => line,
                Line::BareLf | Line::TooLong => return Err(Fault::Bad("Bad response")),
            }
        };
        let decoded = BASE64_STANDARD.decode(response).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let credentials = decoded.and_then(|text| plain_credentials(&text));
        let (name, password) = credentials.ok_or(Fault::Bad("Bad response"))?;
        self.log_in(&name, &password).await
    }

    async fn log_in(&mut self, name: &str, password: &str) -> Outcome {
        if self.user.is_some() {
            return Err(Fault::Bad("Logged in already"));
        }
        self.pass(Point::ImapLogin, Some(name)).await?;
        if !self.login_allowed() {
            return Err(Fault::No("[PRIVACYREQUIRED] Login needs TLS".into()));
        }
        let Some(account) = self.shared.store.login(name, password) else {
            self.failures += 1;
            if self.failures >= MAX_FAILURES {
                self.wire.put("* BYE Too many failed logins\r\n");
                return Err(Fault::Io(dropped()));
            }
            return Err(Fault::No("[AUTHENTICATIONFAILED] Invalid credentials".into()));
        };
        self.shared.journal.count(|counts| counts.logins += 1);
        self.shared.journal.imap_login(&account.address, self.shared.options.clock.now());
        self.user = Some(account);
        Ok(format!("[CAPABILITY {}] Logged in", self.capabilities()))
    }

    fn login_allowed(&self) -> bool {
        let options = &self.shared.options;
        let in_the_clear = options.require_tls_for_auth && !self.wire.secure();
        !in_the_clear && !options.imap_capabilities.adds("LOGINDISABLED")
    }
}
