//! A lane works through the mailings of one mailbox, one after the other, until none may go out.

use super::Parts;
use super::attempt;
use super::health::pardon;
use super::outlook::host_of;
use super::pulse::Pulse;
use super::settle::{End, Report, settle};
use super::start::{Next, take_next};
use crate::connect::effective::EffectiveSettings;
use crate::connect::hosts::{Host, News};
use crate::domain::failure::{Failure, Stage};
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// After this many mailings a lane ends, so that the next mailbox gets its turn.
const TURN: u32 = 50;

/// An outcome that the store did not take is offered again after this long.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Why a lane ended.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// Nothing of the mailbox may go out before then.
    NotBefore(Timestamp),
    /// Nothing waits, or only a change of something else lets it go on.
    Nothing,
    /// Its turn is over; there may be more.
    Turn,
    /// The store did not take the work; nothing is sent that cannot be recorded.
    StoreFailed(StoreError),
}

/// Runs a lane: the outcome of one mailing and the start of the next share a commit.
pub(super) async fn run(parts: &Arc<Parts>, mailbox: u64, pulse: &Pulse) -> LaneEnd {
    let mut report: Option<Report> = None;
    let mut recovered: Vec<u64> = Vec::new();
    for turn in 0.. {
        let last = turn == TURN || parts.tasks.stopping().is_cancelled();
        let expire_after = parts.config.expire_after;
        let public_url = parts.public_url.clone();
        let to_settle = report.take();
        let settled = to_settle.as_ref().map(|report| report.mailing);
        let alone = to_settle.clone();
        let (outlook, to_pardon) = (parts.outlook.clone(), std::mem::take(&mut recovered));
        let pardons = to_pardon.clone();
        let failpoints = &parts.runtime.failpoints;
        failpoints.pass(if settled.is_some() { "settle.before_commit" } else { "start.before_commit" }).await;
        let next = parts
            .store
            .write_patiently(move |work| {
                if let Some(report) = &to_settle {
                    settle(work, report)?;
                }
                to_pardon.iter().try_for_each(|id| pardon(work, *id))?;
                if last {
                    return Ok(None);
                }
                take_next(work, mailbox, &outlook, expire_after, public_url.as_deref()).map(Some)
            })
            .await;
        if settled.is_some() && next.is_ok() {
            failpoints.pass("settle.after_commit").await;
        }
        match next {
            Ok(Some(Next::Start(started))) => {
                failpoints.pass("start.after_commit").await;
                let host = host_of(&EffectiveSettings::of(&started.mailbox));
                let begun = parts.store.moment().steady;
                pulse.beat(begun);
                let mut ended = attempt::run(parts, *started).await;
                if let Some(host) = host {
                    recovered = hear(parts, mailbox, &host, begun, &mut ended);
                }
                report = Some(ended);
            }
            Ok(Some(Next::WantsSync(until))) => {
                let moment = parts.store.moment();
                let again = parts.outlook.ask(mailbox, moment.steady);
                return LaneEnd::NotBefore(moment.by_the_wall(again).min(until));
            }
            Ok(Some(Next::NotBefore(at))) => return LaneEnd::NotBefore(at),
            Ok(Some(Next::Nothing)) => return LaneEnd::Nothing,
            Ok(None) => return LaneEnd::Turn,
            Err(error) => {
                // What stands in the way of the next mailing must not cost the outcome of the last one.
                if let Some(report) = alone {
                    record(parts, report, pardons).await;
                }
                return LaneEnd::StoreFailed(error);
            }
        }
    }
    LaneEnd::Turn
}

/// Writes an outcome until the store takes it: before that nobody knows what became of the mailing.
async fn record(parts: &Parts, report: Report, pardons: Vec<u64>) {
    let stopping = parts.tasks.stopping();
    loop {
        let (to_settle, to_pardon) = (report.clone(), pardons.clone());
        let settled = parts.store.write_patiently(move |work| {
            settle(work, &to_settle)?;
            to_pardon.iter().try_for_each(|id| pardon(work, *id))
        });
        let Err(error) = settled.await else { return };
        let mailing = report.mailing;
        tracing::error!(mailing, %error, "an outcome could not be recorded; it is tried again, or resolved by the next start");
        if matches!(error, StoreError::Corrupt(_)) {
            // That does not pass, and others wait for the place.
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(STORE_PAUSE) => {}
        }
    }
}

/// Takes from the end of an attempt what it says about the server. Returns the mailboxes that had met its trouble and
/// need wait no longer.
fn hear(parts: &Parts, mailbox: u64, host: &Host, begun: Timestamp, report: &mut Report) -> Vec<u64> {
    let now = parts.store.moment().steady;
    let hosts = &parts.outlook.hosts;
    match &report.end {
        // A fault of our own says nothing about the server, nor does a message that cannot be made.
        End::Failed(failure) if failure.stage == Stage::Store => Vec::new(),
        End::Failed(failure) if !has_let_in(failure) => {
            let roll = parts.runtime.random.below(401);
            report.spared = hosts.failed(host, mailbox, failure, (begun, now), roll) == News::Known;
            Vec::new()
        }
        _ => hosts.answered(host, now),
    }
}

/// Whether a failure came so late that the server must have been well.
fn has_let_in(failure: &Failure) -> bool {
    (Stage::Authentication..=Stage::FinalDot).contains(&failure.stage)
}
