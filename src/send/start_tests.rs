use super::*;
use crate::domain::mailing::{Recipient, RecipientState};
use crate::send::testing::{mailing, recipient, store};
use serde_json::{Value, json};

const WEEK: Duration = Duration::from_hours(7 * 24);

/// A mailing to two, of whom the first has what `outcome` says; a week and a day later it is taken up.
async fn expired(outcome: Value) -> Mailing {
    taken_up(outcome, Value::Null, WEEK + Duration::from_hours(24)).await
}

/// The same, with a doubt that ended without an answer, taken up after `age`.
async fn taken_up(outcome: Value, doubted: Value, age: Duration) -> Mailing {
    let (store, clock) = store().await;
    let mut first = recipient("b@demo.test");
    first["outcome"] = outcome;
    let with = json!({
        "state": State::Scheduled, "retry_at": "2026-07-08T18:40:47Z", "recipients": [first, recipient("c@demo.test")],
        "doubted": doubted,
    });
    let id = mailing(&store, with).await;
    clock.advance(age);
    let taken = store.write(move |work| {
        let next = take_next(work, 1, &Outlook::default(), WEEK, None)?;
        assert!(matches!(next, Next::Nothing | Next::NotBefore(_)));
        work.mailing(id)
    });
    taken.await.unwrap().unwrap()
}

#[tokio::test]
async fn what_waited_too_long_fails_with_everybody() {
    let mailing = expired(Value::Null).await;
    assert_eq!((mailing.state, mailing.retry_at), (State::Failed, None));
    let reason = mailing.error_reason.unwrap();
    assert!(reason.contains("within 7 days"), "{reason}");
    let states = mailing.recipients.iter().map(|recipient| recipient.outcome.as_ref().unwrap().state);
    assert!(states.into_iter().all(|state| state == RecipientState::Failed));
}

#[tokio::test]
async fn who_has_it_already_keeps_it_and_the_mailing_is_delivered() {
    let mailing = expired(json!({"state": "accepted", "at": "2026-07-08", "answer": "250 ok"})).await;
    assert_eq!((mailing.state, mailing.retry_at), (State::Delivered, None));
    assert!(mailing.recipients[0].is_accepted());
    let answer = mailing.recipients[1].outcome.clone().unwrap().answer.unwrap();
    assert!(answer.starts_with("Expired"), "{answer}");
}

fn doubted(refused: &Value) -> Value {
    json!({"since": "2026-07-08", "cause": "silence", "next": "2026-07-08", "proved": true, "refused": refused})
}

#[tokio::test]
async fn what_turned_out_to_have_left_is_not_sent_again() {
    let mailing = taken_up(Value::Null, doubted(&json!([])), Duration::ZERO).await;
    assert_eq!((mailing.state, mailing.retry_at, mailing.attempt.is_some()), (State::Delivered, None, false));
    assert!(mailing.recipients.iter().all(Recipient::is_accepted), "{mailing:?}");
    assert!(mailing.attempts.last().unwrap().text.contains("came back"));
    // A bounce had named one of them.
    let bounced = json!({"state": "bounced", "at": "2026-07-08", "answer": "550 5.1.1 no"});
    let mailing = taken_up(bounced, doubted(&json!([])), Duration::ZERO).await;
    assert_eq!(mailing.state, State::Delivered);
    assert_eq!(mailing.recipients[0].outcome.as_ref().unwrap().state, RecipientState::Bounced);
}

#[tokio::test]
async fn whom_the_server_had_put_off_is_tried_again_when_the_rest_turned_out_to_have_left() {
    let refusal = json!({"kind": "temporary", "scope": "recipient", "stage": "rcptTo", "sentence": "Later."});
    let mailing = taken_up(Value::Null, doubted(&json!([["c@demo.test", refusal]])), Duration::ZERO).await;
    assert_eq!((mailing.state, mailing.retry_count), (State::Scheduled, 1));
    let accepted: Vec<bool> = mailing.recipients.iter().map(Recipient::is_accepted).collect();
    assert_eq!(accepted, [true, false]);
}

#[tokio::test]
async fn nothing_expires_by_a_clock_that_was_just_set() {
    let (store, clock) = store().await;
    let id = mailing(&store, json!({})).await;
    let outlook = Outlook::default();
    let take = async |outlook: Outlook| {
        let taken = store.write(move |work| {
            let next = take_next(work, 1, &outlook, WEEK, None)?;
            Ok::<_, crate::store::StoreError>((matches!(next, Next::Start(_)), work.mailing(id)?.unwrap().state))
        });
        taken.await.unwrap()
    };
    assert_eq!(outlook.clock_seen(&store.moment()), None);
    clock.set(store.moment().now.plus(WEEK * 60));
    // Neither failed nor sent: it waits, and others go.
    assert_eq!(take(outlook.clone()).await, (false, State::Scheduled));
    let other = mailing(&store, json!({"message_id": "2@demo.test"})).await;
    assert!(take(outlook.clone()).await.0);
    assert_eq!(crate::store::get::<Mailing>(&store.read().unwrap(), other).unwrap().unwrap().state, State::Delivering);
    // A clock that still stands there after an hour is right.
    clock.advance(Duration::from_mins(61));
    assert_eq!(take(outlook).await, (false, State::Failed));
}

#[tokio::test]
async fn a_mailing_leaves_from_the_address_that_the_mailbox_has_by_then() {
    let accepted = json!({"state": "accepted", "at": "2026-07-08", "answer": "250 ok"});
    for (outcome, sender) in [(Value::Null, "ann@demo.test"), (accepted, "ann@old.test")] {
        let (store, _) = store().await;
        let mut first = recipient("b@demo.test");
        first["outcome"] = outcome;
        let recipients = json!([first, recipient("c@demo.test")]);
        mailing(&store, json!({"mailbox_address": "ann@old.test", "recipients": recipients})).await;
        let taken = store.write(|work| take_next(work, 1, &Outlook::default(), WEEK, None));
        let Next::Start(started) = taken.await.unwrap() else { panic!("nothing may start") };
        assert_eq!(started.mailing.mailbox_address, sender);
    }
}
