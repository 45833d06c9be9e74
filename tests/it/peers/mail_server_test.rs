//! Python's imaplib as a second opinion on the mail server that most tests talk to.

use super::process::find;
use postroom::mailserver::{MailServer, Options};
use std::process::Command;

const ANN: &str = "ann@example.test";

#[tokio::test]
async fn an_independent_client_understands_the_servers_extensions() {
    let Some(python) = find("python3") else { return };
    let server = MailServer::start(Options::qresync()).await.expect("a server");
    server.add_account(ANN, "ann-secret");
    for number in 1..=4 {
        let mail = format!("Message-ID: <{number}@x>\r\n\r\nbody {number}\r\n");
        server.append(ANN, "INBOX", mail.as_bytes()).expect("an inbox");
    }
    server.set_uid_validity(ANN, "Sent", 5).expect("a folder");
    let address = server.imap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/check_imap.py");
    let mut command = Command::new(python);
    command.args(["-I", script, &address.ip().to_string(), &address.port().to_string(), ANN, "ann-secret"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("Python runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("check_imap.py: {error}\n{complaints}"));
    let text = |name: &str| said[name].to_string();
    assert!(text("capabilities").contains("\"QRESYNC\""), "{said}");
    assert_eq!((text("enabled"), text("exists")), (r#"["QRESYNC"]"#.into(), r#"["4"]"#.into()));
    let seen = r#"["1 (UID 1 FLAGS (\\Recent \\Seen) MODSEQ (6))"]"#;
    assert_eq!((text("stored"), text("changed")), (seen.into(), seen.into()));
    assert_eq!((text("copied"), text("moved")), (r#"["5 2 1"]"#.into(), r#"["5 3 2"]"#.into()));
    assert_eq!((text("vanished"), text("vanished_earlier")), (r#"["3"]"#.into(), r#"["(EARLIER) 3"]"#.into()));
    assert_eq!(text("status"), r#"["\"INBOX\" (MESSAGES 3 HIGHESTMODSEQ 7)"]"#);
    let away = r#"["(\\HasNoChildren \\Sent) \"/\" \"Away\"","(\\HasNoChildren) \"/\" \"INBOX\""]"#;
    assert_eq!(text("folders"), away);
    assert!(text("message").contains("body 1"), "{said}");
}
