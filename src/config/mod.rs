//! The configuration: where each value comes from, and plain structs, one per room.
//!
//! - `options.rs`: every option, declared once: name, kind, default, range, description. All else is driven from there.
//! - `setting.rs`: the kinds of values, how they are written and read.
//! - `file.rs`: the TOML file; unknown keys are errors that name the nearest known one.
//! - `load.rs`: flag > `POSTROOM_X` > `POSTROOM_X_FILE` > `$CREDENTIALS_DIRECTORY/x` > file > default.
//! - `places.rs`: the data directory, the local socket and the master key of this instance.
//! - `surroundings.rs`: the seam to the machine: variables, files, who is running this.
//!
//! Promises: every problem of a configuration is found at once and told with its place; nothing is written, no file but
//! the configuration's own is read. Uses `domain` for the suggestions, and nothing else of ours.

mod file;
mod load;
mod options;
mod places;
mod setting;
mod surroundings;

pub use load::{ConfigError, Loaded, Origin, Overrides, Problem};
pub use options::{
    Config, LogConfig, NetConfig, OPTIONS, Opt, PlaceOptions, SendConfig, ServerConfig, StoreConfig, SyncConfig,
};
pub use places::{KeyPlace, Places};
pub use setting::{ByteSize, LogFormat, LogLevel, PublicUrl};
pub use surroundings::{Machine, Surroundings};
