//! A Dovecot 2.3 of one's own: users, folders, both kinds of TLS, and `doveadm` to look at it and to change it.

use super::authority::{Authority, Certificate};
use super::process::{Peer, current_user, find, free_port, is_root, name_of, open_folder, run, try_run};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How messages lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    Maildir,
    /// Many messages per file: quicker for tens of thousands of them.
    Mdbox,
}

/// What the server says it can do, as far as a client that looks for changes is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offers {
    /// QRESYNC and CONDSTORE (RFC 7162), as Dovecot does by itself.
    Qresync,
    /// CONDSTORE alone.
    Condstore,
    /// Neither, nor ENABLE, MOVE, UIDPLUS or anything else that came after `IMAP4rev1`.
    Plain,
}

/// What the server writes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    None,
    /// What is said after the log-ins, for [`Dovecot::heard`] and [`Dovecot::said`].
    Conversations,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Login (a full address) and password.
    pub users: Vec<(String, String)>,
    pub storage: Storage,
    /// Whether LOGIN is possible without TLS. If not, the server listens on 127.0.0.2, as Dovecot takes a client
    /// from its own address for a secure one.
    pub plaintext_login: bool,
    pub certificate: Certificate,
    /// A folder `Sent` with the special use `\Sent`, that exists from the start.
    pub sent_folder: bool,
    /// Whether saved mail survives a power cut; no matter for tests, much for speed.
    pub fsync: bool,
    /// Dovecot answers also what it does not offer; [`Dovecot::heard`] tells whether somebody asked.
    pub offers: Offers,
    pub notes: Notes,
    /// Further lines of configuration, for instance `mail_max_userip_connections = 2` inside `protocol imap { }`.
    pub extra: String,
}

impl Default for Options {
    /// Ann and Bob at `mail.test`, Maildir, plaintext logins allowed, a good certificate, a sent folder, no fsync.
    fn default() -> Self {
        let user = |name: &str| (format!("{name}@mail.test"), format!("{name}'s secret"));
        Self {
            users: vec![user("ann"), user("bob")],
            storage: Storage::Maildir,
            plaintext_login: true,
            certificate: Certificate::Good,
            sent_folder: true,
            fsync: false,
            offers: Offers::Qresync,
            notes: Notes::None,
            extra: String::new(),
        }
    }
}

pub struct Dovecot {
    // First, so that the processes end before their folder goes.
    peer: Peer,
    /// The authority of the server's certificate (unless that is untrusted).
    pub authority: Authority,
    /// The same in a PEM file, for `extra_ca_file`.
    pub authority_file: PathBuf,
    /// Plain, with STARTTLS.
    pub imap: SocketAddr,
    /// TLS from the first byte.
    pub imaps: SocketAddr,
    config: PathBuf,
    doveadm: PathBuf,
    _folder: TempDir,
}

/// A message as `doveadm` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub uid: u32,
    pub message_id: String,
    pub subject: String,
    /// `\Seen` and the like, separated by spaces.
    pub flags: String,
}

/// What a folder says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub messages: u32,
    pub uid_next: u32,
    pub uid_validity: u32,
}

impl Dovecot {
    /// `None` if Dovecot is missing and may be.
    pub fn start(options: &Options) -> Option<Self> {
        let (dovecot, doveadm) = (find("dovecot")?, find("doveadm")?);
        for _ in 0..5 {
            if let Some(started) = Self::try_start(&dovecot, &doveadm, options) {
                return Some(started);
            }
        }
        panic!("five times another program took Dovecot's port");
    }

