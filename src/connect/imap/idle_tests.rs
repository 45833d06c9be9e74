//! Watches against the in-process server, and against ones that do not keep their word.

use super::*;
use crate::domain::connection::{Endpoint, Reach, TlsMode};
use crate::domain::failure::FailureKind;
use crate::domain::mailbox::SecretField;
use crate::mailserver::{Act, Capabilities, Count, Gate, MailServer, Options, Point, Rule};
use crate::net::{EgressRules, MapDialer, Trust};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const ANN: &str = "ann@example.test";
const PASSWORD: &str = "c4nary \"pass\\word";
const MAIL: &[u8] = b"Subject: Hi\r\n\r\nbody\r\n";
/// Long enough for any machine; only what must never happen takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits(renew: Duration) -> WatchLimits {
    WatchLimits { connect: PATIENCE, step: PATIENCE, renew }
}

async fn open(server: SocketAddr, password: &str, limits: WatchLimits) -> Result<Option<Watch>, Failure> {
    let address = SocketAddr::from(([10, 0, 0, 1], 143));
    let dialer = MapDialer::new().name("mail.example", [address.ip()]).route(address, server);
    let network = Network::new(Arc::new(dialer), &Trust::nobody(), EgressRules::default());
    let settings = SyncSettings {
        endpoint: Endpoint {
            host: "mail.example".into(),
            port: 143,
            tls: TlsMode::StartTlsIfOffered,
            reach: Reach::Private,
        },
        username: ANN.into(),
        secret: SecretField::Password,
        inbox: "INBOX".into(),
    };
    Watch::open(&network, &settings, &password.into(), limits).await
}

async fn server(options: Options) -> MailServer {
    let server = MailServer::start(options).await.unwrap();
    server.add_account(ANN, PASSWORD);
    server
}

#[tokio::test]
async fn what_happens_in_the_folder_is_told_apart() {
    let server = server(Options::default()).await;
    let uid = server.append(ANN, "INBOX", MAIL).unwrap();
    let mut watch = open(server.imap(), PASSWORD, limits(PATIENCE)).await.unwrap().unwrap();
    let folder = watch.folder();
    assert_eq!((folder.exists, folder.uid_next), (1, Some(uid + 1)));
    assert!(folder.uid_validity.is_some());
    server.append(ANN, "INBOX", MAIL).unwrap();
    assert_eq!(watch.news().await.unwrap(), News::Mail);
    server.set_flags(ANN, "INBOX", uid, &["\\Seen"]).unwrap();
    assert_eq!(watch.news().await.unwrap(), News::Change);
    server.remove(ANN, "INBOX", &[uid]).unwrap();
    assert_eq!(watch.news().await.unwrap(), News::Change);
    server.append(ANN, "INBOX", MAIL).unwrap();
    assert_eq!(watch.news().await.unwrap(), News::Mail);
    watch.close().await;
    server.stop().await;
}

#[tokio::test]
async fn idle_is_begun_anew_and_misses_nothing() {
    let server = server(Options::default()).await;
    let again = Gate::new();
    server.script(Rule::new(Point::ImapCommand("IDLE"), Act::Hold(again.clone())).count(Count::Nth(3)));
    let mut watch = open(server.imap(), PASSWORD, limits(Duration::from_millis(20))).await.unwrap().unwrap();
    let watching = tokio::spawn(async move { watch.news().await });
    // The third IDLE has come, so two have ended in order. What happens between two of them is told with the next.
    again.arrived(1).await;
    server.append(ANN, "INBOX", MAIL).unwrap();
    again.open();
    assert_eq!(watching.await.unwrap().unwrap(), News::Mail);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_dead_without_saying_so_is_found_out() {
    let server = server(Options::default()).await;
    server.script(Rule::new(Point::ImapCommand("IDLE"), Act::Hold(Gate::new())).count(Count::Nth(2)));
    let limits = WatchLimits { step: Duration::from_millis(300), ..limits(Duration::from_millis(20)) };
    let mut watch = open(server.imap(), PASSWORD, limits).await.unwrap().unwrap();
    let failure = watch.news().await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.sentence.as_str()),
        (FailureKind::Temporary, "mail.example did not answer in time.")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_idle_and_a_wrong_password_are_told_apart() {
    let old = server(Options { imap_capabilities: Capabilities::without(&["IDLE"]), ..Options::default() }).await;
    assert!(open(old.imap(), PASSWORD, limits(PATIENCE)).await.unwrap().is_none());
    let failure = open(old.imap(), "wrong", limits(PATIENCE)).await.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (FailureKind::Auth, Stage::Authentication));
    old.stop().await;
    // A log-in by SASL only.
    let sasl = server(Options::default()).await;
    sasl.script(Rule::new(Point::ImapCommand("LOGIN"), Act::Reply("{tag} NO not here".into())));
    let refused = open(sasl.imap(), PASSWORD, limits(PATIENCE)).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Auth);
    sasl.add_account(ANN, "pässword");
    assert!(open(sasl.imap(), "pässword", limits(PATIENCE)).await.unwrap().is_some());
    sasl.stop().await;
}

/// A server that says all of `words` after the log-in, then keeps quiet.
async fn babbling(words: &[u8]) -> SocketAddr {
    let words = words.to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let before = b"* OK hi\r\n* CAPABILITY IMAP4rev1 IDLE\r\np1 OK\r\nw1 OK\r\n* CAPABILITY IDLE\r\nw2 OK\r\n";
        stream.write_all(before).await.unwrap();
        stream.write_all(b"* 3 EXISTS\r\nw3 OK\r\n").await.unwrap();
        // Whoever has heard enough hangs up.
        let _ = stream.write_all(&words).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    address
}

#[tokio::test]
async fn whatever_a_server_says_ends_the_watch_at_worst() {
    let endless = vec![b'x'; 64 << 10];
    for (words, wanted) in [
        (&b"+ idling\r\n* BYE tired\r\n"[..], "ended the session"),
        (b"+ idling\r\nw4 OK\r\n", "ends it at once"),
        (b"w4 BAD what\r\n", "refused the command IDLE"),
        (b"+ idling\r\nnonsense\r\n", "not IMAP"),
        (b"+ idling\r\n* 1 FETCH (X {99999999}\r\n", "not IMAP"),
        (&endless, "not IMAP"),
    ] {
        let mut watch = open(babbling(words).await, PASSWORD, limits(PATIENCE)).await.unwrap().unwrap();
        let failure = watch.news().await.unwrap_err();
        assert!(failure.explain().contains(wanted), "{wanted}: {failure}");
    }
    let flood = [b"+ idling\r\n".to_vec(), b"* OK here\r\n".repeat(300_000)].concat();
    let mut watch = open(babbling(&flood).await, PASSWORD, limits(PATIENCE)).await.unwrap().unwrap();
    let failure = watch.news().await.unwrap_err();
    assert!(failure.explain().contains("more than there can be news"), "{failure}");
    // What stands in a literal is no news.
    let hidden = b"+ idling\r\n* 1 LIST (X {15}\r\n* 99 EXISTS\r\n\r\n)\r\n* 4 EXISTS\r\n";
    let mut watch = open(babbling(hidden).await, PASSWORD, limits(PATIENCE)).await.unwrap().unwrap();
    assert_eq!(watch.news().await.unwrap(), News::Mail);
    assert_eq!(watch.folder().exists, 4);
}
