//! One attempt to deliver one mailing: from the commit that started it to the report of what it came to.

use super::message::{composed, envelope_recipients, mebibytes};
use super::room::Taken;
use super::settle::{End, Report};
use super::start::{Started, enter_data_phase};
use super::{Parts, blame};
use crate::connect::credential::Draft;
use crate::connect::smtp::{EnvelopeOptions, SmtpSession};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::stages::Stages;
use crate::mime::Composed;
use crate::providers::texts::refined;
use crate::runtime::contain;
use crate::store::StoreError;
use std::sync::Arc;

/// Runs an attempt. Whatever happens inside, a panic included, there is a report.
pub(super) async fn run(parts: &Arc<Parts>, started: Started) -> Report {
    let started = Arc::new(started);
    let mut report = Report {
        mailing: started.mailing.id,
        attempt: started.mailing.attempt.as_ref().map_or(0, |attempt| attempt.number),
        generation: started.mailbox.generation,
        refused: Vec::new(),
        end: End::NobodyLeft,
        size: None,
        spared: false,
    };
    let (mailing, attempt) = (report.mailing, report.attempt);
    match contain(deliver(parts, &started, &mut report)).await {
        Ok(Ok(end)) => report.end = end,
        Ok(Err(failure)) => report.end = End::Failed(refined(failure)),
        Err(panic) => {
            tracing::error!(mailing, panic, "an attempt panicked; the mailing is set aside");
            // Where it was is unknown; the disk says whether the data phase had begun.
            report.end = End::Failed(Failure::new(
                panicked_kind(parts, mailing, attempt),
                Scope::Message,
                Stage::Data,
                "Postroom failed while it handled this mailing. Please report this with the log.",
            ));
        }
    }
    report
}

fn panicked_kind(parts: &Parts, mailing: u64, attempt: u32) -> FailureKind {
    use crate::domain::mailing::{Mailing, Phase};
    let phase = parts
        .store
        .read()
        .and_then(|snapshot| crate::store::get::<Mailing>(&snapshot, mailing))
        .ok()
        .flatten()
        .and_then(|mailing| mailing.attempt)
        .filter(|under_way| under_way.number == attempt)
        .map(|under_way| under_way.phase);
    if phase == Some(Phase::Connecting) { FailureKind::Permanent } else { FailureKind::Doubt }
}

async fn deliver(parts: &Arc<Parts>, started: &Arc<Started>, report: &mut Report) -> Result<End, Failure> {
    let failpoints = &parts.runtime.failpoints;
    let (room, message) = composed_in_room(parts, started).await?;
    report.size = u64::try_from(message.bytes.len()).ok();
    let (recipients, left_over) = envelope_recipients(started);
    let ascii: Vec<String> = recipients.iter().map(|(_, ascii)| ascii.clone()).collect();
    let from = sender(started);
    let options = EnvelopeOptions {
        size: report.size,
        eight_bit: message.eight_bit,
        smtputf8: message.needs_smtputf8 || !from.is_ascii(),
    };
    let envelope = Envelope { from: &from, recipients: &ascii, options, message: &message.bytes };
    let (mut session, fates) = handed_over(parts, started, &envelope).await?;
    for ((address, _), fate) in recipients.iter().zip(&fates) {
        if let Err(failure) = fate {
            report.refused.push((address.clone(), refined(failure.clone())));
        }
    }
    report.refused.extend(left_over.into_iter().map(|address| (address, blame::left_over())));
    let nobody = fates.iter().all(Result::is_err);
    if !nobody {
        report.refused.iter_mut().for_each(|(_, failure)| of_the_recipient(failure));
    }
    if nobody {
        put_back(parts, started, session);
        return Ok(End::NobodyLeft);
    }
    failpoints.pass("body.sent").await;
    let (mailing, attempt, refused) = (report.mailing, report.attempt, report.refused.clone());
    let entered = parts.store.write_patiently(move |work| enter_data_phase(work, mailing, attempt, &refused)).await;
    // What cannot be recorded must not be sent: the session is dropped, and with it a message without its end.
    match entered {
        Ok(true) => {}
        Ok(false) => return Err(not_recorded("the mailing is no longer under way")),
        Err(error) => return Err(not_recorded(&error.to_string())),
    }
    failpoints.pass("data.after_commit").await;
    session.end_message().await?;
    // The server has it all: its word may take ten minutes, and needs no memory.
    drop((message, room));
    failpoints.pass("dot.sent").await;
    let verdict = session.verdict().await;
    failpoints.pass("reply.read").await;
    put_back(parts, started, session);
    verdict.map(|line| End::Accepted { line })
}

