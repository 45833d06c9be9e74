use crate::mailserver::rig::{ANN, BOB, Peer, server, tls};
use crate::mailserver::{Act, Capabilities, Count, Gate, MailServer, Options, Point, Recipients, Rule};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

async fn greeted(server: &MailServer) -> Peer {
    let mut peer = Peer::to(server.smtp()).await;
    assert_eq!(peer.reply().await, "220 mail.postroom.test ESMTP");
    peer.talk(&[("EHLO client.test", "250 ")]).await;
    peer
}

/// MAIL, RCPT and DATA for one message from Ann to Bob; returns the reply to the final dot.
async fn submit(peer: &mut Peer, message: &[u8]) -> String {
    peer.talk(&[("MAIL FROM:<ann@example.test>", "250"), ("RCPT TO:<bob@example.test>", "250"), ("DATA", "354")]).await;
    peer.write(message).await;
    peer.write("\r\n.\r\n").await;
    peer.reply().await
}

#[tokio::test]
async fn a_message_is_accepted_remembered_and_filed_byte_for_byte() {
    let server = server(Options::default()).await;
    let mut peer = greeted(&server).await;
    let mut binary: Vec<u8> = (0..=255).filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    binary.extend_from_slice(b"\r\n..stuffed\r\nend");
    assert!(submit(&mut peer, &binary).await.starts_with("250 2.0.0"));
    let wanted = [&binary[..binary.len() - 14], b".stuffed\r\nend\r\n"].concat();
    let accepted = server.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].raw[..], wanted[..]);
    assert_eq!((accepted[0].sender.as_str(), &accepted[0].recipients[..]), (ANN, &[BOB.to_owned()][..]));
    assert!(!accepted[0].bare_cr && !accepted[0].bare_lf && !accepted[0].tls && accepted[0].user.is_none());
    assert_eq!(server.messages(BOB, "inbox").unwrap()[0].raw[..], wanted[..]);
    assert!(server.messages(ANN, "Sent").unwrap().is_empty());
    assert_eq!(peer.ask("QUIT").await, "221 2.0.0 Bye");
    assert_eq!(peer.line().await, "<closed>");
}

#[tokio::test]
async fn bare_line_ends_are_recorded_and_do_not_end_the_message() {
    let server = server(Options::default()).await;
    let mut peer = greeted(&server).await;
    assert!(submit(&mut peer, b"a\n.\nb\r.\r\n\nc").await.starts_with("250"));
    let accepted = server.accepted();
    assert_eq!(accepted[0].raw[..], b"a\n.\nb\r.\r\n\nc\r\n"[..]);
    assert!(accepted[0].bare_cr && accepted[0].bare_lf);
    peer.write("NOOP\n").await;
    assert_eq!(peer.reply().await, "500 5.5.2 Lines end in CRLF");
}

#[tokio::test]
async fn a_whole_pipelined_transaction_is_answered_in_order() {
    let server = server(Options::default()).await;
    let mut peer = greeted(&server).await;
    let transaction = "MAIL FROM:<ann@example.test> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<nobody@example.test>\r\n\
                       RCPT TO:<BOB@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nHello\r\n.\r\nRSET\r\nVRFY x\r\nNOOP\r\nQUIT\r\n";
    peer.write(transaction).await;
    let replies = String::from_utf8(peer.rest().await).unwrap();
    let codes: Vec<&str> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "550", "250", "250", "354", "250", "250", "252", "250", "221"]);
    assert_eq!(server.accepted()[0].recipients, ["BOB@example.test", BOB]);
    assert_eq!(server.messages(BOB, "INBOX").unwrap().len(), 1);
}

