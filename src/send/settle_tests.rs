use super::*;
use crate::domain::mailing::State;
use crate::runtime::ManualClock;
use crate::send::outlook::Outlook;
use crate::send::start::{Next, take_next};
use crate::send::testing::{mailing, recipient, store};
use crate::store::{Store, status};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn failure(kind: FailureKind, scope: Scope, stage: Stage, code: u16, text: &str) -> Failure {
    Failure::new(kind, scope, stage, "The server refused.").code(code).server(text)
}

/// Starts the mailing that is next, and lets its attempt end so, a second later; its id.
async fn attempt(store: &Store, clock: &Arc<ManualClock>, end: End, refused: Vec<(String, Failure)>) -> u64 {
    attempt_while(store, clock, end, refused, async |_| ()).await
}

/// The same, with something that happens meanwhile.
async fn attempt_while(
    store: &Store,
    clock: &Arc<ManualClock>,
    end: End,
    refused: Vec<(String, Failure)>,
    meanwhile: impl AsyncFnOnce(&Store),
) -> u64 {
    let started = store.write(|work| {
        let next = take_next(work, 1, &Outlook::default(), Duration::from_hours(168), None)?;
        let Next::Start(started) = next else { panic!("nothing may start") };
        let attempt = started.mailing.attempt.map_or(0, |attempt| attempt.number);
        Ok::<_, StoreError>((started.mailing.id, attempt, started.mailbox.generation))
    });
    let (mailing, attempt, generation) = started.await.unwrap();
    clock.advance(Duration::from_secs(1));
    meanwhile(store).await;
    let report = Report { mailing, attempt, generation, refused, end, size: None, spared: false };
    store.write(move |work| settle(work, &report)).await.unwrap();
    mailing
}

fn look(store: &Store, id: u64) -> Mailing {
    get::<Mailing>(&store.read().unwrap(), id).unwrap().unwrap()
}

fn health(store: &Store) -> crate::domain::mailbox::SideStatus {
    status(&store.read().unwrap(), 1).unwrap().send
}

fn accepted() -> End {
    End::Accepted { line: "250 ok".into() }
}

#[tokio::test]
async fn one_mailing_that_a_server_does_not_like_holds_up_no_other() {
    for (kind, text) in [(FailureKind::Temporary, "4.3.1 No space"), (FailureKind::Permanent, "5.7.1 Refused")] {
        let (store, clock) = store().await;
        let odd = mailing(&store, json!({"message_id": "odd@demo.test"})).await;
        let other = mailing(&store, json!({"message_id": "other@demo.test"})).await;
        let code = if kind == FailureKind::Temporary { 452 } else { 550 };
        let refusal = || End::Failed(failure(kind, Scope::Mailbox, Stage::MailFrom, code, text));
        assert_eq!(attempt(&store, &clock, refusal(), Vec::new()).await, odd);
        assert!(health(&store).failure.is_some(), "nobody knows yet whose fault it is");
        assert_eq!((look(&store, odd).retry_count, look(&store, odd).state), (0, State::Scheduled));
        clock.advance(Duration::from_hours(1));
        // The probe is another one, and it is accepted.
        assert_eq!(attempt(&store, &clock, accepted(), Vec::new()).await, other);
        assert_eq!(health(&store).failure, None);
        clock.advance(Duration::from_mins(2));
        assert_eq!(attempt(&store, &clock, refusal(), Vec::new()).await, odd);
        assert_eq!(health(&store).failure, None, "the mailbox has been proved well");
        assert_eq!(look(&store, odd).retry_count, 1);
    }
}

#[tokio::test]
async fn another_refusal_than_before_is_not_held_against_the_mailing() {
    let (store, clock) = store().await;
    let (first, _) = (mailing(&store, json!({})).await, mailing(&store, json!({"message_id": "2@demo.test"})).await);
    let greylisted = failure(FailureKind::Temporary, Scope::Recipient, Stage::RcptTo, 450, "4.2.0 Greylisted");
    let refused = vec![("b@demo.test".to_owned(), greylisted)];
    assert_eq!(attempt(&store, &clock, End::NobodyLeft, refused).await, first);
    attempt(&store, &clock, accepted(), Vec::new()).await;
    clock.advance(Duration::from_mins(10));
    let sender = failure(FailureKind::Permanent, Scope::Mailbox, Stage::RcptTo, 553, "5.7.1 Sender address rejected");
    assert_eq!(attempt(&store, &clock, End::NobodyLeft, vec![("b@demo.test".to_owned(), sender)]).await, first);
    assert!(health(&store).failure.is_some());
    let waiting = look(&store, first);
    assert_eq!((waiting.retry_count, waiting.state, waiting.waiting().count()), (1, State::Scheduled, 1));
}

