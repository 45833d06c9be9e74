mod recipients;
mod shown;

use super::*;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::limits::{DAY, WEEK};
use crate::domain::mailbox::{SecretField, Settings};
use crate::domain::message::Message;
use crate::domain::user::{Role, User};
use crate::runtime::{Clock, ManualClock, NoFailpoints, Runtime, SeededRandom};
use crate::send::outlook::InboxSync;
use crate::store::powercut::Disk;
use crate::store::{SecretChange, Store, get, status};
use crate::vault::{MasterKey, Vault};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;

const HOUR: Duration = Duration::from_hours(1);

/// A store with one mailbox, on a disk that outlives it and by a clock in the test's hand.
struct Bench {
    store: Store,
    disk: Disk,
    clock: Arc<ManualClock>,
    inboxes: Arc<Inboxes>,
    outlook: Outlook,
    next: u64,
}

#[derive(Default)]
struct Inboxes(Mutex<BTreeMap<u64, Timestamp>>);

impl InboxSync for Inboxes {
    fn synced_at(&self, mailbox: u64) -> Option<Timestamp> {
        self.0.lock().unwrap().get(&mailbox).copied()
    }

    fn ask(&self, _: u64) -> bool {
        true
    }

    fn news(&self) -> broadcast::Receiver<u64> {
        broadcast::channel(1).1
    }
}

fn open(disk: &Disk, clock: &Arc<ManualClock>) -> Store {
    let runtime =
        Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), failpoints: Arc::new(NoFailpoints) };
    let key = MasterKey::ephemeral(&SeededRandom::new(7));
    Store::open_with(disk.clone(), 1 << 20, Vault::new(&key), runtime).unwrap()
}

impl Bench {
    async fn new(settings: Value) -> Self {
        let disk = Disk::with_cut_at(u64::MAX);
        let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
        let store = open(&disk, &clock);
        let mut settings: Settings = serde_json::from_value(settings).unwrap();
        settings.email = "ann@corp.example".into();
        store
            .write(move |work| {
                let now = work.now();
                work.create_user(User::new("owner@corp.example", Role::Member, now))?;
                let mailbox = Mailbox {
                    id: 0,
                    user_id: 1,
                    creator_id: 1,
                    updater_id: 1,
                    created_at: now,
                    updated_at: now,
                    settings: settings.clone(),
                    secrets: BTreeMap::new(),
                    smtp_reach_private: false,
                    imap_reach_private: false,
                    generation: 1,
                };
                let password = SecretChange::Set("secret".into());
                work.create_mailbox(mailbox, &[(SecretField::Password, password)])
            })
            .await
            .unwrap();
        let inboxes = Arc::new(Inboxes::default());
        Self { store, disk, clock, outlook: Outlook::new(inboxes.clone()), inboxes, next: 1 }
    }

    fn ask_for(&self, recipients: u64) -> Gate {
        let snapshot = self.store.read().unwrap();
        let mailbox = get::<Mailbox>(&snapshot, 1).unwrap().unwrap();
        let status = status(&snapshot, 1).unwrap();
        let moment = self.store.moment();
        let question = Question { mailbox: &mailbox, status: &status, recipients, moment, outlook: &self.outlook };
        ask(&snapshot, &question).unwrap()
    }

    fn ask(&self) -> Gate {
        self.ask_for(1)
    }

    async fn hold(&mut self, recipients: u64) -> u64 {
        let mailing = self.next;
        self.next += 1;
        self.store.write(move |work| work.hold_slot(1, mailing, recipients)).await.unwrap();
        mailing
    }

    async fn end(&self, mailing: u64, left: bool) {
        let end = self
            .store
            .write(move |work| if left { work.spend_slot(1, mailing).map(drop) } else { work.free_slot(1, mailing) });
        end.await.unwrap();
    }

    /// Nobody knows whether it left; the number of its slot.
    async fn doubt(&self, mailing: u64) -> u64 {
        self.store.write(move |work| work.spend_slot(1, mailing)).await.unwrap()
    }

