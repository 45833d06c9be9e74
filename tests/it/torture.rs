//! Crashes at named places: before and after each commit, around the final dot, while a doubt is resolved, while a copy
//! is filed. Nothing is ever lost; a second copy can only come of a crash between the final dot and the commit of the
//! outcome, and not even then where the server files its own copies or the policy is to hold.
//!
//! `POSTROOM_TORTURE=long` stops at every place twenty times as often as the quick form does.

mod rig;

use postroom::domain::mailbox::Settings;
use postroom::domain::mailing::{Mailing, State};
use postroom::mailserver::{Act, Count, MailServer, Options, Point, Recipients, Rule};
use postroom::runtime::FAILPOINTS;
use rig::{ANN, Ended, PASSWORD, Rig};
use std::collections::HashMap;

/// Mailings in one round: enough that a crash meets others under way.
const MAILINGS: u64 = 5;

/// Places between the final dot and the commit of the outcome: the server may have a message of which we do not know.
const IN_DOUBT: [&str; 3] = ["dot.sent", "reply.read", "settle.before_commit"];

/// Places that are reached only after a crash has left a mailing in doubt.
fn needs_doubt(place: &str) -> bool {
    place.starts_with("recover") || place.starts_with("doubt")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// Nobody can be asked, and the policy is to send again.
    Resend,
    /// Nobody can be asked, and the policy is to hold.
    Hold,
    /// The server files what it accepts.
    FilesCopies,
    /// The server files nothing and we do.
    OurCopies,
}

impl World {
    fn settings(self) -> Settings {
        let text = |text: &str| Some(text.to_owned());
        match self {
            Self::Resend => Settings { doubt_policy: text("resend"), ..Settings::default() },
            Self::Hold => Settings { doubt_policy: text("hold"), ..Settings::default() },
            Self::FilesCopies => Settings { save_sent_copy: text("auto"), ..Settings::default() },
            Self::OurCopies => {
                Settings { save_sent_copy: text("always"), doubt_policy: text("hold"), ..Settings::default() }
            }
        }
    }

    fn has_imap(self) -> bool {
        matches!(self, Self::FilesCopies | Self::OurCopies)
    }
}

/// What one place came to over all its rounds.
#[derive(Default)]
struct Row {
    rounds: u32,
    crashes: u32,
    mailings: u64,
    lost: u64,
    extra: u64,
    held: u64,
    double_copies: u64,
}

fn rounds() -> u32 {
    if std::env::var("POSTROOM_TORTURE").is_ok_and(|form| form == "long") { 20 } else { 2 }
}

fn message_id(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("message-id:"));
    line.and_then(|line| line.split_once(':')).map(|(_, id)| id.trim().to_owned()).expect("a Message-ID")
}

fn counted<'a>(messages: impl Iterator<Item = &'a [u8]>) -> HashMap<String, u64> {
    let mut copies = HashMap::new();
    for raw in messages {
        *copies.entry(message_id(raw)).or_default() += 1;
    }
    copies
}

/// One round: a crash at the `nth` passage of a place, then (`again`) another one during the recovery, then whatever is
/// left to do.
fn round(world: World, place: &'static str, nth: u32, again: Option<&'static str>, row: &mut Row) {
    let outside = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the server");
    let server = outside.block_on(async {
        let options = Options {
            recipients: Recipients::Anybody,
            file_sent_copies: world == World::FilesCopies,
            ..Options::default()
        };
        let server = MailServer::start(options).await.expect("the mail server starts");
        server.add_account(ANN, PASSWORD);
        server
    });
    let mut rig = Rig::new(u64::from(nth));
    let ids = rig.prepare(&server, world.settings(), world.has_imap(), MAILINGS);
    row.rounds += 1;
    let before = needs_doubt(place).then_some(("dot.sent", nth));
    // The first lane starts once, and then goes on from one mailing to the next.
    let once = needs_doubt(place) || place == "start.before_commit";
    let here = (place, if once { 1 } else { nth });
    for (place, nth) in before.into_iter().chain([here]).chain(again.map(|place| (place, 1))) {
        if rig.run(place, nth) == Ended::Crashed {
            row.crashes += 1;
        }
    }
    assert_eq!(rig.run("nowhere", 1), Ended::Settled);
    let mailings = rig.mailings(&ids);
    let held = mailings.iter().filter(|mailing| mailing.state == State::Failed).count();
    if world == World::Hold {
        let accepted = counted(server.accepted().iter().map(|message| &*message.raw));
        let extra: u64 = accepted.values().map(|copies| copies - 1).sum();
        assert_eq!(extra, 0, "{place}: a mailing was repeated although the policy is to hold");
    }
    let accepted = counted(server.accepted().iter().map(|message| &*message.raw));
    let missing = |mailing: &&Mailing| {
        // One that is held is not lost: its user was told.
        !accepted.contains_key(&format!("<{}>", mailing.message_id)) && mailing.state != State::Failed
    };
    row.mailings += MAILINGS;
    row.lost += mailings.iter().filter(missing).count() as u64;
    row.extra += accepted.values().map(|copies| copies - 1).sum::<u64>();
    row.held += held as u64;
    if world.has_imap() {
        let sent = server.messages(ANN, "Sent").expect("the account");
        let filed = counted(sent.iter().map(|message| &*message.raw));
        row.double_copies += filed.values().map(|copies| copies - 1).sum::<u64>();
        let delivered = mailings.iter().filter(|mailing| mailing.state == State::Delivered);
        for mailing in delivered {
            let id = format!("<{}>", mailing.message_id);
            assert!(filed.contains_key(&id), "{place}: no copy of {id}: {mailing:#?}");
        }
    }
    if held > 0 {
        // Retrying what was held ends it.
        let held: Vec<u64> = mailings.iter().filter(|one| one.state == State::Failed).map(|one| one.id).collect();
        rig.retry(&held);
        assert_eq!(rig.run("nowhere", 1), Ended::Settled);
        assert!(rig.mailings(&held).iter().all(|mailing| mailing.state == State::Delivered));
    }
    outside.block_on(server.stop());
}

