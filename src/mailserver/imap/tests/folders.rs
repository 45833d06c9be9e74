use super::{MAIL, expect, logged_in, selected, with_mail, with_mail_on};
use crate::mailserver::Options;
use crate::mailserver::rig::ANN;

#[tokio::test]
async fn folders_are_renamed_with_what_is_in_them() {
    let server = with_mail(2).await;
    for folder in ["Work", "Work/2025", "Workshop"] {
        server.add_folder(ANN, folder).unwrap();
        server.append(ANN, folder, MAIL).unwrap();
    }
    let mut peer = logged_in(&server).await;
    let list = |name: &str, attributes: &str| format!("* LIST ({attributes}) \"/\" \"{name}\"");
    let (none, some) = ("\\HasNoChildren", "\\HasChildren");
    let work = [list("Work", some), list("Work/2025", none), list("Workshop", none)];
    expect(&mut peer, "LIST \"\" W*", &work.each_ref().map(String::as_str), "t OK").await;
    let validity = peer.command("STATUS Work/2025 (UIDVALIDITY)").await.remove(0);
    expect(&mut peer, "RENAME Work Old/Work", &[], "t OK").await;
    let moved = [list("Old/Work", some), list("Old/Work/2025", none), list("Workshop", none)];
    expect(&mut peer, "LIST \"\" *Work*", &moved.each_ref().map(String::as_str), "t OK").await;
    // It is the same folder under another name.
    let renamed = peer.command("STATUS Old/Work/2025 (UIDVALIDITY)").await.remove(0);
    assert_eq!(renamed.replace("Old/", ""), validity);
    for refused in ["RENAME Work Other", "RENAME Old/Work Workshop", "RENAME Workshop INBOX", "DELETE Old"] {
        expect(&mut peer, refused, &[], "t NO").await;
    }
    expect(&mut peer, &format!("RENAME Old/Work {}", "x".repeat(251)), &[], "t NO").await;
    expect(&mut peer, "RENAME Workshop", &[], "t BAD").await;
    expect(&mut peer, "RENAME Workshop a b", &[], "t BAD").await;
    // INBOX stays, and gives its messages away.
    expect(&mut peer, "RENAME INBOX Before", &[], "t OK").await;
    assert_eq!(server.messages(ANN, "Before").unwrap().len(), 2);
    assert!(server.messages(ANN, "INBOX").unwrap().is_empty());
    assert_eq!(server.rename_folder(ANN, "Workshop", "Shop"), Ok(true));
    assert_eq!(server.delete_folder(ANN, "Before"), Ok(true));
    assert_eq!((server.delete_folder(ANN, "INBOX"), server.rename_folder(ANN, "x", "y")), (Ok(false), Ok(false)));
    let mut other = logged_in(&server).await;
    other.command("SELECT Shop").await;
    server.rename_folder(ANN, "Shop", "Else").unwrap();
    expect(&mut other, "NOOP", &["* BYE The selected folder is not what it was"], "<closed>").await;
}

#[tokio::test]
async fn names_are_written_in_modified_utf_7() {
    let server = with_mail(0).await;
    server.add_special_folder(ANN, "Entwürfe", "\\Drafts").unwrap();
    server.append(ANN, "Entwürfe", MAIL).unwrap();
    let mut peer = logged_in(&server).await;
    let listed = "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Entw&APw-rfe\"";
    expect(&mut peer, "LIST \"\" E*", &[listed], "t OK").await;
    let status = "* STATUS \"Entw&APw-rfe\" (MESSAGES 1)";
    expect(&mut peer, "STATUS Entw&APw-rfe (MESSAGES)", &[status], "t OK").await;
    expect(&mut peer, "STATUS {9+}\r\nEntwürfe (MESSAGES)", &[], "t NO [CANNOT]").await;
}

#[tokio::test]
async fn without_uidplus_and_special_uses_nothing_of_them_is_said() {
    let server = with_mail_on(Options::plain(), 2).await;
    let mut peer = selected(&server).await;
    expect(&mut peer, "LIST \"\" Sent", &["* LIST (\\HasNoChildren) \"/\" \"Sent\""], "t OK").await;
    expect(&mut peer, "UID COPY 1 Sent", &[], "t OK COPY done").await;
    expect(&mut peer, "APPEND Sent {1+}\r\nx", &[], "t OK APPEND done").await;
    expect(&mut peer, "UID MOVE 1 Sent", &[], "t BAD").await;
    expect(&mut peer, "UID EXPUNGE 1", &[], "t BAD").await;
    assert_eq!(server.messages(ANN, "Sent").unwrap().len(), 2);
}