    /// It turns out that it did not.
    async fn give_back(&self, slot: u64) {
        self.store.write(move |work| work.return_slot(1, slot)).await.unwrap();
    }

    /// A mailing that leaves at once.
    async fn send(&mut self, recipients: u64) {
        let mailing = self.hold(recipients).await;
        self.end(mailing, true).await;
    }

    async fn receive(&mut self, date: Timestamp) {
        let number = self.next;
        self.next += 1;
        let message: Message = serde_json::from_value(json!({
            "id": 0, "mailbox_id": 1, "direction": "inbound", "message_id": format!("{number}@else.example"),
            "in_reply_to": [], "references": [], "from": [], "to": [], "cc": [], "bcc": [], "reply_to": [],
            "subject": null, "snippet": "", "sent_at": date, "received_at": null, "folder": "INBOX", "flags": [],
            "size": 1, "classification": "other", "attachments": [], "authentication_results": [],
            "parse_problems": [], "created_at": date, "mailing_id": null,
        }))
        .unwrap();
        let create = self.store.write(move |work| work.create_message(message.clone(), &format!("<{number}>"), b"x"));
        create.await.unwrap();
    }

    /// What the scheduler does when it sees that the clock was set.
    async fn set_clock(&self, to: Timestamp) {
        self.clock.set(to);
        self.store.keep_the_clock().await.unwrap();
    }

    async fn restart(self) -> Self {
        let Self { store, disk, clock, next, .. } = self;
        assert!(store.close().await);
        let disk = disk.restarted(u64::MAX);
        let inboxes = Arc::new(Inboxes::default());
        Self { store: open(&disk, &clock), disk, clock, outlook: Outlook::new(inboxes.clone()), inboxes, next }
    }
}

