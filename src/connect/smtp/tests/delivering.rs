use super::*;
use crate::domain::failure::{FailureKind, Scope, Stage};

#[tokio::test]
async fn messages_go_out_one_after_the_other_in_one_session() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&[]).await;
        for id in ["first", "second"] {
            peer.envelope().await;
            assert_eq!(peer.data().await, b"Subject: x\r\n\r\n..dot\r\n.\r\n");
            peer.say(&format!("250 2.0.0 queued as {id}\r\n")).await;
        }
        peer.expect("QUIT").await;
        peer.say("221 bye\r\n").await;
    })
    .await;
    let mut session = open_lan(address, |_| {}).await.unwrap();
    for id in ["first", "second"] {
        assert_eq!(envelope(&mut session).await.unwrap(), [Ok(())]);
        let accepted = session.deliver(b"Subject: x\r\n\r\n.dot").await.unwrap();
        assert_eq!(accepted, format!("250 2.0.0 queued as {id}"));
    }
    assert_eq!(session.deliveries(), 2);
    session.quit().await;
    task.await.unwrap();
}

#[tokio::test]
async fn each_recipient_has_a_fate_of_its_own_with_pipelining_and_without() {
    for capabilities in [&["PIPELINING", "SIZE 1000", "8BITMIME"][..], &["SIZE 1000", "8BITMIME"]] {
        let pipelining = capabilities[0] == "PIPELINING";
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(capabilities).await;
            let answers = ["250 2.1.0 ok\r\n", "250 2.1.5 ok\r\n", "550 5.1.1 nobody\r\n", "450 4.2.0 later\r\n"];
            let mut lines = Vec::new();
            if pipelining {
                // All commands are here before the first answer; the answers come in one piece.
                for _ in 0..4 {
                    lines.push(peer.hear().await);
                }
                peer.say(&answers.concat()).await;
            } else {
                for answer in answers {
                    lines.push(peer.hear().await);
                    assert!(peer.0.buffer().is_empty());
                    peer.say(answer).await;
                }
            }
            assert_eq!(
                lines,
                [
                    "MAIL FROM:<ann@example.com> SIZE=7 BODY=8BITMIME",
                    "RCPT TO:<bob@example.net>",
                    "RCPT TO:<nobody@example.net>",
                    "RCPT TO:<later@example.net>"
                ]
            );
            assert_eq!(peer.data().await, b"hello\r\n.\r\n");
            peer.say("250 ok\r\n").await;
        })
        .await;
        let mut session = open_lan(address, |_| {}).await.unwrap();
        let recipients = ["bob@example.net", "bob@example.net\r\nDATA", "nobody@example.net", "later@example.net"];
        let options = EnvelopeOptions { size: Some(7), eight_bit: true, smtputf8: false };
        let fates = session.envelope("ann@example.com", &recipients.map(str::to_owned), options).await.unwrap();
        let kinds: Vec<_> =
            fates.iter().map(|fate| fate.as_ref().err().map(|failure| (failure.kind, failure.scope))).collect();
        assert_eq!(
            kinds,
            [
                None,
                Some((FailureKind::Permanent, Scope::Recipient)),
                Some((FailureKind::Permanent, Scope::Recipient)),
                Some((FailureKind::Temporary, Scope::Recipient))
            ]
        );
        session.deliver(b"hello\r\n").await.unwrap();
        task.await.unwrap();
    }
}

#[tokio::test]
async fn many_recipients_go_in_groups() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&["PIPELINING"]).await;
        peer.expect("MAIL FROM:<>").await;
        peer.say("250 ok\r\n").await;
        for index in 0..120 {
            peer.expect(&format!("RCPT TO:<r{index}@example.net>")).await;
            peer.say(if index % 2 == 0 { "250 ok\r\n" } else { "550 no\r\n" }).await;
        }
    })
    .await;
    let mut session = open_lan(address, |_| {}).await.unwrap();
    let recipients: Vec<_> = (0..120).map(|index| format!("r{index}@example.net")).collect();
    let fates = session.envelope("", &recipients, EnvelopeOptions::default()).await.unwrap();
    assert!(fates.iter().enumerate().all(|(index, fate)| fate.is_ok() == (index % 2 == 0)));
    task.await.unwrap();
}

