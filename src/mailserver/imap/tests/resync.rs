use super::{MAIL, expect, logged_in, with_mail_on};
use crate::mailserver::imap::sequence::SequenceSet;
use crate::mailserver::rig::{ANN, Peer};
use crate::mailserver::{MailServer, Options};
use crate::runtime::{Random, SeededRandom};
use std::collections::BTreeMap;

/// A peer that has enabled QRESYNC and selected the inbox.
async fn resyncing(server: &MailServer) -> Peer {
    let mut peer = logged_in(server).await;
    expect(&mut peer, "ENABLE QRESYNC", &["* ENABLED QRESYNC"], "t OK").await;
    peer.command("SELECT INBOX").await;
    peer
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    for (options, word) in [
        (Options::plain(), None),
        (Options::default(), None),
        (Options::condstore(), Some(" CONDSTORE ENABLE ")),
        (Options::qresync(), Some(" CONDSTORE ENABLE ID IDLE LITERAL+ MOVE QRESYNC ")),
    ] {
        let server = with_mail_on(options, 1).await;
        let mut peer = logged_in(&server).await;
        let offered = peer.command("CAPABILITY").await.remove(0);
        assert_eq!(word.is_some(), offered.contains("ENABLE"), "{offered}");
        let Some(word) = word else {
            expect(&mut peer, "ENABLE CONDSTORE", &[], "t BAD Unknown command").await;
            expect(&mut peer, "SELECT INBOX (CONDSTORE)", &[], "t BAD").await;
            expect(&mut peer, "STATUS INBOX (HIGHESTMODSEQ)", &[], "t BAD").await;
            assert!(peer.command("SELECT INBOX").await.iter().all(|line| !line.contains("MODSEQ")));
            for refused in [
                "UID FETCH 1 (MODSEQ)",
                "UID FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
                "UID STORE 1 (UNCHANGEDSINCE 1) FLAGS (\\Seen)",
                "SEARCH MODSEQ 1",
            ] {
                expect(&mut peer, refused, &[], "t BAD No mod-sequences here").await;
            }
            expect(&mut peer, "UID FETCH 1 (FLAGS)", &["* 1 FETCH (UID 1 FLAGS (\\Recent))"], "t OK").await;
            continue;
        };
        assert!(offered.contains(word), "{offered}");
    }
    // A server without any extension has none of the others either.
    let server = with_mail_on(Options::plain(), 1).await;
    let mut peer = logged_in(&server).await;
    expect(&mut peer, "CAPABILITY", &["* CAPABILITY IMAP4rev1 AUTH=PLAIN"], "t OK").await;
    expect(&mut peer, "IDLE", &[], "t BAD").await;
}