/// A message with the memory for it, to be kept for as long as the message is. A large one is composed and signed where
/// that keeps nobody waiting.
pub(super) async fn composed_in_room(
    parts: &Arc<Parts>,
    started: &Arc<Started>,
) -> Result<(Option<Taken>, Composed), Failure> {
    let wanted = mebibytes(&parts.store, started)?;
    if wanted == 0 {
        return Ok((None, composed(parts, started)?));
    }
    let full = || Failure::temporary(Stage::Store, "Other large messages have the memory; this one waits for it.");
    let room = parts.room.take(started.mailbox.id, wanted).await.ok_or_else(full)?;
    let (working, started) = (parts.clone(), started.clone());
    let composing = parts.tasks.spawn_blocking(move || composed(&working, &started)).await;
    let message = composing.unwrap_or_else(|error| {
        let sentence = format!("The message could not be composed: {error}. Please report this with the log.");
        Err(Failure::new(FailureKind::Permanent, Scope::Message, Stage::Store, sentence))
    })?;
    Ok((Some(room), message))
}

/// What is said before the final dot.
struct Envelope<'a> {
    from: &'a str,
    recipients: &'a [String],
    options: EnvelopeOptions,
    message: &'a [u8],
}

/// Each recipient's fate. Where the server accepted one, the message has followed, without its end.
type Fates = Vec<Result<(), Failure>>;

impl Envelope<'_> {
    async fn hand_over(&self, session: &mut SmtpSession) -> Result<Fates, Failure> {
        let fates = session.envelope(self.from, self.recipients, self.options).await?;
        if fates.iter().any(Result::is_ok) {
            session.hand_over(self.message).await?;
        }
        Ok(fates)
    }
}

/// A session with the message handed over, but for its end. A kept session that has had enough (it is dead, 421, no
/// further message) is replaced once by a fresh one: nothing can have been accepted, so no retry is spent on it.
async fn handed_over(
    parts: &Parts,
    started: &Started,
    envelope: &Envelope<'_>,
) -> Result<(SmtpSession, Fates), Failure> {
    let mailbox = &started.mailbox;
    if let Some(mut kept) = parts.pool.take(mailbox.id, mailbox.generation) {
        match envelope.hand_over(&mut kept).await {
            Ok(fates) => return Ok((kept, fates)),
            Err(failure) if kept.is_usable() && !may_be_the_session(&failure) => {
                put_back(parts, started, kept);
                return Err(failure);
            }
            Err(failure) => {
                tracing::debug!(mailbox = mailbox.id, %failure, "a kept session had ended; another is opened");
                parts.tasks.spawn(kept.quit());
            }
        }
    }
    let mut fresh = parts.connector.open_smtp(&Draft::stored(mailbox), &mut Stages::new()).await?;
    match envelope.hand_over(&mut fresh).await {
        Ok(fates) => Ok((fresh, fates)),
        Err(failure) => {
            put_back(parts, started, fresh);
            Err(failure)
        }
    }
}

/// A server that takes the message for somebody has nothing against the sender, whatever it says of others.
fn of_the_recipient(failure: &mut Failure) {
    if matches!(failure.kind, FailureKind::Temporary | FailureKind::Permanent) && failure.scope == Scope::Mailbox {
        failure.scope = Scope::Recipient;
    }
}

/// Some servers take only so many messages in one session, and say so at MAIL FROM.
fn may_be_the_session(failure: &Failure) -> bool {
    failure.kind == FailureKind::Temporary && failure.stage == Stage::MailFrom
}

fn put_back(parts: &Parts, started: &Started, session: SmtpSession) {
    if let Some(surplus) = parts.pool.keep(started.mailbox.id, started.mailbox.generation, session) {
        parts.tasks.spawn(surplus.quit());
    }
}

fn sender(started: &Started) -> String {
    use crate::domain::address::Address;
    let given = super::message::sender(started);
    Address::parse(given).map_or_else(|_| given.to_owned(), |address| address.ascii())
}

fn not_recorded(why: &str) -> Failure {
    Failure::temporary(Stage::Store, format!("The attempt could not be recorded, so nothing was sent: {why}."))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::temporary(Stage::Store, error.to_string())
    }
}
