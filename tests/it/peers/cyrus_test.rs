use super::cyrus::Cyrus;
use super::imap_client::ImapClient;

const LOGIN: &str = r#"LOGIN ann@mail.test "whatever""#;

#[test]
fn it_keeps_mail_over_tls_and_offers_what_dovecot_offers() {
    let Some(cyrus) = Cyrus::start() else { return };
    let mut plain = ImapClient::plain(cyrus.imap).unwrap();
    assert!(plain.greeting.contains("Cyrus IMAP"), "{}", plain.greeting);
    assert!(plain.command(LOGIN).unwrap().last().unwrap().starts_with("OK"));
    let mail = b"Subject: one\r\nMessage-ID: <one@mail.test>\r\n\r\nHello\r\n";
    plain.append("INBOX", r"\Seen", mail).unwrap();

    let mut secure = ImapClient::tls(cyrus.imaps, "localhost", cyrus.authority.der()).unwrap();
    assert!(secure.command(LOGIN).unwrap().last().unwrap().starts_with("OK"));
    let offered = secure.command("CAPABILITY").unwrap().concat();
    assert!(offered.contains("QRESYNC") && offered.contains("CONDSTORE"), "{offered}");
    let listed = secure.list().unwrap();
    assert_eq!(listed, ["INBOX", "Sent"]);
    assert!(secure.command("SELECT INBOX").unwrap().contains(&"* 1 EXISTS".to_owned()));
    let messages = secure.messages("INBOX").unwrap();
    assert_eq!((messages[0].message_id.as_str(), messages[0].flags.as_str()), ("<one@mail.test>", r"\Seen"));
}
