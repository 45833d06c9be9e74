use super::*;
use crate::domain::failure::FailureKind;
use crate::domain::secret::SealedSecret;
use crate::store::SecretChange;
use serde_json::{Value, json};

/// A mailbox of `ann@{domain}` with these attributes and these secrets set.
#[allow(clippy::needless_pass_by_value)] // Reads better with json!() in place.
pub(in crate::connect) fn mailbox(domain: &str, attributes: Value, secrets: &[SecretField]) -> Mailbox {
    let mut all: Mailbox = serde_json::from_value(json!({
        "id": 1, "user_id": 1, "creator_id": 1, "updater_id": 1,
        "created_at": "2026-01-01", "updated_at": "2026-01-01", "settings": attributes,
    }))
    .unwrap();
    all.settings.email = format!("ann@{domain}");
    all.secrets = secrets.iter().map(|field| (*field, SealedSecret::from_bytes(vec![1]))).collect();
    all
}

const PASSWORD: &[SecretField] = &[SecretField::Password];

#[allow(clippy::needless_pass_by_value)] // As above.
fn effective(domain: &str, attributes: Value) -> EffectiveSettings {
    EffectiveSettings::of(&mailbox(domain, attributes, PASSWORD))
}

#[test]
fn host_port_and_tls_come_from_one_source_as_a_unit() {
    use TlsMode::{Implicit, ImplicitThenStartTls, StartTls, StartTlsIfOffered};
    for (domain, attributes, imap, smtp) in [
        // Presets of the domain and of emailProvider, which comes first.
        ("gmail.com", json!({}), ("imap.gmail.com", 993, Implicit), ("smtp.gmail.com", 465, Implicit)),
        (
            "gmail.com",
            json!({"emailProvider": "office_365"}),
            ("outlook.office365.com", 993, Implicit),
            ("smtp.office365.com", 587, StartTls),
        ),
        // The record wins, side by side with a preset for the other side; its ports default without a look at presets.
        (
            "gmail.com",
            json!({"imapHost": "mail.example.org"}),
            ("mail.example.org", 993, Implicit),
            ("smtp.gmail.com", 465, Implicit),
        ),
        (
            "gmail.com",
            json!({"imapHost": "a.example", "imapSsl": false, "smtpHost": "b.example"}),
            ("a.example", 143, StartTlsIfOffered),
            ("b.example", 587, StartTls),
        ),
        (
            "example.org",
            json!({"imapHost": "a.example", "imapPort": 143, "smtpHost": "b.example", "smtpPort": 465}),
            ("a.example", 143, StartTls),
            ("b.example", 465, Implicit),
        ),
        (
            "example.org",
            json!({"imapHost": "a.example", "imapPort": 1993, "smtpHost": "b.example", "smtpPort": 465, "smtpSsl": false}),
            ("a.example", 1993, ImplicitThenStartTls),
            ("b.example", 465, StartTlsIfOffered),
        ),
        // A port or a TLS switch without a host says nothing about the preset's server; an empty host is none.
        (
            "gmail.com",
            json!({"imapPort": 1, "imapSsl": false, "smtpPort": 2, "smtpSsl": false, "smtpHost": ""}),
            ("imap.gmail.com", 993, Implicit),
            ("smtp.gmail.com", 465, Implicit),
        ),
        // A provider without servers of its own leaves the domain's.
        (
            "gmx.net",
            json!({"emailProvider": "exchange_server"}),
            ("imap.gmx.net", 993, Implicit),
            ("mail.gmx.net", 465, Implicit),
        ),
    ] {
        let found = effective(domain, attributes.clone());
        let parts = |endpoint: Endpoint| (endpoint.host, endpoint.port, endpoint.tls);
        assert_eq!(parts(found.sync.unwrap().endpoint), (imap.0.to_owned(), imap.1, imap.2), "{domain} {attributes}");
        assert_eq!(parts(found.send.unwrap().endpoint), (smtp.0.to_owned(), smtp.1, smtp.2), "{domain} {attributes}");
    }
}

