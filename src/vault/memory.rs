//! What this process holds in memory stays there.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Has no core file written of this process, or of one that it starts: opened secrets and the master key would be in it.
/// A system that refuses this is not an error: the limit was lower then, or there are no core files.
pub fn write_no_core_file() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
}
