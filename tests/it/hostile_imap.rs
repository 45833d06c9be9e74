//! IMAP servers that mean no good, end to end. Whatever they say: every message is stored once, without a gap, as soon as
//! the server behaves; until then the failure is typed and visible on the mailbox, and memory stays bounded.
//!
//! - `scene`: a mailbox at a server that misbehaves by rules, and what has to be true in the end.
//! - `breaks`: connections that end, at every command and in the middle of a message.
//! - `later`: the same of changes, when all is stored already.
//! - `lies`: answers that are no IMAP, or none to what was asked.
//! - `floods`: more than anybody asked for, against the real binary, whose memory is measured.

mod breaks;
mod floods;
mod later;
mod lies;
mod scene;
