use super::*;
use crate::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
use crate::store::Store;
use crate::store::powercut::Disk;
use crate::vault::MasterKey;
use serde_json::{Value, json};
use std::sync::Arc;

const WEEK: Duration = Duration::from_hours(7 * 24);

/// A mailing to two, of whom the first has what `outcome` says; a week and a day later it is taken up.
async fn expired(outcome: Value) -> Mailing {
    taken_up(outcome, Value::Null, WEEK + Duration::from_hours(24)).await
}

/// The same, with a doubt that ended without an answer, taken up after `age`.
async fn taken_up(outcome: Value, doubted: Value, age: Duration) -> Mailing {
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
    let runtime =
        Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), failpoints: Arc::new(NoFailpoints) };
    let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(7)));
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault, runtime).unwrap();
    let made = store.write(move |work| {
        let now = work.now();
        let mailbox: Mailbox = serde_json::from_value(json!({
            "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "created_at": now, "updated_at": now,
            "settings": {"email": "ann@demo.test", "smtpHost": "127.0.0.1"},
        }))
        .unwrap();
        work.create_mailbox(mailbox, &[])?;
        let recipient = |address: &str, outcome: &Value| {
            json!({"id": 0, "kind": "to", "name": null, "address": address, "outcome": outcome})
        };
        let mailing: Mailing = serde_json::from_value(json!({
            "id": 0, "mailbox_id": 1, "user_id": 1, "mailbox_address": "ann@demo.test", "created_at": now,
            "updated_at": now, "state": State::Scheduled, "state_changed_at": now, "due": now, "retry_at": now,
            "mailing_type": "single", "message_id": "1@demo.test",
            "recipients": [recipient("b@demo.test", &outcome), recipient("c@demo.test", &Value::Null)],
            "doubted": doubted,
        }))
        .unwrap();
        work.create_mailing(mailing, &Content::default())
    });
    made.await.unwrap();
    clock.advance(age);
    let taken = store.write(|work| {
        let next = take_next(work, 1, &Outlook::default(), WEEK, None)?;
        assert!(matches!(next, Next::Nothing | Next::NotBefore(_)));
        work.mailing(1)
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
