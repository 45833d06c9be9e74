use super::header;
use super::parse::{Cursor, Fault};
use super::selected::{Place, Selected};
use super::sequence::Ranges;
use super::session::{Outcome, Session};
use crate::domain::time::Timestamp;
use crate::mailserver::folder::StoredMessage;
use std::time::Duration;

/// How deep NOT, OR and parentheses may nest.
const MAX_DEPTH: usize = 16;
const DAY: Duration = Duration::from_hours(24);

/// A condition on a message (RFC 3501 section 6.4.4). Dates are days in UTC.
enum Key {
    All(Vec<Key>),
    Not(Box<Key>),
    Either(Box<Key>, Box<Key>),
    Sequence(Ranges),
    Uid(Ranges),
    Flag(String),
    Recent,
    Since(Timestamp),
    Before(Timestamp),
    Larger(usize),
    Smaller(usize),
    Header(String, String),
    Body(String),
    /// Came or changed at this mod-sequence or later (RFC 7162 section 3.1.5).
    ModSequence(u64),
    Text(String),
}

impl Session {
    pub(super) fn search(&mut self, arguments: &mut Cursor<'_>, by_uid: bool) -> Outcome {
        if arguments.take(" CHARSET ") && !["UTF-8", "US-ASCII"].contains(&&*arguments.astring()?.to_ascii_uppercase())
        {
            return Err(Fault::No("[BADCHARSET (UTF-8 US-ASCII)] Unknown charset".into()));
        }
        let (offers, keeps) = (self.offers_mod_sequences(), !self.shared.options.no_mod_sequences);
        let selected = self.selected()?;
        let mut keys = Vec::new();
        while !arguments.at_end() {
            arguments.space()?;
            keys.push(Key::parse(arguments, selected, MAX_DEPTH)?);
        }
        if keys.is_empty() {
            return Err(Fault::Bad("Nothing to search for"));
        }
        let key = Key::All(keys);
        let asks = key.asks_for_mod_sequences();
        if asks && !(offers && keeps) {
            return Err(Fault::Bad("No mod-sequences here"));
        }
        let mut highest = 0;
        let mut found = vec!["* SEARCH".to_owned()];
        for place in selected.places() {
            // One message at a time, so that a long search does not lock others out.
            let message = selected.account.read(&selected.folder, |folder| folder.message(place.uid).cloned())?;
            if let Some(message) = message.filter(|message| key.fits(selected, place, message)) {
                highest = highest.max(message.mod_sequence);
                found.push(if by_uid { place.uid } else { place.sequence }.to_string());
            }
        }
        self.enabled.condstore |= asks;
        if asks && highest > 0 {
            found.push(format!("(MODSEQ {highest})"));
        }
        self.wire.put(found.join(" ") + "\r\n");
        Ok("SEARCH done".into())
    }
}

impl Key {
    fn parse(cursor: &mut Cursor<'_>, view: &Selected, depth: usize) -> Result<Self, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Bad("Nested too deeply"))?;
        match cursor.peek() {
            Some(b'(') => return Self::group(cursor, view, depth),
            Some(b'0'..=b'9' | b'*') => return Ok(Self::Sequence(cursor.sequence_set()?.resolve(view.last(false)))),
            _ => {}
        }
        let word = cursor.atom()?.to_ascii_uppercase();
        let key = match word.as_str() {
            "ALL" => Self::All(Vec::new()),
            "NOT" => {
                cursor.space()?;
                negated(Self::parse(cursor, view, depth)?)
            }
            "OR" => {
                cursor.space()?;
                let one = Self::parse(cursor, view, depth)?;
                cursor.space()?;
                Self::Either(Box::new(one), Box::new(Self::parse(cursor, view, depth)?))
            }
            "RECENT" => Self::Recent,
            "OLD" => negated(Self::Recent),
            "NEW" => Self::All(vec![Self::Recent, negated(Self::Flag("\\Seen".into()))]),
            "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "SEEN" => Self::Flag(format!("\\{word}")),
            "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" | "UNSEEN" => {
                negated(Self::Flag(format!("\\{}", &word[2..])))
            }
            _ => {
                cursor.space()?;
                Self::with_argument(&word, cursor, view)?
            }
        };
        Ok(key)
    }

