use super::scene::{
    ANN, Comes, OPENING, at, at_each, ends_well, failed, mail, meets, nth, server, settings, settled, stored,
};
use crate::support::instance::Instance;
use postroom::mailserver::{Act, Count, Gate, Point, Rule};

/// Every command of a sync, and the stage that it belongs to.
const COMMANDS: [(&[&str], &str); 6] = [
    (&["CAPABILITY"], "capabilities"),
    (&["LOGIN"], "authentication"),
    (&["LIST"], "folderList"),
    (&OPENING, "select"),
    (&["SEARCH"], "fetch"),
    (&["FETCH"], "fetch"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_at_any_command_loses_and_doubles_nothing() {
    let postroom = Instance::start().await;
    let drop = Act::Drop;
    meets(&postroom, "drop at once", vec![Rule::new(Point::ImapConnect, drop.clone())], Comes::To("greeting")).await;
    for (verbs, stage) in COMMANDS {
        meets(&postroom, &format!("drop at {verbs:?}"), at_each(verbs, &drop), Comes::To(stage)).await;
        let name = format!("{verbs:?} done and then dropped");
        meets(&postroom, &name, at_each(verbs, &Act::AcceptThenDrop), Comes::To(stage)).await;
    }
    for n in [2, 3, 4] {
        // Of the second folder's commands some may belong to what is asked only sometimes.
        let rules = nth(at("FETCH", &drop.clone()), n);
        meets(&postroom, &format!("drop at FETCH {n}"), rules, Comes::ToNothingOr("fetch")).await;
        let rules = nth(at_each(&OPENING, &drop), n);
        meets(&postroom, &format!("drop at opening {n}"), rules, Comes::ToNothingOr("select")).await;
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_bye_at_any_command_is_heard_and_asked_again() {
    let postroom = Instance::start().await;
    let bye = Act::Reply("* BYE Server shutting down".into());
    meets(&postroom, "BYE at once", vec![Rule::new(Point::ImapConnect, bye.clone())], Comes::To("greeting")).await;
    for (verbs, stage) in COMMANDS {
        meets(&postroom, &format!("BYE at {verbs:?}"), at_each(verbs, &bye), Comes::To(stage)).await;
        // In front of an answer that comes all the same.
        let before = Act::Before(b"* BYE Soon\r\n".to_vec());
        meets(&postroom, &format!("BYE ahead of {verbs:?}"), at_each(verbs, &before), Comes::ToNothingOr(stage)).await;
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_in_the_middle_of_a_message_keeps_what_came_whole_before() {
    let postroom = Instance::start().await;
    for n in [1, 7, u64::from(super::scene::MESSAGES)] {
        let rule = Rule::new(Point::ImapFetchLiteral, Act::Drop).count(Count::Nth(n));
        meets(&postroom, &format!("drop in literal {n}"), vec![rule], Comes::To("fetch")).await;
    }
    // Announced longer than it is.
    let short = Act::Last(b"* 1 FETCH (UID 1 BODY[] {400}\r\nonly this much)\r\n".to_vec());
    meets(&postroom, "a literal that is cut off", at("FETCH", &short), Comes::To("fetch")).await;
    postroom.stop().await;
}

/// What was committed is not asked for again: a folder of several batches goes on where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_that_is_cut_off_goes_on_from_the_last_batch_that_was_committed() {
    const MANY: u32 = 450;
    const CUT: usize = 300;
    let (postroom, server) = (Instance::start().await, server(MANY).await);
    let literals = Gate::new();
    literals.open();
    server.script(Rule::new(Point::ImapFetchLiteral, Act::Hold(literals.clone())));
    let cut = Rule::new(Point::ImapFetchLiteral, Act::Drop).count(Count::Nth(CUT as u64));
    server.script(cut);
    let mailbox = postroom.mailbox(ANN, settings(&server)).await;
    failed(&settled(&postroom.client, mailbox, "cut off").await, "fetch", "cut off");
    let kept = stored(&postroom.client, mailbox).await;
    // The newest come first; the batch that was cut off is not there in part.
    let oldest = MANY - u32::try_from(kept.len()).expect("a few");
    assert!(!kept.is_empty() && kept.len() < CUT, "{}", kept.len());
    assert!((oldest + 1..=MANY).all(|number| kept.contains_key(&format!("<{number}@demo.test>"))), "{kept:?}");
    ends_well(&postroom, mailbox, MANY, "cut off").await;
    let fetched_twice = literals.arrivals() - MANY as usize;
    assert_eq!(fetched_twice, CUT - kept.len(), "only what was not committed is fetched again");
    postroom.stop().await;
}

/// Somebody else removes messages while they are being fetched.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_vanish_under_a_fetch_leave_no_trace_and_no_gap() {
    let (postroom, server) = (Instance::start().await, server(30).await);
    let gate = Gate::new();
    server.script(Rule::new(Point::ImapFetchLiteral, Act::Hold(gate.clone())).count(Count::Nth(5)));
    let mailbox = postroom.mailbox(ANN, settings(&server)).await;
    gate.arrived(1).await;
    server.remove(ANN, "INBOX", &(11..=30).collect::<Vec<_>>()).expect("Ann has an inbox");
    server.append(ANN, "INBOX", &mail(31)).expect("Ann has an inbox");
    gate.open();
    super::scene::until(&postroom.client, mailbox, "vanishing", |shown| shown["syncState"] == "ok").await;
    postroom.client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    let wanted = |number: &u32| *number <= 10 || *number == 31;
    for _ in 0..600 {
        let found = stored(&postroom.client, mailbox).await;
        assert!(found.values().all(|ids| ids.len() == 1), "{found:?}");
        if (1..=31).filter(wanted).all(|number| found.contains_key(&format!("<{number}@demo.test>"))) {
            postroom.stop().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not everything is stored: {:?}", stored(&postroom.client, mailbox).await);
}
