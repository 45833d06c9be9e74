//! SIGTERM: nothing new is started, what is under way is finished, and nothing is left in doubt.

use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::server::Server;
use crate::unsubscribe::{field, mail_server};
use postroom::mailserver::{Act, Gate, Point, Rule};
use serde_json::{Value, json};
use std::collections::HashSet;

const MAILINGS: usize = 10;
/// The default of `send.connections_per_mailbox`.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_and_what_waits_goes_after_the_next_start() {
    let (sink, home) = (mail_server().await, Home::new());
    let gate = Gate::new();
    // The server has the messages, and has not said so.
    let held = sink.script(Rule::new(Point::FinalReply, Act::Hold(gate.clone())));
    let token = home.administrator();
    let mut server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));
    let settings = json!({
        "email": "ann@demo.test", "password": "ann's secret", "smtpHost": "127.0.0.1",
        "smtpPort": sink.smtp().port(), "smtpSsl": false, "doubtPolicy": "hold", "sendThreshold": null,
    });
    let mailbox = client.create("mailbox", "mailboxes", &settings).await["id"].clone();
    for number in 0..MAILINGS {
        let document = json!({"data": {
            "type": "mailing",
            "attributes": {"to": [format!("r{number}@demo.test")], "subject": "Offer", "bodyText": "t"},
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
        }});
        client.post("/api/v2/mailings", &document).await.expect(201);
    }
    gate.arrived(AT_ONCE).await;
    server.signal("TERM");
    assert!(server.logged("no new work"));
    gate.open();
    let status = tokio::task::spawn_blocking(move || server.wait()).await.expect("the server ends");
    assert!(status.success(), "{status}");
    sink.clear(held);
    let finished = sink.accepted().len();
    assert!((AT_ONCE..MAILINGS).contains(&finished), "{finished} of {MAILINGS} were sent before the end");

    let server = Server::start(&home);
    let client = Client::new(&server.url, Some(&token));
    let mails = sink.wait_accepted(MAILINGS as u64).await;
    let ids: HashSet<_> = mails.iter().map(|mail| field(mail, "Message-ID")).collect();
    assert_eq!((mails.len(), ids.len()), (MAILINGS, MAILINGS), "none was sent twice");
    for _ in 0..600 {
        let listed = client.get("/api/v2/mailings?filter[state]=delivered").await.expect(200);
        if listed.json["meta"]["count"] == MAILINGS {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let listed = client.get("/api/v2/mailings?page[size]=50").await.expect(200);
    for mailing in listed.json["data"].as_array().expect("a list") {
        let attributes = &mailing["attributes"];
        let attempts: Vec<&Value> = attributes["attempts"].as_array().expect("a list").iter().collect();
        assert_eq!((&attributes["state"], attempts.len()), (&json!("delivered"), 1), "no doubt: {attributes:#}");
    }
    assert!(server.stop().success());
}
