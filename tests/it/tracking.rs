//! Open pixels and tracked links: what is counted, where they lead, and where they never do.

use crate::support::client::Request;
use crate::support::instance::Instance;
use crate::unsubscribe::{PUBLIC, mail_server, new_link_key, sending, stranger};
use postroom::domain::link::{Link, Purpose};
use postroom::mime;
use postroom::store::StoreError;
use serde_json::{Value, json};
use std::time::Duration;

const FIREFOX: (&str, &str) = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
const GMAIL: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (Windows NT 5.1) Firefox/11.0 (via ggpht.com GoogleImageProxy)");

/// Makes a mailing look delivered a minute ago: nobody reads a mail within two seconds.
async fn age(postroom: &Instance, mailing: u64) {
    let store = postroom.app.store();
    store
        .write(move |work| {
            let before = work.mailing(mailing)?.expect("the mailing");
            let mut after = before.clone();
            after.delivered_at = before.delivered_at.map(|at| at.minus(Duration::from_mins(1)));
            work.save_mailing(&before, &after)?;
            Ok::<_, StoreError>(())
        })
        .await
        .expect("the mailing is older");
}

/// What stands between two marks.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn opens_and_clicks_of_people_are_counted_and_those_of_machines_are_not() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let body = "<html><body><a href=\"https://example.org/a?b=1&amp;c=2\">go</a> <a href='mailto:x@y.example'>m</a> \
                <a href='javascript:alert(1)'>j</a></body></html>";
    let content =
        json!({"to": ["bert@demo.test"], "subject": "s", "bodyHtml": body, "trackOpens": true, "trackLinks": true});
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until_state(mailing, "delivered").await;
    let read = mime::parse(&server.wait_accepted(1).await[0].raw);
    let (html, text) = (read.html.expect("HTML"), read.text.expect("text"));
    assert!(text.contains("https://example.org/a?b=1&c=2") && !text.contains(PUBLIC), "{text}");
    assert!(html.contains("mailto:x@y.example") && html.contains("javascript:alert(1)"), "only web links are tracked");
    let links = between(&html, PUBLIC, "\"");
    let [click, open] = links[..] else { panic!("{html}") };
    assert!(click.starts_with("/c/") && open.starts_with("/o/") && open.strip_suffix(".gif").is_some(), "{links:?}");

    let stranger = stranger(&postroom);
    let visit = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        stranger.send(Request { method, path, headers, body: None }).await
    };
    let counts = async || {
        let shown = postroom.attributes("mailings", mailing).await;
        (shown["openCount"].as_u64().unwrap(), shown["clickCount"].as_u64().unwrap(), shown["state"].clone())
    };
    // Too soon after the delivery to be a person. (A slow machine may be past that already.)
    age(&postroom, mailing).await;
    for headers in [
        [("User-Agent", "Mozilla/5.0 (compatible; Barracuda Sentinel)")],
        [("User-Agent", "Mozilla/5.0")],
        [("Accept", "*/*")],
    ] {
        assert_eq!(visit("GET", open, &headers).await.status, 200);
        assert_eq!(visit("GET", click, &headers).await.status, 302);
    }
    assert_eq!(visit("HEAD", open, &[FIREFOX]).await.status, 200);
    assert_eq!(visit("HEAD", click, &[FIREFOX]).await.header("location"), Some("https://example.org/a?b=1&c=2"));
    assert_eq!(visit("GET", open, &[FIREFOX, ("Sec-Purpose", "prefetch;prerender")]).await.status, 200);
    assert_eq!(counts().await, (0, 0, json!("delivered")));

    let pixel = visit("GET", open, &[GMAIL]).await.expect(200);
    assert_eq!(pixel.header("content-type"), Some("image/gif"));
    assert_eq!(pixel.header("cache-control"), Some("no-store"));
    assert_eq!(counts().await, (1, 0, json!("opened")));
    visit("GET", open, &[FIREFOX]).await.expect(200);
    let clicked = visit("GET", click, &[FIREFOX]).await.expect(302);
    assert_eq!(clicked.header("location"), Some("https://example.org/a?b=1&c=2"));
    assert_eq!(clicked.header("cache-control"), Some("no-store"));
    assert_eq!(clicked.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(counts().await, (2, 1, json!("opened")));
    let shown = postroom.attributes("mailings", mailing).await;
    assert!(shown["openedAt"].is_string() && shown["clickedAt"].is_string());
    // The mailing goes; its links still lead where they led.
    let store = postroom.app.store();
    store
        .write(move |work| {
            let gone = work.mailing(mailing)?.expect("the mailing");
            work.delete_mailing(&gone)
        })
        .await
        .expect("it is gone");
    visit("GET", click, &[FIREFOX]).await.expect(302);
    visit("GET", open, &[FIREFOX]).await.expect(200);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opens_and_clicks_count_under_every_key_that_there_ever_was() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let body = "<body><a href='https://example.org/'>go</a></body>";
    let content =
        json!({"to": ["bert@demo.test"], "subject": "s", "bodyHtml": body, "trackOpens": true, "trackLinks": true});
    let mut sent = Vec::new();
    for number in 0..2 {
        let mailing = postroom.mailing(mailbox, content.clone()).await;
        postroom.until_state(mailing, "delivered").await;
        age(&postroom, mailing).await;
        let mail = server.wait_accepted(number + 1).await.pop().expect("a mail");
        sent.push((mailing, mime::parse(&mail.raw).html.expect("HTML")));
        new_link_key(&postroom).await;
    }
    let postroom = postroom.restart().await;
    let stranger = stranger(&postroom);
    for (mailing, html) in sent {
        let links = between(&html, PUBLIC, "\"");
        let [click, open] = links[..] else { panic!("{html}") };
        for (path, status) in [(click, 302), (open, 200)] {
            let request = Request { method: "GET", path, headers: &[FIREFOX], body: None };
            stranger.send(request).await.expect(status);
        }
        let shown = postroom.attributes("mailings", mailing).await;
        assert_eq!((&shown["openCount"], &shown["clickCount"]), (&json!(1), &json!(1)), "{shown:#}");
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_tracked_unless_asked_for() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let body = "<p><a href=\"https://example.org/\">go</a></p>";
    let mailing = postroom.mailing(mailbox, json!({"to": ["bert@demo.test"], "subject": "s", "bodyHtml": body})).await;
    postroom.until_state(mailing, "delivered").await;
    let html = mime::parse(&server.wait_accepted(1).await[0].raw).html.expect("HTML");
    assert_eq!(html.trim(), body);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_redirects_anywhere_but_to_the_web_address_it_was_made_for() {
    let server = mail_server().await;
    let (postroom, _) = sending(&server, json!({})).await;
    let key = new_link_key(&postroom).await;
    let stranger = stranger(&postroom);
    // Even a signed token is looked at again.
    for target in [
        "javascript:alert(1)",
        "//evil.example",
        "\\\\evil.example",
        "/local",
        "data:text/html,x",
        "https://example.org/\r\nSet-Cookie: a=b",
        "",
    ] {
        let link = Link { purpose: Purpose::Click, mailbox: 1, mailing: 1, detail: target.into() };
        let path = format!("/c/{}", key.token(&link));
        let answer = stranger.send(Request { method: "GET", path: &path, ..Request::default() }).await.expect(404);
        assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none(), "{target:?}");
    }
    let link = Link { purpose: Purpose::Click, mailbox: 1, mailing: 1, detail: "https://example.org/".into() };
    let path = format!("/c/{}?url=https://evil.example", key.token(&link));
    let answer = stranger.send(Request { method: "GET", path: &path, ..Request::default() }).await.expect(302);
    assert_eq!(answer.header("location"), Some("https://example.org/"));
    for path in ["/c/https://evil.example", "/c/?url=https://evil.example", "/c//evil.example"] {
        let answer = stranger.send(Request { method: "GET", path, ..Request::default() }).await.expect(404);
        assert!(answer.header("location").is_none(), "{path}");
    }
    let open = Link { purpose: Purpose::Open, ..link };
    stranger
        .send(Request { method: "GET", path: &format!("/c/{}", key.token(&open)), ..Request::default() })
        .await
        .expect(404);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_writes_into_the_opt_out_adds_no_header() {
    let server = mail_server().await;
    let evil = "x\r\nBcc: evil@demo.test\r\n\r\n%unsubscribe_url%";
    let signature = evil.replace("%unsubscribe_url%", "Ann");
    let (postroom, mailbox) = sending(&server, json!({"optOutSignature": evil, "emailSignature": signature})).await;
    let content: Value = json!({
        "to": ["\"Bert\" <bert@demo.test>"], "subject": "s", "bodyText": evil, "includeUnsubscribeLink": true,
    });
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until_state(mailing, "delivered").await;
    let mail = server.wait_accepted(1).await.remove(0);
    assert_eq!(mail.recipients, ["bert@demo.test"]);
    let raw = String::from_utf8_lossy(&mail.raw);
    let head = raw.split("\r\n\r\n").next().unwrap();
    assert!(!head.contains("evil"), "{head}");
    assert_eq!(raw.matches("List-Unsubscribe:").count(), 1);
    postroom.stop().await;
}