#[tokio::test]
async fn a_refused_recipient_is_no_success_of_the_mailbox_and_lifts_no_quota() {
    let unknown = || failure(FailureKind::Permanent, Scope::Recipient, Stage::RcptTo, 550, "5.7.1 No");
    let unsendable = || Failure::new(FailureKind::Permanent, Scope::Recipient, Stage::RcptTo, "Needs SMTPUTF8.");
    for (before, refusal, lifted) in [
        (failure(FailureKind::Quota, Scope::Mailbox, Stage::FinalDot, 550, "5.4.5 Limit"), unknown(), false),
        (failure(FailureKind::Auth, Scope::Mailbox, Stage::Authentication, 535, "5.7.8 No"), unknown(), true),
        (failure(FailureKind::Auth, Scope::Mailbox, Stage::Authentication, 535, "5.7.8 No"), unsendable(), false),
    ] {
        let (store, clock) = store().await;
        for number in 0..2 {
            mailing(&store, json!({"message_id": format!("{number}@demo.test")})).await;
        }
        attempt(&store, &clock, End::Failed(before.clone()), Vec::new()).await;
        clock.advance(Duration::from_hours(1));
        attempt(&store, &clock, End::NobodyLeft, vec![("b@demo.test".to_owned(), refusal)]).await;
        let health = health(&store);
        assert_eq!((health.failure.is_none(), health.success_at), (lifted, None), "{before:?}");
    }
}

#[tokio::test]
async fn whom_a_server_takes_no_more_of_at_a_time_goes_at_once_and_costs_no_retry() {
    let (store, clock) = store().await;
    let all = json!({"recipients": [recipient("b@demo.test"), recipient("c@demo.test")]});
    let id = mailing(&store, all).await;
    let full = || {
        let text = "4.5.3 Too many recipients";
        vec![("c@demo.test".to_owned(), failure(FailureKind::Temporary, Scope::Recipient, Stage::RcptTo, 452, text))]
    };
    attempt(&store, &clock, accepted(), full()).await;
    let rest = look(&store, id);
    assert_eq!((rest.retry_count, rest.state), (0, State::Scheduled));
    assert!(rest.due.unwrap() <= store.moment().now);
    // Without anybody accepted it is a refusal like others.
    attempt(&store, &clock, End::NobodyLeft, full()).await;
    assert_eq!(look(&store, id).retry_count, 1);
}

#[tokio::test]
async fn whom_a_provider_takes_with_the_next_message_only_waits_for_that() {
    let (store, clock) = store().await;
    let recipients: Vec<_> = (0..120).map(|number| recipient(&format!("r{number}@demo.test"))).collect();
    let id = mailing(&store, json!({"recipients": recipients})).await;
    let at_gmail = store.write(|work| {
        let before = get::<Mailbox>(work, 1)?.unwrap();
        let mut after = before.clone();
        (after.settings.email, after.settings.smtp_host) = ("ann@gmail.com".into(), None);
        work.update_mailbox(&before, after, &[]).map(drop)
    });
    at_gmail.await.unwrap();
    let next = store.write(|work| {
        let next = take_next(work, 1, &Outlook::default(), Duration::from_hours(168), None)?;
        let Next::Start(started) = next else { panic!("nothing may start") };
        let (named, left_over) = crate::send::message::envelope_recipients(&started);
        assert_eq!((named.len(), left_over.len()), (100, 20));
        let slots = crate::store::slots(work, 1)?;
        assert_eq!(slots.held_recipients(), 100);
        Ok::<_, StoreError>((started, left_over))
    });
    let (started, left_over) = next.await.unwrap();
    let report = Report {
        mailing: id,
        attempt: started.mailing.attempt.as_ref().unwrap().number,
        generation: started.mailbox.generation,
        refused: left_over.into_iter().map(|address| (address, super::super::blame::left_over())).collect(),
        end: accepted(),
        size: None,
        spared: false,
    };
    store.write(move |work| settle(work, &report)).await.unwrap();
    let rest = look(&store, id);
    assert_eq!(
        (rest.state, rest.retry_count, rest.waiting().count(), rest.attempts.len()),
        (State::Scheduled, 0, 20, 1)
    );
    attempt(&store, &clock, accepted(), Vec::new()).await;
    assert_eq!(look(&store, id).state, State::Delivered);
}

