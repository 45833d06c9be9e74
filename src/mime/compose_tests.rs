use super::*;
use crate::domain::address::Address;
use crate::mime::{Incoming, parse};
use proptest::prelude::*;

/// The owner of everything that an [`Outgoing`] borrows, with values that compose.
#[derive(Clone)]
struct Draft {
    from: Person,
    reply_to: Option<Person>,
    to: Vec<Person>,
    cc: Vec<Person>,
    subject: String,
    text: Option<String>,
    html: Option<String>,
    message_id: String,
    in_reply_to: Option<String>,
    references: Vec<String>,
    headers: Vec<(String, String)>,
}

fn person(text: &str) -> Person {
    Person::parse(text).unwrap()
}

fn draft() -> Draft {
    Draft {
        from: person("Ann Lee <ann@example.org>"),
        reply_to: None,
        to: vec![person("bob@example.net")],
        cc: vec![],
        subject: "Hello".into(),
        text: Some("Hi Bob".into()),
        html: None,
        message_id: "abc@example.org".into(),
        in_reply_to: None,
        references: vec![],
        headers: vec![],
    }
}

impl Draft {
    fn compose(&self) -> Result<Composed, ComposeError> {
        compose(&Outgoing {
            from: &self.from,
            reply_to: self.reply_to.as_ref(),
            to: &self.to,
            cc: &self.cc,
            subject: &self.subject,
            text: self.text.as_deref(),
            html: self.html.as_deref(),
            message_id: &self.message_id,
            date: Timestamp::parse("2026-07-08T18:40:47.123Z").unwrap(),
            in_reply_to: self.in_reply_to.as_deref(),
            references: &self.references,
            headers: &self.headers,
            attachments: &[],
        })
    }

    fn text(&self) -> String {
        String::from_utf8(self.compose().unwrap().bytes).unwrap()
    }

    fn read_back(&self) -> Incoming {
        parse(&self.compose().unwrap().bytes)
    }
}

