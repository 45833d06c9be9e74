//! A mailbox on an IMAP server as a source: few round trips, large sets of UIDs, everything bounded.

use super::Parts;
use super::changes::Opened;
use super::folders::wanted;
use super::listing::{Keep, listed};
use super::plan::{Direction, Plan};
use super::source::{Batch, Beginning, Changes, Fetched, Folders, Known, Part, Recognise, Sighting, Source, Stored};
use crate::connect::credential::Draft;
use crate::connect::imap::{Asked, FOLDER_LIMIT, Facts, FolderState, ImapLimits, ImapSession};
use crate::connect::live_test::no_lasting_numbers;
use crate::domain::failure::{Failure, Stage};
use crate::domain::mailbox::Mailbox;
use crate::domain::message::FolderCursor;
use crate::domain::stages::Stages;
use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The facts of this many messages are asked for ahead of their texts.
const AHEAD: usize = 2_000;

/// What is taken for the size of a message whose server gives none, in bytes.
const UNKNOWN_SIZE: u64 = 64 << 10;

/// What bounds one batch.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    messages: usize,
    /// All messages of a batch together, in bytes; a single larger one is a batch of its own.
    bytes: u64,
    /// A larger message comes without its body.
    message: u64,
    /// How far back the first sync reaches.
    since: Timestamp,
}

/// Logs in to the mailbox's server; firing `cancel` ends the session wherever it stands.
pub(super) fn open(
    parts: &Arc<Parts>,
    mailbox: &Mailbox,
    cancel: &CancellationToken,
) -> Result<Box<dyn Source>, Failure> {
    let limits = ImapLimits { cancel: cancel.clone(), ..ImapLimits::default() };
    let (session, inbox) = parts.connector.open_imap(&Draft::stored(mailbox), &mut Stages::new(), limits)?;
    let reach = parts.config.keep_messages.map_or(parts.config.first_sync, |kept| kept.min(parts.config.first_sync));
    let bounds = Bounds {
        messages: 200,
        bytes: 8 << 20,
        message: parts.config.message_size.bytes(),
        // SINCE counts days in the server's time zone: a day more, so that none is missing.
        since: parts.runtime.clock.now().minus(reach + Duration::from_hours(24)),
    };
    Ok(Box::new(ImapSource::new(session, inbox, bounds)))
}

struct ImapSource {
    /// `None` once it was closed.
    session: Option<ImapSession>,
    inbox: String,
    bounds: Bounds,
    /// The open folder, as it was opened.
    state: Option<(FolderState, u32)>,
    /// The cursor with which the open folder was begun, if it is of the present numbering.
    known: Option<FolderCursor>,
    /// Whether anything newer was found.
    news: bool,
    recognise: Option<Recognise>,
    plan: Option<Plan>,
    /// Facts that were asked for ahead; what was asked for and is not in here is gone.
    facts: HashMap<u32, Facts>,
    /// The last UIDs whose facts were asked for.
    asked: Option<RangeInclusive<u32>>,
}

impl ImapSource {
    fn new(session: ImapSession, inbox: String, bounds: Bounds) -> Self {
        Self {
            session: Some(session),
            inbox,
            bounds,
            state: None,
            known: None,
            news: false,
            recognise: None,
            plan: None,
            facts: HashMap::new(),
            asked: None,
        }
    }

    fn session(&mut self) -> Result<&mut ImapSession, Failure> {
        self.session.as_mut().ok_or_else(|| Failure::temporary(Stage::Fetch, "The session was closed already."))
    }

    /// The open folder with its UIDVALIDITY.
    fn state(&self) -> Result<(FolderState, u32), Failure> {
        self.state.ok_or_else(|| Failure::temporary(Stage::Fetch, "No folder is open."))
    }

    /// Everything that is to be fetched of the open folder.
    fn plan(&mut self, part: Part) -> Result<Plan, Failure> {
        let (state, validity) = self.state()?;
        let by_message_id = self.recognise.as_ref().is_some_and(|recognise| recognise.by_message_id);
        // What is stored may be older than the first sync reaches back now.
        let since = Some(self.bounds.since).filter(|_| !by_message_id);
        let known = self.known.clone();
        let session = self.session()?;
        let older = |session: &mut ImapSession, last: u32| match part {
            Part::Newer => Ok((Vec::new(), false)),
            Part::Whole => listed(session, state.exists, &(1..=last), since, Keep::Highest),
        };
        let Some(known) = known else {
            // Asked for first: what arrives after this is above `top` and waits for the next sync.
            let top = if state.exists == 0 { None } else { session.last_uid()? };
            let Some(top) = top else { return Ok(Plan::first(validity, 0, Vec::new(), true)) };
            let (older, complete) = older(session, top)?;
            return Ok(Plan::first(validity, top, older, complete));
        };
        let newer = match known.high.checked_add(1) {
            Some(first) if !is_settled(&known, &state) => {
                listed(session, state.exists, &(first..=u32::MAX), None, Keep::Lowest)?.0
            }
            _ => Vec::new(),
        };
        let (older, complete) =
            if known.backfilled || known.low <= 1 { (Vec::new(), true) } else { older(session, known.low - 1)? };
        Ok(Plan::resumed(&known, newer, older, complete))
    }

