use super::scene::{
    ANN, Comes, MESSAGES, OPENING, at, at_each, edit, ends_well, failed, meets, meets_one_with, server, settings,
    settled,
};
use crate::support::instance::Instance;
use postroom::mailserver::{Act, Count, Gate, Options, Point, Rule};

fn raw(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Raw(bytes.into())
}

fn before(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Before(bytes.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_that_are_none_are_told_as_such() {
    let postroom = Instance::start().await;
    for (name, greeting) in [
        ("rubbish", &b"\x16\x03\x01\x02\x00\xff\xfe\0\0\r\n"[..]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
        ("SMTP", b"220 mail.example ESMTP\r\n"),
        ("nothing", b"\r\n"),
        ("NUL", b"* OK\0\0\0hello\r\n* PREAUTH\r\n"),
        ("PREAUTH", b"* PREAUTH welcome back\r\n"),
        ("a tag", b"p1 OK hello\r\n"),
    ] {
        let rule = Rule::new(Point::ImapConnect, Act::Last(greeting.to_vec()));
        meets(&postroom, name, vec![rule], Comes::To("greeting")).await;
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_imap_end_the_sync_at_their_stage() {
    let postroom = Instance::start().await;
    let nested = |what: &str| [b"* 1 FETCH (UID 1 ", what.as_bytes(), &b"(".repeat(10_000), b"\r\n"].concat();
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("a literal of 4 GiB", b"* 1 FETCH (UID 1 BODY[] {4294967296}\r\n".to_vec()),
        ("a literal beyond numbers", b"* 1 FETCH (UID 1 BODY[] {99999999999999999999999999}\r\n".to_vec()),
        ("a literal of 1 GiB", b"* 1 FETCH (UID 1 BODY[] {1073741824}\r\n".to_vec()),
        ("nested ENVELOPE", nested("ENVELOPE ")),
        ("nested BODYSTRUCTURE", nested("BODYSTRUCTURE ")),
        ("a UID beyond numbers", b"* 1 FETCH (UID 99999999999999)\r\n".to_vec()),
        ("a negative UID", b"* 1 FETCH (UID -1)\r\n".to_vec()),
        ("another tag", b"zz99 OK done\r\n".to_vec()),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("rubbish", (0..=255).chain(*b"\r\n").collect()),
        ("half an answer", b"* 1 FETCH (UID 1 FLAGS (\\Seen\r\n".to_vec()),
    ];
    for (name, bytes) in answers {
        meets(&postroom, name, at("FETCH", &raw(bytes)), Comes::To("fetch")).await;
    }
    for (verbs, stage) in [(&["LIST"][..], "folderList"), (&OPENING, "select"), (&["SEARCH"], "fetch")] {
        for bytes in [&b"* LIST (((((\r\n"[..], b"\0\0\0\0\r\n", b"* 4294967296 EXISTS\r\n", b"\xff\xfe\r\n"] {
            let name = format!("{bytes:?} at {verbs:?}");
            meets(&postroom, &name, at_each(verbs, &raw(bytes)), Comes::To(stage)).await;
        }
    }
    // The rest of the message follows as if it were IMAP.
    let shorter = edit("BODY[] {400}", "BODY[] {300}");
    meets(&postroom, "a literal longer than announced", at("FETCH", &shorter), Comes::To("fetch")).await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asked_for_is_not_believed() {
    let postroom = Instance::start().await;
    // What any server may say at any time.
    let pile =
        b"* 9 EXISTS\r\n* 3 RECENT\r\n* 1 EXPUNGE\r\n* FLAGS (\\Seen)\r\n* NO [ALERT] The disk is nearly full\r\n\
        * OK [HIGHESTMODSEQ 18446744073709551615] x\r\n* OK [UIDNEXT 4000000000] x\r\n* OK [ALERT] Read this!\r\n\
        * OK [X-UNKNOWN \xff\0] x\r\n* OK [NOMODSEQ] x\r\n* STATUS INBOX (MESSAGES 0 UIDNEXT 1)\r\n";
    for (verbs, stage) in [
        (&["LOGIN"][..], "authentication"),
        (&["LIST"], "folderList"),
        (&OPENING, "select"),
        (&["SEARCH"], "fetch"),
        (&["FETCH"], "fetch"),
    ] {
        meets(&postroom, &format!("a pile ahead of {verbs:?}"), at_each(verbs, &before(&pile[..])), Comes::ToNothing)
            .await;
        meets(
            &postroom,
            &format!("a pile behind {verbs:?}"),
            at_each(verbs, &Act::After(pile.to_vec())),
            Comes::ToNothing,
        )
        .await;
        // What belongs to answers of other commands: it may end the session, and is not taken for an answer.
        for odd in [
            &b"* VANISHED 1:4294967295\r\n* VANISHED (EARLIER) 1:12\r\n"[..],
            b"* CAPABILITY IMAP4rev1 QRESYNC X-GM-EXT-1\r\n",
            b"* ENABLED QRESYNC CONDSTORE\r\n",
            b"* BAD Something is very wrong\r\n",
            b"* LIST () \"/\" Elsewhere\r\n",
            b"* 2 FETCH (FLAGS (\\Deleted))\r\n* 3 FETCH (FLAGS (\\Seen) UID 4000000000)\r\n",
            b"+ go on\r\n",
        ] {
            let name = format!("{} ahead of {verbs:?}", String::from_utf8_lossy(odd));
            meets(&postroom, &name, at_each(verbs, &before(odd)), Comes::ToNothingOr(stage)).await;
        }
    }
    for (name, bytes) in [
        ("a message", &b"* 1 FETCH (UID 4000000000 FLAGS () RFC822.SIZE 5 BODY[] {5}\r\nhello)\r\n"[..]),
        ("a message of no UID", b"* 1 FETCH (FLAGS () RFC822.SIZE 5 BODY[] {5}\r\nhello)\r\n"),
        ("a message of UID 0", b"* 1 FETCH (UID 0 FLAGS () RFC822.SIZE 5 BODY[] {5}\r\nhello)\r\n"),
        ("EXPUNGE during FETCH", b"* 12 EXPUNGE\r\n* 11 EXPUNGE\r\n* 10 EXISTS\r\n"),
    ] {
        meets(&postroom, name, at("FETCH", &before(bytes)), Comes::ToNothing).await;
    }
    meets(
        &postroom,
        "UIDs that are not there",
        at("SEARCH", &before("* SEARCH 5000 4294967295\r\n")),
        Comes::ToNothing,
    )
    .await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_wrong_do_no_harm() {
    let postroom = Instance::start().await;
    let next = MESSAGES + 1;
    let opening = |from: &str, to: &str| at_each(&OPENING, &edit(from, to));
    let uid_next = format!("* OK [UIDNEXT {next}] Next UID\r\n");
    for (name, rules, comes) in [
        ("UIDNEXT 0", opening(&format!("UIDNEXT {next}"), "UIDNEXT 0"), Comes::ToNothing),
        ("no UIDNEXT", opening(&uid_next, ""), Comes::ToNothing),
        ("UIDNEXT too low", opening(&format!("UIDNEXT {next}"), "UIDNEXT 3"), Comes::ToNothing),
        ("UIDNEXT too high", opening(&format!("UIDNEXT {next}"), "UIDNEXT 4000000000"), Comes::ToNothing),
        ("no UIDVALIDITY", opening("OK [UIDVALIDITY", "OK [X-UIDVALIDITY"), Comes::To("select")),
        ("EXISTS too high", opening("* 12 EXISTS", "* 4294967295 EXISTS"), Comes::ToNothingOr("select")),
        ("EXISTS somewhat too high", opening("* 12 EXISTS", "* 13 EXISTS"), Comes::ToNothing),
        ("EXISTS too low", opening("* 12 EXISTS", "* 7 EXISTS"), Comes::ToNothing),
        (
            "UIDs in no order, some twice",
            at("SEARCH", &edit("SEARCH 1 2 3 4 5 6 7 8 9 10 11 12", "SEARCH 12 3 3 1 11 2 4 10 5 9 6 8 7 7 0 12")),
            Comes::ToNothing,
        ),
        ("sizes too low", at("FETCH", &edit("RFC822.SIZE 400", "RFC822.SIZE 1")), Comes::ToNothing),
        ("sizes of 0", at("FETCH", &edit("RFC822.SIZE 400", "RFC822.SIZE 0")), Comes::ToNothing),
        ("no sizes", at("FETCH", &edit(" RFC822.SIZE 400", "")), Comes::ToNothing),
        ("a date beyond dates", at("FETCH", &edit("+0000\"", "+9999\"")), Comes::ToNothingOr("fetch")),
    ] {
        meets(&postroom, name, rules, comes).await;
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gmails_numbers_that_are_wrong_do_no_harm() {
    let postroom = Instance::start().await;
    for (name, from, to) in [
        ("no number", "X-GM-MSGID ", "X-NOT-MSGID "),
        ("no thread", " X-GM-THRID ", " X-NOT-THRID "),
        ("a number beyond numbers", "X-GM-MSGID ", "X-GM-MSGID 99999999999999999999"),
        ("a negative number", "X-GM-MSGID ", "X-GM-MSGID -"),
        ("a number that is text", "X-GM-MSGID ", "X-GM-MSGID x"),
        ("a number of 0", "X-GM-MSGID ", "X-GM-MSGID 0 X-GM-MSGID "),
        ("a list for a number", "X-GM-MSGID ", "X-GM-MSGID (1 2) X-GM-MSGID "),
        ("a thread beyond numbers", "X-GM-THRID ", "X-GM-THRID 99999999999999999999"),
    ] {
        let rules = at("FETCH", &edit(from, to));
        meets_one_with(Options::gmail(), &postroom, name, rules, Comes::ToNothingOr("fetch")).await;
    }
    let offered = |from: &str, to: &str| at("CAPABILITY", &edit(from, to));
    let rules = offered(" X-GM-EXT-1", "");
    meets_one_with(Options::gmail(), &postroom, "a Gmail that does not say so", rules, Comes::ToNothing).await;
    let rules = offered("IMAP4rev1", "IMAP4rev1 X-GM-EXT-1");
    meets(&postroom, "one that says so and is none", rules, Comes::ToNothingOr("fetch")).await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_names_of_every_kind_do_no_harm() {
    let postroom = Instance::start().await;
    let many: Vec<String> =
        (0..6_000).map(|number| format!("* LIST (\\HasNoChildren) \"/\" \"Folder {number}\"\r\n")).collect();
    let many = many.concat();
    for (name, list) in [
        (
            "modified UTF-7",
            "* LIST () \"/\" \"&ZeVnLIqe-\"\r\n* LIST (\\Sent) \"/\" \"Gesendete &ANw-bertragungen\"\r\n",
        ),
        (
            "broken UTF-7",
            "* LIST () \"/\" \"&ZeVnLIqe\"\r\n* LIST () \"/\" \"&&&-&-&A-\"\r\n* LIST () \"/\" \"&2AA-\"\r\n",
        ),
        ("empty and doubled names", "* LIST () \"/\" \"\"\r\n* LIST () \"/\" INBOX\r\n* LIST () NIL inbox\r\n"),
        (
            "names that cannot be opened",
            "* LIST (\\Noselect \\Sent) \"/\" Gone\r\n* LIST (\\NonExistent) \"/\" Never\r\n",
        ),
        ("names as literals", "* LIST () \"/\" {5}\r\nGru\"\\\r\n"),
        ("very many names", &many),
    ] {
        meets(&postroom, name, at("LIST", &before(list)), Comes::ToNothingOr("select")).await;
    }
    let eight_bit = before(&b"* LIST () \"/\" \"caf\xe9\"\r\n* LIST () \"/\" \"a\0b\"\r\n* LIST () \"\xff\" x\r\n"[..]);
    meets(&postroom, "8-bit names", at("LIST", &eight_bit), Comes::ToNothingOr("folderList")).await;
    let long = before(format!("* LIST () \"/\" \"{}\"\r\n", "x".repeat(100_000)));
    meets(&postroom, "a name of 100 KB", at("LIST", &long), Comes::ToNothing).await;
    // The sent folder is announced and cannot be opened: the inbox goes on.
    let refused = Act::Reply("{tag} NO [NONEXISTENT] no such folder".into());
    let rules = super::scene::nth(at_each(&OPENING, &refused), 2);
    meets(&postroom, "a folder that is not there", rules, Comes::ToNothingOr("select")).await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_numbered_anew_during_a_sync_is_stored_once() {
    let postroom = Instance::start().await;
    let news = before("* OK [UIDVALIDITY 4000000000] restored\r\n");
    meets(&postroom, "UIDVALIDITY in passing", at("FETCH", &news), Comes::To("fetch")).await;

    // In truth: while the third message is on its way, the server is restored.
    let server = server(MESSAGES).await;
    let gate = Gate::new();
    server.script(Rule::new(Point::ImapFetchLiteral, Act::Hold(gate.clone())).count(Count::Nth(3)));
    let mailbox = postroom.mailbox(ANN, settings(&server)).await;
    gate.arrived(1).await;
    server.set_uid_validity(ANN, "INBOX", 4_000_000_000).expect("Ann has an inbox");
    gate.open();
    failed(&settled(&postroom.client, mailbox, "restored").await, "fetch", "restored");
    ends_well(&postroom, mailbox, MESSAGES, "restored").await;
    postroom.stop().await;
}
