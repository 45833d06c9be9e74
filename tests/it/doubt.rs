//! When nobody can tell whether a server has a message, whose fault a refusal is, and our own copies of what was sent.

use crate::support::instance::Instance;
use postroom::mailserver::{Act, Count, Flags, MailServer, Options, Point, Recipients, Rule};
use serde_json::{Value, json};
use std::time::Duration;

async fn mail_server() -> MailServer {
    filing_server(false).await
}

fn smtp(server: &MailServer) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": server.smtp().port(), "password": "ann's secret"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_comes_is_doubt_and_the_message_is_repeated_once_with_its_message_id() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    server.script(Rule::new(Point::FinalReply, Act::Drop).count(Count::First(1)));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let doubtful = postroom
        .until("mailings", mailing, |shown| shown["attempts"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    assert_eq!(doubtful["state"], "scheduled");
    assert_eq!(doubtful["attempts"][0]["stage"], "finalDot", "{doubtful:#}");
    assert!(doubtful["retryAt"].is_string(), "{doubtful:#}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_under_the_policy_hold_fails_and_tells_the_user() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    server.script(Rule::new(Point::FinalReply, Act::Drop));
    let mut settings = smtp(&server);
    settings["doubtPolicy"] = json!("hold");
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let failed = postroom.until_state(mailing, "failed").await;
    assert!(failed["errorReason"].as_str().unwrap().contains("hold"), "{failed:#}");
    assert_eq!(server.accepted().len(), 1);
    postroom.stop().await;
}

fn both_ways(server: &MailServer) -> Value {
    let mut settings = smtp(server);
    (settings["imapHost"], settings["imapPort"]) = (json!("127.0.0.1"), json!(server.imap().port()));
    settings["sendRequiresSync"] = json!(false);
    settings
}

async fn filing_server(file_sent_copies: bool) -> MailServer {
    let options = Options { recipients: Recipients::Anybody, file_sent_copies, ..Options::default() };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account("ann@demo.test", "ann's secret");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_comes_is_made_up_for_by_the_servers_own_copy() {
    let (server, postroom) = (filing_server(true).await, Instance::start().await);
    server.script(Rule::new(Point::FinalReply, Act::Drop));
    let mailbox = postroom.mailbox("ann@demo.test", both_ways(&server)).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let delivered = postroom.until_state(mailing, "delivered").await;
    assert_eq!(delivered["recipientOutcomes"][0]["state"], "accepted", "{delivered:#}");
    let attempts = delivered["attempts"].as_array().unwrap();
    assert!(attempts.last().unwrap()["text"].as_str().unwrap().contains("was found"), "{delivered:#}");
    assert_eq!(server.accepted().len(), 1);
    // No error of the mailbox, and no copy of ours beside the server's.
    assert_eq!(server.messages("ann@demo.test", "Sent").unwrap().len(), 1);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_synced_after_the_mailing_was_given_up_shows_that_it_left() {
    let (server, postroom) = (filing_server(false).await, Instance::start().await);
    server.script(Rule::new(Point::FinalReply, Act::Drop));
    let mut settings = smtp(&server);
    settings["doubtPolicy"] = json!("hold");
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until_state(mailing, "failed").await;
    // Nothing was synced then.
    server.append("ann@demo.test", "Sent", &server.accepted()[0].raw).unwrap();
    let mut settings = both_ways(&server);
    settings["doubtPolicy"] = json!("hold");
    let edit = json!({"data": {"type": "mailbox", "id": mailbox, "attributes": settings}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{mailbox}"), &edit).await.expect(200);
    let delivered = postroom.until_state(mailing, "delivered").await;
    assert_eq!((&delivered["errorReason"], server.accepted().len()), (&Value::Null, 1), "{delivered:#}");
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_sent_folder_is_asked_the_mailing_says_what_it_waits_for() {
    let (server, postroom) = (filing_server(false).await, Instance::start().await);
    server.script(Rule::new(Point::FinalReply, Act::Drop));
    let mut settings = both_ways(&server);
    settings["doubtPolicy"] = json!("hold");
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    let waiting = postroom.until("mailings", mailing, |shown| shown["attempts"][0].is_object()).await;
    assert_eq!(waiting["state"], "delivering", "{waiting:#}");
    assert!(waiting["delayReason"].as_str().unwrap().contains("sent folder is searched"), "{waiting:#}");
    // The doubt outlives a restart, is asked about again and never sends by itself.
    let postroom = postroom.restart().await;
    let waiting = postroom.attributes("mailings", mailing).await;
    assert!(waiting["delayReason"].as_str().unwrap().contains("sent folder is searched"), "{waiting:#}");
    // The copy turns up late.
    let raw = server.accepted()[0].raw.clone();
    server.append("ann@demo.test", "Sent", &raw).unwrap();
    postroom.until_state(mailing, "delivered").await;
    assert_eq!(server.accepted().len(), 1);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_mailing_is_filed_once_in_the_sent_folder_where_the_mailbox_says_so() {
    let (server, postroom) = (filing_server(false).await, Instance::start().await);
    // The first APPEND is taken, and its answer is lost.
    server.script(Rule::new(Point::ImapCommand("APPEND"), Act::AcceptThenDrop).count(Count::First(1)));
    let mut settings = both_ways(&server);
    settings["saveSentCopy"] = json!("always");
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mut mailings = Vec::new();
    for number in 0..3 {
        let content =
            json!({"to": ["b@demo.test"], "bcc": ["c@demo.test"], "subject": number.to_string(), "bodyText": "t"});
        mailings.push(postroom.mailing(mailbox, content).await);
    }
    for mailing in &mailings {
        postroom.until_state(*mailing, "delivered").await;
    }
    let mut filed = Vec::new();
    for _ in 0..600 {
        filed = server.messages("ann@demo.test", "Sent").unwrap();
        if filed.len() >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut subjects: Vec<String> = filed
        .iter()
        .map(|message| {
            let text = String::from_utf8_lossy(&message.raw).into_owned();
            text.lines().find(|line| line.starts_with("Subject:")).unwrap().to_owned()
        })
        .collect();
    subjects.sort();
    assert_eq!(subjects, ["Subject: 0", "Subject: 1", "Subject: 2"]);
    let accepted = server.accepted();
    assert!(filed.iter().all(|copy| accepted.iter().any(|message| message.raw[..] == copy.raw[..])), "the same octets");
    let seen: Flags = std::iter::once("\\Seen").collect();
    assert!(filed.iter().all(|copy| copy.flags == seen), "{:?}", filed[0].flags);
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_is_replaced_without_spending_a_retry() {
    for (point, reply) in [
        (Point::MailFrom, "421 4.7.0 Too many messages in this session"),
        (Point::MailFrom, "452 4.5.3 Enough for this session"),
        (Point::RcptTo, "421 4.3.2 Shutting down"),
        (Point::Data, "421 4.3.2 Shutting down"),
    ] {
        let (server, postroom) = (mail_server().await, Instance::start().await);
        server.script(Rule::new(point, Act::Reply(reply.into())).count(Count::Nth(2)));
        let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
        for number in 0..3 {
            let content = json!({"to": ["b@demo.test"], "subject": number.to_string(), "bodyText": "t"});
            let mailing = postroom.mailing(mailbox, content).await;
            let shown = postroom.until_state(mailing, "delivered").await;
            assert_eq!(
                (shown["retryCount"].as_u64(), shown["attempts"].as_array().unwrap().len()),
                (Some(0), 1),
                "{reply}: {shown:#}"
            );
        }
        assert_eq!(server.accepted().len(), 3);
        assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendErroredAt"], Value::Null, "{reply}");
        postroom.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_the_mailbox_pauses_it_and_spends_no_retry() {
    for (point, reply, state) in [
        (Point::MailFrom, "553 5.7.1 Sender address rejected: not owned by user", "paused"),
        (Point::MailFrom, "451 4.7.1 Not at the moment", "erroring"),
        (Point::RcptTo, "550 5.7.233 Tenant limit", "paused"),
        (Point::RcptTo, "553 5.7.1 <ann@demo.test>: Sender address rejected: not owned by user ann", "paused"),
        (Point::RcptTo, "554 5.7.1 <b@demo.test>: Relay access denied", "paused"),
        (Point::FinalDot, "550 5.4.5 Daily user sending limit exceeded", "paused"),
        (Point::Auth, "535 5.7.8 Bad credentials", "authFailed"),
    ] {
        let (server, postroom) = (mail_server().await, Instance::start().await);
        server.script(Rule::new(point, Act::Reply(reply.into())));
        let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
        let mut mailings = Vec::new();
        for number in 0..3 {
            let content = json!({"to": ["b@demo.test"], "subject": number.to_string(), "bodyText": "t"});
            mailings.push(postroom.mailing(mailbox, content).await);
        }
        let health = postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == state).await;
        assert!(health["lastError"]["text"].as_str().is_some_and(|text| text.contains(&reply[4..])), "{health:#}");
        // Attempts that were under way together are one try: the first probe is half an hour away, give or take.
        assert!(health["nextSendAt"].is_string(), "{health:#}");
        for mailing in mailings {
            // Those that were under way with it come back too.
            let waits = |shown: &Value| ["scheduled", "queued"].contains(&shown["state"].as_str().unwrap());
            let waiting = postroom.until("mailings", mailing, waits).await;
            assert_eq!(waiting["retryCount"], 0, "{reply}: {waiting:#}");
        }
        postroom.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_the_mail_for_somebody_has_nothing_against_the_sender() {
    let (server, postroom) = (mail_server().await, Instance::start().await);
    let refusal = "554 5.7.1 <c@demo.test>: Relay access denied";
    server.script(Rule::new(Point::RcptTo, Act::Reply(refusal.into())).to("c@demo.test"));
    let mailbox = postroom.mailbox("ann@demo.test", smtp(&server)).await;
    let content = json!({"to": ["b@demo.test", "c@demo.test"], "subject": "s", "bodyText": "t"});
    let mailing = postroom.mailing(mailbox, content).await;
    let shown = postroom.until_state(mailing, "delivered").await;
    let states: Vec<&Value> = (0..2).map(|at| &shown["recipientOutcomes"][at]["state"]).collect();
    assert_eq!(states, [&json!("accepted"), &json!("failed")], "{shown:#}");
    assert_eq!(postroom.attributes("mailboxes", mailbox).await["sendState"], "ok");
    postroom.stop().await;
}
