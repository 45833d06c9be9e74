use super::parse::{Cursor, Fault, quote};
use super::selected::Selected;
use super::session::{Outcome, Session};
use crate::mailserver::folder_name::MAX_NAME;

/// LIST, LSUB, STATUS, SELECT, EXAMINE, CLOSE, UNSELECT, CREATE, DELETE, RENAME, SUBSCRIBE.
impl Session {
    pub(super) fn list(&mut self, arguments: &mut Cursor<'_>, verb: &str) -> Outcome {
        let account = self.account()?;
        arguments.space()?;
        let reference = arguments.astring()?;
        arguments.space()?;
        let pattern = reference + &arguments.pattern()?;
        arguments.end()?;
        if pattern.len() > MAX_NAME {
            return Err(Fault::Bad("Pattern too long"));
        }
        if pattern.is_empty() {
            self.wire.put(format!("* {verb} (\\Noselect) \"/\" \"\"\r\n"));
            return Ok(format!("{verb} done"));
        }
        let tells_uses = verb == "LIST" && self.shared.options.offers("SPECIAL-USE");
        for folder in account.list() {
            let is_inbox = folder.name == "INBOX" && pattern.eq_ignore_ascii_case("INBOX");
            if is_inbox || matches(pattern.as_bytes(), folder.name.as_bytes()) {
                let children = if folder.has_children { "\\HasChildren" } else { "\\HasNoChildren" };
                let attributes = match folder.special_use {
                    Some(special_use) if tells_uses => format!("{children} {special_use}"),
                    _ => children.to_owned(),
                };
                self.wire.put(format!("* {verb} ({attributes}) \"/\" {}\r\n", quote(&folder.name)));
            }
        }
        Ok(format!("{verb} done"))
    }

    pub(super) fn status(&mut self, arguments: &mut Cursor<'_>) -> Outcome {
        let account = self.account()?;
        let name = folder_name(arguments)?;
        arguments.space()?;
        arguments.expect("(")?;
        let mut wanted = Vec::new();
        loop {
            wanted.push(arguments.run(|byte| byte.is_ascii_alphabetic())?.to_ascii_uppercase());
            if arguments.take(")") {
                break;
            }
            arguments.space()?;
        }
        arguments.end()?;
        if wanted.iter().any(|item| item == "HIGHESTMODSEQ") {
            if !self.offers_mod_sequences() {
                return Err(Fault::Bad("Unknown status item"));
            }
            self.enabled.condstore = true;
        }
        let keeps = !self.shared.options.no_mod_sequences;
        let items = account.read(&name, |folder| {
            let recent = || folder.messages().iter().filter(|message| message.uid >= folder.recent_from).count();
            let unseen = || folder.messages().iter().filter(|message| !message.flags.contains("\\Seen")).count();
            let item = |item: &String| match item.as_str() {
                "MESSAGES" => Some(format!("MESSAGES {}", folder.messages().len())),
                "RECENT" => Some(format!("RECENT {}", recent())),
                "UNSEEN" => Some(format!("UNSEEN {}", unseen())),
                "UIDNEXT" => Some(format!("UIDNEXT {}", folder.uid_next)),
                "HIGHESTMODSEQ" => Some(format!("HIGHESTMODSEQ {}", if keeps { folder.version } else { 0 })),
                "UIDVALIDITY" => Some(format!("UIDVALIDITY {}", folder.uid_validity)),
                _ => None,
            };
            wanted.iter().map(item).collect::<Option<Vec<_>>>()
        })?;
        let items = items.ok_or(Fault::Bad("Unknown status item"))?;
        self.wire.put(format!("* STATUS {} ({})\r\n", quote(&name), items.join(" ")));
        Ok("STATUS done".into())
    }