#[tokio::test]
async fn a_refused_sender_is_the_mailboxs_failure_and_leaves_the_session_usable() {
    for capabilities in [&["PIPELINING"][..], &[]] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(capabilities).await;
            peer.expect("MAIL FROM:<ann@example.com>").await;
            peer.say("553 5.7.1 not yours\r\n").await;
            if !capabilities.is_empty() {
                peer.expect("RCPT TO:<bob@example.net>").await;
                peer.say("503 MAIL first\r\n").await;
            }
            peer.envelope().await;
        })
        .await;
        let mut session = open_lan(address, |_| {}).await.unwrap();
        let failure = envelope(&mut session).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.scope, failure.stage),
            (FailureKind::Permanent, Scope::Mailbox, Stage::MailFrom)
        );
        assert!(session.is_usable());
        assert_eq!(envelope(&mut session).await.unwrap(), [Ok(())]);
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_envelope_that_was_left_open_is_reset_before_the_next() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&[]).await;
        peer.expect("MAIL FROM:<ann@example.com>").await;
        peer.say("250 ok\r\n").await;
        peer.expect("RCPT TO:<bob@example.net>").await;
        peer.say("550 5.1.1 nobody\r\n").await;
        peer.expect("RSET").await;
        peer.say("250 ok\r\n").await;
        peer.envelope().await;
        peer.expect("RSET").await;
        peer.say("500 what?\r\n").await;
    })
    .await;
    let mut session = open_lan(address, |_| {}).await.unwrap();
    assert!(envelope(&mut session).await.unwrap()[0].is_err());
    // Nobody was accepted, so there is nobody to deliver to.
    assert_eq!(session.deliver(b"x\r\n").await.unwrap_err().stage, Stage::Data);
    assert_eq!(envelope(&mut session).await.unwrap(), [Ok(())]);
    assert_eq!(session.reset().await.unwrap_err().kind, FailureKind::Temporary);
    assert!(!session.is_usable());
    task.await.unwrap();
}

#[tokio::test]
async fn what_the_server_said_it_cannot_take_is_refused_without_asking() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&["SIZE 100"]).await;
        peer.rest().await
    })
    .await;
    let mut session = open_lan(address, |_| {}).await.unwrap();
    for options in [
        EnvelopeOptions { size: Some(101), ..EnvelopeOptions::default() },
        EnvelopeOptions { eight_bit: true, ..EnvelopeOptions::default() },
        EnvelopeOptions { smtputf8: true, ..EnvelopeOptions::default() },
    ] {
        let failure = session.envelope("ann@example.com", &bob(), options).await.unwrap_err();
        assert_eq!((failure.kind, failure.scope), (FailureKind::Permanent, Scope::Message), "{failure}");
    }
    let failure = session.envelope("a\r\n@b.c", &bob(), EnvelopeOptions::default()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Config);
    let fates = session.envelope("ann@example.com", &["ж@example.net".into()], EnvelopeOptions::default()).await;
    assert!(fates.unwrap()[0].is_err());
    drop(session);
    assert_eq!(task.await.unwrap(), b"");
}

#[tokio::test]
async fn a_message_that_could_smuggle_is_refused_before_data() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&[]).await;
        peer.envelope().await;
        // Dots of every kind that is allowed arrive with exactly one end.
        assert_eq!(peer.data().await, b"..\r\na\r\n..\r\n...\r\nb.\r\n\r\n.\r\n");
        peer.say("250 ok\r\n").await;
    })
    .await;
    let mut session = open_lan(address, |_| {}).await.unwrap();
    envelope(&mut session).await.unwrap();
    for bad in ["a\n.\nb\r\n", "a\r.\rb\r\n", "a\n.\r\n", "a\r\n.\rb\r\n", "a\r\n\0.\r\n", "a\r\n.\n", "a\r", "a\n"] {
        let failure = session.deliver(bad.as_bytes()).await.unwrap_err();
        assert_eq!((failure.kind, failure.scope), (FailureKind::Permanent, Scope::Message), "{bad:?}");
    }
    session.deliver(b".\r\na\r\n.\r\n..\r\nb.\r\n\r\n").await.unwrap();
    task.await.unwrap();
}

#[tokio::test]
async fn a_refusal_at_data_leaves_the_session_in_step() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&[]).await;
        peer.envelope().await;
        peer.expect("DATA").await;
        peer.say("451 4.3.0 later\r\n").await;
        peer.expect("RSET").await;
        peer.say("250 ok\r\n").await;
        peer.envelope().await;
        peer.data().await;
        peer.say("554 5.7.1 spam\r\n").await;
        peer.envelope().await;
    })
    .await;
    let mut session = open_lan(address, |_| {}).await.unwrap();
    envelope(&mut session).await.unwrap();
    let failure = session.deliver(b"x\r\n").await.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, Stage::Data));
    envelope(&mut session).await.unwrap();
    let failure = session.deliver(b"x\r\n").await.unwrap_err();
    assert_eq!((failure.kind, failure.scope, failure.stage), (FailureKind::Permanent, Scope::Message, Stage::FinalDot));
    assert_eq!(envelope(&mut session).await.unwrap(), [Ok(())]);
    assert_eq!(session.deliveries(), 0);
    task.await.unwrap();
}

/// What the server does at one point of a delivery.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Close,
    Say(&'static str),
    Silence,
}

