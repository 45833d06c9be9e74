//! The command line, as a person and as a script have it: what is printed where, and how it ends.

use super::support::binary::{Finished, Home, finish};
use super::support::server::Server;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn json(finished: &Finished) -> Value {
    serde_json::from_str(finished.ok()).expect("one JSON document")
}

/// A home with an administrator and her token, made without a server.
fn set_up() -> (Home, String) {
    let home = Home::new();
    home.run(&["setup", "--email", "ann@example.org"], "").ok();
    let token = home.run(&["token", "create", "--user", "ann@example.org", "--quiet"], "").ok().to_owned();
    (home, token)
}

/// A file of the home with this content; its path.
fn file(home: &Home, name: &str, content: &str) -> String {
    let path = home.path().join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_fresh_home_is_set_up_without_a_server_and_only_once() {
    let home = Home::new();
    // A directory of the operator's own, open to everybody.
    fs::create_dir_all(home.data()).unwrap();
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let first = home.run(&["setup", "--email", "ann@example.org", "--first-name", "Ann"], "");
    assert!(first.ok().contains("postroom token create --user ann@example.org"), "the next step: {first:#?}");
    assert!(first.stderr.contains("master.key"), "where the key was made: {first:#?}");
    assert!(home.key_file().is_file());

    let again = home.run(&["setup", "--email", "bob@example.org"], "");
    assert!(again.failed(1).contains("ann@example.org"), "{again:#?}");

    let token = home.run(&["token", "create", "--user", "ann@example.org", "--expires", "90d", "--quiet"], "");
    assert!(token.ok().starts_with("prt_") && !token.ok().contains('\n') && token.stderr.is_empty(), "{token:#?}");
    let listed = home.run(&["token", "list"], "");
    assert!(listed.ok().contains("ann@example.org") && !listed.ok().contains(token.ok()), "{listed:#?}");
    assert_eq!(home.run(&["token", "create", "--user", "bob@example.org"], "").code, Some(5));
    assert_eq!(home.run(&["token", "create", "--user", "ann@example.org", "--expires", "soon"], "").code, Some(2));

    // Nothing is left behind but the store, which is nobody else's to read.
    let mode = |name: &str| fs::metadata(home.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("postroom.redb"), 0o600);
    assert_eq!(names(&home.data()), ["postroom.redb"]);
}

#[test]
fn a_name_that_no_mail_can_carry_is_refused_when_it_is_given() {
    let home = Home::new();
    let setup = |first: &str, last: &str| {
        home.run(&["setup", "--email", "ann@example.org", "--first-name", first, "--last-name", last], "")
    };
    let refused = setup("Ann\nBcc: eve@example.org", &"x".repeat(256));
    for name in ["firstName", "lastName"] {
        assert!(refused.failed(1).contains(&format!("/data/attributes/{name}")), "{refused:#?}");
    }
    setup("Ann", "Grüße").ok();
}

#[test]
fn a_verb_that_needs_a_server_says_how_to_start_one() {
    let (home, _) = set_up();
    let refused = home.run(&["mailbox", "list"], "");
    assert!(refused.failed(6).contains("postroom serve") && refused.stdout.is_empty(), "{refused:#?}");
    assert!(home.run(&["health"], "").failed(6).contains("postroom serve"));
    // Nor does one run elsewhere: nothing listens on the discard port.
    let elsewhere = home.run(&["mailbox", "list", "--url", "http://127.0.0.1:9"], "");
    assert!(elsewhere.failed(6).contains("cannot be reached"), "{elsewhere:#?}");
}

#[test]
fn serve_names_its_url_hints_at_the_setup_and_ends_in_order() {
    let home = Home::new();
    let server = Server::start(&home);
    assert!(server.logged("postroom setup --email"), "{}", server.logs());
    home.run(&["setup", "--email", "ann@example.org"], "").ok();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit of core files");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "the key would be in it");
    server.signal("HUP");
    assert!(server.logged("SIGHUP"), "no reason to end");
    assert_eq!(json(&home.run(&["health", "--json"], ""))["status"], "ok");

    let second = Server::refuses(&home, &[]);
    assert!(second.failed(1).contains("Another postroom process holds the store"), "{second:#?}");
    assert_eq!(home.run(&["health"], "").code, Some(0), "the first one is unharmed");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!home.data().join("api.sock").exists());
}

