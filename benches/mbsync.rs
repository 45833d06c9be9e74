//! isync's mbsync, which pulls one inbox into a Maildir on the same disk, with its syncing of files turned off.

use crate::peers::dovecot::Dovecot;
use crate::peers::process::{find, run};
use crate::support::binary::Home;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub struct Mbsync {
    program: PathBuf,
    home: Home,
}

impl Mbsync {
    /// An empty Maildir, and how to fill it; `None` if mbsync is missing and may be.
    pub fn new(dovecot: &Dovecot, user: &str, password: &str, tls: bool) -> Option<Self> {
        let program = find("mbsync")?;
        let home = Home::new();
        std::fs::create_dir(home.path().join("near")).expect("a folder");
        let config = config(dovecot, user, password, tls, &home.path().join("near"));
        std::fs::write(home.path().join("mbsyncrc"), config).expect("a file");
        Some(Self { program, home })
    }

    /// Syncs once, and how long that took.
    pub fn run(&self) -> Duration {
        let config = self.home.path().join("mbsyncrc");
        let start = Instant::now();
        run(&self.program, &["-q", "-c", config.to_str().expect("a path in UTF-8"), "bench"], b"");
        start.elapsed()
    }

    /// How much of the disk they take, in octets: whole blocks, as the file system counts.
    pub fn octets(&self) -> u64 {
        let inbox = self.home.path().join("near/INBOX");
        let folders =
            ["new", "cur"].into_iter().map(|folder| std::fs::read_dir(inbox.join(folder)).expect("a Maildir"));
        let size =
            |file: std::io::Result<std::fs::DirEntry>| file.and_then(|file| file.metadata()).map_or(0, |it| it.len());
        folders.flatten().map(|file| size(file).next_multiple_of(4096)).sum()
    }

    /// How many messages are there.
    pub fn stored(&self) -> usize {
        let inbox = self.home.path().join("near/INBOX");
        ["new", "cur"].iter().map(|folder| std::fs::read_dir(inbox.join(folder)).expect("a Maildir").count()).sum()
    }
}

fn config(dovecot: &Dovecot, user: &str, password: &str, tls: bool, near: &Path) -> String {
    let (port, kind) = if tls { (dovecot.imaps.port(), "IMAPS") } else { (dovecot.imap.port(), "None") };
    let (host, near) = (dovecot.host(), near.display());
    let authority = dovecot.authority_file.display();
    format!(
        "FSync no

IMAPAccount far
Host {host}
Port {port}
User {user}
Pass {password}
AuthMechs LOGIN
SSLType {kind}
SystemCertificates no
CertificateFile {authority}

IMAPStore far
Account far

MaildirStore near
Path {near}/
Inbox {near}/INBOX

Channel bench
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync PullNew
SyncState *
"
    )
}
