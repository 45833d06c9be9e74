use super::*;
use crate::config::{ByteSize, KeyPlace, LogFormat};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// A machine that exists in the test only. By default an ordinary user with a home directory.
struct Fake {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
    root: bool,
}

impl Fake {
    fn user() -> Self {
        let variables = BTreeMap::from([("HOME".to_owned(), "/home/ann".to_owned())]);
        Self { variables, files: BTreeMap::new(), root: false }
    }

    fn root() -> Self {
        Self { root: true, ..Self::user().variable("HOME", "/root") }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// The user's own configuration file.
    fn config(self, text: &str) -> Self {
        self.file("/home/ann/.config/postroom/config.toml", text)
    }

    fn load(&self, flags: &[(&str, &str)]) -> Loaded {
        self.try_load(flags).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_load(&self, flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let mut overrides = Overrides::default();
        for (path, value) in flags {
            overrides.set(path, *value);
        }
        Config::load(&overrides, self)
    }

    fn problems(&self, flags: &[(&str, &str)]) -> Vec<String> {
        self.try_load(flags).unwrap_err().problems.iter().map(ToString::to_string).collect()
    }
}

impl Surroundings for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned().filter(|value| !value.is_empty())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        let text = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        if text.len() as u64 > limit { Err(io::Error::other("too long")) } else { Ok(text.clone()) }
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn is_root(&self) -> bool {
        self.root
    }

    fn current_dir(&self) -> PathBuf {
        "/srv/here".into()
    }
}

#[test]
fn without_any_configuration_the_defaults_hold() {
    let loaded = Fake::user().load(&[]);
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.file, None);
    assert_eq!(loaded.warnings, [""; 0]);
    assert!(OPTIONS.iter().all(|option| loaded.origin(option.path) == Origin::Default));
    assert_eq!(loaded.config.store.cache, ByteSize::mib(8));
}

#[test]
fn each_source_gives_way_to_the_one_that_ranks_above_it() {
    let check = |fake: &Fake, flags: &[(&str, &str)], value: u32, origin: &str| {
        let loaded = fake.load(flags);
        assert_eq!((loaded.config.send.workers, loaded.origin("send.workers").to_string().as_str()), (value, origin));
    };
    let fake = Fake::user();
    check(&fake, &[], 64, "default");
    let fake = fake.config("[send]\nworkers = 1");
    check(&fake, &[], 1, "/home/ann/.config/postroom/config.toml:2");
    let fake = fake.variable("CREDENTIALS_DIRECTORY", "/creds").file("/creds/send-workers", "2\n");
    check(&fake, &[], 2, "/creds/send-workers");
    let fake = fake.variable("POSTROOM_SEND_WORKERS_FILE", "three").file("/srv/here/three", "3\r\n");
    check(&fake, &[], 3, "/srv/here/three (named by POSTROOM_SEND_WORKERS_FILE)");
    let fake = fake.variable("POSTROOM_SEND_WORKERS", "4");
    check(&fake, &[], 4, "POSTROOM_SEND_WORKERS");
    check(&fake, &[("send.workers", "5")], 5, "--send-workers");
}

