//! The staged live tests against Dovecot and the in-process SMTP server: what is wrong, at which stage, whom to blame,
//! and that no credential went where it should not.

use crate::peers::authority::Certificate;
use crate::peers::dovecot::{Dovecot, Options};
use crate::support::client::Answer;
use crate::support::instance::Instance;
use postroom::config::Config;
use postroom::mailserver::{MailServer, Options as MailOptions, Recipients};
use serde_json::{Value, json};

fn trusting(dovecot: &Dovecot) -> Config {
    let mut config = Config::default();
    config.net.extra_ca_file = Some(dovecot.authority_file.clone());
    config
}

fn document(attributes: &Value) -> Value {
    json!({"data": {"type": "mailbox", "attributes": attributes}})
}

fn imap(dovecot: &Dovecot, port: u16, ssl: bool) -> Value {
    json!({
        "email": "ann@mail.test", "password": "ann's secret", "validateSync": true,
        "imapHost": dovecot.host(), "imapPort": port, "imapSsl": ssl,
    })
}

async fn create(postroom: &Instance, attributes: &Value) -> Answer {
    postroom.client.post("/api/v2/mailboxes", &document(attributes)).await
}

/// A refused create: the stage, the pointer; nothing was stored.
async fn refused(postroom: &Instance, attributes: &Value) -> (String, String, Value) {
    let answer = create(postroom, attributes).await.expect(422);
    let error = answer.json["errors"][0].clone();
    let stored = postroom.client.get("/api/v2/mailboxes?page[size]=1").await.expect(200);
    assert_eq!(stored.json["meta"]["count"], 0, "nothing is saved on failure");
    assert!(!answer.text.contains("ann's secret"), "{}", answer.text);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["meta"]["stage"]), text(&error["source"]["pointer"]), error)
}