fn assert_fit_for_the_wire(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(bytes.ends_with(b"\r\n"));
    let bare = text.replace("\r\n", "");
    assert!(!bare.contains(['\r', '\n', '\0']), "{text:?}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "{text:?}");
}

#[test]
fn a_text_mail_is_one_part_as_it_was_written() {
    assert_eq!(
        draft().text(),
        "Date: Wed, 8 Jul 2026 18:40:47 +0000\r\n\
         From: Ann Lee <ann@example.org>\r\n\
         To: bob@example.net\r\n\
         Subject: Hello\r\n\
         Message-ID: <abc@example.org>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Hi Bob\r\n"
    );
}

#[test]
fn a_mail_with_html_has_both_texts_first_the_plain_one() {
    let mut draft = draft();
    draft.html = Some("<p>Grüße</p>".into());
    let text = draft.text();
    let (plain, html) = (text.find("text/plain").unwrap(), text.find("text/html").unwrap());
    assert!(text.contains("multipart/alternative;\r\n boundary=\"=_") && plain < html, "{text}");
    assert!(text.contains("<p>Gr=C3=BC=C3=9Fe</p>"), "{text}");
    draft.text = None;
    assert_eq!(draft.read_back().text.as_deref(), Some("Grüße"), "the text is derived from the HTML");
}

#[test]
fn the_same_mail_composes_to_the_same_bytes_and_another_identifier_to_another_boundary() {
    let mut draft = draft();
    draft.html = Some("<p>x</p>".into());
    let first = draft.text();
    assert_eq!(first, draft.text());
    draft.message_id = "<abc@example.org>".into();
    assert_eq!(first, draft.text(), "angle brackets make no difference");
    draft.message_id = "abd@example.org".into();
    let boundary = |text: &str| text.split("boundary=").nth(1).map(|rest| rest[..36].to_owned());
    assert_ne!(boundary(&first), boundary(&draft.text()));
}

#[test]
fn without_a_visible_recipient_the_mail_says_so_and_names_nobody() {
    let mut draft = draft();
    draft.to.clear();
    assert!(draft.text().contains("\r\nTo: undisclosed-recipients:;\r\n"));
    draft.cc = vec![person("Cee <c@example.net>"), person("d@exämple.net")];
    let text = draft.text();
    assert!(
        text.contains("\r\nTo: undisclosed-recipients:;\r\nCc: Cee <c@example.net>, d@xn--exmple-cua.net\r\n"),
        "{text}"
    );
    assert!(!text.to_ascii_lowercase().contains("\r\nbcc:"));
}

#[test]
fn threads_and_extra_fields_are_written_as_they_are() {
    let mut draft = draft();
    draft.in_reply_to = Some("<q@example.net>".into());
    draft.references = vec!["p@example.net".into(), "<q@example.net>".into(), "broken id@x".into()];
    draft.reply_to = Some(person("\"Lee, Ann\" <replies@example.org>"));
    let url = format!("<https://example.org/u/{}>", "x".repeat(200));
    draft.headers = vec![
        ("List-Unsubscribe".into(), url.clone()),
        ("List-Unsubscribe-Post".into(), "List-Unsubscribe=One-Click".into()),
        ("X-Campaign".into(), "Frühling".into()),
    ];
    let text = draft.text();
    for line in [
        "In-Reply-To: <q@example.net>",
        "References: <p@example.net> <q@example.net>",
        "Reply-To: \"Lee, Ann\" <replies@example.org>",
        &format!("List-Unsubscribe: {url}"),
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "X-Campaign: =?utf-8?q?Fr=C3=BChling?=",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
}

#[test]
fn only_a_non_ascii_local_part_needs_smtputf8() {
    let mut draft = draft();
    draft.subject = "Grüße".into();
    draft.text = Some("Grüße".into());
    draft.to = vec![person("Jürgen <j@exämple.org>")];
    let composed = draft.compose().unwrap();
    assert!(!composed.needs_smtputf8 && !composed.eight_bit && composed.bytes.is_ascii());
    draft.to = vec![person("jürgen@exämple.org")];
    let composed = draft.compose().unwrap();
    assert!(composed.needs_smtputf8 && composed.eight_bit);
    assert!(String::from_utf8(composed.bytes).unwrap().contains("To: jürgen@xn--exmple-cua.org\r\n"));
}

#[test]
fn no_header_field_takes_a_line_break_or_a_control_character() {
    type Poison = fn(&mut Draft, &str);
    let fields: [(&str, Poison); 12] = [
        ("from", |draft, bad| draft.from.name = Some(bad.into())),
        ("replyTo", |draft, bad| draft.reply_to = Some(Person { name: Some(bad.into()), ..person("a@b.org") })),
        ("to", |draft, bad| draft.to[0].name = Some(bad.into())),
        ("cc", |draft, bad| draft.cc = vec![Person { name: Some(bad.into()), ..person("a@b.org") }]),
        ("subject", |draft, bad| draft.subject = bad.into()),
        ("messageId", |draft, bad| draft.message_id = format!("{bad}@example.org")),
        ("inReplyTo", |draft, bad| draft.in_reply_to = Some(format!("<{bad}@example.org>"))),
        ("references", |draft, bad| draft.references = vec!["a@b".into(), bad.into()]),
        ("X-Extra", |draft, bad| draft.headers = vec![("X-Extra".into(), bad.into())]),
        ("List-Unsubscribe", |draft, bad| draft.headers = vec![("List-Unsubscribe".into(), bad.into())]),
        ("", |draft, bad| draft.headers = vec![(format!("X{bad}"), "x".into())]),
        ("", |draft, bad| draft.headers = vec![(format!("X-A: b{bad}Bcc"), "eve@example.org".into())]),
    ];
    for bad in ["\r\n", "\n", "\r", "\0", "\u{2028}", "\u{2029}", "\t", "\u{B}", "\u{C}", "\u{1B}", "\u{7F}", "\u{85}"]
    {
        let bad = format!("a{bad}Bcc: eve@example.org");
        for (field, poison) in fields {
            let mut draft = draft();
            poison(&mut draft, &bad);
            let error = draft.compose().expect_err(field);
            match &error {
                ComposeError::ControlCharacter { field: named } => assert_eq!(named, field, "{bad:?}"),
                ComposeError::HeaderName { field: named } => assert!(field.is_empty(), "{named}"),
                other => panic!("{field}: {other:?}"),
            }
            assert!(!error.to_string().contains(['\r', '\n', '\0']), "{error:?}");
            assert!(Address::parse(&format!("{bad}@example.org")).is_err(), "{bad:?}");
        }
    }
}

#[test]
fn encoded_line_breaks_stay_the_text_that_they_are() {
    for sly in ["a=0D=0ABcc: eve@example.org", "=?utf-8?q?a=0D=0ABcc:_eve@example.org?=", "a\\r\\nBcc: eve@example.org"]
    {
        let mut draft = draft();
        draft.subject = sly.into();
        draft.to[0].name = Some(sly.into());
        draft.headers = vec![("X-Extra".into(), sly.into())];
        let read = draft.read_back();
        assert_eq!(read.subject.as_deref(), Some(sly));
        assert_eq!(read.to[0].name.as_deref(), Some(sly));
        assert!(read.bcc.is_empty());
        assert!(!draft.text().contains("\r\nBcc"));
    }
}

#[test]
fn fields_that_are_made_here_and_identifiers_that_are_none_are_refused() {
    for name in
        ["From", "BCC", "Content-Type", "content-x", "Message-ID", "Resent-To", "Received", "X Y", "X:Y", "", "Ü"]
    {
        let mut draft = draft();
        draft.headers = vec![(name.into(), "x".into())];
        assert!(matches!(draft.compose(), Err(ComposeError::HeaderName { .. })), "{name}");
    }
    let mut twice = draft();
    twice.headers = vec![("X-A".into(), "1".into()), ("x-a".into(), "2".into())];
    assert!(matches!(twice.compose(), Err(ComposeError::HeaderName { .. })));
    for id in ["", "abc", "a b@c", "<a@b", "a@b>", "@b", "a@", "ü@b", "<a@b> <c@d>"] {
        let mut draft = draft();
        draft.message_id = id.into();
        assert!(matches!(draft.compose(), Err(ComposeError::MessageId { .. })), "{id}");
    }
    let mut list = draft();
    list.headers = vec![("List-Id".into(), "ü".into())];
    assert!(matches!(list.compose(), Err(ComposeError::NotAscii { .. })));
    list.headers = vec![("List-Id".into(), "x".repeat(1000))];
    assert!(matches!(list.compose(), Err(ComposeError::TooLong { .. })));
}

#[test]
fn bodies_of_every_kind_arrive_as_they_were() {
    for body in [
        "",
        "\n",
        "one line",
        "a\nb\r\nc\rd",
        ".\n..\n.\r\n",
        "From here\nto there ",
        "trailing space \ntab\t\n",
        "=_0123 --=_x",
        "\n.\n",
        "\r.\r",
        "\n.\r\n",
        "\r\n.\r",
        "\u{1B}[0m\u{B}\u{7F}",
        "Grüße 👩\u{200D}💻",
    ] {
        for html in [None, Some("<p>".to_owned() + body)] {
            let draft = Draft { text: Some(body.into()), html, ..draft() };
            assert_fit_for_the_wire(&draft.compose().unwrap().bytes);
            let read = draft.read_back();
            let expected = normalise(body, "\n");
            let got = read.text.unwrap_or_default();
            // The last line break of a message may be the message's own.
            assert_eq!(
                got.strip_suffix('\n').unwrap_or(&got),
                expected.strip_suffix('\n').unwrap_or(&expected),
                "{body:?}"
            );
            assert_eq!(read.html, draft.html.map(|html| normalise(&html, "\n").into_owned()), "{body:?}");
        }
    }
    let long = Draft { text: Some("x".repeat(5_000)), html: Some("y".repeat(5_000)), ..draft() };
    assert_fit_for_the_wire(&long.compose().unwrap().bytes);
    let nul = Draft { text: Some("a\0b".into()), ..draft() };
    assert_eq!(nul.read_back().text.as_deref(), Some("a\u{FFFD}b\n"));
}

#[test]
fn many_recipients_and_references_are_folded() {
    let mut draft = draft();
    draft.to = (0..300).map(|n| person(&format!("Recipient Number {n} <recipient.{n}@example.org>"))).collect();
    draft.references = (0..300).map(|n| format!("{n}.{}@example.org", "x".repeat(40))).collect();
    let text = draft.text();
    assert!(text.split("\r\n").all(|line| line.len() <= 78), "{text}");
    let read = draft.read_back();
    assert_eq!(read.to.len(), 300);
    assert_eq!(read.references.len(), 100);
}

/// A line that a header field may hold.
fn line() -> impl Strategy<Value = String> {
    "([ -~]|\\PC|=\\?|\\?=|[\"\\\\<>,;:()@.]| ){0,60}"
        .prop_map(|text: String| text.chars().filter(|c| !is_forbidden_in_header(*c)).collect())
}

proptest! {
    #[test]
    fn whatever_is_composed_is_fit_for_the_wire_and_reads_back(
        subject in line(),
        from in line(),
        to in line(),
        text in "(\\PC|\r|\n|[ -~]|\t| \r\n|\0|=|\\.){0,200}",
        html in proptest::option::of("(\\PC|\r|\n|<[a-z]*>|&|\\x1b){0,200}"),
    ) {
        let mut draft = Draft { subject, text: Some(text), html, ..draft() };
        draft.from.name = Some(from);
        draft.to[0].name = Some(to);
        let composed = draft.compose().unwrap();
        assert_fit_for_the_wire(&composed.bytes);
        prop_assert!(composed.bytes.is_ascii());
        // Through the parser itself, not through our reading of it: names and subjects exactly.
        let message = mail_parser::MessageParser::default().parse(&composed.bytes).unwrap();
        prop_assert_eq!(message.subject().unwrap_or_default(), &draft.subject);
        let name = |person: &Person| person.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_default();
        let from = message.from().and_then(|list| list.first()).unwrap();
        prop_assert_eq!(from.name().unwrap_or_default(), name(&draft.from));
        prop_assert_eq!(from.address(), Some("ann@example.org"));
        let to = message.to().and_then(|list| list.first()).unwrap();
        prop_assert_eq!(to.name().unwrap_or_default(), name(&draft.to[0]));
        let lf = |text: &str| normalise(text, "\n").trim_end_matches('\n').to_owned();
        let expected = lf(draft.text.as_deref().unwrap_or_default());
        prop_assert_eq!(lf(message.body_text(0).as_deref().unwrap_or_default()), expected.clone());
        let read = parse(&composed.bytes);
        prop_assert_eq!(lf(read.text.as_deref().unwrap_or_default()), expected);
        if let Some(html) = &draft.html {
            prop_assert_eq!(lf(message.body_html(0).as_deref().unwrap_or_default()), lf(html));
            prop_assert_eq!(lf(read.html.as_deref().unwrap_or_default()), lf(html));
        }
    }
}
