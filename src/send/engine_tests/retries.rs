//! Tries that are repeated, until somebody takes the message or nobody may wait any longer.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_server_put_off_gets_the_message_later_and_the_others_not_again() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    bench.server.script(reply(Point::RcptTo, "450 4.2.0 Greylisted").to("c@demo.test").count(Count::First(2)));
    let id = bench.mailing(mailbox, &["b", "c"]).await;
    for (tries, interval) in [(1, 240..=360), (2, 480..=720)] {
        let waiting = bench.until_mailing(id, "put off", |mailing| mailing.retry_count == tries).await;
        assert_eq!(outcomes(&waiting), [Some(RecipientState::Accepted), None]);
        let wait = waiting.retry_interval.unwrap();
        assert!(interval.contains(&wait), "{wait}");
        assert_eq!((waiting.state, waiting.retry_at), (State::Scheduled, waiting.due));
        bench.pass_until(waiting.retry_at);
    }
    let delivered = bench.until_state(id, State::Delivered).await;
    assert_eq!(outcomes(&delivered), [Some(RecipientState::Accepted); 2]);
    assert_eq!((delivered.retry_count, delivered.retry_at), (2, None));
    let accepted = bench.server.accepted();
    let to: Vec<_> = accepted.iter().map(|message| message.recipients.clone()).collect();
    assert_eq!(to, [["b@demo.test"], ["c@demo.test"]]);
    assert_eq!(accepted[0].raw, accepted[1].raw, "the same octets");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_try_a_mailing_fails_with_what_the_server_said() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({"sendMaxRetries": 2})).await;
    bench.server.script(reply(Point::RcptTo, "451 4.3.0 Never in this life"));
    let id = bench.mailing(mailbox, &["b"]).await;
    for tries in 1..=2 {
        let waiting = bench.until_mailing(id, "put off", |mailing| mailing.retry_count == tries).await;
        bench.pass_until(waiting.retry_at);
    }
    let failed = bench.until_state(id, State::Failed).await;
    assert_eq!((failed.attempts.len(), failed.retry_count, failed.due), (3, 2, None));
    assert!(failed.error_reason.unwrap().contains("Never in this life"));
    assert_eq!(bench.health(mailbox).errored_at, None, "a recipient's failure is none of the mailbox");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_when_to_come_back_is_believed() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    let text = "450 4.2.0 Greylisted, please try again in 2 hours";
    bench.server.script(reply(Point::RcptTo, text).count(Count::First(1)));
    let id = bench.mailing(mailbox, &["b"]).await;
    let waiting = bench.until_mailing(id, "put off", |mailing| mailing.retry_count == 1).await;
    assert_eq!(waiting.retry_interval, Some(7_200));
    bench.clock.advance(2 * HOUR);
    bench.until_state(id, State::Delivered).await;
    // The same of what concerns the mailbox; it is said to the kept session and to the fresh one.
    bench.server.script(reply(Point::MailFrom, "451 4.7.1 Slow down, wait 3 hours").count(Count::First(2)));
    let id = bench.mailing(mailbox, &["b"]).await;
    let health = bench.until("a pause", |bench| Some(bench.health(mailbox)).filter(|it| it.failure.is_some())).await;
    assert_eq!(health.probe_at, Some(health.errored_at.unwrap().plus(3 * HOUR)));
    bench.clock.advance(3 * HOUR);
    assert_eq!(bench.until_state(id, State::Delivered).await.retry_count, 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_longer_than_it_may_expires_and_whoever_has_it_keeps_it() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({"sendMaxRetries": 100})).await;
    let held = bench.mailbox("held", json!({"sendDisabled": true})).await;
    bench.server.script(reply(Point::RcptTo, "450 4.2.0 Greylisted").to("c@demo.test"));
    let partly = bench.mailing(mailbox, &["b", "c"]).await;
    let nobody = bench.mailing(mailbox, &["c"]).await;
    let waits = bench.mailing(held, &["b"]).await;
    for id in [partly, nobody] {
        bench.until_mailing(id, "put off", |mailing| mailing.retry_count == 1).await;
    }
    bench.until_state(waits, State::Scheduled).await;
    bench.clock.advance(7 * 24 * HOUR + MINUTE);
    let partly = bench.until_state(partly, State::Delivered).await;
    assert_eq!(outcomes(&partly), [Some(RecipientState::Accepted), Some(RecipientState::Failed)]);
    let answer = partly.recipients[1].outcome.as_ref().unwrap().answer.clone().unwrap();
    assert!(answer.starts_with("Expired"), "{answer}");
    // Nobody has to do anything for a mailing to expire: not for what was refused, nor for what was held.
    for id in [nobody, waits] {
        let expired = bench.until_state(id, State::Failed).await;
        assert!(expired.error_reason.as_ref().unwrap().contains("within 7 days"));
        assert_eq!(outcomes(&expired), [Some(RecipientState::Failed)]);
    }
    assert_eq!(bench.server.accepted().len(), 1);
    bench.stop().await;
}

/// A mailbox that its provider does not let send is asked about again and again by itself, by one mailing at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_mailbox_is_probed_slowly_by_itself_and_costs_no_mailing_a_retry() {
    for (at, text) in [
        (Point::Auth, "535 5.7.8 Bad credentials"),
        (Point::MailFrom, "553 5.7.1 Sender address rejected: not owned by user"),
        (Point::FinalDot, "550 5.4.5 Daily user sending limit exceeded"),
    ] {
        let gate = Gate::new();
        let mut bench = Bench::new().await;
        let mailbox = bench.mailbox("ann", json!({})).await;
        bench.server.script(Rule::new(at, Act::Hold(gate.clone())));
        let refusal = bench.server.script(reply(at, text));
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(bench.mailing(mailbox, &["b"]).await);
        }
        // All that may be under way are: together they are one failure.
        bench.arrived(&gate, 3).await;
        bench.clock.advance(Duration::from_secs(1));
        gate.open();
        let mut last = None;
        for (failures, minutes) in [(1, 24..=36), (2, 48..=72), (3, 96..=144), (4, 192..=288), (5, 288..=432)] {
            let health = bench.until("a probe", |bench| {
                let health = bench.health(mailbox);
                let all_back = ids.iter().all(|id| bench.look(*id).attempt.is_none());
                (all_back && health.failure.is_some() && health.errored_at != last).then_some(health)
            });
            let health = health.await;
            assert_eq!(health.failures, failures, "{text}");
            assert_eq!(gate.arrivals(), 2 + usize::try_from(failures).unwrap(), "{text}: one mailing a probe");
            let wait = health.probe_at.unwrap().millis_since(bench.clock.now());
            assert!(minutes.contains(&(wait / 60_000)), "{text}: {failures}: {wait} ms");
            last = health.errored_at;
            if failures == 5 {
                bench.server.clear(refusal);
            }
            bench.pass_until(health.probe_at);
        }
        for id in ids {
            assert_eq!(bench.until_state(id, State::Delivered).await.retry_count, 0, "{text}");
        }
        assert_eq!((bench.health(mailbox).failure, bench.health(mailbox).failures), (None, 0), "{text}");
        bench.stop().await;
    }
}
