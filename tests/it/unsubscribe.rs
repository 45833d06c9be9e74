//! The opt-out, from the header of a mail to the next pick of the queue.

use crate::support::client::{Client, Request};
use crate::support::instance::Instance;
use postroom::config::{Config, PublicUrl};
use postroom::domain::link::{Link, LinkKey, Purpose};
use postroom::mailserver::{Accepted, MailServer, Options, Recipients};
use postroom::mime;
use postroom::store::StoreError;
use serde_json::{Value, json};

pub const PUBLIC: &str = "https://mail.example.org";

pub async fn mail_server() -> MailServer {
    let options = Options { recipients: Recipients::Anybody, require_auth: false, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account("ann@demo.test", "ann's secret");
    server
}

/// An instance that knows its public URL, and a mailbox that sends through the server.
pub async fn sending(server: &MailServer, attributes: Value) -> (Instance, u64) {
    let mut config = Config::default();
    config.server.public_url = PublicUrl::parse(PUBLIC);
    let postroom = Instance::start_with(config).await;
    let mut all = json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "password": "ann's secret"});
    for (name, value) in attributes.as_object().expect("attributes") {
        all[name] = value.clone();
    }
    let mailbox = postroom.mailbox("ann@demo.test", all).await;
    (postroom, mailbox)
}

/// The public routes as a stranger reaches them.
pub fn stranger(postroom: &Instance) -> Client {
    Client::new(&format!("http://{}", postroom.app.address().expect("an address")), None)
}

/// Makes a key for the links from now on.
pub async fn new_link_key(postroom: &Instance) -> LinkKey {
    let made = postroom.app.store().write(|work| {
        let key = work.add_link_key()?;
        Ok::<_, StoreError>(key)
    });
    made.await.expect("a new key")
}

/// A header field of a mail, unfolded.
pub fn field(mail: &Accepted, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&mail.raw).replace("\r\n ", " ");
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))?;
    Some(found.trim().to_owned())
}

/// The path of the opt-out that a mail names in its header.
pub fn opt_out_path(mail: &Accepted) -> String {
    let value = field(mail, "List-Unsubscribe").expect("the header");
    let url = value.strip_prefix('<').and_then(|rest| rest.split('>').next()).expect("a URI");
    url.strip_prefix(PUBLIC).expect("our URL").to_owned()
}

async fn opted_in_campaign(postroom: &Instance, mailbox: u64, to: &str) -> u64 {
    let attributes = json!({
        "to": [to], "subject": "News", "mailingType": "campaign", "bodyHtml": "<p>Hello</p>",
    });
    postroom.mailing(mailbox, attributes).await
}

async fn suppressions(postroom: &Instance) -> Vec<Value> {
    postroom.client.get("/api/v2/suppressions").await.expect(200).json["data"].as_array().expect("a list").clone()
}