#[tokio::test]
async fn every_change_raises_the_mod_sequence_and_is_told_with_it() {
    let server = with_mail_on(Options::condstore(), 2).await;
    let mut peer = logged_in(&server).await;
    let told = |lines: &[String]| lines.iter().find(|line| line.contains("MODSEQ")).cloned().unwrap_or_default();
    assert_eq!(told(&peer.command("SELECT INBOX").await), "* OK [HIGHESTMODSEQ 3] Highest");
    // Not before the client has shown that it knows of them.
    expect(&mut peer, "UID FETCH 1 FLAGS", &["* 1 FETCH (UID 1 FLAGS (\\Recent))"], "t OK").await;
    expect(&mut peer, "UID FETCH 2 (MODSEQ)", &["* 2 FETCH (UID 2 MODSEQ (3))"], "t OK").await;
    expect(&mut peer, "FETCH 1 FLAGS", &["* 1 FETCH (FLAGS (\\Recent) MODSEQ (2))"], "t OK").await;
    expect(&mut peer, "UID STORE 1 +FLAGS.SILENT \\Seen", &["* 1 FETCH (UID 1 MODSEQ (4))"], "t OK").await;
    server.set_flags(ANN, "INBOX", 2, &["\\Flagged"]).unwrap();
    expect(&mut peer, "NOOP", &["* 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged) MODSEQ (5))"], "t OK").await;
    // The same flags once more are no change.
    server.set_flags(ANN, "INBOX", 2, &["\\Flagged"]).unwrap();
    assert_eq!(server.mod_sequence(ANN, "INBOX"), Ok(5));
    let since = "UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 4)";
    expect(&mut peer, since, &["* 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged) MODSEQ (5))"], "t OK").await;
    expect(&mut peer, "UID FETCH 1:* (UID) (CHANGEDSINCE 4 VANISHED)", &[], "t BAD VANISHED needs").await;
    let store = "STORE 1:2 (UNCHANGEDSINCE 4) +FLAGS (\\Answered)";
    let one = "* 1 FETCH (FLAGS (\\Recent \\Answered \\Seen) MODSEQ (6))";
    expect(&mut peer, store, &[one], "t OK [MODIFIED 2] STORE done").await;
    expect(&mut peer, "UID SEARCH MODSEQ 6", &["* SEARCH 1 (MODSEQ 6)"], "t OK").await;
    expect(&mut peer, "SEARCH MODSEQ \"/flags/\\\\Seen\" all 5", &["* SEARCH 1 2 (MODSEQ 6)"], "t OK").await;
    expect(&mut peer, "SEARCH MODSEQ 7", &["* SEARCH"], "t OK").await;
    server.remove(ANN, "INBOX", &[1]).unwrap();
    expect(&mut peer, "NOOP", &["* 1 EXPUNGE", "* 1 EXISTS", "* 1 RECENT"], "t OK").await;
    let status = "* STATUS \"INBOX\" (HIGHESTMODSEQ 7 UIDNEXT 3)";
    expect(&mut peer, "STATUS INBOX (HIGHESTMODSEQ UIDNEXT)", &[status], "t OK").await;
    expect(&mut peer, "ENABLE QRESYNC X", &["* ENABLED"], "t OK").await;
}

