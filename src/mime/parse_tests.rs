use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn text_of(raw: &[u8]) -> Option<String> {
    parse(raw).text
}

fn one(name: Option<&str>, address: &str) -> Vec<Correspondent> {
    vec![Correspondent { name: name.map(str::to_owned), address: address.to_owned() }]
}

const ORDINARY: &str = "Return-Path: <bob@example.net>\r\n\
    Authentication-Results: mx.example.org;\r\n\tdkim=pass header.d=example.net\r\n\
    From: =?utf-8?q?B=C3=B6b?= <bob@example.net>\r\n\
    To: \"Lee, Ann\" <ann@example.org>, undisclosed: a@b.org, c@d.org;\r\n\
    Cc: cee@example.net\r\n\
    Subject: =?utf-8?q?Re:_Gr=C3=BC=C3=9Fe?=\r\n\
    \x20and more\r\n\
    Date: Wed, 8 Jul 2026 20:40:47 +0200\r\n\
    Message-ID: <reply.1@example.net>\r\n\
    In-Reply-To: <abc@example.org>\r\n\
    References: <first@example.org>\r\n\t<abc@example.org>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"outer\"\r\n\
    \r\n\
    preamble\r\n\
    --outer\r\n\
    Content-Type: multipart/alternative; boundary=inner\r\n\
    \r\n\
    --inner\r\n\
    Content-Type: text/plain; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    \r\n\
    Thanks, sch=F6n!\r\n\
    --inner\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    \r\n\
    <p>Thanks</p>\r\n\
    --inner--\r\n\
    \r\n\
    --outer\r\n\
    Content-Type: application/pdf; name=\"a.pdf\"\r\n\
    Content-Disposition: attachment; filename*=utf-8''..%2F%C3%BCber.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-ID: <doc@example.net>\r\n\
    \r\n\
    SGVsbG8s\r\n\
    IHdvcmxk\r\n\
    --outer--\r\n\
    epilogue\r\n";

#[test]
fn an_ordinary_message_is_read_completely() {
    let incoming = parse(ORDINARY.as_bytes());
    assert_eq!(incoming.message_id.as_deref(), Some("reply.1@example.net"));
    assert_eq!(incoming.in_reply_to, ["abc@example.org"]);
    assert_eq!(incoming.references, ["first@example.org", "abc@example.org"]);
    assert_eq!(incoming.from, one(Some("Böb"), "bob@example.net"));
    let to: Vec<_> = incoming.to.iter().map(|person| person.address.as_str()).collect();
    assert_eq!(to, ["ann@example.org", "a@b.org", "c@d.org"]);
    assert_eq!(incoming.to[0].name.as_deref(), Some("Lee, Ann"));
    assert_eq!(incoming.cc, one(None, "cee@example.net"));
    assert_eq!(incoming.subject.as_deref(), Some("Re: Grüße and more"));
    assert_eq!(incoming.sent_at, Timestamp::parse("2026-07-08T18:40:47Z"));
    assert_eq!(incoming.text.as_deref(), Some("Thanks, schön!"));
    assert_eq!(incoming.html.as_deref(), Some("<p>Thanks</p>"));
    assert_eq!(incoming.snippet, "Thanks, schön!");
    let [attachment] = incoming.attachments.as_slice() else { panic!("{:?}", incoming.attachments) };
    assert_eq!(attachment.name.as_deref(), Some("über.pdf"));
    assert_eq!((attachment.content_type.as_str(), attachment.size), ("application/pdf", 12));
    assert_eq!(attachment.content_id.as_deref(), Some("doc@example.net"));
    assert_eq!(part_content(ORDINARY.as_bytes(), attachment.part).as_deref(), Some(&b"Hello, world"[..]));
    assert_eq!(incoming.authentication_results, ["mx.example.org; dkim=pass header.d=example.net"]);
    assert_eq!(incoming.nature, Nature::Human);
    assert_eq!(incoming.problems, [""; 0]);
    assert_eq!(parse(ORDINARY.replace("\r\n", "\n").as_bytes()), incoming, "line ends make no difference");
    assert_eq!(parse(ORDINARY.replace("\r\n", "\r").as_bytes()), incoming, "not even these");
    let summary = Incoming { text: None, html: None, ..incoming };
    assert_eq!(parse_summary(ORDINARY.as_bytes()), summary);
}