    /// Makes sure that the facts of the next UIDs are known, and returns those of them that were asked about.
    fn look_ahead(&mut self) -> Result<Option<(Direction, Vec<u32>)>, Failure> {
        let Some(plan) = &self.plan else { return Ok(None) };
        let Some((direction, uids)) = plan.next(AHEAD) else { return Ok(None) };
        let is_known = |uid: &u32| self.asked.as_ref().is_some_and(|asked| asked.contains(uid));
        let known: Vec<u32> = uids.iter().copied().filter(is_known).collect();
        if !known.is_empty() {
            return Ok(Some((direction, known)));
        }
        let uids = uids.to_vec();
        let message_id = self.recognise.as_ref().is_some_and(|recognise| recognise.by_message_id);
        let session = self.session()?;
        let asked = Asked { message_id, gmail: session.abilities()?.gmail };
        let facts = session.facts(&uids, asked)?;
        self.facts = facts.into_iter().map(|fact| (fact.uid, fact)).collect();
        self.asked = uids.first().zip(uids.last()).map(|(first, last)| *first..=*last);
        Ok(Some((direction, uids)))
    }

    /// What becomes of a message: it is known, or to be fetched, or lies beyond the horizon.
    fn fate(&self, fact: &Facts) -> Fate {
        let Some(recognise) = &self.recognise else { return Fate::Fetch };
        let sighting = Sighting {
            message_id: fact.message_id.as_deref(),
            size: fact.size,
            internal_date: fact.received_at,
            provider_id: fact.gmail.map(|(message, _)| message),
        };
        match (recognise.find)(&sighting) {
            Some(message) => Fate::Known(message),
            None if recognise.by_message_id && fact.received_at.is_some_and(|at| at < self.bounds.since) => Fate::Skip,
            None => Fate::Fetch,
        }
    }

    /// Which of the UIDs (ascending) make up the next batch: how many are done with it, the facts of those that are to
    /// be fetched (ascending), and those that are stored already. At least one is done.
    fn choose(&mut self, direction: Direction, uids: &[u32]) -> (usize, Vec<Facts>, Vec<Known>) {
        let ordered: Box<dyn Iterator<Item = &u32>> = match direction {
            Direction::Newer => Box::new(uids.iter()),
            Direction::Older => Box::new(uids.iter().rev()),
        };
        let (mut taken, mut bytes, mut chosen, mut known) = (0, 0, Vec::new(), Vec::new());
        for uid in ordered {
            if let Some(fact) = self.facts.get(uid) {
                let size = size_of(fact).min(self.bounds.message);
                let is_full = chosen.len() >= self.bounds.messages
                    || (bytes + size > self.bounds.bytes && !chosen.is_empty())
                    || known.len() >= AHEAD;
                if is_full {
                    break;
                }
                match self.fate(fact) {
                    Fate::Skip => {}
                    Fate::Known(message) => known.push(Known { uid: *uid, message, flags: fact.flags.clone() }),
                    Fate::Fetch => {
                        bytes += size;
                        chosen.extend(self.facts.remove(uid));
                    }
                }
            }
            taken += 1;
        }
        if direction == Direction::Older {
            chosen.reverse();
        }
        (taken, chosen, known)
    }

    /// The texts of the chosen messages: whole, or only the header of those that are too large.
    fn fetch(&mut self, chosen: &[Facts]) -> Result<Vec<Fetched>, Failure> {
        let limit = self.bounds.message;
        let (whole, large): (Vec<&Facts>, Vec<&Facts>) = chosen.iter().partition(|fact| size_of(fact) <= limit);
        let whole: Vec<u32> = whole.into_iter().map(|fact| fact.uid).collect();
        let mut headers: Vec<u32> = large.into_iter().map(|fact| fact.uid).collect();
        let size = chosen.iter().map(size_of).filter(|size| *size <= limit).sum();
        let session = self.session()?;
        let mut texts: HashMap<u32, (Vec<u8>, bool)> = HashMap::new();
        let keep = |(uid, text): (u32, Vec<u8>)| (uid, (text, false));
        match session.bodies(&whole, size) {
            Ok(bodies) => texts.extend(bodies.into_iter().map(keep)),
            // One message that the server cannot read must not hold up the others.
            Err(failure) if concerns_one_message(session, &failure) => tracing::debug!(%failure, "a fetch was refused"),
            Err(failure) => return Err(failure),
        }
        // What did not come is gone, or the server has trouble with it.
        let missing: Vec<u32> = whole.iter().copied().filter(|uid| !texts.contains_key(uid)).collect();
        if !missing.is_empty() {
            for fact in session.facts(&missing, Asked::default())? {
                match session.bodies(&[fact.uid], size_of(&fact)) {
                    Ok(bodies) if !bodies.is_empty() => texts.extend(bodies.into_iter().map(keep)),
                    Ok(_) => headers.push(fact.uid),
                    Err(failure) if concerns_one_message(session, &failure) => headers.push(fact.uid),
                    Err(failure) => return Err(failure),
                }
            }
        }
        for uid in headers {
            let header = match session.headers(&[uid]) {
                Ok(header) => header.into_iter().next().map(|(_, text)| text),
                Err(failure) if concerns_one_message(session, &failure) => None,
                Err(failure) => return Err(failure),
            };
            texts.insert(uid, (header.unwrap_or_default(), true));
        }
        let mut fetched: Vec<Fetched> = Vec::with_capacity(texts.len());
        for fact in chosen.iter().rev() {
            let Some((raw, truncated)) = texts.remove(&fact.uid) else { continue };
            fetched.push(Fetched {
                uid: fact.uid,
                flags: fact.flags.clone(),
                internal_date: fact.received_at,
                size: u32::try_from(fact.size.unwrap_or(raw.len() as u64)).unwrap_or(u32::MAX),
                raw,
                truncated,
                provider_numbers: fact.gmail,
            });
        }
        Ok(fetched)
    }
}