impl Turn {
    /// How long to wait for this turn: briefly only where no whole reply will come.
    fn patience(self) -> Duration {
        match self {
            Self::Say(text) if text.ends_with("\r\n") => PATIENCE,
            Self::Close => PATIENCE,
            Self::Say(_) | Self::Silence => BRIEF,
        }
    }

    async fn play(self, mut peer: Peer) {
        match self {
            Self::Close => drop(peer),
            Self::Say(text) => {
                peer.say(text).await;
                peer.rest().await;
            }
            Self::Silence => drop(peer.rest().await),
        }
    }
}

#[tokio::test]
async fn after_the_final_dot_only_a_reply_removes_doubt() {
    for (turn, kind) in [
        (Turn::Close, FailureKind::Doubt),
        (Turn::Silence, FailureKind::Doubt),
        (Turn::Say("what?\r\n"), FailureKind::Doubt),
        (Turn::Say("354 more?\r\n"), FailureKind::Doubt),
        (Turn::Say("250-and\r\n250-so on"), FailureKind::Doubt),
        (Turn::Say("421 4.3.2 shutting down\r\n"), FailureKind::Temporary),
        (Turn::Say("452 4.3.1 no space\r\n"), FailureKind::Temporary),
        (Turn::Say("550 5.4.5 daily limit\r\n"), FailureKind::Quota),
    ] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&[]).await;
            peer.envelope().await;
            peer.data().await;
            turn.play(peer).await;
        })
        .await;
        let mut session = open_lan(address, |settings| settings.timeouts.final_dot = turn.patience()).await.unwrap();
        envelope(&mut session).await.unwrap();
        let failure = session.deliver(b"x\r\n").await.unwrap_err();
        assert_eq!((failure.kind, failure.stage), (kind, Stage::FinalDot), "{turn:?}: {failure}");
        assert_eq!(session.is_usable(), matches!(failure.code, Some(452 | 550)), "{turn:?}");
        drop(session);
        task.await.unwrap();
    }
}

#[tokio::test]
async fn before_the_final_dot_there_is_no_doubt() {
    for turn in [
        Turn::Close,
        Turn::Silence,
        Turn::Say("what?\r\n"),
        Turn::Say("250 accepted already\r\n"),
        // Accepting before the message was sent must not count as accepting it.
        Turn::Say("354 go on\r\n250 accepted already\r\n"),
        Turn::Say("421 4.3.2 shutting down\r\n"),
    ] {
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&[]).await;
            peer.envelope().await;
            peer.expect("DATA").await;
            turn.play(peer).await;
        })
        .await;
        let mut session = open_lan(address, |settings| settings.timeouts.data = turn.patience()).await.unwrap();
        envelope(&mut session).await.unwrap();
        let failure = session.deliver(b"x\r\n").await.unwrap_err();
        assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, Stage::Data), "{turn:?}: {failure}");
        assert!(!session.is_usable(), "{turn:?}");
        assert_eq!(envelope(&mut session).await.unwrap_err().kind, FailureKind::Temporary);
        drop(session);
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_the_message_is_left_without_doubt() {
    // For a block and for the whole.
    for whole in [true, false] {
        let (given_up, gave_up) = tokio::sync::oneshot::channel::<()>();
        let (address, task) = server(async move |mut peer: Peer| {
            peer.welcome(&[]).await;
            peer.envelope().await;
            peer.expect("DATA").await;
            peer.say("354 go on\r\n").await;
            // Held open, unread, until the client gives up.
            let _ = gave_up.await;
            peer.rest().await.ends_with(b"\r\n.\r\n")
        })
        .await;
        let mut session = open_lan(address, |settings| {
            let limit = if whole { &mut settings.timeouts.data_total } else { &mut settings.timeouts.data_block };
            *limit = BRIEF;
        })
        .await
        .unwrap();
        envelope(&mut session).await.unwrap();
        // More than the buffers of both sides hold.
        let message = "x".repeat(998) + "\r\n";
        let failure = session.deliver(message.repeat(40_000).as_bytes()).await.unwrap_err();
        assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, Stage::Data), "{failure}");
        drop(session);
        given_up.send(()).unwrap();
        assert!(!task.await.unwrap());
    }
}

