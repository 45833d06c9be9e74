//! Mailboxes that cannot be.

use super::{Bench, Expected, LINE_BREAKS};
use crate::support::client::{MEDIA_TYPE, Request};
use serde_json::{Value, json};

const INVALID: &str = "validationError";
const TOO_LONG: &str = "validationDataTooLongError";

fn invalid(name: &str, value: Value) -> (String, Value, &'static str) {
    (name.to_owned(), value, INVALID)
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(String, Value, &'static str)> {
    let mut cases = Vec::new();
    // Wrong kinds.
    for (name, value) in [
        ("email", json!(1)),
        ("email", json!(null)),
        ("email", json!(["a@example.org"])),
        ("emailSignature", json!({"html": "x"})),
        ("imapPort", json!("993")),
        ("imapPort", json!(993.5)),
        ("imapPort", json!(1e300)),
        ("imapPort", json!(u64::MAX)),
        ("imapPort", json!(true)),
        ("imapSsl", json!("true")),
        ("imapSsl", json!(1)),
        ("sendThreshold", json!([2])),
        ("sendThreshold", json!(2.0)),
        ("authId", json!("1")),
        ("authId", json!(-1)),
        ("authId", json!(7)),
        ("password", json!(12_345)),
        ("sendgridApiKey", json!({"key": "x"})),
        ("validateSend", json!("yes")),
        ("spreadEvenly", json!(0)),
    ] {
        cases.push(invalid(name, value));
    }
    // Out of range.
    for (name, values) in [
        ("imapPort", &[0, -1, 65_536][..]),
        ("smtpPort", &[0, 65_536, i64::MAX]),
        ("sendThreshold", &[0, 1_000_001]),
        ("sendPeriod", &[0, 604_801]),
        ("maxMailingsPerDay", &[-1, 10_000_001]),
        ("maxMailingsPerWeek", &[-1, 10_000_001]),
        ("maxEmailsPerDay", &[-1, 10_000_001]),
        ("sendMaxRetries", &[-1, 101]),
        ("syncActiveFrequency", &[9, 604_801]),
        ("syncPassiveFrequency", &[9, 604_801]),
        ("ewsSslVerifyMode", &[3, 5, -1]),
    ] {
        cases.extend(values.iter().map(|value| invalid(name, json!(value))));
    }
    // Not one of those that there are.
    for (name, value) in [
        ("sendMethod", "pigeon"),
        ("sendMethod", "SMTP"),
        ("sendMethod", ""),
        ("syncMethod", "pop3"),
        ("exchangeVersion", "Exchange2003"),
        ("doubtPolicy", "maybe"),
        ("saveSentCopy", "sometimes"),
    ] {
        cases.push(invalid(name, json!(value)));
    }
    // Not what it has to look like.
    for (name, value) in [
        ("email", ""),
        ("email", "ann"),
        ("email", "a@b@example.org"),
        ("email", "Ann <ann2@example.org>"),
        ("imapHost", "imaps://imap.example.org"),
        ("imapHost", "imap.example.org:993"),
        ("imapHost", "imap.example.org/inbox"),
        ("imapHost", "ann@imap.example.org"),
        ("imapHost", "imap .example.org"),
        ("imapHost", ".example.org"),
        ("smtpHost", "-smtp.example.org"),
        ("smtpHost", "smtp..example.org"),
        ("ewsEndpoint", "ftp://ews.example.org/"),
        ("ewsEndpoint", "https://ann:secret@ews.example.org/"),
        ("ewsEndpoint", "ews.example.org"),
        ("ewsEndpoint", "javascript:alert(1)"),
    ] {
        cases.push(invalid(name, json!(value)));
    }
    // More than one line where one has to do.
    for name in ["email", "username", "smtpUsername", "imapHost", "smtpHost", "emailProvider", "ewsEndpoint"] {
        cases.extend(LINE_BREAKS.iter().map(|text| invalid(name, json!(text))));
    }
    for name in ["password", "smtpPassword", "sendgridApiKey", "sendgridWebhookKey"] {
        cases.extend(LINE_BREAKS.iter().map(|text| invalid(name, json!(text))));
    }
    for name in ["emailSignature", "optOutMessage", "optOutSignature", "prospectEmailExclusions"] {
        cases.push(invalid(name, json!("a\0b")));
    }
    // One character too many, counted as characters.
    for (name, limit) in [
        ("username", 255),
        ("emailProvider", 255),
        ("smtpUsername", 255),
        ("imapHost", 255),
        ("ewsEndpoint", 255),
        ("optOutMessage", 512),
        ("optOutSignature", 512),
        ("emailSignature", 65_535),
        ("prospectEmailExclusions", 65_535),
        ("password", 65_535),
        ("sendgridApiKey", 65_535),
    ] {
        cases.push((name.to_owned(), json!("ü".repeat(limit + 1)), TOO_LONG));
    }
    cases.push(("email".into(), json!(format!("{}@example.org", "x".repeat(250))), TOO_LONG));
    // Rules on the whole, and addresses that are taken, however they are written.
    cases.push(invalid("syncOutreachFolder", json!(true)));
    for taken in ["ann@example.org", "ANN@Example.ORG", " ann@example.org "] {
        cases.push(("email".into(), json!(taken), "validationDuplicateValueError"));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_attribute_gets_into_a_mailbox_by_create_or_update() {
    let bench = Bench::start().await;
    for (name, value, id) in cases() {
        let pointer = format!("/data/attributes/{name}");
        let mut attributes = json!({"email": "new@example.org"});
        attributes[&name] = value.clone();
        let expected = Expected { status: 422, id, blamed: &pointer };
        let document = json!({"data": {"type": "mailbox", "attributes": attributes}});
        bench.refused_document("POST", "/api/v2/mailboxes", &document, expected).await;
        if id == "validationDuplicateValueError" {
            continue;
        }
        let document = json!({"data": {"type": "mailbox", "id": 1, "attributes": {name: value}}});
        bench.refused_document("PATCH", "/api/v2/mailboxes/1", &document, expected).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_may_be_as_long_as_it_may_be() {
    let bench = Bench::start().await;
    for (name, limit) in [("username", 255), ("optOutMessage", 512), ("emailSignature", 65_535), ("password", 65_535)] {
        let document = json!({"data": {"type": "mailbox", "id": 1, "attributes": {
            name: "ü".repeat(limit), "password": "ü".repeat(65_535),
        }}});
        bench.postroom.client.patch("/api/v2/mailboxes/1", &document).await.expect(200);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_problems_of_a_request_are_reported_at_once() {
    let bench = Bench::start().await;
    let document = json!({"data": {
        "type": "mailbox",
        "attributes": {
            "imapPort": 0, "sendMethod": "pigeon", "optOutMessage": "x".repeat(513), "imapHots": "imap.example.org",
            "syncOutreachFolder": true, "smtpSsl": "no", "password": ["a canary in a cage"],
        },
        "relationships": {"user": {"data": {"type": "user", "id": 99}}, "mialings": {"data": null}},
    }});
    let body = document.to_string();
    let headers = &[("Content-Type", MEDIA_TYPE)];
    let request = Request { method: "POST", path: "/api/v2/mailboxes", headers, body: Some(body.as_bytes()) };
    let answer = bench.refused(&bench.postroom.client, request, 422, "validationDataTooLongError").await;
    let mut blamed = super::sources(&answer);
    blamed.sort();
    let expected = [
        "/data/attributes/email",
        "/data/attributes/imapHots",
        "/data/attributes/imapPort",
        "/data/attributes/optOutMessage",
        "/data/attributes/password",
        "/data/attributes/sendMethod",
        "/data/attributes/smtpSsl",
        "/data/attributes/syncOutreachFolder",
        "/data/relationships/mialings",
        "/data/relationships/user",
    ];
    assert_eq!(blamed, expected, "{}", answer.text);
    assert!(answer.text.contains("Did you mean 'imapHost'?") && answer.text.contains("Did you mean 'mailings'?"));
    assert!(!answer.text.contains("canary"), "{}", answer.text);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_another_shape_type_or_id_is_refused_where_it_is_wrong() {
    let bench = Bench::start().await;
    let attributes = json!({"email": "new@example.org"});
    for (document, status, blamed) in [
        (json!([]), 422, ""),
        (json!("data"), 422, ""),
        (json!({}), 422, "/data"),
        (json!({"data": null}), 422, "/data"),
        (json!({"data": [{"type": "mailbox", "attributes": attributes}]}), 422, "/data"),
        (json!({"data": {"attributes": attributes}}), 422, "/data/type"),
        (json!({"data": {"type": 7, "attributes": attributes}}), 422, "/data/type"),
        (json!({"data": {"type": "user", "attributes": attributes}}), 409, "/data/type"),
        (json!({"data": {"type": "Mailbox", "attributes": attributes}}), 409, "/data/type"),
        (json!({"data": {"type": "mailbox", "attributes": [1]}}), 422, "/data/attributes"),
        (
            json!({"data": {"type": "mailbox", "attributes": attributes, "relationships": 1}}),
            422,
            "/data/relationships",
        ),
        (json!({"data": {"type": "mailbox", "id": 7, "attributes": attributes}}), 403, "/data/id"),
    ] {
        let id = match status {
            409 => "conflict",
            403 => "unauthorizedRequest",
            _ => "validationError",
        };
        bench.refused_document("POST", "/api/v2/mailboxes", &document, Expected { status, id, blamed }).await;
    }
    for (id, status) in [
        (json!(2), 409),
        (json!("2"), 409),
        (json!(null), 422),
        (json!("one"), 422),
        (json!(-1), 422),
        (json!(1.5), 422),
        (json!(0), 422),
        (json!([1]), 422),
        (json!("99999999999999999999"), 422),
    ] {
        let document = json!({"data": {"type": "mailbox", "id": id, "attributes": {"sendPeriod": 5}}});
        let id = if status == 409 { "conflict" } else { "validationError" };
        let expected = Expected { status, id, blamed: "/data/id" };
        bench.refused_document("PATCH", "/api/v2/mailboxes/1", &document, expected).await;
    }
    let document = json!({"data": {"type": "mailbox", "attributes": {"sendPeriod": 5}}});
    let expected = Expected { status: 422, id: "validationError", blamed: "/data/id" };
    bench.refused_document("PATCH", "/api/v2/mailboxes/1", &document, expected).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relationships_name_something_that_is_there() {
    let bench = Bench::start().await;
    for user in [
        json!(1),
        json!({}),
        json!({"data": 1}),
        json!({"data": []}),
        json!({"data": null}),
        json!({"data": {"type": "mailbox", "id": 1}}),
        json!({"data": {"type": "user"}}),
        json!({"data": {"type": "user", "id": "x"}}),
        json!({"data": {"type": "user", "id": 0}}),
        json!({"data": {"type": "user", "id": 99}}),
    ] {
        let document = json!({"data": {
            "type": "mailbox", "attributes": {"email": "new@example.org"}, "relationships": {"user": user},
        }});
        let expected = Expected { status: 422, id: "validationError", blamed: "/data/relationships/user" };
        bench.refused_document("POST", "/api/v2/mailboxes", &document, expected).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_only_is_ignored_and_what_is_unknown_is_not() {
    let bench = Bench::start().await;
    let document = json!({"data": {"type": "mailboxes", "id": "1", "attributes": {
        "createdAt": "1999-01-01T00:00:00Z", "emailHash": 7, "userId": 99, "editable": false, "sendState": {"a": 1},
        "deleteQueuedAt": null, "ewsDelegateSync": true, "sendPeriod": 30,
    }}, "meta": {"whatever": 1}, "jsonapi": "1.0"});
    let answer = bench.postroom.client.patch("/api/v2/mailboxes/1", &document).await.expect(200);
    let shown = &answer.json["data"]["attributes"];
    assert_eq!((shown["sendPeriod"].as_u64(), shown["userId"].as_u64()), (Some(30), Some(1)));
    assert!(
        shown["createdAt"].as_str().unwrap() > "2020" && shown["editable"] == true && shown["sendState"].is_string()
    );
    bench.stop().await;
}