#[tokio::test]
async fn whom_a_provider_puts_off_keeps_nobody_from_being_named() {
    let (store, _clock) = store().await;
    let recipients: Vec<_> = (0..120).map(|number| recipient(&format!("r{number}@demo.test"))).collect();
    let id = mailing(&store, json!({"recipients": recipients, "retry_count": 1})).await;
    let named = store.write(move |work| {
        let next = take_next(work, 1, &Outlook::default(), Duration::from_hours(168), None)?;
        let Next::Start(mut started) = next else { panic!("nothing may start") };
        started.recipients = 100;
        Ok::<_, StoreError>(crate::send::message::envelope_recipients(&started))
    });
    let (named, left_over) = named.await.unwrap();
    assert_eq!((named[0].0.as_str(), named.len(), left_over.len()), ("r100@demo.test", 100, 20));
    assert!(left_over.iter().all(|address| *address != "r119@demo.test"), "{id}");
}

#[tokio::test]
async fn whom_the_server_refused_for_good_is_marked_so() {
    let (store, clock) = store().await;
    let id = mailing(&store, json!({})).await;
    let unknown = failure(FailureKind::Permanent, Scope::Recipient, Stage::RcptTo, 550, "5.7.1 No");
    attempt(&store, &clock, End::NobodyLeft, vec![("b@demo.test".to_owned(), unknown)]).await;
    let failed = look(&store, id);
    assert_eq!(failed.state, State::Failed);
    assert!(failed.recipients[0].outcome.as_ref().unwrap().for_good);
}

fn wrong_password() -> End {
    End::Failed(failure(FailureKind::Auth, Scope::Mailbox, Stage::Authentication, 535, "5.7.8 No"))
}

#[tokio::test]
async fn what_older_settings_met_says_nothing_about_those_that_are_there_now() {
    let edited = async |store: &Store| {
        let edit = store.write(|work| {
            let before = get::<Mailbox>(work, 1)?.unwrap();
            let mut after = before.clone();
            after.generation += 1;
            work.update_mailbox(&before, after, &[]).map(drop)
        });
        edit.await.unwrap();
    };
    let tested = async |store: &Store| {
        let pardon = store.write(|work| {
            let mut health = status(work, 1)?;
            health.send.pardoned(work.now());
            work.put_status(1, &health)
        });
        pardon.await.unwrap();
    };
    let (store_, clock) = store().await;
    let id = mailing(&store_, json!({})).await;
    attempt_while(&store_, &clock, wrong_password(), Vec::new(), edited).await;
    assert_eq!(health(&store_).failure, None);
    assert_eq!(look(&store_, id).state, State::Scheduled);
    attempt_while(&store_, &clock, wrong_password(), Vec::new(), tested).await;
    assert_eq!(health(&store_).failure, None);
    // Without either it counts, and a success of the old settings does not lift it.
    clock.advance(Duration::from_mins(2));
    attempt(&store_, &clock, wrong_password(), Vec::new()).await;
    assert!(health(&store_).failure.is_some());
    clock.advance(Duration::from_hours(1));
    attempt_while(&store_, &clock, accepted(), Vec::new(), edited).await;
    assert!(health(&store_).failure.is_some());
    assert_eq!(look(&store_, id).state, State::Delivered);
}