#[tokio::test]
async fn commands_out_of_order_or_malformed_are_refused() {
    let server = server(Options { max_message: 100, ..Options::default() }).await;
    let mut peer = Peer::to(server.smtp()).await;
    peer.reply().await;
    peer.talk(&[("MAIL FROM:<a@b>", "503"), ("EHLO", "501"), ("AUTH PLAIN", "503"), ("HELO x", "250 mail")]).await;
    peer.talk(&[("STARTTLS", "502"), ("RCPT TO:<a@b>", "503"), ("DATA", "503"), ("TURN", "500")]).await;
    peer.talk(&[("MAIL FROM:<a@b> SIZE=101", "552"), ("MAIL FROM:<a@b> FOO", "555"), ("MAIL FROM:a@b", "501")]).await;
    peer.talk(&[("MAIL FROM:<\u{e9}@b>", "553"), ("MAIL FROM:<>", "250"), ("MAIL FROM:<>", "503")]).await;
    peer.talk(&[("RCPT TO:<>", "501"), ("DATA", "554"), ("RSET", "250"), (&"x".repeat(9_000), "500 5.5.2 Line")]).await;
    assert!(submit(&mut peer, &[b'x'; 200]).await.starts_with("552 5.3.4"));
    assert!(submit(&mut peer, b"fits").await.starts_with("250"));
    assert_eq!(server.accepted().len(), 1);
}

#[tokio::test]
async fn plain_and_login_authenticate_with_and_without_an_initial_response() {
    let server = server(Options { require_auth: true, file_sent_copies: true, ..Options::default() }).await;
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let plain = encode("\0ann@example.test\0ann-secret");
    let (name, password) = (encode("Ann@example.test"), encode("ann-secret"));
    let ways: [&[(&str, &str)]; 4] = [
        &[(&format!("AUTH PLAIN {plain}"), "235 2.7.0")],
        &[("AUTH PLAIN", "334 "), (&plain, "235")],
        &[("AUTH LOGIN", "334 VXNlcm5hbWU6"), (&name, "334 UGFzc3dvcmQ6"), (&password, "235")],
        &[(&format!("auth login {name}"), "334 UGFzc3dvcmQ6"), (&password, "235")],
    ];
    for way in ways {
        let mut peer = greeted(&server).await;
        peer.talk(&[("MAIL FROM:<ann@example.test>", "530 5.7.0")]).await;
        peer.talk(way).await;
        peer.talk(&[("AUTH PLAIN", "503")]).await;
        assert!(submit(&mut peer, b"x").await.starts_with("250"));
    }
    assert!(server.accepted().iter().all(|message| message.user.as_deref() == Some(ANN)));
    assert_eq!(server.messages(ANN, "Sent").unwrap().len(), 4);
    let connections: Vec<u64> = server.accepted().iter().map(|message| message.connection).collect();
    assert_eq!(connections, [1, 2, 3, 4]);
    let mut peer = greeted(&server).await;
    peer.talk(&[("AUTH CRAM-MD5", "504"), ("AUTH PLAIN", "334"), ("*", "501"), ("AUTH PLAIN !", "501")]).await;
    for wanted in ["535 5.7.8", "535", "535", "535", "421 4.7.0"] {
        let wrong = encode("\0ann@example.test\0bob-secret");
        peer.talk(&[(&format!("AUTH PLAIN {wrong}"), wanted)]).await;
    }
    assert_eq!(peer.line().await, "<closed>");
    assert_eq!(server.connections().logins, 4);
}

#[tokio::test]
async fn tls_comes_by_starttls_or_from_the_first_byte_and_forgets_what_was_said_before() {
    let (config, client) = tls();
    let options = Options { tls: Some(config), require_tls_for_auth: true, ..Options::default() };
    let server = server(options).await;
    let mut peer = greeted(&server).await;
    peer.talk(&[("AUTH PLAIN AGFubgB4", "538")]).await;
    // What is pipelined behind STARTTLS must not be obeyed inside TLS.
    let reply = peer.ask("STARTTLS\r\nNOOP").await;
    assert_eq!(reply, "220 2.0.0 Ready to start TLS");
    let mut peer = peer.secured(&client).await;
    peer.talk(&[("MAIL FROM:<a@b.test>", "503"), ("EHLO x", "250 AUTH PLAIN LOGIN"), ("STARTTLS", "503")]).await;
    assert!(submit(&mut peer, b"x").await.starts_with("250"));
    let mut peer = Peer::to(server.smtps().unwrap()).await.secured(&client).await;
    assert!(peer.reply().await.starts_with("220"));
    peer.talk(&[("EHLO x", "250")]).await;
    assert!(submit(&mut peer, b"y").await.starts_with("250"));
    assert!(server.accepted().iter().all(|message| message.tls));
    let counts = server.connections();
    assert_eq!((counts.tls, counts.tls_failed, counts.auth_attempts), (2, 0, 1));
}

