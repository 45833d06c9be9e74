//! Mailings on their way out: what servers do to them and what becomes of them.

use crate::peers::authority::{Authority, Certificate, Issued};
use crate::support::instance::Instance;
use postroom::config::Config;
use postroom::mailserver::{Act, Count, Gate, MailServer, Options, Point, Recipients, Rule};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

async fn mail_server() -> MailServer {
    let options = Options { recipients: Recipients::Anybody, require_auth: false, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account("ann@demo.test", "ann's secret");
    server
}

fn smtp(server: &MailServer) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "password": "ann's secret"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_is_delivered_as_it_was_written() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom
        .mailing(
            mailbox,
            json!({
                "to": ["Bert Bäcker <bert@demo.test>"], "cc": ["cora@demo.test"], "bcc": ["dora@demo.test"],
                "subject": "Grüße ✉", "bodyHtml": "<p>Hello <b>you</b></p>",
            }),
        )
        .await;
    let shown = postroom.until_state(mailing, "delivered").await;
    let accepted = server.wait_accepted(1).await;
    assert_eq!(accepted[0].sender, "ann@demo.test");
    assert_eq!(accepted[0].recipients, ["bert@demo.test", "cora@demo.test", "dora@demo.test"]);
    assert_eq!(accepted[0].user.as_deref(), Some("ann@demo.test"));
    let raw = String::from_utf8_lossy(&accepted[0].raw).into_owned();
    assert!(!raw.contains("dora"), "{raw}");
    assert!(raw.contains(shown["messageId"].as_str().unwrap()), "{raw}");
    assert!(!accepted[0].bare_cr && !accepted[0].bare_lf);
    assert_eq!(shown["recipientOutcomes"].as_array().unwrap().len(), 3);
    assert!(shown["recipientOutcomes"].as_array().unwrap().iter().all(|outcome| outcome["state"] == "accepted"));
    assert_eq!(shown["size"], accepted[0].raw.len());
    let health = postroom.attributes("mailboxes", mailbox).await;
    assert_eq!((health["sendState"].as_str(), health["sendSuccessAt"].is_string()), (Some("ok"), true));
    postroom.stop().await;
}

