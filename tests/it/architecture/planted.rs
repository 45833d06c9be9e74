//! The checker, checked: planted violations are found, innocent look-alikes are not.

use super::rules::{Violation, arrows, confinement, files, map};
use super::source::Source;

fn house(files: &[(&str, &str)]) -> Vec<Source> {
    let mut sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    Source::mark_tests(&mut sources);
    sources
}

fn said(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}

fn arrows_of(path: &str, text: &str) -> Vec<String> {
    said(&arrows(&house(&[(path, text)])))
}

fn confined_of(path: &str, text: &str) -> Vec<String> {
    said(&confinement(&house(&[(path, text)])))
}

#[test]
fn an_arrow_upwards_is_found_however_it_is_written() {
    for text in [
        "use crate::api::Answer;",
        "use crate::{domain::time::Timestamp, api};",
        "use crate::{\n    domain::{a, b},\n    api::{c, d},\n};",
        "fn f() -> crate::api::Answer { todo() }",
        "use super::super::api;",
        "fn f<'a>(c: char) { if c == '\"' { crate::api::g(\"\\\"\") } }",
        "const A: &str = r#\"\"#; use crate::api;",
        "#[cfg(not(test))]\nuse crate::api;",
        "#[cfg(test)]\nmod tests {}\nuse crate::api;",
        "#[cfg(test)]\nuse crate::demo::{a, b};\nuse crate::api;",
        "struct S {\n    #[cfg(test)]\n    hook: fn(u8, [u8; 4]),\n    real: crate::api::T,\n}",
    ] {
        let found = arrows_of("send/gate.rs", text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains("`send` may not use `api`"), "{}", found[0]);
    }
    assert!(arrows_of("send/gate.rs", "\n\nuse crate::api;")[0].starts_with("  src/send/gate.rs:3: "));
    assert_eq!(arrows_of("send/mod.rs", "use super::sync::Source;").len(), 1);
    assert_eq!(arrows_of("main.rs", "fn main() { postroom::store::open(); }").len(), 1);
    assert_eq!(arrows_of("store/mod.rs", "use crate::*;").len(), 1);
    assert_eq!(arrows_of("cellar/mod.rs", "").len(), 1, "an unknown room needs a row");
}

