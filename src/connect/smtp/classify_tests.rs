use super::*;
use FailureKind::{Auth, Config, Doubt, Permanent, Quota, Temporary};
use Stage::{Authentication, Capabilities, Data, FinalDot, Greeting, MailFrom, RcptTo, Rset, StartTls};

#[test]
fn every_reply_has_its_kind_and_scope() {
    for (stage, line, kind, scope) in [
        (Greeting, "554 No SMTP service here", Permanent, Scope::Host),
        (Greeting, "421 Too busy", Temporary, Scope::Host),
        (Greeting, "450 Try later", Temporary, Scope::Host),
        (Capabilities, "550 Go away", Permanent, Scope::Host),
        (StartTls, "454 TLS not available", Temporary, Scope::Host),
        (StartTls, "501 No", Permanent, Scope::Host),
        (Authentication, "535 5.7.8 Bad credentials", Auth, Scope::Mailbox),
        (Authentication, "535 No", Auth, Scope::Mailbox),
        (Authentication, "534 5.7.9 Application-specific password required", Auth, Scope::Mailbox),
        (Authentication, "530 Must issue a STARTTLS command first", Auth, Scope::Mailbox),
        (Authentication, "535 5.7.139 Authentication unsuccessful", Auth, Scope::Mailbox),
        (Authentication, "550 5.7.30 Basic authentication is not supported", Auth, Scope::Mailbox),
        (Authentication, "504 5.5.4 Unrecognized authentication type", Config, Scope::Mailbox),
        (Authentication, "454 4.7.0 Too many login attempts", Temporary, Scope::Mailbox),
        (Authentication, "421 4.7.0 Bye", Temporary, Scope::Host),
        (MailFrom, "530 5.7.0 Authentication required", Auth, Scope::Mailbox),
        (MailFrom, "550 5.7.30 Basic authentication is not supported", Auth, Scope::Mailbox),
        (MailFrom, "553 5.7.1 Sender address rejected: not owned by user", Permanent, Scope::Mailbox),
        (MailFrom, "550 5.4.5 Daily user sending limit exceeded", Quota, Scope::Mailbox),
        (MailFrom, "552 5.3.4 Message too big", Permanent, Scope::Message),
        (MailFrom, "451 4.3.0 Later", Temporary, Scope::Mailbox),
        (MailFrom, "432 4.3.2 Concurrent connections limit exceeded", Temporary, Scope::Mailbox),
        (RcptTo, "550 5.1.1 No such user", Permanent, Scope::Recipient),
        (RcptTo, "550 No such user", Permanent, Scope::Recipient),
        (RcptTo, "554 5.7.1 Relay access denied", Permanent, Scope::Mailbox),
        (
            RcptTo,
            "553 5.7.1 <ann@x.example>: Sender address rejected: not owned by user ann",
            Permanent,
            Scope::Mailbox,
        ),
        (RcptTo, "450 4.1.8 <ann@x.example>: Sender address rejected: Domain not found", Temporary, Scope::Mailbox),
        (RcptTo, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", Permanent, Scope::Mailbox),
        (RcptTo, "550 Sender verify failed", Permanent, Scope::Mailbox),
        (
            RcptTo,
            "550 5.1.1 <bob@x.example>: Recipient address rejected: undeliverable address: host mx.x.example said: 554 5.7.1 Client host rejected",
            Permanent,
            Scope::Recipient,
        ),
        (RcptTo, "450 4.4.0 host mx.x.example said: 554 Client host rejected", Temporary, Scope::Recipient),
        (RcptTo, "550 Relaying denied", Permanent, Scope::Mailbox),
        (RcptTo, "550 <bob@relay.example> is unknown here", Permanent, Scope::Recipient),
        (RcptTo, "550 5.1.7 No such sender", Permanent, Scope::Mailbox),
        (RcptTo, "552 5.2.2 Mailbox full", Permanent, Scope::Recipient),
        (RcptTo, "452 4.2.2 Mailbox full", Temporary, Scope::Recipient),
        (RcptTo, "452 4.5.3 Too many recipients", Temporary, Scope::Recipient),
        (RcptTo, "552 Too many recipients", Temporary, Scope::Recipient),
        (RcptTo, "450 4.2.0 Greylisted", Temporary, Scope::Recipient),
        (RcptTo, "552 5.3.4 Message too big", Permanent, Scope::Message),
        (RcptTo, "550 5.7.233 Tenant limit", Quota, Scope::Mailbox),
        (RcptTo, "421 4.3.2 Shutting down", Temporary, Scope::Host),
        (RcptTo, "530 Authentication required", Auth, Scope::Mailbox),
        (Data, "554 5.5.1 No valid recipients", Permanent, Scope::Message),
        (Data, "451 Later", Temporary, Scope::Message),
        (Data, "250 What?", Temporary, Scope::Host),
        (FinalDot, "550 5.4.5 Daily user sending limit exceeded", Quota, Scope::Mailbox),
        (FinalDot, "421 4.7.28 Unusual rate of mail", Quota, Scope::Mailbox),
        (FinalDot, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", Quota, Scope::Mailbox),
        (FinalDot, "550 5.1.90 Daily limit", Quota, Scope::Mailbox),
        (FinalDot, "421 4.4.5 Server busy", Temporary, Scope::Host),
        (FinalDot, "554 5.7.1 Spam", Permanent, Scope::Message),
        (FinalDot, "554 Spam", Permanent, Scope::Message),
        (FinalDot, "554 5.7.9 Message not accepted for policy reasons", Permanent, Scope::Message),
        (FinalDot, "552 Too big", Permanent, Scope::Message),
        (FinalDot, "552 5.3.4 Too big", Permanent, Scope::Message),
        (FinalDot, "550 5.7.60 Client does not have permissions to send as this sender", Permanent, Scope::Mailbox),
        (FinalDot, "452 4.3.1 No space", Temporary, Scope::Message),
        (Rset, "500 What?", Temporary, Scope::Host),
    ] {
        let (code, text) = line.split_once(' ').unwrap();
        let reply = Reply { code: code.parse().unwrap(), lines: vec![text.to_owned()] };
        let failure = classify(stage, &reply);
        assert_eq!((failure.kind, failure.scope), (kind, scope), "{stage:?}: {line}");
        assert_eq!((failure.code, failure.server.as_deref()), (Some(reply.code), Some(text)), "{line}");
        assert_eq!(failure.enhanced, EnhancedCode::from_reply(text), "{line}");
        assert!(failure.sentence.ends_with('.'), "{line}");
    }
}

#[test]
fn only_the_final_dot_leaves_doubt() {
    for stage in [Greeting, Capabilities, StartTls, Authentication, MailFrom, RcptTo, Data, Rset] {
        let failure = broken(stage, "mail.example", &WireError::Closed);
        assert_eq!((failure.kind, failure.scope), (Temporary, Scope::Host), "{stage:?}");
    }
    let failure = broken(FinalDot, "mail.example", &WireError::TimedOut);
    assert_eq!((failure.kind, failure.scope, failure.stage), (Doubt, Scope::Message, FinalDot));
}
