//! The send engine: scheduler → gate → attempt.
//!
//! * [`gate`] says whether a mailbox may send now, and else until when and why; [`outlook`] is what it knows beside the
//!   store: inboxes synced in this run, and [`hosts`](crate::connect::hosts) in trouble.
//! * `scheduler` is one task that owns the order (`crowds`: at each server); `lane` works through one mailbox (`pulse`:
//!   how fast); `start`, `settle` are the commits before and after an attempt; `attempt` speaks to the server through a
//!   session of `connect`.
//! * `blame` says whom a refusal speaks of, and `health` what follows for the mailbox; `set_back` is for clocks that are.
//! * `errands` is one task that visits the sent folders (`sent_folder`): `doubt` asks there about mailings that may or may
//!   not have left, `sent_copy` files what was accepted.
//! * `keyring` holds the DKIM keys; `message` composes and signs what goes out, in `room`.
//! * Nothing is lost: a mailing is under way only once that is on disk, and what a crash left behind is taken up again.
//!   Nothing is doubled blindly: the phase in which a server may have accepted a message is on disk before it begins.
//!
//! Uses `connect` and what lies below it; reached from above through [`SendEngine`].

mod attempt;
mod blame;
mod crowds;
mod doubt;
mod errands;
pub mod gate;
mod health;
pub mod keyring;
mod lane;
mod message;
pub mod outlook;
mod pool;
mod pulse;
mod room;
mod scheduler;
mod screen;
mod sent_copy;
mod sent_folder;
mod set_back;
mod settle;
mod start;

pub use health::pardon;

use crate::config::SendConfig;
use crate::connect::Connector;
use crate::runtime::{Runtime, Tasks};
use crate::store::Store;
use keyring::Keyring;
use outlook::Outlook;
use pool::{Pool, Reuse};
use room::Room;
use scheduler::Scheduler;
use std::sync::Arc;
use std::time::Duration;

/// What the parts of the engine share.
struct Parts {
    store: Store,
    connector: Connector,
    runtime: Runtime,
    config: SendConfig,
    /// What links in mails start with.
    public_url: Option<Arc<str>>,
    /// What mails are signed with.
    keyring: Keyring,
    pool: Pool,
    room: Room,
    tasks: Tasks,
    outlook: Outlook,
}

/// The running engine.
pub struct SendEngine {
    tasks: Tasks,
}

impl SendEngine {
    /// Starts the scheduler. It learns what to do from the store's event log; there is nothing to call. `outlook` is
    /// shared with whoever explains what waits. Links in mails start with `public_url`; without one a mailing that needs
    /// any fails. Mails of domains with a key in `keyring` are signed.
    pub fn start(
        store: Store,
        connector: Connector,
        config: SendConfig,
        outlook: Outlook,
        public_url: Option<&str>,
        keyring: Keyring,
    ) -> Self {
        let tasks = Tasks::new();
        let reuse = Reuse {
            deliveries: u64::from(config.deliveries_per_connection),
            idle: config.idle,
            sessions: usize::try_from(config.workers).unwrap_or(usize::MAX),
        };
        let parts = Parts {
            runtime: store.runtime().clone(),
            store,
            connector,
            config,
            public_url: public_url.map(Arc::from),
            keyring,
            pool: Pool::new(reuse),
            room: Room::default(),
            tasks: tasks.clone(),
            outlook,
        };
        let parts = Arc::new(parts);
        tasks.spawn(errands::run(parts.clone()));
        tasks.spawn(Scheduler::new(parts).run());
        Self { tasks }
    }

    /// Starts nothing new and waits for the attempts in flight; `false` if some were still running after `patience`.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.tasks.stop(patience).await
    }
}

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod testing;
