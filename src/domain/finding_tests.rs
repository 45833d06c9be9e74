use super::*;
use crate::domain::mailing::State;
use serde_json::json;

fn moment(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

const NOW: &str = "2026-01-05T12:00:00Z";

/// A mailing with recipients in these states (`-` for none yet).
fn mailing(state: &str, recipients: &[(&str, &str)]) -> Mailing {
    let recipients: Vec<_> = recipients
        .iter()
        .map(|(address, outcome)| {
            let outcome = match *outcome {
                "-" => json!(null),
                state => json!({"state": state, "at": "2026-01-01", "answer": "250 ok"}),
            };
            json!({"kind": "to", "name": null, "address": address, "outcome": outcome})
        })
        .collect();
    serde_json::from_value(json!({
        "id": 7, "mailbox_id": 1, "user_id": 1, "mailbox_address": "me@our.example", "created_at": "2026-01-01",
        "updated_at": "2026-01-01", "state": state, "state_changed_at": "2026-01-01", "scheduled_at": null,
        "due": null, "mailing_type": "single", "message_id": "x@our.example", "recipients": recipients,
    }))
    .unwrap()
}

fn bounce(address: &str, text: &str) -> Bounce {
    Bounce::new((!address.is_empty()).then(|| address.to_owned()), None, text)
}

fn of(mailing: &Mailing, finding: &Finding<'_>) -> Option<Consequences> {
    Consequences::of(mailing, finding, moment("2026-01-05"), moment(NOW))
}

fn after(found: &Consequences) -> &Mailing {
    &found.mailing.as_ref().unwrap().1
}

fn suppressed(found: &Consequences) -> Vec<&str> {
    found.suppressions.iter().map(|suppression| suppression.email.as_str()).collect()
}

const UNKNOWN: &str = "550 5.1.1 User unknown";

#[test]
fn a_bounce_of_the_only_recipient_is_one_of_the_mailing() {
    let sent = mailing("delivered", &[("Ann@x.example", "accepted")]);
    let found = of(&sent, &Finding::Bounce(&[bounce("ann@X.example", UNKNOWN)])).unwrap();
    let changed = after(&found);
    assert_eq!((changed.state, changed.bounced_at), (State::Bounced, Some(moment("2026-01-05"))));
    assert_eq!(changed.recipients[0].outcome.as_ref().unwrap().state, RecipientState::Bounced);
    assert!(changed.recipients[0].is_accepted(), "it would be mailed again");
    assert_eq!(suppressed(&found), ["Ann@x.example"]);
    assert_eq!(found.events, [], "the change of state is the event");
    // The same once more: nothing new.
    let again = of(changed, &Finding::Bounce(&[bounce("ann@x.example", UNKNOWN)])).unwrap();
    assert_eq!(again.mailing, None);
}

#[test]
fn a_bounce_of_one_of_several_marks_that_one() {
    let sent =
        mailing("opened", &[("a@x.example", "accepted"), ("b@x.example", "accepted"), ("c@x.example", "failed")]);
    let found = of(&sent, &Finding::Bounce(&[bounce("b@x.example", UNKNOWN)])).unwrap();
    assert_eq!((after(&found).state, after(&found).bounced_at.is_some()), (State::Opened, true));
    assert_eq!((suppressed(&found), found.events.as_slice()), (vec!["b@x.example"], &[EventKind::MailingUpdated][..]));
    let found = of(after(&found), &Finding::Bounce(&[bounce("a@x.example", "552 5.2.2 full")])).unwrap();
    assert_eq!(after(&found).state, State::Bounced, "nobody has it now");
    assert_eq!(suppressed(&found), [""; 0], "a full mailbox is no bad address");
    // Several in one report.
    let both = [bounce("a@x.example", UNKNOWN), bounce("b@x.example", UNKNOWN)];
    assert_eq!(after(&of(&sent, &Finding::Bounce(&both)).unwrap()).state, State::Bounced);
}

#[test]
fn a_report_about_strangers_or_before_anything_left_changes_nothing() {
    let sent = mailing("delivered", &[("a@x.example", "accepted")]);
    for bounces in [vec![bounce("b@x.example", UNKNOWN)], vec![]] {
        assert_eq!(of(&sent, &Finding::Bounce(&bounces)), None);
    }
    assert_eq!(of(&sent, &Finding::Complaint(&["b@x.example".into()])), None);
    for (state, outcome) in [("drafted", "-"), ("scheduled", "-"), ("failed", "failed")] {
        let unsent = mailing(state, &[("a@x.example", outcome)]);
        assert_eq!(of(&unsent, &Finding::Bounce(&[bounce("a@x.example", UNKNOWN)])), None, "{state}");
        assert_eq!(of(&unsent, &Finding::Complaint(&[])), None, "{state}");
    }
}

#[test]
fn a_report_that_names_nobody_counts_where_there_is_one_recipient_and_suppresses_nobody() {
    let alone = mailing("delivered", &[("a@x.example", "accepted")]);
    let found = of(&alone, &Finding::Bounce(&[bounce("", UNKNOWN)])).unwrap();
    assert_eq!((after(&found).state, suppressed(&found)), (State::Bounced, vec![]));
    let two = mailing("delivered", &[("a@x.example", "accepted"), ("b@x.example", "accepted")]);
    assert_eq!(of(&two, &Finding::Bounce(&[bounce("", UNKNOWN)])), None);
}

#[test]
fn whom_it_was_sent_to_counts_where_it_was_forwarded() {
    let sent = mailing("delivered", &[("a@x.example", "accepted")]);
    let mut forwarded = bounce("elsewhere@y.example", UNKNOWN);
    assert_eq!(of(&sent, &Finding::Bounce(&[forwarded.clone()])), None);
    forwarded.original_recipient = Some("a@x.example".into());
    assert!(of(&sent, &Finding::Bounce(&[forwarded])).is_some());
}

#[test]
fn a_complaint_suppresses_whoever_complained_and_nobody_else() {
    let alone = mailing("replied", &[("a@x.example", "accepted")]);
    for named in [vec![], vec!["A@x.example".to_owned()]] {
        let found = of(&alone, &Finding::Complaint(&named)).unwrap();
        assert_eq!(
            (suppressed(&found), found.events.as_slice()),
            (vec!["a@x.example"], &[EventKind::MailingMarkedAsSpam][..])
        );
        assert!(after(&found).marked_as_spam_at.is_some() && after(&found).state == State::Replied);
        assert_eq!(found.suppressions[0].reason, Reason::Complaint);
    }
    let two = mailing("delivered", &[("a@x.example", "accepted"), ("b@x.example", "accepted")]);
    let hidden = of(&two, &Finding::Complaint(&[])).unwrap();
    assert!(suppressed(&hidden).is_empty() && after(&hidden).marked_as_spam_at.is_some());
}

#[test]
fn a_reply_is_never_undone_by_a_bounce_and_counts_once() {
    let sent = mailing("delivered", &[("a@x.example", "accepted")]);
    let found = of(&sent, &Finding::Reply).unwrap();
    let replied = after(&found);
    assert_eq!((replied.state, replied.replied_at), (State::Replied, Some(moment("2026-01-05"))));
    assert_eq!(of(replied, &Finding::Reply).unwrap(), Consequences::default());
    let found = of(replied, &Finding::Bounce(&[bounce("a@x.example", UNKNOWN)])).unwrap();
    assert!(after(&found).state == State::Replied && after(&found).bounced_at.is_some());
}

#[test]
fn what_comes_back_before_the_delivery_is_recorded_counts_with_it() {
    let now = moment(NOW);
    let mut under_way = mailing("delivering", &[("a@x.example", "-")]);
    under_way.attempt =
        serde_json::from_value(json!({"number": 1, "started_at": "2026-01-05", "phase": "data"})).unwrap();
    let found = of(&under_way, &Finding::Reply).unwrap();
    assert_eq!((after(&found).state, found.events.as_slice()), (State::Delivering, &[EventKind::MailingReplied][..]));
    let mut delivered = after(&found).clone();
    delivered.apply(Trigger::Deliver, now);
    assert_eq!(delivered.state, State::Replied);
    let found = of(&under_way, &Finding::Bounce(&[bounce("a@x.example", UNKNOWN)])).unwrap();
    assert_eq!((after(&found).state, suppressed(&found)), (State::Delivering, vec!["a@x.example"]));
    let mut delivered = after(&found).clone();
    delivered.apply(Trigger::Deliver, now);
    assert_eq!(delivered.state, State::Bounced);
    // Nothing had been handed over yet.
    under_way.attempt.as_mut().unwrap().phase = crate::domain::mailing::Phase::Connecting;
    assert_eq!(of(&under_way, &Finding::Bounce(&[bounce("a@x.example", UNKNOWN)])), None);
}

/// One that is in doubt, refused for `c`, or waits to be sent again after a doubt.
fn doubtful(asked: bool, recipients: &[(&str, &str)]) -> Mailing {
    let mut mailing = mailing(if asked { "delivering" } else { "scheduled" }, recipients);
    let refusal = json!({"kind": "temporary", "scope": "recipient", "stage": "rcptTo", "sentence": "Later."});
    let doubt = serde_json::from_value(json!({
        "since": NOW, "cause": "silence", "next": "2026-01-05T12:05:00Z", "refused": [["c@x.example", refusal]],
    }));
    if asked {
        mailing.doubt = Some(doubt.unwrap());
    } else {
        mailing.due = Some(moment("2026-01-05T12:05:00Z"));
        mailing.doubted = Some(doubt.unwrap());
    }
    mailing
}

#[test]
fn what_comes_back_ends_a_doubt_and_whoever_it_names_has_it() {
    let names_b = [bounce("b@x.example", UNKNOWN)];
    let everybody = [("a@x.example", "-"), ("b@x.example", "-"), ("c@x.example", "-")];
    let opt_out = Finding::OptOut { address: "a@x.example", source: "mail" };
    for finding in [Finding::Reply, Finding::Bounce(&names_b), Finding::Complaint(&[]), opt_out] {
        let found = of(&doubtful(true, &everybody), &finding).unwrap();
        let doubt = after(&found).doubt.as_ref().unwrap();
        assert!(doubt.proved && doubt.next == moment(NOW), "{finding:?}");
        // One that is to be sent again need not wait for that.
        let found = of(&doubtful(false, &everybody), &finding).unwrap();
        assert!(
            after(&found).doubted.as_ref().unwrap().proved && after(&found).due == Some(moment(NOW)),
            "{finding:?}"
        );
    }
    let found = of(&doubtful(true, &everybody), &Finding::Bounce(&names_b)).unwrap();
    let states: Vec<_> = after(&found).recipients.iter().map(|one| one.outcome.as_ref().map(|one| one.state)).collect();
    assert_eq!(states, [None, Some(RecipientState::Bounced), None]);
    assert_eq!(suppressed(&found), ["b@x.example"]);
}

#[test]
fn a_mailing_that_was_given_up_and_turns_out_to_have_left_has_not_failed() {
    let mut held = doubtful(false, &[("a@x.example", "-")]);
    (held.state, held.due, held.error_reason) = (State::Failed, None, Some("Nobody can tell.".into()));
    let found = of(&held, &Finding::Reply).unwrap();
    let changed = after(&found);
    assert_eq!((changed.state, changed.due, &changed.error_reason), (State::Queued, Some(moment(NOW)), &None));
    // One that a server refused since has.
    held.recipients[0].outcome = Some(Outcome::new(RecipientState::Failed, moment(NOW), None));
    assert_eq!(after(&of(&held, &Finding::Reply).unwrap()).state, State::Failed);
}

#[test]
fn what_a_doubt_is_not_about_does_not_end_it() {
    // It names one whom the server had refused.
    let one = doubtful(true, &[("c@x.example", "-")]);
    assert_eq!(of(&one, &Finding::Bounce(&[bounce("c@x.example", UNKNOWN)])), None);
    // An earlier attempt was accepted for one: the reply may be to that.
    let two = doubtful(true, &[("a@x.example", "accepted"), ("b@x.example", "-")]);
    let found = of(&two, &Finding::Reply).unwrap();
    assert!(!after(&found).doubt.as_ref().unwrap().proved);
    let found = of(&two, &Finding::Bounce(&[bounce("a@x.example", UNKNOWN)])).unwrap();
    assert!(!after(&found).doubt.as_ref().unwrap().proved);
    // It does where it names everybody who is left.
    let found = of(&two, &Finding::Bounce(&[bounce("b@x.example", UNKNOWN)])).unwrap();
    assert!(after(&found).doubt.as_ref().unwrap().proved && after(&found).waiting().next().is_none());
}

#[test]
fn an_opt_out_holds_with_and_without_its_mailing() {
    let finding = Finding::OptOut { address: "a@x.example", source: "mail" };
    let found = of(&mailing("delivered", &[("a@x.example", "accepted")]), &finding).unwrap();
    assert!(after(&found).unsubscribed_at.is_some());
    assert_eq!(
        (found.suppressions[0].mailing_id, found.events.as_slice()),
        (Some(7), &[EventKind::MailingUnsubscribed][..])
    );
    let found = Consequences::of_opt_out("a@x.example", "mail", moment(NOW));
    assert_eq!((found.suppressions[0].mailing_id, found.suppressions[0].reason), (None, Reason::Unsubscribe));
}

#[test]
fn times_that_cannot_be_are_put_right() {
    let sent = mailing("delivered", &[("a@x.example", "accepted")]);
    for (claimed, kept) in [("2030-01-01", NOW), ("1999-01-01", "2026-01-01")] {
        let found = Consequences::of(&sent, &Finding::Reply, moment(claimed), moment(NOW)).unwrap();
        assert_eq!(after(&found).replied_at, Some(moment(kept)));
    }
}
