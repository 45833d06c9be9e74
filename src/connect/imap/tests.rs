//! Sessions against scripted listeners, which play the first lines of a dishonest server, and against the in-process one.

use super::*;
use crate::connect::effective::SyncSettings;
use crate::domain::connection::{Endpoint, Reach, TlsMode};
use crate::domain::failure::{Failure, FailureKind, Stage};
use crate::domain::folder_choice::SpecialUse;
use crate::domain::mailbox::SecretField;
use crate::domain::stages::Stages;
use crate::domain::time::Timestamp;
use crate::mailserver::{Act, Count, MailServer, Options, Point, Rule};
use crate::net::authority::Authority;
use crate::net::{EgressRules, MapDialer, Network, Trust};
use base64::Engine;
use secrecy::SecretString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const NAME: &str = "mail.example";
const ANN: &str = "ann@example.test";
const PASSWORD: &str = "c4nary \"pass\\word";
/// Long enough for any machine; only what must never happen takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const MAIL: &[u8] = b"Message-ID: <1@x>\r\nSubject: Hi\r\n\r\nbody\xff\0\r\n";

/// `mail.example` at a public or a private address, behind which `target` answers on `port`.
fn network(target: SocketAddr, port: u16, private: bool, trust: &Trust) -> Network {
    let address: IpAddr = if private { "10.0.0.1" } else { "9.9.9.9" }.parse().unwrap();
    let dialer = MapDialer::new().name(NAME, [address]).route(SocketAddr::new(address, port), target);
    Network::new(Arc::new(dialer), trust, EgressRules::default())
}

fn settings(port: u16, tls: TlsMode) -> SyncSettings {
    SyncSettings {
        endpoint: Endpoint { host: NAME.into(), port, tls, reach: Reach::Private },
        username: ANN.into(),
        secret: SecretField::Password,
        inbox: "INBOX".into(),
    }
}

fn limits() -> ImapLimits {
    ImapLimits { connect: PATIENCE, step: PATIENCE, command: PATIENCE, ..ImapLimits::default() }
}

/// Opens a session on a blocking thread and goes on with `then` there.
async fn session<T: Send + 'static>(
    network: Network,
    settings: SyncSettings,
    password: &str,
    then: impl FnOnce(ImapSession) -> T + Send + 'static,
) -> (Stages, Result<T, Failure>) {
    let password = SecretString::from(password);
    tokio::task::spawn_blocking(move || {
        let mut stages = Stages::new();
        let result = ImapSession::open(&network, &settings, &password, &mut stages, limits()).map(then);
        (stages, result)
    })
    .await
    .unwrap()
}

/// A server that says `greeting`, then one of `replies` to each line; then it only listens. Returns all it heard.
async fn scripted(greeting: &'static str, replies: &'static [&'static str]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let playing = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        for reply in replies {
            let start = heard.len();
            stream.read_until(b'\n', &mut heard).await.unwrap();
            let line = String::from_utf8_lossy(&heard[start..]).into_owned();
            let tag = line.split(' ').next().unwrap_or_default();
            if stream.write_all(reply.replace("{tag}", tag).as_bytes()).await.is_err() {
                break;
            }
        }
        // A reset is an end too.
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    });
    (address, playing)
}

fn assert_no_credential(heard: &str) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("\0{ANN}\0{PASSWORD}"));
    for secret in ["c4nary", ANN, &encoded, "LOGIN", "AUTHENTICATE"] {
        assert!(!heard.contains(secret), "{secret} in {heard}");
    }
}

const GREETING: &str = "* OK ready\r\n";
const PLAIN_OFFER: &str = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done\r\n";
const TLS_OFFER: &str = "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n{tag} OK done\r\n";