/// The answer's moment, as a wait from now, and its sentence.
fn waits(bench: &Bench, gate: &Gate) -> (i64, String) {
    match gate {
        Gate::NotBefore { at, why: Why::Limit, reason } => (at.millis_since(bench.clock.now()), reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_limit_says_its_name_and_opens_to_the_millisecond() {
    let cases = [
        (json!({"sendThreshold": 2, "sendPeriod": 60}), 60_000, "2 mailings per 60 seconds (sendThreshold)"),
        (json!({"maxMailingsPerDay": 2}), 86_400_000, "2 mailings in 24 hours (maxMailingsPerDay)"),
        (json!({"maxMailingsPerWeek": 2}), 604_800_000, "2 mailings in 7 days (maxMailingsPerWeek)"),
        (json!({"maxEmailsPerDay": 2}), 86_400_000, "2 emails in 24 hours, sent and received (maxEmailsPerDay)"),
    ];
    for (settings, period, sentence) in cases {
        let mut bench = Bench::new(settings).await;
        bench.send(1).await;
        bench.clock.advance(Duration::from_millis(7));
        assert_eq!(bench.ask(), Gate::Go);
        bench.send(1).await;
        let (wait, reason) = waits(&bench, &bench.ask());
        assert_eq!(wait, period - 7, "{reason}");
        assert!(reason.starts_with("You've reached") && reason.contains(sentence), "{reason}");
        bench.clock.advance(Duration::from_millis(u64::try_from(wait - 1).unwrap()));
        assert_eq!(waits(&bench, &bench.ask()).0, 1);
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(bench.ask(), Gate::Go, "{sentence}");
    }
}

#[tokio::test]
async fn nothing_leaves_whose_outcome_may_find_no_room() {
    let bench = Bench::new(json!({})).await;
    assert_eq!(bench.ask(), Gate::Go);
    bench.store.keep_free(100 << 20, || Ok(3 << 20));
    let gate = bench.ask();
    assert_eq!(gate.why(), Some(Why::Space));
    let reason = gate.reason().unwrap();
    assert!(reason.contains("3 MiB left") && reason.contains("store.free_space"), "{reason}");
}

#[tokio::test]
async fn after_a_failure_one_mailing_alone_is_the_probe() {
    let mut bench = Bench::new(json!({})).await;
    let failure = Failure::new(FailureKind::Auth, Scope::Mailbox, Stage::Authentication, "The password is refused.");
    let probe_at = bench.clock.now().plus(HOUR);
    bench
        .store
        .write(move |work| {
            let mut health = status(work, 1)?;
            health.send.failed(failure.clone(), work.now(), probe_at);
            work.put_status(1, &health)
        })
        .await
        .unwrap();
    assert_eq!(bench.ask().why(), Some(Why::Failure));
    bench.clock.advance(HOUR);
    assert_eq!(bench.ask(), Gate::Go);
    let probe = bench.hold(1).await;
    let gate = bench.ask();
    assert_eq!(gate.why(), Some(Why::Failure));
    assert!(gate.reason().unwrap().contains("with one mailing"), "{gate:?}");
    bench.end(probe, false).await;
    assert_eq!(bench.ask(), Gate::Go);
}

#[tokio::test]
async fn of_several_limits_the_one_that_opens_last_answers() {
    let mut bench = Bench::new(json!({"sendThreshold": 1, "sendPeriod": 60, "maxMailingsPerDay": 1})).await;
    bench.send(1).await;
    let (wait, reason) = waits(&bench, &bench.ask());
    assert_eq!(wait, 86_400_000);
    assert!(reason.contains("maxMailingsPerDay"), "{reason}");
}

#[tokio::test]
async fn a_limit_of_nothing_holds_and_no_limit_does_not() {
    for name in ["maxMailingsPerDay", "maxMailingsPerWeek", "maxEmailsPerDay"] {
        let bench = Bench::new(json!({name: 0})).await;
        let Gate::Hold { why: Why::Limit, reason } = bench.ask() else { panic!("{name} lets go") };
        assert_eq!(reason, format!("{name} is 0: this mailbox sends nothing."));
    }
    let mut bench = Bench::new(json!({})).await;
    for _ in 0..20 {
        bench.send(1).await;
    }
    assert_eq!(bench.ask(), Gate::Go);
}

#[tokio::test]
async fn what_is_under_way_counts_until_it_certainly_did_not_leave() {
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 2})).await;
    let (slow, refused) = (bench.hold(1).await, bench.hold(1).await);
    bench.clock.advance(HOUR);
    assert_eq!(waits(&bench, &bench.ask()).0, 86_400_000);
    bench.end(refused, false).await;
    assert_eq!(bench.ask(), Gate::Go);
    bench.send(1).await;
    // However long it was under way, it counts from the moment it ended.
    bench.clock.advance(48 * HOUR);
    bench.end(slow, true).await;
    assert_eq!(bench.ask(), Gate::Go);
    bench.send(1).await;
    assert_eq!(waits(&bench, &bench.ask()).0, 86_400_000);
}

#[tokio::test]
async fn mail_of_others_counts_by_its_date_and_only_stops_sending() {
    let mut bench = Bench::new(json!({"maxEmailsPerDay": 3})).await;
    let now = bench.clock.now();
    bench.receive(now.minus(25 * HOUR)).await;
    bench.receive(now.minus(90 * DAY)).await;
    bench.receive(now.minus(DAY).plus(Duration::from_secs(5))).await;
    bench.receive(now.minus(HOUR)).await;
    assert_eq!(bench.ask(), Gate::Go);
    bench.send(1).await;
    assert_eq!(waits(&bench, &bench.ask()).0, 5_000);
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.ask(), Gate::Go);
}

#[tokio::test]
async fn a_providers_limit_counts_recipients_and_a_mailing_goes_only_if_all_of_its_fit() {
    let mut bench = Bench::new(json!({"emailProvider": "office_365", "sendRequiresSync": false})).await;
    bench.send(9_990).await;
    bench.clock.advance(HOUR);
    bench.send(5).await;
    assert_eq!(bench.ask_for(5), Gate::Go);
    let (wait, reason) = waits(&bench, &bench.ask_for(6));
    let expected = format!(
        "You've reached Microsoft 365's limit of 10000 recipients a day. The next one can go out at {}.",
        bench.clock.now().plus(23 * HOUR)
    );
    assert_eq!((wait, reason), (23 * 3_600_000, expected));
    // More than a day allows goes out alone rather than never.
    bench.clock.advance(24 * HOUR);
    assert_eq!(bench.ask_for(20_000), Gate::Go);
}

