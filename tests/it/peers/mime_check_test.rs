use super::mime_check::{read, read_flawless};

const GOOD: &str = "Date: Mon, 06 Jul 2026 10:00:00 +0000\r\n\
    Message-ID: <one@mail.test>\r\n\
    From: =?utf-8?q?Ann_M=C3=BCller?= <ann@mail.test>\r\n\
    To: bob@mail.test, \"Eve, X\" <eve@mail.test>\r\n\
    Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=\"b\"\r\n\
    \r\n\
    --b\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    \r\n\
    Gr=C3=BC=C3=9Fe\r\n\
    --b\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Transfer-Encoding: base64\r\n\
    \r\n\
    PHA+R3LDvMOfZTwvcD4=\r\n\
    --b--\r\n";

#[test]
fn a_good_message_is_read_and_decoded() {
    let Some(readings) = read_flawless(&[GOOD.as_bytes()]) else { return };
    let reading = &readings[0];
    assert_eq!(reading.message_id.as_deref(), Some("<one@mail.test>"));
    assert_eq!(reading.subject.as_deref(), Some("Grüße"));
    assert_eq!((reading.from[0].name.as_str(), reading.from[0].address.as_str()), ("Ann Müller", "ann@mail.test"));
    let to: Vec<_> = reading.to.iter().map(|to| (to.name.as_str(), to.address.as_str())).collect();
    assert_eq!(to, [("", "bob@mail.test"), ("Eve, X", "eve@mail.test")]);
    assert_eq!(reading.text.as_deref().map(str::trim_end), Some("Grüße"));
    assert_eq!(reading.html.as_deref().map(str::trim_end), Some("<p>Grüße</p>"));
    assert_eq!(reading.header("mime-version"), Some("1.0"));
}

#[test]
fn each_defect_is_named() {
    let bad = [
        (GOOD.replacen("\r\n", "\n", 1), "a bare LF"),
        (GOOD.replace("Gr=C3", "\rGr=C3"), "a bare CR"),
        (GOOD.replace("Gr=C3", &"x".repeat(999)), "998 is the limit"),
        (GOOD.replace("To: bob", "To: bób"), "not printable ASCII"),
        (GOOD.replace("Message-ID: <one@mail.test>\r\n", ""), "no message-id"),
        (GOOD.replace("Message-ID: <one@mail.test>", "Message-ID: one@mail.test"), "not made of message ids"),
        (GOOD.replace("To: ", "Subject: x\r\nTo: "), "subject appears 2 times"),
        (GOOD.replace("--b--\r\n", ""), "CloseBoundaryNotFoundDefect"),
        (GOOD.replace("PHA+R3LDvMOfZTwvcD4=", "PHA+R3LDvMOfZTwvcD4"), "InvalidBase64"),
        (GOOD.replace("Gr=C3=BC=C3=9Fe", "Gr=C3"), "decode"),
        (GOOD.replace("Gr=C3", &"x".repeat(80)), "more than 76 characters"),
        (GOOD.replace("=?utf-8?b?R3LDvMOfZQ==?=", "=?nonesuch?b?R3LDvMOfZQ==?="), "encoded word does not decode"),
        (GOOD.replace("R3LDvMOfZQ==?=", "R3LD?="), "encoded word does not decode"),
        (GOOD.replace("To: bob@mail.test", "To: bob@"), "InvalidHeaderDefect"),
        (GOOD.replace("boundary=\"b\"", "boundary=\"c\""), "StartBoundaryNotFoundDefect"),
    ];
    let messages: Vec<&[u8]> = bad.iter().map(|(message, _)| message.as_bytes()).collect();
    let Some(readings) = read(&messages) else { return };
    for ((message, expected), reading) in bad.iter().zip(readings) {
        let named = reading.defects.iter().any(|defect| defect.contains(expected));
        assert!(named, "{expected} is not in {:#?} of\n{message}", reading.defects);
    }
}
