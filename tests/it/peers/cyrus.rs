//! A Cyrus IMAP server of one's own: the second opinion beside Dovecot, and the stricter one. It runs from a folder into
//! which `tests/run` has unpacked Debian's package, as that cannot be installed beside Dovecot's.

use super::authority::{Authority, Certificate};
use super::process::{Peer, current_user, free_port, is_root, name_of, open_folder, unpacked};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What to configure as the host.
pub const HOST: &str = "localhost";

pub struct Cyrus {
    // First, so that the processes end before their folder goes.
    peer: Peer,
    /// The authority of the server's certificate.
    pub authority: Authority,
    /// The same in a PEM file, for `extra_ca_file`.
    pub authority_file: PathBuf,
    /// Plain, with STARTTLS.
    pub imap: SocketAddr,
    /// TLS from the first byte.
    pub imaps: SocketAddr,
    _folder: TempDir,
}

/// Where the server keeps things; it makes only some of these folders by itself.
const FOLDERS: [&str; 12] = [
    "conf",
    "conf/db",
    "conf/socket",
    "conf/proc",
    "conf/log",
    "conf/msg",
    "conf/user",
    "conf/quota",
    "conf/lock",
    "conf/ptclient",
    "mail",
    "run",
];

impl Cyrus {
    /// Anybody may log in with any password and then has an inbox and a folder `Sent` with the special use `\Sent`.
    /// `None` if Cyrus is missing and may be.
    pub fn start() -> Option<Self> {
        let programs = unpacked("cyrus")?;
        for _ in 0..5 {
            if let Some(started) = Self::try_start(&programs) {
                return Some(started);
            }
        }
        panic!("five times another program took Cyrus's port");
    }

    fn try_start(programs: &Path) -> Option<Self> {
        let folder = open_folder();
        let at = folder.path();
        let authority = Authority::new();
        let issued = authority.issue(Certificate::Good);
        fs::write(at.join("certificate.pem"), issued.certificate).expect("the certificate");
        fs::write(at.join("key.pem"), issued.key).expect("the key");
        let authority_file = at.join("authority.pem");
        authority.write(&authority_file);
        for name in FOLDERS {
            fs::create_dir(at.join(name)).expect("a folder of the server");
        }
        let (imap, imaps) = (local(free_port()), local(free_port()));
        fs::write(at.join("imapd.conf"), configuration(at)).expect("the configuration");
        fs::write(at.join("cyrus.conf"), services(at, programs, imap, imaps)).expect("the services");
        // The server's programs refuse to run as root.
        if is_root() {
            let owned = FOLDERS.iter().copied().chain(["certificate.pem", "key.pem"]);
            for name in owned {
                chown(at.join(name), Some(NOBODY), Some(NOBODY)).expect("root may give files away");
            }
        }
        let path = |name: &str| at.join(name).to_str().expect("a path in UTF-8").to_owned();
        let libraries = format!("LD_LIBRARY_PATH={}", libraries(programs));
        let master = programs.join("usr/lib/cyrus/bin/master");
        let (imapd_conf, cyrus_conf, pid) = (path("imapd.conf"), path("cyrus.conf"), path("run/master.pid"));
        let arguments =
            [&libraries, master.to_str().expect("a path in UTF-8"), "-C", &imapd_conf, "-M", &cyrus_conf, "-p", &pid];
        let mut peer = Peer::spawn("cyrus", Path::new("/usr/bin/env"), &arguments, at);
        if !(peer.listens(imap) && peer.listens(imaps)) {
            assert!(peer.lost_its_port(), "Cyrus does not start:\n{}", peer.log());
            return None;
        }
        Some(Self { peer, authority, authority_file, imap, imaps, _folder: folder })
    }

    /// What the server printed so far; its log proper goes to the system's.
    pub fn log(&self) -> String {
        self.peer.log()
    }
}

const NOBODY: u32 = 65534;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Where the programs find their own libraries, and those that the system does not have.
fn libraries(programs: &Path) -> String {
    let mut folders = Vec::new();
    for base in ["usr/lib", "lib"] {
        let Ok(entries) = fs::read_dir(programs.join(base)) else { continue };
        let architectures = entries.flatten().map(|entry| entry.path());
        folders.extend(architectures.filter(|path| path.to_string_lossy().contains("-linux-")));
    }
    let folders: Vec<_> = folders.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    folders.join(":")
}

fn configuration(at: &Path) -> String {
    let (uid, gid) = if is_root() { (NOBODY, NOBODY) } else { current_user() };
    let user = name_of("/etc/passwd", uid).unwrap_or_else(|| panic!("user {uid} has no name in /etc/passwd"));
    let group = name_of("/etc/group", gid).unwrap_or_else(|| panic!("group {gid} has no name in /etc/group"));
    let at = at.display();
    format!(
        "configdirectory: {at}/conf
defaultpartition: default
partition-default: {at}/mail
admins: root-of-the-tests
cyrus_user: {user}
cyrus_group: {group}
allowplaintext: yes
sasl_mech_list: PLAIN LOGIN
virtdomains: userid
defaultdomain: mail.test
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
autocreate_inbox_folders: Sent
xlist-sent: Sent
skiplist_unsafe: 1
tls_server_cert: {at}/certificate.pem
tls_server_key: {at}/key.pem
tls_session_timeout: 0
"
    )
}

fn services(at: &Path, programs: &Path, imap: SocketAddr, imaps: SocketAddr) -> String {
    let (at, bin) = (at.display(), programs.join("usr/lib/cyrus/bin"));
    let bin = bin.display();
    // -N: no password is checked.
    format!(
        "START {{
  recover cmd=\"{bin}/ctl_cyrusdb -C {at}/imapd.conf -r\"
}}
SERVICES {{
  imap cmd=\"{bin}/imapd -C {at}/imapd.conf -N\" listen=\"{imap}\" prefork=1
  imaps cmd=\"{bin}/imapd -C {at}/imapd.conf -N -s\" listen=\"{imaps}\" prefork=1
}}
EVENTS {{
}}
"
    )
}
