use crate::support::client::{Answer, Client, MEDIA_TYPE, Request};
use crate::support::instance::Instance;
use postroom::domain::user::Role;
use postroom::mailserver::{Act, Gate, MailServer, Options, Point, Rule};
use serde_json::{Value, json};

fn mailing(subject: &str) -> Value {
    json!({"data": {
        "type": "mailing", "attributes": {"to": ["b@example.org"], "subject": subject, "state": "drafted"},
        "relationships": {"mailbox": {"data": {"type": "mailbox", "id": 1}}},
    }})
}

async fn post(client: &Client, path: &str, document: &Value, key: &str) -> Answer {
    client.write("POST", path, document, &[("Idempotency-Key", key)]).await
}

async fn count(postroom: &Instance, plural: &str) -> u64 {
    let answer = postroom.client.get(&format!("/api/v2/{plural}?page[size]=1")).await.expect(200);
    answer.json["meta"]["count"].as_u64().expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_gives_its_first_answer_and_creates_nothing_also_after_a_restart() {
    let postroom = Instance::start().await;
    postroom.mailbox("ann@example.org", json!({})).await;
    let mailbox =
        json!({"data": {"type": "mailbox", "attributes": {"email": "bob@example.org", "password": "secret"}}});
    let mut postroom = postroom;
    let mut firsts = Vec::new();
    for (path, document) in [("/api/v2/mailings", mailing("s")), ("/api/v2/mailboxes", mailbox)] {
        let first = post(&postroom.client, path, &document, path).await.expect(201);
        assert_eq!(first.header("idempotency-replayed"), None);
        firsts.push((path, document, first));
    }
    // What became of the record since then does not change the first answer.
    let edit = json!({"data": {"type": "mailbox", "id": 2, "attributes": {"sendPeriod": 99}}});
    postroom.client.patch("/api/v2/mailboxes/2", &edit).await.expect(200);
    for round in 0..2 {
        for (path, document, first) in &firsts {
            // The same document, written otherwise.
            let body = format!(" {}", serde_json::to_string_pretty(document).unwrap());
            let headers = &[("Content-Type", MEDIA_TYPE), ("idempotency-key", *path)];
            let request = Request { method: "POST", path, headers, body: Some(body.as_bytes()) };
            let again = postroom.client.send(request).await.checked().expect(201);
            assert_eq!(again.text, first.text, "round {round}");
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert!(again.header("x-ratelimit-remaining").is_some());
        }
        assert_eq!((count(&postroom, "mailings").await, count(&postroom, "mailboxes").await), (1, 2));
        postroom = postroom.restart().await;
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_of_one_user() {
    let postroom = Instance::start().await;
    postroom.mailbox("ann@example.org", json!({})).await;
    let other = postroom.person("other", Role::Admin).await;
    post(&postroom.client, "/api/v2/mailings", &mailing("one"), "k").await.expect(201);
    let refused = post(&postroom.client, "/api/v2/mailings", &mailing("two"), "k").await.expect(422);
    assert_eq!(refused.json["errors"][0]["source"]["header"], "Idempotency-Key");
    let mailbox = json!({"data": {"type": "mailbox", "attributes": {"email": "bob@example.org"}}});
    post(&postroom.client, "/api/v2/mailboxes", &mailbox, "k").await.expect(422);
    // Another user's key, another word, no key: other requests.
    for (client, key) in [(&other.client, "k"), (&postroom.client, "K"), (&postroom.client, "k2")] {
        let made = post(client, "/api/v2/mailings", &mailing("one"), key).await.expect(201);
        assert_eq!(made.header("idempotency-replayed"), None);
    }
    postroom.client.post("/api/v2/mailings", &mailing("one")).await.expect(201);
    assert_eq!((count(&postroom, "mailings").await, count(&postroom, "mailboxes").await), (5, 1));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_leaves_its_key_free() {
    let postroom = Instance::start().await;
    postroom.mailbox("ann@example.org", json!({})).await;
    let mut bad = mailing("one");
    bad["data"]["attributes"]["to"] = json!(["nobody"]);
    post(&postroom.client, "/api/v2/mailings", &bad, "k").await.expect(422);
    let made = post(&postroom.client, "/api/v2/mailings", &mailing("one"), "k").await.expect(201);
    assert_eq!(made.header("idempotency-replayed"), None);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_at_the_same_time_one_is_created() {
    let postroom = Instance::start().await;
    postroom.mailbox("ann@example.org", json!({})).await;
    let asking = (0..40).map(|_| {
        let client = postroom.client.clone();
        tokio::spawn(async move { post(&client, "/api/v2/mailings", &mailing("s"), "k").await })
    });
    let (mut made, mut ids) = (0, Vec::new());
    for answer in asking.collect::<Vec<_>>() {
        let answer = answer.await.expect("an answer");
        assert!([201, 409].contains(&answer.status), "{}", answer.text);
        if answer.status == 201 {
            made += u32::from(answer.header("idempotency-replayed").is_none());
            ids.push(answer.json["data"]["id"].clone());
        }
    }
    ids.dedup();
    assert_eq!((made, ids.len(), count(&postroom, "mailings").await), (1, 1, 1));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_still_under_way_is_a_conflict_until_it_has_ended() {
    let server = MailServer::start(Options::default()).await.expect("the mail server starts");
    server.add_account("bob@demo.test", "secret");
    let gate = Gate::new();
    server.script(Rule::new(Point::SmtpConnect, Act::Hold(gate.clone())));
    let postroom = Instance::start().await;
    let document = json!({"data": {"type": "mailbox", "attributes": {
        "email": "bob@demo.test", "smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "smtpSsl": false,
        "password": "secret", "validateSend": true,
    }}});
    let (client, body) = (postroom.client.clone(), document.clone());
    let first = tokio::spawn(async move { post(&client, "/api/v2/mailboxes", &body, "k").await });
    gate.arrived(1).await;
    let early = post(&postroom.client, "/api/v2/mailboxes", &document, "k").await.expect(409);
    assert_eq!(early.json["errors"][0]["source"]["header"], "Idempotency-Key");
    gate.open();
    let first = first.await.expect("an answer").expect(201);
    let again = post(&postroom.client, "/api/v2/mailboxes", &document, "k").await.expect(201);
    assert_eq!(again.text, first.text);
    postroom.stop().await;
}