    pub(super) fn select(&mut self, arguments: &mut Cursor<'_>, read_only: bool) -> Outcome {
        let account = self.account()?;
        // RFC 3501 section 6.3.1: a SELECT that fails leaves nothing selected.
        let closed = self.selected.take().is_some() && self.enabled.qresync;
        if closed {
            self.wire.put("* OK [CLOSED] Previous folder closed\r\n");
        }
        let name = folder_name(arguments)?;
        let parameters = self.select_parameters(arguments)?;
        arguments.end()?;
        let (offers, keeps) = (self.offers_mod_sequences(), !self.shared.options.no_mod_sequences);
        let highest = |highest| match (offers, keeps) {
            (true, true) => format!("* OK [HIGHESTMODSEQ {highest}] Highest\r\n"),
            (true, false) => "* OK [NOMODSEQ] No mod-sequences\r\n".to_owned(),
            (false, _) => String::new(),
        };
        let (selected, mut said) = Selected::open(account, &name, read_only, highest)?;
        if let Some(known) = parameters.known.filter(|_| keeps) {
            said += &selected.catch_up(&known)?;
        }
        self.selected = Some(selected);
        self.wire.put(said);
        Ok(if read_only { "[READ-ONLY] EXAMINE done" } else { "[READ-WRITE] SELECT done" }.into())
    }

    /// CLOSE removes what is marked `\Deleted`, without a word; UNSELECT (RFC 3691) does not.
    pub(super) fn close(&mut self, remove: bool) -> Outcome {
        let selected = self.selected()?;
        if remove && !selected.read_only {
            selected.account.change(&selected.folder, |folder| {
                folder.remove(|message| message.flags.contains("\\Deleted"));
            })?;
        }
        self.selected = None;
        Ok(if remove { "CLOSE done" } else { "UNSELECT done" }.into())
    }

    pub(super) fn manage(&mut self, arguments: &mut Cursor<'_>, verb: &str) -> Outcome {
        let account = self.account()?;
        let name = folder_name(arguments)?;
        let renamed = if verb == "RENAME" { folder_name(arguments)? } else { String::new() };
        arguments.end()?;
        let done = match verb {
            "CREATE" if name.is_empty() => return Err(Fault::Bad("A folder needs a name")),
            "CREATE" => account.create(name.trim_end_matches('/')),
            "DELETE" => account.delete(&name),
            "RENAME" if renamed.is_empty() => return Err(Fault::Bad("A folder needs a name")),
            "RENAME" => account.rename(&name, renamed.trim_end_matches('/')),
            // Every folder counts as subscribed.
            _ => account.read(&name, |_| ()).is_ok(),
        };
        if done { Ok(format!("{verb} done")) } else { Err(Fault::No("Cannot do that to this folder".into())) }
    }
}

pub(super) fn folder_name(arguments: &mut Cursor<'_>) -> Result<String, Fault> {
    arguments.space()?;
    let name = arguments.astring()?;
    // RFC 3501 section 5.1: no letters beyond ASCII but in modified UTF-7.
    let fits = name.len() <= MAX_NAME && name.is_ascii() && !name.chars().any(char::is_control);
    if fits { Ok(name) } else { Err(Fault::No("[CANNOT] Not a name for a folder".into())) }
}

/// Whether a name fits a pattern in which `*` stands for anything and `%` for anything without a `/`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // `reach[n]`: the pattern so far can end in front of the name's n-th byte.
    let mut reach = vec![false; name.len() + 1];
    reach[0] = true;
    for &byte in pattern {
        let mut next = vec![false; name.len() + 1];
        match byte {
            b'*' | b'%' => {
                let mut open = false;
                for at in 0..=name.len() {
                    open = reach[at] || (open && (byte == b'*' || name[at - 1] != b'/'));
                    next[at] = open;
                }
            }
            _ => {
                for at in 0..name.len() {
                    next[at + 1] = reach[at] && name[at] == byte;
                }
            }
        }
        reach = next;
    }
    reach[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_with_and_without_the_separator() {
        for (pattern, name, wanted) in [
            ("*", "a/b", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("%/%", "a/b", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/c", false),
            ("a", "ab", false),
            ("*b*", "ab", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
    }
}
