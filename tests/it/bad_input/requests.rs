//! Requests that are wrong before anybody asks what they are about: bodies, tokens, paths, methods, sizes.

use super::Bench;
use crate::support::client::{MEDIA_TYPE, Request};
use postroom::domain::time::Timestamp;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_document_is_refused() {
    let bench = Bench::start().await;
    let deep = format!(r#"{{"data":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let good = r#"{"data":{"type":"mailbox","attributes":{"email":"new@example.org"}}}"#;
    let bodies: [(&[u8], Option<&str>, u16, &str); 24] = [
        (b"", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b" ", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{}}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{'data': 1}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": 1,}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": NaN}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": 1e999}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": 01}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": \"\\ud800\"}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": \"\\udc00x\"}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": \"\xff\"}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"\xef\xbb\xbf{}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (b"{\"data\": \"a\nb\"}", Some(MEDIA_TYPE), 400, "malformedRequest"),
        (deep.as_bytes(), Some(MEDIA_TYPE), 400, "malformedRequest"),
        (good.as_bytes(), None, 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("text/plain"), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("application/x-www-form-urlencoded"), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("multipart/form-data; boundary=x"), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("application/xml"), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("application/vnd.api+json; ext=\"bulk\""), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("application/json; charset=utf-16"), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("application/json, text/plain"), 415, "unsupportedMediaType"),
        (good.as_bytes(), Some("json"), 415, "unsupportedMediaType"),
    ];
    for (body, media_type, status, id) in bodies {
        let headers: Vec<_> = media_type.map(|media_type| ("Content-Type", media_type)).into_iter().collect();
        for (method, path) in [("POST", "/api/v2/mailboxes"), ("POST", "/api/v2/mailings"), ("POST", "/api/v2/tokens")]
        {
            let request = Request { method, path, headers: &headers, body: Some(body) };
            bench.refused(&bench.postroom.client, request, status, id).await;
        }
        let request = Request { method: "PATCH", path: "/api/v2/mailboxes/1", headers: &headers, body: Some(body) };
        bench.refused(&bench.postroom.client, request, status, id).await;
    }
    let encoded = &[("Content-Type", MEDIA_TYPE), ("Content-Encoding", "gzip")];
    let request = Request { method: "POST", path: "/api/v2/mailboxes", headers: encoded, body: Some(good.as_bytes()) };
    bench.refused(&bench.postroom.client, request, 415, "unsupportedMediaType").await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused() {
    let bench = Bench::start().await;
    let large = format!(r#"{{"data":{{"type":"mailing","attributes":{{"bodyText":"{}"}}}}}}"#, "x".repeat(2 << 20));
    for path in ["/api/v2/mailings", "/api/v2/mailboxes", "/api/v2/tokens"] {
        let headers = &[("Content-Type", MEDIA_TYPE)];
        let request = Request { method: "POST", path, headers, body: Some(large.as_bytes()) };
        bench.refused(&bench.postroom.client, request, 413, "payloadTooLarge").await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nothing_is_answered_but_401() {
    let bench = Bench::start().await;
    let postroom = &bench.postroom;
    postroom.token(1, "expired", Some(Timestamp::parse("2020-01-01").unwrap())).await;
    let revoked = postroom.token(1, "revoked", None).await;
    postroom.client.with_token("revoked").get("/api/v2").await.expect(200);
    postroom.client.delete(&format!("/api/v2/tokens/{revoked}")).await.expect(204);
    let bench = Bench { stock: super::Stock::of(&bench.postroom), ..bench };
    let nobody =
        crate::support::client::Client::new(&format!("http://{}", bench.postroom.app.address().unwrap()), None);
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[], "invalidAccessToken"),
        (&[("Authorization", "")], "invalidAccessToken"),
        (&[("Authorization", "Bearer")], "invalidAccessToken"),
        (&[("Authorization", "Bearer ")], "invalidAccessToken"),
        (&[("Authorization", "Bearer nonsense")], "invalidAccessToken"),
        (&[("Authorization", "prt_test-token")], "invalidAccessToken"),
        (&[("Authorization", "Basic cHJ0X3Rlc3QtdG9rZW46")], "invalidAccessToken"),
        (&[("Authorization", "Bearer prt_test-token, Bearer x")], "invalidAccessToken"),
        (&[("Authorization", "Bearer revoked")], "invalidAccessToken"),
        (&[("Authorization", "Bearer expired")], "expiredAccessToken"),
    ];
    for (headers, id) in cases {
        for (method, path) in [
            ("GET", "/api/v2"),
            ("GET", "/api/v2/mailboxes"),
            ("GET", "/api/v2/mailboxes/1"),
            ("GET", "/api/v2/mailboxes/99"),
            ("GET", "/api/v2/mailboxes/1/effectiveSettings"),
            ("POST", "/api/v2/mailboxes"),
            ("PATCH", "/api/v2/mailboxes/1"),
            ("DELETE", "/api/v2/mailboxes/1"),
            ("POST", "/api/v2/mailboxes/1/actions/testSend"),
            ("GET", "/api/v2/mailings"),
            ("POST", "/api/v2/mailings"),
            ("GET", "/api/v2/messages"),
            ("GET", "/api/v2/messages/1/raw"),
            ("GET", "/api/v2/users"),
            ("GET", "/api/v2/tokens"),
            ("POST", "/api/v2/tokens"),
            ("DELETE", "/api/v2/tokens/1"),
            ("GET", "/api/v2/stages"),
        ] {
            let request = Request { method, path, headers, body: None };
            let answer = bench.refused(&nobody, request, 401, id).await;
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{path}");
            assert_eq!(answer.header("x-ratelimit-limit"), None, "nobody has no limit");
        }
    }
    // A token in the address is no token: addresses end in logs.
    let request =
        Request { method: "GET", path: "/api/v2/mailboxes?access_token=prt_test-token", ..Request::default() };
    bench.refused(&nobody, request, 401, "invalidAccessToken").await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_or_an_id_that_is_not_there_is_404() {
    let bench = Bench::start().await;
    for path in [
        "/",
        "/api",
        "/api/v1/mailboxes",
        "/api/v2/pigeons",
        "/api/v2/mailboxes/1/pigeons",
        "/api/v2/mailboxes/1/actions",
        "/api/v2//mailboxes",
        "/api/v2/mailboxes/1/2/3/4",
        "/api/v2/mailbox%65s/1/x",
        "/.git/config",
        "/api/v2/..%2f..%2fetc%2fpasswd",
    ] {
        let request = Request { method: "GET", path, ..Request::default() };
        bench.refused(&bench.postroom.client, request, 404, "routeNotFound").await;
    }
    for id in ["99", "0", "-1", "1.0", "x", "%00", "1%0d%0aX: y", "99999999999999999999", "%D9%A1", "1;2"] {
        for (method, path) in [
            ("GET", format!("/api/v2/mailboxes/{id}")),
            ("DELETE", format!("/api/v2/mailboxes/{id}")),
            ("GET", format!("/api/v2/mailboxes/{id}/effectiveSettings")),
            ("POST", format!("/api/v2/mailboxes/{id}/actions/testSync")),
            ("GET", format!("/api/v2/mailings/{id}")),
            ("GET", format!("/api/v2/messages/{id}")),
            ("GET", format!("/api/v2/messages/{id}/raw")),
            ("GET", format!("/api/v2/users/{id}")),
            ("DELETE", format!("/api/v2/tokens/{id}")),
        ] {
            let request = Request { method, path: &path, ..Request::default() };
            bench.refused(&bench.postroom.client, request, 404, "resourceNotFound").await;
        }
    }
    let path = "/api/v2/mailboxes/1/actions/explode";
    let request = Request { method: "POST", path, ..Request::default() };
    bench.refused(&bench.postroom.client, request, 404, "routeNotFound").await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_path_does_not_have_is_405_and_says_which_it_has() {
    let bench = Bench::start().await;
    for (path, allowed) in [
        ("/api/v2", "GET"),
        ("/api/v2/stages", "GET"),
        ("/api/v2/mailboxes", "GET, POST"),
        ("/api/v2/mailboxes/1", "GET, PATCH, DELETE"),
        ("/api/v2/mailboxes/1/effectiveSettings", "GET"),
        ("/api/v2/mailboxes/1/actions/testSend", "POST"),
        ("/api/v2/mailings", "GET, POST"),
        ("/api/v2/messages", "GET"),
        ("/api/v2/messages/1/raw", "GET"),
        ("/api/v2/users", "GET, POST"),
        ("/api/v2/tokens", "GET, POST"),
    ] {
        for method in ["PUT", "OPTIONS", "TRACE", "BREW"] {
            let request = Request { method, path, ..Request::default() };
            let answer = bench.refused(&bench.postroom.client, request, 405, "methodNotAllowed").await;
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
            assert!(answer.header("x-ratelimit-remaining").is_some(), "{method} {path}");
        }
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_headers_and_addresses_are_refused_and_harm_nobody() {
    let bench = Bench::start().await;
    let (long, longer) = ("x".repeat(40_000), "x".repeat(400_000));
    let path = format!("/api/v2/mailboxes?filter[email]={long}");
    let request = Request { method: "GET", path: &path, ..Request::default() };
    let answer = bench.postroom.client.send(request).await.checked();
    assert_eq!(answer.status, 400, "{}", answer.text);
    // Beyond what the web server reads at all it may answer without a document, or hang up.
    let (path, headers) = (format!("/api/v2/mailboxes/{longer}"), [("X-Long", longer.as_str())]);
    for request in [
        Request { method: "GET", path: &path, ..Request::default() },
        Request { method: "GET", path: "/api/v2", headers: &headers, body: None },
    ] {
        if let Ok(answer) = bench.postroom.client.afresh().try_send(request).await {
            assert!((400..500).contains(&answer.status), "{}", answer.status);
        }
    }
    bench.postroom.client.get("/api/v2").await.expect(200);
    assert_eq!(super::Stock::of(&bench.postroom), bench.stock);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_one_bounded_word() {
    let bench = Bench::start().await;
    let long = "k".repeat(257);
    let body = br#"{"data":{"type":"mailbox","attributes":{"email":"new@example.org"}}}"#;
    for key in ["", "two words", "schlüssel", long.as_str()] {
        for path in ["/api/v2/mailboxes", "/api/v2/mailings"] {
            let headers = &[("Content-Type", MEDIA_TYPE), ("Idempotency-Key", key)];
            let request = Request { method: "POST", path, headers, body: Some(body) };
            let answer = bench.refused(&bench.postroom.client, request, 400, "badParameter").await;
            assert_eq!(super::sources(&answer), ["Idempotency-Key"]);
        }
    }
    bench.stop().await;
}