#[tokio::test]
async fn a_server_that_leaves_during_the_envelope_is_a_temporary_failure_of_the_host() {
    for pipelining in [true, false] {
        for turn in [Turn::Close, Turn::Silence, Turn::Say("421 4.3.2 bye\r\n"), Turn::Say("\0\0\r\n")] {
            for after_sender in [true, false] {
                let (address, task) = server(async move |mut peer: Peer| {
                    peer.welcome(if pipelining { &["PIPELINING"] } else { &[] }).await;
                    peer.expect("MAIL FROM:<ann@example.com>").await;
                    if pipelining {
                        peer.expect("RCPT TO:<bob@example.net>").await;
                    }
                    if after_sender {
                        peer.say("250 ok\r\n").await;
                        if !pipelining {
                            peer.expect("RCPT TO:<bob@example.net>").await;
                        }
                    }
                    turn.play(peer).await;
                })
                .await;
                let mut session = open_lan(address, |settings| {
                    let limit =
                        if after_sender { &mut settings.timeouts.rcpt_to } else { &mut settings.timeouts.mail_from };
                    *limit = turn.patience();
                })
                .await
                .unwrap();
                let failure = envelope(&mut session).await.unwrap_err();
                let stage = if after_sender { Stage::RcptTo } else { Stage::MailFrom };
                assert_eq!(
                    (failure.kind, failure.scope, failure.stage),
                    (FailureKind::Temporary, Scope::Host, stage),
                    "{turn:?}: {failure}"
                );
                drop(session);
                task.await.unwrap();
            }
        }
    }
}

/// A server that repeats the password in any reply, in any form: nothing of it is kept, and the codes still count.
#[tokio::test]
async fn no_reply_of_the_session_shows_the_password() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let plain = STANDARD.encode(format!("\0ann@example.com\0{PASSWORD}"));
    let longer = STANDARD.encode(format!("user=ann;pass={PASSWORD};"));
    for form in [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), plain, longer] {
        for at in ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot", "accepted"] {
            let said = form.clone();
            let (address, task) = server(async move |mut peer: Peer| {
                if at == "greeting" {
                    return peer.say(&format!("554 5.3.2 no {said} here\r\n")).await;
                }
                peer.say("220 hello\r\n").await;
                peer.hear().await;
                if at == "EHLO" {
                    return peer.say(&format!("550-5.3.2 no\r\n550 5.3.2 {said} here\r\n")).await;
                }
                peer.say("250-hello\r\n250 AUTH PLAIN\r\n").await;
                peer.hear().await;
                peer.say("235 2.7.0 welcome\r\n").await;
                for (verb, refusal, consent) in [
                    ("MAIL", "553 5.1.8", "250 ok"),
                    ("RCPT", "550 5.1.1", "250 ok"),
                    ("DATA", "554 5.6.0", "354 go on"),
                ] {
                    assert!(peer.hear().await.starts_with(verb));
                    if at == verb {
                        return peer.say(&format!("{refusal} no {said} here\r\n")).await;
                    }
                    peer.say(&format!("{consent}\r\n")).await;
                }
                while peer.hear().await != "." {}
                let code = if at == "dot" { "554 5.7.1" } else { "250 2.0.0" };
                peer.say(&format!("{code} {said}\r\n")).await;
            })
            .await;
            let network = network_at(LAN, address, &Trust::nobody());
            let settings = with_password(settings(587, TlsMode::StartTlsIfOffered));
            let mut stages = Stages::new();
            let told = match SmtpSession::open(&network, &settings, &mut stages).await {
                Err(failure) => format!("{failure:?}"),
                Ok(mut session) => match envelope(&mut session).await {
                    Err(failure) => format!("{failure:?}"),
                    Ok(fates) if fates[0].is_err() => {
                        let failure = fates[0].clone().unwrap_err();
                        assert_eq!(failure.enhanced.map(|code| code.to_string()).as_deref(), Some("5.1.1"));
                        format!("{failure:?}")
                    }
                    Ok(_) => format!("{:?}", session.deliver(b"x\r\n").await),
                },
            };
            let told = format!("{told}{stages:?}");
            assert!(told.contains("not shown"), "{at}: {told}");
            assert!(!told.contains(&form) && !told.contains(PASSWORD), "{at}: {told}");
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_answers_each_recipient_just_in_time_is_left_when_the_time_for_all_is_over() {
    let (address, task) = server(async move |mut peer: Peer| {
        peer.welcome(&[]).await;
        peer.expect("MAIL FROM:<ann@example.com>").await;
        peer.say("250 ok\r\n").await;
        loop {
            let mut line = String::new();
            if peer.0.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            tokio::time::sleep(BRIEF).await;
            if peer.0.write_all(b"250 ok\r\n").await.is_err() {
                return;
            }
        }
    })
    .await;
    let patient = |settings: &mut SmtpSettings| {
        settings.timeouts.envelope = BRIEF * 2;
        settings.timeouts.per_recipient = Duration::ZERO;
    };
    let mut session = open_lan(address, patient).await.unwrap();
    let recipients: Vec<String> = (0..500).map(|number| format!("r{number}@example.net")).collect();
    let failure = session.envelope("ann@example.com", &recipients, EnvelopeOptions::default()).await.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (FailureKind::Temporary, Stage::RcptTo));
    assert!(!session.is_usable());
    drop(session);
    task.await.unwrap();
}