#[tokio::test]
async fn a_provider_that_counts_calendar_days_opens_at_its_midnight() {
    let mut bench = Bench::new(json!({"emailProvider": "rackspace", "sendRequiresSync": false})).await;
    bench.send(10_000).await;
    let Gate::NotBefore { at, .. } = bench.ask() else { panic!("it lets go") };
    assert_eq!(at.to_string(), "2026-07-09T05:00:00.000Z");
    bench.clock.advance(Duration::from_millis(at.millis_since(bench.clock.now()).unsigned_abs() - 1));
    assert_eq!(waits(&bench, &bench.ask()).0, 1);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.ask(), Gate::Go);
}

#[tokio::test]
async fn mailings_are_spread_over_what_the_day_limit_leaves() {
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 24, "spreadEvenly": true})).await;
    for hour in 0..48 {
        assert_eq!(bench.ask(), Gate::Go, "hour {hour}");
        bench.send(1).await;
        let (wait, reason) = waits(&bench, &bench.ask());
        assert_eq!(wait, 3_600_000, "{reason}");
        bench.clock.advance(HOUR);
    }
    // Twelve went out at once before it was switched on: the other twelve fill the time until those count no more.
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 24, "spreadEvenly": true})).await;
    for _ in 0..12 {
        bench.send(1).await;
    }
    let (wait, reason) = waits(&bench, &bench.ask());
    assert_eq!(wait, 86_400_000 / 13);
    assert!(reason.contains("spreadEvenly") && reason.contains("12 of 24 left"), "{reason}");
}

#[tokio::test]
async fn a_mailbox_that_requires_a_sync_waits_for_one_of_this_run_that_is_recent() {
    let bench = Bench::new(json!({"sendRequiresSync": true})).await;
    let Gate::Hold { why: Why::Settings, reason } = bench.ask() else { panic!("it lets go") };
    assert!(reason.contains("(sendRequiresSync), but it cannot be synced"), "{reason}");
    let bench = Bench::new(json!({"sendRequiresSync": true, "syncDisabled": true})).await;
    assert!(bench.ask().reason().unwrap().ends_with("but syncing is disabled for it."));
    assert_eq!(Bench::new(json!({"imapHost": "m.example", "sendRequiresSync": false})).await.ask(), Gate::Go);
    assert_eq!(Bench::new(json!({"imapHost": "m.example", "syncDisabled": true})).await.ask(), Gate::Go);
    // Where syncing is set up and nothing else is said, it is required.
    let bench = Bench::new(json!({"imapHost": "m.example", "syncPassiveFrequency": 100})).await;
    let waiting = "Sending waits until the inbox has been synced (sendRequiresSync).";
    assert_eq!(bench.ask(), Gate::hold(Why::Sync, waiting));
    bench.inboxes.0.lock().unwrap().insert(1, bench.clock.now());
    bench.clock.advance(Duration::from_secs(200));
    assert_eq!(bench.ask(), Gate::Go);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.ask(), Gate::hold(Why::Sync, waiting));
    bench.inboxes.0.lock().unwrap().insert(1, bench.clock.now());
    assert_eq!(bench.ask(), Gate::Go);
    assert_eq!(bench.restart().await.ask(), Gate::hold(Why::Sync, waiting));
}

#[tokio::test]
async fn a_server_in_trouble_keeps_all_its_mailboxes_waiting_and_says_so() {
    let bench = Bench::new(json!({"smtpHost": "Mail.Corp.Example", "smtpPort": 25})).await;
    let failure = Failure::new(FailureKind::Temporary, Scope::Host, Stage::Tcp, "It refuses connections.");
    let now = bench.store.moment().steady;
    bench.outlook.hosts.failed(&("mail.corp.example".into(), 25), 9, &failure, (now, now), 200);
    let Gate::NotBefore { at, why: Why::Host, reason } = bench.ask() else { panic!("it lets go") };
    assert_eq!(at.millis_since(bench.clock.now()), 30_000);
    assert!(
        reason.starts_with("The server mail.corp.example is in trouble") && reason.ends_with("It refuses connections.")
    );
}

