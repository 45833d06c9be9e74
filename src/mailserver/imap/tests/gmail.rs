use super::{expect, logged_in, selected, with_mail, with_mail_on};
use crate::mailserver::Options;
use crate::mailserver::rig::{ANN, BOB};

const ALL_MAIL: &str = "[Gmail]/All Mail";

#[tokio::test]
async fn one_message_in_two_folders_is_known_as_one() {
    let server = with_mail_on(Options::gmail(), 0).await;
    server.add_special_folder(ANN, ALL_MAIL, "\\All").unwrap();
    let mail = |id: &str, more: &str| format!("Message-ID: <{id}>\r\n{more}\r\nbody").into_bytes();
    let first = server.append(ANN, "INBOX", &mail("a@x", "")).unwrap();
    // The same bytes once more are another message.
    server.append(ANN, "INBOX", &mail("a@x", "")).unwrap();
    server.append(ANN, "Sent", &mail("b@x", "In-Reply-To: <a@x>\r\n")).unwrap();
    server.append(BOB, "INBOX", &mail("c@x", "References: <a@x>\r\n <b@x>\r\nIn-Reply-To: <b@x>\r\n")).unwrap();
    server.append(ANN, ALL_MAIL, b"no field at all").unwrap();
    assert_eq!(server.show_also(ANN, "INBOX", first, ALL_MAIL), Ok(Some(2)));
    assert_eq!(server.show_also(ANN, "INBOX", 99, ALL_MAIL), Ok(None));
    let mut peer = logged_in(&server).await;
    let listed = format!("* LIST (\\HasNoChildren \\All) \"/\" \"{ALL_MAIL}\"");
    expect(&mut peer, "LIST \"\" \"[Gmail]/*\"", &[&listed], "t OK").await;
    let inbox = server.messages(ANN, "INBOX").unwrap();
    let all = server.messages(ANN, ALL_MAIL).unwrap();
    assert_eq!((inbox[0].number, inbox[0].date), (all[1].number, all[1].date));
    assert!(inbox[0].number != inbox[1].number && inbox[0].number > 1 << 53);
    peer.command(&format!("EXAMINE \"{ALL_MAIL}\"")).await;
    let asked = peer.command("UID FETCH 1:* (X-GM-MSGID X-GM-THRID)").await;
    let alone = all[0].number;
    assert_eq!(asked[0], format!("* 1 FETCH (UID 1 X-GM-MSGID {alone} X-GM-THRID {alone})"));
    let (head, thread) = asked[1].trim_end_matches(')').rsplit_once(' ').unwrap();
    assert_eq!(head, format!("* 2 FETCH (UID 2 X-GM-MSGID {} X-GM-THRID", all[1].number));
    // Replies are in the thread of what they answer, in every folder.
    peer.command("EXAMINE Sent").await;
    let reply = format!("* 1 FETCH (X-GM-THRID {thread})");
    expect(&mut peer, "FETCH 1 X-GM-THRID", &[&reply], "t OK").await;
    expect(&mut peer, "LOGOUT", &["* BYE See you"], "t OK").await;
    // A message that is moved stays the same one.
    let mut peer = selected(&server).await;
    assert!(peer.command("UID MOVE 2 Sent").await[0].starts_with("* OK [COPYUID"));
    assert_eq!(server.messages(ANN, "Sent").unwrap()[1].number, inbox[1].number);
    assert!(server.messages(BOB, "INBOX").unwrap()[0].number > inbox[1].number);
}

#[tokio::test]
async fn gmail_has_mod_sequences_and_others_have_no_gmail() {
    let server = with_mail_on(Options::gmail(), 1).await;
    let mut peer = logged_in(&server).await;
    let offered = peer.command("CAPABILITY").await.remove(0);
    assert!(offered.contains(" CONDSTORE ENABLE ") && offered.ends_with(" X-GM-EXT-1"), "{offered}");
    assert!(!offered.contains("QRESYNC"), "{offered}");
    let server = with_mail(1).await;
    let mut peer = selected(&server).await;
    for refused in ["X-GM-MSGID", "(UID X-GM-THRID)"] {
        expect(&mut peer, &format!("FETCH 1 {refused}"), &[], "t BAD Unknown item").await;
    }
}
