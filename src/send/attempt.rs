//! One attempt to deliver one mailing: from the commit that started it to the report of what it came to.

use super::message::{composed, envelope_recipients, mebibytes};
use super::settle::{End, Report};
use super::start::{Started, enter_data_phase};
use super::{Parts, ROOM};
use crate::connect::credential::Draft;
use crate::connect::smtp::{EnvelopeOptions, SmtpSession};
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::stages::Stages;
use crate::providers::texts::refined;
use crate::runtime::contain;
use crate::store::StoreError;

/// Runs an attempt. Whatever happens inside, a panic included, there is a report.
pub(super) async fn run(parts: &Parts, started: Started) -> Report {
    let mut report = Report {
        mailing: started.mailing.id,
        attempt: started.mailing.attempt.as_ref().map_or(0, |attempt| attempt.number),
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

async fn deliver(parts: &Parts, started: &Started, report: &mut Report) -> Result<End, Failure> {
    // Held until the message is gone: however many workers there are, large messages do not fill the memory.
    let _room = match mebibytes(&parts.store, started)?.min(ROOM) {
        0 => None,
        wanted => parts.room.acquire_many(wanted).await.ok(),
    };
    let message = composed(&parts.store, started)?;
    report.size = u64::try_from(message.bytes.len()).ok();
    let recipients = envelope_recipients(started);
    let ascii: Vec<String> = recipients.iter().map(|(_, ascii)| ascii.clone()).collect();
    let from = sender(started);
    let options = EnvelopeOptions {
        size: report.size,
        eight_bit: message.eight_bit,
        smtputf8: message.needs_smtputf8 || !from.is_ascii() || ascii.iter().any(|address| !address.is_ascii()),
    };
    let (mut session, fates) = envelope(parts, started, &from, &ascii, options).await?;
    for ((address, _), fate) in recipients.iter().zip(&fates) {
        if let Err(failure) = fate {
            report.refused.push((address.clone(), refined(failure.clone())));
        }
    }
    if fates.iter().all(Result::is_err) {
        put_back(parts, started, session);
        return Ok(End::NobodyLeft);
    }
    let (mailing, attempt) = (report.mailing, report.attempt);
    let entered = parts.store.write_patiently(move |work| enter_data_phase(work, mailing, attempt)).await;
    match entered {
        Ok(true) => {}
        Ok(false) => {
            session.quit().await;
            return Err(not_recorded("the mailing is no longer under way"));
        }
        // What cannot be recorded must not be sent.
        Err(error) => {
            session.quit().await;
            return Err(not_recorded(&error.to_string()));
        }
    }
    let accepted = session.deliver(&message.bytes).await;
    put_back(parts, started, session);
    accepted.map(|line| End::Accepted { line })
}

/// A session with the envelope accepted. A kept session that turns out to be dead is replaced once by a fresh one:
/// servers close idle connections, and nothing has been sent yet.
async fn envelope(
    parts: &Parts,
    started: &Started,
    from: &str,
    recipients: &[String],
    options: EnvelopeOptions,
) -> Result<(SmtpSession, Vec<Result<(), Failure>>), Failure> {
    let mailbox = &started.mailbox;
    if let Some(mut kept) = parts.pool.take(mailbox.id, mailbox.generation) {
        match kept.envelope(from, recipients, options).await {
            Ok(fates) => return Ok((kept, fates)),
            Err(failure) if kept.is_usable() => {
                put_back(parts, started, kept);
                return Err(failure);
            }
            Err(_) => {}
        }
    }
    let mut fresh = parts.connector.open_smtp(&Draft::stored(mailbox), &mut Stages::new()).await?;
    match fresh.envelope(from, recipients, options).await {
        Ok(fates) => Ok((fresh, fates)),
        Err(failure) => {
            put_back(parts, started, fresh);
            Err(failure)
        }
    }
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
