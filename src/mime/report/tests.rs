use super::super::parse_summary;
use super::*;
use crate::domain::bounce::{BounceReason, Severity};

/// A message of these fields and this body, as it arrives.
fn report(head: &str, body: &str) -> Option<Report> {
    parse_summary(format!("{head}\n\n{body}").replace('\n', "\r\n").as_bytes()).report
}

fn bounces(report: Option<Report>) -> (Vec<Bounce>, Vec<String>) {
    match report {
        Some(Report::Undelivered { bounces, originals }) => (bounces, originals),
        other => panic!("{other:?}"),
    }
}

#[test]
fn groups_of_recipients_are_told_apart_with_and_without_empty_lines() {
    for gap in ["\n", ""] {
        let status = format!(
            "Reporting-MTA: dns; mx.x.example\n\nFinal-Recipient: rfc822; <a@x.example>\nAction: failed\nStatus: 5.1.1\n{gap}\
             Final-Recipient: RFC822;b@x.example\nAction: delayed\nStatus: 4.4.1\n{gap}\
             Final-Recipient: c@x.example\nStatus: 5.2.2\nDiagnostic-Code: smtp;\n 552 5.2.2 over quota\n"
        );
        let told = delivery_status::recipients(status.as_bytes());
        let bounces: Vec<Bounce> = told.into_iter().filter_map(|told| told.into_bounce(|_| None)).collect();
        let named: Vec<_> =
            bounces.iter().map(|bounce| (bounce.recipient.as_deref().unwrap(), bounce.reason)).collect();
        assert_eq!(named, [("a@x.example", BounceReason::BadAddress), ("c@x.example", BounceReason::MailboxFull)]);
    }
}

#[test]
fn a_report_in_sentences_names_each_recipient_with_what_was_said() {
    let body = "Hi. This is the qmail-send program at mx.x.example.\nI'm afraid I wasn't able to deliver your message.\n\n\
        <a@y.example>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 No such user\nGiving up on 192.0.2.1.\n\n\
        <b@y.example>:\nuser is over quota\n\n--- Below this line is a copy of the message.\n\n\
        Received: (qmail 1); 5 Jan 2026\nMessage-ID: <m1@our.example>\nTo: c@y.example\n";
    let (bounces, originals) = bounces(report("From: MAILER-DAEMON@mx.x.example\nSubject: failure notice", body));
    let found: Vec<_> =
        bounces.iter().map(|bounce| (bounce.recipient.as_deref().unwrap(), bounce.reason, bounce.severity)).collect();
    assert_eq!(
        found,
        [
            ("a@y.example", BounceReason::BadAddress, Severity::Hard),
            ("b@y.example", BounceReason::MailboxFull, Severity::Soft)
        ]
    );
    assert_eq!(originals, ["m1@our.example"]);
}

#[test]
fn what_is_late_is_not_lost() {
    for body in [
        "This message has not yet been delivered to a@x.example. It will be retried. 550 5.1.1",
        "THIS IS A WARNING MESSAGE ONLY. YOU DO NOT NEED TO RESEND. <a@x.example>: could not be delivered",
    ] {
        assert_eq!(report("From: MAILER-DAEMON@x.example\nSubject: Warning", body), Some(Report::Progress));
    }
    assert_eq!(report("From: MAILER-DAEMON@x.example\nSubject: Hello", "Nice weather."), None);
}

#[test]
fn only_complaints_are_complaints() {
    let feedback = |kind: &str, rest: &str| {
        let body = format!(
            "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: {kind}\n{rest}\n--b\n\
            Content-Type: message/rfc822\n\nMessage-ID: <m1@our.example>\nX-HmXmrOriginalRecipient: h@x.example\n\nhi\n--b--\n"
        );
        report("From: fbl@x.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b", &body)
    };
    let complaint = |recipient: &str| {
        Some(Report::Complaint { recipients: vec![recipient.into()], originals: vec!["m1@our.example".into()] })
    };
    assert_eq!(feedback("abuse", "Original-Rcpt-To: <a@x.example>"), complaint("a@x.example"));
    assert_eq!(feedback("Abuse", "Original-Rcpt-To: redacted@x.example"), complaint("h@x.example"));
    for other in ["not-spam", "auth-failure", "virus", ""] {
        assert_eq!(feedback(other, "Original-Rcpt-To: a@x.example"), None, "{other}");
    }
}

#[test]
fn addresses_are_read_from_their_fields() {
    for (value, address) in [
        ("rfc822; a@x.example", Some("a@x.example")),
        ("RFC822;<a@x.example>", Some("a@x.example")),
        ("a@x.example (Ann)", Some("a@x.example")),
        ("utf-8; j\\x{F6}rg@x.example", Some("jörg@x.example")),
        ("rfc822; ann", None),
        ("rfc822; redacted@x.example", None),
        ("rfc822;", None),
        ("", None),
    ] {
        assert_eq!(fields::address(value).as_deref(), address, "{value}");
    }
}
