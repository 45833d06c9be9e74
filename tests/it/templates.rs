//! Placeholders in mailings: filled in before anything is queued, or refused.

use crate::mailing_edits::{mail_server, smtp};
use crate::support::instance::Instance;
use serde_json::{Value, json};

fn document(mailbox: u64, attributes: &Value) -> Value {
    json!({"data": {"type": "mailing", "attributes": attributes, "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholders_are_filled_in_and_html_is_escaped() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom
        .mailing(
            mailbox,
            json!({
                "to": ["b@demo.test"], "subject": "Hi {{name}}", "bodyHtml": "<p>{{ name }} {{price}}</p>",
                "bodyText": "{{name|upper}} {{ nick|default('you') }}", "variables": {"name": "Tom & <Ann>", "price": 1.5},
            }),
        )
        .await;
    let shown = postroom.until_state(mailing, "delivered").await;
    assert_eq!(shown["subject"], "Hi Tom & <Ann>");
    assert_eq!(shown["bodyHtml"], "<p>Tom &amp; &lt;Ann&gt; 1.5</p>");
    assert_eq!(shown["bodyText"], "TOM & <ANN> you");
    let raw = String::from_utf8_lossy(&server.wait_accepted(1).await[0].raw).into_owned();
    assert!(raw.contains("<p>Tom &amp; &lt;Ann&gt; 1.5</p>"), "{raw}");
    // Without variables braces are just braces.
    let literal = json!({"to": ["b@demo.test"], "subject": "{{name}} {% x %}", "bodyText": "{{name"});
    let literal = postroom.mailing(mailbox, literal).await;
    assert_eq!(postroom.until_state(literal, "delivered").await["subject"], "{{name}} {% x %}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_variable_is_refused_before_anything_is_queued() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    for (attributes, pointer) in [
        (json!({"subject": "Hi {{name}}", "variables": {"nmae": "x"}}), "/data/attributes/subject"),
        (json!({"bodyHtml": "Hi {{name}}", "variables": {"nmae": "x"}}), "/data/attributes/bodyHtml"),
        (json!({"bodyText": "Hi {{name.x}}", "variables": {"name": "x"}}), "/data/attributes/bodyText"),
        (json!({"bodyText": "{{ name * 1000000 }}", "variables": {"name": "x"}}), "/data/attributes/bodyText"),
        (json!({"variables": {"a b": "x"}}), "/data/attributes/variables/a b"),
        (json!({"variables": {"a": ["x"]}}), "/data/attributes/variables/a"),
        (json!({"variables": ["x"]}), "/data/attributes/variables"),
        (json!({"variables": "x"}), "/data/attributes/variables"),
    ] {
        let mut all = attributes.clone();
        all["to"] = json!(["b@demo.test"]);
        let refused = postroom.client.post("/api/v2/mailings", &document(mailbox, &all)).await.expect(422);
        assert_eq!(refused.blamed(), Some(pointer), "{attributes}: {}", refused.text);
    }
    assert_eq!(postroom.client.get("/api/v2/mailings").await.expect(200).json["meta"]["count"], 0);
    // A draft's template is filled in anew with other variables.
    let draft =
        json!({"to": ["b@demo.test"], "state": "drafted", "subject": "Hi {{name}}", "variables": {"name": "Ann"}});
    let id = postroom.mailing(mailbox, draft).await;
    let path = format!("/api/v2/mailings/{id}");
    let change =
        |variables: Value| json!({"data": {"type": "mailing", "id": id, "attributes": {"variables": variables}}});
    let shown = postroom.client.patch(&path, &change(json!({"name": "Bert"}))).await.expect(200);
    assert_eq!(shown.json["data"]["attributes"]["subject"], "Hi Bert");
    assert_eq!(
        postroom.client.patch(&path, &change(json!({"x": 1}))).await.expect(422).blamed(),
        Some("/data/attributes/subject")
    );
    assert_eq!(postroom.attributes("mailings", id).await["subject"], "Hi Bert");
    postroom.stop().await;
}