fn torture(world: World) {
    println!("{world:?}: {MAILINGS} mailings a round");
    println!(
        "{:<24}{:>7}{:>9}{:>10}{:>6}{:>7}{:>6}",
        "place", "rounds", "crashes", "mailings", "lost", "extra", "held"
    );
    for place in FAILPOINTS {
        let mut row = Row::default();
        for round_number in 0..rounds() {
            // The recovery itself is stopped in every second round.
            let again = match round_number % 4 {
                1 => Some("recover.before_commit"),
                3 => Some("recover.after_commit"),
                _ => None,
            };
            round(world, place, 1 + round_number % 4, again, &mut row);
        }
        println!(
            "{place:<24}{:>7}{:>9}{:>10}{:>6}{:>7}{:>6}",
            row.rounds, row.crashes, row.mailings, row.lost, row.extra, row.held
        );
        assert_eq!(row.lost, 0, "{world:?} {place}: lost");
        assert_eq!(row.double_copies, 0, "{world:?} {place}: two copies in the sent folder");
        match world {
            World::Resend => {
                assert_eq!(row.held, 0, "{place}");
                let may_double = IN_DOUBT.contains(place) || needs_doubt(place);
                assert!(row.extra == 0 || may_double, "{place}: {}", row.extra);
                // One lane: a crash leaves one mailing in doubt.
                assert!(row.extra <= u64::from(row.crashes), "{place}: {} of {} crashes", row.extra, row.crashes);
            }
            World::Hold | World::OurCopies => assert_eq!(row.extra, 0, "{place}: extra copies"),
            World::FilesCopies => assert_eq!((row.extra, row.held), (0, 0), "{place}"),
        }
    }
}

/// A server that files its copies takes a message to its end and goes without a word, and without the message. Once its
/// sent folder has proved that, the day's last slot is free again.
#[test]
fn a_doubt_that_proves_to_be_no_mail_gives_its_slot_back() {
    let outside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let server = outside.block_on(async {
        let options = Options { recipients: Recipients::Anybody, file_sent_copies: true, ..Options::default() };
        let server = MailServer::start(options).await.expect("the mail server starts");
        server.add_account(ANN, PASSWORD);
        server
    });
    // The first is accepted, and shows that the server files copies.
    server.script(Rule::new(Point::FinalDot, Act::Drop).count(Count::Nth(2)));
    let mut rig = Rig::new(1);
    let settings = Settings { max_mailings_per_day: Some(2), ..World::FilesCopies.settings() };
    let ids = rig.prepare(&server, settings, true, 2);
    assert_eq!(rig.run("nowhere", 1), Ended::Settled);
    assert_eq!(server.accepted().len(), 2);
    for mailing in rig.mailings(&ids) {
        let waited = mailing.delivered_at.expect("it was delivered").millis_since(mailing.created_at);
        assert!(waited < 2 * 3_600_000, "it waited for the day to pass: {mailing:#?}");
    }
    outside.block_on(server.stop());
}

#[test]
fn a_crash_at_any_named_place_loses_nothing_and_doubles_only_what_was_in_doubt() {
    torture(World::Resend);
}

#[test]
fn under_the_policy_hold_no_crash_doubles_anything() {
    torture(World::Hold);
}

#[test]
fn where_the_server_files_its_copies_no_crash_doubles_or_holds_anything() {
    torture(World::FilesCopies);
}

#[test]
fn no_crash_files_a_second_copy_in_the_sent_folder() {
    torture(World::OurCopies);
}