fn post<'a>(path: &'a str, headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Request<'a> {
    Request { method: "POST", path, headers, body: Some(body) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_carries_the_header_the_signature_and_a_link_that_shows_no_address() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({"emailSignature": "<p>Ann of Demo</p>"})).await;
    let mailing = opted_in_campaign(&postroom, mailbox, "bert@demo.test").await;
    postroom.until_state(mailing, "delivered").await;
    let mail = server.wait_accepted(1).await.remove(0);
    assert_eq!(field(&mail, "List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
    let path = opt_out_path(&mail);
    assert!(path.starts_with("/u/") && !path.contains("bert") && !path.contains('@'), "{path}");
    let url = format!("{PUBLIC}{path}");
    let read = mime::parse(&mail.raw);
    let (html, text) = (read.html.expect("HTML"), read.text.expect("text"));
    let at = |what: &str| html.find(what).unwrap_or_else(|| panic!("{what} is not in {html}"));
    assert!(at("Hello") < at("Ann of Demo") && at("Ann of Demo") < at(&url));
    assert!(text.contains("Ann of Demo") && text.contains(&url), "{text}");
    assert!(!html.contains("%unsubscribe_url%") && !text.contains("%unsubscribe_url%"));
    // A mailing between two people has none of it.
    let single = json!({"to": ["bert@demo.test", "cora@demo.test"], "subject": "s", "bodyText": "Hi"});
    let single = postroom.mailing(mailbox, single).await;
    postroom.until_state(single, "delivered").await;
    let mail = server.wait_accepted(2).await.remove(1);
    assert_eq!((field(&mail, "List-Unsubscribe"), field(&mail, "List-Unsubscribe-Post")), (None, None));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_that_nothing_would_replace_is_refused_where_it_stands() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let with = |attributes: Value| {
        json!({"data": {"type": "mailing", "attributes": attributes,
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}})
    };
    let body = "Leave: %unsubscribe_url%";
    let refused = with(json!({"to": ["bert@demo.test"], "subject": body, "bodyHtml": body, "bodyText": body}));
    let answer = postroom.client.post("/api/v2/mailings", &refused).await.expect(422);
    let mut blamed: Vec<String> = answer.json["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["source"]["pointer"].as_str().unwrap_or_default().to_owned())
        .collect();
    blamed.sort();
    assert_eq!(blamed, ["/data/attributes/bodyHtml", "/data/attributes/bodyText", "/data/attributes/subject"]);
    let list = postroom.client.get("/api/v2/mailings").await.expect(200);
    assert_eq!(list.json["data"], json!([]), "nothing was queued");
    // The last edit that would take the link away is refused as well.
    let fine = json!({
        "to": ["bert@demo.test"], "subject": "s", "bodyText": body, "includeUnsubscribeLink": true, "state": "drafted",
    });
    let mailing = postroom.mailing(mailbox, fine).await;
    let change = json!({"data": {"type": "mailing", "id": mailing, "attributes": {"includeUnsubscribeLink": false}}});
    postroom.client.patch(&format!("/api/v2/mailings/{mailing}"), &change).await.expect(422);
    let signature = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"emailSignature": body}}});
    let answer = postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &signature).await.expect(422);
    assert_eq!(answer.blamed(), Some("/data/attributes/emailSignature"));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_added_where_the_opt_out_signature_has_no_place_for_it() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({"optOutSignature": "<i>No more?</i>"})).await;
    let content = json!({
        "to": ["bert@demo.test"], "subject": "s", "bodyText": "Hi\n> quoted", "includeUnsubscribeLink": true,
    });
    let mailing = postroom.mailing(mailbox, content).await;
    let shown = postroom.until_state(mailing, "delivered").await;
    assert_eq!((&shown["includeUnsubscribeLink"], &shown["mailingType"]), (&json!(true), &json!("single")));
    let mail = server.wait_accepted(1).await.remove(0);
    let url = format!("{PUBLIC}{}", opt_out_path(&mail));
    let text = mime::parse(&mail.raw).text.expect("text");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text}"));
    assert!(at("No more?") < at(&url) && at(&url) < at("> quoted"), "{text}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_never_opts_out_and_both_encodings_and_an_empty_body_do() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({"optOutMessage": "Bye <b>then</b> & thanks"})).await;
    let stranger = stranger(&postroom);
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
    let ways: [(&str, &str, &[u8]); 4] = [
        ("a@demo.test", "application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
        ("b@demo.test", "multipart/form-data; boundary=x", multipart.as_bytes()),
        ("c@demo.test", "application/x-www-form-urlencoded", b""),
        ("d@demo.test", "application/x-www-form-urlencoded", b"confirm=page"),
    ];
    for (index, (address, content_type, body)) in ways.into_iter().enumerate() {
        let mailing = opted_in_campaign(&postroom, mailbox, address).await;
        postroom.until_state(mailing, "delivered").await;
        let path = opt_out_path(&server.wait_accepted(index as u64 + 1).await[index]);
        for method in ["GET", "HEAD", "GET"] {
            let headers = [("Sec-Purpose", "prefetch"), ("User-Agent", "scanner")];
            let answer =
                stranger.send(Request { method, path: &path, headers: &headers, body: None }).await.expect(200);
            assert_eq!(answer.text.is_empty(), method == "HEAD");
            if method == "GET" {
                assert!(answer.text.contains("Bye &lt;b&gt;then&lt;/b&gt; &amp; thanks"), "{}", answer.text);
                assert!(answer.text.contains("<form method=\"post\">") && !answer.text.contains("<script"));
            }
        }
        assert_eq!(suppressions(&postroom).await.len(), index, "looking changed something");
        let headers = [("Content-Type", content_type)];
        let answer = stranger.send(post(&path, &headers, body)).await.expect(200);
        assert!(answer.header("set-cookie").is_none() && answer.header("location").is_none());
        // Again, as a replay: the same answer, nothing new.
        stranger.send(post(&path, &headers, body)).await.expect(200);
        let all = suppressions(&postroom).await;
        assert_eq!(all.len(), index + 1);
        let latest = &all[index]["attributes"];
        assert_eq!((&latest["email"], &latest["reason"]), (&json!(address), &json!("unsubscribe")));
        assert_eq!(latest["source"], if body == b"confirm=page" { "page" } else { "oneClick" });
        assert!(postroom.attributes("mailings", mailing).await["unsubscribedAt"].is_string());
        let page = stranger.send(Request { method: "GET", path: &path, ..Request::default() }).await.expect(200);
        assert!(page.text.contains("already unsubscribed") && !page.text.contains("<form"), "{}", page.text);
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_acts_on_the_very_next_pick_of_the_queue() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let first = opted_in_campaign(&postroom, mailbox, "bert@demo.test").await;
    postroom.until_state(first, "delivered").await;
    let hold = |held: bool| json!({"data": {"type": "mailbox", "id": mailbox, "attributes": {"sendDisabled": held}}});
    let path = format!("/api/v2/mailboxes/{mailbox}");
    postroom.client.patch(&path, &hold(true)).await.expect(200);
    let second = opted_in_campaign(&postroom, mailbox, "Bert <BERT@demo.test>").await;
    let copied = json!({"to": ["cora@demo.test"], "cc": ["bert@demo.test"], "bcc": ["dora@demo.test"], "subject": "s", "bodyText": "t"});
    let third = postroom.mailing(mailbox, copied).await;
    let opt_out = opt_out_path(&server.accepted()[0]);
    stranger(&postroom).send(post(&opt_out, &[], b"")).await.expect(200);
    postroom.client.patch(&path, &hold(false)).await.expect(200);
    let failed = postroom.until_state(second, "failed").await;
    assert!(failed["errorReason"].as_str().expect("a reason").contains("opted out"), "{failed:#}");
    assert_eq!(failed["attempts"], json!([]), "no connection was made for it");
    let copied = postroom.until_state(third, "delivered").await;
    let outcomes = copied["recipientOutcomes"].as_array().expect("outcomes");
    assert_eq!(outcomes[1]["state"], "failed");
    assert!(outcomes[1]["answer"].as_str().expect("why").contains("opted out"));
    let mails = server.wait_accepted(2).await;
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[1].recipients, ["cora@demo.test", "dora@demo.test"]);
    assert_eq!(field(&mails[1], "Cc"), None, "who is left out is not named");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_live_on_after_the_mailing_the_mailbox_a_new_key_and_a_restart() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let mailing = opted_in_campaign(&postroom, mailbox, "bert@demo.test").await;
    postroom.until_state(mailing, "delivered").await;
    let path = opt_out_path(&server.wait_accepted(1).await[0]);
    let store = postroom.app.store();
    let newer = new_link_key(&postroom).await;
    postroom.client.delete(&format!("/api/v2/mailboxes/{mailbox}")).await.expect(204);
    store
        .write(move |work| {
            let gone = work.mailing(mailing)?.expect("the mailing");
            work.delete_mailing(&gone)
        })
        .await
        .expect("the mailing is forgotten");
    let postroom = postroom.restart().await;
    let stranger = stranger(&postroom);
    stranger.send(Request { method: "GET", path: &path, ..Request::default() }).await.expect(200);
    stranger.send(post(&path, &[], b"")).await.expect(200);
    // A link of the newer key, for somebody else and a mailing that never was.
    let link = Link { purpose: Purpose::Unsubscribe, mailbox: 9, mailing: 9, detail: "cora@demo.test".into() };
    stranger.send(post(&format!("/u/{}", newer.token(&link)), &[], b"")).await.expect(200);
    let all = suppressions(&postroom).await;
    let emails: Vec<&Value> = all.iter().map(|one| &one["attributes"]["email"]).collect();
    assert_eq!(emails, ["bert@demo.test", "cora@demo.test"]);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_nothing_in_any_language_and_says_so() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let mailing = opted_in_campaign(&postroom, mailbox, "bert@demo.test").await;
    postroom.until_state(mailing, "delivered").await;
    let path = opt_out_path(&server.wait_accepted(1).await[0]);
    let stranger = stranger(&postroom);
    let token = path.strip_prefix("/u/").expect("a token");
    let long = format!("/u/{}", "A".repeat(5000));
    let cut = format!("/u/{}", &token[..token.len() - 1]);
    let (as_open, as_click) = (format!("/o/{token}.gif"), format!("/c/{token}"));
    for wrong in ["/u/x", "/u/%00", "/u/..%2f..", &cut, &long, &as_open, &as_click] {
        for method in ["GET", "HEAD"] {
            stranger.send(Request { method, path: wrong, ..Request::default() }).await.expect(404);
        }
    }
    stranger.send(post("/u/x", &[], b"List-Unsubscribe=One-Click")).await.expect(404);
    let refused = stranger.send(Request { method: "DELETE", path: &path, ..Request::default() }).await.expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, POST"));
    assert!(suppressions(&postroom).await.is_empty());
    for (accepted, tag, wrong, right) in [
        ("en-GB", "en", "This link does not work", "To unsubscribe"),
        ("de-CH, en;q=0.8", "de", "Dieser Link", "Abmelden"),
        ("fr", "fr", "Ce lien", "désabonner"),
        ("es-MX", "es", "Este enlace", "baja"),
        ("ja", "en", "This link does not work", "To unsubscribe"),
    ] {
        let headers = [("Accept-Language", accepted)];
        let get = |path| stranger.send(Request { method: "GET", path, headers: &headers, body: None });
        let (missing, there) = (get("/u/x").await.expect(404), get(&path).await.expect(200));
        assert!(missing.text.contains(wrong) && there.text.contains(right), "{accepted}: {}", there.text);
        for page in [missing, there] {
            assert_eq!(page.header("content-language"), Some(tag));
            assert!(page.text.contains(&format!("<html lang=\"{tag}\">")));
            for (name, value) in [
                ("cache-control", "no-store"),
                ("referrer-policy", "no-referrer"),
                ("x-content-type-options", "nosniff"),
                ("vary", "Accept-Language"),
            ] {
                assert_eq!(page.header(name), Some(value), "{name}");
            }
            assert!(page.header("x-robots-tag").expect("robots").contains("noindex"));
            let policy = page.header("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
        }
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_make_one_suppression() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let mailing = opted_in_campaign(&postroom, mailbox, "bert@demo.test").await;
    postroom.until_state(mailing, "delivered").await;
    let path = opt_out_path(&server.wait_accepted(1).await[0]);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (stranger, path) = (stranger(&postroom), path.clone());
        tasks.spawn(async move { stranger.send(post(&path, &[], b"List-Unsubscribe=One-Click")).await.status });
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.expect("an answer"), 200);
    }
    assert_eq!(suppressions(&postroom).await.len(), 1);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_public_url_or_with_two_recipients_a_mailing_with_links_is_refused_with_the_reason() {
    let server = mail_server().await;
    let postroom = Instance::start().await;
    let settings = json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port()});
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let document = |attributes: Value| {
        json!({"data": {"type": "mailing", "attributes": attributes,
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}}}})
    };
    for (name, value) in [
        ("mailingType", json!("campaign")),
        ("includeUnsubscribeLink", json!(true)),
        ("trackOpens", json!(true)),
        ("trackLinks", json!(true)),
    ] {
        let mut attributes = json!({"to": ["b@demo.test"], "subject": "s", "bodyHtml": "t"});
        attributes[name] = value;
        let answer = postroom.client.post("/api/v2/mailings", &document(attributes)).await.expect(422);
        assert_eq!(answer.blamed(), Some(format!("/data/attributes/{name}").as_str()));
        assert!(answer.text.contains("public_url"), "{}", answer.text);
    }
    postroom.stop().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    for several in
        [json!({"to": ["b@demo.test", "c@demo.test"]}), json!({"to": ["b@demo.test"], "bcc": ["c@demo.test"]})]
    {
        let mut attributes = several;
        attributes["mailingType"] = json!("sequence");
        let mut document = document(attributes);
        document["data"]["relationships"]["mailbox"]["data"]["id"] = json!(mailbox);
        let answer = postroom.client.post("/api/v2/mailings", &document).await.expect(422);
        assert_eq!(answer.blamed(), Some("/data/attributes/to"), "{}", answer.text);
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_composes_the_same_octets_whatever_changed_in_between() {
    use postroom::mailserver::{Act, Count, Point, Rule};
    let server = mail_server().await;
    // Accepts, but says nothing: the first copy is in doubt and is sent again.
    server.script(Rule::new(Point::FinalReply, Act::AcceptThenDrop).count(Count::First(1)));
    let (postroom, mailbox) = sending(&server, json!({"emailSignature": "<p>One</p>"})).await;
    let content = json!({
        "to": ["bert@demo.test"], "subject": "s", "mailingType": "campaign", "trackOpens": true, "trackLinks": true,
        "bodyHtml": "<body><a href='https://example.org/?a=1&amp;b=2'>go</a></body>",
    });
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until("mailings", mailing, |shown| shown["retryAt"].is_string() || shown["state"] == "delivered").await;
    let store = postroom.app.store();
    new_link_key(&postroom).await;
    let changes = json!({"emailSignature": "<p>Two</p>", "optOutSignature": "other"});
    let document = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": changes}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &document).await.expect(200);
    store
        .write(move |work| {
            let before = work.mailing(mailing)?.expect("the mailing");
            let mut after = before.clone();
            after.due = after.due.map(|_| work.now());
            work.save_mailing(&before, &after)?;
            work.mailing_event(postroom::domain::event::EventKind::MailingScheduled, &after)?;
            Ok::<_, StoreError>(())
        })
        .await
        .expect("its time comes");
    postroom.until_state(mailing, "delivered").await;
    let mails = server.wait_accepted(2).await;
    assert_eq!(String::from_utf8_lossy(&mails[0].raw), String::from_utf8_lossy(&mails[1].raw));
    postroom.stop().await;
}