#[tokio::test]
async fn a_server_that_is_not_straight_before_the_log_in_never_sees_the_credential() {
    use FailureKind::{Config, Temporary};
    use TlsMode::{StartTls, StartTlsIfOffered};
    let preauth = "* PREAUTH welcome back\r\n";
    for (tls, private, greeting, replies, stage, kind) in [
        (StartTls, false, preauth, &[TLS_OFFER][..], Stage::Greeting, Config),
        (StartTlsIfOffered, true, preauth, &[PLAIN_OFFER], Stage::Greeting, Config),
        (StartTls, false, "* BYE busy\r\n", &[], Stage::Greeting, Temporary),
        (StartTls, false, "220 mail.example ESMTP\r\n", &[], Stage::Greeting, Config),
        // No STARTTLS where it is required, or where plaintext must not go.
        (StartTls, true, GREETING, &[PLAIN_OFFER], Stage::StartTls, Config),
        (StartTlsIfOffered, false, GREETING, &[PLAIN_OFFER], Stage::StartTls, Config),
        // A refusal, and answers with something behind them.
        (StartTls, false, GREETING, &[TLS_OFFER, "{tag} NO not now\r\n"], Stage::StartTls, Temporary),
        (StartTlsIfOffered, true, GREETING, &[TLS_OFFER, "{tag} BAD what\r\n"], Stage::StartTls, Temporary),
        (StartTls, false, GREETING, &[TLS_OFFER, "{tag} OK go\r\n* OK injected\r\n"], Stage::StartTls, Temporary),
        (StartTls, false, GREETING, &[TLS_OFFER, "{tag} OK go\r\np3 OK injected\r\n"], Stage::StartTls, Temporary),
        (StartTls, false, GREETING, &[TLS_OFFER, "* PREAUTH x\r\n* BYE\r\n"], Stage::StartTls, Temporary),
        // Once STARTTLS is offered there is no way back to plaintext.
        (StartTlsIfOffered, true, GREETING, &[TLS_OFFER, "{tag} OK go\r\n", "no TLS\r\n"], Stage::Tls, Config),
        // Nobody may log in, or nobody knows what is being said.
        (
            StartTlsIfOffered,
            true,
            GREETING,
            &["* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n{tag} OK done\r\n"],
            Stage::Authentication,
            Config,
        ),
        (StartTlsIfOffered, true, GREETING, &["a7 OK done\r\n"], Stage::Capabilities, Temporary),
        (StartTlsIfOffered, true, GREETING, &["+ go on\r\n"], Stage::Capabilities, Temporary),
        (StartTlsIfOffered, true, GREETING, &["{tag} NO\r\n"], Stage::Capabilities, Temporary),
    ] {
        let (address, playing) = scripted(greeting, replies).await;
        let network = network(address, 143, private, &Trust::nobody());
        let (stages, result) = session(network, settings(143, tls), PASSWORD, |_| ()).await;
        let failure = result.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (stage, kind), "{greeting} {replies:?}: {failure}");
        let last = stages.reports().last().unwrap();
        assert!(!last.ok && last.stage == stage, "{stages:?}");
        assert_no_credential(&playing.await.unwrap());
    }
}

#[tokio::test]
async fn what_was_said_in_plaintext_before_tls_is_not_shown() {
    let (address, _playing) = scripted("* BYE call 555-0100 for help\r\n", &[]).await;
    let network = network(address, 143, false, &Trust::nobody());
    let (stages, result) = session(network, settings(143, TlsMode::StartTls), PASSWORD, |_| ()).await;
    assert!(!format!("{stages:?} {result:?}").contains("555"));
}

#[tokio::test]
async fn endless_lines_and_endless_answers_are_not_listened_to() {
    static LINE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    static LINES: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let line = LINE.get_or_init(|| "x".repeat(100_000));
    let lines = LINES.get_or_init(|| "* OK still there\r\n".repeat(1_000));
    for (greeting, replies, stage) in
        [(line.as_str(), vec![], Stage::Greeting), (GREETING, vec![lines.as_str()], Stage::Capabilities)]
    {
        let (address, playing) = scripted(greeting, Box::leak(replies.into_boxed_slice())).await;
        let network = network(address, 143, true, &Trust::nobody());
        let (_, result) = session(network, settings(143, TlsMode::StartTlsIfOffered), PASSWORD, |_| ()).await;
        assert_eq!(result.unwrap_err().stage, stage);
        assert_no_credential(&playing.await.unwrap());
    }
}

/// The in-process server with Ann's account, over TLS with a certificate of `authority`.
async fn server(authority: &Authority, options: Options) -> MailServer {
    let tls = Some(authority.acceptor(NAME).config().clone());
    let server = MailServer::start(Options { tls, ..options }).await.unwrap();
    server.add_account(ANN, PASSWORD);
    server
}

