//! One server and many mailboxes, and connections that are used again.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_under_many_attempts_costs_one_of_them_and_all_go_on_when_it_is_back() {
    const MAILBOXES: usize = 3;
    let mut bench = Bench::new().await;
    let gate = Gate::new();
    bench.server.script(Rule::new(Point::SmtpConnect, Act::Hold(gate.clone())));
    bench.server.script(reply(Point::SmtpConnect, "421 4.3.2 Down").count(Count::First(MAILBOXES as u64)));
    let (mut mailboxes, mut ids) = (Vec::new(), Vec::new());
    for number in 0..MAILBOXES {
        mailboxes.push(bench.mailbox(&format!("ann{number}"), json!({})).await);
        ids.push(bench.mailing(mailboxes[number], &["b"]).await);
    }
    bench.arrived(&gate, MAILBOXES).await;
    bench.clock.advance(Duration::from_secs(1));
    gate.open();
    let all_back = |bench: &Bench| {
        ids.iter().all(|id| bench.look(*id).attempt.is_none() && !bench.look(*id).attempts.is_empty()).then_some(())
    };
    bench.until("all are back", all_back).await;
    let tries: u32 = ids.iter().map(|id| bench.look(*id).retry_count).sum();
    let paused: Vec<_> = mailboxes.iter().filter(|id| bench.health(**id).failure.is_some()).collect();
    assert_eq!((tries, paused.len()), (1, 1), "who met it first bears it");
    // One asks whether it is back, and its answer is everybody's.
    bench.clock.advance(MINUTE);
    let later = |id: &u64| bench.look(*id).retry_count == 0;
    for id in ids.iter().filter(|id| later(id)) {
        bench.until_state(*id, State::Delivered).await;
    }
    let is_well = |bench: &Bench| mailboxes.iter().all(|id| bench.health(*id).failure.is_none()).then_some(());
    bench.until("nobody is paused", is_well).await;
    bench.clock.advance(6 * MINUTE);
    for id in &ids {
        bench.until_state(*id, State::Delivered).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_after_as_many_messages_as_it_may_carry() {
    let config = SendConfig { connections_per_mailbox: 1, deliveries_per_connection: 3, ..SendConfig::default() };
    let mut bench = Bench::with(config, Stop::at("nowhere")).await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    let mut last = 0;
    for _ in 0..7 {
        last = bench.mailing(mailbox, &["b"]).await;
    }
    bench.until_state(last, State::Delivered).await;
    let mut carried = std::collections::BTreeMap::new();
    for message in bench.server.accepted() {
        *carried.entry(message.connection).or_insert(0) += 1;
    }
    assert_eq!(carried.values().copied().collect::<Vec<_>>(), [3, 3, 1]);
    bench.stop().await;
}

/// Nobody sends, and yet the connection is closed: the server would wait for half an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_needs_is_closed_after_a_while() {
    let config = SendConfig { idle: Duration::from_secs(1), ..SendConfig::default() };
    let mut bench = Bench::with(config, Stop::at("nowhere")).await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    let quit = Gate::new();
    bench.server.script(Rule::new(Point::Quit, Act::Hold(quit.clone())));
    let id = bench.mailing(mailbox, &["b"]).await;
    bench.until_state(id, State::Delivered).await;
    bench.arrived(&quit, 1).await;
    quit.open();
    bench.until("it is closed", |bench| (bench.server.connections().smtp_open == 0).then_some(())).await;
    bench.stop().await;
}

/// Settings that have changed are not sent with over a connection that older ones opened.
#[tokio::test(flavor = "multi_thread")]
async fn another_password_wants_another_connection() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    for (number, edited) in [(0, false), (1, false), (2, true)] {
        if edited {
            let edit = bench.store.write(move |work| {
                let before = get::<Mailbox>(work, mailbox)?.unwrap();
                let after = Mailbox { generation: before.generation + 1, ..before.clone() };
                work.update_mailbox(&before, after, &[]).map(drop)
            });
            edit.await.unwrap();
        }
        let id = bench.mailing(mailbox, &["b"]).await;
        bench.until_state(id, State::Delivered).await;
        assert_eq!(bench.server.accepted().len(), number + 1);
    }
    let over: Vec<u64> = bench.server.accepted().iter().map(|message| message.connection).collect();
    assert!(over[0] == over[1] && over[1] != over[2], "{over:?}");
    bench.stop().await;
}

/// Mailings that are queued together while another one is under way get a connection each, as far as there may be any.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_queued_beside_a_slow_mailing_gets_connections_of_its_own() {
    let mut bench = Bench::new().await;
    let mailbox = bench.mailbox("ann", json!({})).await;
    let gate = Gate::new();
    bench.server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    let first = bench.mailing(mailbox, &["b"]).await;
    bench.arrived(&gate, 1).await;
    // In one commit: the scheduler hears of both at once.
    let two = bench.store.write(move |work| {
        for number in 2..=3 {
            let mut other = work.mailing(first)?.unwrap();
            (other.message_id, other.state, other.attempt) = (format!("{number}@demo.test"), State::Queued, None);
            other.due = Some(work.now());
            work.create_mailing(other, &Content { text: Some("Hello".into()), ..Content::default() })?;
        }
        Ok::<_, StoreError>(())
    });
    two.await.unwrap();
    bench.arrived(&gate, 3).await;
    gate.open();
    bench.until("all are there", |bench| (bench.server.accepted().len() == 3).then_some(())).await;
    bench.stop().await;
}
