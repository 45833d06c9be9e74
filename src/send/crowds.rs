//! Who may send through which server now: so many lanes to each, one to one in trouble, the others in the order in which
//! they came.

use super::Parts;
use super::outlook::host_of;
use crate::connect::effective::EffectiveSettings;
use crate::connect::hosts::Host;
use crate::domain::limits::Moment;
use crate::domain::mailbox::Mailbox;
use crate::store::get;
use std::collections::{HashMap, VecDeque};

/// The lanes to all servers.
#[derive(Default)]
pub(super) struct Crowds {
    /// The server of each mailbox, as last read.
    hosts: HashMap<u64, Option<Host>>,
    crowds: HashMap<Host, Crowd>,
}

/// The lanes to one server.
#[derive(Default)]
struct Crowd {
    lanes: u32,
    /// Mailboxes that became ready while the server had all the lanes it may have, in the order in which they did.
    waiting: VecDeque<u64>,
}

impl Crowds {
    /// The server that a mailbox sends through; `None` where its settings name none.
    pub fn host(&mut self, parts: &Parts, mailbox: u64) -> Option<Host> {
        if let Some(host) = self.hosts.get(&mailbox) {
            return host.clone();
        }
        let found = match parts.store.read().and_then(|snapshot| get::<Mailbox>(&snapshot, mailbox)) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(mailbox, %error, "its server could not be read");
                return None;
            }
        };
        let host = found.and_then(|mailbox| host_of(&EffectiveSettings::of(&mailbox)));
        self.hosts.insert(mailbox, host.clone());
        host
    }

    /// The settings of a mailbox changed.
    pub fn forget(&mut self, mailbox: u64) {
        self.hosts.remove(&mailbox);
    }

    /// Those of any may have.
    pub fn forget_all(&mut self) {
        self.hosts.clear();
    }

    /// Whether one more lane to a server may start; it is counted if so. Else the mailbox is asked again when the server
    /// may have room: one slow server cannot take all workers, and one in trouble is asked by one lane at a time. A
    /// server that is left alone keeps nothing waiting here: the gate says so, and until when.
    pub fn admit(&mut self, parts: &Parts, host: &Host, mailbox: u64, moment: &Moment) -> bool {
        let hosts = &parts.outlook.hosts;
        let left_alone = hosts.trouble(host, moment).is_some();
        let room = if hosts.is_down(host) && !left_alone { 1 } else { parts.config.connections_per_host };
        let crowd = self.crowds.entry(host.clone()).or_default();
        if crowd.lanes < room {
            crowd.lanes += 1;
            return true;
        }
        if !crowd.waiting.contains(&mailbox) {
            crowd.waiting.push_back(mailbox);
        }
        false
    }

    /// A lane to a server has ended, which may have so many: the mailboxes that are to be asked again.
    pub fn leave(&mut self, host: &Host, room: u32) -> Vec<u64> {
        let Some(crowd) = self.crowds.get_mut(host) else { return Vec::new() };
        crowd.lanes = crowd.lanes.saturating_sub(1);
        let free = usize::try_from(room.saturating_sub(crowd.lanes)).unwrap_or(usize::MAX);
        let count = crowd.waiting.len().min(free);
        let next = crowd.waiting.drain(..count).collect();
        if crowd.lanes == 0 && crowd.waiting.is_empty() {
            self.crowds.remove(host);
        }
        next
    }
}