#[test]
fn a_file_sets_every_kind_of_value() {
    let text = r#"
        listen = "[::1]:9000"
        public_url = "https://mail.example.org/"
        extra_ca_file = "ca.pem"
        allow_private_hosts = true
        send = { expire_after = "3d" }
        sync.message_size = "10MiB"
        [log]
        format = "json"
    "#;
    let config = Fake::user().config(text).load(&[]).config;
    assert_eq!(config.server.listen.to_string(), "[::1]:9000");
    assert_eq!(config.server.public_url.unwrap().as_str(), "https://mail.example.org");
    assert_eq!(config.net.extra_ca_file, Some("/home/ann/.config/postroom/ca.pem".into()), "beside the file");
    assert!(config.net.allow_private_hosts && !config.net.allow_plaintext);
    assert_eq!(config.send.expire_after, Duration::from_hours(72));
    assert_eq!(config.sync.message_size, ByteSize::mib(10));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn all_problems_are_told_at_once_each_with_its_place_what_was_found_and_what_is_allowed() {
    let fake = Fake::user()
        .config("listen = 8025\nlog.level = \"loud\"\n[send]\nworkers = 0\nworker = 5\n")
        .variable("POSTROOM_STORE_CACHE", "lots")
        .variable("POSTROOM_THREADS_FILE", "gone");
    let problems = fake.problems(&[("data_dir", ""), ("lisen", "x")]);
    let file = "/home/ann/.config/postroom/config.toml";
    let expected = [
        format!("{file}:5: send.worker: There is no such option. The nearest one is send.workers."),
        "command line: lisen: There is no such option. The nearest one is listen.".to_owned(),
        "--data-dir: data_dir: Found \"\", allowed is a path.".to_owned(),
        format!(
            "{file}:1: listen: Found the number 8025, allowed is an IP address and a port, such as 127.0.0.1:8025 or \
             [::1]:8025."
        ),
        "/srv/here/gone (named by POSTROOM_THREADS_FILE): threads: The file cannot be read: entity not found.".to_owned(),
        format!("{file}:4: send.workers: Found the number 0, allowed is a whole number, from 1 to 1024."),
        "POSTROOM_STORE_CACHE: store.cache: Found \"lots\", allowed is a size with its unit (B, KiB, MiB or GiB), such \
         as 25MiB, from 1MiB to 4GiB."
            .to_owned(),
        format!("{file}:2: log.level: Found \"loud\", allowed is error, warn, info, debug or trace."),
    ];
    assert_eq!(problems.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
}

#[test]
fn a_configuration_file_that_was_named_must_be_there() {
    let overrides = Overrides { config_file: Some("mine.toml".into()), ..Overrides::default() };
    let error = Config::load(&overrides, &Fake::user()).unwrap_err();
    assert!(error.to_string().starts_with("/srv/here/mine.toml:1: The configuration file cannot be read"), "{error}");
    let fake = Fake::user().variable("POSTROOM_CONFIG", "mine.toml").file("/srv/here/mine.toml", "threads = 3");
    assert_eq!(fake.load(&[]).config.server.threads, 3);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(Fake::user().variable("POSTROOM_PUBLIC_URL", "").load(&[]).config, Config::default());
}

#[test]
fn a_user_keeps_everything_in_the_users_own_directories() {
    let places = Fake::user().load(&[]).places;
    assert_eq!(places.data_dir, Path::new("/home/ann/.local/state/postroom"));
    assert_eq!(places.socket, Path::new("/home/ann/.local/state/postroom/api.sock"));
    assert_eq!(places.master_key, KeyPlace::File("/home/ann/.config/postroom/master.key".into()));
    let moved = Fake::user().variable("XDG_STATE_HOME", "/state").variable("XDG_CONFIG_HOME", "not/absolute");
    let places = moved.load(&[]).places;
    assert_eq!(places.data_dir, Path::new("/state/postroom"));
    assert_eq!(places.master_key.path(), Path::new("/home/ann/.config/postroom/master.key"));
}

#[test]
fn root_beside_an_installed_package_works_on_that_instance_unless_told_otherwise() {
    let installed = |fake: Fake| fake.file("/etc/postroom/config.toml", "");
    let places = installed(Fake::root()).load(&[]).places;
    assert_eq!(places.data_dir, Path::new("/var/lib/postroom"));
    assert_eq!(places.socket, Path::new("/run/postroom/api.sock"));
    assert_eq!(places.master_key.path(), Path::new("/etc/postroom/master.key"));
    // A directory of one's own has a socket and a key of its own: never the package's.
    let other = installed(Fake::root()).load(&[("data_dir", "/tmp/try")]).places;
    assert_eq!(other.socket, Path::new("/tmp/try/api.sock"));
    assert_eq!(other.master_key.path(), Path::new("/root/.config/postroom/master.key"));
    // Without the package, and for others than root, the file in /etc means nothing.
    assert_eq!(Fake::root().load(&[]).places.data_dir, Path::new("/root/.local/state/postroom"));
    assert_eq!(installed(Fake::user()).load(&[]).places.data_dir, Path::new("/home/ann/.local/state/postroom"));
    // The service names the file, runs as a user of its own, and may have its data elsewhere.
    let service = Fake::user().file("/etc/postroom/config.toml", "data_dir = \"/srv/post\"");
    let overrides = Overrides { config_file: Some("/etc/postroom/config.toml".into()), ..Overrides::default() };
    let places = Config::load(&overrides, &service).unwrap().places;
    assert_eq!(places.data_dir, Path::new("/srv/post"));
    assert_eq!(places.socket, Path::new("/run/postroom/api.sock"));
}

#[test]
fn the_master_key_comes_from_the_variable_then_the_credential_then_the_file() {
    let mut fake = Fake::user().config("master_key_file = \"k\"");
    assert_eq!(fake.load(&[]).places.master_key, KeyPlace::File("/home/ann/.config/postroom/k".into()));
    fake = fake.variable("CREDENTIALS_DIRECTORY", "/creds");
    assert_eq!(fake.load(&[]).places.master_key, KeyPlace::File("/home/ann/.config/postroom/k".into()));
    fake = fake.file("/creds/master-key", "…");
    assert_eq!(fake.load(&[]).places.master_key, KeyPlace::Credential("/creds/master-key".into()));
    fake = fake.variable("POSTROOM_MASTER_KEY_FILE", "/keys/post");
    assert_eq!(fake.load(&[]).places.master_key, KeyPlace::File("/keys/post".into()));
}

#[test]
fn without_a_home_the_places_must_be_named() {
    let homeless = || Fake::user().variable("HOME", "");
    let problems = homeless().problems(&[]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("data_dir") && problems[1].contains("master_key_file"));
    homeless().load(&[("data_dir", "d"), ("master_key_file", "k")]);
}

#[test]
fn what_is_allowed_but_dangerous_is_warned_about() {
    let flags = [("listen", "0.0.0.0:80"), ("public_url", "http://a"), ("allow_plaintext", "true")];
    assert_eq!(Fake::user().load(&flags).warnings.len(), 3);
}
