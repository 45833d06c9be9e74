use super::folders::folder_name;
use super::parse::{Cursor, Fault};
use super::session::{Outcome, Session};
use crate::mailserver::flags::Flags;

/// STORE, COPY, MOVE, EXPUNGE and APPEND.
impl Session {
    pub(super) fn store(&mut self, arguments: &mut Cursor<'_>, by_uid: bool) -> Outcome {
        arguments.space()?;
        let set = arguments.sequence_set()?;
        arguments.space()?;
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
        let selected = self.writable()?;
        let mut said = Vec::new();
        for place in selected.chosen(&set, by_uid) {
            let changed = selected.change(|folder| {
                let flags = folder.set_flags(place.uid, |flags| match sign {
                    Some(true) => given.iter().for_each(|flag| flags.insert(flag)),
                    Some(false) => given.iter().for_each(|flag| flags.remove(flag)),
                    None => *flags = given.clone(),
                });
                flags.cloned()
            })?;
            if let Some(flags) = changed.filter(|_| !silent) {
                let flags = selected.flags(place.uid, &flags);
                let uid = if by_uid { format!("UID {} ", place.uid) } else { String::new() };
                said.push(format!("* {} FETCH ({uid}FLAGS ({flags}))\r\n", place.sequence));
            }
        }
        self.wire.put(said.concat());
        Ok("STORE done".into())
    }

    /// COPY, and MOVE (RFC 6851), which also removes the originals.
    pub(super) fn copy(&mut self, arguments: &mut Cursor<'_>, by_uid: bool, moves: bool) -> Outcome {
        arguments.space()?;
        let set = arguments.sequence_set()?;
        let target = folder_name(arguments)?;
        arguments.end()?;
        let max = self.shared.options.max_folder;
        let selected = if moves { self.writable()? } else { self.selected()? };
        let account = selected.account.clone();
        let places = selected.chosen(&set, by_uid);
        let originals = account.read(&selected.folder, |folder| {
            places.iter().filter_map(|place| folder.message(place.uid).cloned()).collect::<Vec<_>>()
        })?;
        let filed = account.change(&target, |folder| {
            let room = max.saturating_sub(folder.messages().len()) >= originals.len();
            let copies = originals.iter().filter(|_| room);
            let uids = copies.map(|m| folder.append(m.raw.clone(), m.flags.clone(), m.date).to_string());
            let uids: Vec<String> = uids.collect();
            room.then_some((folder.uid_validity, uids))
        });
        let (validity, copies) = filed.map_err(|_| no_target())?.ok_or_else(full)?;
        let uids: Vec<u32> = originals.iter().map(|message| message.uid).collect();
        let listed = uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let note = if copies.is_empty() {
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
        Ok("MOVE done".into())
    }

    /// EXPUNGE, and UID EXPUNGE (RFC 4315) for some of the messages that are marked `\Deleted`.
    pub(super) fn expunge(&mut self, arguments: &mut Cursor<'_>, by_uid: bool) -> Outcome {
        let mut only = None;
        if by_uid {
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
        Ok("EXPUNGE done".into())
    }

    /// Removes messages from the selected folder and tells the client, last first.
    fn remove(&mut self, unwanted: impl Fn(u32) -> bool) -> Result<(), Fault> {
        let selected = self.writable()?;
        let gone = selected.change(|folder| folder.remove(|message| unwanted(message.uid)))?;
        let places: Vec<u32> = gone.iter().rev().filter_map(|&uid| selected.forget(uid)).collect();
        for place in places {
            self.wire.put(format!("* {place} EXPUNGE\r\n"));
        }
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
        Ok(format!("[APPENDUID {validity} {uid}] APPEND done"))
    }
}

fn no_target() -> Fault {
    Fault::No("[TRYCREATE] No such folder".into())
}

fn full() -> Fault {
    Fault::No("[OVERQUOTA] Folder is full".into())
}