#[test]
fn texts_are_found_in_malformed_messages() {
    let cases: [(&str, &[u8], &str); 20] = [
        ("no header", b"Hello,\r\n\r\nthis is it", "Hello,\n\nthis is it"),
        ("an empty header", b"\r\nonly a body", "only a body"),
        ("header only", b"Subject: x", ""),
        ("header without an end", b"Subject: x\r\nFrom: a@b.org\r\n", ""),
        ("LF only", b"Subject: x\n\nbody\n", "body\n"),
        ("an mbox line first", b"From a@b.org Mon Jan  1 00:00:00 2026\nSubject: x\n\nbody", "body"),
        ("unknown charset", b"Content-Type: text/plain; charset=x-none\n\ngr\xFCn", "grün"),
        ("windows-1252", b"Content-Type: text/plain; charset=windows-1252\n\n\x93quoted\x94 \x80", "“quoted” €"),
        ("iso-2022-jp", b"Content-Type: text/plain; charset=ISO-2022-JP\n\n\x1B$B8@8l\x1B(B", "言語"),
        ("8 bits, no label", b"Subject: x\n\ngr\xFCn", "grün"),
        ("utf-8, no label", b"Subject: x\n\ngr\xC3\xBCn", "grün"),
        ("base64 with garbage", b"Content-Transfer-Encoding: base64\n\nSGVs!!bG8\n=", "Hello"),
        ("base64 of nothing", b"Content-Transfer-Encoding: base64\n\n!!!!", ""),
        ("unknown encoding", b"Content-Transfer-Encoding: x-uu\n\nbody", "body"),
        ("no boundary", b"Content-Type: multipart/mixed\n\nbody", "body"),
        ("a boundary that never comes", b"Content-Type: multipart/mixed; boundary=b\n\nbody", "body"),
        ("no last boundary", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nbody", "body"),
        ("a part without a header", b"Content-Type: multipart/mixed; boundary=b\n\n--b\nbody\n--b--", "body"),
        (
            "text with a footer",
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--",
            "one\ntwo",
        ),
        ("a broken content type", b"Content-Type: text\n\nbody", "body"),
    ];
    for (what, raw, text) in cases {
        assert_eq!(text_of(raw).unwrap_or_default(), text, "{what}");
    }
}

#[test]
fn header_fields_are_read_however_broken_they_are() {
    let subject = |raw: &[u8]| parse(&[b"Subject: ", raw, b"\n\nx"].concat()).subject.unwrap_or_default();
    for (raw, expected) in [
        (&b"gr\xFC\xDFe"[..], "grüße"),
        ("grüße".as_bytes(), "grüße"),
        (b"=?iso-2022-jp?B?GyRCOEA4bBsoQg==?=", "言語"),
        (b"=?windows-1252?Q?=80?=", "€"),
        (b"=?utf-8?q?a=0D=0ABcc:_eve?=", "a Bcc: eve"),
        (b"=?utf-8?q?broken", "=?utf-8?q?broken"),
        (b"=?x-none?q?gr=C3=BCn?=", "grün"),
        (b"folded\r\n once\r\n\ttwice", "folded once twice"),
        (b"", ""),
    ] {
        assert_eq!(subject(raw), expected, "{:?}", String::from_utf8_lossy(raw));
    }
    assert_eq!(subject(&[b'x'; 5000]).len(), 998);

    let twice =
        parse(b"Subject: one\nSubject: two\nFrom: a@b.org\nFrom: c@d.org\nMessage-ID: <1@x>\nMessage-ID: <2@x>\n\n");
    assert_eq!((twice.subject.as_deref(), twice.message_id.as_deref()), (Some("one"), Some("1@x")));
    assert_eq!(twice.from, one(None, "a@b.org"));
    assert_eq!(twice.problems.len(), 1);

    let folded = parse(b"Message-ID:\r\n <very.long.\r\n id@x>\r\nIn-Reply-To: \"Ann\" of Monday <a@b>\r\nReferences: <a@b><c@d>\r\n\r\n");
    assert_eq!(folded.message_id.as_deref(), Some("very.long.id@x"));
    assert_eq!((folded.in_reply_to, folded.references), (vec!["a@b".into()], vec!["a@b".into(), "c@d".into()]));

    for date in ["", "yesterday", "Wed, 99 Foo 2026 99:99:99 +9999"] {
        assert_eq!(parse(format!("Date: {date}\n\n").as_bytes()).sent_at, None, "{date}");
    }
    assert_eq!(parse(b"To: undisclosed-recipients:;\n\n").to, []);
}

#[test]
fn messages_in_messages_are_attachments_whatever_their_depth() {
    let forwarded = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\n\
        Subject: inner\n\ninner text\n--b--";
    let incoming = parse(forwarded.as_bytes());
    assert_eq!(incoming.text.as_deref(), Some("see below"));
    assert_eq!(incoming.attachments[0].content_type, "message/rfc822");
    assert_eq!(
        part_content(forwarded.as_bytes(), incoming.attachments[0].part).unwrap(),
        b"Subject: inner\n\ninner text"
    );

    let deep = "Content-Type: message/rfc822\n\n".repeat(100_000);
    let digests = "Content-Type: multipart/digest; boundary=b\n\n--b\n".repeat(50_000);
    let multiparts = (0..50_000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"))
        .collect::<Vec<_>>()
        .concat();
    let many_parts = "Content-Type: multipart/mixed; boundary=b\n\n".to_owned() + &"--b\n\nx\n".repeat(100_000);
    let small_stack = std::thread::Builder::new().stack_size(512 * 1024);
    let parsed = small_stack
        .spawn(move || [deep, digests, multiparts, many_parts].map(|raw| parse(raw.as_bytes())))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(parsed[0].attachments.len(), 1);
    assert!(parsed[2].problems.iter().any(|problem| problem.contains("nested too deep")));
    assert!(parsed[3].problems.iter().any(|problem| problem.contains("more parts")));
}

#[test]
fn everything_that_is_kept_has_a_bound() {
    let people = (0..5_000).map(|n| format!("a{n}@b.org,\n ")).collect::<Vec<_>>().concat();
    let header = format!("To: {people}x@b.org\nReferences: {}\n", "<a@b> ".repeat(5_000));
    let raw = format!("{header}Authentication-Results: x\n\n{}", "body ".repeat(1_000_000));
    let incoming = parse(raw.as_bytes());
    assert_eq!((incoming.to.len(), incoming.references.len()), (500, 100));
    assert_eq!(incoming.text.map(|text| text.len()), Some(1024 * 1024));
    let endless = parse("X-Filler: x\n".repeat(100_000).as_bytes());
    assert!(endless.problems.iter().any(|problem| problem.contains("header")), "{:?}", endless.problems);
}

#[test]
fn a_message_with_html_only_has_a_snippet_of_its_text() {
    let raw = b"Content-Type: text/html\n\n<style>p{}</style><p>Hello&nbsp;<b>Ann</b></p><p>there</p>";
    let incoming = parse(raw);
    assert_eq!((incoming.text, incoming.snippet.as_str()), (None, "Hello Ann there"));
}

#[test]
fn machines_are_told_from_people() {
    use Nature::{Automatic, Human, Report};
    for (header, nature) in [
        ("Subject: Automatic reply: on holiday", Automatic),
        ("Subject: Re: Automatic reply: on holiday", Human),
        ("Auto-Submitted: auto-replied", Automatic),
        ("Auto-Submitted: auto-generated; x=y", Automatic),
        ("auto-submitted: AUTO-REPLIED (vacation)", Automatic),
        ("Auto-Submitted: no", Human),
        ("Auto-Submitted: No (really)", Human),
        ("X-Auto-Response-Suppress: All", Human),
        ("X-Autoreply: yes", Automatic),
        ("X-Autoreply: no", Human),
        ("X-Autorespond: thanks", Automatic),
        ("Precedence: bulk", Automatic),
        ("Precedence: junk", Automatic),
        ("Precedence: auto_reply", Automatic),
        ("Precedence: list", Human),
        ("Return-Path: <>", Automatic),
        ("Return-Path: <a@b.org>", Human),
        ("Return-Path: <>\nContent-Type: multipart/report; report-type=delivery-status; boundary=b", Report),
        ("Auto-Submitted: auto-replied\nContent-Type: multipart/report; boundary=b", Report),
        ("Content-Type: message/delivery-status", Report),
        ("X-Failed-Recipients: a@b.org", Report),
        ("From: Mail Delivery System <MAILER-DAEMON@example.org>", Report),
    ] {
        assert_eq!(parse(format!("{header}\n\nx").as_bytes()).nature, nature, "{header}");
    }
}

/// Not part of the suite: `cargo test --release -- --ignored --nocapture mime::parse` prints the cost of one message.
#[test]
#[ignore = "a measurement"]
fn the_cost_of_a_message() {
    let raw =
        ORDINARY.replace("Thanks, sch=F6n!", &"A line of an ordinary reply, neither short nor long.\r\n".repeat(40));
    let rounds = 20_000;
    let start = std::time::Instant::now();
    let read = (0..rounds).map(|_| parse(raw.as_bytes()).snippet.len()).sum::<usize>();
    let each: Duration = start.elapsed() / rounds;
    println!("{} octets: {each:?} each ({read})", raw.len());
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let incoming = parse(&raw);
        prop_assert!(!incoming.problems.iter().any(|problem| problem.contains("not be read at all")));
        let _ = part_content(&raw, 1);
    }

    #[test]
    fn almost_messages_never_panic(
        pieces in proptest::collection::vec(prop_oneof![
            Just("\r\n".to_owned()), Just("\n\n".to_owned()), Just("--b\r\n".to_owned()), Just("--b--".to_owned()),
            Just("Content-Type: multipart/mixed; boundary=b\r\n".to_owned()),
            Just("Content-Type: message/rfc822\r\n".to_owned()),
            Just("Content-Type: text/html; charset*0*=utf-8''x; charset*1=y\r\n".to_owned()),
            Just("Content-Transfer-Encoding: base64\r\n".to_owned()),
            Just("Content-Transfer-Encoding: quoted-printable\r\n".to_owned()),
            Just("From: \"a\\\" (b) <c@d>, e: f@g;\r\n".to_owned()),
            Just("Subject: =?utf-8?b?".to_owned()), Just("?=".to_owned()), Just("References: <".to_owned()),
            "[ -~]{0,30}", "\\PC{0,10}", "(To|Cc|Date|Message-ID): [ -~]{0,30}\r\n",
        ], 0..30),
    ) {
        let raw = pieces.concat();
        let incoming = parse(raw.as_bytes());
        prop_assert!(!incoming.problems.iter().any(|problem| problem.contains("not be read at all")));
        let summary = parse_summary(raw.as_bytes());
        prop_assert_eq!(&summary.snippet, &incoming.snippet);
        for attachment in &incoming.attachments {
            let content = part_content(raw.as_bytes(), attachment.part);
            prop_assert!(content.is_some());
        }
    }
}