#[tokio::test]
async fn a_clock_that_is_set_moves_no_window_and_a_restart_keeps_it() {
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 1})).await;
    bench.send(1).await;
    for (jump, sign) in [(400 * DAY, 1), (401 * DAY, -1), (3 * HOUR, -1)] {
        let now = bench.clock.now();
        bench.set_clock(if sign > 0 { now.plus(jump) } else { now.minus(jump) }).await;
        assert_eq!(waits(&bench, &bench.ask()).0, 86_400_000);
    }
    bench.clock.advance(23 * HOUR);
    let bench = bench.restart().await;
    // A new run begins a few milliseconds earlier, to be on the safe side.
    assert_eq!(waits(&bench, &bench.ask()).0, 3_600_005);
    bench.clock.advance(HOUR + Duration::from_millis(5));
    assert_eq!(bench.ask(), Gate::Go);
}

#[tokio::test]
async fn a_clock_before_the_last_commit_holds_sending_until_it_is_right() {
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 1})).await;
    bench.send(1).await;
    let right = bench.clock.now();
    bench.clock.set(Timestamp::from_millis(0));
    let bench = bench.restart().await;
    let Gate::NotBefore { at, why: Why::Clock, reason } = bench.ask() else { panic!("it lets go") };
    assert_eq!(at, right);
    assert!(reason.contains("1970-01-01") && reason.contains("Sending waits until the clock is right"), "{reason}");
    // What is recorded meanwhile does not make the wrong clock right.
    bench.store.keep_the_clock().await.unwrap();
    let bench = bench.restart().await;
    assert_eq!(bench.ask().why(), Some(Why::Clock));
    bench.clock.set(right.plus(HOUR));
    assert_eq!(waits(&bench, &bench.ask()).0, 23 * 3_600_000 + 5);
}