#[tokio::test]
async fn an_honest_server_is_reached_over_both_kinds_of_tls_and_every_stage_is_recorded() {
    use Stage::{Authentication, Capabilities, Dns, Egress, Greeting, StartTls, Tcp, Tls};
    let authority = Authority::new();
    let server = server(&authority, Options { require_tls_for_auth: true, ..Options::default() }).await;
    let implicit = vec![Dns, Egress, Tcp, Tls, Greeting, Capabilities, Authentication];
    let upgraded = vec![Dns, Egress, Tcp, Greeting, Capabilities, StartTls, Tls, Capabilities, Authentication];
    for (port, target, tls, expected) in [
        (993, server.imaps().unwrap(), TlsMode::Implicit, &implicit),
        (143, server.imap(), TlsMode::StartTls, &upgraded),
        (143, server.imap(), TlsMode::StartTlsIfOffered, &upgraded),
        (1993, server.imaps().unwrap(), TlsMode::ImplicitThenStartTls, &implicit),
    ] {
        let network = network(target, port, false, &authority.trust());
        let (stages, result) = session(network, settings(port, tls), PASSWORD, ImapSession::logout).await;
        result.unwrap();
        assert!(stages.reports().iter().all(|report| report.ok));
        assert_eq!(&stages.reports().iter().map(|report| report.stage).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn an_untrusted_certificate_ends_it_before_any_log_in() {
    let authority = Authority::new();
    let server = server(&authority, Options::default()).await;
    for (port, target, tls) in [
        (993, server.imaps().unwrap(), TlsMode::Implicit),
        (143, server.imap(), TlsMode::StartTls),
        (143, server.imap(), TlsMode::StartTlsIfOffered),
    ] {
        // Plaintext would be allowed to this address: it must not be an excuse.
        let network = network(target, port, true, &Trust::nobody());
        let (_, result) = session(network, settings(port, tls), PASSWORD, |_| ()).await;
        let failure = result.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Tls, FailureKind::Config));
        assert!(failure.advice.unwrap().contains("extra_ca_file"));
    }
    assert_eq!(server.connections().logins, 0);
}

#[tokio::test]
async fn a_wrong_password_is_the_credentials_fault_and_a_busy_server_is_not() {
    let authority = Authority::new();
    let server = server(&authority, Options::default()).await;
    let open = |password: &'static str| {
        let network = network(server.imaps().unwrap(), 993, false, &authority.trust());
        async move { session(network, settings(993, TlsMode::Implicit), password, |_| ()).await.1 }
    };
    let failure = open("wrong").await.unwrap_err();
    assert_eq!((failure.stage, failure.kind), (Stage::Authentication, FailureKind::Auth));
    assert!(failure.server.is_some() && failure.advice.is_some());
    let reply = |line: &str| Rule::new(Point::ImapLogin, Act::Reply(line.into()));
    let rule = server.script(reply("{tag} NO [UNAVAILABLE] try later"));
    assert_eq!(open(PASSWORD).await.unwrap_err().kind, FailureKind::Temporary);
    server.clear(rule);
    let rule = server.script(reply("{tag} NO LOGIN ann c4nary \"pass\\word is wrong"));
    let failure = open(PASSWORD).await.unwrap_err();
    assert!(failure.server.as_ref().unwrap().starts_with("(not shown"), "{failure:?}");
    server.clear(rule);
    server.script(Rule::new(Point::ImapLogin, Act::Drop));
    assert_eq!(open(PASSWORD).await.unwrap_err().kind, FailureKind::Temporary);
}

#[tokio::test]
async fn passwords_of_any_characters_arrive_and_control_characters_go_nowhere() {
    let authority = Authority::new();
    let server = server(&authority, Options::default()).await;
    // Once as the server is, with LOGIN for what is ASCII, and once without LOGIN.
    for answer in [None, Some("* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN\n{tag} OK done")] {
        if let Some(answer) = answer {
            server.script(Rule::new(Point::ImapCommand("CAPABILITY"), Act::Reply(answer.into())));
            server.script(Rule::new(Point::ImapCommand("LOGIN"), Act::Drop));
        }
        for password in ["a\"b\\c {5}", "pässwörd", "%*()"] {
            server.add_account(ANN, password);
            let network = network(server.imaps().unwrap(), 993, false, &authority.trust());
            session(network, settings(993, TlsMode::Implicit), password, |_| ()).await.1.unwrap();
        }
    }
    let nowhere = network("127.0.0.1:9".parse().unwrap(), 1, false, &Trust::nobody());
    for password in ["a\r\nb LOGOUT", "a\0b", "a\u{85}b"] {
        let (_, result) = session(nowhere.clone(), settings(993, TlsMode::Implicit), password, |_| ()).await;
        let failure = result.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Authentication, FailureKind::Config));
    }
}

