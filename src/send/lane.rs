//! A lane works through the mailings of one mailbox, one after the other, until none may go out.

use super::Parts;
use super::attempt;
use super::settle::{Report, settle};
use super::start::{Next, take_next};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// After this many mailings a lane ends, so that the next mailbox gets its turn.
const TURN: u32 = 50;

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
pub(super) async fn run(parts: &Parts, mailbox: u64) -> LaneEnd {
    let mut report: Option<Report> = None;
    for turn in 0.. {
        let last = turn == TURN || parts.tasks.stopping().is_cancelled();
        let expire_after = parts.config.expire_after;
        let to_settle = report.take();
        let settled = to_settle.as_ref().map(|report| report.mailing);
        let failpoints = &parts.runtime.failpoints;
        failpoints.pass(if settled.is_some() { "settle.before_commit" } else { "start.before_commit" }).await;
        let next = parts
            .store
            .write_patiently(move |work| {
                if let Some(report) = &to_settle {
                    settle(work, report)?;
                }
                if last { Ok(None) } else { take_next(work, mailbox, expire_after).map(Some) }
            })
            .await;
        if settled.is_some() && next.is_ok() {
            failpoints.pass("settle.after_commit").await;
        }
        match next {
            Ok(Some(Next::Start(started))) => {
                failpoints.pass("start.after_commit").await;
                report = Some(attempt::run(parts, *started).await);
            }
            Ok(Some(Next::NotBefore(at))) => return LaneEnd::NotBefore(at),
            Ok(Some(Next::Nothing)) => return LaneEnd::Nothing,
            Ok(None) => return LaneEnd::Turn,
            Err(error) => {
                if let Some(mailing) = settled {
                    tracing::error!(mailing, %error, "an outcome could not be recorded; the next start resolves it");
                }
                return LaneEnd::StoreFailed(error);
            }
        }
    }
    LaneEnd::Turn
}
