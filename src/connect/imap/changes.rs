//! What the `imap` crate has no words for, asked raw and read with its parser: facts of messages, and what changed since
//! a mod-sequence (RFC 7162). Bounded as every command is; what a server says of messages that nobody asked about is
//! ignored.

use super::ImapSession;
use super::answer::{Changed, Facts};
use super::query::uid_set;
use super::session::{PER_MESSAGE, SLACK};
use super::trouble::{dismissed, garbled};
use crate::domain::failure::{Failure, Stage};
use crate::domain::time::Timestamp;
use imap_proto::{AttributeValue, Capability, MessageSection, Response, ResponseCode, SectionPath, Status};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The longest Message-ID that is looked at, in octets.
const MESSAGE_ID_LIMIT: usize = 998;

/// How many ranges of messages that went are read of one answer.
const RANGE_LIMIT: usize = 100_000;

/// How many flags of one message are kept, and how long one may be.
const FLAGS: (usize, usize) = (100, 100);

/// What one FETCH response says.
#[derive(Default)]
struct Fetched {
    uid: Option<u32>,
    flags: Option<Vec<String>>,
    received_at: Option<Timestamp>,
    size: Option<u64>,
    message_id: Option<String>,
    gmail: (Option<u64>, Option<u64>),
}

/// What to ask of messages beyond their flags, size and date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub message_id: bool,
    pub gmail: bool,
}

impl ImapSession {
    /// The facts of `uids` (ascending). A message that is no longer there has none.
    pub fn facts(&mut self, uids: &[u32], asked: Asked) -> Result<Vec<Facts>, Failure> {
        let mut query = String::from("UID FLAGS INTERNALDATE RFC822.SIZE");
        if asked.gmail {
            query += " X-GM-MSGID X-GM-THRID";
        }
        if asked.message_id {
            query += " BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]";
        }
        // Of several answers about one message the first with a date or a size is the one that was asked for; later ones
        // are news of its flags.
        let mut facts: HashMap<u32, Facts> = HashMap::with_capacity(uids.len());
        self.fetch_raw(uids, &query, |uid, fetched| {
            if fetched.size.is_none() && fetched.received_at.is_none() {
                return;
            }
            facts.entry(uid).or_insert_with(|| Facts {
                uid,
                flags: fetched.flags.unwrap_or_default(),
                received_at: fetched.received_at,
                size: fetched.size,
                message_id: fetched.message_id,
                gmail: fetched.gmail.0.zip(fetched.gmail.1),
            });
        })?;
        let mut facts: Vec<Facts> = facts.into_values().collect();
        facts.sort_by_key(|fact| fact.uid);
        Ok(facts)
    }

    /// The flags of `uids` (ascending), as they are now.
    pub fn flags(&mut self, uids: &[u32]) -> Result<Vec<(u32, Vec<String>)>, Failure> {
        let mut found = Vec::with_capacity(uids.len());
        self.fetch_raw(uids, "UID FLAGS", |uid, fetched| found.extend(fetched.flags.map(|flags| (uid, flags))))?;
        Ok(latest(found))
    }

    /// What changed within `uids` since a mod-sequence; with `gone` also which of them went, for a server that has
    /// QRESYNC. `expected` is about how many messages there are.
    pub fn changes(
        &mut self,
        uids: &RangeInclusive<u32>,
        since: u64,
        gone: bool,
        expected: u64,
    ) -> Result<Changed, Failure> {
        let vanished = if gone { " VANISHED" } else { "" };
        let command = format!("UID FETCH {}:{} (UID FLAGS) (CHANGEDSINCE {since}{vanished})", uids.start(), uids.end());
        let budget = (4 << 20) + expected.saturating_mul(1_024);
        let answer = match self.raw(Stage::Fetch, budget, &command) {
            // It offers what it does not do: without the refinement it may.
            Err(failure) if gone && self.is_usable() => {
                tracing::debug!(host = self.host(), %failure, "the server does not tell what went");
                self.forget_qresync();
                return self.changes(uids, since, false, expected);
            }
            answer => answer?,
        };
        let mut changed = Changed { complete: gone, ..Changed::default() };
        self.each(Stage::Fetch, &answer, |response| match response {
            Heard::Fetch(fetched) => {
                let uid = fetched.uid.filter(|uid| uids.contains(uid));
                changed.flags.extend(uid.zip(fetched.flags));
            }
            Heard::Gone(ranges) => {
                let room = RANGE_LIMIT.saturating_sub(changed.gone.len());
                changed.complete &= ranges.len() <= room;
                changed.gone.extend(ranges.into_iter().take(room));
            }
        })?;
        changed.flags = latest(changed.flags);
        Ok(changed)
    }