#[tokio::test]
async fn capabilities_can_be_hidden_and_added() {
    let (config, _) = tls();
    let mut smtp_capabilities = Capabilities::without(&["STARTTLS", "size"]);
    smtp_capabilities.extra.push("SMTPUTF8".into());
    let server = server(Options { tls: Some(config), smtp_capabilities, ..Options::default() }).await;
    let mut peer = Peer::to(server.smtp()).await;
    peer.reply().await;
    peer.write("EHLO x\r\nQUIT\r\n").await;
    let said = String::from_utf8(peer.rest().await).unwrap();
    assert_eq!(
        said,
        "250-mail.postroom.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-AUTH PLAIN LOGIN\r\n250 SMTPUTF8\r\n221 2.0.0 Bye\r\n"
    );
    let mut peer = greeted(&server).await;
    peer.talk(&[("STARTTLS", "502"), ("MAIL FROM:<\u{e9}@b> SMTPUTF8", "250")]).await;
}

#[tokio::test]
async fn rules_reject_recipients_and_count() {
    let server = server(Options { recipients: Recipients::Anybody, ..Options::default() }).await;
    let refuse = |text: &str| Act::Reply(text.into());
    let id = server.script(Rule::new(Point::RcptTo, refuse("550 5.1.1 gone")).to("gone@example.test"));
    server.script(Rule::new(Point::MailFrom, refuse("451-4.7.1 busy\n451 4.7.1 later")).count(Count::First(1)));
    let mut peer = greeted(&server).await;
    peer.talk(&[("MAIL FROM:<ann@example.test>", "451 4.7.1 later"), ("RCPT TO:<a@b>", "503")]).await;
    peer.talk(&[("MAIL FROM:<ann@example.test>", "250"), ("RCPT TO:<gone@example.test>", "550 5.1.1 gone")]).await;
    peer.talk(&[("RCPT TO:<other@example.test>", "250")]).await;
    server.clear(id);
    peer.talk(&[("RCPT TO:<gone@example.test>", "250"), ("DATA", "354")]).await;
    assert!(peer.ask("x\r\n.").await.starts_with("250"));
    assert_eq!(server.accepted()[0].recipients, ["other@example.test", "gone@example.test"]);
}

#[tokio::test]
async fn the_final_dot_can_be_dropped_before_or_after_acceptance() {
    let server = server(Options::default()).await;
    for (at, act, accepted) in [
        (Point::FinalDot, Act::Drop, 0),
        (Point::Body, Act::Drop, 0),
        (Point::FinalDot, Act::Reply("421 4.3.2 shutting down".into()), 0),
        (Point::FinalDot, Act::AcceptThenDrop, 1),
        (Point::FinalReply, Act::Drop, 2),
        (Point::FinalReply, Act::Reply("421 4.3.2 oops".into()), 3),
        (Point::AfterReply, Act::Drop, 4),
    ] {
        let id = server.script(Rule::new(at, act.clone()).from(ANN).to(BOB));
        let mut peer = greeted(&server).await;
        let reply = submit(&mut peer, b"x").await;
        match (at, &act) {
            (Point::AfterReply, _) => assert!(reply.starts_with("250"), "{reply}"),
            (_, Act::Reply(text)) => assert_eq!(&reply, text),
            _ => assert_eq!(reply, "<closed>"),
        }
        assert_eq!(peer.rest().await, b"");
        assert_eq!(server.accepted().len(), accepted, "{at:?} {act:?}");
        server.clear(id);
    }
}

