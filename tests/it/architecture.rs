//! The arrows of the house, read out of `src/`: who may use whom, which crate lives where, what a file may look like.
//!
//! [`house`] holds the rules as data, [`source`] reads Rust just well enough (comments, strings and test code are
//! blanked), [`rules`] compares the two. [`planted`] proves that a violation would be found.

mod house;
mod planted;
mod rules;
mod source;

use rules::Violation;
use source::Source;
use std::fmt::Write as _;
use std::path::Path;

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = Source::read_all(&root);
    assert!(sources.len() > 10, "{} holds hardly any source; is this the right folder?", root.display());
    sources
}

fn assert_none(violations: &[Violation]) {
    let mut report = String::new();
    for violation in violations {
        let _ = write!(report, "\n{violation}");
    }
    assert!(violations.is_empty(), "{} violation(s) of design and house rules:{report}", violations.len());
}

#[test]
fn a_room_uses_only_the_rooms_below_it() {
    assert_none(&rules::arrows(&sources()));
}

#[test]
fn crates_sockets_and_the_wall_clock_stay_in_their_rooms() {
    assert_none(&rules::confinement(&sources()));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    assert_none(&rules::files(&sources()));
}

#[test]
fn the_map_in_lib_rs_shows_every_room() {
    let sources = sources();
    let map = sources.iter().find(|source| source.path == "lib.rs").expect("src/lib.rs exists");
    assert_none(&rules::map(&sources, &map.text));
}
