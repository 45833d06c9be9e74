//! The syncs under way at each server, and who waits for one to end.
//!
//! A server begins with few syncs at a time and gets one more with each that ends well, as long as it is well; after a
//! failure it gets as few as at the beginning, and while it is down a single one asks whether it is back. So a server that
//! never answers holds up a worker or two, whoever many mailboxes it has.

use crate::connect::hosts::Host;
use std::collections::{HashMap, VecDeque};

/// How many syncs a server has at the same time before any ended well.
const FIRST: u32 = 2;

/// Servers beyond so many are forgotten while nothing is under way there.
const REMEMBERED: usize = 10_000;

/// All servers.
pub(super) struct Crowds {
    /// What one server may have at most, so that the others always find a worker.
    most: u32,
    servers: HashMap<Host, Crowd>,
    /// All who wait, wherever.
    waiting: usize,
}

struct Crowd {
    running: u32,
    room: u32,
    /// Mailboxes that came while the room was full, in that order.
    waiting: VecDeque<u64>,
}

/// How a sync ended, as far as it says something about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impression {
    Well,
    /// It could not be reached, or has too much to do.
    Trouble,
    Nothing,
}

impl Crowds {
    pub fn new(workers: u32) -> Self {
        Self { most: (workers - workers / 4).max(1), servers: HashMap::new(), waiting: 0 }
    }

    /// Whether one more sync at a server may begin; it is counted if so. Else the mailbox waits and is given back by
    /// [`Crowds::left`], before the others if somebody asked for it.
    pub fn enter(&mut self, host: &Host, mailbox: u64, is_down: bool, asked: bool) -> bool {
        if self.servers.len() > REMEMBERED {
            self.servers.retain(|_, crowd| crowd.running > 0 || !crowd.waiting.is_empty());
        }
        let most = self.most;
        let crowd = self.servers.entry(host.clone()).or_insert_with(|| Crowd {
            running: 0,
            room: FIRST.min(most),
            waiting: VecDeque::new(),
        });
        let room = if is_down { 1 } else { crowd.room };
        if crowd.running < room {
            crowd.running += 1;
            return true;
        }
        let known = crowd.waiting.contains(&mailbox);
        if asked {
            crowd.waiting.retain(|waiting| *waiting != mailbox);
            crowd.waiting.push_front(mailbox);
        } else if !known {
            crowd.waiting.push_back(mailbox);
        }
        self.waiting += usize::from(!known);
        false
    }

    /// Takes back an [`Crowds::enter`] after which nothing was begun.
    pub fn turned_back(&mut self, host: &Host) {
        if let Some(crowd) = self.servers.get_mut(host) {
            crowd.running = crowd.running.saturating_sub(1);
        }
    }

    /// A sync has ended. Returns the mailboxes that are to be asked again.
    pub fn left(&mut self, host: &Host, impression: Impression, is_down: bool) -> Vec<u64> {
        let Some(crowd) = self.servers.get_mut(host) else { return Vec::new() };
        crowd.running = crowd.running.saturating_sub(1);
        match impression {
            Impression::Well => crowd.room = (crowd.room + 1).min(self.most),
            Impression::Trouble => crowd.room = FIRST.min(self.most),
            Impression::Nothing => {}
        }
        // Those at a server that is down learn until when.
        let count = if is_down { crowd.waiting.len() } else { (crowd.room.saturating_sub(crowd.running)) as usize };
        let count = count.min(crowd.waiting.len());
        self.waiting -= count;
        crowd.waiting.drain(..count).collect()
    }

    /// Those who wait at servers where nothing is under way any more that would let them in.
    pub fn stranded(&mut self) -> Vec<u64> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let still = self.servers.values_mut().filter(|crowd| crowd.running == 0);
        let stranded: Vec<u64> = still.flat_map(|crowd| crowd.waiting.drain(..)).collect();
        self.waiting -= stranded.len();
        stranded
    }

    /// Whether anybody waits anywhere.
    pub fn is_anybody_waiting(&self) -> bool {
        self.waiting > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        ("imap.example".into(), 993)
    }

    #[test]
    fn a_server_earns_its_room_and_loses_it() {
        let mut crowds = Crowds::new(8);
        let enters = |crowds: &mut Crowds, mailboxes: std::ops::Range<u64>| {
            mailboxes.filter(|mailbox| crowds.enter(&host(), *mailbox, false, false)).collect::<Vec<_>>()
        };
        assert_eq!(enters(&mut crowds, 0..5), [0, 1]);
        assert_eq!(crowds.left(&host(), Impression::Well, false), [2, 3]);
        assert_eq!(enters(&mut crowds, 2..4), [2, 3]);
        for _ in 0..20 {
            let again = crowds.left(&host(), Impression::Well, false);
            for mailbox in again {
                assert!(crowds.enter(&host(), mailbox, false, false));
            }
        }
        // Three quarters of the workers, and no more.
        assert_eq!(enters(&mut crowds, 10..30).len(), 6);
        assert_eq!(crowds.left(&host(), Impression::Trouble, true).len(), 14, "all learn of the trouble");
        assert!(!crowds.is_anybody_waiting());
        for _ in 0..5 {
            crowds.left(&host(), Impression::Nothing, false);
        }
        assert!(
            crowds.enter(&host(), 1, true, false) && !crowds.enter(&host(), 2, true, false),
            "one asks whether it is back"
        );
    }
}
