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
    gate.arrived(MAILBOXES).await;
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
