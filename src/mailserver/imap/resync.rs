use super::parse::{Cursor, Fault};
use super::selected::Selected;
use super::sequence::{Ranges, SequenceSet, written};
use super::session::{Outcome, Session};
use crate::mailserver::folder::Folder;

/// Words that one ENABLE may name.
const MAX_WORDS: usize = 64;

/// What a session has enabled (RFC 7162): CONDSTORE by any command that speaks of mod-sequences, QRESYNC by ENABLE.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Enabled {
    pub condstore: bool,
    pub qresync: bool,
}

/// How a session is told of changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dialect {
    /// Flags come with the mod-sequence.
    pub mod_sequences: bool,
    /// What went is told by UID (VANISHED) and not by number (EXPUNGE).
    pub vanished: bool,
}

/// What a client knows of a folder that it selects with QRESYNC (RFC 7162 section 3.2.5).
pub(super) struct Known {
    uid_validity: u32,
    mod_sequence: u64,
    uids: Option<SequenceSet>,
}

/// What follows the name of a folder in SELECT and EXAMINE.
#[derive(Default)]
pub(super) struct SelectParameters {
    pub known: Option<Known>,
}

/// What a FETCH is limited to (RFC 7162 section 3.1.4.1).
pub(super) struct ChangedSince {
    pub mod_sequence: u64,
    pub vanished: bool,
}

impl Session {
    /// ENABLE (RFC 5161): words that mean nothing are passed over.
    pub(super) fn enable(&mut self, arguments: &mut Cursor<'_>) -> Outcome {
        self.account()?;
        if !self.shared.options.offers("ENABLE") {
            return Err(Fault::Bad("Unknown command"));
        }
        let mut words = Vec::new();
        while words.is_empty() || !arguments.at_end() {
            arguments.space()?;
            words.push(arguments.atom()?.to_ascii_uppercase());
            if words.len() > MAX_WORDS {
                return Err(Fault::Bad("Too many words"));
            }
        }
        let mut said = String::from("* ENABLED");
        words.retain(|word| ["CONDSTORE", "QRESYNC"].contains(&&**word) && self.shared.options.offers(word));
        words.dedup();
        if !self.shared.options.enables_nothing {
            for word in words {
                self.enabled.condstore = true;
                self.enabled.qresync |= word == "QRESYNC";
                said = said + " " + &word;
            }
        }
        self.wire.put(said + "\r\n");
        Ok("ENABLE done".into())
    }

    /// How this session is told of changes.
    pub(super) fn dialect(&self) -> Dialect {
        let mod_sequences = self.enabled.condstore && !self.shared.options.no_mod_sequences;
        Dialect { mod_sequences, vanished: self.enabled.qresync }
    }

    /// Whether SELECT and STATUS speak of mod-sequences.
    pub(super) fn offers_mod_sequences(&self) -> bool {
        self.shared.options.offers("CONDSTORE") || self.shared.options.offers("QRESYNC")
    }

    /// A command speaks of mod-sequences: from now on the session is told of them. Refused where there are none.
    pub(super) fn speaks_of_mod_sequences(&mut self) -> Result<(), Fault> {
        if !self.offers_mod_sequences() || self.shared.options.no_mod_sequences {
            return Err(Fault::Bad("No mod-sequences here"));
        }
        self.enabled.condstore = true;
        Ok(())
    }

    /// `(CONDSTORE)` or `(QRESYNC (validity mod-sequence [UIDs [(numbers UIDs)]]))`.
    pub(super) fn select_parameters(&mut self, arguments: &mut Cursor<'_>) -> Result<SelectParameters, Fault> {
        let mut parameters = SelectParameters::default();
        if arguments.at_end() {
            return Ok(parameters);
        }
        arguments.space()?;
        arguments.expect("(")?;
        if !self.offers_mod_sequences() {
            return Err(Fault::Bad("No parameters here"));
        }
        loop {
            if arguments.take("CONDSTORE") {
                self.enabled.condstore = true;
            } else {
                arguments.expect("QRESYNC (")?;
                if !self.enabled.qresync {
                    return Err(Fault::Bad("ENABLE QRESYNC comes first"));
                }
                parameters.known = Some(Known::read(arguments)?);
            }
            if arguments.take(")") {
                return Ok(parameters);
            }
            arguments.space()?;
        }
    }