#[test]
fn user_name_and_password_come_from_one_source_as_a_unit() {
    use SecretField::{Password, SmtpPassword};
    let host = |more: Value| {
        let mut all = json!({"smtpHost": "smtp.example.org"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (attributes, secrets, username, secret) in [
        (json!({}), &[Password][..], "ann@example.org", Some(Password)),
        (json!({"username": "ann"}), &[Password], "ann", Some(Password)),
        (json!({"username": ""}), &[Password], "ann@example.org", Some(Password)),
        (json!({"username": "ann"}), &[], "ann", None),
        (json!({"username": "ann", "smtpUsername": "relay"}), &[Password, SmtpPassword], "relay", Some(SmtpPassword)),
        (json!({"username": "ann"}), &[Password, SmtpPassword], "ann", Some(SmtpPassword)),
        (json!({}), &[SmtpPassword], "ann@example.org", Some(SmtpPassword)),
        (json!({"smtpUsername": "relay"}), &[], "relay", None),
    ] {
        let found = EffectiveSettings::of(&mailbox("example.org", host(attributes.clone()), secrets));
        let send = found.send.unwrap();
        assert_eq!((send.username.as_str(), send.secret), (username, secret), "{attributes} {secrets:?}");
    }
    let found = EffectiveSettings::of(&mailbox("example.org", host(json!({"smtpUsername": "relay"})), PASSWORD));
    assert_eq!(found.send.unwrap_err().sentence, "smtpUsername is set, but smtpPassword is not.");
}

#[test]
fn a_provider_that_takes_the_local_part_gets_it_unless_a_user_name_is_set() {
    let found = effective("icloud.com", json!({}));
    assert_eq!(found.sync.unwrap().username, "ann");
    assert_eq!(found.send.unwrap().username, "ann@icloud.com");
    let found = effective("icloud.com", json!({"username": "ann@icloud.com"}));
    assert_eq!(found.sync.unwrap().username, "ann@icloud.com");
    let found = effective("example.org", json!({"imapHost": "IMAP.mail.me.com"}));
    assert_eq!(found.sync.unwrap().username, "ann");
}

#[test]
fn methods_follow_from_the_record_and_those_not_built_say_so() {
    use SecretField::{Password, SendgridApiKey};
    let hosts = json!({"imapHost": "a.example", "smtpHost": "b.example"});
    for (more, secrets, send, sync) in [
        (json!({}), &[Password][..], Method::Smtp, Method::Imap),
        (json!({"ewsEndpoint": "https://a.example/EWS/Exchange.asmx"}), &[Password], Method::Ews, Method::Ews),
        (json!({}), &[Password, SendgridApiKey], Method::Sendgrid, Method::Imap),
        (json!({"sendMethod": "smtp"}), &[Password, SendgridApiKey], Method::Smtp, Method::Imap),
        (json!({"sendMethod": "gmail_api", "syncMethod": "ews"}), &[Password], Method::GmailApi, Method::Ews),
        (json!({"emailProvider": "gmail_api", "authId": 3}), &[], Method::Smtp, Method::GmailApi),
    ] {
        let mut attributes = hosts.clone();
        attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let found = EffectiveSettings::of(&mailbox("example.org", attributes, secrets));
        assert_eq!((found.send_method, found.sync_method), (Some(send), Some(sync)), "{more}");
        for (failure, method, built) in [(found.send.err(), send, Method::Smtp), (found.sync.err(), sync, Method::Imap)]
        {
            if method != built {
                let failure = failure.unwrap();
                assert_eq!((failure.kind, failure.stage), (FailureKind::Config, Stage::Settings));
                assert!(failure.sentence.contains(method.name()) && failure.sentence.contains("is not built yet"));
            }
        }
    }
}

#[test]
fn what_is_not_configured_says_what_to_set() {
    let found = EffectiveSettings::of(&mailbox("example.org", json!({}), PASSWORD));
    assert_eq!((found.send_method, found.sync_method), (None, None));
    assert!(!found.is_configured(Side::Send) && !found.is_configured(Side::Sync) && !found.send_requires_sync);
    assert!(found.send.unwrap_err().advice.unwrap().contains("smtpHost"));
    assert!(found.sync.unwrap_err().advice.unwrap().contains("imapHost"));
    let found = EffectiveSettings::of(&mailbox("example.org", json!({"sendMethod": "smtp"}), PASSWORD));
    assert!(found.send.unwrap_err().advice.unwrap().contains("smtpHost"));
}

#[test]
fn syncing_needs_a_password_and_a_preset_alone_is_no_wish_to_sync() {
    let relay = json!({"smtpHost": "relay.example.org"});
    let found = EffectiveSettings::of(&mailbox("gmail.com", relay, &[]));
    assert!(found.send.is_ok() && found.sync.is_err());
    assert!(!found.is_configured(Side::Sync) && !found.send_requires_sync);
    let found = EffectiveSettings::of(&mailbox("example.org", json!({"imapHost": "a.example"}), &[]));
    assert!(found.is_configured(Side::Sync) && found.sync.unwrap_err().sentence.contains("password"));
}

#[test]
fn sending_requires_sync_where_sync_works_unless_the_record_says_otherwise() {
    for (attributes, expected) in [
        (json!({}), true),
        (json!({"syncDisabled": true}), false),
        (json!({"sendRequiresSync": false}), false),
        (json!({"syncDisabled": true, "sendRequiresSync": true}), true),
    ] {
        assert_eq!(effective("gmail.com", attributes.clone()).send_requires_sync, expected, "{attributes}");
    }
}

#[test]
fn a_grant_never_falls_back_to_the_password_of_the_mailbox() {
    let found = effective("gmail.com", json!({"authId": 3}));
    assert!(found.send.unwrap_err().sentence.contains("authId"));
    assert!(found.sync.unwrap_err().sentence.contains("authId"));
}

#[test]
fn only_a_host_that_an_administrator_named_reaches_private_addresses() {
    let mut all = mailbox("gmail.com", json!({"imapHost": "10.0.0.1"}), PASSWORD);
    all.imap_reach_private = true;
    all.smtp_reach_private = true;
    let found = EffectiveSettings::of(&all);
    assert_eq!(found.sync.unwrap().endpoint.reach, Reach::Private);
    assert_eq!(found.send.unwrap().endpoint.reach, Reach::Public, "the preset's host is nobody's choice");
    all.imap_reach_private = false;
    assert_eq!(EffectiveSettings::of(&all).sync.unwrap().endpoint.reach, Reach::Public);
}

#[test]
fn the_provider_is_the_one_that_is_named_or_whose_servers_are_used() {
    for (domain, attributes, name) in [
        ("example.org", json!({"emailProvider": "Google_OAuth2"}), "gmail"),
        ("example.org", json!({"imapHost": "outlook.office365.com"}), "office_365"),
        ("gmail.com", json!({}), "gmail"),
        ("gmail.com", json!({"imapHost": "imap.example.org"}), "other"),
        ("example.org", json!({"emailProvider": "my own"}), "other"),
    ] {
        assert_eq!(effective(domain, attributes.clone()).provider_type, name, "{domain} {attributes}");
    }
}

#[test]
fn a_draft_counts_new_and_cleared_secrets() {
    let stored = mailbox("gmail.com", json!({}), PASSWORD);
    let cleared = [(SecretField::Password, SecretChange::Clear)];
    let found = EffectiveSettings::of_draft(&Draft::new(&stored, &cleared));
    assert!(found.sync.is_err() && found.send.unwrap().secret.is_none());
    let bare = mailbox("gmail.com", json!({}), &[]);
    let set = [(SecretField::Password, SecretChange::Set("new".into()))];
    assert!(EffectiveSettings::of_draft(&Draft::new(&bare, &set)).sync.is_ok());
}

#[test]
fn the_shown_form_names_every_source_and_no_secret() {
    let shown = effective("example.org", json!({"imapHost": "a.example", "emailProvider": "gmail"})).to_json();
    assert_eq!(shown["sync"]["host"], json!({"value": "a.example", "source": "record"}));
    assert_eq!(shown["sync"]["port"], json!({"value": 993, "source": "default"}));
    assert_eq!(shown["sync"]["tls"], json!({"value": "implicit", "source": "default"}));
    assert_eq!(shown["sync"]["inbox"], json!({"value": "INBOX", "source": "default"}));
    assert_eq!(shown["send"]["host"], json!({"value": "smtp.gmail.com", "source": "preset"}));
    assert_eq!(shown["send"]["username"], json!({"value": "ann@example.org", "source": "implied"}));
    assert_eq!(shown["send"]["password"], json!({"set": true, "attribute": "password"}));
    assert_eq!(shown["send"]["method"], json!({"value": "smtp", "source": "implied"}));
    assert_eq!(shown["sendRequiresSync"], json!({"value": true, "source": "implied"}));
    assert_eq!((&shown["providerType"], &shown["providerId"]), (&json!("gmail"), &json!(1)));
    let shown = effective("example.org", json!({"sendMethod": "ews"})).to_json();
    assert_eq!(shown["send"]["configured"], json!(true));
    assert!(shown["send"]["problem"]["detail"].as_str().unwrap().contains("not built yet"));
    assert_eq!(shown["sync"]["configured"], json!(false));
    assert_eq!(shown["sync"]["method"], Value::Null);
}
