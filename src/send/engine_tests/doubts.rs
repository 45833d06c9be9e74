//! When nobody can tell whether the server has a message.

use super::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_comes_is_answered_by_sending_again_once() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    bench.server.script(Rule::new(Point::FinalReply, Act::Drop));
    let id = bench.mailing(mailbox, &["b"]).await;
    let again = bench.until_mailing(id, "to be sent again", |mailing| mailing.doubt_resends == 1).await;
    assert_eq!((again.state, again.retry_count), (State::Scheduled, 0));
    assert!(again.retry_at.is_some() && again.retry_interval.is_some());
    bench.pass_until(again.retry_at);
    let failed = bench.until_state(id, State::Failed).await;
    assert!(failed.error_reason.unwrap().starts_with("Twice the server gave no answer"));
    let accepted = bench.server.accepted();
    assert_eq!(accepted.len(), 2);
    assert_eq!(accepted[0].raw, accepted[1].raw, "the same Message-ID, and everything else");
    assert_eq!(bench.health(mailbox).errored_at, None);
    bench.stop().await;
}

/// A server that takes the message up to its end, and is gone before that.
struct Leaving {
    listener: TcpListener,
}

impl Leaving {
    /// The connection with everything but the end of the message.
    async fn before_the_end(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 hello\r\n").await.unwrap();
        let (mut line, mut in_message) = (String::new(), false);
        loop {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the client left");
            // The last line of the mailing.
            if in_message && line == "Hello\r\n" {
                return stream.into_inner();
            }
            if !in_message {
                in_message = line.starts_with("DATA");
                stream.write_all(if in_message { b"354 go\r\n" } else { b"250 ok\r\n" }).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_while_the_final_dot_is_written_leaves_doubt() {
    for (policy, state) in [("resend", State::Scheduled), ("hold", State::Failed)] {
        let stop = Stop::at("data.after_commit");
        let mut bench = Bench::with(SendConfig::default(), stop.clone()).await;
        let leaving = Leaving { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() };
        let port = leaving.listener.local_addr().unwrap().port();
        // Without a password, as this server offers no log-in.
        let mailbox = bench.mailbox("ann", json!({"smtpPort": port, "doubtPolicy": policy})).await;
        let forget = bench.store.write(move |work| {
            let before = get::<Mailbox>(work, mailbox)?.unwrap();
            work.update_mailbox(&before, before.clone(), &[(SecretField::Password, SecretChange::Clear)]).map(drop)
        });
        forget.await.unwrap();
        let id = bench.mailing(mailbox, &["b"]).await;
        let connection = leaving.before_the_end().await;
        stop.arrived().await;
        // A reset: the next that is written fails.
        connection.set_zero_linger().unwrap();
        drop(connection);
        stop.open.send_replace(true);
        let after = bench.until_mailing(id, "over", |mailing| !mailing.attempts.is_empty()).await;
        let (first, reason) = (&after.attempts[0], after.error_reason.clone());
        assert!(first.text.contains("whether it accepted it is not known"), "{}", first.text);
        assert_eq!((after.state, after.retry_count, after.doubted.is_some()), (state, 0, true), "{policy}");
        assert_eq!(reason.is_some_and(|reason| reason.contains("doubtPolicy is hold")), policy == "hold");
        bench.stop().await;
    }
}

/// What stands in the way of one mailing costs no other its outcome.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_kept_when_the_next_mailing_cannot_be_taken_up() {
    let config = SendConfig { connections_per_mailbox: 1, ..SendConfig::default() };
    let mut bench = Bench::with(config, Stop::at("nowhere")).await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    let gate = Gate::new();
    bench.server.script(Rule::new(Point::FinalReply, Act::Hold(gate.clone())));
    let (first, next) = (bench.mailing(mailbox, &["b"]).await, bench.mailing(mailbox, &["b"]).await);
    bench.arrived(&gate, 1).await;
    let due = bench.clock.now().minus(HOUR);
    bench.store.write(move |work| work.make_due(mailbox, due, 999, true)).await.unwrap();
    gate.open();
    let delivered = bench.until_state(first, State::Delivered).await;
    assert_eq!(outcomes(&delivered), [Some(RecipientState::Accepted)]);
    assert_eq!((bench.look(next).state, bench.server.accepted().len()), (State::Queued, 1));
    // Once that is out of the way, it goes on by itself.
    bench.store.write(move |work| work.make_due(mailbox, due, 999, false)).await.unwrap();
    let goes_on = |bench: &Bench| {
        // It rests for a while first, and nobody sees when that begins.
        bench.clock.advance(Duration::from_secs(1));
        (bench.look(next).state == State::Delivered).then_some(())
    };
    bench.until("it goes on", goes_on).await;
    assert_eq!(bench.server.accepted().len(), 2);
    bench.stop().await;
}
