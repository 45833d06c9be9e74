//! The IMAP session against Dovecot: what one honest server really says.

use crate::peers::authority::Certificate;
use crate::peers::dovecot::{Dovecot, Options, Storage};
use postroom::connect::effective::SyncSettings;
use postroom::connect::imap::{Asked, ImapLimits, ImapSession};
use postroom::domain::connection::{Endpoint, Reach, TlsMode};
use postroom::domain::failure::{Failure, FailureKind, Stage};
use postroom::domain::folder_choice::SpecialUse;
use postroom::domain::mailbox::SecretField;
use postroom::domain::stages::Stages;
use postroom::net::{EgressRules, Network, SystemDialer, Trust};
use std::net::SocketAddr;
use std::sync::Arc;

const ANN: &str = "ann@mail.test";

fn open(dovecot: &Dovecot, at: SocketAddr, tls: TlsMode, password: &str) -> Result<ImapSession, Failure> {
    let trust = Trust::only(&dovecot.authority_file).unwrap();
    let network = Network::new(Arc::new(SystemDialer), &trust, EgressRules::default());
    let settings = SyncSettings {
        endpoint: Endpoint { host: dovecot.host(), port: at.port(), tls, reach: Reach::Private },
        username: ANN.into(),
        secret: SecretField::Password,
        inbox: "INBOX".into(),
    };
    ImapSession::open(&network, &settings, &password.into(), &mut Stages::new(), ImapLimits::default())
}

/// Runs `work` on a thread that may block, inside a runtime.
fn blocking(work: impl FnOnce() + Send + 'static) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { tokio::task::spawn_blocking(work).await }).unwrap();
}

#[test]
fn dovecot_is_reached_over_every_kind_of_tls_and_its_folders_are_read() {
    // Without plaintext logins, so that LOGINDISABLED has to be gone after STARTTLS.
    let options = Options { plaintext_login: false, storage: Storage::Mdbox, ..Options::default() };
    let Some(dovecot) = Dovecot::start(&options) else { return };
    blocking(move || {
        for (at, tls) in [
            (dovecot.imaps, TlsMode::Implicit),
            (dovecot.imap, TlsMode::StartTls),
            (dovecot.imap, TlsMode::StartTlsIfOffered),
            (dovecot.imap, TlsMode::ImplicitThenStartTls),
        ] {
            open(&dovecot, at, tls, "ann's secret").unwrap().logout();
            let failure = open(&dovecot, at, tls, "wrong").unwrap_err();
            assert_eq!((failure.stage, failure.kind), (Stage::Authentication, FailureKind::Auth), "{failure}");
        }
        let mut session = open(&dovecot, dovecot.imaps, TlsMode::Implicit, "ann's secret").unwrap();
        let folders = session.folders().unwrap();
        let sent = folders.iter().find(|folder| folder.name == "Sent").unwrap();
        assert_eq!((sent.special, sent.selectable), (Some(SpecialUse::Sent), true));

        let message = |number: usize| {
            let head = format!("Message-ID: <{number}@mail.test>\r\nSubject: {number}\r\n\r\n");
            [head.as_bytes(), b"gr\xfc\xdfe (((( {5}\r\n\"\\\r\n", &b"x".repeat(number)].concat()
        };
        for number in 1..=40 {
            session.append("INBOX", &message(number)).unwrap();
        }
        dovecot.expunge(ANN, "INBOX", &["uid", "7"]);
        dovecot.add_flags(ANN, "INBOX", 9, r"\Answered");
        let state = session.examine("INBOX").unwrap();
        assert_eq!((state.exists, state.uid_next), (39, Some(41)));
        assert_eq!(state.uid_validity, Some(dovecot.status(ANN, "INBOX").uid_validity));
        assert_eq!(session.last_uid().unwrap(), Some(40));
        let uids = session.search(None, &(5..=u32::MAX), None).unwrap();
        assert_eq!(uids.len(), 35);
        let facts = session.facts(&uids, Asked::default()).unwrap();
        assert_eq!(facts.iter().map(|fact| fact.uid).collect::<Vec<_>>(), uids);
        assert!(facts.iter().all(|fact| fact.received_at.is_some()));
        assert!(facts.iter().all(|fact| fact.flags.contains(&"\\Answered".to_owned()) == (fact.uid == 9)));
        for (uid, body) in session.bodies(&uids, 10_000).unwrap() {
            assert_eq!(body, message(uid as usize));
        }
        let headers = session.headers(&[40]).unwrap();
        assert_eq!(headers[0].1, b"Message-ID: <40@mail.test>\r\nSubject: 40\r\n\r\n");
        assert!(session.examine("Nowhere").unwrap_err().server.is_some());
        session.logout();
    });
}

#[test]
fn a_certificate_of_dovecots_that_nobody_vouches_for_ends_it_before_the_log_in() {
    for certificate in [Certificate::Untrusted, Certificate::Expired] {
        let options = Options { certificate, ..Options::default() };
        let Some(dovecot) = Dovecot::start(&options) else { return };
        blocking(move || {
            for (at, tls) in [(dovecot.imaps, TlsMode::Implicit), (dovecot.imap, TlsMode::StartTlsIfOffered)] {
                let failure = open(&dovecot, at, tls, "ann's secret").unwrap_err();
                assert_eq!((failure.stage, failure.kind), (Stage::Tls, FailureKind::Config));
            }
            assert!(!dovecot.log().contains("Login: user"), "{}", dovecot.log());
        });
    }
}
