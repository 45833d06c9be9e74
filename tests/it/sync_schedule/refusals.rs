//! Servers that refuse: how soon they are asked again.

use super::rig::{Fleet, PASSWORD, clock, mail_server, until};
use postroom::config::SyncConfig;
use postroom::domain::mailbox::SideState;
use postroom::mailserver::{Act, Count, Options, Point, Rule};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_pauses_the_mailbox_until_somebody_does_something() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    server.add_account("ann@well.test", "another");
    let config = SyncConfig { idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let id = fleet.mailbox("ann", "well.test", json!({})).await;
    let tries = || server.connections().auth_attempts;
    fleet.settled(&[id]).await;
    assert_eq!((tries(), fleet.status(id).sync.state()), (1, SideState::AuthFailed));
    let reason = fleet.status(id).sync.failure.expect("a failure").explain();
    assert!(reason.contains("password"), "{reason}");
    // Slowly: 30 minutes, an hour, two hours, give or take a fifth.
    fleet.pass(Duration::from_mins(23), Duration::from_mins(1), &[id]).await;
    assert_eq!(tries(), 1);
    fleet.pass(Duration::from_mins(14), Duration::from_mins(1), &[id]).await;
    assert_eq!(tries(), 2);
    fleet.pass(Duration::from_mins(47), Duration::from_mins(1), &[id]).await;
    assert_eq!(tries(), 2);
    fleet.pass(Duration::from_mins(26), Duration::from_mins(1), &[id]).await;
    assert_eq!(tries(), 3);
    // Sending that needs a recent sync does not hammer on the log-in; a person may.
    assert!(fleet.handle().sync_soon(id));
    fleet.handle().owner_active(1);
    assert!(fleet.handle().sync_now(id));
    until("it was tried at once", || tries() == 4).await;
    until("that was recorded", || fleet.status(id).sync.failures == 4).await;
    assert!(fleet.handle().sync_soon(id));
    // An edit of the settings is followed at once.
    server.add_account("ann@well.test", PASSWORD);
    fleet.edit(id, |_| {}).await;
    until("it works again", || fleet.status(id).sync.success_at.is_some()).await;
    assert_eq!((tries(), fleet.status(id).sync.state()), (5, SideState::Ok));
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_no_wrong_password() {
    let clock = clock();
    let server = mail_server(&clock, Options::default()).await;
    server.add_account("ann@well.test", PASSWORD);
    let refusals = [
        "{tag} NO [LIMIT] Rate limit hit",
        "{tag} NO [UNAVAILABLE] Try later",
        "{tag} NO [INUSE] Mailbox in use",
        "{tag} NO [ALERT] Too many simultaneous connections. (Failure)",
        "{tag} NO Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
    ];
    let config = SyncConfig { idle: 0, ..SyncConfig::default() };
    let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
    let rule = server.script(Rule::new(Point::ImapLogin, Act::Reply(refusals[0].into())));
    let id = fleet.mailbox("ann", "well.test", json!({})).await;
    fleet.settled(&[id]).await;
    server.clear(rule);
    for (number, refusal) in (1..).zip(refusals) {
        let status = fleet.status(id).sync;
        assert_eq!((status.state(), status.failures), (SideState::Erroring, number), "{refusal}");
        let next = refusals.get(usize::try_from(number).expect("few"));
        if let Some(next) = next {
            server.script(Rule::new(Point::ImapLogin, Act::Reply((*next).into())).count(Count::First(1)));
        }
        let probe = status.probe_at.expect("a probe");
        let wait = Duration::from_millis(probe.millis_since(fleet.now()).unsigned_abs());
        assert!(wait <= Duration::from_mins(12), "{refusal}: {wait:?}");
        fleet.pass(wait, wait, &[id]).await;
    }
    assert_eq!(fleet.status(id).sync.state(), SideState::Ok);
    fleet.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_drops_sees_no_storm() {
    for at in [Point::ImapConnect, Point::ImapLogin, Point::ImapCommand("EXAMINE")] {
        let clock = clock();
        let server = mail_server(&clock, Options::default()).await;
        let config = SyncConfig { idle: 0, ..SyncConfig::default() };
        let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
        let drops = server.script(Rule::new(at, Act::Drop));
        let mut all = Vec::new();
        for number in 0..10 {
            server.add_account(&format!("box{number}@well.test"), PASSWORD);
            all.push(fleet.mailbox(&format!("box{number}"), "well.test", json!({"syncPassiveFrequency": 60})).await);
        }
        fleet.settled(&all).await;
        fleet.pass(Duration::from_hours(1), Duration::from_secs(30), &all).await;
        let tries = fleet.dials.of("well.test");
        // Polled regularly it would be 610. Half a minute doubling to half an hour makes seven or eight: for the server
        // where it lets nobody in, for each mailbox where it does.
        let most = if at == Point::ImapConnect { 20 } else { 90 };
        assert!(tries >= 5 && tries <= most, "{at:?}: {tries}");
        assert!(fleet.status(all[0]).sync.success_at.is_none());
        server.clear(drops);
        fleet.pass(Duration::from_mins(37), Duration::from_secs(30), &all).await;
        for id in &all {
            let status = fleet.status(*id).sync;
            assert_eq!((status.state(), status.failures), (SideState::Ok, 0), "{at:?}");
        }
        fleet.stop().await;
        server.stop().await;
    }
}
