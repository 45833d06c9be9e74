//! What a CRM says of its mailings: kept as given, shown again, and found by it.

use crate::attachments::{uploaded, with_attachments};
use crate::support::client::{Answer, Client};
use crate::support::instance::Instance;
use serde_json::{Value, json};

/// What a client may set, with the type of the other end.
const KEPT: [(&str, &str); 5] = [
    ("followUpSequence", "sequence"),
    ("prospect", "prospect"),
    ("schedule", "schedule"),
    ("task", "task"),
    ("template", "template"),
];

/// What only a CRM itself fills in.
const NULL: [(&str, &str); 8] = [
    ("bccEntitiesId", "entity"),
    ("calendar", "calendar"),
    ("ccEntitiesId", "entity"),
    ("opportunity", "opportunity"),
    ("prospectsIds", "prospect"),
    ("sequence", "sequence"),
    ("sequenceState", "sequenceState"),
    ("toEntitiesId", "entity"),
];

fn linked(kind: &str, id: u64) -> Value {
    json!({"data": {"type": kind, "id": id}})
}

async fn make(postroom: &Instance, mailbox: u64, relationships: Value) -> u64 {
    let mut document = json!({"data": {
        "type": "mailing", "attributes": {"to": ["b@demo.test"], "subject": "s", "state": "drafted"},
        "relationships": relationships,
    }});
    document["data"]["relationships"]["mailbox"] = linked("mailbox", mailbox);
    let made = postroom.client.post("/api/v2/mailings", &document).await.expect(201);
    made.json["data"]["id"].as_u64().expect("an id")
}

async fn change(client: &Client, mailing: u64, relationships: Value) -> Answer {
    let document = json!({"data": {"type": "mailing", "id": mailing, "relationships": relationships}});
    client.patch(&format!("/api/v2/mailings/{mailing}"), &document).await
}