    /// `(CHANGEDSINCE mod-sequence [VANISHED])` behind the items of a FETCH, if it is there.
    pub(super) fn changed_since(
        &mut self,
        arguments: &mut Cursor<'_>,
        by_uid: bool,
    ) -> Result<Option<ChangedSince>, Fault> {
        if !arguments.take(" (") {
            return Ok(None);
        }
        arguments.expect("CHANGEDSINCE ")?;
        let mod_sequence = arguments.mod_sequence()?;
        let vanished = arguments.take(" VANISHED");
        arguments.expect(")")?;
        self.speaks_of_mod_sequences()?;
        if vanished && !(by_uid && self.enabled.qresync) {
            return Err(Fault::Bad("VANISHED needs UID FETCH and ENABLE QRESYNC"));
        }
        Ok(Some(ChangedSince { mod_sequence, vanished }))
    }

    /// The code with the highest mod-sequence, for the end of a command that removed messages (RFC 7162 section 3.2.7).
    pub(super) fn highest(&mut self) -> Result<String, Fault> {
        let dialect = self.dialect();
        if !(dialect.vanished && dialect.mod_sequences) {
            return Ok(String::new());
        }
        let selected = self.selected()?;
        let highest = selected.account.read(&selected.folder, |folder| folder.version)?;
        Ok(format!("[HIGHESTMODSEQ {highest}] "))
    }
}

impl Known {
    fn read(arguments: &mut Cursor<'_>) -> Result<Self, Fault> {
        let uid_validity = arguments.number()?;
        arguments.space()?;
        let mod_sequence = arguments.mod_sequence()?;
        let mut uids = None;
        if arguments.take(" ") && arguments.peek() != Some(b'(') {
            uids = Some(arguments.sequence_set()?);
            arguments.take(" ");
        }
        // Numbers that still match UIDs only save traffic.
        if arguments.take("(") {
            arguments.sequence_set()?;
            arguments.space()?;
            arguments.sequence_set()?;
            arguments.expect(")")?;
        }
        arguments.expect(")")?;
        Ok(Self { uid_validity, mod_sequence, uids })
    }
}

impl Selected {
    /// What changed in a folder since the client knew it: what vanished, then the flags that changed. Nothing if the
    /// folder was numbered anew since.
    pub(super) fn catch_up(&self, known: &Known) -> Result<String, Fault> {
        let said = self.account.read(&self.folder, |folder| {
            if folder.uid_validity != known.uid_validity {
                return String::new();
            }
            let ranges = known.uids.as_ref().map(|uids| uids.resolve(folder.uid_next.saturating_sub(1)));
            let wanted = |uid| ranges.as_ref().is_none_or(|ranges| ranges.contains(uid));
            let mut said = vec![self.vanished_earlier(folder, known.mod_sequence, wanted)];
            for place in self.places().filter(|place| wanted(place.uid)) {
                if let Some(message) = folder.message(place.uid).filter(|m| m.mod_sequence > known.mod_sequence) {
                    let flags = self.flags(place.uid, &message.flags);
                    let (number, uid, mod_sequence) = (place.sequence, place.uid, message.mod_sequence);
                    said.push(format!("* {number} FETCH (UID {uid} FLAGS ({flags}) MODSEQ ({mod_sequence}))\r\n"));
                }
            }
            said.concat()
        })?;
        Ok(said)
    }

    /// What of a set of UIDs left after a mod-sequence.
    pub(super) fn vanished_of(&self, set: &SequenceSet, mod_sequence: u64) -> Result<String, Fault> {
        let said = self.account.read(&self.folder, |folder| {
            // `*` reaches up to the newest message that ever was, or its removal could not be asked for.
            let ranges: Ranges = set.resolve(folder.uid_next.saturating_sub(1));
            self.vanished_earlier(folder, mod_sequence, |uid| ranges.contains(uid))
        })?;
        Ok(said)
    }

    fn vanished_earlier(&self, folder: &Folder, mod_sequence: u64, wanted: impl Fn(u32) -> bool) -> String {
        let mut uids = folder.departed_after(mod_sequence);
        // What the client still counts is told as news, which moves its numbers.
        uids.retain(|uid| wanted(*uid) && self.uids.binary_search(uid).is_err());
        if uids.is_empty() { String::new() } else { format!("* VANISHED (EARLIER) {}\r\n", written(&uids)) }
    }
}
