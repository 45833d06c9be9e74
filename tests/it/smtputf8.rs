//! Addresses beyond ASCII: domains go as A-labels wherever mail goes; local parts need a server with SMTPUTF8 (RFC 6531),
//! and where there is none it is said which address cannot be reached.

use crate::support::instance::Instance;
use postroom::mailserver::{Capabilities, MailServer, Options, Recipients};
use serde_json::{Value, json};

async fn server(offers: bool) -> MailServer {
    let smtp_capabilities = if offers { Capabilities::with(&["SMTPUTF8"]) } else { Capabilities::default() };
    let options = Options { recipients: Recipients::Anybody, smtp_capabilities, ..Options::default() };
    MailServer::start(options).await.expect("the mail server starts")
}

fn settings(server: &MailServer) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_smtputf8_gets_addresses_of_any_script() {
    let (server, postroom) = (server(true).await, Instance::start().await);
    let mailbox = postroom.mailbox("jörg@bücher.test", settings(&server)).await;
    let content = json!({
        "to": ["Żaneta Łoś <żaneta@książki.test>"], "cc": ["ann@demo.test"], "bcc": ["用户@例子.test"],
        "subject": "Grüße", "bodyText": "Zażółć",
    });
    let mailing = postroom.mailing(mailbox, content).await;
    let shown = postroom.until_state(mailing, "delivered").await;
    assert_eq!(shown["recipientOutcomes"].as_array().map(Vec::len), Some(3), "{shown:#}");
    let accepted = &server.wait_accepted(1).await[0];
    assert_eq!(accepted.sender, "jörg@xn--bcher-kva.test");
    assert_eq!(accepted.recipients, ["żaneta@xn--ksiki-5wa74f.test", "ann@demo.test", "用户@xn--fsqu00a.test"]);
    let raw = String::from_utf8(accepted.raw.to_vec()).expect("UTF-8");
    let line = |name: &str| raw.lines().find(|line| line.starts_with(name)).expect("the field").to_owned();
    assert!(line("From: ").contains("jörg@"), "{raw}");
    assert!(line("To: ").contains("żaneta@"), "{raw}");
    assert!(!raw.contains("用户"), "{raw}");
    // Only the header may be raw; the body stays 7-bit data.
    assert!(raw.split_once("\r\n\r\n").expect("a body").1.is_ascii(), "{raw}");

    // One that needs nothing of the kind asks for nothing, in the same session or another.
    let plain = postroom.mailbox("ann@demo.test", settings(&server)).await;
    let mailing = postroom.mailing(plain, json!({"to": ["b@bücher.test"], "subject": "ü", "bodyText": "t"})).await;
    postroom.until_state(mailing, "delivered").await;
    assert_eq!(server.wait_accepted(2).await[1].recipients, ["b@xn--bcher-kva.test"]);
    assert!(server.accepted()[1].raw.is_ascii());
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_smtputf8_an_address_that_needs_it_fails_with_its_reason_and_the_others_get_their_mail() {
    let (server, postroom) = (server(false).await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", settings(&server)).await;
    // The header names it to everybody: nobody can get this message here.
    let named = json!({"to": ["żaneta@demo.test"], "cc": ["b@demo.test"], "subject": "s", "bodyText": "t"});
    let failed = postroom.mailing(mailbox, named).await;
    let failed = postroom.until_state(failed, "failed").await;
    assert!(failed["errorReason"].as_str().is_some_and(|reason| reason.contains("SMTPUTF8")), "{failed:#}");
    assert_eq!(failed["retryCount"], 0, "{failed:#}");
    // Only the envelope names it: the others get theirs.
    let hidden = json!({
        "to": ["b@demo.test", "c@książki.test"], "bcc": ["żaneta@demo.test"], "subject": "s", "bodyText": "t",
    });
    let partly = postroom.mailing(mailbox, hidden).await;
    let partly = postroom.until_state(partly, "delivered").await;
    let outcomes = partly["recipientOutcomes"].as_array().expect("outcomes");
    let bcc = outcomes.iter().find(|outcome| outcome["kind"] == "bcc").expect("the bcc");
    assert_eq!(bcc["state"], "failed", "{partly:#}");
    assert!(bcc["answer"].as_str().is_some_and(|answer| answer.contains("SMTPUTF8")), "{partly:#}");
    let accepted = server.wait_accepted(1).await;
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].recipients, ["b@demo.test", "c@xn--ksiki-5wa74f.test"]);
    // It is nobody's fault but the address's: the mailbox is well.
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendState"], "ok");
    postroom.stop().await;
}
