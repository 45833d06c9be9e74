//! The list of addresses that nobody mails: the resource, CSV in and out, exclusions, hard bounces.

use crate::support::binary::{Home, finish};
use crate::support::client::{Answer, Request};
use crate::support::instance::Instance;
use crate::support::server::Server;
use crate::unsubscribe::{mail_server, sending};
use postroom::domain::event::EventKind;
use postroom::mailserver::{Act, Count, Point, Rule};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

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
    let many = (0..2500).map(|number| format!("n{number}@x.example")).collect::<Vec<_>>().join("\n");
    assert_eq!(import(&postroom, &many).await.expect(200).json["meta"]["added"], 2500);
    assert_eq!(postroom.client.get_raw("/api/v2/suppressions/export").await.matches("@x.example").count(), 2502);
    let long =
        json!({"data": {"type": "suppression", "attributes": {"email": "l@x.example", "note": "x".repeat(1001)}}});
    let refused = postroom.client.post("/api/v2/suppressions", &long).await.expect(422);
    assert_eq!(refused.blamed(), Some("/data/attributes/note"));
    let refused = import(&postroom, &"a@x.example,".repeat(800_000)).await.expect(413);
    assert!(refused.json["errors"][0]["detail"].as_str().unwrap().contains("in several requests"), "{refused:?}");
    // A page that brings messages along is as short as one of messages.
    for (query, length) in [("", 1000), ("&include=message", 50), ("&include=message&fields[message]=subject", 1000)] {
        let page = postroom.client.get(&format!("/api/v2/suppressions?page[size]=1000{query}")).await.expect(200);
        assert_eq!(page.json["data"].as_array().unwrap().len(), length, "{query}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_may_be_sent_by_the_time_of_the_retry_is_named_again_in_the_header() {
    let server = mail_server().await;
    let rule = Rule::new(Point::RcptTo, Act::Reply("550 5.7.1 Not today".into())).to("bert@demo.test");
    server.script(rule.count(Count::First(1)));
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let made = postroom.client.create("suppression", "suppressions", &json!({"email": "cora@demo.test"})).await;
    let content =
        json!({"to": ["bert@demo.test"], "cc": ["cora@demo.test", "dora@demo.test"], "subject": "s", "bodyText": "t"});
    server.script(Rule::new(Point::RcptTo, Act::Reply("550 5.7.1 Nor today".into())).to("dora@demo.test"));
    let mailing = postroom.mailing(mailbox, content).await;
    let failed = postroom.until_state(mailing, "failed").await;
    let outcomes = failed["recipientOutcomes"].as_array().unwrap();
    assert!(outcomes.iter().all(|one| one["state"] == "failed"), "nobody waits for anything: {failed:#}");
    postroom.client.delete(&format!("/api/v2/suppressions/{}", made["id"])).await.expect(204);
    postroom.client.act(&format!("/api/v2/mailings/{mailing}/actions/retry")).await.expect(200);
    postroom.until_state(mailing, "delivered").await;
    let mail = &server.wait_accepted(1).await[0];
    // Two were refused for good; the retry was for the third, whom nobody had been asked about.
    assert_eq!(mail.recipients, ["cora@demo.test"]);
    assert!(String::from_utf8_lossy(&mail.raw).contains("Cc: cora@demo.test"));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailing_to_a_suppressed_recipient_keeps_nobody_waiting() {
    let server = mail_server().await;
    let (postroom, mailbox) = sending(&server, json!({})).await;
    postroom.client.create("suppression", "suppressions", &json!({"email": "bert@demo.test"})).await;
    let content = json!({"to": ["bert@demo.test"], "cc": ["cora@demo.test"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, content).await;
    let failed = postroom.until_state(mailing, "failed").await;
    let outcomes = failed["recipientOutcomes"].as_array().unwrap();
    assert!(outcomes.iter().all(|one| one["state"] == "failed" && one["answer"].is_string()), "{failed:#}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suppressed_between_two_tries_is_not_tried_again_and_who_has_the_mail_keeps_it() {
    let server = mail_server().await;
    let rule = Rule::new(Point::RcptTo, Act::Reply("450 4.2.0 Greylisted".into())).to("slow@demo.test");
    server.script(rule.count(Count::First(1)));
    let (postroom, mailbox) = sending(&server, json!({})).await;
    let content = json!({"to": ["fast@demo.test", "slow@demo.test"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, content).await;
    postroom.until("mailings", mailing, |shown| shown["retryCount"] == 1).await;
    postroom.client.create("suppression", "suppressions", &json!({"email": "SLOW@demo.test"})).await;
    postroom
        .app
        .store()
        .write(move |work| {
            let before = work.mailing(mailing)?.expect("the mailing");
            let mut after = before.clone();
            after.due = Some(work.now());
            work.save_mailing(&before, &after)?;
            work.mailing_event(EventKind::MailingScheduled, &after)
        })
        .await
        .expect("its time comes");
    let shown = postroom.until_state(mailing, "delivered").await;
    assert_eq!(shown["recipientOutcomes"][0]["state"], "accepted");
    assert_eq!(shown["recipientOutcomes"][1]["state"], "failed");
    assert_eq!((server.accepted().len(), &shown["retryAt"]), (1, &Value::Null), "{shown:#}");
    postroom.stop().await;
}

#[test]
fn the_command_line_lists_adds_removes_imports_and_exports() {
    let home = Home::new();
    home.run(&["setup", "--email", "ann@example.org"], "").ok();
    let _server = Server::start(&home);
    home.run(&["suppression", "add", "bert@example.org", "--reason", "complaint", "--note", "by phone"], "").ok();
    assert_eq!(home.run(&["suppression", "add", "BERT@example.org"], "").code, Some(1));
    let imported = home.run(&["suppression", "import", "-"], "email\ncora@example.org\nnobody\nBert@example.org\n");
    assert_eq!(imported.code, Some(3), "{imported:#?}");
    assert!(imported.stdout.contains("1 addresses were added, 1 were suppressed already"), "{imported:#?}");
    assert!(imported.stderr.contains("line 3:"), "{imported:#?}");
    let listed = home.run(&["suppression", "list"], "");
    assert!(listed.ok().contains("cora@example.org") && listed.ok().contains("by phone"), "{listed:#?}");
    let complaints = home.run(&["suppression", "list", "--reason", "complaint", "--quiet"], "");
    assert_eq!(complaints.ok().lines().count(), 1, "{complaints:#?}");
    let misspelt = home.run(&["suppression", "list", "--reason", "complaints"], "");
    assert!(misspelt.code == Some(2) && misspelt.stderr.contains("hardBounce"), "{misspelt:#?}");
    home.run(&["suppression", "rm", "Cora@example.org"], "").ok();
    assert_eq!(home.run(&["suppression", "rm", "cora@example.org"], "").code, Some(5));
    let exported = home.run(&["suppression", "export"], "");
    assert_eq!(exported.ok().lines().count(), 2, "{exported:#?}");
    assert!(exported.ok().contains("bert@example.org,complaint,by phone,api,"), "{exported:#?}");
    // Over several pages: one document, nobody twice.
    let many = (0..2500).map(|number| format!("n{number}@x.example")).collect::<Vec<_>>().join("\n");
    home.run(&["suppression", "import", "-"], &many).ok();
    let all = home.run(&["suppression", "list", "--json"], "");
    let all: Value = serde_json::from_str(all.ok()).expect("one document");
    let ids: HashSet<u64> = all["data"].as_array().unwrap().iter().filter_map(|one| one["id"].as_u64()).collect();
    assert_eq!((ids.len(), all["data"].as_array().unwrap().len()), (2501, 2501));
    assert_eq!(home.run(&["suppression", "list"], "").ok().lines().count(), 2502);
}

#[test]
fn the_command_line_imports_a_list_that_no_request_takes() {
    let home = Home::new();
    home.run(&["setup", "--email", "ann@example.org"], "").ok();
    let _server = Server::start(&home);
    let long = "x".repeat(900);
    let mut list = "note,email\n".to_owned();
    list.extend((0..1500).map(|number| format!("\"{long}\n\",n{number}@x.example\n")));
    list.push_str("no,body\nlast,last@x.example\n");
    let imported = home.run(&["suppression", "import", "-"], &list);
    assert_eq!(imported.code, Some(3), "{imported:#?}");
    assert!(imported.stdout.contains("1501 addresses were added, 0 were suppressed already"), "{imported:#?}");
    assert!(imported.stderr.contains("line 3002:"), "{imported:#?}");
    let refused = home.run(&["suppression", "import", "-"], "name\nx\n");
    assert!(refused.stderr.contains("column named email") && !refused.stderr.contains("()"), "{refused:#?}");
}

#[test]
fn a_list_is_printed_page_by_page() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // A server whose second page never comes.
    let server = std::thread::spawn(move || {
        let first = json!({
            "data": [{"type": "suppression", "id": 7, "attributes": {"email": "bert@example.org"}}],
            "links": {"next": "/api/v2/suppressions?page[after]=7"},
        });
        for (status, body) in [("200 OK", first.to_string()), ("503 Service Unavailable", "{}".to_owned())] {
            let mut connection = BufReader::new(listener.accept().expect("a connection").0);
            let mut line = String::new();
            while connection.read_line(&mut line).expect("a head") > 2 {
                line.clear();
            }
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            connection.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("an answer");
        }
    });
    let home = Home::new();
    let listed = finish(&mut home.command(&["suppression", "list", "--url", &format!("http://{address}")]), "");
    server.join().expect("both pages were asked for");
    assert!(listed.code == Some(1) && listed.stdout.contains("bert@example.org"), "{listed:#?}");
}
