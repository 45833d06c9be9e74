//! Servers that mean no good, end to end: what becomes of a mailing and its mailbox is typed and visible, and another
//! mailbox goes on undisturbed. Order and counts decide, never time.

use crate::support::instance::Instance;
use postroom::config::Config;
use postroom::mailserver::{Act, Capabilities, Count, Gate, MailServer, Options, Point, Recipients, Rule};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

async fn server(options: Options) -> MailServer {
    let options = Options { recipients: Recipients::Anybody, ..options };
    let server = MailServer::start(options).await.expect("the mail server starts");
    server.add_account("ann@demo.test", "ann's secret");
    server
}

fn settings(port: u16) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": port})
}

fn content(number: u32) -> Value {
    json!({"to": ["b@demo.test"], "subject": number.to_string(), "bodyText": "t"})
}

/// A second mailbox at a friendly server delivers, whatever the first one meets.
async fn healthy(postroom: &Instance, friendly: &MailServer) {
    let mailbox = postroom.mailbox("bob@demo.test", settings(friendly.smtp().port())).await;
    for number in 0..3 {
        // Somebody of whom the hostile server has said nothing.
        let content = json!({"to": ["c@demo.test"], "subject": number.to_string(), "bodyText": "t"});
        let mailing = postroom.mailing(mailbox, content).await;
        let shown = postroom.until_state(mailing, "delivered").await;
        assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown:#}");
    }
    let shown = postroom.attributes("mailboxes", mailbox).await;
    assert_eq!((shown["sendState"].as_str(), &shown["sendErroredAt"]), (Some("ok"), &Value::Null), "{shown:#}");
}

/// What a hostile turn has to come to.
struct Outcome {
    /// The state of the mailing once its first attempt is over.
    mailing: &'static str,
    /// `sendState` of its mailbox.
    mailbox: &'static str,
    /// The stage of the attempt.
    stage: &'static str,
    /// Whether a try of the mailing was spent.
    retried: bool,
}

const fn outcome(mailing: &'static str, mailbox: &'static str, stage: &'static str, retried: bool) -> Outcome {
    Outcome { mailing, mailbox, stage, retried }
}

