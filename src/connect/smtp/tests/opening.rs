use super::*;
use crate::domain::failure::{FailureKind, Stage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn plain_response() -> String {
    STANDARD.encode(format!("\0ann@example.com\0{PASSWORD}"))
}

fn passed(stages: &Stages) -> Vec<&'static str> {
    stages.reports().iter().filter(|report| report.ok).map(|report| report.stage.name()).collect()
}

#[tokio::test]
async fn starttls_forgets_what_was_said_before_and_logs_in_after() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(NAME);
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&["STARTTLS", "AUTH CRAM-MD5", "PIPELINING", "SIZE 5"]).await;
        peer.expect("STARTTLS").await;
        peer.say("220 go ahead\r\n").await;
        let mut peer = Peer(BufReader::new(acceptor.accept(peer.0.into_inner()).await.unwrap()));
        peer.hello(&["AUTH PLAIN LOGIN", "8BITMIME"]).await;
        peer.expect(&format!("AUTH PLAIN {}", plain_response())).await;
        peer.say("235 2.7.0 welcome\r\n").await;
        peer.expect("QUIT").await;
        peer.say("221 bye\r\n").await;
    })
    .await;
    let mut stages = Stages::new();
    let network = network_at(PUBLIC, address, &authority.trust());
    let settings = with_password(settings(587, TlsMode::StartTls));
    let session = SmtpSession::open(&network, &settings, &mut stages).await.unwrap();
    let offered = session.capabilities();
    assert!(session.is_tls() && !offered.pipelining && offered.eight_bit && offered.size_limit.is_none());
    assert_eq!(
        passed(&stages),
        ["dns", "egress", "tcp", "greeting", "capabilities", "startTls", "tls", "capabilities", "authentication"]
    );
    session.quit().await;
    task.await.unwrap();
}

#[tokio::test]
async fn implicit_tls_comes_before_the_greeting() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(NAME);
    let (address, task) = server(async move |peer: Peer| {
        let mut peer = Peer(BufReader::new(acceptor.accept(peer.0.into_inner()).await.unwrap()));
        peer.welcome(&["AUTH LOGIN"]).await;
        peer.expect("AUTH LOGIN").await;
        peer.say("334 VXNlcm5hbWU6\r\n").await;
        peer.expect(&STANDARD.encode("ann@example.com")).await;
        peer.say("334 UGFzc3dvcmQ6\r\n").await;
        peer.expect(&STANDARD.encode(PASSWORD)).await;
        peer.say("235 ok\r\n").await;
    })
    .await;
    let network = network_at(PUBLIC, address, &authority.trust());
    let settings = with_password(settings(465, TlsMode::Implicit));
    let session = SmtpSession::open(&network, &settings, &mut Stages::new()).await.unwrap();
    assert!(session.is_tls() && session.is_usable());
    task.await.unwrap();
}

#[tokio::test]
async fn a_credential_never_leaves_when_the_certificate_does_not_verify() {
    let authority = Authority::new();
    for (name, trust) in [(NAME, Trust::nobody()), ("other.example", authority.trust())] {
        for (port, tls) in [
            (587, TlsMode::StartTls),
            (587, TlsMode::StartTlsIfOffered),
            (465, TlsMode::Implicit),
            (2526, TlsMode::ImplicitThenStartTls),
        ] {
            let acceptor = authority.acceptor(name);
            let (address, task) = server(async move |mut peer: Peer| {
                if port == 587 {
                    peer.welcome(&["STARTTLS", "AUTH PLAIN LOGIN"]).await;
                    peer.expect("STARTTLS").await;
                    peer.say("220 go ahead\r\n").await;
                }
                // The client breaks the handshake off: not one byte of SMTP comes through.
                assert!(acceptor.accept(peer.0.into_inner()).await.is_err());
            })
            .await;
            let network = network_at(LAN, address, &trust);
            let settings = with_password(settings(port, tls));
            let failure = SmtpSession::open(&network, &settings, &mut Stages::new()).await.unwrap_err();
            assert_eq!((failure.kind, failure.stage), (FailureKind::Config, Stage::Tls), "{failure}");
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn starttls_that_is_missing_or_refused_ends_the_session_before_any_credential() {
    for (tls, capabilities, answer, kind) in [
        (TlsMode::StartTls, &["AUTH PLAIN"][..], "", FailureKind::Config),
        (TlsMode::StartTlsIfOffered, &["AUTH PLAIN"], "", FailureKind::Config),
        (TlsMode::StartTls, &["STARTTLS", "AUTH PLAIN"], "454 4.7.0 not now\r\n", FailureKind::Temporary),
        (TlsMode::StartTlsIfOffered, &["STARTTLS", "AUTH PLAIN"], "501 no\r\n", FailureKind::Permanent),
    ] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(capabilities).await;
            if !answer.is_empty() {
                peer.expect("STARTTLS").await;
                peer.say(answer).await;
            }
            peer.rest().await
        })
        .await;
        let settings = with_password(settings(587, tls));
        let network = network_at(PUBLIC, address, &Trust::nobody());
        let mut stages = Stages::new();
        let failure = SmtpSession::open(&network, &settings, &mut stages).await.unwrap_err();
        assert_eq!((failure.kind, failure.stage), (kind, Stage::StartTls), "{failure}");
        assert_eq!(stages.reports().last().map(|report| (report.stage, report.ok)), Some((Stage::StartTls, false)));
        assert_eq!(task.await.unwrap(), b"");
    }
}