#[tokio::test(flavor = "multi_thread")]
async fn implicit_tls_and_starttls_pass_with_a_private_authority() {
    let Some(dovecot) = Dovecot::start(&Options { plaintext_login: false, ..Options::default() }) else { return };
    let postroom = Instance::start_with(trusting(&dovecot)).await;
    for port in [dovecot.imaps.port(), dovecot.imap.port()] {
        // Neither port is one with a convention: implicit TLS is tried first, then STARTTLS.
        let created = create(&postroom, &imap(&dovecot, port, true)).await.expect(201);
        let id = created.json["data"]["id"].as_u64().expect("an id");
        let tested = postroom.client.act(&format!("/api/v2/mailboxes/{id}/actions/testSync")).await.expect(200);
        let stages: Vec<&str> = tested.json["meta"]["stages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|stage| stage["stage"].as_str())
            .collect();
        for stage in ["dns", "tcp", "tls", "greeting", "authentication", "folderList", "select"] {
            assert!(stages.contains(&stage), "{stage} is missing: {stages:?}");
        }
        assert_eq!(port == dovecot.imap.port(), stages.contains(&"startTls"), "{stages:?}");
        assert!(tested.json["meta"]["stages"].as_array().unwrap().iter().all(|stage| stage["millis"].is_u64()));
        postroom.client.delete(&format!("/api/v2/mailboxes/{id}")).await.expect(204);
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_blamed_with_the_servers_own_line() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let postroom = Instance::start_with(trusting(&dovecot)).await;
    let mut attributes = imap(&dovecot, dovecot.imaps.port(), true);
    attributes["password"] = json!("not ann's");
    let (stage, pointer, error) = refused(&postroom, &attributes).await;
    assert_eq!((stage.as_str(), pointer.as_str()), ("authentication", "/data/attributes/password"), "{error:#}");
    assert!(error["detail"].as_str().unwrap().contains("AUTHENTICATIONFAILED"), "{error:#}");
    assert!(error["meta"]["advice"].is_string());
    assert!(error["meta"]["stages"].as_array().unwrap().len() >= 5, "{error:#}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_and_a_closed_port_are_blamed() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let postroom = Instance::start_with(trusting(&dovecot)).await;
    let mut attributes = imap(&dovecot, dovecot.imaps.port(), true);
    attributes["imapHost"] = json!("no-such-host.invalid");
    let (stage, pointer, error) = refused(&postroom, &attributes).await;
    assert_eq!((stage.as_str(), pointer.as_str()), ("dns", "/data/attributes/imapHost"), "{error:#}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (stage, pointer, error) = refused(&postroom, &imap(&dovecot, closed, true)).await;
    assert_eq!((stage.as_str(), pointer.as_str()), ("tcp", "/data/attributes/imapPort"), "{error:#}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_verify_is_refused_before_any_credential() {
    for certificate in [Certificate::Untrusted, Certificate::Expired, Certificate::WrongName] {
        let Some(dovecot) = Dovecot::start(&Options { certificate, ..Options::default() }) else { return };
        let postroom = Instance::start_with(trusting(&dovecot)).await;
        for (port, ssl) in [(dovecot.imaps.port(), true), (dovecot.imap.port(), true), (dovecot.imap.port(), false)] {
            let (stage, pointer, error) = refused(&postroom, &imap(&dovecot, port, ssl)).await;
            assert_eq!(stage, "tls", "{certificate:?}: {error:#}");
            assert!(pointer.starts_with("/data/attributes/imap"), "{certificate:?}: {error:#}");
        }
        let log = dovecot.log();
        assert!(!log.contains("ann"), "a credential was sent to an unverified server: {log}");
        postroom.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_is_tested_up_to_the_recipient_and_nothing_is_sent() {
    let server =
        MailServer::start(MailOptions { recipients: Recipients::Anybody, ..MailOptions::default() }).await.unwrap();
    server.add_account("ann@demo.test", "ann's secret");
    let postroom = Instance::start().await;
    let mut attributes = json!({
        "email": "ann@demo.test", "password": "ann's secret", "validateSend": true,
        "smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "smtpSsl": false,
    });
    let created = create(&postroom, &attributes).await.expect(201);
    let id = created.json["data"]["id"].as_u64().expect("an id");
    let tested = postroom.client.act(&format!("/api/v2/mailboxes/{id}/actions/testSend")).await.expect(200);
    let stages: Vec<&str> =
        tested.json["meta"]["stages"].as_array().unwrap().iter().filter_map(|stage| stage["stage"].as_str()).collect();
    assert_eq!(stages.last(), Some(&"rset"), "{stages:?}");
    assert!(stages.contains(&"mailFrom") && stages.contains(&"rcptTo"), "{stages:?}");
    assert_eq!(server.accepted().len(), 0);
    postroom.client.delete(&format!("/api/v2/mailboxes/{id}")).await.expect(204);

    attributes["password"] = json!("wrong");
    let (stage, pointer, error) = refused(&postroom, &attributes).await;
    assert_eq!((stage.as_str(), pointer.as_str()), ("authentication", "/data/attributes/password"), "{error:#}");
    assert_eq!(error["meta"]["code"], 535);
    // A server without TLS is not spoken to where TLS is wanted.
    (attributes["password"], attributes["smtpSsl"]) = (json!("ann's secret"), json!(true));
    let before = server.connections().auth_attempts;
    let (stage, _, error) = refused(&postroom, &attributes).await;
    assert!(["tls", "startTls"].contains(&stage.as_str()), "{error:#}");
    assert_eq!(server.connections().auth_attempts, before);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_validated_with_the_new_secret_or_the_stored_one() {
    let Some(dovecot) = Dovecot::start(&Options::default()) else { return };
    let postroom = Instance::start_with(trusting(&dovecot)).await;
    let created = create(&postroom, &imap(&dovecot, dovecot.imaps.port(), true)).await.expect(201);
    let id = created.json["data"]["id"].as_u64().expect("an id");
    let path = format!("/api/v2/mailboxes/{id}");
    let patch = |attributes: Value| json!({"data": {"type": "mailbox", "id": id, "attributes": attributes}});
    // The stored password serves a test of unchanged settings.
    let same = patch(json!({"validateSync": true, "emailSignature": "<p>Ann</p>"}));
    postroom.client.patch(&path, &same).await.expect(200);
    let wrong = patch(json!({"validateSync": true, "password": "wrong", "emailSignature": "<p>changed</p>"}));
    let answer = postroom.client.patch(&path, &wrong).await.expect(422);
    assert_eq!(answer.json["errors"][0]["source"]["pointer"], "/data/attributes/password");
    assert_eq!(postroom.attributes("mailboxes", id).await["emailSignature"], "<p>Ann</p>", "nothing is saved");
    postroom.client.act(&format!("{path}/actions/testSync")).await.expect(200);
    postroom.stop().await;
}