enum Fate {
    Known(u64),
    Fetch,
    Skip,
}

/// Nothing came and nothing went since the cursor was settled.
pub(super) fn is_settled(known: &FolderCursor, state: &FolderState) -> bool {
    state.uid_next.is_some_and(|next| known.settled == Some((state.exists, next)))
}

impl Source for ImapSource {
    fn folders(&mut self, choice: Option<&str>) -> Result<Folders, Failure> {
        let inbox = self.inbox.clone();
        let folders = self.session()?.folders()?;
        // A list without an inbox, or one that was cut off, says nothing of what is not on it.
        let complete = folders.len() < FOLDER_LIMIT && folders.iter().any(|one| one.name.eq_ignore_ascii_case(&inbox));
        let listed = complete.then(|| folders.iter().map(|folder| folder.name.clone()).collect());
        Ok(Folders { wanted: wanted(&inbox, &folders, choice), listed })
    }

    fn open(&mut self, folder: &str) -> Result<u32, Failure> {
        (self.state, self.known, self.plan, self.recognise, self.asked) = (None, None, None, None, None);
        self.facts.clear();
        let session = self.session()?;
        // Before the folder is opened: what is switched on counts from the next one on (RFC 7162 section 3.1).
        session.abilities()?;
        let state = session.examine(folder)?;
        let validity = state.uid_validity.ok_or_else(|| no_lasting_numbers(session.host()))?;
        self.state = Some((state, validity));
        Ok(validity)
    }

    fn begin(
        &mut self,
        known: Option<FolderCursor>,
        part: Part,
        recognise: Option<Recognise>,
    ) -> Result<Beginning, Failure> {
        let (_, validity) = self.state()?;
        let before = known.as_ref().map(|known| known.uid_validity);
        self.known = known.filter(|known| known.uid_validity == validity);
        self.recognise = recognise;
        let plan = self.plan(part)?;
        self.news = plan.has_newer();
        self.plan = Some(plan);
        Ok(match before {
            None => Beginning::First,
            Some(before) if before == validity => Beginning::Resumed,
            Some(_) => Beginning::Renumbered,
        })
    }

    fn has_provider_numbers(&mut self) -> Result<bool, Failure> {
        Ok(self.session()?.abilities()?.gmail)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, Failure> {
        let (mut messages, mut known) = (Vec::new(), Vec::new());
        if let Some((direction, uids)) = self.look_ahead()? {
            let (taken, chosen, met) = self.choose(direction, &uids);
            let seen = chosen.last().map(|fact| fact.uid).max(met.iter().map(|known| known.uid).max());
            if !chosen.is_empty() {
                messages = self.fetch(&chosen)?;
            }
            known = met;
            if let Some(plan) = &mut self.plan {
                plan.take(direction, taken, seen);
            }
        }
        let Some(plan) = &mut self.plan else { return Ok(None) };
        Ok(plan.commit().map(|cursor| Batch { messages, known, cursor, remaining: plan.remaining() }))
    }

    fn changes(&mut self, stored: &dyn Stored) -> Result<Changes, Failure> {
        let (state, _) = self.state()?;
        let Some(plan) = &self.plan else { return Ok(Changes::default()) };
        let (known, cursor, news) = (self.known.clone(), plan.cursor().clone(), self.news);
        let session = self.session()?;
        let opened = Opened { known, cursor, state, news };
        opened.changes(session, stored)
    }

    fn fetch_missing(&mut self, uids: Vec<u32>) {
        let Some(plan) = &self.plan else { return };
        self.plan = Some(Plan::between(plan.cursor(), uids));
        self.asked = None;
        self.facts.clear();
    }

    fn is_usable(&self) -> bool {
        self.session.as_ref().is_some_and(ImapSession::is_usable)
    }

    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.logout();
        }
    }
}

fn size_of(fact: &Facts) -> u64 {
    fact.size.unwrap_or(UNKNOWN_SIZE)
}

/// The session goes on, and nothing in the server's words says that it would treat other messages the same way.
fn concerns_one_message(session: &ImapSession, failure: &Failure) -> bool {
    session.is_usable() && failure.server.is_some() && failure.advice.is_none()
}

#[cfg(test)]
#[path = "imap_tests.rs"]
mod tests;
