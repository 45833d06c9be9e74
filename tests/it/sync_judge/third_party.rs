//! Who changes the account behind our back, and knows what is in it: `doveadm`, or an IMAP client of the tests' own.
//!
//! Folders are named as people read them. A change that the server refuses, because something is gone by then, is none.

use crate::peers::cyrus::Cyrus;
use crate::peers::dovecot::Dovecot;
use crate::peers::imap_client::{Held, ImapClient, quoted};

pub const ANN: &str = "ann@mail.test";
pub const PASSWORD: &str = "ann's secret";

/// The folders that come and go, as people read them and as IMAP writes them (RFC 3501 section 5.1.3).
pub const NAMES: [(&str, &str); 5] = [
    ("Work", "Work"),
    ("Grüße", "Gr&APwA3w-e"),
    ("R&D", "R&-D"),
    ("2026 Archive", "2026 Archive"),
    ("日本", "&ZeVnLA-"),
];

pub trait ThirdParty {
    /// Every folder that can be opened.
    fn folders(&mut self) -> Vec<String>;
    /// Every message of a folder, in order of UID; nothing if the folder is gone.
    fn messages(&mut self, folder: &str) -> Vec<Held>;
    fn append(&mut self, folder: &str, flags: &str, raw: &[u8]);
    fn flag(&mut self, folder: &str, uid: u32, add: bool, flag: &str);
    fn copy(&mut self, from: &str, uid: u32, to: &str);
    fn moves(&mut self, from: &str, uid: u32, to: &str);
    fn expunge(&mut self, folder: &str, uid: u32);
    fn create(&mut self, folder: &str);
    fn rename(&mut self, from: &str, to: &str);
    fn delete(&mut self, folder: &str);
    /// Gives the folder another UIDVALIDITY.
    fn renumber(&mut self, folder: &str);
}

pub struct Doveadm<'a> {
    dovecot: &'a Dovecot,
    validity: u32,
}

impl<'a> Doveadm<'a> {
    pub fn new(dovecot: &'a Dovecot) -> Self {
        Self { dovecot, validity: 2_000_000_000 }
    }

    fn tries(&self, arguments: &[&str]) {
        // Refused where the folder or the message has gone meanwhile: that is no failure of the test.
        let _ = self.dovecot.try_doveadm(arguments, b"");
    }
}

impl ThirdParty for Doveadm<'_> {
    fn folders(&mut self) -> Vec<String> {
        let listed = self.dovecot.doveadm(&["mailbox", "list", "-u", ANN]);
        listed.lines().map(str::to_owned).collect()
    }

    fn messages(&mut self, folder: &str) -> Vec<Held> {
        if !self.folders().iter().any(|name| name == folder) {
            return Vec::new();
        }
        let listed = self.dovecot.list(ANN, folder).into_iter();
        listed
            .map(|message| {
                let flags: Vec<_> = message.flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
                Held { uid: message.uid, flags: flags.join(" "), message_id: message.message_id }
            })
            .collect()
    }

    fn append(&mut self, folder: &str, flags: &str, raw: &[u8]) {
        let _ = self.dovecot.try_doveadm(&["save", "-u", ANN, "-m", folder], raw);
        if let Some(last) = self.messages(folder).last().filter(|_| !flags.is_empty()) {
            self.flag(folder, last.uid, true, flags);
        }
    }

    fn flag(&mut self, folder: &str, uid: u32, add: bool, flag: &str) {
        let verb = if add { "add" } else { "remove" };
        self.tries(&["flags", verb, "-u", ANN, flag, "mailbox", folder, "uid", &uid.to_string()]);
    }

    fn copy(&mut self, from: &str, uid: u32, to: &str) {
        self.tries(&["copy", "-u", ANN, to, "mailbox", from, "uid", &uid.to_string()]);
    }

    fn moves(&mut self, from: &str, uid: u32, to: &str) {
        self.tries(&["move", "-u", ANN, to, "mailbox", from, "uid", &uid.to_string()]);
    }

    fn expunge(&mut self, folder: &str, uid: u32) {
        self.tries(&["expunge", "-u", ANN, "mailbox", folder, "uid", &uid.to_string()]);
    }

    fn create(&mut self, folder: &str) {
        self.tries(&["mailbox", "create", "-u", ANN, folder]);
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.tries(&["mailbox", "rename", "-u", ANN, from, to]);
    }

    fn delete(&mut self, folder: &str) {
        self.tries(&["mailbox", "delete", "-u", ANN, folder]);
    }

    fn renumber(&mut self, folder: &str) {
        self.validity += 1;
        self.tries(&["mailbox", "update", "-u", ANN, "--uid-validity", &self.validity.to_string(), folder]);
    }
}

