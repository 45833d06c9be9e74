//! A logged-in session: envelopes, messages, and how it ends.

use super::capabilities::Capabilities;
use super::classify::{broken, classify};
use super::command::{address_fault, mail_from};
use super::message::{FINAL_DOT, check_message, stuffed};
use super::open::open;
use super::reply::Reply;
use super::wire::{Wire, WireError};
use super::{SmtpSettings, Timeouts};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage, clean};
use crate::domain::stages::Stages;
use crate::net::Network;
use std::fmt;
use std::time::{Duration, Instant};

/// How many RCPT commands are sent ahead of their replies: few enough that neither side's buffers fill up while the
/// other waits.
const PIPELINE: usize = 50;

/// How long to look for the reason after the server closed while we were sending.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the server should know about a message before it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnvelopeOptions {
    /// The message's size in bytes, for SIZE (RFC 1870).
    pub size: Option<u64>,
    /// The message carries bytes above 127 (RFC 6152).
    pub eight_bit: bool,
    /// The sender or a header carries UTF-8 (RFC 6531): without SMTPUTF8 nobody can get the message. Recipients are looked
    /// at one by one: those that need it fail alone where it is not offered.
    pub smtputf8: bool,
}

/// One connected session that may speak for its mailbox. Dropping it closes the connection; [`Self::quit`] is politer.
pub struct SmtpSession {
    wire: Wire,
    capabilities: Capabilities,
    timeouts: Timeouts,
    state: State,
    deliveries: u64,
    last_used: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// MAIL FROM was accepted; with how many recipients.
    Envelope(usize),
    /// A message is under way: nothing but its end may follow.
    Message,
    /// Nothing that this connection says can be trusted any more.
    Broken,
}