    /// How many messages the open folder has up to and with this one; `None` if it is gone.
    pub fn place(&mut self, uid: u32) -> Result<Option<u32>, Failure> {
        let answer = self.raw(Stage::Fetch, SLACK, &format!("UID FETCH {uid} (UID)"))?;
        let mut place = None;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let Ok((after, response)) = imap_proto::parser::parse_response(rest) else { break };
            if let Response::Fetch(number, attributes) = &response
                && attributes.iter().any(|attribute| matches!(attribute, AttributeValue::Uid(found) if *found == uid))
            {
                place = Some(*number);
            }
            rest = after;
        }
        self.each(Stage::Fetch, &answer, |_| ())?;
        Ok(place)
    }

    /// Lets the server say what is new.
    pub fn noop(&mut self) -> Result<(), Failure> {
        let answer = self.raw(Stage::Fetch, SLACK, "NOOP")?;
        self.each(Stage::Fetch, &answer, |_| ())
    }

    fn fetch_raw(&mut self, uids: &[u32], query: &str, mut see: impl FnMut(u32, Fetched)) -> Result<(), Failure> {
        let mut rest = uids;
        while !rest.is_empty() {
            let (set, taken) = uid_set(rest);
            let (asked, later) = rest.split_at(taken);
            rest = later;
            let budget = SLACK + PER_MESSAGE * taken as u64;
            let answer = self.raw(Stage::Fetch, budget, &format!("UID FETCH {set} ({query})"))?;
            self.each(Stage::Fetch, &answer, |response| {
                if let Heard::Fetch(fetched) = response
                    && let Some(uid) = fetched.uid.filter(|uid| asked.binary_search(uid).is_ok())
                {
                    see(uid, fetched);
                }
            })?;
        }
        Ok(())
    }

    /// Goes through an answer. A server that says good-bye, numbers the folder anew or says what is no IMAP ends the
    /// session.
    fn each(&mut self, stage: Stage, answer: &[u8], mut see: impl FnMut(Heard)) -> Result<(), Failure> {
        let mut rest = answer;
        while !rest.is_empty() {
            let Ok((after, response)) = imap_proto::parser::parse_response(rest) else {
                self.end();
                return Err(garbled(stage, self.host()));
            };
            rest = after;
            match response {
                Response::Fetch(_, attributes) => see(Heard::Fetch(Fetched::of(attributes))),
                Response::Vanished { uids, .. } => see(Heard::Gone(uids)),
                Response::Data { status: Status::Bye, information, .. } => {
                    self.end();
                    return Err(dismissed(stage, self.host(), &information.unwrap_or_default()));
                }
                Response::Data { code: Some(ResponseCode::UidValidity(now)), .. }
                    if self.validity().is_some_and(|before| before != now) =>
                {
                    self.end();
                    return Err(Failure::temporary(
                        stage,
                        format!("{} numbered the messages of the folder anew during the session.", self.host()),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What ENABLE switched on (RFC 5161 section 3.2), in capitals.
pub(super) fn enabled(answer: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = answer;
    while !rest.is_empty() {
        let Ok((after, response)) = imap_proto::parser::parse_response(rest) else { break };
        if let Response::Capabilities(list) = response {
            words.extend(list.into_iter().filter_map(|word| match word {
                Capability::Atom(word) => Some(word.to_ascii_uppercase()),
                _ => None,
            }));
        }
        rest = after;
    }
    words
}

/// What an answer is read for.
enum Heard {
    Fetch(Fetched),
    Gone(Vec<RangeInclusive<u32>>),
}

impl Fetched {
    fn of(attributes: Vec<AttributeValue<'_>>) -> Self {
        let mut fetched = Self::default();
        for attribute in attributes {
            match attribute {
                AttributeValue::Uid(uid) => fetched.uid = Some(uid).filter(|uid| *uid != 0),
                AttributeValue::Flags(flags) => {
                    // `\Recent` says nothing about the message.
                    let kept = flags.iter().filter(|flag| !flag.eq_ignore_ascii_case("\\Recent"));
                    let kept = kept.filter(|flag| flag.len() <= FLAGS.1).take(FLAGS.0);
                    let mut kept: Vec<String> = kept.map(ToString::to_string).collect();
                    // Servers give them in any order: only which they are is a change.
                    kept.sort_unstable();
                    kept.dedup();
                    fetched.flags = Some(kept);
                }
                AttributeValue::InternalDate(date) => fetched.received_at = Timestamp::parse_internal_date(&date),
                AttributeValue::Rfc822Size(size) => fetched.size = Some(u64::from(size)),
                AttributeValue::BodySection {
                    section: Some(SectionPath::Full(MessageSection::Header)),
                    data: Some(header),
                    ..
                } => fetched.message_id = message_id(&header),
                AttributeValue::GmailMsgId(number) => fetched.gmail.0 = Some(number),
                AttributeValue::GmailThrId(number) => fetched.gmail.1 = Some(number),
                _ => {}
            }
        }
        fetched
    }
}

/// The identifier in a Message-ID field.
fn message_id(field: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(field.get(..field.len().min(MESSAGE_ID_LIMIT * 2))?).ok()?;
    let (_, rest) = text.split_once('<')?;
    let (id, _) = rest.split_once('>')?;
    (!id.is_empty() && id.len() <= MESSAGE_ID_LIMIT).then(|| id.to_owned())
}

/// The last word on each UID, ascending.
fn latest(mut flags: Vec<(u32, Vec<String>)>) -> Vec<(u32, Vec<String>)> {
    flags.reverse();
    flags.sort_by_key(|(uid, _)| *uid);
    flags.dedup_by_key(|(uid, _)| *uid);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_words_on_one_message_the_last_one_counts() {
        let flags = |text: &str| vec![text.to_owned()];
        let said = vec![(2, flags("a")), (1, flags("b")), (2, flags("c"))];
        assert_eq!(latest(said), [(1, flags("b")), (2, flags("c"))]);
    }

    #[test]
    fn a_message_id_is_what_stands_between_the_brackets() {
        assert_eq!(message_id(b"Message-ID: <a.1@b>\r\n\r\n").as_deref(), Some("a.1@b"));
        assert_eq!(message_id(b"Message-ID:\r\n <a.1@b>\r\n\r\n").as_deref(), Some("a.1@b"));
        for odd in [&b""[..], b"\r\n", b"Message-ID: a@b\r\n", b"Message-ID: <>\r\n", b"\xff<a>"] {
            assert_eq!(message_id(odd), None);
        }
    }
}
