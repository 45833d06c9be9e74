use super::path;
use crate::support::client::{MEDIA_TYPE, Request};
use crate::support::instance::Instance;
use postroom::config::Config;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_object_has_its_links_and_relationships() {
    let postroom = Instance::start().await;
    let document = json!({"data": {"type": "mailbox", "attributes": {"email": "Ann@Example.org"}}});
    let made = postroom.client.post("/api/v2/mailboxes", &document).await.expect(201);
    let origin = format!("http://{}", postroom.app.address().unwrap());
    let own = format!("{origin}/api/v2/mailboxes/1");
    assert_eq!(made.header("location"), Some(own.as_str()));
    let object = &made.json["data"];
    let members: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members.len(), 5, "{members:?}");
    assert_eq!(
        (&object["type"], &object["id"], &object["links"]),
        (&json!("mailbox"), &json!(1), &json!({"self": own}))
    );
    let user = json!({"data": {"type": "user", "id": 1}});
    assert_eq!(
        object["relationships"],
        json!({
            "creator": user, "updater": user, "user": user,
            "mailAliases": {"links": {"related": format!("{origin}/api/v2/mailAliases?filter%5Bmailbox%5D%5Bid%5D=1")}},
            "mailings": {"links": {"related": format!("{origin}/api/v2/mailings?filter%5Bmailbox%5D%5Bid%5D=1")}},
        })
    );
    let shown = &object["attributes"];
    for (name, expected) in [
        ("email", json!("Ann@Example.org")),
        ("emailHash", json!("8b5a6a28fc840441be692d74a81ccd1a")),
        ("imapSsl", json!(true)),
        ("maxMailingsPerDay", json!(500)),
        ("maxMailingsPerWeek", json!(5000)),
        ("maxEmailsPerDay", json!(null)),
        ("sendThreshold", json!(2)),
        ("sendPeriod", json!(60)),
        ("sendMaxRetries", json!(10)),
        ("sendRequiresSync", json!(null)),
        ("syncActiveFrequency", json!(600)),
        ("syncPassiveFrequency", json!(1500)),
        ("sendDisabled", json!(false)),
        ("sendState", json!("notConfigured")),
        ("userId", json!(1)),
    ] {
        assert_eq!(shown[name], expected, "{name}");
    }
    for name in ["password", "smtpPassword", "sendgridApiKey", "sendgridWebhookKey", "validateSend", "validateSync"] {
        assert_eq!(shown.get(name), None, "{name} is write-only");
    }
    let time = shown["createdAt"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && &time[19..20] == ".", "{time}");
    assert_eq!(postroom.client.get(&path(1)).await.expect(200).json["data"]["attributes"]["email"], "Ann@Example.org");
    let related = object["relationships"]["mailings"]["links"]["related"].as_str().unwrap();
    assert_eq!(postroom.client.get(related).await.expect(200).json["data"], json!([]));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_that_clients_make_to_see_whether_a_connection_works() {
    let postroom = Instance::start().await;
    for path in ["/api/v2", "/api/v2/", "/api/v2/stages", "/api/v2/accounts", "/api/v2/users?page[size]=1&count=false"]
    {
        let answer = postroom.client.get(path).await.expect(200);
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE), "{path}");
    }
    let meta = postroom.client.get("/api/v2").await.json["meta"].take();
    assert_eq!(meta["user"]["email"], "admin@example.org");
    assert!(meta["org"]["id"] == 1 && meta["org"]["name"].as_str().is_some_and(|name| !name.contains('/')), "{meta}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_as_get_is_but_without_a_body() {
    let postroom = Instance::start().await;
    for (path, status) in
        [("/api/v2", 200), ("/api/v2/mailboxes", 200), ("/api/v2/users/1", 200), ("/api/v2/users/9", 404)]
    {
        let answer = postroom.client.send(Request { method: "HEAD", path, ..Request::default() }).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""), "{path}");
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        let answer = postroom.client.send(Request { method: "HEAD", path, ..Request::default() }).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_is_as_configured_and_says_when_to_come_back() {
    let mut config = Config::default();
    config.server.requests_per_hour = 5;
    let postroom = Instance::start_with(config).await;
    // The hour may end in between, but not twice.
    let mut answers = Vec::new();
    for _ in 0..11 {
        answers.push(postroom.client.get("/api/v2").await);
    }
    let refused =
        answers.into_iter().find(|answer| answer.status == 429).expect("eleven are more than twice five").checked();
    assert_eq!(refused.json["errors"][0]["id"], "rateLimitExceeded");
    assert_eq!((refused.header("x-ratelimit-limit"), refused.header("x-ratelimit-remaining")), (Some("5"), Some("0")));
    assert!(refused.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok()).is_some_and(|s| s <= 3600));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_to_a_known_caller_shows_the_rate_limit() {
    let postroom = Instance::start().await;
    let mut last = u64::MAX;
    for (method, path, status) in [
        ("GET", "/api/v2", 200),
        ("GET", "/api/v2/mailboxes", 200),
        ("GET", "/api/v2/mailboxes/99", 404),
        ("GET", "/api/v2/pigeons", 404),
        ("GET", "/api/v2/mailboxes?sort=x", 400),
        ("POST", "/api/v2/mailboxes", 400),
        ("PUT", "/api/v2/mailboxes", 405),
        ("DELETE", "/api/v2/mailboxes/99", 404),
    ] {
        let answer = postroom.client.send(Request { method, path, ..Request::default() }).await.checked();
        assert_eq!(answer.status, status, "{path}");
        let number = |name: &str| answer.header(name).and_then(|value| value.parse::<u64>().ok());
        assert_eq!(number("x-ratelimit-limit"), Some(1_000_000), "{path}");
        let remaining = number("x-ratelimit-remaining").expect("a number");
        assert!(remaining < last, "{path}: every request counts");
        last = remaining;
        assert!(number("x-ratelimit-reset").is_some_and(|reset| reset > 1_700_000_000), "UNIX seconds");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_real_clients_send_is_taken() {
    let postroom = Instance::start().await;
    for (number, media_type) in
        ["application/json", "application/json; charset=UTF-8", "application/vnd.api+json; charset=utf-8"]
            .iter()
            .enumerate()
    {
        let body = format!(r#"{{"data":{{"type":"mailboxes","attributes":{{"email":"box{number}@example.org"}}}}}}"#);
        let headers = &[("Content-Type", *media_type), ("Accept", "text/html")];
        let request = Request { method: "POST", path: "/api/v2/mailboxes", headers, body: Some(body.as_bytes()) };
        postroom.client.send(request).await.checked().expect(201);
    }
    // Attributes that real records carry, ids as texts, and a record without a body to delete.
    let document = json!({"data": {"type": "mailbox", "id": "1", "attributes": {"ewsImpersonation": null, "ewsCustomSearchFolder": "x"}}});
    postroom.client.patch(&path(1), &document).await.expect(200);
    let headers = &[("Content-Type", "application/json")];
    let request = Request { method: "DELETE", path: "/api/v2/mailboxes/1", headers, body: Some(b"") };
    postroom.client.send(request).await.checked().expect(204);
    postroom.client.delete(&path(1)).await.expect(404);
    postroom.stop().await;
}