impl SmtpSession {
    /// Connects, turns to TLS as the endpoint wants it, and logs in; each step becomes an entry of `stages`.
    pub async fn open(network: &Network, settings: &SmtpSettings, stages: &mut Stages) -> Result<Self, Failure> {
        let (wire, capabilities) = open(network, settings, stages).await?;
        Ok(Self {
            wire,
            capabilities,
            timeouts: settings.timeouts,
            state: State::Idle,
            deliveries: 0,
            last_used: Instant::now(),
        })
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether everything that this session says is encrypted.
    pub fn is_tls(&self) -> bool {
        self.wire.connection().is_tls()
    }

    /// How many messages were accepted in this session.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// How long the session has said nothing.
    pub fn idle(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Whether the session can take another envelope; after a failure of the connection, or in the middle of a message,
    /// it cannot.
    pub fn is_usable(&self) -> bool {
        !matches!(self.state, State::Broken | State::Message)
    }

    /// Names the sender (empty for the null sender) and the recipients, and returns each recipient's fate, in order.
    /// An error means that no recipient was accepted: the sender was refused, or the session failed. What an earlier
    /// envelope left open is reset first. Nothing of the message is sent.
    ///
    /// A server that answers each recipient just in time is bounded as a whole, too.
    pub async fn envelope(
        &mut self,
        from: &str,
        recipients: &[String],
        options: EnvelopeOptions,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        let count = u32::try_from(recipients.len()).unwrap_or(u32::MAX);
        let limit = self.timeouts.envelope.saturating_add(self.timeouts.per_recipient.saturating_mul(count));
        if let Ok(fates) = tokio::time::timeout(limit, self.name_everybody(from, recipients, options)).await {
            return fates;
        }
        self.state = State::Broken;
        Err(broken(Stage::RcptTo, self.wire.connection().host(), &WireError::TimedOut))
    }

    async fn name_everybody(
        &mut self,
        from: &str,
        recipients: &[String],
        options: EnvelopeOptions,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        self.check_envelope(from, options)?;
        let wanted = options.smtputf8 || recipients.iter().any(|recipient| !recipient.is_ascii());
        let options = EnvelopeOptions { smtputf8: wanted && self.capabilities.smtputf8, ..options };
        if matches!(self.state, State::Envelope(_)) {
            self.reset().await?;
        }
        let mut fates: Vec<Result<(), Failure>> =
            recipients.iter().map(|recipient| Self::check_recipient(recipient, options)).collect();
        let sendable: Vec<usize> = (0..recipients.len()).filter(|index| fates[*index].is_ok()).collect();
        if sendable.is_empty() {
            return Ok(fates);
        }
        let mut mail = Some(format!("{}\r\n", mail_from(from, options, &self.capabilities)));
        if !self.capabilities.pipelining {
            let command = mail.take().unwrap_or_default();
            self.send(Stage::MailFrom, command.as_bytes(), self.timeouts.mail_from).await?;
            self.accepted(Stage::MailFrom, self.timeouts.mail_from).await?;
        }
        let group_size = if self.capabilities.pipelining { PIPELINE } else { 1 };
        for group in sendable.chunks(group_size) {
            let with_sender = mail.is_some();
            let mut commands = mail.take().unwrap_or_default();
            for index in group {
                commands.push_str("RCPT TO:<");
                commands.push_str(&recipients[*index]);
                commands.push_str(">\r\n");
            }
            self.send(Stage::RcptTo, commands.as_bytes(), self.timeouts.rcpt_to).await?;
            let sender =
                if with_sender { self.accepted(Stage::MailFrom, self.timeouts.mail_from).await } else { Ok(()) };
            if let (State::Broken, Err(failure)) = (self.state, &sender) {
                return Err(failure.clone());
            }
            for index in group {
                fates[*index] = self.accepted(Stage::RcptTo, self.timeouts.rcpt_to).await;
                if let (State::Broken, Err(failure)) = (self.state, &fates[*index]) {
                    // Why the sender was refused says more than the end of the connection that follows it.
                    return Err(sender.err().unwrap_or_else(|| failure.clone()));
                }
            }
            // Every reply of the group was read, so the session stays in step.
            sender?;
        }
        self.state = State::Envelope(fates.iter().filter(|fate| fate.is_ok()).count());
        Ok(fates)
    }

    /// Sends the message to the recipients that [`Self::envelope`] had accepted, and returns the server's acceptance:
    /// [`Self::hand_over`], [`Self::end_message`] and [`Self::verdict`] in one.
    pub async fn deliver(&mut self, message: &[u8]) -> Result<String, Failure> {
        self.hand_over(message).await?;
        self.end_message().await?;
        self.verdict().await
    }

    /// Sends the message without its end: nothing of it can be accepted yet. The message has to end every line with
    /// CRLF; one with a bare CR, a bare LF or a NUL is refused unsent.
    pub async fn hand_over(&mut self, message: &[u8]) -> Result<(), Failure> {
        check_message(message)?;
        self.check_usable(Stage::Data)?;
        if !matches!(self.state, State::Envelope(1..)) {
            return Err(Failure::temporary(Stage::Data, "The server has accepted no recipient for the message."));
        }
        self.send(Stage::Data, b"DATA\r\n", self.timeouts.data).await?;
        let reply = self.reply(Stage::Data, self.timeouts.data).await?;
        if reply.code != 354 {
            // 4xx and 5xx leave the envelope open; anything else is out of step.
            if !matches!(reply.code, 400..=599) {
                self.state = State::Broken;
            }
            return Err(classify(Stage::Data, &reply));
        }
        // Until the end is sent, the server takes whatever comes for a part of the message.
        self.state = State::Message;
        self.send_message(message).await
    }

    /// Sends the final dot: from the first of its bytes on, the server may have the whole message, and any failure is
    /// of kind `Doubt`.
    pub async fn end_message(&mut self) -> Result<(), Failure> {
        self.check_message_begun()?;
        self.send(Stage::FinalDot, FINAL_DOT, self.timeouts.data_block).await
    }

    /// Reads the server's word on the message. A failure of kind `Doubt` means that no reply came: the message may have
    /// been accepted. Any other failure means that it certainly was not.
    pub async fn verdict(&mut self) -> Result<String, Failure> {
        self.check_message_begun()?;
        let reply = self.reply(Stage::FinalDot, self.timeouts.final_dot).await?;
        match reply.code {
            200..=299 => {
                self.state = State::Idle;
                self.deliveries += 1;
                Ok(clean(&reply.line()))
            }
            400..=599 => {
                if self.state != State::Broken {
                    self.state = State::Idle;
                }
                Err(classify(Stage::FinalDot, &reply))
            }
            _ => {
                self.state = State::Broken;
                let answer = WireError::NoReply(super::reply::NoReply::Garbage);
                Err(broken(Stage::FinalDot, self.wire.connection().host(), &answer)
                    .code(reply.code)
                    .server(&reply.text()))
            }
        }
    }

    fn check_message_begun(&self) -> Result<(), Failure> {
        if self.state == State::Message {
            return Ok(());
        }
        Err(Failure::temporary(Stage::Data, "No message was handed over in this session."))
    }

    /// Forgets the envelope (RSET), so that the session can be kept for another one.
    pub async fn reset(&mut self) -> Result<(), Failure> {
        self.check_usable(Stage::Rset)?;
        self.send(Stage::Rset, b"RSET\r\n", self.timeouts.command).await?;
        let result = self.accepted(Stage::Rset, self.timeouts.command).await;
        self.state = if result.is_ok() { State::Idle } else { State::Broken };
        result
    }

    /// Says QUIT and closes; takes no longer than its time limit, whatever the server does.
    pub async fn quit(mut self) {
        let limit = self.timeouts.quit;
        let ending = async {
            if self.is_usable() {
                // Nothing depends on the answer.
                let _ = self.wire.ask("QUIT", limit).await;
            }
            self.wire.close().await;
        };
        let _ = tokio::time::timeout(limit, ending).await;
    }

    fn check_envelope(&self, from: &str, options: EnvelopeOptions) -> Result<(), Failure> {
        self.check_usable(Stage::MailFrom)?;
        let fault =
            if from.is_empty() { None } else { address_fault(from, options.smtputf8 && self.capabilities.smtputf8) };
        if let Some(fault) = fault {
            return Err(Failure::config(Stage::MailFrom, format!("The sender's address {fault}.")));
        }
        let message_fault =
            |sentence: String| Err(Failure::new(FailureKind::Permanent, Scope::Message, Stage::MailFrom, sentence));
        if let (Some(size), Some(limit)) = (options.size, self.capabilities.size_limit)
            && size > limit
        {
            return message_fault(format!("The message has {size} bytes; the server takes at most {limit}."));
        }
        if options.eight_bit && !self.capabilities.eight_bit {
            return message_fault("The message carries 8-bit text, which the server cannot take (no 8BITMIME).".into());
        }
        if options.smtputf8 && !self.capabilities.smtputf8 {
            return message_fault(
                "The message has addresses or headers in UTF-8, which the server cannot take (no SMTPUTF8).".into(),
            );
        }
        Ok(())
    }

    fn check_recipient(recipient: &str, options: EnvelopeOptions) -> Result<(), Failure> {
        match address_fault(recipient, options.smtputf8) {
            None => Ok(()),
            Some(fault) => Err(Failure::new(
                FailureKind::Permanent,
                Scope::Recipient,
                Stage::RcptTo,
                format!("The recipient's address {fault}."),
            )),
        }
    }

    fn check_usable(&self, stage: Stage) -> Result<(), Failure> {
        if self.is_usable() {
            return Ok(());
        }
        let host = self.wire.connection().host();
        Err(Failure::temporary(stage, format!("The session with {host} has ended.")))
    }

    /// The message without its end. Nothing of it can be accepted, because the final dot was not sent.
    async fn send_message(&mut self, message: &[u8]) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeouts.data_total;
        for block in stuffed(message) {
            let limit = self.timeouts.data_block.min(deadline.saturating_duration_since(Instant::now()));
            if let Err(error) = self.wire.send(&block, limit).await {
                self.state = State::Broken;
                // A server that closes in the middle often says why.
                return Err(match self.wire.reply(LAST_WORDS).await {
                    Ok(reply) if matches!(reply.code, 400..=599) => classify(Stage::Data, &reply),
                    _ => broken(Stage::Data, self.wire.connection().host(), &error),
                });
            }
        }
        Ok(())
    }

    async fn send(&mut self, stage: Stage, bytes: &[u8], limit: Duration) -> Result<(), Failure> {
        self.last_used = Instant::now();
        let result = self.wire.send(bytes, limit).await;
        self.kept(stage, result)
    }

    async fn reply(&mut self, stage: Stage, limit: Duration) -> Result<Reply, Failure> {
        let result = self.wire.reply(limit).await;
        self.last_used = Instant::now();
        let reply = self.kept(stage, result)?;
        tracing::debug!(host = self.wire.connection().host(), stage = stage.name(), code = reply.code, "SMTP");
        if reply.code == 421 {
            // The server closes now.
            self.state = State::Broken;
        }
        Ok(reply)
    }

    /// A reply that has to be 2xx.
    async fn accepted(&mut self, stage: Stage, limit: Duration) -> Result<(), Failure> {
        let reply = self.reply(stage, limit).await?;
        match reply.code {
            200..=299 => Ok(()),
            400..=599 => Err(classify(stage, &reply)),
            _ => {
                self.state = State::Broken;
                Err(classify(stage, &reply))
            }
        }
    }

    fn kept<T>(&mut self, stage: Stage, result: Result<T, WireError>) -> Result<T, Failure> {
        result.map_err(|error| {
            self.state = State::Broken;
            broken(stage, self.wire.connection().host(), &error)
        })
    }
}

impl fmt::Debug for SmtpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpSession")
            .field("connection", self.wire.connection())
            .field("state", &self.state)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}
