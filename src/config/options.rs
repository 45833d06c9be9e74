//! Every option of the configuration, declared once.
//!
//! `options!` makes of each declaration a field of its room's struct, its default, and a row of [`OPTIONS`], from which
//! reading, checking, showing and documenting are driven. A field's doc is the option's description for users.

use super::setting::{ByteSize, Found, LogFormat, LogLevel, PublicUrl, Setting};
use crate::domain::retention::Retention;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// One option, as the table [`OPTIONS`] knows it.
pub struct Opt {
    /// Its key in the file, with the table's name in front (`send.workers`).
    pub path: &'static str,
    /// What it does, for people.
    pub about: &'static [&'static str],
    /// What is allowed, to be read after "allowed is".
    pub allowed: fn() -> String,
    /// Its value in a configuration as one would write it, without quotes; empty if it is left open.
    pub show: fn(&Config) -> String,
    /// Takes a found value over; `false` if it is not allowed.
    pub(super) take: fn(&mut Config, &Found) -> bool,
}

impl Opt {
    /// Its environment variable (`POSTROOM_SEND_WORKERS`).
    pub fn variable(&self) -> String {
        format!("POSTROOM_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// Its name as a systemd credential (`send-workers`).
    pub fn credential(&self) -> String {
        self.path.replace(['.', '_'], "-")
    }

    /// Its flag, for messages (`--send-workers`); which options have one is up to the command line.
    pub fn flag(&self) -> String {
        format!("--{}", self.credential())
    }

    pub fn default(&self) -> String {
        (self.show)(&Config::default())
    }
}

macro_rules! options {
    ($(
        $(#[doc = $about:literal])+
        $section:ident ($prefix:literal) $name:ident {
            $( $(#[doc = $help:literal])+ $field:ident : $kind:ty = $default:expr $(, in $range:expr)? ; )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name {
                $( $(#[doc = $help])+ pub $field: $kind, )+
            }

            impl Default for $name {
                fn default() -> Self {
                    Self { $( $field: $default, )+ }
                }
            }
        )+

        /// The whole configuration, a struct per room. `Config::default()` is what an empty configuration gives.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            $( $(#[doc = $about])+ pub $section: $name, )+
        }

        /// Every option, in the order in which a configuration file lists them.
        pub static OPTIONS: &[Opt] = &[ $( $(
            Opt {
                path: concat!($prefix, stringify!($field)),
                about: &[$($help),+],
                allowed: || {
                    #[allow(unused_mut, reason = "not every option has a range")]
                    let mut text = <$kind as Setting>::ALLOWED.to_owned();
                    $( text += &format!(", from {} to {}", $range.start().show(), $range.end().show()); )?
                    text
                },
                show: |config| config.$section.$field.show(),
                take: |config, found| {
                    let Some(value) = <$kind as Setting>::read(found) else { return false };
                    $( if !$range.contains(&value) { return false; } )?
                    config.$section.$field = value;
                    true
                },
            },
        )+ )+ ];
    };
}

const DAY: Duration = Duration::from_hours(24);

options! {
    /// Where this instance keeps its things. What is left open is decided by [`super::Places`].
    places ("") PlaceOptions {
        /// The directory of the store. Left open: /var/lib/postroom for the installed package, else
        /// `$XDG_STATE_HOME/postroom`.
        data_dir: Option<PathBuf> = None;
        /// The unix socket for the command line. Left open: /run/postroom/api.sock for the installed package, else
        /// api.sock in the data directory.
        socket: Option<PathBuf> = None;
        /// The file with the master key; never inside the data directory. Left open: the systemd credential
        /// master-key, /etc/postroom/master.key for the installed package, else `$XDG_CONFIG_HOME/postroom/master.key`.
        master_key_file: Option<PathBuf> = None;
    }

    /// The web server.
    server ("") ServerConfig {
        /// The address and port that the API is served on; port 0 takes any free one.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8025));
        /// The address under which recipients and integrators reach this server; links in mails start with it.
        public_url: Option<PublicUrl> = None;
        /// How many threads do the work; 0 means one per processor core.
        threads: u32 = 0, in 0..=256;
        /// The largest attachment that can be uploaded, and the most that the attachments of a mailing have together.
        attachment_size: ByteSize = ByteSize::mib(25), in ByteSize::mib(1)..=ByteSize::mib(100);
        /// How many API requests a user may make in an hour; what is left is in the headers of every answer.
        requests_per_hour: u32 = 1_000_000, in 1..=1_000_000_000;
    }

    /// Connections to the outside.
    net ("") NetConfig {
        /// A PEM file with certificate authorities to trust beside the system's.
        extra_ca_file: Option<PathBuf> = None;
        /// Whether every mailbox may use servers on loopback and private addresses, not only those whose host an
        /// administrator set. Ports other than the mail ports always need an administrator.
        allow_private_hosts: bool = false;
        /// Whether mail and passwords may go over the internet unencrypted to a server that offers no STARTTLS.
        allow_plaintext: bool = false;
    }

    /// Sending.
    send ("send.") SendConfig {
        /// How many mailings are being delivered at the same time. Beside them up to three times as many may wait for
        /// servers that are slow.
        workers: u32 = 64, in 1..=1024;
        /// A delivery that takes longer than this no longer counts among the workers, so that slow servers hold up nobody
        /// else.
        slow_after: Duration = Duration::from_mins(1), in Duration::from_secs(1)..=Duration::from_hours(1);
        /// How long past its time a mailing may wait before it fails as expired.
        expire_after: Duration = 7 * DAY, in Duration::from_hours(1)..=366 * DAY;
        /// How many connections one mailbox may have to its server at the same time.
        connections_per_mailbox: u32 = 4, in 1..=50;
        /// How many mailings are being delivered to one server at the same time, over all mailboxes; fewer than
        /// workers, or one slow server holds up all others.
        connections_per_host: u32 = 32, in 1..=1024;
        /// After how many mailings a connection is closed.
        deliveries_per_connection: u32 = 100, in 1..=10_000;
        /// How long a connection is kept open for the next mailing.
        idle: Duration = Duration::from_secs(30), in Duration::from_secs(1)..=Duration::from_mins(5);
        /// A directory with DKIM keys in PEM, RSA (2048 bits or more) or Ed25519, each in a file named like its DNS
        /// record: SELECTOR._domainkey.DOMAIN.pem. Mail from a domain with a key is signed; `postroom dkim` prints the
        /// records. Left open: nothing is signed.
        dkim_keys: Option<PathBuf> = None;
    }

    /// Fetching mail.
    sync ("sync.") SyncConfig {
        /// How many mailboxes are being synced at the same time.
        workers: u32 = 16, in 1..=256;
        /// How far the first sync of a mailbox reaches back.
        first_sync: Duration = 365 * DAY, in DAY..=36_500 * DAY;
        /// How long a message is kept after it was received. Left open: for ever.
        keep_messages: Option<Duration> = None, in Some(7 * DAY)..=Some(36_500 * DAY);
        /// How long the octets of a message are kept after it was received; later they come from the server when somebody
        /// wants them. Left open: for ever.
        keep_bodies: Option<Duration> = None, in Some(7 * DAY)..=Some(36_500 * DAY);
        /// How many octets of messages are kept, as they were sent; beyond that the oldest go, as with `keep_bodies`. Left
        /// open: all.
        keep_octets: Option<ByteSize> = None, in Some(ByteSize::mib(16))..=Some(ByteSize::mib(1 << 30));
        /// How long a message is kept that its server has no longer.
        keep_deleted: Duration = 30 * DAY, in DAY..=36_500 * DAY;
        /// A message that is larger is stored without its body.
        message_size: ByteSize = ByteSize::mib(25), in ByteSize::mib(1)..=ByteSize::mib(256);
        /// How many IMAP connections one server has to bear at the same time, whatever they are for.
        connections_per_host: u32 = 64, in 1..=1024;
        /// The same for one user name at a server; other mail programs of the account count there too.
        connections_per_login: u32 = 3, in 1..=15;
        /// How many inboxes are watched for new mail at the same time (IMAP IDLE), those of active owners first; 0 = none.
        idle: u32 = 16, in 0..=1000;
    }

    /// The store.
    store ("store.") StoreConfig {
        /// How much memory caches the store's pages.
        cache: ByteSize = ByteSize::mib(8), in ByteSize::mib(1)..=ByteSize::mib(4096);
        /// How much of the disk stays free: below that nothing new is taken in, sent or synced, and what was begun can
        /// still be recorded.
        free_space: ByteSize = ByteSize::mib(64), in ByteSize::mib(1)..=ByteSize::mib(1 << 20);
        /// How long what happened stays in the event log.
        keep_events: Duration = 30 * DAY, in DAY..=36_500 * DAY;
        /// How many events the log holds at most.
        events: u32 = 1_000_000, in 10_000..=100_000_000;
    }

    /// Logging.
    log ("log.") LogConfig {
        /// How log lines are written to standard error.
        format: LogFormat = LogFormat::Text;
        /// The least important lines that are written.
        level: LogLevel = LogLevel::Info;
    }
}

impl SyncConfig {
    /// What becomes of messages with time.
    pub fn retention(&self) -> Retention {
        Retention { messages: self.keep_messages, bodies: self.keep_bodies, deleted: Some(self.keep_deleted) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::setting::Raw;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_option_has_names_of_its_own_a_description_and_a_default_that_it_accepts() {
        let mut names = BTreeSet::new();
        for option in OPTIONS {
            assert!(names.insert(option.variable()), "{} is there once", option.path);
            assert!(!option.about.is_empty() && !(option.allowed)().is_empty());
            let default = option.default();
            if !default.is_empty() {
                let mut config = Config::default();
                let found = Found { raw: Raw::Text(default.clone()), base: "/".into(), home: None };
                assert!((option.take)(&mut config, &found), "{}: {default}", option.path);
                assert_eq!(config, Config::default());
            }
        }
        for option in OPTIONS {
            assert!(!names.contains(&format!("{}_FILE", option.variable())), "{}: two meanings", option.path);
        }
    }

    #[test]
    fn an_options_names_follow_from_its_path() {
        let option = OPTIONS.iter().find(|option| option.path == "send.expire_after").unwrap();
        assert_eq!(option.variable(), "POSTROOM_SEND_EXPIRE_AFTER");
        assert_eq!(option.credential(), "send-expire-after");
        assert_eq!(option.default(), "7d");
        assert!((option.allowed)().ends_with("from 1h to 366d"), "{}", (option.allowed)());
    }
}
