//! DKIM signatures as an implementation that is not ours judges them, on what `smtp-sink` got.

use crate::peers::dkim_check::judge;
use crate::peers::smtp_sink::{self, SmtpSink};
use crate::support::binary::Home;
use crate::support::instance::Instance;
use crate::support::server::Server;
use postroom::config::{Config, PublicUrl};
use postroom::mailserver::{MailServer, Options, Recipients};
use postroom::send::keyring::Keyring;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const RSA: &str = include_str!("../../src/mime/dkim/test_keys/rsa_2048.pem");
const ED25519: &str = include_str!("../../src/mime/dkim/test_keys/ed25519.pem");

fn place(folder: &Path, name: &str, pem: &str) {
    let path = folder.join(name);
    fs::write(&path, pem).expect("a key is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
}

fn keys() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    place(folder.path(), "one._domainkey.demo.test.pem", RSA);
    place(folder.path(), "two._domainkey.demo.test.pem", ED25519);
    folder
}

fn records(folder: &Path) -> BTreeMap<String, String> {
    Keyring::load(folder).expect("the keys are good").records().collect()
}

fn signing(folder: &Path) -> Config {
    let mut config = Config::default();
    config.send.dkim_keys = Some(folder.to_owned());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_domain_with_keys_is_signed_and_others_check_it() {
    let Some(sink) = SmtpSink::start(&smtp_sink::Options::default()) else { return };
    let folder = keys();
    let mut config = signing(folder.path());
    config.server.public_url = PublicUrl::parse("https://mail.example.org");
    let postroom = Instance::start_with(config).await;
    let settings = json!({"smtpHost": "127.0.0.1", "smtpPort": sink.address.port()});
    let mailbox = postroom.mailbox("ann@demo.test", settings.clone()).await;
    let unsigned = postroom.mailbox("bob@else.test", settings).await;
    let rich = json!({
        "to": ["Bert Bäcker <bert@demo.test>"], "subject": "Grüße ✉  two  blanks", "mailingType": "campaign",
        "bodyHtml": "<p>Hello <b>you</b></p>\n\n\n", "bodyText": " a \t b \n.\n\n\n",
    });
    let plain = json!({"to": ["b@demo.test"], "cc": ["c@demo.test"], "subject": "", "bodyText": ""});
    for (mailbox, content) in [(mailbox, rich), (mailbox, plain.clone()), (unsigned, plain)] {
        let mailing = postroom.mailing(mailbox, content).await;
        postroom.until_state(mailing, "delivered").await;
    }
    postroom.stop().await;

    let received = sink.wait_for(3);
    let (ours, theirs): (Vec<_>, Vec<_>) = received.iter().partition(|message| message.sender == "ann@demo.test");
    assert_eq!((ours.len(), theirs.len()), (2, 1));
    assert!(!String::from_utf8_lossy(&theirs[0].raw).contains("DKIM"));
    // What happens to mail on its way, and what must not.
    let text = String::from_utf8(ours[0].raw.clone()).expect("7-bit data");
    let listed = format!("List-Id: <a list>\r\n{text}");
    let forged = format!("From: eve@demo.test\r\n{text}");
    let altered = text.replacen("Subject: ", "Subject: not ", 1);
    let longer = format!("{text}more\r\n");
    let messages: [&[u8]; 6] =
        [&ours[0].raw, &ours[1].raw, listed.as_bytes(), forged.as_bytes(), altered.as_bytes(), longer.as_bytes()];
    let Some(judged) = judge(&records(folder.path()), &messages) else { return };
    for (number, (signatures, good)) in judged.iter().zip([true, true, true, false, false, false]).enumerate() {
        let of =
            |selector: &str, algorithm: &str| ("demo.test".to_owned(), selector.to_owned(), algorithm.to_owned(), good);
        assert_eq!(*signatures, [of("one", "rsa-sha256"), of("two", "ed25519-sha256")], "message {number}");
    }
    let campaign = ours.iter().map(|one| String::from_utf8_lossy(&one.raw)).find(|raw| raw.contains("One-Click"));
    assert!(campaign.expect("the campaign").replace("\r\n ", "").contains("list-unsubscribe-post"), "RFC 8058 §4");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_from_an_alias_is_signed_for_the_domain_of_the_alias() {
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    let folder = keys();
    let postroom = Instance::start_with(signing(folder.path())).await;
    let settings = json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port()});
    // Keys are there for demo.test alone.
    let cases = [("ann@else.test", "sales@demo.test", true), ("ann@demo.test", "sales@else.test", false)];
    for (number, (email, alias, is_signed)) in cases.into_iter().enumerate() {
        let mailbox = postroom.mailbox(email, settings.clone()).await;
        let document = json!({"data": {"type": "mailAlias", "attributes": {"email": alias},
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}});
        postroom.client.post("/api/v2/mailAliases", &document).await.expect(201);
        let content = json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t", "fromAlias": alias});
        let mailing = postroom.mailing(mailbox, content).await;
        postroom.until_state(mailing, "delivered").await;
        let mail = server.wait_accepted(number as u64 + 1).await.remove(number);
        let raw = String::from_utf8_lossy(&mail.raw).into_owned();
        assert_eq!(mail.sender, alias);
        assert_eq!(raw.contains("d=demo.test"), is_signed, "{raw}");
        assert_eq!(raw.contains("DKIM-Signature:"), is_signed, "{raw}");
        let signed = [mail.raw.as_ref()];
        let Some(judged) = is_signed.then(|| judge(&records(folder.path()), &signed)).flatten() else { continue };
        assert!(judged[0].len() == 2 && judged[0].iter().all(|(.., good)| *good), "{judged:?}");
    }
    postroom.stop().await;
}

/// The copy for the sent folder is composed anew, as a message is that is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_composed_again_has_the_same_signature() {
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account("ann@demo.test", "ann's secret");
    let folder = keys();
    let postroom = Instance::start_with(signing(folder.path())).await;
    let settings = json!({
        "smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "imapHost": "127.0.0.1",
        "imapPort": server.imap().port(), "password": "ann's secret", "saveSentCopy": "always", "sendRequiresSync": false,
    });
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until_state(mailing, "delivered").await;
    for _ in 0..600 {
        if !server.messages("ann@demo.test", "Sent").expect("the account").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (sent, filed) = (server.accepted(), server.messages("ann@demo.test", "Sent").expect("the account"));
    assert!(String::from_utf8_lossy(&sent[0].raw).starts_with("DKIM-Signature: "));
    assert_eq!(sent[0].raw, filed[0].raw);
    postroom.stop().await;
}

#[test]
fn the_records_are_printed_and_a_bad_key_stops_the_start() {
    let (home, folder) = (Home::new(), keys());
    let home_without = home.run(&["dkim"], "");
    assert!(home_without.failed(78).contains("send.dkim_keys"), "{home_without:#?}");
    home.configure(&format!("[send]\ndkim_keys = {:?}\n", folder.path()));
    let printed = home.run(&["dkim"], "");
    for (name, text) in records(folder.path()) {
        let whole = printed.ok().replace("\" \"", "");
        assert!(whole.contains(&format!("{name}. IN TXT \"{text}\"")), "{whole}");
    }
    assert!(Server::start(&home).stop().success());
    place(folder.path(), "three._domainkey.demo.test.pem", "no key");
    let refused = Server::refuses(&home, &[]);
    assert!(refused.failed(78).contains("three._domainkey.demo.test.pem"), "{refused:#?}");
}