#[test]
fn tokens_made_and_revoked_beside_a_running_server_count_at_once() {
    let (home, token) = set_up();
    let server = Server::start(&home);
    let token = file(&home, "token", &format!("{token}\n"));
    let remote = |arguments: &[&str]| {
        let mut command = home.command(&["--url", &server.url]);
        finish(command.args(arguments), "")
    };
    let identity = json(&remote(&["--token-file", &token, "api", "GET", "/api/v2"]));
    assert_eq!(identity["meta"]["user"]["email"], "ann@example.org");
    assert!(remote(&["mailbox", "list"]).failed(4).contains("--token-file"));
    assert_eq!(remote(&["--as", "ann@example.org", "mailbox", "list"]).code, Some(2));
    assert_eq!(remote(&["health"]).code, Some(0), "needs no token");

    let id = home.run(&["token", "list", "--quiet"], "").ok().to_owned();
    home.run(&["token", "revoke", &id], "").ok();
    assert_eq!(remote(&["--token-file", &token, "mailbox", "list"]).code, Some(4));
    assert_eq!(home.run(&["token", "revoke", &id], "").code, Some(5));
    assert_eq!(home.run(&["token", "list", "--as", "nobody@example.org"], "").code, Some(4));
}

#[test]
fn the_escape_hatch_prints_the_body_and_ends_by_the_status() {
    let (home, _) = set_up();
    let _server = Server::start(&home);
    assert_eq!(json(&home.run(&["api", "get", "/api/v2"], ""))["meta"]["user"]["role"], "admin");
    let missing = home.run(&["api", "GET", "/api/v2/mailboxes/7"], "");
    assert_eq!((missing.code, missing.stdout.contains("\"errors\"")), (Some(5), true), "{missing:#?}");
    assert_eq!(home.run(&["api", "GET", "mailboxes"], "").code, Some(2));
    let body = r#"{"data": {"type": "mailbox", "attributes": {"email": "ann@example.org"}}}"#;
    let created = home.run(&["api", "POST", "/api/v2/mailboxes", "--data", "-"], body);
    assert_eq!(json(&created)["data"]["type"], "mailbox");
    assert_eq!(home.run(&["api", "POST", "/api/v2/mailboxes", "--data", "-"], body).code, Some(1));
}