    /// `None` if another program took a port meanwhile.
    fn try_start(dovecot: &Path, doveadm: &Path, options: &Options) -> Option<Self> {
        let folder = open_folder();
        let at = folder.path();
        let (mail, users) = (at.join("mail"), at.join("users"));
        let authority = Authority::new();
        let issued = authority.issue(options.certificate);
        let lines: Vec<String> =
            options.users.iter().map(|(name, secret)| format!("{name}:{{PLAIN}}{secret}\n")).collect();
        for line in &lines {
            assert!(line.matches(':').count() == 1, "a colon separates the fields of Dovecot's user file: {line}");
        }
        fs::create_dir(&mail).expect("a folder for mail");
        fs::write(&users, lines.concat()).expect("the users");
        fs::write(at.join("certificate.pem"), issued.certificate).expect("the certificate");
        fs::write(at.join("key.pem"), issued.key).expect("the key");
        let authority_file = at.join("authority.pem");
        authority.write(&authority_file);
        let (uid, gid) = account();
        let heard = at.join("heard");
        fs::create_dir(&heard).expect("a folder for what is heard");
        if is_root() {
            for folder in [&mail, &heard] {
                chown(folder, Some(uid), Some(gid)).expect("root may give files away");
            }
        }

        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, if options.plaintext_login { 1 } else { 2 }));
        let (imap, imaps) = (SocketAddr::new(ip, free_port()), SocketAddr::new(ip, free_port()));
        let config = at.join("dovecot.conf");
        fs::write(&config, configuration(at, options, imap, imaps)).expect("the configuration");
        let arguments = ["-F", "-c", config.to_str().expect("a path in UTF-8")];
        let mut peer = Peer::spawn("dovecot", dovecot, &arguments, at);
        if !(peer.listens(imap) && peer.listens(imaps)) {
            assert!(peer.lost_its_port(), "Dovecot does not start:\n{}", peer.log());
            return None;
        }
        let doveadm = doveadm.to_owned();
        Some(Self { peer, authority, authority_file, imap, imaps, config, doveadm, _folder: folder })
    }

    /// What to configure as the host: a name of the certificate that leads to this server.
    pub fn host(&self) -> String {
        if self.imap.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            "localhost".to_owned()
        } else {
            self.imap.ip().to_string()
        }
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.peer.log()
    }

    /// Everything that clients said after their log-ins, under [`Notes::Conversations`]; in no order of sessions.
    pub fn heard(&self) -> String {
        self.rawlogs("in")
    }

    /// How many octets clients were told after their log-ins, under [`Notes::Conversations`].
    pub fn said(&self) -> usize {
        self.rawlogs("out").len()
    }

    fn rawlogs(&self, direction: &str) -> String {
        let folder = self.config.with_file_name("heard");
        let files = fs::read_dir(folder).expect("what was heard").flatten().map(|entry| entry.path());
        let wanted = files.filter(|path| path.extension().is_some_and(|extension| extension == direction));
        wanted.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()).collect()
    }

    /// Runs `doveadm`; gives what it printed. Fails the test if it fails.
    pub fn doveadm(&self, arguments: &[&str]) -> String {
        self.doveadm_with(arguments, b"")
    }

    /// The same for what may be refused, with an input; what it printed, or what it complained of.
    pub fn try_doveadm(&self, arguments: &[&str], input: &[u8]) -> Result<String, String> {
        let mut all = vec!["-c", self.config.to_str().expect("a path in UTF-8")];
        all.extend(arguments);
        try_run(&self.doveadm, &all, input)
    }

    fn doveadm_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut all = vec!["-c", self.config.to_str().expect("a path in UTF-8")];
        all.extend(arguments);
        run(&self.doveadm, &all, input)
    }

    /// Puts a message into a folder (which must exist), as it is.
    pub fn append(&self, user: &str, folder: &str, raw: &[u8]) {
        self.doveadm_with(&["save", "-u", user, "-m", folder], raw);
    }

    pub fn create_folder(&self, user: &str, folder: &str) {
        self.doveadm(&["mailbox", "create", "-u", user, folder]);
    }

    pub fn status(&self, user: &str, folder: &str) -> Status {
        let answer =
            self.doveadm(&["-f", "flow", "mailbox", "status", "-u", user, "messages uidnext uidvalidity", folder]);
        let number = |key: &str| -> u32 {
            let value = answer.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            value.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no {key} in {answer:?}"))
        };
        Status { messages: number("messages"), uid_next: number("uidnext"), uid_validity: number("uidvalidity") }
    }

    pub fn count(&self, user: &str, folder: &str) -> u32 {
        self.status(user, folder).messages
    }

    /// Every message of a folder, in order of UID.
    pub fn list(&self, user: &str, folder: &str) -> Vec<Listed> {
        let fields = "uid hdr.message-id hdr.subject flags";
        let table = self.doveadm(&["-f", "tab", "fetch", "-u", user, fields, "mailbox", folder, "all"]);
        let rows = table.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
        rows.map(|row| match row[..] {
            [uid, message_id, subject, flags] => Listed {
                uid: uid.parse().expect("a number"),
                message_id: message_id.to_owned(),
                subject: subject.to_owned(),
                flags: flags.to_owned(),
            },
            _ => panic!("not four fields: {row:?}"),
        })
        .collect()
    }

    /// One message as it lies in the folder, with the line ends that Dovecot prints (LF).
    pub fn raw(&self, user: &str, folder: &str, uid: u32) -> String {
        let uid = uid.to_string();
        let text = self.doveadm(&["fetch", "-u", user, "text", "mailbox", folder, "uid", &uid]);
        text.strip_prefix("text:\n").map_or(text.clone(), Into::into)
    }

    /// Removes the messages that a search finds: `&["uid", "3"]`, `&["all"]`, `&["subject", "x"]`.
    pub fn expunge(&self, user: &str, folder: &str, search: &[&str]) {
        let mut arguments = vec!["expunge", "-u", user, "mailbox", folder];
        arguments.extend(search);
        self.doveadm(&arguments);
    }

    pub fn add_flags(&self, user: &str, folder: &str, uid: u32, flags: &str) {
        let uid = uid.to_string();
        self.doveadm(&["flags", "add", "-u", user, flags, "mailbox", folder, "uid", &uid]);
    }

    pub fn set_uid_validity(&self, user: &str, folder: &str, value: u32) {
        let value = value.to_string();
        self.doveadm(&["mailbox", "update", "-u", user, "--uid-validity", &value, folder]);
    }

    /// Ends every session of a user, as a restarting server would.
    pub fn kick(&self, user: &str) {
        // Nobody to kick is no failure of the test.
        let _ = std::process::Command::new(&self.doveadm).arg("-c").arg(&self.config).args(["kick", user]).output();
    }
}

