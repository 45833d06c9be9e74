use super::{edit, ids, path};
use crate::support::client::{Client, Request};
use crate::support::instance::Instance;
use crate::support::people::Person;
use postroom::domain::user::Role;
use serde_json::{Value, json};

/// Mailbox 1 and mailing 1 are the administrator's, 2 and 2 the member's; the viewer has none.
struct House {
    postroom: Instance,
    member: Person,
    viewer: Person,
}

async fn house() -> House {
    let postroom = Instance::start().await;
    let member = postroom.person("member", Role::Member).await;
    let viewer = postroom.person("viewer", Role::Viewer).await;
    postroom.mailbox("admin@example.org", json!({})).await;
    let own = member.client.create("mailbox", "mailboxes", &json!({"email": "member@example.org"})).await;
    assert_eq!(own["relationships"]["user"]["data"]["id"], member.id);
    for mailbox in [1, 2] {
        postroom.mailing(mailbox, json!({"to": ["b@example.org"], "state": "drafted"})).await;
    }
    House { postroom, member, viewer }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_may_not_see_does_not_exist_for_them() {
    let House { postroom, member, viewer } = house().await;
    let client = &member.client;
    for (path, expected) in [
        ("/api/v2/mailboxes", vec![2]),
        ("/api/v2/mailboxes?filter[id]=1", vec![]),
        ("/api/v2/mailboxes?filter[user][id]=1", vec![]),
        ("/api/v2/mailboxes?filter[userId]=1", vec![]),
        ("/api/v2/mailboxes?filter[user][id]=1,2", vec![2]),
        ("/api/v2/mailboxes?filter[user][id]=__notnull__", vec![2]),
        ("/api/v2/mailboxes?filter[email]=admin@example.org", vec![]),
        ("/api/v2/mailboxes?newFilterSyntax=true&filter[user][id][]=1&filter[user][id][]=2", vec![2]),
        ("/api/v2/mailings", vec![2]),
        ("/api/v2/mailings?filter[mailbox][id]=1", vec![]),
        ("/api/v2/mailings?filter[mailbox][id]=1,2", vec![2]),
        ("/api/v2/mailings?filter[user][id]=1", vec![2]),
        ("/api/v2/users", vec![member.id]),
        ("/api/v2/users?filter[id]=1", vec![]),
        ("/api/v2/tokens?filter[user][id]=1", vec![]),
    ] {
        let answer = client.get(path).await.expect(200);
        assert_eq!(
            (ids(&answer), answer.json["meta"]["count"].as_u64()),
            (expected.clone(), Some(expected.len() as u64)),
            "{path}"
        );
    }
    for path in
        ["/api/v2/mailboxes/1", "/api/v2/mailboxes/1/effectiveSettings", "/api/v2/mailings/1", "/api/v2/users/1"]
    {
        assert_eq!(client.get(path).await.expect(404).json["errors"][0]["id"], "resourceNotFound", "{path}");
    }
    client.patch("/api/v2/mailboxes/1", &edit(1, &json!({"sendPeriod": 7}))).await.expect(404);
    client.delete("/api/v2/mailboxes/1").await.expect(404);
    client.act("/api/v2/mailboxes/1/actions/testSend").await.expect(404);
    client.delete("/api/v2/tokens/1").await.expect(404);
    let mailing = json!({"data": {
        "type": "mailing", "attributes": {"to": ["b@example.org"]},
        "relationships": {"mailbox": {"data": {"type": "mailbox", "id": 1}}},
    }});
    let hidden = client.post("/api/v2/mailings", &mailing).await.expect(422);
    let mut absent = mailing.clone();
    absent["data"]["relationships"]["mailbox"]["data"]["id"] = json!(99);
    let absent = client.post("/api/v2/mailings", &absent).await.expect(422);
    assert_eq!(hidden.text.replace('1', "99"), absent.text.replace('1', "99"), "hidden and absent look the same");
    // Nor does an include lead there.
    let shown = client.get("/api/v2/mailings/2?include=user").await.expect(200);
    assert_eq!(shown.json["included"], json!([]));
    // A taken address says no more than that.
    let document = json!({"data": {"type": "mailbox", "attributes": {"email": "ADMIN@example.org"}}});
    let taken = client.post("/api/v2/mailboxes", &document).await.expect(422);
    assert_eq!(taken.json["errors"][0]["id"], "validationDuplicateValueError");
    assert!(!taken.json["errors"][0]["detail"].as_str().unwrap().contains("admin"), "{}", taken.text);
    assert_eq!(ids(&viewer.client.get("/api/v2/mailboxes").await.expect(200)), [1, 2]);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_meta_says_exactly_what_would_happen() {
    let House { postroom, member, viewer } = house().await;
    for (who, client) in [("admin", &postroom.client), ("member", &member.client), ("viewer", &viewer.client)] {
        for mailbox in [1, 2] {
            let answer = client.get(&format!("{}?provideAuthorizationMeta=true", path(mailbox))).await;
            if answer.status == 404 {
                assert_eq!((who, mailbox), ("member", 1));
                continue;
            }
            let object = &answer.json["data"];
            let may = object["meta"]["canWrite"].as_bool().unwrap();
            assert_eq!(may, who != "viewer", "{who} {mailbox}");
            assert_eq!(object["attributes"]["editable"], may);
            assert_eq!(object["meta"]["canDelete"], may);
            let edited = client.patch(&path(mailbox), &edit(mailbox, &json!({"sendPeriod": 77}))).await;
            assert_eq!(edited.status, if may { 200 } else { 403 }, "{who} {mailbox}");
            if !may {
                assert_eq!(edited.json["errors"][0]["id"], "unauthorizedRequest");
                client.delete(&path(mailbox)).await.expect(403);
                client.act(&format!("{}/actions/sync", path(mailbox))).await.expect(403);
            }
        }
    }
    let listed = viewer.client.get("/api/v2/mailboxes?provideAuthorizationMeta=true").await.expect(200);
    for object in listed.json["data"].as_array().unwrap() {
        assert_eq!(object["meta"], json!({"canWrite": false, "canDelete": false}));
    }
    let plain = viewer.client.get("/api/v2/mailboxes/1?provideAuthorizationMeta=false").await.expect(200);
    assert_eq!(plain.json["data"].get("meta"), None);
    for kind in ["mailings", "users"] {
        let answer = postroom.client.get(&format!("/api/v2/{kind}/1?provideAuthorizationMeta=true")).await.expect(200);
        assert_eq!(answer.json["data"]["meta"], json!({"canWrite": true}), "{kind}");
    }
    let document = json!({"data": {"type": "mailbox", "attributes": {"email": "viewer@example.org"}}});
    viewer.client.post("/api/v2/mailboxes", &document).await.expect(403);
    // Deleting comes last: it was announced too.
    member.client.delete("/api/v2/mailboxes/2").await.expect(204);
    postroom.client.delete("/api/v2/mailboxes/1").await.expect(204);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_gives_a_mailbox_or_a_token_to_another() {
    let House { postroom, member, .. } = house().await;
    let owned = |kind: &str, id: Value, user: u64| {
        let mut document = json!({"data": {
            "type": kind, "attributes": {}, "relationships": {"user": {"data": {"type": "user", "id": user}}},
        }});
        if !id.is_null() {
            document["data"]["id"] = id;
        }
        document
    };
    let refused = member.client.patch(&path(2), &owned("mailbox", json!(2), 1)).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/relationships/user"));
    member.client.post("/api/v2/tokens", &owned("token", Value::Null, 1)).await.expect(422);
    // Naming oneself is no gift.
    member.client.patch(&path(2), &owned("mailbox", json!(2), member.id)).await.expect(200);
    let given = postroom.client.patch(&path(2), &owned("mailbox", json!(2), 1)).await.expect(200);
    assert_eq!(given.json["data"]["attributes"]["userId"], 1);
    assert_eq!(given.json["data"]["relationships"]["creator"]["data"]["id"], member.id);
    assert_eq!(given.json["data"]["relationships"]["updater"]["data"]["id"], 1);
    member.client.get(&path(2)).await.expect(404);
    // A token speaks for the user it was made for.
    let made = postroom.client.post("/api/v2/tokens", &owned("token", Value::Null, member.id)).await.expect(201);
    let token = made.json["meta"]["token"].as_str().unwrap();
    let identity = postroom.client.with_token(token).get("/api/v2").await.expect(200);
    assert_eq!(identity.json["meta"]["user"]["id"], member.id);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_send_may_suppress_and_only_an_administrator_lets_go() {
    let House { postroom, member, viewer } = house().await;
    let suppress = |email: &str| json!({"data": {"type": "suppression", "attributes": {"email": email}}});
    let import = async |client: &Client, list: &str| {
        let headers = [("Content-Type", "text/csv")];
        let path = "/api/v2/suppressions/import";
        client.send(Request { method: "POST", path, headers: &headers, body: Some(list.as_bytes()) }).await.checked()
    };
    let mut expected = 0;
    for (who, client, may) in
        [("admin", &postroom.client, true), ("member", &member.client, true), ("viewer", &viewer.client, false)]
    {
        let made = client.post("/api/v2/suppressions", &suppress(&format!("{who}1@x.example"))).await;
        made.expect(if may { 201 } else { 403 });
        import(client, &format!("email\n{who}2@x.example\n")).await.expect(if may { 200 } else { 403 });
        expected += if may { 2 } else { 0 };
        let listed = client.get("/api/v2/suppressions?provideAuthorizationMeta=true").await.expect(200);
        assert_eq!(listed.json["meta"]["count"], expected, "{who}");
        assert_eq!(listed.json["data"][0]["meta"], json!({"canWrite": false, "canDelete": who == "admin"}));
        assert!(client.get_raw("/api/v2/suppressions/export").await.contains("admin1@x.example"), "{who}");
    }
    for client in [&member.client, &viewer.client] {
        let refused = client.delete("/api/v2/suppressions/1").await.expect(403);
        assert_eq!(refused.json["errors"][0]["id"], "unauthorizedRequest");
    }
    postroom.client.delete("/api/v2/suppressions/1").await.expect(204);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_user_reads_the_settings_of_the_organisation_and_an_administrator_changes_them() {
    let House { postroom, member, viewer } = house().await;
    let path = "/api/v2/orgSettings/1";
    for (client, may) in [(&member.client, false), (&viewer.client, false), (&postroom.client, true)] {
        let shown = client.get(&format!("{path}?provideAuthorizationMeta=true")).await.expect(200);
        assert_eq!(shown.json["data"]["meta"], json!({"canWrite": may, "canDelete": false}));
        assert_eq!(shown.json["data"]["attributes"]["sendExclusions"], Value::Null);
        let document = json!({"data": {"type": "orgSetting", "id": 1, "attributes": {"sendExclusions": "x.example"}}});
        client.patch(path, &document).await.expect(if may { 200 } else { 403 });
    }
    let shown = viewer.client.get(path).await.expect(200);
    assert_eq!(shown.json["data"]["attributes"]["sendExclusions"], "x.example");
    postroom.stop().await;
}