#[test]
fn downward_arrows_and_mere_mentions_are_left_alone() {
    for text in [
        "use crate::store::Store;\nuse crate::send::gate;",
        "// use crate::api;\n/* crate::api /* nested crate::api */ crate::api */",
        "//! See [`crate::api::Answer`].",
        "const A: &str = \"crate::api\"; const B: &str = r#\"\"crate::api\"#; const C: u8 = b'\"';",
        "pub(crate) fn f() {}",
        "#[cfg(test)]\nmod tests {\n    use crate::api;\n    fn f() { \"}\"; crate::demo::g() }\n}",
        "#[cfg(all(test, unix))]\n#[allow(dead_code)]\nfn f<A, B>() { crate::api::g() }",
        "#[cfg(test)]\nuse crate::{api, demo};\n",
        "use super::api;",
        "mod tests { use super::super::gate::api; }",
    ] {
        let found = arrows_of("send/gate.rs", text);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn files_of_tests_may_use_whom_they_like() {
    let tests = [
        ("store/mod.rs", "#[cfg(test)]\nmod powercut;\nmod query;"),
        ("store/powercut.rs", "use crate::api;"),
        ("store/powercut/disk.rs", "use crate::api;"),
        ("net/dial.rs", "#[cfg(test)]\n#[path = \"rig.rs\"]\nmod tests;"),
        ("net/rig.rs", "use crate::api;"),
        ("net/dial_tests.rs", "use crate::api;"),
    ];
    assert!(arrows(&house(&tests)).is_empty());
    let product = [tests[0], ("store/query.rs", "use crate::api;")];
    assert_eq!(arrows(&house(&product)).len(), 1);
}

#[test]
fn a_crate_outside_its_room_is_found() {
    assert_eq!(confined_of("api/list.rs", "use redb::Database;\nfn f(t: redb::Table) {}").len(), 2);
    assert_eq!(confined_of("api/list.rs", "use ::redb as r;").len(), 1);
    assert_eq!(confined_of("mime/parse.rs", "use lettre::Message;").len(), 1);
    assert_eq!(confined_of("send/gate.rs", "use actix_web::web;").len(), 1);
    assert_eq!(confined_of("cli/get.rs", "reqwest::Client::new()").len(), 1);
    assert_eq!(confined_of("mailserver/x.rs", "use ::imap::Session; mod imap;").len(), 1);
    for (path, text) in [
        ("store/a.rs", "use redb::Database;"),
        ("api/list.rs", "fn redb_like() {} // redb::Database"),
        ("connect/smtp/data.rs", "use lettre::Message;"),
        ("connect/smtp.rs", "use lettre::Message;"),
        ("mime/compose_parts.rs", "use lettre::Message;"),
        ("api/list.rs", "use actix_web::web;"),
        ("mailserver/mod.rs", "mod imap;\nfn f() { imap::serve() }"),
        ("mailserver/x.rs", "use super::{imap, smtp};\nfn f() { imap::serve() }"),
        ("mailserver/x.rs", "use super::imap::Session;"),
        ("mailserver/x.rs", "use crate::mailserver::imap;\nfn f() { imap::serve() }"),
    ] {
        let found = confined_of(path, text);
        assert!(found.is_empty(), "{path}: {text}: {found:?}");
    }
}

#[test]
fn the_imap_crate_lives_in_one_file_of_each_room() {
    let one = [("connect/a.rs", "use imap::Session;"), ("sync/a.rs", "imap::x();\nimap::y();")];
    assert!(confinement(&house(&one)).is_empty());
    let two = [one[0], ("connect/b.rs", "use imap::Client;")];
    let found = said(&confinement(&house(&two)));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("src/connect/b.rs:1") && found[0].contains("already in src/connect/a.rs"), "{found:?}");
}

#[test]
fn clocks_sockets_unsafe_and_unfinished_code_are_found() {
    for text in [
        "let now = std::time::SystemTime::now();",
        "let now = jiff::Timestamp::now();",
        "let now = chrono::Utc::now();",
        "let s = tokio::net::TcpStream::connect(a).await;",
        "let s = std::net::TcpStream::connect_timeout(a, b);",
        "let s = TcpSocket::new_v4();",
        "let s = UdpSocket::bind(a);",
        "let a = tokio::net::lookup_host(h);",
        "unsafe { f() }",
        "todo!()",
        "unimplemented!(\"later\")",
    ] {
        assert_eq!(confined_of("send/x.rs", text).len(), 1, "{text}");
    }
    for text in ["let now = clock.now();", "let now = Instant::now();", "#![forbid(unsafe_code)]", "let todo = 1;"] {
        assert!(confined_of("send/x.rs", text).is_empty(), "{text}");
    }
    assert!(confined_of("runtime/clock.rs", "SystemTime::now()").is_empty());
    assert!(confined_of("net/dial.rs", "TcpStream::connect(a)").is_empty());
    assert_eq!(confined_of("store/x.rs", "TcpStream::connect(a)").len(), 1);
}

#[test]
fn long_files_and_empty_names_are_found() {
    let long = "\n".repeat(601);
    let sources = house(&[("api/a.rs", &long), ("api/utils.rs", ""), ("misc/a.rs", ""), ("api/types/mod.rs", "")]);
    assert_eq!(files(&sources).len(), 4);
    assert!(files(&house(&[("api/a.rs", &long[1..]), ("api/user_types.rs", "")])).is_empty());
}

#[test]
fn a_room_missing_from_the_map_is_found() {
    let lib = "//! ```text\n//! net/   the door\n//! app.rs  composition root\n//! ```";
    let sources = house(&[("app.rs", ""), ("lib.rs", lib), ("net/a.rs", ""), ("store/a.rs", ""), ("store/b.rs", "")]);
    let found = said(&map(&sources, lib));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("`store` is not on the map"), "{found:?}");
}