/// The last run ended under a clock that was years ahead: the right one of today is before its last commit.
#[tokio::test]
async fn a_clock_that_is_accepted_lets_go_and_no_window_holds_more_for_it() {
    let mut bench = Bench::new(json!({"maxMailingsPerDay": 2})).await;
    let right = bench.clock.now();
    bench.set_clock(right.plus(3_000 * DAY)).await;
    bench.send(1).await;
    bench.clock.set(right);
    let mut bench = bench.restart().await;
    let Gate::NotBefore { why: Why::Clock, reason, .. } = bench.ask() else { panic!("it lets go") };
    assert!(reason.ends_with("postroom clock accept"), "{reason}");
    assert!(bench.store.accept_the_clock().await.unwrap());
    assert!(!bench.store.accept_the_clock().await.unwrap(), "once is enough");
    assert_eq!(bench.ask(), Gate::Go);
    bench.send(1).await;
    // What was sent before counts as if no time had passed since, and goes on counting over the next restart.
    assert_eq!(waits(&bench, &bench.ask()).0, 86_400_005);
    let bench = bench.restart().await;
    assert_eq!(waits(&bench, &bench.ask()).0, 86_400_010);
    bench.clock.advance(DAY + Duration::from_millis(10));
    assert_eq!(bench.ask(), Gate::Go);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Set(i64),
    Try(u64),
    End(prop::sample::Index, bool),
    Doubt(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Receive(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pass = prop_oneof![0_u64..20_000, 0_u64..10_000_000, 0_u64..90_000_000];
    let step = prop_oneof![
        4 => pass.prop_map(Step::Pass),
        1 => (-43_000_000_i64..43_000_000).prop_map(Step::Set),
        8 => (1_u64..4).prop_map(Step::Try),
        5 => (any::<prop::sample::Index>(), prop::bool::weighted(0.8)).prop_map(|(index, left)| Step::End(index, left)),
        2 => any::<prop::sample::Index>().prop_map(Step::Doubt),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => (0_u64..200_000_000).prop_map(Step::Receive),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

/// What a patient observer with a perfect watch writes down.
#[derive(Debug, Default)]
struct Observer {
    /// Milliseconds that really passed.
    watch: i64,
    under_way: Vec<u64>,
    left: Vec<i64>,
    /// What may have left, by the number of its slot.
    doubts: Vec<(u64, i64)>,
    dates: Vec<i64>,
    restarts: i64,
}

const THRESHOLD: usize = 3;
const PER_DAY: usize = 6;
const PER_WEEK: usize = 11;
const EMAILS: usize = 9;

impl Observer {
    fn within(&self, period: i64) -> usize {
        let after = self.watch - period;
        self.under_way.len()
            + self.left.iter().filter(|at| **at > after).count()
            + self.doubts.iter().filter(|(_, at)| *at > after).count()
    }

    /// Whether one more may leave when mail counts for `slack` longer than it does.
    fn allows(&self, wall: i64, slack: i64) -> bool {
        let day = i64::try_from(DAY.as_millis()).unwrap() + slack;
        let week = i64::try_from(WEEK.as_millis()).unwrap() + slack;
        let others = self.dates.iter().filter(|date| **date > wall - day).count();
        self.within(10_000 + slack) < THRESHOLD
            && self.within(day) < PER_DAY
            && self.within(week) < PER_WEEK
            && self.within(day) + others < EMAILS
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Whatever happens and however the clock is set, no window of any limit ever holds more than its number; and what
    /// all limits allow goes out.
    #[test]
    fn no_limit_is_ever_passed_and_nothing_allowed_waits(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = json!({
                "sendThreshold": THRESHOLD, "sendPeriod": 10, "maxMailingsPerDay": PER_DAY,
                "maxMailingsPerWeek": PER_WEEK, "maxEmailsPerDay": EMAILS,
            });
            let mut bench = Bench::new(settings).await;
            let start = bench.clock.now();
            let mut observer = Observer::default();
            for step in steps {
                match step {
                    Step::Pass(millis) => {
                        bench.clock.advance(Duration::from_millis(millis));
                        observer.watch += i64::try_from(millis).unwrap();
                    }
                    // The wall clock is wrong by so much from now on.
                    Step::Set(error) => bench.set_clock(Timestamp::from_millis(start.millis() + observer.watch + error)).await,
                    Step::Try(times) => for _ in 0..times {
                        let wall = bench.clock.now().millis();
                        match bench.ask() {
                            Gate::Go => {
                                assert!(observer.allows(wall, 0), "{observer:?}");
                                observer.under_way.push(bench.hold(1).await);
                            }
                            Gate::NotBefore { at, reason, .. } => {
                                assert!(at > bench.clock.now());
                                assert!(!observer.allows(wall, 5 * observer.restarts), "{reason} {observer:?}");
                            }
                            Gate::Hold { reason, .. } => panic!("{reason}"),
                        }
                    },
                    Step::End(index, left) => if !observer.under_way.is_empty() {
                        let mailing = observer.under_way.remove(index.index(observer.under_way.len()));
                        bench.end(mailing, left).await;
                        if left {
                            observer.left.push(observer.watch);
                        }
                    },
                    Step::Doubt(index) => if !observer.under_way.is_empty() {
                        let mailing = observer.under_way.remove(index.index(observer.under_way.len()));
                        observer.doubts.push((bench.doubt(mailing).await, observer.watch));
                    },
                    Step::GiveBack(index) => if !observer.doubts.is_empty() {
                        let (slot, _) = observer.doubts.remove(index.index(observer.doubts.len()));
                        bench.give_back(slot).await;
                    },
                    Step::Receive(age) => {
                        let date = bench.clock.now().minus(Duration::from_millis(age));
                        bench.receive(date).await;
                        observer.dates.push(date.millis());
                    }
                    Step::Restart => {
                        bench = bench.restart().await;
                        observer.restarts += 1;
                        // The engine takes up what was under way: it may have left.
                        for mailing in std::mem::take(&mut observer.under_way) {
                            bench.end(mailing, true).await;
                            observer.left.push(observer.watch);
                        }
                    }
                }
            }
        });
    }
}
