use crate::domain::time::Timestamp;
use crate::mailserver::rig::{ANN, BOB, Peer, server, tls};
use crate::mailserver::{Act, Capabilities, Count, Gate, MailServer, Options, Point, Rule};
use crate::runtime::ManualClock;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::sync::Arc;

mod folders;
mod gmail;
mod resync;

const MAIL: &[u8] = b"Message-ID: <1@x>\r\nSubject: Hi\r\n there\r\n\r\nbody\0\xff\r\n";

async fn connected(server: &MailServer) -> Peer {
    let mut peer = Peer::to(server.imap()).await;
    let greeting = peer.line().await;
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
    peer
}

async fn logged_in(server: &MailServer) -> Peer {
    let mut peer = connected(server).await;
    expect(&mut peer, "LOGIN ann@example.test \"ann-secret\"", &[], "t OK [CAPABILITY").await;
    peer
}

async fn selected(server: &MailServer) -> Peer {
    let mut peer = logged_in(server).await;
    assert!(peer.command("SELECT INBOX").await.pop().unwrap().starts_with("t OK [READ-WRITE]"));
    peer
}

/// Says a command and checks the untagged responses word by word, and how the tagged one begins.
async fn expect(peer: &mut Peer, command: &str, untagged: &[&str], tagged: &str) {
    let mut lines = peer.command(command).await;
    let last = lines.pop().unwrap();
    assert!(last.starts_with(tagged), "{command}: {last} instead of {tagged}");
    assert_eq!(lines, untagged, "{command}");
}

/// A server whose clock stands at the 8th of July, with mail in Ann's inbox.
async fn with_mail(count: usize) -> MailServer {
    with_mail_on(Options::default(), count).await
}

async fn with_mail_on(options: Options, count: usize) -> MailServer {
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
    let server = server(Options { clock, ..options }).await;
    for _ in 0..count {
        server.append(ANN, "INBOX", MAIL).unwrap();
    }
    server
}

#[tokio::test]
async fn every_way_to_log_in_works_and_a_wrong_password_does_not() {
    let server = server(Options::default()).await;
    let mut peer = connected(&server).await;
    expect(&mut peer, "SELECT INBOX", &[], "t BAD Log in first").await;
    expect(&mut peer, "LOGIN ann@example.test wrong", &[], "t NO [AUTHENTICATIONFAILED]").await;
    peer.write("t LOGIN {16}\r\n").await;
    assert_eq!(peer.line().await, "+ Go ahead");
    peer.write("Ann@example.test {10+}\r\nann-secret\r\n").await;
    assert!(peer.line().await.starts_with("t OK"));
    let plain = BASE64_STANDARD.encode("\0bob@example.test\0bob-secret");
    let mut peer = connected(&server).await;
    expect(&mut peer, &format!("AUTHENTICATE PLAIN {plain}"), &[], "t OK").await;
    let mut peer = connected(&server).await;
    peer.write("t authenticate plain\r\n").await;
    assert_eq!(peer.line().await, "+ ");
    peer.write(format!("{plain}\r\n")).await;
    assert!(peer.line().await.starts_with("t OK"));
    expect(&mut peer, "LOGOUT", &["* BYE See you"], "t OK").await;
    assert_eq!(peer.line().await, "<closed>");
    let counts = server.connections();
    assert_eq!((counts.auth_attempts, counts.logins, counts.imap), (4, 3, 3));
}

#[tokio::test]
async fn tls_is_offered_required_and_forgets_what_was_said_before() {
    let (config, client) = tls();
    let server = server(Options { tls: Some(config), require_tls_for_auth: true, ..Options::default() }).await;
    let mut peer = connected(&server).await;
    let capability =
        "* CAPABILITY IMAP4rev1 ID IDLE LITERAL+ LOGINDISABLED MOVE SASL-IR SPECIAL-USE STARTTLS UIDPLUS UNSELECT";
    expect(&mut peer, "CAPABILITY", &[capability], "t OK").await;
    expect(&mut peer, "LOGIN ann@example.test ann-secret", &[], "t NO [PRIVACYREQUIRED]").await;
    expect(&mut peer, "STARTTLS\r\nx NOOP", &[], "t OK Begin TLS").await;
    let mut peer = peer.secured(&client).await;
    expect(&mut peer, "LOGIN ann@example.test ann-secret", &[], "t OK").await;
    let mut peer = Peer::to(server.imaps().unwrap()).await.secured(&client).await;
    assert!(peer.line().await.starts_with("* OK"));
    expect(&mut peer, "LOGIN ann@example.test ann-secret", &[], "t OK").await;
}