/// Whom the server's processes run as: nobody where root starts them, else whoever runs the tests.
fn account() -> (u32, u32) {
    const NOBODY: u32 = 65534;
    if is_root() { (NOBODY, NOBODY) } else { current_user() }
}

fn configuration(at: &Path, options: &Options, imap: SocketAddr, imaps: SocketAddr) -> String {
    let (uid, gid) = account();
    let user = name_of("/etc/passwd", uid).unwrap_or_else(|| panic!("user {uid} has no name in /etc/passwd"));
    let group = name_of("/etc/group", gid).unwrap_or_else(|| panic!("group {gid} has no name in /etc/group"));
    let at = at.to_str().expect("a path in UTF-8");
    let storage = match options.storage {
        Storage::Maildir => "maildir",
        Storage::Mdbox => "mdbox",
    };
    let sent =
        if options.sent_folder { "mailbox Sent {\n    special_use = \\Sent\n    auto = subscribe\n  }" } else { "" };
    let fsync = if options.fsync { "optimized" } else { "never" };
    let disable_plaintext = if options.plaintext_login { "no" } else { "yes" };
    let offers = match options.offers {
        Offers::Qresync => String::new(),
        Offers::Condstore => {
            "imap_capability = IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE UIDPLUS MOVE LIST-EXTENDED SPECIAL-USE CONDSTORE"
                .to_owned()
        }
        Offers::Plain => "imap_capability = IMAP4rev1 LITERAL+".to_owned(),
    };
    let heard = if options.notes == Notes::Conversations { format!("rawlog_dir = {at}/heard") } else { String::new() };
    let (ip, port, tls_port, extra) = (imap.ip(), imap.port(), imaps.port(), &options.extra);
    format!(
        "base_dir = {at}/run
state_dir = {at}/run
log_path = /dev/stderr
protocols = imap
listen = {ip}
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
first_valid_uid = 1
first_valid_gid = 1
ssl = yes
ssl_cert = <{at}/certificate.pem
ssl_key = <{at}/key.pem
disable_plaintext_auth = {disable_plaintext}
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = {storage}:~/mail
mail_fsync = {fsync}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {at}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={at}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  {sent}
}}
service anvil {{
  chroot =
  # Else each wrong password makes the next login wait.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
protocol imap {{
  {heard}
}}
{offers}
{extra}
"
    )
}
