use super::folders::folder_name;
use super::parse::{Cursor, Fault};
use super::sequence::written;
use super::session::{Outcome, Session};
use crate::mailserver::flags::Flags;

/// STORE, COPY, MOVE, EXPUNGE and APPEND.
impl Session {
    pub(super) fn store(&mut self, arguments: &mut Cursor<'_>, by_uid: bool) -> Outcome {
        arguments.space()?;
        let set = arguments.sequence_set()?;
        arguments.space()?;
        let mut unchanged_since = None;
        if arguments.take("(UNCHANGEDSINCE ") {
            unchanged_since = Some(arguments.mod_sequence()?);
            arguments.expect(") ")?;
            self.speaks_of_mod_sequences()?;
        }
        let sign = if arguments.take("+") {
            Some(true)
        } else if arguments.take("-") {
            Some(false)
        } else {
            None
        };
        arguments.expect("FLAGS")?;
        let silent = arguments.take(".SILENT");
        arguments.space()?;
        let given = arguments.flags()?;
        arguments.end()?;
        let dialect = self.dialect();
        let selected = self.writable()?;
        let mut said = Vec::new();
        let mut modified = Vec::new();
        for place in selected.chosen(&set, by_uid) {
            let changed = selected.change(|folder| {
                let held = folder.message(place.uid)?.mod_sequence;
                if unchanged_since.is_some_and(|since| held > since) {
                    modified.push(if by_uid { place.uid } else { place.sequence });
                    return None;
                }
                let message = folder.set_flags(place.uid, |flags| match sign {
                    Some(true) => given.iter().for_each(|flag| flags.insert(flag)),
                    Some(false) => given.iter().for_each(|flag| flags.remove(flag)),
                    None => *flags = given.clone(),
                });
                message.cloned()
            })?;
            let Some(message) = changed else { continue };
            let told = match (silent, dialect.mod_sequences) {
                (true, false) => continue,
                (true, true) => format!("MODSEQ ({})", message.mod_sequence),
                (false, _) => selected.told(&message, dialect),
            };
            let uid = if by_uid || dialect.vanished { format!("UID {} ", place.uid) } else { String::new() };
            said.push(format!("* {} FETCH ({uid}{told})\r\n", place.sequence));
        }
        self.wire.put(said.concat());
        let note = if modified.is_empty() { String::new() } else { format!("[MODIFIED {}] ", written(&modified)) };
        Ok(note + "STORE done")
    }

    /// COPY, and MOVE (RFC 6851), which also removes the originals.
    pub(super) fn copy(&mut self, arguments: &mut Cursor<'_>, by_uid: bool, moves: bool) -> Outcome {
        arguments.space()?;
        let set = arguments.sequence_set()?;
        let target = folder_name(arguments)?;
        arguments.end()?;
        let max = self.shared.options.max_folder;
        let tells_uids = self.shared.options.offers("UIDPLUS");
        let selected = if moves { self.writable()? } else { self.selected()? };
        let account = selected.account.clone();
        let places = selected.chosen(&set, by_uid);
        let originals = account.read(&selected.folder, |folder| {
            places.iter().filter_map(|place| folder.message(place.uid).cloned()).collect::<Vec<_>>()
        })?;
        let filed = account.change(&target, |folder| {
            let room = max.saturating_sub(folder.messages().len()) >= originals.len();
            let copies = originals.iter().filter(|_| room);
            let uids = copies.map(|original| folder.add_copy(original).to_string());
            let uids: Vec<String> = uids.collect();
            room.then_some((folder.uid_validity, uids))
        });
        let (validity, copies) = filed.map_err(|_| no_target())?.ok_or_else(full)?;
        let uids: Vec<u32> = originals.iter().map(|message| message.uid).collect();
        let listed = uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let note = if copies.is_empty() || !tells_uids {
            String::new()
        } else {
            format!("[COPYUID {validity} {listed} {}] ", copies.join(","))
        };
        if !moves {
            return Ok(format!("{note}COPY done"));
        }
        if !note.is_empty() {
            self.wire.put(format!("* OK {note}Moved\r\n"));
        }
        self.remove(|uid| uids.binary_search(&uid).is_ok())?;
        Ok(self.highest()? + "MOVE done")
    }

    /// EXPUNGE, and UID EXPUNGE (RFC 4315) for some of the messages that are marked `\Deleted`.
    pub(super) fn expunge(&mut self, arguments: &mut Cursor<'_>, by_uid: bool) -> Outcome {
        let mut only = None;
        if by_uid {
            if !self.shared.options.offers("UIDPLUS") {
                return Err(Fault::Bad("Not a UID command"));
            }
            arguments.space()?;
            only = Some(arguments.sequence_set()?);
        }
        arguments.end()?;
        let selected = self.writable()?;
        let ranges = only.map(|set| set.resolve(selected.last(true)));
        let marked = selected.account.read(&selected.folder, |folder| {
            let marked = folder.messages().iter().filter(|message| message.flags.contains("\\Deleted"));
            marked.map(|message| message.uid).collect::<Vec<_>>()
        })?;
        let wanted = |uid| ranges.as_ref().is_none_or(|ranges| ranges.contains(uid));
        self.remove(|uid| marked.binary_search(&uid).is_ok() && wanted(uid))?;
        Ok(self.highest()? + "EXPUNGE done")
    }

    /// Removes messages from the selected folder and tells the client, last first.
    fn remove(&mut self, unwanted: impl Fn(u32) -> bool) -> Result<(), Fault> {
        let dialect = self.dialect();
        let selected = self.writable()?;
        let gone = selected.change(|folder| folder.remove(|message| unwanted(message.uid)))?;
        let said = selected.forget(&gone, dialect);
        self.wire.put(said);
        Ok(())
    }

    pub(super) fn append(&mut self, arguments: &mut Cursor<'_>) -> Outcome {
        let account = self.account()?;
        let name = folder_name(arguments)?;
        arguments.space()?;
        let mut flags = Flags::default();
        if arguments.peek() == Some(b'(') {
            flags = arguments.flags()?;
            arguments.space()?;
        }
        let mut date = self.shared.options.clock.now();
        if arguments.peek() == Some(b'"') {
            date = arguments.date_time()?;
            arguments.space()?;
        }
        let raw = arguments.literal()?;
        arguments.end()?;
        let max = self.shared.options.max_folder;
        let filed = account.change(&name, |folder| {
            let room = folder.messages().len() < max;
            room.then(|| (folder.uid_validity, folder.append(raw.into(), flags, date)))
        });
        let (validity, uid) = filed.map_err(|_| no_target())?.ok_or_else(full)?;
        let tells_uids = self.shared.options.offers("UIDPLUS");
        Ok(if tells_uids { format!("[APPENDUID {validity} {uid}] APPEND done") } else { "APPEND done".into() })
    }
}

fn no_target() -> Fault {
    Fault::No("[TRYCREATE] No such folder".into())
}

fn full() -> Fault {
    Fault::No("[OVERQUOTA] Folder is full".into())
}
