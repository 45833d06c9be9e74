use super::body::Body;
use super::command::Path;
use super::session::Session;
use crate::mailserver::account::Account;
use crate::mailserver::flags::Flags;
use crate::mailserver::journal::Accepted;
use crate::mailserver::options::Recipients;
use crate::mailserver::script::Point;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

const MAX_RECIPIENTS: usize = 1_000;
/// How many times the allowed size is read to reach the end of a message that is too big.
const OVERRUN: usize = 4;

/// MAIL, RCPT and DATA.
impl Session {
    pub(super) async fn mail(&mut self, text: &str) -> io::Result<()> {
        let path = match self.mail_path(text) {
            Ok(path) => path,
            Err(refusal) => return self.say(refusal),
        };
        let sender = path.address.to_owned();
        self.utf8 = path.asks_for("SMTPUTF8");
        self.sender = Some(sender.clone());
        let cue = self.cue(Point::MailFrom, None, None).await?;
        let accepted = self.follow(cue, |_| format!("250 2.1.0 <{sender}> sender OK"))?;
        if !accepted {
            self.sender = None;
        }
        Ok(())
    }

    fn mail_path<'a>(&self, text: &'a str) -> Result<Path<'a>, &'static str> {
        let options = &self.shared.options;
        if self.name.is_none() {
            return Err("503 5.5.1 EHLO first");
        }
        if options.require_auth && self.user.is_none() {
            return Err("530 5.7.0 Authentication required");
        }
        if self.sender.is_some() {
            return Err("503 5.5.1 Nested MAIL command");
        }
        let path = self.path(text, &["SIZE", "BODY", "AUTH"])?;
        for (keyword, value) in &path.parameters {
            match (keyword.as_str(), value.map(str::to_ascii_uppercase).as_deref()) {
                ("SIZE", Some(size)) => match size.parse::<u64>() {
                    Ok(size) if usize::try_from(size).is_ok_and(|size| size <= options.max_message) => {}
                    Ok(_) => return Err("552 5.3.4 Message too big"),
                    Err(_) => return Err("501 5.5.4 Bad SIZE"),
                },
                ("BODY", Some("7BIT" | "8BITMIME")) | ("AUTH", Some(_)) => {}
                ("SIZE" | "BODY" | "AUTH", _) => return Err("501 5.5.4 Bad parameter"),
                _ => {}
            }
        }
        Ok(path)
    }

    pub(super) async fn rcpt(&mut self, text: &str) -> io::Result<()> {
        if self.sender.is_none() {
            return self.say("503 5.5.1 MAIL first");
        }
        let recipient = match self.path(text, &[]) {
            Ok(path) if path.address.is_empty() => return self.say("501 5.1.3 Bad recipient address"),
            Ok(path) => path.address.to_owned(),
            Err(refusal) => return self.say(refusal),
        };
        let cue = self.cue(Point::RcptTo, None, Some(recipient.clone())).await?;
        self.follow(cue, |session| session.admit(recipient)).map(|_| ())
    }

    fn admit(&mut self, recipient: String) -> String {
        let options = &self.shared.options;
        if self.recipients.len() >= MAX_RECIPIENTS {
            return "452 4.5.3 Too many recipients".into();
        }
        match self.shared.store.account(&recipient) {
            Err(_) if options.recipients == Recipients::Accounts => {
                return format!("550 5.1.1 <{recipient}> user unknown");
            }
            Ok(account)
                if account
                    .read("INBOX", |inbox| inbox.messages().len())
                    .is_ok_and(|held| held >= options.max_folder) =>
            {
                return format!("452 4.2.2 <{recipient}> mailbox full");
            }
            Ok(_) | Err(_) => {}
        }
        let reply = format!("250 2.1.5 <{recipient}> recipient OK");
        self.recipients.push(recipient);
        reply
    }

    /// Parses an address with parameters, of which those in `known` and those that an extra capability brings are
    /// taken (SMTPUTF8 for the keyword of that name; DSN for its own four).
    fn path<'a>(&self, text: &'a str, known: &[&str]) -> Result<Path<'a>, &'static str> {
        const DSN: [&str; 4] = ["RET", "ENVID", "NOTIFY", "ORCPT"];
        let extra = &self.shared.options.smtp_capabilities;
        let path = Path::parse(text).ok_or("501 5.1.7 Bad address syntax")?;
        let taken = |keyword: &str| {
            known.contains(&keyword) || extra.adds(keyword) || (DSN.contains(&keyword) && extra.adds("DSN"))
        };
        if !path.parameters.iter().all(|(keyword, _)| taken(keyword)) {
            return Err("555 5.5.4 Unsupported parameter");
        }
        // Asked for once, at MAIL (RFC 6531 section 3.4).
        if !path.address.is_ascii() && !self.utf8 && !path.asks_for("SMTPUTF8") {
            return Err("553 5.6.7 Non-ASCII addresses are not permitted");
        }
        Ok(path)
    }

    pub(super) async fn data(&mut self) -> io::Result<()> {
        if self.sender.is_none() {
            return self.say("503 5.5.1 MAIL first");
        }
        if self.recipients.is_empty() {
            return self.say("554 5.5.1 No valid recipients");
        }
        let cue = self.cue(Point::Data, None, None).await?;
        if !self.follow(cue, |_| "354 End data with <CR><LF>.<CR><LF>".into())? {
            return Ok(());
        }
        self.wire.some().await?;
        let cue = self.cue(Point::Body, None, None).await?;
        let unanswered = self.follow(cue, |_| String::new())?;
        let body = self.body().await?;
        let accepted = if unanswered { self.final_dot(body).await? } else { None };
        self.wire.flush().await?;
        if let Some(sequence) = accepted {
            self.shared.journal.replied(sequence, self.shared.options.clock.now());
        }
        let cue = self.cue(Point::AfterReply, None, None).await?;
        self.follow(cue, |_| String::new())?;
        self.reset();
        Ok(())
    }

    /// Reads the message to its end.
    async fn body(&mut self) -> io::Result<Body> {
        let max = self.shared.options.max_message;
        let mut body = Body::new(max);
        loop {
            let input = self.wire.some().await?;
            let (used, ended) = match body.feed(input) {
                Some(end) => (end, true),
                None => (input.len(), false),
            };
            self.wire.consume(used);
            if ended {
                return Ok(body);
            }
            if body.seen > max.saturating_mul(OVERRUN) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message without an end"));
            }
        }
    }

    /// Accepts the message or does not, and replies. Returns the number of one whose acceptance is on its way.
    async fn final_dot(&mut self, body: Body) -> io::Result<Option<u64>> {
        let mut cue = self.cue(Point::FinalDot, None, None).await?;
        let after = std::mem::take(&mut cue.after);
        let mut verdict = None;
        self.follow(cue, |session| {
            verdict = Some(session.accept(body));
            String::new()
        })?;
        let mut accepted = None;
        match verdict {
            Some(Ok(sequence)) => {
                let cue = self.cue(Point::FinalReply, None, None).await?;
                self.follow(cue, |_| format!("250 2.0.0 OK, message {sequence}"))?;
                accepted = Some(sequence);
            }
            Some(Err(refusal)) => self.say(refusal)?,
            None => {}
        }
        self.wire.put(after);
        Ok(accepted)
    }

    /// Files the message and remembers it. Returns its number.
    fn accept(&mut self, body: Body) -> Result<u64, &'static str> {
        let (bare_cr, bare_lf) = (body.bare_cr, body.bare_lf);
        let raw: Arc<[u8]> = body.finish().ok_or("552 5.3.4 Message too big")?.into();
        let message = Accepted {
            sequence: 0,
            connection: self.connection,
            tls: self.wire.secure(),
            user: self.user.as_ref().map(|user| user.address.clone()),
            sender: self.sender.clone().unwrap_or_default(),
            recipients: self.recipients.clone(),
            raw,
            bare_cr,
            bare_lf,
            at: self.shared.options.clock.now(),
            replied_at: None,
        };
        // Named twice, an account still gets one copy.
        let named = message.recipients.iter().map(|recipient| recipient.to_lowercase()).collect::<BTreeSet<_>>();
        for account in named.iter().filter_map(|recipient| self.shared.store.account(recipient).ok()) {
            self.file(&account, "INBOX", &message, Flags::default());
        }
        if self.shared.options.file_sent_copies
            && let Some(user) = &self.user
        {
            self.file(user, "Sent", &message, std::iter::once("\\Seen").collect());
        }
        Ok(self.shared.journal.accept(message))
    }

    fn file(&self, account: &Account, folder: &str, message: &Accepted, flags: Flags) {
        let raw = if self.shared.options.trace_headers && folder == "INBOX" {
            [self.trace(message).as_bytes(), &message.raw[..]].concat().into()
        } else {
            message.raw.clone()
        };
        // A folder that was deleted meanwhile gets nothing, as with any server.
        let _ = account.change(folder, |folder| folder.append(raw, flags, message.at));
    }

    /// The lines that final delivery puts in front (RFC 5321 section 4.4).
    fn trace(&self, message: &Accepted) -> String {
        let with = match (message.tls, message.user.is_some(), self.extended) {
            (true, true, _) => "ESMTPSA",
            (true, false, _) => "ESMTPS",
            (false, true, _) => "ESMTPA",
            (false, false, true) => "ESMTP",
            (false, false, false) => "SMTP",
        };
        let name = self.name.as_deref().unwrap_or("unknown");
        let date = jiff::Timestamp::from_millisecond(message.at.millis()).unwrap_or_default();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let hostname = &self.shared.options.hostname;
        format!(
            "Return-Path: <{}>\r\nReceived: from {name}\r\n\tby {hostname} with {with};\r\n\t{date}\r\n",
            message.sender
        )
    }
}
