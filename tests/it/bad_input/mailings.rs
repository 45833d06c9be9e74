//! Mailings that cannot be.

use super::{Bench, Expected, LINE_BREAKS};
use serde_json::{Value, json};

const INVALID: &str = "validationError";
const TOO_LONG: &str = "validationDataTooLongError";

fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let mut cases: Vec<(&str, Value, &str)> = vec![
        ("to", json!("bert@example.org"), INVALID),
        ("to", json!({"address": "bert@example.org"}), INVALID),
        ("to", json!([1]), INVALID),
        ("to", json!([null]), INVALID),
        ("to", json!([]), INVALID),
        ("to", json!(null), INVALID),
        ("to", json!(["bert"]), INVALID),
        ("to", json!(["bert@example.org, cora@example.org"]), INVALID),
        ("to", json!(["Bert <bert@example.org"]), INVALID),
        ("to", json!(["Bert <bert@example.org> <eve@example.org>"]), INVALID),
        ("to", json!(["bert@example.org>\r\nRCPT TO:<eve@example.org"]), INVALID),
        ("to", json!(vec!["bert@example.org"; 501]), TOO_LONG),
        ("to", json!([format!("{} <bert@example.org>", "x".repeat(999))]), TOO_LONG),
        ("cc", json!([""]), INVALID),
        ("bcc", json!(["\u{202E}bert@example.org"]), INVALID),
        ("subject", json!(7), INVALID),
        ("subject", json!(["s"]), INVALID),
        ("bodyHtml", json!(7), INVALID),
        ("bodyHtml", json!("a\0b"), INVALID),
        ("bodyText", json!({"text": "t"}), INVALID),
        ("bodyText", json!("a\0b"), INVALID),
        ("replyTo", json!("nobody"), INVALID),
        ("replyTo", json!("a@example.org, b@example.org"), INVALID),
        ("replyTo", json!(""), INVALID),
        ("replyTo", json!("x".repeat(999)), TOO_LONG),
        ("followUpTaskType", json!("x".repeat(256)), TOO_LONG),
        ("scheduledAt", json!("tomorrow"), INVALID),
        ("scheduledAt", json!("2026-02-30T00:00:00Z"), INVALID),
        ("scheduledAt", json!("2026-07-08T18:40:47"), INVALID),
        ("scheduledAt", json!(1_783_536_047), INVALID),
        ("scheduledAt", json!("99999-01-01T00:00:00Z"), INVALID),
        ("state", json!("delivered"), INVALID),
        ("state", json!("sent"), INVALID),
        ("state", json!(1), INVALID),
        ("trackOpens", json!("yes"), INVALID),
        ("trackLinks", json!(1), INVALID),
        ("subjct", json!("s"), INVALID),
    ];
    for text in LINE_BREAKS {
        cases.push(("subject", json!(text), INVALID));
        cases.push(("replyTo", json!(format!("{text} <bert@example.org>")), INVALID));
        cases.push(("replyTo", json!(format!("{text}@example.org")), INVALID));
        cases.push(("to", json!([format!("{text} <bert@example.org>")]), INVALID));
        cases.push(("cc", json!([format!("\"{text}\" <bert@example.org>")]), INVALID));
        cases.push(("bcc", json!([format!("{text}@example.org")]), INVALID));
    }
    cases
}

fn document(attributes: &Value, mailbox: &Value) -> Value {
    json!({"data": {"type": "mailing", "attributes": attributes, "relationships": {"mailbox": mailbox}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_attribute_gets_into_a_mailing() {
    let bench = Bench::start().await;
    let mailbox = json!({"data": {"type": "mailbox", "id": 1}});
    for (name, value, id) in cases() {
        let mut attributes = json!({"to": ["bert@example.org"], "subject": "s", "bodyText": "t"});
        attributes[name] = value;
        let pointer = format!("/data/attributes/{name}");
        let expected = Expected { status: 422, id, blamed: &pointer };
        bench.refused_document("POST", "/api/v2/mailings", &document(&attributes, &mailbox), expected).await;
    }
    // A mailing for later needs its time.
    let attributes = json!({"to": ["bert@example.org"], "state": "scheduled"});
    let expected = Expected { status: 422, id: INVALID, blamed: "/data/attributes/scheduledAt" };
    bench.refused_document("POST", "/api/v2/mailings", &document(&attributes, &mailbox), expected).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_names_a_mailbox_that_is_there() {
    let bench = Bench::start().await;
    let attributes = json!({"to": ["bert@example.org"]});
    let expected = Expected { status: 422, id: INVALID, blamed: "/data/relationships/mailbox" };
    for mailbox in [
        json!(null),
        json!({"data": null}),
        json!({"data": {"type": "mailbox", "id": 99}}),
        json!({"data": {"type": "mailbox", "id": "x"}}),
        json!({"data": {"type": "user", "id": 1}}),
        json!({"data": [{"type": "mailbox", "id": 1}]}),
    ] {
        bench.refused_document("POST", "/api/v2/mailings", &document(&attributes, &mailbox), expected).await;
    }
    let nothing = json!({"data": {"type": "mailing"}});
    bench.refused_document("POST", "/api/v2/mailings", &nothing, expected).await;
    let expected = Expected { blamed: "/data/attributes/to", ..expected };
    bench.refused_document("POST", "/api/v2/mailings", &nothing, expected).await;
    bench.stop().await;
}
