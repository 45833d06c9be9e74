use super::{ids, path};
use crate::support::client::{Answer, Client};
use crate::support::instance::Instance;
use postroom::domain::classification::Classification;
use postroom::domain::message::{Direction, Message};
use postroom::store::StoreError;
use serde_json::{Value, json};

/// Mailboxes 1 to 7: `box1@example.org` and so on, of which the even ones belong to user 2.
async fn seven() -> Instance {
    let postroom = Instance::start().await;
    let bob = postroom.person("bob", postroom::domain::user::Role::Member).await;
    for number in 1..=7_u64 {
        let owner = if number % 2 == 0 { bob.id } else { 1 };
        let document = json!({"data": {
            "type": "mailbox", "attributes": {"email": format!("box{}@example.org", 8 - number)},
            "relationships": {"user": {"data": {"type": "user", "id": owner}}},
        }});
        let answer = postroom.client.post("/api/v2/mailboxes", &document).await.expect(201);
        assert_eq!(answer.json["data"]["id"], number);
    }
    postroom
}

async fn list(client: &Client, query: &str) -> Answer {
    client.get(&format!("/api/v2/mailboxes?{query}")).await.expect(200)
}

fn link<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.json["links"][name].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_forth_and_back() {
    let postroom = seven().await;
    let client = &postroom.client;
    let first = list(client, "page[size]=3&sort=email").await;
    assert_eq!(ids(&first), [7, 6, 5]);
    assert_eq!(first.json["meta"], json!({"count": 7, "count_truncated": false}));
    assert_eq!(link(&first, "prev"), None);
    let second = client.get(link(&first, "next").unwrap()).await.expect(200);
    assert_eq!(ids(&second), [4, 3, 2]);
    let third = client.get(link(&second, "next").unwrap()).await.expect(200);
    assert_eq!((ids(&third), link(&third, "next")), (vec![1], None));
    let back = client.get(link(&third, "prev").unwrap()).await.expect(200);
    assert_eq!(ids(&back), [4, 3, 2]);
    let back = client.get(link(&back, "prev").unwrap()).await.expect(200);
    assert_eq!((ids(&back), link(&back, "prev")), (vec![7, 6, 5], None));
    let again = client.get(link(&third, "first").unwrap()).await.expect(200);
    assert_eq!(ids(&again), [7, 6, 5]);
    // Clients append their own parameters to the links, an empty cursor among them.
    let next = format!("{}&page[size]=2&sort=email&page[after]=", link(&first, "next").unwrap());
    assert_eq!(ids(&client.get(&next).await.expect(200)), [4, 3]);
    for link in ["first", "next"] {
        assert!(super::lists::link(&first, link).unwrap().starts_with("http://127.0.0.1:"), "absolute");
        assert!(super::lists::link(&first, link).unwrap().contains("page%5Bsize%5D=3"), "carries every parameter");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_style_of_pages_has_offsets_and_a_last_link() {
    let postroom = seven().await;
    let client = &postroom.client;
    let page = list(client, "page[limit]=3&page[offset]=3").await;
    assert_eq!(ids(&page), [4, 5, 6]);
    for (name, expected) in [("first", vec![1, 2, 3]), ("prev", vec![1, 2, 3]), ("next", vec![7]), ("last", vec![7])] {
        assert_eq!(ids(&client.get(link(&page, name).unwrap()).await.expect(200)), expected, "{name}");
    }
    assert_eq!(ids(&list(client, "page[offset]=7").await), [0_u64; 0]);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_sorts_and_counts_in_both_syntaxes() {
    let postroom = seven().await;
    let client = &postroom.client;
    let created = |id: u64| async move {
        let answer = client.get(&path(id)).await.expect(200);
        answer.json["data"]["attributes"]["createdAt"].as_str().unwrap().to_owned()
    };
    let (third, fifth) = (created(3).await, created(5).await);
    let between = format!("filter[createdAt]={third}..{fifth}");
    let ends = format!("newFilterSyntax=true&filter[createdAt][gte]={third}&filter[createdAt][lte]={fifth}");
    let today = &third[..10];
    let (day, from) = (format!("filter[createdAt]={today}"), format!("filter[createdAt]=neginf..{third}"));
    let all = vec![1, 2, 3, 4, 5, 6, 7];
    let millis = list(client, &between).await;
    assert!(ids(&millis).contains(&3) && ids(&millis).contains(&5), "both ends are inclusive");
    assert_eq!(ids(&list(client, &ends).await), ids(&millis));
    assert!(ids(&list(client, &from).await).contains(&3));
    for (query, expected) in [
        ("filter[email]=BOX7@Example.org", vec![1]),
        ("filter[email]=box7@example.org,box1@example.org", vec![1, 7]),
        ("filter%5Bemail%5D=box7%40example.org", vec![1]),
        ("filter[email]=x@example.org&filter[email]=box7@example.org", vec![1]),
        ("filter[id]=2,4,99", vec![2, 4]),
        ("filter[id]=2..4", vec![2, 3, 4]),
        ("filter[id]=neginf..2", vec![1, 2]),
        ("filter[id]=6..inf", vec![6, 7]),
        ("filter[userId]=2", vec![2, 4, 6]),
        ("filter[user][id]=2", vec![2, 4, 6]),
        ("filter[user][id]=1,2", all.clone()),
        ("filter[user][id]=2&filter[id]=1..4", vec![2, 4]),
        ("filter[email]=__null__", vec![]),
        ("filter[email]=__notnull__", all.clone()),
        (day.as_str(), all.clone()),
        ("filter[createdAt]=2020-01-01", vec![]),
        ("filter[createdAt]=2020-01-01..inf", all.clone()),
        ("newFilterSyntax=true&filter[email][]=box7@example.org&filter[email][]=box6@example.org", vec![1, 2]),
        ("newFilterSyntax=true&filter[id][]=3&filter[id][]=5", vec![3, 5]),
        ("newFilterSyntax=true&filter[id][gte]=3&filter[id][lte]=4", vec![3, 4]),
        ("newFilterSyntax=true&filter[user][id][]=2", vec![2, 4, 6]),
        ("sort=-id", vec![7, 6, 5, 4, 3, 2, 1]),
        ("sort=email", vec![7, 6, 5, 4, 3, 2, 1]),
        ("sort=-userId,email", vec![6, 4, 2, 7, 5, 3, 1]),
        ("sort=userId,-id&filter[id]=1..4", vec![3, 1, 4, 2]),
        ("sort=id&sort=-id&page[size]=1&page[size]=2", vec![7, 6]),
    ] {
        let answer = list(client, query).await;
        assert_eq!(ids(&answer), expected, "{query}");
        if !query.contains("page") {
            assert_eq!(answer.json["meta"]["count"], expected.len(), "{query}");
        }
    }
    let answer = list(client, "count=false").await;
    assert_eq!((answer.json["meta"].get("count"), ids(&answer).len()), (None, 7));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_includes() {
    let postroom = seven().await;
    let client = &postroom.client;
    let answer = list(client, "fields[mailbox]=email,user&page[size]=1").await;
    let object = &answer.json["data"][0];
    assert_eq!(object["attributes"], json!({"email": "box7@example.org"}));
    assert_eq!(object["relationships"], json!({"user": {"data": {"type": "user", "id": 1}}}));
    let bare = list(client, "fields[mailbox]=&page[size]=1").await;
    let bare = &bare.json["data"][0];
    assert_eq!((bare.get("attributes"), bare.get("relationships")), (None, None));
    assert_eq!((&bare["type"], &bare["id"]), (&json!("mailbox"), &json!(1)));

    let answer = list(client, "include=user,creator&fields[user]=email").await;
    let included = answer.json["included"].as_array().unwrap();
    let mut people: Vec<_> = included.iter().map(|object| object["id"].as_u64().unwrap()).collect();
    people.sort_unstable();
    assert_eq!(people, [1, 2], "each once");
    assert!(included.iter().all(|object| object["attributes"].as_object().unwrap().len() == 1));
    let shown = client.get("/api/v2/mailboxes/2?include=user").await.expect(200);
    assert_eq!(shown.json["included"][0]["attributes"]["email"], "bob@people.test");
    assert_eq!(list(client, "page[size]=1").await.json.get("included"), None);
    // A write does not honour it and does not mind it.
    let attributes = json!({"email": "eighth@example.org"});
    let document = json!({"data": {"type": "mailbox", "attributes": attributes}});
    let made = client.post("/api/v2/mailboxes?include=user,nonsense", &document).await.expect(201);
    assert_eq!(made.json.get("included"), None);
    let mailing = json!({"data": {
        "type": "mailing", "attributes": {"to": ["b@example.org"], "state": "drafted"},
        "relationships": {"mailbox": {"data": {"type": "mailbox", "id": "2"}}},
    }});
    client.post("/api/v2/mailings", &mailing).await.expect(201);
    let answer = client.get("/api/v2/mailings?include=mailbox.user,user").await.expect(200);
    let kinds: Vec<_> =
        answer.json["included"].as_array().unwrap().iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["mailbox", "user", "user"]);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mailings_and_messages_are_listed_as_mailboxes_are() {
    let postroom = seven().await;
    let client = &postroom.client;
    let content = |state: &str, at: Value| json!({"to": ["b@example.org"], "state": state, "scheduledAt": at});
    for mailbox in [1, 2] {
        postroom.mailing(mailbox, content("drafted", Value::Null)).await;
        postroom.mailing(mailbox, content("scheduled", json!("2999-01-01T00:00:00Z"))).await;
    }
    let message_id = client.get("/api/v2/mailings/3").await.expect(200).json["data"]["attributes"]["messageId"].clone();
    let by_message_id = format!("filter[messageId]={}", message_id.as_str().unwrap());
    for (query, expected) in [
        ("filter[state]=drafted", vec![1, 3]),
        ("filter[state]=drafted,scheduled&sort=-id", vec![4, 3, 2, 1]),
        ("filter[mailbox][id]=2", vec![3, 4]),
        ("filter[mailbox][id]=1,2&filter[state]=scheduled", vec![2, 4]),
        ("filter[scheduledAt]=__null__", vec![1, 3]),
        ("filter[scheduledAt]=2999-01-01..2999-01-02", vec![2, 4]),
        ("newFilterSyntax=true&filter[scheduledAt][gte]=2999-01-01", vec![2, 4]),
        ("filter[deliveredAt]=__notnull__", vec![]),
        ("sort=-scheduledAt,id", vec![2, 4, 1, 3]),
        (by_message_id.as_str(), vec![3]),
        ("filter[user][id]=1&page[size]=2", vec![1, 2]),
    ] {
        assert_eq!(ids(&client.get(&format!("/api/v2/mailings?{query}")).await.expect(200)), expected, "{query}");
    }
    for number in 1..=3 {
        let added = postroom.app.store().write(move |work| {
            let message = message(number, work.now());
            work.create_message(message, &number.to_string(), format!("Subject: {number}\r\n\r\nText\r\n").as_bytes())
        });
        added.await.map_err(|error: StoreError| error.to_string()).unwrap();
    }
    for (query, expected) in [
        ("sort=-receivedAt", vec![3, 2, 1]),
        ("filter[mailbox][id]=2", vec![2]),
        ("filter[folder]=Sent", vec![3]),
        ("filter[direction]=inbound&sort=-id", vec![2, 1]),
        ("filter[receivedAt]=2026-01-02", vec![2]),
        ("filter[receivedAt]=2026-01-02..inf", vec![2, 3]),
        ("filter[messageId]=<2@example.org>", vec![2]),
        ("filter[classification]=other&page[size]=1", vec![1]),
    ] {
        assert_eq!(ids(&client.get(&format!("/api/v2/messages?{query}")).await.expect(200)), expected, "{query}");
    }
    let raw = crate::support::client::Request { method: "GET", path: "/api/v2/messages/2/raw", ..Default::default() };
    let raw = client.send(raw).await.expect(200);
    assert_eq!((raw.text.as_str(), raw.header("content-type")), ("Subject: 2\r\n\r\nText\r\n", Some("message/rfc822")));
    assert_eq!(raw.header("x-content-type-options"), Some("nosniff"));
    postroom.stop().await;
}

/// Each for itself, or on a page where the gate is asked once for many.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_of_each_mailing_why_it_waits_as_the_mailing_itself_does() {
    let postroom = Instance::start().await;
    let client = &postroom.client;
    let disabled = postroom.mailbox("a@example.org", json!({"sendDisabled": true})).await;
    let closed = postroom.mailbox("b@example.org", json!({"maxMailingsPerDay": 0, "smtpHost": "127.0.0.1"})).await;
    for mailbox in [disabled, closed] {
        for content in [
            json!({"to": ["c@example.org"]}),
            json!({"to": ["c@example.org", "d@example.org"]}),
            json!({"to": ["c@example.org"], "scheduledAt": "2999-01-01T00:00:00Z"}),
            json!({"to": ["c@example.org"], "state": "drafted"}),
            json!({"to": ["e@example.org"]}),
        ] {
            postroom.mailing(mailbox, content).await;
        }
    }
    let page = client.get("/api/v2/mailings").await.expect(200);
    let mut reasons = std::collections::BTreeSet::new();
    for listed in page.json["data"].as_array().unwrap() {
        let shown = client.get(&format!("/api/v2/mailings/{}", listed["id"])).await.expect(200);
        for name in ["delayReason", "nextAttemptAt"] {
            assert_eq!(
                listed["attributes"][name], shown.json["data"]["attributes"][name],
                "{name} of {}",
                listed["id"]
            );
        }
        reasons.insert(listed["attributes"]["delayReason"].to_string());
    }
    assert_eq!(reasons.len(), 4, "two mailboxes, a time, and none: {reasons:#?}");
    let sparse = client.get("/api/v2/mailings?fields[mailing]=delayReason").await.expect(200);
    let whole = |at: usize| &page.json["data"][at]["attributes"]["delayReason"];
    for (at, listed) in sparse.json["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!(listed["attributes"], json!({"delayReason": whole(at)}));
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_bodies_is_short_and_its_links_lead_to_all_of_them() {
    let postroom = Instance::start().await;
    let client = &postroom.client;
    let added = postroom.app.store().write(|work| {
        for number in 1..=120_u64 {
            let message = Message { subject: Some(number.to_string()), ..message(1, work.now()) };
            work.create_message(message, &number.to_string(), b"Subject: s\r\n\r\nText\r\n")?;
        }
        Ok::<_, StoreError>(())
    });
    added.await.unwrap();
    for parameters in ["page[size]=1000", "page[limit]=1000&page[offset]=0", "page[size]=1000&fields[message]=bodyText"]
    {
        let (mut next, mut seen) = (Some(format!("/api/v2/messages?{parameters}")), Vec::new());
        while let Some(path) = next {
            let page = client.get(&path).await.expect(200);
            let shown = ids(&page);
            assert!(shown.len() <= 50, "{} on a page of {path}", shown.len());
            assert!(page.json["data"][0]["attributes"]["bodyText"].as_str().is_some_and(|text| text.contains("Text")));
            seen.extend(shown);
            next = page.json["links"]["next"].as_str().map(str::to_owned);
        }
        assert_eq!(seen, (1..=120).collect::<Vec<_>>(), "{parameters}");
    }
    let sparse = client.get("/api/v2/messages?page[size]=1000&fields[message]=subject").await.expect(200);
    assert_eq!(ids(&sparse).len(), 120);
    postroom.stop().await;
}

fn message(number: u64, now: postroom::domain::time::Timestamp) -> Message {
    let outbound = number == 3;
    Message {
        id: 0,
        mailbox_id: number,
        direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        message_id: Some(format!("{number}@example.org")),
        in_reply_to: Vec::new(),
        references: Vec::new(),
        from: Vec::new(),
        to: Vec::new(),
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: Some(number.to_string()),
        snippet: String::new(),
        sent_at: None,
        received_at: postroom::domain::time::Timestamp::parse(&format!("2026-01-0{number}")),
        folder: if outbound { "Sent" } else { "INBOX" }.into(),
        flags: Vec::new(),
        size: 20,
        classification: Classification::Other,
        attachments: Vec::new(),
        authentication_results: Vec::new(),
        parse_problems: Vec::new(),
        created_at: now,
        mailing_id: None,
        deleted_at: None,
        provider_thread: None,
        thread_id: None,
        body_stored: true,
        by_content: false,
        bounces: Vec::new(),
    }
}