/// What a server with a certificate of this authority's needs.
fn tls(authority: &Authority) -> Arc<rustls::ServerConfig> {
    let Issued { certificate, key } = authority.issue(Certificate::Good);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a server configuration");
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_over_implicit_tls_and_starttls_with_a_private_authority() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("authority.pem");
    authority.write(&file);
    let options = Options {
        recipients: Recipients::Anybody,
        tls: Some(tls(&authority)),
        require_tls_for_auth: true,
        ..Options::default()
    };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account("ann@demo.test", "ann's secret");
    let mut config = Config::default();
    config.net.extra_ca_file = Some(file);
    let postroom = Instance::start_with(config).await;
    for (number, address) in [server.smtps().expect("a port for TLS"), server.smtp()].into_iter().enumerate() {
        let settings = json!({
            "smtpHost": "localhost", "smtpPort": address.port(), "smtpSsl": true,
            "username": "ann@demo.test", "password": "ann's secret", "validateSend": true,
        });
        let mailbox = postroom.mailbox(&format!("ann{number}@demo.test"), settings).await;
        let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
        postroom.until_state(mailing, "delivered").await;
    }
    let accepted = server.wait_accepted(2).await;
    assert!(accepted.iter().all(|message| message.tls && message.user.as_deref() == Some("ann@demo.test")));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_fails_alone_and_all_refused_fail_the_mailing() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    // Two addresses: the first refusal suppresses the one it is about.
    for gone in ["gone@demo.test", "lost@demo.test"] {
        server.script(Rule::new(Point::RcptTo, Act::Reply("550 5.1.1 No such user here".into())).to(gone));
    }
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let partly = postroom
        .mailing(mailbox, json!({"to": ["bert@demo.test", "gone@demo.test"], "subject": "1", "bodyText": "1"}))
        .await;
    let wholly = postroom.mailing(mailbox, json!({"to": ["lost@demo.test"], "subject": "2", "bodyText": "2"})).await;
    let partly = postroom.until_state(partly, "delivered").await;
    assert_eq!(partly["recipientOutcomes"][0]["state"], "accepted");
    assert_eq!(partly["recipientOutcomes"][1]["state"], "failed");
    let wholly = postroom.until_state(wholly, "failed").await;
    assert!(wholly["errorReason"].as_str().unwrap().contains("5.1.1"), "{wholly:#}");
    assert_eq!(wholly["attempts"][0]["code"], 550);
    assert_eq!(wholly["attempts"][0]["enhancedCode"], "5.1.1");
    // A recipient's failure is no error of the mailbox.
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendErroredAt"], Value::Null);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_refusal_is_tried_again_later_and_accepted_recipients_are_never_mailed_twice() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let rule = Rule::new(Point::RcptTo, Act::Reply("450 4.2.0 Greylisted".into())).to("slow@demo.test");
    server.script(rule.count(Count::First(1)));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom
        .mailing(mailbox, json!({"to": ["fast@demo.test", "slow@demo.test"], "subject": "s", "bodyText": "t"}))
        .await;
    let waiting = postroom.until("mailings", mailing, |shown| shown["retryCount"] == 1).await;
    assert_eq!(waiting["state"], "scheduled");
    assert!(waiting["delayReason"].as_str().unwrap().contains("Greylisted"), "{waiting:#}");
    assert_eq!(waiting["nextAttemptAt"], waiting["retryAt"]);
    assert!((240..=360).contains(&waiting["retryInterval"].as_u64().unwrap()), "{waiting:#}");
    assert_eq!(waiting["recipientOutcomes"][0]["state"], "accepted");
    assert_eq!(waiting["recipientOutcomes"][1]["state"], "waiting");
    let accepted = server.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].recipients, ["fast@demo.test"]);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_pauses_the_mailbox_and_burns_nobodys_retries() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mut settings = smtp(&server);
    settings["password"] = json!("wrong");
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let health = postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == "authFailed").await;
    assert_eq!(health["lastError"]["stage"], "authentication", "{health:#}");
    let waiting = postroom.attributes("mailings", mailing).await;
    assert_eq!((waiting["state"].as_str(), waiting["retryCount"].as_u64()), (Some("scheduled"), Some(0)));
    assert!(waiting["delayReason"].as_str().unwrap().contains("paused"), "{waiting:#}");
    // The right password lifts the pause at once.
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"password": "ann's secret"}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendState"], "ok");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_passes_lifts_the_pause_of_its_mailbox_at_once() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let refusal = Act::Reply("553 5.7.1 Sender address rejected: not owned by user".into());
    let refused = server.script(Rule::new(Point::MailFrom, refusal));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == "paused").await;
    let test = format!("/api/v2/mailboxes/{mailbox}/actions/testSend");
    postroom.client.act(&test).await.expect(422);
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendState"], "paused", "it proves nothing");
    server.clear(refused);
    postroom.client.act(&test).await.expect(200);
    // The next probe would be half an hour away.
    let delivered = postroom.until_state(mailing, "delivered").await;
    assert_eq!(delivered["retryCount"], 0);
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendState"], "ok");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_delays_and_says_so_and_holds_over_a_restart() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mut settings = smtp(&server);
    (settings["sendThreshold"], settings["sendPeriod"]) = (json!(2), json!(3600));
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mut mailings = Vec::new();
    for number in 0..4 {
        let content = json!({"to": ["b@demo.test"], "subject": number.to_string(), "bodyText": "t"});
        mailings.push(postroom.mailing(mailbox, content).await);
    }
    postroom.until_state(mailings[1], "delivered").await;
    let delayed = postroom.until("mailings", mailings[2], |shown| shown["delayReason"].is_string()).await;
    let reason = delayed["delayReason"].as_str().unwrap();
    assert!(reason.contains("2 mailings per 3600 seconds"), "{delayed:#}");
    let next = delayed["nextAttemptAt"].as_str().expect("a time");
    assert!(reason.ends_with(&format!("The next one can go out at {next}.")), "{delayed:#}");
    let health = postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == "limited").await;
    assert!(health["nextSendAt"].is_string(), "{health:#}");
    let postroom = postroom.restart().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.accepted().len(), 2);
    // Lifting the limit lets the rest go.
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendThreshold": 100}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    postroom.until_state(mailings[3], "delivered").await;
    assert_eq!(server.accepted().len(), 4);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_mailbox_holds_what_is_queued_until_it_is_enabled() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mut settings = smtp(&server);
    settings["sendDisabled"] = json!(true);
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let held = postroom.until("mailings", mailing, |shown| shown["state"] == "scheduled").await;
    assert!(held["delayReason"].as_str().unwrap().contains("disabled"), "{held:#}");
    assert!(held["nextAttemptAt"].is_null(), "nobody can know: {held:#}");
    assert_eq!(server.accepted().len(), 0);
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendDisabled": false}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_for_later_waits_for_its_time_and_a_draft_for_its_client() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let content = |state: &str, at: Option<&str>| json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t", "state": state, "scheduledAt": at});
    let later = postroom.mailing(mailbox, content("scheduled", Some("2999-01-01T00:00:00Z"))).await;
    let draft = postroom.mailing(mailbox, content("drafted", None)).await;
    let now = postroom.mailing(mailbox, content("queued", None)).await;
    postroom.until_state(now, "delivered").await;
    assert_eq!(postroom.attributes("mailings", later).await["state"], "scheduled");
    assert_eq!(postroom.attributes("mailings", draft).await["state"], "drafted");
    assert_eq!(server.accepted().len(), 1);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_delay_another_mailbox() {
    let (stuck, healthy) = (mail_server().await, mail_server().await);
    let gate = Gate::new();
    stuck.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let postroom = Instance::start().await;
    let slow = postroom.mailbox("ann@demo.test", smtp(&stuck)).await;
    let mut settings = smtp(&healthy);
    settings["username"] = json!("ann@demo.test");
    let fast = postroom.mailbox("bob@demo.test", settings).await;
    let held = postroom.mailing(slow, json!({"to": ["x@demo.test"], "subject": "s", "bodyText": "t"})).await;
    gate.arrived(1).await;
    for number in 0..5 {
        let content = json!({"to": ["y@demo.test"], "subject": number.to_string(), "bodyText": "t"});
        let mailing = postroom.mailing(fast, content).await;
        postroom.until_state(mailing, "delivered").await;
    }
    assert_eq!(postroom.attributes("mailings", held).await["state"], "delivering");
    gate.open();
    postroom.until_state(held, "delivered").await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_mailings() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mut last = 0;
    for number in 0..30 {
        let content = json!({"to": ["y@demo.test"], "subject": number.to_string(), "bodyText": "t"});
        last = postroom.mailing(mailbox, content).await;
    }
    postroom.until_state(last, "delivered").await;
    server.wait_accepted(30).await;
    assert!(server.connections().smtp <= 4, "{:?}", server.connections());
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_under_way_at_the_stop_is_finished_first() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let gate = Gate::new();
    server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["x@demo.test"], "subject": "s", "bodyText": "t"})).await;
    gate.arrived(1).await;
    let restarting = tokio::spawn(postroom.restart());
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let postroom = restarting.await.expect("the restart ends");
    assert_eq!(postroom.attributes("mailings", mailing).await["state"], "delivered");
    assert_eq!(server.accepted().len(), 1);
    postroom.stop().await;
}