#[tokio::test]
async fn hidden_capabilities_are_gone_and_logindisabled_can_be_forced() {
    let (config, _) = tls();
    let mut imap_capabilities = Capabilities::without(&["STARTTLS", "IDLE", "ID", "MOVE", "SPECIAL-USE", "UNSELECT"]);
    imap_capabilities.extra.push("LOGINDISABLED".into());
    let server = server(Options { tls: Some(config), imap_capabilities, ..Options::default() }).await;
    let mut peer = connected(&server).await;
    let capability = "* CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED SASL-IR UIDPLUS";
    expect(&mut peer, "CAPABILITY", &[capability], "t OK").await;
    expect(&mut peer, "STARTTLS", &[], "t BAD").await;
    expect(&mut peer, "LOGIN ann@example.test ann-secret", &[], "t NO").await;
}

#[tokio::test]
async fn folders_are_listed_selected_and_counted() {
    let server = with_mail(2).await;
    server.set_flags(ANN, "INBOX", 1, &["\\Seen"]).unwrap();
    server.set_uid_validity(ANN, "INBOX", 77).unwrap();
    server.set_uid_validity(ANN, "Sent", 78).unwrap();
    let mut peer = logged_in(&server).await;
    let (inbox, sent) = ("* LIST (\\HasNoChildren) \"/\" \"INBOX\"", "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"");
    expect(&mut peer, "LIST \"\" *", &[inbox, sent], "t OK").await;
    expect(&mut peer, "LIST \"\" \"inbox\"", &[inbox], "t OK").await;
    expect(&mut peer, "LIST \"\" \"\"", &["* LIST (\\Noselect) \"/\" \"\""], "t OK").await;
    expect(&mut peer, "LSUB \"\" S%", &["* LSUB (\\HasNoChildren) \"/\" \"Sent\""], "t OK").await;
    let status = "* STATUS \"inbox\" (MESSAGES 2 RECENT 2 UIDNEXT 3 UIDVALIDITY 77 UNSEEN 1)";
    expect(&mut peer, "STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)", &[status], "t OK").await;
    let flags = "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)";
    let opened = |recent, permanent| {
        vec![
            flags,
            "* 2 EXISTS",
            recent,
            "* OK [UNSEEN 2] First unseen",
            "* OK [UIDVALIDITY 77] UIDs valid",
            "* OK [UIDNEXT 3] Next UID",
            permanent,
        ]
    };
    let (none, some) = (
        "* OK [PERMANENTFLAGS ()] None",
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Limited",
    );
    expect(&mut peer, "EXAMINE INBOX", &opened("* 2 RECENT", none), "t OK [READ-ONLY]").await;
    expect(&mut peer, "STORE 1 FLAGS (\\Seen)", &[], "t NO [READ-ONLY]").await;
    expect(&mut peer, "SELECT INBOX", &opened("* 2 RECENT", some), "t OK [READ-WRITE]").await;
    expect(&mut peer, "SELECT INBOX", &opened("* 0 RECENT", some), "t OK").await;
    expect(&mut peer, "SELECT nowhere", &[], "t NO [NONEXISTENT]").await;
    expect(&mut peer, "FETCH 1 UID", &[], "t BAD No folder selected").await;
    expect(&mut peer, "CREATE \"Archive/2026\"", &[], "t OK").await;
    expect(&mut peer, "LIST \"\" \"A*\"", &["* LIST (\\HasNoChildren) \"/\" \"Archive/2026\""], "t OK").await;
    expect(&mut peer, "DELETE INBOX", &[], "t NO").await;
}

#[tokio::test]
async fn fetch_gives_every_byte_and_every_part() {
    let server = with_mail(1).await;
    let mut peer = selected(&server).await;
    peer.write("t UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])\r\n").await;
    let head = format!(
        "* 1 FETCH (UID 1 FLAGS (\\Recent) INTERNALDATE \"08-Jul-2026 18:40:47 +0000\" RFC822.SIZE {0} BODY[] {{{0}}}",
        MAIL.len()
    );
    assert_eq!(peer.line().await, head);
    assert_eq!(peer.exactly(MAIL.len()).await, MAIL);
    assert_eq!(peer.until_tagged().await, [")", "t OK FETCH done"]);
    peer.write("t FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject X)] BODY.PEEK[]<3.6> BODY.PEEK[]<999.1>)\r\n").await;
    assert_eq!(peer.line().await, "* 1 FETCH (BODY[HEADER.FIELDS (subject X)] {23}");
    assert_eq!(peer.exactly(23).await, b"Subject: Hi\r\n there\r\n\r\n");
    let mut rest = peer.until_tagged().await.join("\r\n");
    assert!(rest.contains("BODY[]<3> {6}\r\nsage-I BODY[]<999> {0}\r\n)"), "{rest}");
    // Only a read without PEEK marks the message as seen, and says so.
    peer.write("t FETCH 1 BODY[TEXT]\r\n").await;
    assert_eq!(peer.line().await, "* 1 FETCH (BODY[TEXT] {8}");
    assert_eq!(peer.exactly(8).await, b"body\0\xff\r\n");
    assert_eq!(peer.until_tagged().await, [" FLAGS (\\Recent \\Seen))", "t OK FETCH done"]);
    peer.write("t NOOP\r\n").await;
    rest = peer.until_tagged().await.join("\r\n");
    assert_eq!(rest, "t OK NOOP done");
    expect(&mut peer, "UID FETCH 5:9 (UID)", &[], "t OK").await;
    expect(&mut peer, "UID FETCH 5:* (UID)", &["* 1 FETCH (UID 1)"], "t OK").await;
    expect(&mut peer, "FETCH 1 ENVELOPE", &[], "t BAD").await;
}

#[tokio::test]
async fn search_combines_conditions() {
    let server = with_mail(2).await;
    let old = Timestamp::parse("2026-07-01T23:59:59Z").unwrap();
    server.append_at(ANN, "INBOX", b"Message-ID: <2@x>\r\nTo: Bob\r\n\r\nother", old).unwrap();
    server.set_flags(ANN, "INBOX", 2, &["\\Seen", "Work"]).unwrap();
    server.remove(ANN, "INBOX", &[1]).unwrap();
    let mut peer = selected(&server).await;
    for (query, found) in [
        ("ALL", " 2 3"),
        ("UID 1:2", " 2"),
        ("UID 9", ""),
        ("2", " 3"),
        ("HEADER Message-ID \"<2@X>\"", " 3"),
        ("HEADER Subject \"Hi there\" SEEN", " 2"),
        ("UNSEEN HEADER Subject {2+}\r\nHi", ""),
        ("SINCE 2-Jul-2026", " 2"),
        ("BEFORE 2-Jul-2026 NOT SEEN", " 3"),
        ("ON 1-Jul-2026", " 3"),
        ("OR KEYWORD work (TO bob BODY OTHER)", " 2 3"),
        ("CHARSET UTF-8 TEXT other SMALLER 100", " 3"),
    ] {
        expect(&mut peer, &format!("UID SEARCH {query}"), &[&format!("* SEARCH{found}")], "t OK").await;
    }
    expect(&mut peer, "SEARCH HEADER To \"\"", &["* SEARCH 2"], "t OK").await;
    let deep = "(".repeat(40) + "ALL" + &")".repeat(40);
    expect(&mut peer, &format!("SEARCH {deep}"), &[], "t BAD Nested too deeply").await;
    expect(&mut peer, "SEARCH FOO", &[], "t BAD").await;
}

#[tokio::test]
async fn flags_change_and_deleted_messages_are_expunged() {
    let server = with_mail(4).await;
    let mut peer = selected(&server).await;
    expect(
        &mut peer,
        "UID STORE 2 +FLAGS (\\Flagged $X)",
        &["* 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged $X))"],
        "t OK",
    )
    .await;
    expect(&mut peer, "STORE 2 -FLAGS \\Flagged", &["* 2 FETCH (FLAGS (\\Recent $X))"], "t OK").await;
    expect(&mut peer, "UID STORE 2:4 FLAGS.SILENT (\\Deleted)", &[], "t OK").await;
    expect(&mut peer, "UID EXPUNGE 3", &["* 3 EXPUNGE"], "t OK").await;
    expect(&mut peer, "EXPUNGE", &["* 3 EXPUNGE", "* 2 EXPUNGE"], "t OK").await;
    expect(&mut peer, "NOOP", &[], "t OK").await;
    let left = server.messages(ANN, "INBOX").unwrap();
    assert_eq!(left.iter().map(|message| message.uid).collect::<Vec<_>>(), [1]);
    expect(&mut peer, "UID STORE 1 FLAGS (\\Deleted)", &["* 1 FETCH (UID 1 FLAGS (\\Recent \\Deleted))"], "t OK").await;
    expect(&mut peer, "CLOSE", &[], "t OK").await;
    assert!(server.messages(ANN, "INBOX").unwrap().is_empty());
}

#[tokio::test]
async fn messages_are_appended_copied_and_moved_with_their_new_uids() {
    let server = with_mail(2).await;
    server.set_uid_validity(ANN, "Sent", 5).unwrap();
    let mut peer = selected(&server).await;
    peer.write("t APPEND Sent (\\Seen) \"01-Jul-2026 10:00:00 +0200\" {8}\r\n").await;
    assert_eq!(peer.line().await, "+ Go ahead");
    peer.write(b"a\r\n\xff\0{1}\r\n").await;
    assert_eq!(peer.until_tagged().await, ["t OK [APPENDUID 5 1] APPEND done"]);
    let filed = server.messages(ANN, "Sent").unwrap();
    assert_eq!(filed[0].raw[..], b"a\r\n\xff\0{1}"[..]);
    assert_eq!(filed[0].date.to_string(), "2026-07-01T08:00:00.000Z");
    assert!(filed[0].flags.contains("\\SEEN"));
    expect(&mut peer, "UID COPY 1:2 Sent", &[], "t OK [COPYUID 5 1,2 2,3]").await;
    expect(&mut peer, "MOVE 1 Sent", &["* OK [COPYUID 5 1 4] Moved", "* 1 EXPUNGE"], "t OK").await;
    expect(&mut peer, "COPY 1 nowhere", &[], "t NO [TRYCREATE]").await;
    assert_eq!((server.messages(ANN, "Sent").unwrap().len(), server.messages(ANN, "INBOX").unwrap().len()), (4, 1));
}

#[tokio::test]
async fn idle_and_noop_tell_what_others_did() {
    let server = with_mail(3).await;
    let mut peer = selected(&server).await;
    peer.write("t IDLE\r\n").await;
    assert_eq!(peer.line().await, "+ idling");
    server.append(ANN, "INBOX", MAIL).unwrap();
    assert_eq!([peer.line().await, peer.line().await], ["* 4 EXISTS", "* 4 RECENT"]);
    server.set_flags(ANN, "INBOX", 1, &["\\Answered"]).unwrap();
    assert_eq!(peer.line().await, "* 1 FETCH (UID 1 FLAGS (\\Recent \\Answered))");
    peer.write("DONE\r\n").await;
    assert_eq!(peer.line().await, "t OK IDLE done");
    server.remove(ANN, "INBOX", &[1, 3]).unwrap();
    // Numbers stay what they are while the client may be using them.
    expect(&mut peer, "FETCH 1:4 UID", &["* 2 FETCH (UID 2)", "* 4 FETCH (UID 4)"], "t OK").await;
    let news = ["* 3 EXPUNGE", "* 1 EXPUNGE", "* 2 EXISTS", "* 2 RECENT"];
    expect(&mut peer, "NOOP", &news, "t OK").await;
    server.append(BOB, "INBOX", MAIL).unwrap();
    expect(&mut peer, "FETCH 1:* UID", &["* 1 FETCH (UID 2)", "* 2 FETCH (UID 4)"], "t OK").await;
    server.set_uid_validity(ANN, "INBOX", 9).unwrap();
    expect(&mut peer, "NOOP", &["* BYE The selected folder is not what it was"], "<closed>").await;
}

#[tokio::test]
async fn rules_refuse_drop_and_cut_responses_short() {
    let server = with_mail(1).await;
    let refuse = Act::Reply("{tag} NO [AUTHENTICATIONFAILED] locked".into());
    server.script(Rule::new(Point::ImapLogin, refuse).user(BOB));
    let bye = Act::Reply("* BYE overloaded".into());
    server.script(Rule::new(Point::ImapConnect, bye).count(Count::Nth(1)));
    assert_eq!(Peer::to(server.imap()).await.rest().await, b"* BYE overloaded\r\n");
    let mut peer = connected(&server).await;
    expect(&mut peer, "LOGIN bob@example.test bob-secret", &[], "t NO [AUTHENTICATIONFAILED] locked").await;
    let gate = Gate::new();
    server.script(Rule::new(Point::ImapFetchLiteral, Act::Hold(gate.clone())).count(Count::Nth(1)));
    server.script(Rule::new(Point::ImapFetchLiteral, Act::Drop).count(Count::Nth(2)));
    let mut peer = selected(&server).await;
    peer.write("t UID FETCH 1 BODY.PEEK[]\r\n").await;
    assert_eq!(peer.line().await, format!("* 1 FETCH (UID 1 BODY[] {{{}}}", MAIL.len()));
    assert_eq!(peer.exactly(MAIL.len() / 2).await, MAIL[..MAIL.len() / 2]);
    gate.arrived(1).await;
    gate.open();
    assert_eq!(peer.exactly(MAIL.len() - MAIL.len() / 2).await, MAIL[MAIL.len() / 2..]);
    assert_eq!(peer.until_tagged().await, [")", "t OK FETCH done"]);
    peer.write("t UID FETCH 1 BODY.PEEK[]\r\n").await;
    peer.line().await;
    assert_eq!(peer.rest().await, MAIL[..MAIL.len() / 2]);
    server.script(Rule::new(Point::ImapCommand("STORE"), Act::AcceptThenDrop));
    server.script(Rule::new(Point::ImapCommand("NOOP"), Act::Before(b"* 1 EXPUNGE\r\n".to_vec())));
    let mut peer = selected(&server).await;
    expect(&mut peer, "NOOP", &["* 1 EXPUNGE"], "t OK").await;
    peer.write("t UID STORE 1 FLAGS.SILENT (\\Seen)\r\n").await;
    assert_eq!(peer.rest().await, b"");
    assert!(server.messages(ANN, "INBOX").unwrap()[0].flags.contains("\\Seen"));
}

#[tokio::test]
async fn everything_that_comes_in_is_bounded() {
    let server = server(Options { max_message: 10_000, max_folder: 1, ..Options::default() }).await;
    let mut peer = connected(&server).await;
    expect(&mut peer, "APPEND Sent {10000}", &[], "t BAD [TOOBIG]").await;
    expect(&mut peer, "LOGIN {4097}", &[], "t BAD [TOOBIG]").await;
    peer.write(format!("t {}\r\n", "x".repeat(9_000))).await;
    assert_eq!(peer.line().await, "* BAD Line too long");
    // A literal that nobody waits for cannot be refused but by closing.
    peer.write("t LOGIN {4097+}\r\n").await;
    assert_eq!(peer.rest().await, b"* BYE Literal too big\r\n");
}

#[tokio::test]
async fn a_client_that_makes_no_sense_is_answered_and_then_sent_away() {
    let server = server(Options { max_message: 10_000, max_folder: 1, ..Options::default() }).await;
    let mut peer = logged_in(&server).await;
    expect(&mut peer, "APPEND Sent {10001}", &[], "t BAD [TOOBIG]").await;
    for _ in 0..2 {
        peer.write(format!("t APPEND Sent {{10000+}}\r\n{}\r\n", "x".repeat(10_000))).await;
    }
    assert!(peer.line().await.starts_with("t OK [APPENDUID"));
    assert!(peer.line().await.starts_with("t NO [OVERQUOTA]"));
    for nonsense in ["", "FOO", "UID NOOP", "SELECT", "SELECT INBOX x", "FETCH", "LIST \"\"", "STATUS INBOX ()"] {
        expect(&mut peer, nonsense, &[], "t BAD").await;
    }
    peer.write(" \r\n\r\nt NOOP\n").await;
    let rest = peer.line().await + &peer.line().await;
    assert_eq!(rest, "* BAD No tag* BAD Lines end in CRLF");
    peer.write("t FOO\r\n".repeat(50)).await;
    let rest = String::from_utf8(peer.rest().await).unwrap();
    assert!(rest.ends_with("* BYE Too many errors\r\n"), "{rest}");
}

#[tokio::test]
async fn rules_can_edit_an_answer_flood_a_client_and_have_the_last_word() {
    let server = with_mail(2).await;
    server.script(Rule::new(Point::ImapCommand("SEARCH"), Act::Edit(b"1 2".to_vec(), b"2 1 7".to_vec())));
    server.script(Rule::new(Point::ImapCommand("NOOP"), Act::Flood(b"* 2 EXISTS\r\n".to_vec(), 3)));
    server.script(Rule::new(Point::ImapCommand("CHECK"), Act::Last(b"* 1 FETCH (UID".to_vec())));
    let mut peer = selected(&server).await;
    expect(&mut peer, "SEARCH ALL", &["* SEARCH 2 1 7"], "t OK").await;
    expect(&mut peer, "NOOP", &["* 2 EXISTS"; 3], "t OK").await;
    // Only the answer to the command that the rule names.
    expect(&mut peer, "FETCH 1 UID", &["* 1 FETCH (UID 1)"], "t OK").await;
    peer.write("t CHECK\r\n").await;
    assert_eq!(peer.rest().await, b"* 1 FETCH (UID");
}