#[test]
fn a_mailbox_that_cannot_be_reached_is_not_saved_and_the_failing_stage_is_shown() {
    let (home, _) = set_up();
    let _server = Server::start(&home);
    // Nothing listens on the discard port; loopback is reached because an administrator names it.
    let servers = ["--imap-host", "127.0.0.1", "--imap-port", "9", "--smtp-host", "127.0.0.1", "--smtp-port", "9"];
    let add = |further: &[&str], input: &str| {
        let mut arguments = vec!["mailbox", "add", "ann@example.org", "--password-stdin"];
        arguments.extend(servers.iter().chain(further));
        home.run(&arguments, input)
    };
    let refused = add(&[], "hunter2\n");
    let said = refused.failed(1);
    for part in ["✗ tcp", "/data/attributes/smtp", "Nothing was saved", "--no-validate"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(refused.stdout.is_empty() && !said.contains("hunter2"), "{refused:#?}");
    assert_eq!(home.run(&["mailbox", "list", "--quiet"], "").ok(), "");

    let id = add(&["--no-validate", "--quiet"], "hunter2\n").ok().to_owned();
    let tested = home.run(&["mailbox", "test", "ann@example.org", "--send"], "");
    assert!(tested.code == Some(1) && tested.stdout.contains("✗ tcp"), "{tested:#?}");

    let set = ["mailbox", "set", "ann@example.org", "sendThreshold=7", "username=null", "spreadEvenly=true", "--json"];
    let attributes = json(&home.run(&set, ""))["data"]["attributes"].take();
    assert_eq!((&attributes["sendThreshold"], &attributes["spreadEvenly"]), (&7.into(), &true.into()));
    let many = home.run(&["mailbox", "set", &id, "sendThreshold=0", "imapPort=0"], "");
    assert!(many.failed(1).contains("sendThreshold") && many.stderr.contains("imapPort"), "{many:#?}");
    assert!(home.run(&["mailbox", "set", &id, "password=hunter2"], "").failed(2).contains("--secret"));

    let states = |home: &Home| {
        let shown = json(&home.run(&["mailbox", "show", &id, "--json"], ""));
        ["sendState", "syncState"].map(|name| shown["data"]["attributes"][name].as_str().unwrap().to_owned())
    };
    home.run(&["mailbox", "pause", &id, "--send"], "").ok();
    assert_eq!(states(&home)[0], "disabled");
    assert_ne!(states(&home)[1], "disabled");
    home.run(&["mailbox", "resume", &id], "").ok();
    assert_ne!(states(&home)[0], "disabled");

    assert_eq!(home.run(&["mailbox", "rm", &id], "y\n").code, Some(2), "nobody is asked through a pipe");
    home.run(&["mailbox", "rm", &id, "--yes"], "").ok();
    assert_eq!(home.run(&["mailbox", "show", &id], "").code, Some(5));
    assert_eq!(home.run(&["mailbox", "show", "ann@example.org"], "").code, Some(5));
}

#[test]
fn exclusions_are_tried_out_from_the_command_line() {
    let (home, _) = set_up();
    let _server = Server::start(&home);
    let add = ["mailbox", "add", "ann@example.org", "--smtp-host", "127.0.0.1", "--smtp-port", "9", "--no-validate"];
    home.run(&add, "").ok();
    home.run(&["mailbox", "set", "ann@example.org", "prospectEmailExclusions=*@home.example"], "").ok();
    let test = |people: &[&str]| home.run(&[&["mailbox", "test-exclusions", "ann@example.org"], people].concat(), "");
    let told = test(&["mum@home.example", "ann@example.org"]);
    assert!(told.ok().contains("mum@home.example: excluded by *@home.example in the mailbox's list"), "{told:#?}");
    assert!(told.ok().contains("ann@example.org: one of the mailbox's own"), "{told:#?}");
    assert_eq!(test(&["mum@home.example", "--quiet"]).ok(), "excluded");
    assert_eq!(test(&["mum@home.example", "bo@x.example", "--quiet"]).ok(), "stored");
    assert_eq!(json(&test(&["mum@home.example", "--json"]))["meta"]["exclusions"]["excluded"], true);
    assert_eq!(test(&["a@x.example,b@x.example"]).code, Some(2));
    assert!(test(&["nobody"]).failed(1).contains("'nobody' is no address"));
}

#[test]
fn a_mailing_is_queued_shown_and_not_sent_twice_by_looking() {
    let (home, _) = set_up();
    let _server = Server::start(&home);
    let add = ["mailbox", "add", "ann@example.org", "--smtp-host", "127.0.0.1", "--smtp-port", "9", "--no-validate"];
    home.run(&add, "").ok();
    let send = ["send", "--from", "ann@example.org", "--to", "Bob <bob@example.org>", "eve@example.org"];
    let send =
        |further: &[&str]| home.run(&[&send[..], &["--subject", "Grüße", "--text", "-"], further].concat(), "Hello\n");
    let sent = json(&send(&["--at", "2d", "--json"]));
    let attributes = &sent["data"]["attributes"];
    assert_eq!((&attributes["state"], &attributes["subject"]), (&"scheduled".into(), &"Grüße".into()));
    assert_eq!(attributes["to"].as_array().unwrap().len(), 2);
    assert_eq!(send(&["--quiet"]).ok(), "2");
    assert_eq!(send(&["--html", "-"]).code, Some(2), "one standard input for two bodies");
    assert_eq!(
        home.run(&["send", "--from", "bob@example.org", "--to", "a@b.org", "--subject", "x", "--text", "-"], "").code,
        Some(5)
    );
    assert!(home.run(&["message", "list"], "").ok().starts_with("ID"));
    assert_eq!(home.run(&["message", "show", "1"], "").code, Some(5));
}

#[test]
fn a_mailing_is_given_an_opt_out_link_by_a_flag() {
    let (home, _) = set_up();
    let _server = Server::start_with(&home, &["--public-url", "https://mail.example.org"], &[]);
    let add = ["mailbox", "add", "ann@example.org", "--smtp-host", "127.0.0.1", "--smtp-port", "9", "--no-validate"];
    home.run(&add, "").ok();
    let send = |further: &[&str]| {
        let send = ["send", "--from", "ann@example.org", "--subject", "News", "--text", "-", "--at", "2d", "--json"];
        home.run(&[&send[..], further].concat(), "Hello\n")
    };
    let shown = |sent: &Finished| json(sent)["data"]["attributes"]["includeUnsubscribeLink"].clone();
    assert_eq!(shown(&send(&["--to", "bob@example.org", "--unsubscribe"])), true);
    assert_eq!(shown(&send(&["--to", "bob@example.org"])), false);
    let several = send(&["--to", "bob@example.org", "eve@example.org", "--unsubscribe"]);
    assert!(several.failed(1).contains("/data/attributes/to"), "{several:#?}");
}

#[test]
fn the_queue_is_listed_shown_taken_back_and_files_go_with_a_mailing() {
    let (home, _) = set_up();
    let _server = Server::start(&home);
    let add = ["mailbox", "add", "ann@example.org", "--smtp-host", "127.0.0.1", "--smtp-port", "9", "--no-validate"];
    home.run(&add, "").ok();
    home.run(&["mailbox", "pause", "ann@example.org", "--send"], "").ok();
    let report = file(&home, "report.pdf", &"0123456789".repeat(30_000));
    let notes = file(&home, "Grüße.txt", "Grüße");
    let send = ["send", "--from", "ann@example.org", "--to", "bob@example.org", "--subject", "Files", "--text", "-"];
    let sent = json(&home.run(&[&send[..], &["--attach", &report, &notes, "--json"]].concat(), "Hello"));
    assert_eq!(sent["data"]["relationships"]["attachments"]["meta"]["count"], 2);
    let listed = json(&home.run(&["api", "GET", "/api/v2/attachments"], ""));
    let attributes = |number: usize| listed["data"][number]["attributes"].clone();
    assert_eq!((&attributes(0)["filename"], &attributes(0)["size"]), (&"report.pdf".into(), &300_000.into()));
    assert_eq!(
        (&attributes(1)["filename"], &attributes(1)["contentType"]),
        (&"Grüße.txt".into(), &"text/plain".into())
    );
    let missing = home.run(&[&send[..], &["--attach", "nowhere.pdf"]].concat(), "Hello");
    assert!(missing.failed(1).contains("nowhere.pdf cannot be attached"), "{missing:#?}");
    assert!(
        home.run(&["send", "--from", "ann@example.org", "--to", "b@example.org", "--subject", "2", "--text", "-"], "x")
            .code
            == Some(0)
    );

    let queue = home.run(&["queue", "list", "--mailbox", "ann@example.org"], "");
    assert!(queue.ok().contains("bob@example.org") && queue.ok().contains("Files"), "{queue:#?}");
    assert_eq!(home.run(&["queue", "list", "--quiet"], "").ok(), "1\n2");
    assert!(home.run(&["queue", "show", "1"], "").ok().contains("bob@example.org waiting"));
    assert!(home.run(&["queue", "cancel", "1"], "").ok().contains("Mailing 1 is drafted."));
    let partly = home.run(&["queue", "retry", "1", "2", "9"], "");
    assert_eq!(partly.code, Some(3), "{partly:#?}");
    assert!(
        partly.stderr.contains("Mailing 1: Only a failed mailing") && partly.stderr.contains("Mailing 9"),
        "{partly:#?}"
    );
    assert_eq!(home.run(&["queue", "cancel", "9"], "").code, Some(5));
    assert_eq!(home.run(&["queue", "list", "--quiet"], "").ok(), "2");
    assert_eq!(home.run(&["queue", "list", "--state", "drafted", "--quiet"], "").ok(), "1");
    assert_eq!(home.run(&["queue", "list", "--state", "delivered, bounced"], "").ok().lines().count(), 1);
    let misspelt = home.run(&["queue", "list", "--state", "failed,sent"], "");
    assert!(misspelt.code == Some(2) && misspelt.stderr.contains("placeholder, scheduled"), "{misspelt:#?}");
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let home = Home::new();
    for arguments in [&["sevre"][..], &["mailbox"], &["mailbox", "add"], &["help", "nothing"], &["setup"]] {
        let ended = home.run(arguments, "");
        assert!(ended.code == Some(2) && !ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:#?}");
    }
    let ended = home.run(&["send", "--from", "a@x", "--to", "b@x", "--subject", "s"], "");
    assert!(ended.code == Some(2) && ["--html", "--text"].iter().all(|name| ended.stderr.contains(name)), "{ended:#?}");
    let ended = home.run(&["queue", "retry", "abc"], "");
    assert!(ended.code == Some(2) && ended.stderr.contains("is a number, such as 12"), "{ended:#?}");
    let codes = home.run(&["help", "exit-codes"], "");
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "78 "] {
        assert!(codes.ok().lines().any(|line| line.starts_with(code)), "{code}");
    }
    assert!(home.run(&["help", "mailbox", "add"], "").ok().contains("--password-stdin"));
    let version = finish(&mut home.command(&["--version"]), "");
    assert_eq!(version.ok(), concat!("postroom ", env!("CARGO_PKG_VERSION")));
    assert!(names(&home.data()).is_empty() && !home.key_file().exists(), "nothing was made");
}

#[test]
fn a_wrong_key_refuses_every_start_and_changes_nothing() {
    let (home, _) = set_up();
    let (other, _) = set_up();
    let before = home.run(&["token", "list", "--json"], "");
    let key = fs::read(home.key_file()).unwrap();
    let store = fs::read(home.data().join("postroom.redb")).unwrap();
    fs::copy(other.key_file(), home.key_file()).unwrap();
    for ended in [Server::refuses(&home, &[]), home.run(&["token", "list"], "")] {
        assert!(ended.failed(78).contains("key"), "{ended:#?}");
    }
    fs::remove_file(home.key_file()).unwrap();
    let missing = Server::refuses(&home, &[]);
    assert!(missing.failed(78).contains("POSTROOM_MASTER_KEY_FILE"), "{missing:#?}");
    assert!(!home.key_file().exists(), "no key is made for a store that has one");
    assert_eq!(names(&home.data()), ["postroom.redb"]);
    assert!(fs::read(home.data().join("postroom.redb")).unwrap() == store, "the store is the same octet for octet");
    fs::write(home.key_file(), key).unwrap();
    fs::set_permissions(home.key_file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.run(&["token", "list", "--json"], "").ok(), before.ok());
}

#[test]
fn a_mistyped_option_of_the_configuration_is_named_with_the_nearest_one() {
    let home = Home::new();
    home.configure("listem = \"127.0.0.1:0\"\n[send]\nworkers = 0\n");
    for ended in [Server::refuses(&home, &[]), home.run(&["mailbox", "list"], "")] {
        let said = ended.failed(78);
        for part in ["config.toml:1", "listem", "nearest one is listen", "config.toml:3", "send.workers"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert!(names(&home.data()).is_empty() && !home.key_file().exists(), "nothing was made");
    let taken = Home::new();
    let refused = Server::refuses(&taken, &["--public-url", "nonsense"]);
    assert!(refused.failed(78).contains("--public-url"), "{refused:#?}");
}