/// Runs `then` in a session with an honest server that holds three messages.
async fn with_mail<T: Send + 'static>(
    rules: Vec<Rule>,
    then: impl FnOnce(&mut ImapSession) -> T + Send + 'static,
) -> (MailServer, T) {
    let authority = Authority::new();
    let server = server(&authority, Options::default()).await;
    for day in ["2026-07-01", "2026-07-02", "2026-07-03"] {
        server.append_at(ANN, "INBOX", MAIL, Timestamp::parse(day).unwrap()).unwrap();
    }
    server.set_flags(ANN, "INBOX", 2, &["\\Seen", "work"]).unwrap();
    for rule in rules {
        server.script(rule);
    }
    let network = network(server.imaps().unwrap(), 993, false, &authority.trust());
    let (_, result) = session(network, settings(993, TlsMode::Implicit), PASSWORD, |mut session| {
        let value = then(&mut session);
        session.logout();
        value
    })
    .await;
    (server, result.unwrap())
}

#[tokio::test]
async fn folders_facts_and_texts_are_read_without_touching_a_flag() {
    let (server, ()) = with_mail(vec![], |session| {
        let folders = session.folders().unwrap();
        let sent = folders.iter().find(|folder| folder.name == "Sent").unwrap();
        assert_eq!((sent.special, sent.selectable), (Some(SpecialUse::Sent), true));
        let state = session.examine("INBOX").unwrap();
        assert_eq!((state.exists, state.uid_next), (3, Some(4)));
        assert!(state.uid_validity.is_some());
        assert_eq!(session.last_uid().unwrap(), Some(3));
        assert_eq!(session.search(None, &(1..=u32::MAX), None).unwrap(), [1, 2, 3]);
        assert!(session.search(None, &(4..=u32::MAX), None).unwrap().is_empty());
        assert_eq!(session.search(Some(&(1..=2)), &(2..=3), None).unwrap(), [2]);
        let since = Timestamp::parse("2026-07-02");
        assert_eq!(session.search(None, &(1..=3), since).unwrap(), [2, 3]);
        let facts = session.facts(&[2, 3, 9], Asked::default()).unwrap();
        assert_eq!(facts.iter().map(|fact| fact.uid).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(facts[0].received_at, since);
        assert_eq!(facts[0].size, Some(MAIL.len() as u64));
        assert!(facts[0].flags.contains(&"\\Seen".into()) && facts[0].flags.contains(&"work".into()));
        let bodies = session.bodies(&[1, 3], 100).unwrap();
        assert_eq!(bodies, [(1, MAIL.to_vec()), (3, MAIL.to_vec())]);
        assert_eq!(session.headers(&[2]).unwrap()[0].1, &MAIL[..MAIL.len() - 8]);
        session.append("Sent", MAIL).unwrap();
    })
    .await;
    assert!(!server.messages(ANN, "INBOX").unwrap()[0].flags.contains("\\Seen"));
    assert_eq!(&*server.messages(ANN, "Sent").unwrap()[0].raw, MAIL);
}

#[tokio::test]
async fn a_refusal_leaves_the_session_usable_and_names_cannot_carry_commands() {
    let refuse = Rule::new(Point::ImapCommand("FETCH"), Act::Reply("{tag} NO cannot".into())).count(Count::Nth(1));
    with_mail(vec![refuse], |session| {
        assert!(session.examine("no such folder").unwrap_err().server.is_some());
        for name in ["a\r\nb LOGOUT", "", "ä"] {
            assert_eq!(session.examine(name).unwrap_err().kind, FailureKind::Config);
            assert!(session.append(name, MAIL).is_err());
        }
        session.examine("INBOX").unwrap();
        assert_eq!(session.bodies(&[1], 100).unwrap_err().server.as_deref(), Some("cannot"));
        assert!(session.is_usable());
        assert_eq!(session.bodies(&[1], 100).unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn hostile_answers_end_the_session_with_a_failure_and_nothing_else() {
    let nested = [&b"* 1 FETCH (BODYSTRUCTURE "[..], &b"(".repeat(100_000), b"\r\n"].concat();
    let flood = b"* 1 FETCH (FLAGS (\\Seen))\r\n".repeat(100_000);
    for (raw, words) in [
        (&b"* 1 FETCH (UID 1 BODY[] {4294967296}\r\n"[..], "announced 4294967296 bytes"),
        (b"* 1 FETCH (UID 1 BODY[] {1073741824}\r\n", "announced 1073741824 bytes"),
        (&nested, "nested lists"),
        (&flood, "sent more than it was asked for"),
        (b"* BYE shutting down\r\n", "closed the connection"),
        (b"b77 OK done\r\n", "not IMAP"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not IMAP"),
        (b"* 1 FETCH (UID 99999999999999)\r\n", "not IMAP"),
    ] {
        let raw = raw.to_vec();
        let act = if raw.starts_with(b"* BYE") { Act::Reply("* BYE shutting down".into()) } else { Act::Raw(raw) };
        with_mail(vec![Rule::new(Point::ImapCommand("FETCH"), act)], move |session| {
            session.examine("INBOX").unwrap();
            let failure = session.bodies(&[1], 100).unwrap_err();
            assert_eq!((failure.stage, failure.kind), (Stage::Fetch, FailureKind::Temporary));
            assert!(failure.sentence.contains(words), "{failure}");
            assert!(!session.is_usable());
            assert!(session.folders().unwrap_err().sentence.contains("has ended"));
        })
        .await;
    }
}

#[tokio::test]
async fn answers_about_messages_nobody_asked_for_are_ignored() {
    let news = b"* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\n* 2 FETCH (FLAGS (\\Seen) UID 1)\r\n* 9 EXISTS\r\n".to_vec();
    with_mail(vec![Rule::new(Point::ImapCommand("FETCH"), Act::Before(news))], |session| {
        session.examine("INBOX").unwrap();
        assert_eq!(session.bodies(&[1], 100).unwrap(), [(1, MAIL.to_vec())]);
        assert_eq!(session.facts(&[1], Asked::default()).unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_numbered_anew_in_mid_session_ends_it() {
    let news = b"* OK [UIDVALIDITY 4000000000] restored\r\n".to_vec();
    with_mail(vec![Rule::new(Point::ImapCommand("FETCH"), Act::Before(news))], |session| {
        session.examine("INBOX").unwrap();
        assert!(session.facts(&[1], Asked::default()).unwrap_err().sentence.contains("numbered"));
        assert!(!session.is_usable());
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_session_ends_at_once_also_before_the_log_in() {
    let (address, _playing) = scripted("", &[]).await;
    let network = network(address, 143, true, &Trust::nobody());
    let cancel = CancellationToken::new();
    let limits = ImapLimits { cancel: cancel.clone(), ..limits() };
    let opening = tokio::task::spawn_blocking(move || {
        let settings = settings(143, TlsMode::StartTlsIfOffered);
        ImapSession::open(&network, &settings, &PASSWORD.into(), &mut Stages::new(), limits).unwrap_err()
    });
    cancel.cancel();
    assert_eq!(opening.await.unwrap().kind, FailureKind::Temporary);
}

#[tokio::test]
async fn a_message_is_found_by_its_message_id_and_by_nothing_else() {
    with_mail(Vec::new(), |session| {
        session.examine("INBOX").unwrap();
        session.append("Sent", b"Message-ID: <one.1@demo.test>\r\n\r\none\r\n").unwrap();
        session.examine("Sent").unwrap();
        assert!(session.has_message("one.1@demo.test").unwrap());
        assert!(!session.has_message("one.2@demo.test").unwrap());
        for id in ["x\" OR ALL \"", "x\r\na LOGOUT", ""] {
            assert_eq!(session.has_message(id).unwrap_err().kind, FailureKind::Config, "{id:?}");
        }
        assert!(session.is_usable());
    })
    .await;
}

#[tokio::test]
async fn no_refusal_of_the_session_shows_the_password() {
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{ANN}\0{PASSWORD}"));
    let alone = base64::engine::general_purpose::STANDARD.encode(PASSWORD);
    for form in [PASSWORD.to_owned(), plain, alone] {
        let say = |verb, reply: String| Rule::new(Point::ImapCommand(verb), Act::Reply(reply));
        let rules = vec![
            say("EXAMINE", format!("{{tag}} NO no {form} here")),
            say("LIST", format!("{{tag}} BAD {form}")),
            say("APPEND", format!("{{tag}} NO [ALERT] {form}")),
            say("FETCH", format!("* BYE {form}")),
        ];
        let (_, told) = with_mail(rules, |session| {
            let failures = [
                session.examine("INBOX").unwrap_err(),
                session.folders().unwrap_err(),
                session.append("INBOX", MAIL).unwrap_err(),
                session.facts(&[1], Asked::default()).unwrap_err(),
            ];
            format!("{failures:?}")
        })
        .await;
        assert!(told.contains("not shown") && !told.contains(&form) && !told.contains(PASSWORD), "{told}");
    }
}
