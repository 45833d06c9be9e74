use super::authority::Certificate;
use super::dovecot::{Dovecot, Notes, Offers, Options, Storage};
use super::imap_client::ImapClient;

const ANN: &str = "ann@mail.test";
const LOGIN: &str = r#"LOGIN ann@mail.test "ann's secret""#;

fn message(subject: &str) -> Vec<u8> {
    format!("From: bob@mail.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@mail.test>\r\n\r\nHello\r\n")
        .into_bytes()
}

#[test]
fn a_saved_message_is_seen_over_implicit_tls_and_starttls() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    dovecot.append(ANN, "INBOX", &message("one"));
    let authority = dovecot.authority.der();
    let mut implicit = ImapClient::tls(dovecot.imaps, "localhost", authority.clone()).unwrap();
    assert!(implicit.command(LOGIN).unwrap().last().unwrap().starts_with("OK"));
    assert!(implicit.command("SELECT INBOX").unwrap().contains(&"* 1 EXISTS".to_owned()));
    let sent = implicit.command(r#"LIST (SPECIAL-USE) "" "*""#).unwrap();
    assert!(sent.iter().any(|line| line.contains(r"\Sent") && line.contains("Sent")), "{sent:?}");

    let mut upgraded = ImapClient::starttls(dovecot.imap, "mail.test", authority).unwrap();
    assert!(upgraded.command(LOGIN).unwrap().last().unwrap().starts_with("OK"));
    assert!(upgraded.command("SELECT INBOX").unwrap().contains(&"* 1 EXISTS".to_owned()));
    let wrong = r#"LOGIN bob@mail.test "ann's secret""#;
    let refused = ImapClient::plain(dovecot.imap).unwrap().command(wrong).unwrap();
    assert!(refused.last().unwrap().starts_with("NO [AUTHENTICATIONFAILED]"), "{refused:?}");
}

#[test]
fn folders_can_be_listed_and_changed_behind_a_clients_back() {
    let Some(dovecot) = Dovecot::start(&Options { storage: Storage::Mdbox, ..Options::default() }) else { return };
    for subject in ["one", "two", "three"] {
        dovecot.append(ANN, "INBOX", &message(subject));
    }
    dovecot.add_flags(ANN, "INBOX", 2, r"\Seen");
    dovecot.expunge(ANN, "INBOX", &["uid", "1"]);
    let listed = dovecot.list(ANN, "INBOX");
    let summary: Vec<_> = listed.iter().map(|m| (m.uid, m.message_id.as_str(), m.subject.as_str())).collect();
    assert_eq!(summary, [(2, "<two@mail.test>", "two"), (3, "<three@mail.test>", "three")]);
    assert!(listed[0].flags.contains(r"\Seen") && !listed[1].flags.contains(r"\Seen"), "{listed:?}");
    assert!(dovecot.raw(ANN, "INBOX", 3).contains("Subject: three\n"), "{}", dovecot.raw(ANN, "INBOX", 3));

    dovecot.set_uid_validity(ANN, "INBOX", 77);
    let status = dovecot.status(ANN, "INBOX");
    assert_eq!((status.messages, status.uid_next, status.uid_validity), (2, 4, 77));
    dovecot.create_folder(ANN, "Work/2026");
    dovecot.append(ANN, "Work/2026", &message("four"));
    assert_eq!(
        (dovecot.count(ANN, "Work/2026"), dovecot.count(ANN, "Sent"), dovecot.count("bob@mail.test", "INBOX")),
        (1, 0, 0)
    );
    dovecot.kick(ANN);
}

#[test]
fn without_plaintext_logins_the_server_says_so() {
    let Some(dovecot) = Dovecot::start(&Options { plaintext_login: false, ..Options::default() }) else { return };
    let mut plain = ImapClient::plain(dovecot.imap).unwrap();
    assert!(plain.greeting.contains("LOGINDISABLED"), "{}", plain.greeting);
    assert!(plain.command(LOGIN).unwrap().iter().any(|line| line.starts_with("NO [PRIVACYREQUIRED]")));
    let mut upgraded = ImapClient::starttls(dovecot.imap, &dovecot.host(), dovecot.authority.der()).unwrap();
    assert!(upgraded.command(LOGIN).unwrap().last().unwrap().starts_with("OK"));
}

#[test]
fn bad_certificates_are_bad() {
    for (certificate, reason) in [
        (Certificate::Untrusted, "UnknownIssuer"),
        (Certificate::WrongName, "NotValidForName"),
        (Certificate::Expired, "Expired"),
    ] {
        let Some(dovecot) = Dovecot::start(&Options { certificate, ..Options::default() }) else { return };
        let error = ImapClient::tls(dovecot.imaps, "localhost", dovecot.authority.der()).err().unwrap();
        let said = format!("{error:?}");
        assert!(said.contains(reason), "{certificate:?}: {said}");
    }
}

#[test]
fn it_offers_what_it_is_told_to_and_hears_what_is_asked() {
    for (offers, qresync, condstore) in
        [(Offers::Qresync, true, true), (Offers::Condstore, false, true), (Offers::Plain, false, false)]
    {
        let Some(dovecot) = Dovecot::start(&Options { offers, notes: Notes::Conversations, ..Options::default() })
        else {
            return;
        };
        dovecot.append(ANN, "INBOX", &message("one"));
        let mut client = ImapClient::tls(dovecot.imaps, "localhost", dovecot.authority.der()).unwrap();
        let login = client.command(LOGIN).unwrap().concat();
        let capability = client.command("CAPABILITY").unwrap().concat();
        for offered in [login, capability] {
            assert_eq!((offered.contains("QRESYNC"), offered.contains("CONDSTORE")), (qresync, condstore), "{offered}");
        }
        client.done("SELECT INBOX (CONDSTORE)").unwrap();
        client.command("LOGOUT").unwrap();
        let heard = dovecot.heard();
        assert!(heard.contains("SELECT INBOX (CONDSTORE)"), "{heard}");
        assert!(dovecot.said() > 100);
    }
}
