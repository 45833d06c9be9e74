//! Many mailboxes: each in its turn, none held up by a dead server, no server asked for too much.

use super::rig::{Fleet, clock, mail_server, until};
use postroom::config::SyncConfig;
use postroom::domain::mailbox::SideState;
use postroom::mailserver::{Act, Gate, Options, Point, Rule};
use postroom::sync::slot_after;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const PERIOD: Duration = Duration::from_mins(10);
const STEP: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn each_mailbox_is_polled_once_a_period_whatever_a_dead_server_does() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    let config = SyncConfig { workers: 8, idle: 0, ..SyncConfig::default() };
    let servers = [("well.test", Some(server.imap())), ("dead.test", None)];
    let fleet = Fleet::start(clock, config, &servers).await;
    let (mut all, mut well) = (Vec::new(), BTreeMap::new());
    for number in 0..300 {
        let name = format!("box{number}");
        let host = if number % 6 == 0 { "dead.test" } else { "well.test" };
        server.add_account(&format!("{name}@{host}"), super::rig::PASSWORD);
        let id = fleet.mailbox(&name, host, json!({})).await;
        all.push(id);
        if host == "well.test" {
            well.insert(format!("{name}@{host}"), id);
        }
    }
    fleet.settled(&all).await;
    let logins = server.take_logins();
    assert_eq!(logins.len(), well.len(), "a first sync for each");
    // A poll that would follow the first sync within a minute is left out.
    fleet.pass(Duration::from_mins(1), STEP, &all).await;
    server.take_logins();
    for _ in 0..3 {
        let begin = fleet.now();
        fleet.pass(PERIOD, STEP, &all).await;
        let mut polled = BTreeMap::new();
        for (at, user) in server.take_logins() {
            let late = at.millis_since(slot_after(well[&*user], begin, PERIOD));
            assert!((0..=30_000).contains(&late), "{user} was polled {late} ms after its time");
            *polled.entry(user).or_insert(0) += 1;
        }
        assert_eq!(polled.len(), well.len());
        assert!(polled.values().all(|count| *count == 1), "{polled:?}");
    }
    // Three quarters of the workers may be at one server; one or two it may not have seen the end of.
    assert!(server.connections().imap_most <= 8, "three quarters of the workers: {:?}", server.connections());
    // Two began before anybody knew; then one at a time asks, after 30 s, a minute, and so on.
    let asked = fleet.dials.of("dead.test");
    assert!((4..=12).contains(&asked), "the dead server was asked {asked} times");
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_takes_few_of_the_workers() {
    let clock = clock();
    let (well, silent) = (mail_server(&clock, Options::default()).await, mail_server(&clock, Options::default()).await);
    let never = Gate::new();
    silent.script(Rule::new(Point::ImapConnect, Act::Hold(never.clone())));
    let config = SyncConfig { workers: 4, idle: 0, ..SyncConfig::default() };
    let servers = [("silent.test", Some(silent.imap())), ("well.test", Some(well.imap()))];
    let fleet = Fleet::start(clock, config, &servers).await;
    let mut healthy = Vec::new();
    for number in 0..20 {
        fleet.mailbox(&format!("box{number}"), "silent.test", json!({})).await;
    }
    // First syncs get half of the workers, and all of those hang at the silent server. The others are not first syncs.
    never.arrived(2).await;
    for number in 0..20 {
        well.add_account(&format!("box{number}@well.test"), super::rig::PASSWORD);
        healthy.push(fleet.mailbox(&format!("box{number}"), "well.test", json!({})).await);
    }
    for id in &healthy {
        let id = *id;
        fleet
            .store
            .write(move |work| {
                let mut health = postroom::store::status(work, id)?;
                health.sync.succeeded(work.now());
                work.put_status(id, &health)?;
                let mailbox = postroom::store::get(work, id)?.expect("the mailbox");
                let after = postroom::domain::mailbox::Mailbox { generation: 2, ..mailbox };
                let before = postroom::store::get(work, id)?.expect("the mailbox");
                work.update_mailbox(&before, after, &[]).map(|_| ())
            })
            .await
            .expect("the store writes");
    }
    fleet.settled(&healthy).await;
    assert_eq!(never.arrivals(), 2, "no more than two wait for a server that never answered");
    assert!(well.connections().logins >= 20);
    never.open();
    silent.stop().await;
    fleet.stop().await;
    well.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_never_sees_more_connections_than_it_may() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    let config = SyncConfig { workers: 16, connections_per_host: 3, idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let mut all = Vec::new();
    for number in 0..40 {
        server.add_account(&format!("box{number}@well.test"), super::rig::PASSWORD);
        all.push(fleet.mailbox(&format!("box{number}"), "well.test", json!({})).await);
    }
    // Those that find no place ask again after a few seconds.
    let polled = || all.iter().all(|id| fleet.status(*id).sync.success_at.is_some());
    for _ in 0..200 {
        if polled() {
            break;
        }
        fleet.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(polled());
    assert!(server.connections().imap_most <= 3, "{:?}", server.connections());
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_mailboxes_with_one_log_in_take_turns() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    server.add_account("shared@well.test", super::rig::PASSWORD);
    let gate = Gate::new();
    server.script(Rule::new(Point::ImapLogin, Act::Hold(gate.clone())));
    let config = SyncConfig { connections_per_login: 1, idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let one = fleet.mailbox("one", "well.test", json!({"username": "shared@well.test"})).await;
    let two = fleet.mailbox("two", "well.test", json!({"username": "shared@well.test"})).await;
    gate.arrived(1).await;
    until("the other one waits for its place", || fleet.handle().next(two).is_some_and(|at| at > fleet.now())).await;
    gate.open();
    fleet.settled(&[one]).await;
    fleet.pass(Duration::from_secs(5), Duration::from_secs(1), &[one, two]).await;
    assert!([one, two].iter().all(|id| fleet.status(*id).sync.state() == SideState::Ok));
    assert!([one, two].iter().all(|id| fleet.status(*id).sync.success_at.is_some()));
    assert_eq!(server.connections().imap_most, 1);
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_waits_for_goes_before_all_that_is_overdue() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    let config = SyncConfig { workers: 1, idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let mut all = Vec::new();
    for number in 0..12 {
        server.add_account(&format!("box{number}@well.test"), super::rig::PASSWORD);
        all.push(fleet.mailbox(&format!("box{number}"), "well.test", json!({})).await);
    }
    fleet.settled(&all).await;
    server.take_logins();
    let gate = Gate::new();
    server.script(Rule::new(Point::ImapLogin, Act::Hold(gate.clone())));
    fleet.clock.advance(PERIOD * 3);
    gate.arrived(1).await;
    // The one whose turn would come last.
    let begin = fleet.now();
    let last = (0..12).max_by_key(|number| (fleet.handle().next(all[*number]), *number)).expect("one of twelve");
    assert!(fleet.handle().next(all[last]).is_some_and(|due| due <= begin), "all are overdue");
    assert!(fleet.handle().sync_now(all[last]));
    gate.open();
    until("all are polled", || all.iter().all(|id| fleet.handle().next(*id).is_some_and(|at| at > begin))).await;
    let logins: Vec<String> = server.take_logins().into_iter().map(|(_, user)| user.to_string()).collect();
    assert_eq!(logins.len(), 12);
    assert_eq!(logins[1], format!("box{last}@well.test"), "right after the one that was under way: {logins:?}");
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_that_find_nothing_are_written_together() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    let config = SyncConfig { idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let mut all = Vec::new();
    for number in 0..20 {
        server.add_account(&format!("box{number}@well.test"), super::rig::PASSWORD);
        let settings = json!({"syncPassiveFrequency": 60});
        all.push(fleet.mailbox(&format!("box{number}"), "well.test", settings).await);
    }
    fleet.settled(&all).await;
    // Let what the first syncs left behind be written.
    fleet.pass(Duration::from_mins(4), Duration::from_secs(20), &all).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.take_logins();
    let (commits, events) = (fleet.commits(), *fleet.store.events().borrow());
    let begin = fleet.now();
    fleet.pass(Duration::from_mins(10), Duration::from_secs(20), &all).await;
    assert_eq!(server.take_logins().len(), 200, "twenty mailboxes, every minute");
    // The last are written with the next batch, which waits for its tick.
    until("the polls are on disk", || all.iter().all(|id| fleet.status(*id).sync.success_at > Some(begin))).await;
    // A commit takes a sync or two of the disk; every three minutes there may be one.
    let commits = fleet.commits() - commits;
    assert!(commits <= 10, "{commits} syncs of the disk for 200 polls that found nothing");
    assert_eq!(*fleet.store.events().borrow(), events, "nothing happened");
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_wakes_up_pulls_the_next_sync_forward_and_dozes_off_again() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    server.add_account("ann@well.test", super::rig::PASSWORD);
    let config = SyncConfig { idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let id = fleet.mailbox("ann", "well.test", json!({})).await;
    fleet.settled(&[id]).await;
    // To the beginning of a period: the next poll is minutes away.
    let slot = slot_after(id, fleet.now(), PERIOD);
    fleet.pass(Duration::from_millis(slot.millis_since(fleet.now()).unsigned_abs()), PERIOD, &[id]).await;
    fleet.pass(Duration::from_mins(3), PERIOD, &[id]).await;
    let wait = |now| fleet.handle().next(id).expect("a time").millis_since(now);
    assert!(wait(fleet.now()) > 300_000);
    server.take_logins();
    fleet.handle().owner_active(1);
    // Three minutes since the last sync are more than an active owner waits for: it runs at once.
    until("the mailbox is synced", || server.connections().logins >= 3).await;
    fleet.settled(&[id]).await;
    assert!(wait(fleet.now()) <= 66_000, "{} ms", wait(fleet.now()));
    assert_eq!(fleet.user(1).last_active_at, Some(fleet.now()));
    fleet.pass(Duration::from_mins(5), Duration::from_secs(10), &[id]).await;
    assert!((5..=7).contains(&server.take_logins().len()));
    // Ten minutes after the last sign of activity the mailbox is polled as seldom as before.
    fleet.pass(Duration::from_mins(7), Duration::from_secs(10), &[id]).await;
    server.take_logins();
    fleet.pass(Duration::from_mins(20), Duration::from_secs(30), &[id]).await;
    assert_eq!(server.take_logins().len(), 2);
    fleet.stop().await;
    server.stop().await;
}