async fn meets(postroom: &Instance, port: u16, wanted: &Outcome, name: &str) {
    let mailbox = postroom.mailbox("ann@demo.test", settings(port)).await;
    let mailing = postroom.mailing(mailbox, content(0)).await;
    let shown = postroom
        .until("mailings", mailing, |shown| {
            shown["state"] == wanted.mailing && shown["attempts"].as_array().is_some_and(|all| !all.is_empty())
        })
        .await;
    let first = &shown["attempts"][0];
    assert_eq!(first["stage"], wanted.stage, "{name}: {shown:#}");
    assert!(first["text"].as_str().is_some_and(|text| !text.is_empty() && text.len() < 1024), "{name}: {shown:#}");
    assert_eq!(shown["retryCount"] == 1, wanted.retried, "{name}: {shown:#}");
    let reason = if wanted.mailing == "failed" { &shown["errorReason"] } else { &shown["delayReason"] };
    assert!(wanted.mailing == "delivered" || reason.is_string(), "{name}: {shown:#}");
    let health = postroom.attributes("mailboxes", mailbox).await;
    assert_eq!(health["sendState"], wanted.mailbox, "{name}: {health:#}");
    let explained = wanted.mailbox == "ok" || health["sendStateReason"].as_str().is_some_and(|text| text.len() < 4096);
    assert!(explained, "{name}: {health:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_each_verb_has_its_kind_and_its_scope() {
    let friendly = server(Options::default()).await;
    for (at, reply, wanted) in [
        (Point::SmtpConnect, "554 No service", outcome("scheduled", "paused", "greeting", false)),
        (Point::SmtpConnect, "421 Busy", outcome("scheduled", "erroring", "greeting", true)),
        (Point::Ehlo, "550 Go away", outcome("scheduled", "paused", "capabilities", false)),
        (Point::Ehlo, "421 Busy", outcome("scheduled", "erroring", "capabilities", true)),
        (Point::MailFrom, "550 5.7.1 Not you", outcome("scheduled", "paused", "mailFrom", false)),
        (Point::MailFrom, "451 4.7.1 Not now", outcome("scheduled", "erroring", "mailFrom", false)),
        (Point::RcptTo, "550 5.1.1 No such user", outcome("failed", "ok", "rcptTo", false)),
        (Point::RcptTo, "450 4.2.1 Greylisted", outcome("scheduled", "ok", "rcptTo", true)),
        (Point::RcptTo, "421 4.3.2 Bye", outcome("scheduled", "erroring", "rcptTo", true)),
        (Point::Data, "554 5.7.1 Not this", outcome("failed", "ok", "data", false)),
        (Point::Data, "451 4.3.0 Not now", outcome("scheduled", "ok", "data", true)),
        (Point::Data, "421 4.3.2 Bye", outcome("scheduled", "erroring", "data", true)),
        (Point::FinalDot, "554 5.7.1 Spam", outcome("failed", "ok", "finalDot", false)),
        (Point::FinalDot, "452 4.3.1 No space", outcome("scheduled", "ok", "finalDot", true)),
        (Point::FinalDot, "421 4.3.2 Bye", outcome("scheduled", "erroring", "finalDot", true)),
    ] {
        let hostile = server(Options::default()).await;
        hostile.script(Rule::new(at, Act::Reply(reply.into())));
        let postroom = Instance::start().await;
        meets(&postroom, hostile.smtp().port(), &wanted, reply).await;
        assert_eq!(hostile.accepted().len(), 0, "{reply}");
        healthy(&postroom, &friendly).await;
        postroom.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drops_at_any_point_is_no_doubt_until_the_final_dot() {
    let friendly = server(Options::default()).await;
    for (at, wanted) in [
        (Point::SmtpConnect, outcome("scheduled", "erroring", "greeting", true)),
        (Point::Ehlo, outcome("scheduled", "erroring", "capabilities", true)),
        (Point::MailFrom, outcome("scheduled", "erroring", "mailFrom", true)),
        (Point::RcptTo, outcome("scheduled", "erroring", "rcptTo", true)),
        (Point::Data, outcome("scheduled", "erroring", "data", true)),
        // Doubt: the policy sends it again, and no retry is spent.
        (Point::FinalDot, outcome("scheduled", "ok", "finalDot", false)),
        (Point::FinalReply, outcome("scheduled", "ok", "finalDot", false)),
        // The reply was there: what comes after it changes nothing.
        (Point::AfterReply, outcome("delivered", "ok", "finalDot", false)),
    ] {
        let hostile = server(Options::default()).await;
        hostile.script(Rule::new(at, Act::Drop));
        let postroom = Instance::start().await;
        meets(&postroom, hostile.smtp().port(), &wanted, &format!("{at:?}")).await;
        healthy(&postroom, &friendly).await;
        postroom.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_none_end_the_session_and_nothing_else() {
    let friendly = server(Options::default()).await;
    let endless = |start: &str| [start.as_bytes(), &vec![b'x'; 200_000]].concat();
    let many = "250-and so on\r\n".repeat(20_000).into_bytes();
    for (name, at, bytes, stage) in [
        ("a line without an end", Point::SmtpConnect, endless("220 "), "greeting"),
        ("a line without an end", Point::MailFrom, endless("250 "), "mailFrom"),
        ("lines without an end", Point::Ehlo, many.clone(), "capabilities"),
        ("lines without an end", Point::RcptTo, many, "rcptTo"),
        ("NUL", Point::MailFrom, b"\0\0\0\0\r\n".to_vec(), "mailFrom"),
        ("8-bit rubbish", Point::RcptTo, b"\xff\xfe\xfd rubbish\r\n".to_vec(), "rcptTo"),
        ("two codes in one reply", Point::Data, b"354-go\r\n250 on\r\n".to_vec(), "data"),
        ("acceptance ahead of the message", Point::Data, b"354 go\r\n250 2.0.0 accepted\r\n".to_vec(), "data"),
    ] {
        let hostile = server(Options::default()).await;
        hostile.script(Rule::new(at, Act::Raw(bytes)));
        let postroom = Instance::start().await;
        let wanted = outcome("scheduled", "erroring", stage, true);
        meets(&postroom, hostile.smtp().port(), &wanted, name).await;
        assert_eq!(hostile.accepted().len(), 0, "{name}");
        healthy(&postroom, &friendly).await;
        postroom.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_goes_away_is_forgotten() {
    let hostile = server(Options::default()).await;
    hostile.script(
        Rule::new(Point::RcptTo, Act::Reply("450 4.2.0 Greylisted, try again in 1 seconds".into()))
            .count(Count::First(1)),
    );
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox("ann@demo.test", settings(hostile.smtp().port())).await;
    let mailing = postroom.mailing(mailbox, content(0)).await;
    let waiting = postroom.until("mailings", mailing, |shown| shown["retryCount"] == 1).await;
    assert!(waiting["retryAt"].is_string(), "{waiting:#}");
    // The next mailing is not held up by it.
    let next = postroom.mailing(mailbox, content(1)).await;
    postroom.until_state(next, "delivered").await;
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_offers_is_taken_at_its_word_and_no_further() {
    let friendly = server(Options::default()).await;
    // No AUTH where a password is set: nothing is sent without it.
    let hostile = server(Options { smtp_capabilities: Capabilities::without(&["AUTH"]), ..Options::default() }).await;
    let postroom = Instance::start().await;
    let mut with_password = settings(hostile.smtp().port());
    with_password["password"] = json!("ann's secret");
    let mailbox = postroom.mailbox("ann@demo.test", with_password).await;
    postroom.mailing(mailbox, content(0)).await;
    let health = postroom.until("mailboxes", mailbox, |shown| shown["sendState"] == "paused").await;
    assert_eq!(health["lastError"]["stage"], "authentication", "{health:#}");
    assert_eq!(hostile.connections().auth_attempts, 0);
    healthy(&postroom, &friendly).await;
    postroom.stop().await;

    // SIZE below the message's: refused before a byte of it is sent.
    let hostile = server(Options { max_message: 100, ..Options::default() }).await;
    let postroom = Instance::start().await;
    meets(&postroom, hostile.smtp().port(), &outcome("failed", "ok", "mailFrom", false), "SIZE").await;
    healthy(&postroom, &friendly).await;
    postroom.stop().await;

    // PIPELINING is offered, and the server drops what comes ahead of its replies.
    let (port, task) = one_by_one().await;
    let postroom = Instance::start().await;
    meets(&postroom, port, &outcome("scheduled", "erroring", "rcptTo", true), "PIPELINING").await;
    task.abort();
    healthy(&postroom, &friendly).await;
    postroom.stop().await;
}

/// Offers PIPELINING, answers the first of the commands that came together, forgets the others and goes.
async fn one_by_one() -> (u16, tokio::task::JoinHandle<()>) {
    serve(async |mut stream: BufReader<TcpStream>| {
        stream.write_all(b"220 hello\r\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        stream.write_all(b"250-hostile\r\n250 PIPELINING\r\n").await?;
        let mut block = [0; 4096];
        let _ = stream.read(&mut block).await?;
        stream.write_all(b"250 2.1.0 OK\r\n").await
    })
    .await
}

async fn serve<F>(
    talk: impl Fn(BufReader<TcpStream>) -> F + Send + Sync + 'static,
) -> (u16, tokio::task::JoinHandle<()>)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(BufReader::new(stream)));
        }
    });
    (port, task)
}

/// A mailbox whose only mailing hangs at a server of its own, at each of these points, while another delivers.
async fn only_their_own_mailboxes_wait(postroom: &Instance, points: &[Point]) {
    let friendly = server(Options::default()).await;
    let mut gates = Vec::new();
    for (number, at) in points.iter().enumerate() {
        let tarpit = server(Options::default()).await;
        let gate = Gate::new();
        tarpit.script(Rule::new(*at, Act::Hold(gate.clone())));
        let mailbox = postroom.mailbox(&format!("stuck{number}@demo.test"), settings(tarpit.smtp().port())).await;
        let mailing = postroom.mailing(mailbox, content(0)).await;
        gate.arrived(1).await;
        gates.push((gate, tarpit, mailing));
    }
    healthy(postroom, &friendly).await;
    for (gate, _, mailing) in &gates {
        assert_eq!(postroom.attributes("mailings", *mailing).await["state"], "delivering");
        gate.open();
    }
    for (_, tarpit, mailing) in &gates {
        postroom.until_state(*mailing, "delivered").await;
        assert_eq!(tarpit.accepted().len(), 1);
    }
}

/// Every worker hangs on a server that is slow: another one takes up the mail of the others.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_slow_hold_no_worker_for_long() {
    let mut config = Config::default();
    (config.send.workers, config.send.slow_after) = (2, Duration::from_secs(1));
    let postroom = Instance::start_with(config).await;
    only_their_own_mailboxes_wait(&postroom, &[Point::RcptTo, Point::RcptTo]).await;
    postroom.stop().await;
}

/// Whatever a mail server leaves unanswered, other mailboxes deliver all the same.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_never_answer_hold_up_only_their_own_mailboxes() {
    let postroom = Instance::start().await;
    let points = [Point::SmtpConnect, Point::Ehlo, Point::MailFrom, Point::Data, Point::FinalDot];
    only_their_own_mailboxes_wait(&postroom, &points).await;
    postroom.stop().await;
}

/// A gigabyte of reply costs no memory: the session ends at the bound, so the server cannot even send it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_reply_is_not_read() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let friendly = server(Options::default()).await;
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let (port, task) = serve(move |mut stream: BufReader<TcpStream>| {
        let taken = count.clone();
        async move {
            let block = b"220-a long greeting\r\n".repeat(1000);
            for _ in 0..50_000 {
                stream.write_all(&block).await?;
                taken.fetch_add(block.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await;
    let postroom = Instance::start().await;
    meets(&postroom, port, &outcome("scheduled", "erroring", "greeting", true), "a gigabyte").await;
    healthy(&postroom, &friendly).await;
    task.abort();
    // What the system's own buffers swallowed on the way; far from a gigabyte.
    assert!(taken.load(Ordering::Relaxed) < 100 << 20, "{}", taken.load(Ordering::Relaxed));
    postroom.stop().await;
}
