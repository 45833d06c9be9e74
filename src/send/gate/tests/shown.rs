//! What a mailbox shows of the gate: the counters of its windows, and an owner who is locked.

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn while_the_owner_is_locked_sending_holds_and_says_so() {
    let bench = Bench::new(json!({})).await;
    for (locked, says) in [(true, Some("The owner of this mailbox is locked.")), (false, None)] {
        // Given to somebody else, who is.
        let change = bench.store.write(move |work| {
            let before = get::<Mailbox>(work, 1)?.unwrap();
            let other = User { email: format!("{locked}@corp.example"), locked, ..get::<User>(work, 1)?.unwrap() };
            let user_id = work.create_user(other)?.id;
            work.update_mailbox(&before, Mailbox { user_id, ..before.clone() }, &[]).map(drop)
        });
        change.await.unwrap();
        let gate = bench.ask();
        assert_eq!((gate.reason(), gate.why()), (says, says.map(|_| Why::Disabled)));
        assert!(gate.opens_at().is_none(), "nobody can know");
    }
}

fn counters(bench: &Bench) -> [u64; 3] {
    let snapshot = bench.store.read().unwrap();
    let mailbox = get::<Mailbox>(&snapshot, 1).unwrap().unwrap();
    let (status, moment) = (status(&snapshot, 1).unwrap(), bench.store.moment());
    let question = Question { mailbox: &mailbox, status: &status, recipients: 1, moment, outlook: &bench.outlook };
    let Counters { sent_in_day, sent_in_week, emails_in_day } = super::counters(&snapshot, &question).unwrap();
    [sent_in_day, sent_in_week, emails_in_day]
}

/// The counters and the limits count the same: a window that opens is one that shows one less.
#[tokio::test]
async fn the_counters_roll_with_the_windows_to_the_millisecond() {
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 2, "maxMailingsPerWeek": 3})).await;
    let now = bench.clock.now();
    bench.receive(now.minus(HOUR)).await;
    assert_eq!(counters(&bench), [0, 0, 1]);
    bench.send(3).await;
    let under_way = bench.hold(1).await;
    assert_eq!(counters(&bench), [2, 2, 3], "a mailing counts one, whomever it goes to");
    bench.end(under_way, false).await;
    assert_eq!(counters(&bench), [1, 1, 2]);
    bench.clock.advance((23 * HOUR).saturating_sub(MILLISECOND));
    assert_eq!(counters(&bench), [1, 1, 2]);
    bench.clock.advance(MILLISECOND);
    assert_eq!(counters(&bench), [1, 1, 1], "what was received has left the day");
    bench.clock.advance(HOUR.saturating_sub(MILLISECOND));
    assert_eq!(counters(&bench), [1, 1, 1]);
    bench.clock.advance(MILLISECOND);
    assert_eq!(counters(&bench), [0, 1, 0]);
    // A new run begins a few milliseconds earlier, to be on the safe side.
    let bench = bench.restart().await;
    assert_eq!(counters(&bench), [1, 1, 1]);
    bench.clock.advance(Duration::from_millis(5));
    assert_eq!(counters(&bench), [0, 1, 0]);
    // A clock that is set moves nothing of our own; a message counts by its date, and that is of today again.
    bench.set_clock(now).await;
    assert_eq!(counters(&bench), [0, 1, 1]);
    bench.clock.advance((6 * DAY).saturating_sub(MILLISECOND));
    assert_eq!(counters(&bench), [0, 1, 0]);
    bench.clock.advance(MILLISECOND);
    assert_eq!(counters(&bench), [0, 0, 0]);
}