#[tokio::test]
async fn a_pardon_of_a_clock_that_was_ahead_covers_no_later_failure() {
    let (store, clock) = store().await;
    mailing(&store, json!({})).await;
    let now = store.moment().now;
    clock.set(now.plus(Duration::from_hours(5)));
    let pardon = store.write(|work| {
        let mut health = status(work, 1)?;
        health.send.pardoned(work.now());
        work.put_status(1, &health)
    });
    pardon.await.unwrap();
    clock.set(now);
    attempt(&store, &clock, wrong_password(), Vec::new()).await;
    assert!(health(&store).failure.is_some());
}

#[tokio::test]
async fn a_fault_of_our_own_costs_neither_a_retry_nor_the_mailbox() {
    let (store, clock) = store().await;
    let id = mailing(&store, json!({})).await;
    let full = Failure::temporary(Stage::Store, "The disk is busy.");
    attempt(&store, &clock, End::Failed(full), Vec::new()).await;
    let waiting = look(&store, id);
    assert_eq!((waiting.state, waiting.retry_count, health(&store).failure), (State::Scheduled, 0, None));
    assert!(waiting.due.unwrap() > store.moment().now);
}

#[tokio::test]
async fn an_alias_that_is_refused_at_any_stage_concerns_no_other_mailing() {
    let refused_at =
        |stage| failure(FailureKind::Permanent, Scope::Mailbox, stage, 553, "5.7.1 Sender address rejected");
    for stage in [Stage::MailFrom, Stage::RcptTo] {
        let (store, clock) = store().await;
        let id = mailing(&store, json!({})).await;
        let alias = store.write(move |work| {
            let content = crate::domain::mailing::Content { from_alias: Some("sales@demo.test".into()), ..Default::default() };
            work.put_content(id, &content)?;
            let alias = serde_json::from_value(json!({
                "id": 0, "mailbox_id": 1, "user_id": 1, "email": "sales@demo.test", "can_send": true, "created_at": work.now(),
                "updated_at": work.now(), "creator_id": 1, "updater_id": 1,
            }));
            work.create_alias(alias.unwrap()).map(drop)
        });
        alias.await.unwrap();
        let (end, refused) = match stage {
            Stage::MailFrom => (End::Failed(refused_at(stage)), Vec::new()),
            _ => (End::NobodyLeft, vec![("b@demo.test".to_owned(), refused_at(stage))]),
        };
        attempt(&store, &clock, end, refused).await;
        assert_eq!((look(&store, id).state, health(&store).failure), (State::Failed, None), "{stage:?}");
    }
}

#[tokio::test]
async fn what_postroom_stops_at_again_and_again_is_not_always_the_first() {
    let (store, _clock) = store().await;
    let id = mailing(&store, json!({})).await;
    let mut waits = Vec::new();
    for _ in 0..4 {
        let stopped = store.write(move |work| {
            let before = work.mailing(id)?.unwrap();
            let mut after = before.clone();
            if after.state == State::Scheduled {
                after.apply(Trigger::Queue, work.now());
            }
            after.apply(Trigger::Start, work.now());
            work.save_mailing(&before, &after)?;
            recover(work, id)?;
            Ok::<_, StoreError>(work.mailing(id)?.unwrap().due.unwrap().millis_since(work.now()))
        });
        waits.push(stopped.await.unwrap() > 0);
    }
    assert_eq!(waits, [false, false, true, true]);
}

#[tokio::test]
async fn what_was_under_way_when_its_mailbox_was_deleted_does_not_wait_for_ever() {
    let deleted = async |store: &Store| {
        let delete = store.write(|work| {
            let mailbox = get::<Mailbox>(work, 1)?.unwrap();
            work.delete_mailbox(&mailbox)
        });
        delete.await.unwrap();
    };
    let in_doubt = failure(FailureKind::Doubt, Scope::Message, Stage::FinalDot, 0, "");
    for (end, state) in [
        (wrong_password(), State::Drafted),
        (End::Failed(Failure::temporary(Stage::Tcp, "Nobody answered.")), State::Failed),
        (End::Failed(in_doubt), State::Failed),
        (accepted(), State::Delivered),
    ] {
        let (store, clock) = store().await;
        let id = mailing(&store, json!({})).await;
        attempt_while(&store, &clock, end.clone(), Vec::new(), deleted).await;
        let after = look(&store, id);
        assert_eq!((after.state, after.due, after.doubt), (state, None, None), "{end:?}");
    }
}