#[tokio::test]
async fn words_slipped_in_behind_the_consent_to_starttls_end_the_session() {
    for extra in ["250-AUTH PLAIN\r\n", "220", "\r\n"] {
        let authority = Authority::new();
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&["STARTTLS"]).await;
            peer.expect("STARTTLS").await;
            peer.say(&format!("220 go ahead\r\n{extra}")).await;
            peer.rest().await
        })
        .await;
        let network = network_at(PUBLIC, address, &authority.trust());
        let settings = with_password(settings(587, TlsMode::StartTls));
        let failure = SmtpSession::open(&network, &settings, &mut Stages::new()).await.unwrap_err();
        assert_eq!(failure.stage, Stage::StartTls, "{failure}");
        assert!(failure.sentence.contains("more than its consent"), "{failure}");
        assert_eq!(task.await.unwrap(), b"");
    }
}

#[tokio::test]
async fn plaintext_goes_to_private_addresses_and_elsewhere_only_by_configuration() {
    let everywhere = EgressRules { allow_public_plaintext: true, ..EgressRules::default() };
    for (place, rules) in [(LAN, EgressRules::default()), (PUBLIC, everywhere)] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&["AUTH PLAIN"]).await;
            peer.expect(&format!("AUTH PLAIN {}", plain_response())).await;
            peer.say("235 ok\r\n").await;
        })
        .await;
        let place: SocketAddr = SocketAddr::new(place.parse().unwrap(), 587);
        let dialer = MapDialer::new().name(NAME, [place.ip()]).route(place, address);
        let network = Network::new(Arc::new(dialer), &Trust::nobody(), rules);
        let settings = with_password(settings(587, TlsMode::StartTlsIfOffered));
        let session = SmtpSession::open(&network, &settings, &mut Stages::new()).await.unwrap();
        assert!(!session.is_tls());
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_password_is_an_auth_failure_and_shows_no_secret() {
    for answer in [
        "535 5.7.8 Bad credentials\r\n".to_owned(),
        format!("535 5.7.8 I do not like {}\r\n", plain_response()),
        format!("535 you said {PASSWORD}\r\n"),
    ] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&["AUTH PLAIN LOGIN"]).await;
            peer.hear().await;
            peer.say(&answer).await;
            peer.rest().await
        })
        .await;
        let mut stages = Stages::new();
        let network = network_at(LAN, address, &Trust::nobody());
        let settings = with_password(settings(587, TlsMode::StartTlsIfOffered));
        let failure = SmtpSession::open(&network, &settings, &mut stages).await.unwrap_err();
        assert_eq!((failure.kind, failure.code), (FailureKind::Auth, Some(535)));
        let told = format!("{failure} {failure:?} {} {settings:?}", serde_json::to_string(&stages).unwrap());
        assert!(!told.contains(PASSWORD) && !told.contains(&plain_response()), "{told}");
        // One try only: a second would bring a lock-out nearer.
        assert_eq!(task.await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_password_that_the_server_cannot_take_is_a_config_failure() {
    for capabilities in [&["SIZE"][..], &["AUTH XOAUTH2 CRAM-MD5"]] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(capabilities).await;
            peer.rest().await
        })
        .await;
        let failure = open_lan(address, |settings| *settings = with_password(settings.clone())).await.unwrap_err();
        assert_eq!((failure.kind, failure.stage), (FailureKind::Config, Stage::Authentication), "{failure}");
        assert_eq!(task.await.unwrap(), b"");
    }
}

#[tokio::test]
async fn control_characters_in_settings_are_refused_unsent() {
    for (username, password, hello) in [
        ("ann\r\nRSET", "x", "client.example"),
        ("ann", "x\0y", "client.example"),
        ("ann", "x", "client.example\r\nRSET"),
        ("ann", "x", ""),
    ] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&["AUTH PLAIN"]).await;
            peer.rest().await
        })
        .await;
        let result = open_lan(address, |settings| {
            settings.hello_name = hello.into();
            settings.credential =
                Some(Credential { username: username.into(), password: SecretString::from(password) });
        })
        .await;
        assert_eq!(result.unwrap_err().kind, FailureKind::Config);
        if hello == "client.example" {
            assert_eq!(task.await.unwrap(), b"");
        } else {
            task.abort();
        }
    }
}