#[tokio::test]
async fn a_message_held_at_the_final_dot_is_accepted_when_the_gate_opens() {
    let server = server(Options::default()).await;
    let gate = Gate::new();
    server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let mut peer = greeted(&server).await;
    let sending = tokio::spawn(async move { submit(&mut peer, b"held").await });
    gate.arrived(1).await;
    assert_eq!(server.accepted().len(), 0);
    gate.open();
    assert_eq!(server.wait_accepted(1).await.len(), 1);
    assert!(sending.await.unwrap().starts_with("250"));
}

#[tokio::test]
async fn a_reply_before_the_message_is_complete_swallows_the_rest() {
    let server = server(Options::default()).await;
    server.script(Rule::new(Point::Body, Act::Reply("451 4.3.0 no".into())).count(Count::Nth(1)));
    let mut peer = greeted(&server).await;
    assert_eq!(submit(&mut peer, b"x").await, "451 4.3.0 no");
    assert!(submit(&mut peer, b"y").await.starts_with("250"));
    assert_eq!(server.accepted().len(), 1);
}

#[tokio::test]
async fn words_can_be_put_before_behind_and_in_place_of_replies() {
    let (config, client) = tls();
    let server = server(Options { tls: Some(config), ..Options::default() }).await;
    server.script(Rule::new(Point::SmtpConnect, Act::Delay(std::time::Duration::from_millis(1))));
    server.script(Rule::new(Point::Noop, Act::Raw(b"garbage\0\r\n".to_vec())).count(Count::Nth(2)));
    server.script(Rule::new(Point::Noop, Act::Before(b"299 hm\r\n".to_vec())).count(Count::Nth(1)));
    server.script(Rule::new(Point::StartTls, Act::After(b"250 injected\r\n".to_vec())));
    let mut peer = greeted(&server).await;
    peer.talk(&[("NOOP", "299 hm")]).await;
    assert_eq!(peer.reply().await, "250 2.0.0 OK");
    peer.talk(&[("NOOP", "garbage\0"), ("NOOP", "250"), ("STARTTLS", "220")]).await;
    assert_eq!(peer.line().await, "250 injected");
    let mut peer = peer.secured(&client).await;
    peer.talk(&[("NOOP", "250")]).await;
}

#[tokio::test]
async fn trace_headers_stand_in_the_filed_copy_only() {
    let clock = std::sync::Arc::new(crate::runtime::ManualClock::at(
        crate::domain::time::Timestamp::parse("2026-07-08T18:40:47Z").unwrap(),
    ));
    let server = server(Options { trace_headers: true, clock, ..Options::default() }).await;
    let mut peer = greeted(&server).await;
    submit(&mut peer, b"Subject: x\r\n").await;
    assert_eq!(server.accepted()[0].raw[..], b"Subject: x\r\n\r\n"[..]);
    let filed = server.messages(BOB, "INBOX").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&filed[0].raw),
        "Return-Path: <ann@example.test>\r\nReceived: from client.test\r\n\tby mail.postroom.test with ESMTP;\r\n\
         \tWed, 08 Jul 2026 18:40:47 +0000\r\nSubject: x\r\n\r\n"
    );
}

#[tokio::test]
async fn a_full_inbox_refuses_and_too_many_connections_are_closed() {
    let server = server(Options { max_folder: 1, max_connections: 1, ..Options::default() }).await;
    let mut peer = greeted(&server).await;
    submit(&mut peer, b"x").await;
    peer.talk(&[("MAIL FROM:<>", "250"), ("RCPT TO:<bob@example.test>", "452 4.2.2")]).await;
    assert_eq!(Peer::to(server.smtp()).await.line().await, "<closed>");
    let counts = server.connections();
    assert_eq!((counts.smtp_open, counts.smtp, counts.refused), (1, 1, 1));
    server.stop().await;
    assert_eq!(peer.line().await, "<closed>");
}

#[tokio::test]
async fn only_loopback_is_bound() {
    let refused = MailServer::start(Options { bind: [0, 0, 0, 0].into(), ..Options::default() }).await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(std::io::ErrorKind::InvalidInput));
}