async fn found(client: &Client, query: &str) -> Vec<u64> {
    let listed = client.get(&format!("/api/v2/mailings?{query}")).await.expect(200);
    let all = listed.json["data"].as_array().expect("a list");
    assert_eq!(listed.json["meta"]["count"], all.len(), "{query}");
    all.iter().map(|mailing| mailing["id"].as_u64().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mailing_belongs_to_is_kept_as_given_and_the_rest_is_null() {
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", json!({})).await;
    let mut given = json!({});
    for (number, (name, kind)) in KEPT.into_iter().chain(NULL).enumerate() {
        given[name] = linked(kind, number as u64 + 10);
    }
    let mailing = make(&postroom, mailbox, given.clone()).await;
    let path = format!("/api/v2/mailings/{mailing}");
    let read = postroom.client.get(&path).await.expect(200);
    let shown = &read.json["data"]["relationships"];
    let mut names: Vec<&str> = shown.as_object().expect("relationships").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "attachments",
            "bccEntitiesId",
            "calendar",
            "ccEntitiesId",
            "followUpSequence",
            "mailbox",
            "opportunity",
            "prospect",
            "prospectsIds",
            "recipients",
            "schedule",
            "sequence",
            "sequenceState",
            "sequenceStep",
            "task",
            "tasks",
            "template",
            "toEntitiesId",
            "user",
        ]
    );
    for (name, _) in KEPT {
        assert_eq!(shown[name], given[name], "{name}");
    }
    for (name, _) in NULL {
        assert_eq!(shown[name], json!({"data": null}), "{name} is read-only: ignored in a write");
    }
    assert_eq!(shown["tasks"], json!({"data": [], "meta": {"count": 0}}));
    // Written back as it was read, it changes nothing.
    let tag = read.header("etag").expect("a tag");
    let document = json!({"data": read.json["data"]});
    let written = postroom.client.patch(&path, &document).await.expect(200);
    assert_eq!((written.header("etag"), &written.json["data"]["relationships"]), (Some(tag), shown));
    let included = postroom.client.get(&format!("{path}?include=prospect,tasks,toEntitiesId")).await.expect(200);
    assert_eq!(included.json["included"], json!([]));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mailings_are_found_by_what_they_belong_to() {
    let postroom = Instance::start().await;
    let client = &postroom.client;
    let mailbox = postroom.mailbox("ann@demo.test", json!({})).await;
    make(&postroom, mailbox, json!({"prospect": linked("prospect", 5), "task": linked("task", 7)})).await;
    make(&postroom, mailbox, json!({"prospect": linked("prospect", 6)})).await;
    make(&postroom, mailbox, json!({})).await;
    let everything: [(&str, &[u64]); 9] = [
        ("filter[prospect][id]=5", &[1]),
        ("filter[prospect][id]=5,6&sort=-id", &[2, 1]),
        ("filter[prospect][id]=6..inf", &[2]),
        ("filter[prospect][id]=__null__", &[3]),
        ("filter[prospect][id]=__notnull__", &[1, 2]),
        ("filter[prospect][id]=6,__null__", &[2, 3]),
        ("newFilterSyntax=true&filter[prospect][id][]=5&filter[prospect][id][]=6", &[1, 2]),
        ("filter[prospect][id]=5,6&filter[task][id]=7", &[1]),
        ("filter[sequence][id]=5", &[]),
    ];
    for (query, expected) in everything {
        assert_eq!(found(client, query).await, expected, "{query}");
    }
    for (name, _) in KEPT.into_iter().chain(NULL).chain([("sequenceStep", "")]) {
        assert!(found(client, &format!("filter[{name}][id]=99")).await.is_empty(), "{name}");
        let without: &[u64] = match name {
            "prospect" => &[3],
            "task" => &[2, 3],
            _ => &[1, 2, 3],
        };
        assert_eq!(found(client, &format!("filter[{name}][id]=__null__")).await, without, "{name}");
    }
    for name in ["recipients", "tasks"] {
        let refused = client.get(&format!("/api/v2/mailings?filter[{name}][id]=1")).await.expect(400);
        assert_eq!(refused.blamed(), Some(format!("filter[{name}][id]").as_str()));
    }
    // An edit moves it, also one that changes nothing of what goes out.
    change(client, 1, json!({"prospect": linked("prospect", 8), "template": linked("template", 5)})).await.expect(200);
    change(client, 2, json!({"prospect": {"data": null}})).await.expect(200);
    for (query, expected) in [
        ("filter[prospect][id]=5,6", &[][..]),
        ("filter[prospect][id]=8", &[1]),
        ("filter[template][id]=5", &[1]),
        ("filter[task][id]=7", &[1]),
        ("filter[prospect][id]=__null__", &[2, 3]),
    ] {
        assert_eq!(found(client, query).await, expected, "{query}");
    }
    client.delete("/api/v2/mailings/1").await.expect(204);
    assert!(found(client, "filter[prospect][id]=8").await.is_empty());
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mailings_are_found_by_the_files_that_go_with_them() {
    let postroom = Instance::start().await;
    let client = &postroom.client;
    let mailbox = postroom.mailbox("ann@demo.test", json!({})).await;
    let (first, second) = (uploaded(client, "a", b"a").await, uploaded(client, "b", b"b").await);
    let content = json!({"to": ["b@demo.test"], "subject": "s", "state": "drafted"});
    for files in [&[first][..], &[first, second], &[], &[second]] {
        client.post("/api/v2/mailings", &with_attachments(mailbox, &content, files)).await.expect(201);
    }
    let both = format!("filter[attachments][id]={first},{second}&sort=-id");
    for (query, expected) in [
        (format!("filter[attachments][id]={first}"), &[1, 2][..]),
        (format!("filter[attachments][id]={second}&filter[id]=1,2"), &[2]),
        (format!("filter[attachments][id]={second}&page[size]=1"), &[2]),
        (both, &[4, 2, 1]),
        ("filter[attachments][id]=999".to_owned(), &[]),
    ] {
        let listed = client.get(&format!("/api/v2/mailings?{query}")).await.expect(200);
        let ids: Vec<u64> =
            listed.json["data"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
    }
    for comparison in ["__null__", "__notnull__", "1..2"] {
        let refused = client.get(&format!("/api/v2/mailings?filter[attachments][id]={comparison}")).await.expect(400);
        assert_eq!(refused.blamed(), Some("filter[attachments][id]"), "{comparison}");
    }
    postroom.stop().await;
}