pub struct ImapClientParty(ImapClient);

impl ImapClientParty {
    pub fn new(cyrus: &Cyrus) -> Self {
        let mut client = ImapClient::tls(cyrus.imaps, "localhost", cyrus.authority.der()).expect("a connection");
        client.done(&format!("LOGIN {ANN} {}", quoted(PASSWORD))).expect("a log-in");
        Self(client)
    }

    fn wire(folder: &str) -> &str {
        NAMES.iter().find(|(shown, _)| *shown == folder).map_or(folder, |(_, wire)| wire)
    }

    fn tries(&mut self, command: &str) {
        // As above: NO is no failure of the test, a lost connection is.
        self.0.command(command).expect("an answer");
    }

    fn in_folder(&mut self, folder: &str, command: &str) {
        let opened = self.0.command(&format!("SELECT {}", quoted(Self::wire(folder)))).expect("an answer");
        if opened.last().is_some_and(|line| line.starts_with("OK")) {
            self.tries(command);
            // Else the server would count this session among those that must be told of a change.
            self.tries("UNSELECT");
        }
    }
}

impl ThirdParty for ImapClientParty {
    fn folders(&mut self) -> Vec<String> {
        let names = self.0.list().expect("a list").into_iter();
        let shown = |name: String| {
            NAMES.iter().find(|(_, wire)| *wire == name).map_or(name.clone(), |(shown, _)| (*shown).to_owned())
        };
        names.map(shown).collect()
    }

    fn messages(&mut self, folder: &str) -> Vec<Held> {
        if !self.folders().iter().any(|name| name == folder) {
            return Vec::new();
        }
        let held = self.0.messages(Self::wire(folder)).expect("messages");
        self.tries("UNSELECT");
        held
    }

    fn append(&mut self, folder: &str, flags: &str, raw: &[u8]) {
        let _ = self.0.append(Self::wire(folder), flags, raw);
    }

    fn flag(&mut self, folder: &str, uid: u32, add: bool, flag: &str) {
        let sign = if add { '+' } else { '-' };
        self.in_folder(folder, &format!("UID STORE {uid} {sign}FLAGS ({flag})"));
    }

    fn copy(&mut self, from: &str, uid: u32, to: &str) {
        self.in_folder(from, &format!("UID COPY {uid} {}", quoted(Self::wire(to))));
    }

    fn moves(&mut self, from: &str, uid: u32, to: &str) {
        self.in_folder(from, &format!("UID MOVE {uid} {}", quoted(Self::wire(to))));
    }

    fn expunge(&mut self, folder: &str, uid: u32) {
        self.in_folder(folder, &format!("UID STORE {uid} +FLAGS (\\Deleted)"));
        self.in_folder(folder, &format!("UID EXPUNGE {uid}"));
    }

    fn create(&mut self, folder: &str) {
        self.tries(&format!("CREATE {}", quoted(Self::wire(folder))));
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.tries(&format!("RENAME {} {}", quoted(Self::wire(from)), quoted(Self::wire(to))));
    }

    fn delete(&mut self, folder: &str) {
        self.tries(&format!("DELETE {}", quoted(Self::wire(folder))));
    }

    fn renumber(&mut self, folder: &str) {
        if folder == "INBOX" || folder == "Sent" {
            return;
        }
        // As a restore does it: the same messages in a new folder of the same name.
        let wire = quoted(Self::wire(folder));
        self.tries(&format!("RENAME {wire} \"being restored\""));
        self.tries(&format!("CREATE {wire}"));
        self.in_folder("being restored", &format!("UID MOVE 1:* {wire}"));
        self.tries("DELETE \"being restored\"");
    }
}
