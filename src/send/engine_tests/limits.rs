//! Limits while more than one mailing is under way.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_under_way_than_a_limit_lets_out_and_what_did_not_leave_counts_no_more() {
    for (limit, period) in [
        (json!({"maxMailingsPerDay": 2}), 24 * HOUR),
        (json!({"maxMailingsPerWeek": 2}), 7 * 24 * HOUR),
        (json!({"maxEmailsPerDay": 2}), 24 * HOUR),
        (json!({"sendThreshold": 2, "sendPeriod": 3600}), HOUR),
    ] {
        let (gate, second) = (Gate::new(), Gate::new());
        let mut bench = Bench::new().await;
        let mailbox = bench.mailbox("ann", limit.clone()).await;
        // Workers enough for all five, and two that hang at their final dots: one will be refused.
        bench.server.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())).count(Count::First(2)));
        bench.server.script(reply(Point::FinalDot, "554 5.7.1 Not this one").count(Count::Nth(1)));
        bench.server.script(Rule::new(Point::FinalDot, Act::Hold(second.clone())).count(Count::Nth(3)));
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(bench.mailing(mailbox, &["b"]).await);
        }
        bench.arrived(&gate, 2).await;
        // The head of the others has been asked about and waits.
        let waits = |bench: &Bench| ids.iter().any(|id| bench.look(*id).state == State::Scheduled).then_some(());
        bench.until("the limit is met", waits).await;
        assert_eq!(gate.arrivals(), 2, "{limit}");
        gate.open();
        bench.arrived(&second, 1).await;
        second.open();
        bench.until("two are through", |bench| (bench.server.accepted().len() == 2).then_some(())).await;
        let states = |bench: &Bench, state: State| ids.iter().filter(|id| bench.look(**id).state == state).count();
        bench.until("both are recorded", |bench| (states(bench, State::Delivered) == 2).then_some(())).await;
        assert_eq!((states(&bench, State::Failed), bench.server.connections().accepted), (1, 2), "{limit}");
        bench.clock.advance(period);
        bench.until("the window has moved on", |bench| (states(bench, State::Delivered) == 4).then_some(())).await;
        bench.stop().await;
    }
}
