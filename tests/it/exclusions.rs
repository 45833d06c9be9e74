//! Whose mail is not stored, and the question why.

use crate::support::instance::Instance;
use serde_json::{Value, json};

async fn ask(postroom: &Instance, mailbox: u64, correspondents: &str) -> Value {
    let encoded = correspondents.replace('@', "%40").replace(',', "%2C");
    let path = format!("/api/v2/mailboxes/{mailbox}/actions/testExclusions?actionParams[email]={encoded}");
    postroom.client.act(&path).await.expect(200).json["meta"]["exclusions"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tester_names_the_pattern_its_list_and_the_own_addresses() {
    let postroom = Instance::start().await;
    let mailbox = postroom
        .mailbox("ann@demo.test", json!({"prospectEmailExclusions": "*@home.example\nkid@school.example"}))
        .await;
    let alias = json!({"data": {"type": "mailAlias", "attributes": {"email": "sales@demo.test"},
        "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}});
    postroom.client.post("/api/v2/mailAliases", &alias).await.expect(201);
    let settings = json!({"data": {"type": "orgSetting", "id": 1,
        "attributes": {"prospectEmailExclusions": "boss@demo.test, *@*.law.example"}}});
    postroom.client.patch("/api/v2/orgSettings/1", &settings).await.expect(200);

    let verdict = ask(&postroom, mailbox, "Mum@HOME.example, sales@demo.test,x@a.law.example").await;
    let judged = |email: &str, own: bool, pattern: Option<&str>, list: Option<&str>| json!({"email": email, "own": own, "excluded": pattern.is_some(), "pattern": pattern, "list": list});
    let expected = json!({"excluded": true, "correspondents": [
        judged("Mum@HOME.example", false, Some("*@home.example"), Some("mailbox")),
        judged("sales@demo.test", true, None, None),
        judged("x@a.law.example", false, Some("*@*.law.example"), Some("orgSettings")),
    ]});
    assert_eq!(verdict, expected);
    assert_eq!(ask(&postroom, mailbox, "mum@home.example,client@x.example").await["excluded"], false);
    assert_eq!(ask(&postroom, mailbox, "ann@demo.test").await["excluded"], false, "with nobody else it is stored");

    let path = format!("/api/v2/mailboxes/{mailbox}/actions/testExclusions");
    for query in ["", "?actionParams[email]=", "?actionParams[email]=no%20address", "?actionParams[mail]=a@x.example"] {
        let refused = postroom.client.act(&format!("{path}{query}")).await.expect(400);
        assert!(refused.json["errors"][0]["source"]["parameter"].is_string(), "{query}");
    }
    // A list that cannot be meant is refused with its line.
    let patch = json!({"data": {"type": "mailbox", "id": mailbox,
        "attributes": {"prospectEmailExclusions": "*@home.example\n\nann lee@x.example"}}});
    let refused = postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &patch).await.expect(422);
    let error = &refused.json["errors"][0];
    assert_eq!(error["source"]["pointer"], "/data/attributes/prospectEmailExclusions");
    assert!(error["detail"].as_str().expect("a sentence").contains("Line 3"), "{error}");
    postroom.stop().await;
}
