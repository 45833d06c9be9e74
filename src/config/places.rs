//! Where this instance keeps its data, its socket and its master key.

use super::load::Origin;
use super::{PlaceOptions, Surroundings};
use std::path::{Path, PathBuf};

/// The configuration file of the installed package. Root runs that instance where the file is present, and so does the
/// service, whose unit names it.
pub(super) const SYSTEM_CONFIG: &str = "/etc/postroom/config.toml";
const SYSTEM_KEY: &str = "/etc/postroom/master.key";
const SYSTEM_DATA: &str = "/var/lib/postroom";
const SYSTEM_SOCKET: &str = "/run/postroom/api.sock";

/// The places of one instance; absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub data_dir: PathBuf,
    /// The unix socket for the command line.
    pub socket: PathBuf,
    pub master_key: KeyPlace,
}

/// Where the master key is expected, and made if there is no store yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A file: the one that was named, or the package's or the user's own.
    File(PathBuf),
    /// The systemd credential `master-key`: read-only, and readable through an access list.
    Credential(PathBuf),
}

impl KeyPlace {
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }
}

/// The configuration file that is read where none was named.
pub(super) fn default_file(surroundings: &dyn Surroundings) -> Option<PathBuf> {
    let system = Path::new(SYSTEM_CONFIG);
    if surroundings.is_root() && surroundings.exists(system) {
        return Some(system.to_owned());
    }
    let own = user_directory(surroundings, "XDG_CONFIG_HOME", ".config")?.join("config.toml");
    surroundings.exists(&own).then_some(own)
}

/// Decides what the options leave open. Errors: the keys of the options that cannot be decided, because the user has
/// no home directory.
pub(super) fn decide(
    options: &PlaceOptions,
    origin: impl Fn(&str) -> Origin,
    file: Option<&Path>,
    surroundings: &dyn Surroundings,
) -> Result<Places, Vec<&'static str>> {
    // A data directory that was named for this one run makes another instance of it, with a socket and a key of its
    // own, even for root beside the package.
    let moved = matches!(origin("data_dir"), Origin::Flag(_) | Origin::Variable(_) | Origin::VariableFile { .. })
        && options.data_dir.as_deref() != Some(Path::new(SYSTEM_DATA));
    let package = file == Some(Path::new(SYSTEM_CONFIG)) && !moved;
    let own = |variable, fallback| user_directory(surroundings, variable, fallback);

    let data_dir = options
        .data_dir
        .clone()
        .or_else(|| if package { Some(PathBuf::from(SYSTEM_DATA)) } else { own("XDG_STATE_HOME", ".local/state") });
    let socket = options.socket.clone().or_else(|| {
        if package { Some(PathBuf::from(SYSTEM_SOCKET)) } else { data_dir.as_ref().map(|dir| dir.join("api.sock")) }
    });
    let credential = surroundings
        .variable("CREDENTIALS_DIRECTORY")
        .map(|directory| Path::new(&directory).join("master-key"))
        .filter(|path| surroundings.exists(path));
    let default_key = || {
        if package {
            Some(PathBuf::from(SYSTEM_KEY))
        } else {
            own("XDG_CONFIG_HOME", ".config").map(|directory| directory.join("master.key"))
        }
    };
    // The credential ranks between the environment and the file, as credentials do for every option.
    let master_key = match (&options.master_key_file, credential) {
        (Some(_), Some(path)) if matches!(origin("master_key_file"), Origin::File { .. }) => {
            Some(KeyPlace::Credential(path))
        }
        (Some(path), _) => Some(KeyPlace::File(path.clone())),
        (None, Some(path)) => Some(KeyPlace::Credential(path)),
        (None, None) => default_key().map(KeyPlace::File),
    };
    match (data_dir, socket, master_key) {
        (Some(data_dir), Some(socket), Some(master_key)) => Ok(Places { data_dir, socket, master_key }),
        (data_dir, _, master_key) => {
            Err([data_dir.is_none().then_some("data_dir"), master_key.is_none().then_some("master_key_file")]
                .into_iter()
                .flatten()
                .collect())
        }
    }
}

/// The user's own directory for us by the XDG base directory specification, which says to ignore relative paths.
fn user_directory(surroundings: &dyn Surroundings, variable: &str, fallback: &str) -> Option<PathBuf> {
    let absolute = |name| surroundings.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(fallback)))?;
    Some(base.join("postroom"))
}