#[tokio::test]
async fn an_old_server_is_greeted_with_helo() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.say("220 hi\r\n").await;
        peer.expect("EHLO client.example").await;
        peer.say("502 what?\r\n").await;
        peer.expect("HELO client.example").await;
        peer.say("250-hello\r\n250 STARTTLS\r\n").await;
    })
    .await;
    let session = open_lan(address, |_| {}).await.unwrap();
    assert_eq!(session.capabilities(), &Capabilities::default());
    task.await.unwrap();
}

#[tokio::test]
async fn replies_that_drip_in_byte_by_byte_are_whole_replies() {
    let (address, task) = server(async move |mut peer: Peer| {
        for text in ["220-mail.example\r\n220 ESMTP\r\n", "250-mail.example\r\n250-PIPELINING\r\n250 SIZE 10\r\n"] {
            for byte in text.bytes() {
                peer.0.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            if text.starts_with("220") {
                peer.expect("EHLO client.example").await;
            }
        }
    })
    .await;
    let session = open_lan(address, |_| {}).await.unwrap();
    assert!(session.capabilities().pipelining);
    assert_eq!(session.capabilities().size_limit, Some(10));
    task.await.unwrap();
}

#[tokio::test]
async fn a_tarpit_is_left_when_the_time_for_the_whole_reply_is_over() {
    let (address, task) = server(async move |mut peer: Peer| {
        // A byte now and then, for ever: each one arrives well within the limit.
        while peer.0.write_all(b"2").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let failure = open_lan(address, |settings| settings.timeouts.greeting = BRIEF).await.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, Stage::Greeting));
    assert!(failure.sentence.contains("did not answer in time"), "{failure}");
    task.await.unwrap();
}

/// Nothing but silence, at each step up to the envelope: only the time for that step is short.
#[tokio::test]
async fn each_step_before_the_envelope_has_a_deadline_of_its_own() {
    for (stage, capabilities) in [
        (Stage::Capabilities, &[][..]),
        (Stage::StartTls, &["STARTTLS"][..]),
        (Stage::Authentication, &["AUTH PLAIN"][..]),
        (Stage::Rset, &[][..]),
    ] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.say("220 hello\r\n").await;
            if stage == Stage::Capabilities {
                return peer.rest().await;
            }
            peer.hello(capabilities).await;
            peer.rest().await
        })
        .await;
        let opened = open_lan(address, |settings| {
            settings.timeouts.command = BRIEF;
            if stage == Stage::Authentication {
                *settings = with_password(settings.clone());
            }
        });
        let failure = match opened.await {
            Ok(mut session) => {
                let failure = session.reset().await.unwrap_err();
                assert!(!session.is_usable());
                failure
            }
            Err(failure) => failure,
        };
        assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, stage), "{failure}");
        assert!(failure.sentence.contains("did not answer in time"), "{failure}");
        task.await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_waited_for_at_the_end() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&[]).await;
        peer.rest().await
    })
    .await;
    let session = open_lan(address, |settings| settings.timeouts.quit = BRIEF).await.unwrap();
    session.quit().await;
    assert_eq!(task.await.unwrap(), b"QUIT\r\n");
}

#[tokio::test]
async fn what_is_no_greeting_is_a_temporary_failure_with_its_reason() {
    let endless_line = "2".repeat(1 << 20);
    let endless_reply = "220-x\r\n".repeat(100_000);
    for (greeting, reason) in [
        ("", "closed the connection"),
        ("220 no line end", "closed the connection"),
        ("SSH-2.0-OpenSSH\r\n", "is not SMTP"),
        ("\0\0\0\0\r\n", "is not SMTP"),
        ("220-a\r\n250 b\r\n", "is not SMTP"),
        (endless_line.as_str(), "does not end"),
        (endless_reply.as_str(), "does not end"),
        ("220 hi\r\n250 early\r\n", "before it was asked"),
    ] {
        let text = greeting.to_owned();
        let (address, task) = server(async move |mut peer: Peer| {
            // The client may be gone before all of it is written.
            let _ = peer.0.write_all(text.as_bytes()).await;
            let _ = peer.0.shutdown().await;
        })
        .await;
        let failure = open_lan(address, |_| {}).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Temporary, "{failure}");
        assert!(failure.sentence.contains(reason), "{failure} for {}", &greeting[..greeting.len().min(30)]);
        task.await.unwrap();
    }
}