    fn group(cursor: &mut Cursor<'_>, view: &Selected, depth: usize) -> Result<Self, Fault> {
        cursor.expect("(")?;
        let mut keys = vec![Self::parse(cursor, view, depth)?];
        while !cursor.take(")") {
            cursor.space()?;
            keys.push(Self::parse(cursor, view, depth)?);
        }
        Ok(Self::All(keys))
    }

    fn with_argument(word: &str, cursor: &mut Cursor<'_>, view: &Selected) -> Result<Self, Fault> {
        let size = |cursor: &mut Cursor<'_>| cursor.number().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        Ok(match word {
            "UID" => Self::Uid(cursor.sequence_set()?.resolve(view.last(true))),
            "KEYWORD" => Self::Flag(cursor.atom()?.to_owned()),
            "UNKEYWORD" => negated(Self::Flag(cursor.atom()?.to_owned())),
            "SINCE" => Self::Since(cursor.date()?),
            "BEFORE" => Self::Before(cursor.date()?),
            "ON" => {
                let day = cursor.date()?;
                Self::All(vec![Self::Since(day), Self::Before(day.plus(DAY))])
            }
            "LARGER" => Self::Larger(size(cursor)?),
            "SMALLER" => Self::Smaller(size(cursor)?),
            "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => Self::Header(word.to_owned(), cursor.astring()?),
            "HEADER" => {
                let name = cursor.astring()?;
                cursor.space()?;
                Self::Header(name, cursor.astring()?)
            }
            "MODSEQ" => {
                // One mod-sequence stands for all flags of a message; the name of one of them changes nothing.
                if cursor.peek() == Some(b'"') {
                    cursor.astring()?;
                    cursor.space()?;
                    cursor.atom()?;
                    cursor.space()?;
                }
                Self::ModSequence(cursor.mod_sequence()?)
            }
            "BODY" => Self::Body(cursor.astring()?),
            "TEXT" => Self::Text(cursor.astring()?),
            _ => return Err(Fault::Bad("Unknown search key")),
        })
    }

    fn asks_for_mod_sequences(&self) -> bool {
        match self {
            Self::All(keys) => keys.iter().any(Self::asks_for_mod_sequences),
            Self::Not(key) => key.asks_for_mod_sequences(),
            Self::Either(one, other) => one.asks_for_mod_sequences() || other.asks_for_mod_sequences(),
            Self::ModSequence(_) => true,
            _ => false,
        }
    }

    fn fits(&self, view: &Selected, place: Place, message: &StoredMessage) -> bool {
        match self {
            Self::All(keys) => keys.iter().all(|key| key.fits(view, place, message)),
            Self::Not(key) => !key.fits(view, place, message),
            Self::Either(one, other) => one.fits(view, place, message) || other.fits(view, place, message),
            Self::Sequence(ranges) => ranges.contains(place.sequence),
            Self::Uid(ranges) => ranges.contains(place.uid),
            Self::Flag(flag) => message.flags.contains(flag),
            Self::Recent => view.is_recent(place.uid),
            Self::Since(day) => message.date >= *day,
            Self::Before(day) => message.date < *day,
            Self::ModSequence(least) => message.mod_sequence >= *least,
            Self::Larger(size) => message.raw.len() > *size,
            Self::Smaller(size) => message.raw.len() < *size,
            Self::Header(name, wanted) => header::fields(header::split(&message.raw).0)
                .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
                .any(|(_, field)| header::holds(&header::value(field), wanted.as_bytes())),
            Self::Body(wanted) => header::holds(header::split(&message.raw).1, wanted.as_bytes()),
            Self::Text(wanted) => header::holds(&message.raw, wanted.as_bytes()),
        }
    }
}

fn negated(key: Key) -> Key {
    Key::Not(Box::new(key))
}
