use super::super::authority::Authority;
use super::super::dialer::{Dialing, MapDialer};
use super::*;
use crate::domain::connection::Reach;
use rcgen::CertificateParams;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);
const PUBLIC: &str = "9.9.9.9";

/// A server that greets over TLS, again and again.
async fn tls_server(acceptor: tokio_rustls::TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"hello").await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

/// A server that says one plaintext line and waits.
async fn plain_server(line: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(line).await;
                let mut sink = [0; 1024];
                while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    address
}

fn endpoint(host: &str, port: u16, tls: TlsMode, reach: Reach) -> Endpoint {
    Endpoint { host: host.into(), port, tls, reach }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(dialer: impl Dialer + 'static, trust: &Trust) -> Network {
    Network::new(Arc::new(dialer), trust, EgressRules::default())
}

/// An internet in which `mail.example` is a public server behind which `target` answers.
fn one_server(port: u16, target: SocketAddr) -> MapDialer {
    MapDialer::new().name("mail.example", [ip(PUBLIC)]).route(SocketAddr::new(ip(PUBLIC), port), target)
}

fn passed(stages: &Stages) -> Vec<(Stage, bool)> {
    stages.reports().iter().map(|report| (report.stage, report.ok)).collect()
}

#[tokio::test]
async fn a_verified_connection_passes_every_stage() {
    let authority = Authority::new();
    let server = tls_server(authority.acceptor("mail.example")).await;
    let network = network(one_server(993, server), &authority.trust());
    let mut stages = Stages::new();
    // The final dot and capitals of a full name do not disturb its verification.
    let place = endpoint("Mail.Example.", 993, TlsMode::Implicit, Reach::Public);
    let (mut connection, left) = network.open(&place, PATIENCE, &mut stages).await.unwrap();
    assert_eq!(left, StartTls::Done);
    assert!(connection.is_tls() && !connection.peer_is_private() && !connection.plaintext_allowed());
    assert_eq!(connection.peer().ip(), ip(PUBLIC));
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    assert_eq!(passed(&stages), [(Stage::Dns, true), (Stage::Egress, true), (Stage::Tcp, true), (Stage::Tls, true)]);
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_refused_with_its_own_advice() {
    let authority = Authority::new();
    let mut expired = CertificateParams::new(vec!["mail.example".to_owned()]).unwrap();
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    for (acceptor, trust, words, advice) in [
        (authority.acceptor("mail.example"), Trust::nobody(), "does not trust", "extra_ca_file"),
        (authority.acceptor_with(&expired), authority.trust(), "has expired", "renew"),
        (authority.acceptor("other.example"), authority.trust(), "is not for the name mail.example", "other.example"),
    ] {
        let server = tls_server(acceptor).await;
        // A port without a convention must not turn an untrusted certificate into another try.
        for (port, tls) in [(465, TlsMode::Implicit), (465, TlsMode::ImplicitThenStartTls)] {
            let mut stages = Stages::new();
            let place = endpoint("mail.example", port, tls, Reach::Public);
            let failure =
                network(one_server(port, server), &trust).open(&place, PATIENCE, &mut stages).await.unwrap_err();
            assert_eq!((failure.kind, failure.stage), (FailureKind::Config, Stage::Tls), "{failure}");
            assert!(failure.sentence.contains(words), "{failure}");
            assert!(failure.advice.as_deref().unwrap_or_default().contains(advice), "{failure}");
            assert_eq!(passed(&stages).last(), Some(&(Stage::Tls, false)));
            assert_eq!(stages.reports().len(), 4);
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_on_the_port_says_so_and_is_tried_with_starttls_where_no_convention_forbids() {
    let server = plain_server(b"220 hello\r\n").await;
    let trust = Trust::nobody();
    let mut stages = Stages::new();
    let place = endpoint("mail.example", 465, TlsMode::Implicit, Reach::Public);
    let failure = network(one_server(465, server), &trust).open(&place, PATIENCE, &mut stages).await.unwrap_err();
    assert_eq!(failure.sentence, "mail.example does not speak TLS on port 465.");
    let place = endpoint("mail.example", 2526, TlsMode::ImplicitThenStartTls, Reach::Private);
    let mut stages = Stages::new();
    let (connection, left) =
        network(one_server(2526, server), &trust).open(&place, PATIENCE, &mut stages).await.unwrap();
    assert_eq!(left, StartTls::Required);
    assert!(!connection.is_tls());
}

#[tokio::test]
async fn what_the_resolver_makes_of_a_name_decides_and_not_how_it_is_spelt() {
    for (spelling, address) in [
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("localhost", "::1"),
        ("rebound.example", "::ffff:10.0.0.1"),
        ("nat64.example", "64:ff9b::127.0.0.1"),
    ] {
        for spelling in [spelling.to_owned(), format!("{spelling}.")] {
            let dialer = MapDialer::new().name(spelling.trim_end_matches('.'), [ip(address)]);
            let place = endpoint(&spelling, 993, TlsMode::Implicit, Reach::Public);
            let mut stages = Stages::new();
            let failure = network(dialer, &Trust::nobody()).open(&place, PATIENCE, &mut stages).await.unwrap_err();
            assert_eq!((failure.kind, failure.stage), (FailureKind::Config, Stage::Egress), "{spelling}: {failure}");
            let told = serde_json::to_string(&(&failure, &stages)).unwrap();
            assert!(!told.contains(address), "{told}");
        }
    }
    for literal in ["127.0.0.1", "::1", "169.254.169.254", "①②⑦.0.0.1", "::ffff:169.254.169.254"] {
        let place = endpoint(literal, 993, TlsMode::Implicit, Reach::Public);
        let failure = network(SystemDialer, &Trust::nobody()).open(&place, PATIENCE, &mut Stages::new()).await;
        assert_eq!(failure.unwrap_err().stage, Stage::Egress, "{literal}");
    }
}

/// Answers with a public address first and with a private one ever after, as an attacker's name server would.
struct Rebinding {
    lookups: AtomicUsize,
    inner: MapDialer,
}

impl Dialer for Arc<Rebinding> {
    fn resolve<'a>(&'a self, _: &'a str) -> Dialing<'a, Vec<IpAddr>> {
        let first = self.lookups.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move { Ok(vec![ip(if first { PUBLIC } else { "127.0.0.1" })]) })
    }

    fn connect(&self, address: SocketAddr) -> Dialing<'_, TcpStream> {
        self.inner.connect(address)
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_checked_address_is_connected_to() {
    let server = plain_server(b"220 hello\r\n").await;
    let dialer = Arc::new(Rebinding { lookups: AtomicUsize::new(0), inner: one_server(587, server) });
    let network = network(dialer.clone(), &Trust::nobody());
    let place = endpoint("mail.example", 587, TlsMode::StartTls, Reach::Public);
    let (connection, _) = network.open(&place, PATIENCE, &mut Stages::new()).await.unwrap();
    assert_eq!(connection.peer(), SocketAddr::new(ip(PUBLIC), 587));
    assert_eq!(dialer.lookups.load(Ordering::SeqCst), 1);
    let failure = network.open(&place, PATIENCE, &mut Stages::new()).await.unwrap_err();
    assert_eq!(failure.stage, Stage::Egress);
}

#[tokio::test]
async fn the_next_address_is_tried_and_forbidden_ones_are_left_out() {
    let server = plain_server(b"220 hello\r\n").await;
    let dialer = MapDialer::new()
        .name("mail.example", [ip("10.0.0.1"), ip("8.8.8.8"), ip(PUBLIC)])
        .route(SocketAddr::new(ip("10.0.0.1"), 587), server)
        .route(SocketAddr::new(ip(PUBLIC), 587), server);
    let place = endpoint("mail.example", 587, TlsMode::StartTlsIfOffered, Reach::Public);
    let (connection, left) =
        network(dialer, &Trust::nobody()).open(&place, PATIENCE, &mut Stages::new()).await.unwrap();
    assert_eq!((connection.peer().ip(), left), (ip(PUBLIC), StartTls::IfOffered));
}

#[tokio::test]
async fn what_cannot_be_reached_says_why() {
    let trust = Trust::nobody();
    let open = async |dialer: MapDialer, place: Endpoint| {
        network(dialer, &trust).open(&place, PATIENCE, &mut Stages::new()).await.unwrap_err()
    };
    let place = |host: &str, port| endpoint(host, port, TlsMode::Implicit, Reach::Public);
    let unknown = open(MapDialer::new(), place("mail.exmaple", 993)).await;
    assert_eq!(
        (unknown.kind, unknown.stage, unknown.sentence.as_str()),
        (FailureKind::Config, Stage::Dns, "There is no server with the name mail.exmaple.")
    );
    let refused = open(MapDialer::new().name("mail.example", [ip(PUBLIC)]), place("mail.example", 993)).await;
    assert_eq!(
        (refused.kind, refused.stage, refused.sentence.as_str()),
        (FailureKind::Temporary, Stage::Tcp, "mail.example refused the connection on port 993.")
    );
    let port = open(MapDialer::new().name("mail.example", [ip(PUBLIC)]), place("mail.example", 6379)).await;
    assert_eq!(port.stage, Stage::Egress);
    assert!(port.sentence.contains("port 6379 is not a mail port"));
    for invalid in ["", ".", "a b", "a\r\nb", "https://mail.example/", "[::1]", "a@b", "a\0b"] {
        let failure = open(MapDialer::new(), place(invalid, 993)).await;
        assert_eq!(failure.sentence, "The host name is not valid.", "{invalid:?}");
    }
}

/// Never answers anything.
struct Silent;

impl Dialer for Silent {
    fn resolve<'a>(&'a self, host: &'a str) -> Dialing<'a, Vec<IpAddr>> {
        Box::pin(async move {
            if host == "slow.example" { std::future::pending().await } else { Ok(vec![ip(PUBLIC), ip("8.8.8.8")]) }
        })
    }

    fn connect(&self, _: SocketAddr) -> Dialing<'_, TcpStream> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn lookup_and_connection_end_with_their_time() {
    let network = network(Silent, &Trust::nobody());
    for (host, stage) in [("slow.example", Stage::Dns), ("mail.example", Stage::Tcp)] {
        let place = endpoint(host, 993, TlsMode::Implicit, Reach::Public);
        let failure = network.open(&place, Duration::from_millis(20), &mut Stages::new()).await.unwrap_err();
        assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, stage), "{failure}");
    }
}

#[test]
fn both_protocols_take_turns() {
    let addresses = ["1::1", "1::2", "1::3", "1.1.1.1"].map(ip);
    assert_eq!(by_turns(&addresses), ["1::1", "1.1.1.1", "1::2", "1::3"].map(ip));
    assert_eq!(by_turns(&[]), Vec::<IpAddr>::new());
}
