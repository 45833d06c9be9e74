//! The list of addresses that nobody mails: the resource, CSV in and out, exclusions, hard bounces.

use crate::support::client::{Answer, Request};
use crate::support::instance::Instance;
use crate::unsubscribe::{mail_server, sending};
use postroom::mailserver::{Act, Point, Rule};
use serde_json::{Value, json};

async fn import(postroom: &Instance, list: &str) -> Answer {
    let headers = [("Content-Type", "text/csv; charset=utf-8")];
    let request =
        Request { method: "POST", path: "/api/v2/suppressions/import", headers: &headers, body: Some(list.as_bytes()) };
    postroom.client.send(request).await.checked()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_suppressed_once_whatever_its_spelling_and_can_be_let_go() {
    let postroom = Instance::start().await;
    let made = postroom
        .client
        .create("suppression", "suppressions", &json!({"email": "Ann@Example.org", "note": "asked"}))
        .await;
    assert_eq!(made["attributes"]["reason"], "manual");
    assert_eq!((&made["attributes"]["source"], &made["attributes"]["note"]), (&json!("api"), &json!("asked")));
    assert!(made["relationships"]["creator"]["data"]["id"].is_u64(), "{made:#}");
    let again = json!({"data": {"type": "suppression", "attributes": {"email": "ann@EXAMPLE.org"}}});
    let refused = postroom.client.post("/api/v2/suppressions", &again).await.expect(422);
    assert_eq!(refused.json["errors"][0]["id"], "validationDuplicateValueError");
    let invalid = json!({"data": {"type": "suppression", "attributes": {"email": "nobody", "reason": "bored"}}});
    assert_eq!(
        postroom.client.post("/api/v2/suppressions", &invalid).await.expect(422).json["errors"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let list = async |query: &str| {
        postroom.client.get(&format!("/api/v2/suppressions{query}")).await.expect(200).json["meta"]["count"].clone()
    };
    assert_eq!(list("?filter[email]=ANN@example.org").await, 1);
    assert_eq!(list("?filter[reason]=unsubscribe").await, 0);
    assert_eq!(list("?sort=-createdAt").await, 1);
    let path = format!("/api/v2/suppressions/{}", made["id"]);
    postroom.client.get(&path).await.expect(200);
    postroom.client.delete(&path).await.expect(204);
    postroom.client.delete(&path).await.expect(404);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_with_its_bad_lines_told_and_goes_out_as_it_came() {
    let postroom = Instance::start().await;
    let list = "email,reason,note\r\na@x.example,unsubscribe,\"two\r\nlines\"\r\nnobody,,\r\n=b@x.example,complaint,=1+1\r\nA@x.example,,\r\nc@x.example,bored,\r\n";
    let meta = import(&postroom, list).await.expect(200).json["meta"].clone();
    assert_eq!((&meta["added"], &meta["known"], &meta["rejected"]), (&json!(2), &json!(1), &json!(2)), "{meta:#}");
    let lines: Vec<&Value> = meta["rejectedLines"].as_array().unwrap().iter().map(|bad| &bad["line"]).collect();
    assert_eq!(lines, [4, 7]);
    let exported = postroom.client.get_raw("/api/v2/suppressions/export").await;
    assert!(
        exported.starts_with("email,reason,note,source,createdAt\r\na@x.example,unsubscribe,\"two\r\nlines\",import,"),
        "{exported}"
    );
    assert!(exported.contains("\r\n'=b@x.example,complaint,'=1+1,import,"), "{exported}");
    // What went out comes in again: nothing new, nothing rejected.
    let meta = import(&postroom, &exported).await.expect(200).json["meta"].clone();
    assert_eq!((&meta["added"], &meta["known"], &meta["rejected"]), (&json!(0), &json!(2), &json!(0)), "{meta:#}");
    let many: String = (0..2500).map(|number| format!("n{number}@x.example\n")).collect();
    assert_eq!(import(&postroom, &many).await.expect(200).json["meta"]["added"], 2500);
    assert_eq!(postroom.client.get_raw("/api/v2/suppressions/export").await.matches("@x.example").count(), 2502);
    import(&postroom, "name\nx\n").await.expect(422);
    let json = json!({"data": []});
    postroom.client.post("/api/v2/suppressions/import", &json).await.expect(415);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_says_the_address_is_bad_suppresses_it_and_no_other_refusal_does() {
    let server = mail_server().await;
    server.script(Rule::new(Point::RcptTo, Act::Reply("550 5.1.1 No such user".into())).to("gone@demo.test"));
    server.script(Rule::new(Point::RcptTo, Act::Reply("550 5.7.1 Blocked".into())).to("blocked@demo.test"));
    server.script(Rule::new(Point::RcptTo, Act::Reply("552 5.2.2 Full".into())).to("full@demo.test"));
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let content = |to: &str| json!({"to": [to], "subject": "s", "bodyText": "t"});
    for to in ["gone@demo.test", "blocked@demo.test", "full@demo.test"] {
        let mailing = postroom.mailing(mailbox, content(to)).await;
        postroom.until("mailings", mailing, |shown| shown["attempts"] != json!([])).await;
    }
    let all = postroom.client.get("/api/v2/suppressions").await.expect(200);
    let all = all.json["data"].as_array().unwrap().clone();
    assert_eq!(all.len(), 1, "{all:#?}");
    let found = &all[0];
    assert_eq!(
        (&found["attributes"]["email"], &found["attributes"]["reason"]),
        (&json!("gone@demo.test"), &json!("hardBounce"))
    );
    assert!(found["relationships"]["mailing"]["data"]["id"].is_u64());
    let connections = server.connections();
    let again = postroom.mailing(mailbox, content("gone@demo.test")).await;
    let failed = postroom.until_state(again, "failed").await;
    assert!(failed["errorReason"].as_str().unwrap().contains("suppressed"), "{failed:#}");
    assert_eq!(failed["attempts"], json!([]));
    assert_eq!(server.connections(), connections, "no connection was made for it");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_organisations_exclusions_hold_for_every_mailbox() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let path = "/api/v2/orgSettings/1";
    let shown = postroom.client.get(path).await.expect(200);
    assert_eq!(shown.json["data"]["attributes"]["sendExclusions"], Value::Null);
    let tag = shown.header("etag").expect("a tag").to_owned();
    let change =
        |value: Value| json!({"data": {"type": "orgSetting", "id": 1, "attributes": {"sendExclusions": value}}});
    let refused = postroom.client.patch(path, &change(json!("*@ok.example, not a pattern"))).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/attributes/sendExclusions"));
    let patterns = json!("*@competitor.example, *@*.competitor.example");
    postroom.client.write("PATCH", path, &change(patterns.clone()), &[("If-Match", &tag)]).await.expect(200);
    postroom.client.write("PATCH", path, &change(json!(null)), &[("If-Match", &tag)]).await.expect(412);
    assert_eq!(
        postroom.client.get("/api/v2/orgSettings").await.expect(200).json["data"][0]["attributes"]["sendExclusions"],
        patterns
    );
    postroom.client.get("/api/v2/orgSettings/2").await.expect(404);
    let content = json!({"to": ["boss@Mail.Competitor.example"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, content).await;
    let failed = postroom.until_state(mailing, "failed").await;
    assert!(failed["errorReason"].as_str().unwrap().contains("*@*.competitor.example"), "{failed:#}");
    let content = json!({"to": ["bert@demo.test"], "bcc": ["x@competitor.example"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until_state(mailing, "delivered").await;
    assert_eq!(server.wait_accepted(1).await[0].recipients, ["bert@demo.test"]);
    postroom.client.patch(path, &change(json!(null))).await.expect(200);
    postroom.stop().await;
}