#[tokio::test]
async fn what_vanished_is_told_by_uid_and_after_a_mod_sequence() {
    let server = with_mail_on(Options::qresync(), 6).await;
    let mut peer = resyncing(&server).await;
    server.remove(ANN, "INBOX", &[2]).unwrap();
    let before = server.mod_sequence(ANN, "INBOX").unwrap();
    server.remove(ANN, "INBOX", &[1, 4, 6]).unwrap();
    server.set_flags(ANN, "INBOX", 3, &["\\Seen"]).unwrap();
    // What the client has not been told of yet is news, and not earlier news.
    let changed = "* 3 FETCH (UID 3 FLAGS (\\Recent \\Seen) MODSEQ (10))";
    let asked = format!("UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE {before} VANISHED)");
    let all = [
        changed,
        "* VANISHED 1:2,4,6",
        "* 2 EXISTS",
        "* 2 RECENT",
        "* 1 FETCH (UID 3 FLAGS (\\Recent \\Seen) MODSEQ (10))",
    ];
    expect(&mut peer, &asked, &all, "t OK").await;
    let changed = "* 1 FETCH (UID 3 FLAGS (\\Recent \\Seen) MODSEQ (10))";
    expect(&mut peer, &asked, &["* VANISHED (EARLIER) 1,4,6", changed], "t OK").await;
    let some = format!("UID FETCH 2:5 (UID FLAGS) (CHANGEDSINCE {} VANISHED)", before - 1);
    expect(&mut peer, &some, &["* VANISHED (EARLIER) 2,4", changed], "t OK").await;
    let since_then = "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 10 VANISHED)";
    expect(&mut peer, since_then, &[], "t OK").await;
    expect(&mut peer, "FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)", &[], "t BAD").await;
    // The client's own removals too.
    let silent = "* 2 FETCH (UID 5 MODSEQ (11))";
    expect(&mut peer, "STORE 2 +FLAGS.SILENT (\\Deleted)", &[silent], "t OK").await;
    expect(&mut peer, "EXPUNGE", &["* VANISHED 5"], "t OK [HIGHESTMODSEQ 12] EXPUNGE done").await;
    let moved = peer.command("UID MOVE 3 Sent").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
    assert_eq!(moved[1..], ["* VANISHED 3", "t OK [HIGHESTMODSEQ 13] MOVE done"]);
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_it_missed() {
    let server = with_mail_on(Options::qresync(), 4).await;
    server.set_uid_validity(ANN, "INBOX", 77).unwrap();
    let known = server.mod_sequence(ANN, "INBOX").unwrap();
    server.remove(ANN, "INBOX", &[2, 3]).unwrap();
    server.set_flags(ANN, "INBOX", 1, &["\\Seen"]).unwrap();
    server.append(ANN, "INBOX", MAIL).unwrap();
    let mut peer = logged_in(&server).await;
    let select = |known: &str| format!("SELECT INBOX (QRESYNC ({known}))");
    expect(&mut peer, &select("77 1"), &[], "t BAD ENABLE QRESYNC comes first").await;
    let both = ["* ENABLED CONDSTORE QRESYNC"];
    expect(&mut peer, "ENABLE CONDSTORE X-NOTHING QRESYNC", &both, "t OK").await;
    let mut missed = async |command: String| {
        let lines = peer.command(&command).await;
        assert!(lines.last().is_some_and(|line| line.starts_with("t OK")), "{command}: {lines:?}");
        let missed = lines.into_iter().filter(|line| line.contains("VANISHED") || line.contains(" FETCH "));
        missed.collect::<Vec<_>>()
    };
    let vanished = "* VANISHED (EARLIER) 2:3";
    let (seen, new) = (
        format!("* 1 FETCH (UID 1 FLAGS (\\Recent \\Seen) MODSEQ ({}))", known + 2),
        format!("* 3 FETCH (UID 5 FLAGS (\\Recent) MODSEQ ({}))", known + 3),
    );
    assert_eq!(missed(select(&format!("77 {known}"))).await, [vanished, &*seen, &*new]);
    let (seen, new) = (seen.replace("\\Recent ", ""), new.replace("\\Recent", ""));
    assert_eq!(missed(select(&format!("77 {known} 1:2"))).await, ["* VANISHED (EARLIER) 2", &*seen]);
    assert_eq!(missed(select(&format!("77 {known} 1:* (1,2 1,2)"))).await, [vanished, &*seen, &*new]);
    assert_eq!(missed(select(&format!("77 {}", known + 2))).await, [&*new]);
    assert!(missed(select("78 1")).await.is_empty());
    let lines = peer.command("SELECT Sent (CONDSTORE)").await;
    assert_eq!(lines[0], "* OK [CLOSED] Previous folder closed");
    peer.command("UNSELECT").await;
    for bad in ["", "77", "77 x", "77 1 (1)", "77 1 1:2 (1 1"] {
        expect(&mut peer, &select(bad), &[], "t BAD").await;
    }
}

#[tokio::test]
async fn of_what_left_too_long_ago_all_that_ever_left_is_told() {
    let server = with_mail_on(Options { expunged_kept: 2, ..Options::qresync() }, 9).await;
    server.remove(ANN, "INBOX", &[2]).unwrap();
    let known = server.mod_sequence(ANN, "INBOX").unwrap();
    server.remove(ANN, "INBOX", &[5, 9]).unwrap();
    let mut peer = resyncing(&server).await;
    let asked = format!("UID FETCH 1:* (UID) (CHANGEDSINCE {known} VANISHED)");
    expect(&mut peer, &asked, &["* VANISHED (EARLIER) 5,9"], "t OK").await;
    server.remove(ANN, "INBOX", &[7]).unwrap();
    expect(&mut peer, "NOOP", &["* VANISHED 7", "* 5 EXISTS", "* 5 RECENT"], "t OK").await;
    expect(&mut peer, &asked, &["* VANISHED (EARLIER) 2,5,7,9"], "t OK").await;
}

#[tokio::test]
async fn a_server_may_offer_more_than_it_does() {
    let server = with_mail_on(Options { enables_nothing: true, ..Options::qresync() }, 1).await;
    let mut peer = logged_in(&server).await;
    expect(&mut peer, "ENABLE QRESYNC", &["* ENABLED"], "t OK").await;
    expect(&mut peer, "SELECT INBOX (QRESYNC (1 1))", &[], "t BAD").await;
    let server = with_mail_on(Options { no_mod_sequences: true, ..Options::qresync() }, 2).await;
    let mut peer = logged_in(&server).await;
    expect(&mut peer, "ENABLE QRESYNC", &["* ENABLED QRESYNC"], "t OK").await;
    let opened = peer.command("SELECT INBOX (QRESYNC (1 1))").await;
    assert!(opened.contains(&"* OK [NOMODSEQ] No mod-sequences".to_owned()), "{opened:?}");
    assert!(opened.iter().all(|line| !line.contains("HIGHESTMODSEQ")), "{opened:?}");
    expect(&mut peer, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)", &[], "t BAD No mod-sequences here").await;
    expect(&mut peer, "UID FETCH 1 (FLAGS)", &["* 1 FETCH (UID 1 FLAGS (\\Recent))"], "t OK").await;
    expect(&mut peer, "STATUS INBOX (HIGHESTMODSEQ)", &["* STATUS \"INBOX\" (HIGHESTMODSEQ 0)"], "t OK").await;
    server.remove(ANN, "INBOX", &[1]).unwrap();
    expect(&mut peer, "NOOP", &["* VANISHED 1", "* 1 EXISTS", "* 1 RECENT"], "t OK").await;
}

#[tokio::test]
async fn a_client_that_follows_the_mod_sequences_never_loses_the_thread() {
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let dice = |sides: usize| {
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        usize::try_from(u32::from_le_bytes(bytes)).unwrap() % sides
    };
    let server = with_mail_on(Options { expunged_kept: 6, ..Options::qresync() }, 3).await;
    server.set_uid_validity(ANN, "INBOX", 77).unwrap();
    let mut peer = logged_in(&server).await;
    peer.command("ENABLE QRESYNC").await;
    let mut known = BTreeMap::new();
    let mut mod_sequence = 1;
    for _ in 0..200 {
        for _ in 0..dice(6) {
            let uids: Vec<u32> = server.messages(ANN, "INBOX").unwrap().iter().map(|message| message.uid).collect();
            match (dice(4), uids.get(dice(uids.len().max(1)))) {
                (0, Some(&uid)) => drop(server.remove(ANN, "INBOX", &[uid, uid + 2])),
                (1, Some(&uid)) => drop(server.set_flags(ANN, "INBOX", uid, &["\\Seen", "$Done"])),
                (2, Some(&uid)) => drop(server.set_flags(ANN, "INBOX", uid, &[])),
                _ => drop(server.append(ANN, "INBOX", MAIL)),
            }
        }
        for line in peer.command(&format!("EXAMINE INBOX (QRESYNC (77 {mod_sequence}))")).await {
            if let Some(set) = line.strip_prefix("* VANISHED (EARLIER) ") {
                let ranges = SequenceSet::parse(set).unwrap().resolve(0);
                known.retain(|uid, _| !ranges.contains(*uid));
            } else if let Some((_, told)) = line.split_once(" FETCH (UID ") {
                let (uid, told) = told.split_once(" FLAGS (").unwrap();
                let flags = told.split_once(')').unwrap().0.trim_start_matches("\\Recent").trim();
                known.insert(uid.parse().unwrap(), flags.to_owned());
            } else if let Some(highest) = line.strip_prefix("* OK [HIGHESTMODSEQ ") {
                mod_sequence = highest.split_once(']').unwrap().0.parse::<u64>().unwrap();
            }
        }
        let held = server.messages(ANN, "INBOX").unwrap();
        let held: BTreeMap<u32, String> = held.iter().map(|m| (m.uid, m.flags.to_string())).collect();
        assert_eq!(known, held);
    }
}
