//! Recipients, as resources and as a mailing's to, cc and bcc.

use crate::mailing_edits::{mail_server, smtp};
use crate::support::instance::Instance;
use postroom::domain::user::Role;
use serde_json::{Value, json};

fn linked(ids: &[u64]) -> Value {
    json!({"data": ids.iter().map(|id| json!({"type": "recipient", "id": id})).collect::<Vec<_>>()})
}

fn mailing(mailbox: u64, attributes: &Value, recipients: &Value) -> Value {
    json!({"data": {"type": "mailing", "attributes": attributes, "relationships": {
        "mailbox": {"data": {"type": "mailbox", "id": mailbox}}, "recipients": recipients,
    }}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_is_addressed_by_recipients_made_before_and_by_lists_alike() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let make = async |kind: &str, value: &str| {
        let attributes = json!({"recipientType": kind, "value": value, "primary": kind == "to"});
        postroom.client.create("recipient", "recipients", &attributes).await["id"].as_u64().expect("an id")
    };
    let stranger = json!({"data": {
        "type": "recipient",
        "attributes": {"value": "bert@demo.test"},
        "relationships": {"user": {"data": {"type": "user", "id": 99}}},
    }});
    let refused = postroom.client.post("/api/v2/recipients", &stranger).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/user"));
    let (to, bcc) = (make("to", "bert@demo.test").await, make("bcc", "dora@demo.test").await);
    let attributes = json!({"cc": ["Cora <cora@demo.test>", "BERT@demo.test"], "subject": "s", "bodyText": "t"});
    let answer =
        postroom.client.post("/api/v2/mailings", &mailing(mailbox, &attributes, &linked(&[to, bcc]))).await.expect(201);
    let shown = &answer.json["data"];
    assert_eq!(shown["attributes"]["to"], json!(["bert@demo.test"]));
    assert_eq!(shown["attributes"]["cc"], json!(["Cora <cora@demo.test>"]), "an address counts once");
    assert_eq!(shown["attributes"]["bcc"], json!(["dora@demo.test"]));
    let id = shown["id"].as_u64().expect("an id");
    let relationship = &shown["relationships"]["recipients"];
    assert_eq!(relationship["meta"], json!({"count": 3}));
    let ids: Vec<u64> =
        relationship["data"].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect();
    assert!(ids.contains(&to) && ids.contains(&bcc), "{relationship}");
    // The link leads to the same.
    let link = relationship["links"]["related"].as_str().expect("a link");
    let listed = postroom.client.get(link).await.expect(200);
    assert_eq!(listed.json["meta"]["count"], 3);
    let included = postroom.client.get(&format!("/api/v2/mailings/{id}?include=recipients")).await.expect(200);
    let values: Vec<&str> = included.json["included"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["attributes"]["value"].as_str().unwrap())
        .collect();
    assert_eq!(values, ["bert@demo.test", "cora@demo.test", "dora@demo.test"]);
    postroom.until_state(id, "delivered").await;
    let accepted = server.wait_accepted(1).await;
    assert_eq!(accepted[0].recipients, ["bert@demo.test", "cora@demo.test", "dora@demo.test"]);
    assert!(!String::from_utf8_lossy(&accepted[0].raw).contains("dora"));
    // Each belongs to one mailing.
    let refused =
        postroom.client.post("/api/v2/mailings", &mailing(mailbox, &attributes, &linked(&[to]))).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/recipients"));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_mailings_that_name_a_recipient_at_once_one_gets_it() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    let made = postroom.client.create("recipient", "recipients", &json!({"value": "bert@demo.test"})).await;
    let id = made["id"].as_u64().expect("an id");
    let mut drafts = Vec::new();
    for _ in 0..20 {
        drafts.push(postroom.mailing(mailbox, json!({"to": ["cora@demo.test"], "state": "drafted"})).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for draft in drafts {
        let client = postroom.client.clone();
        tasks.spawn(async move {
            let edit =
                json!({"data": {"type": "mailing", "id": draft, "relationships": {"recipients": linked(&[id])}}});
            client.patch(&format!("/api/v2/mailings/{draft}"), &edit).await
        });
    }
    for _ in 0..20 {
        let client = postroom.client.clone();
        let document = mailing(mailbox, &json!({"subject": "s", "bodyText": "t"}), &linked(&[id]));
        tasks.spawn(async move { client.post("/api/v2/mailings", &document).await });
    }
    let mut owners = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.expect("an answer");
        if answer.status < 300 {
            owners.push(answer.json["data"]["id"].clone());
        } else {
            assert_eq!(answer.expect(422).blamed(), Some("/data/relationships/recipients"));
        }
    }
    let record = postroom.client.get(&format!("/api/v2/recipients/{id}")).await.expect(200);
    assert_eq!(owners, [record.json["data"]["relationships"]["mailing"]["data"]["id"].clone()]);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_stay_who_they_are_over_an_edit_by_either_way() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    let id = postroom.mailing(mailbox, json!({"to": ["a@demo.test", "b@demo.test"], "state": "drafted"})).await;
    let path = format!("/api/v2/mailings/{id}");
    let ids = |json: &Value| -> Vec<u64> {
        let data = json["data"]["relationships"]["recipients"]["data"].as_array().cloned().unwrap_or_default();
        data.iter().filter_map(|item| item["id"].as_u64()).collect()
    };
    let read = postroom.client.get(&path).await.expect(200).json;
    let [a, b] = ids(&read)[..] else { panic!("{read:#}") };
    // One way changes, the other is written back as it was.
    let mut document = json!({"data": read["data"]});
    document["data"]["attributes"]["to"] = json!(["b@demo.test", "c@demo.test"]);
    let written = postroom.client.patch(&path, &document).await.expect(200).json;
    let [kept, c] = ids(&written)[..] else { panic!("{written:#}") };
    assert!(kept == b && c > b);
    postroom.client.get(&format!("/api/v2/recipients/{a}")).await.expect(404);
    let mut document = json!({"data": written["data"]});
    document["data"]["relationships"]["recipients"] = linked(&[c]);
    let written = postroom.client.patch(&path, &document).await.expect(200).json;
    assert_eq!((ids(&written), &written["data"]["attributes"]["to"]), (vec![c], &json!(["c@demo.test"])));
    // Both, and differently.
    let mut document = json!({"data": written["data"]});
    document["data"]["attributes"]["to"] = json!(["d@demo.test"]);
    document["data"]["relationships"]["recipients"] = linked(&[]);
    let refused = postroom.client.patch(&path, &document).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/recipients"));
    for bad in [json!({"data": null}), json!({"data": [{"type": "user", "id": 1}]}), json!({}), linked(&[999])] {
        let document = json!({"data": {"type": "mailing", "id": id, "relationships": {"recipients": bad}}});
        let refused = postroom.client.patch(&path, &document).await.expect(422);
        assert_eq!(refused.blamed(), Some("/data/relationships/recipients"), "{bad}");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_seen_by_who_sees_the_mailbox() {
    let postroom = Instance::start().await;
    let (member, viewer) =
        (postroom.person("member", Role::Member).await, postroom.person("viewer", Role::Viewer).await);
    let mailbox = postroom.mailbox("ann@demo.test", json!({"sendDisabled": true})).await;
    postroom.mailing(mailbox, json!({"to": ["secret@demo.test"], "state": "drafted"})).await;
    let own = json!({"data": {"type": "recipient", "attributes": {"value": "own@demo.test"}}});
    let own = member.client.post("/api/v2/recipients", &own).await.expect(201).json["data"]["id"].as_u64().unwrap();
    let seen = member.client.get("/api/v2/recipients").await.expect(200);
    assert_eq!((seen.json["meta"]["count"].as_u64(), seen.json["data"][0]["id"].as_u64()), (Some(1), Some(own)));
    member.client.get("/api/v2/recipients/1").await.expect(404);
    assert_eq!(postroom.client.get("/api/v2/recipients").await.expect(200).json["meta"]["count"], 2);
    let refused = json!({"data": {"type": "recipient", "attributes": {"value": "x@demo.test"}}});
    viewer.client.post("/api/v2/recipients", &refused).await.expect(403);
    for (attributes, pointer) in [
        (json!({}), "/data/attributes/value"),
        (json!({"value": "nobody"}), "/data/attributes/value"),
        (json!({"value": "a@x.org\r\nRCPT TO:<b@x.org>"}), "/data/attributes/value"),
        (json!({"value": "a@x.org", "recipientType": "all"}), "/data/attributes/recipientType"),
    ] {
        let document = json!({"data": {"type": "recipient", "attributes": attributes}});
        let refused = postroom.client.post("/api/v2/recipients", &document).await.expect(422);
        assert_eq!(refused.blamed(), Some(pointer), "{}", refused.text);
    }
    postroom.stop().await;
}
