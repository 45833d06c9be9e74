use super::*;
use crate::connect::effective::SyncSettings;
use crate::domain::connection::{Endpoint, Reach, TlsMode};
use crate::domain::failure::FailureKind;
use crate::domain::mailbox::SecretField;
use crate::mailserver::{Act, Count, MailServer, Options, Point, Rule};
use crate::net::{EgressRules, MapDialer, Network, Trust};
use std::collections::BTreeSet;

const ANN: &str = "ann@example.test";
const NAME: &str = "mail.example";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn mail(number: u32) -> Vec<u8> {
    format!("Message-ID: <{number}@x>\r\nSubject: {number}\r\n\r\n{}\r\n", "body ".repeat(20)).into_bytes()
}

/// A server with `count` messages in Ann's inbox, one a day from the first of January on.
async fn with_mail(count: u32) -> MailServer {
    let server = MailServer::start(Options::default()).await.unwrap();
    server.add_account(ANN, "secret");
    for number in 1..=count {
        add(&server, number);
    }
    server
}

fn add(server: &MailServer, number: u32) {
    let date = time("2026-01-01").plus(Duration::from_hours(24) * (number - 1));
    server.append_at(ANN, "INBOX", &mail(number), date).unwrap();
}

fn bounds() -> Bounds {
    Bounds { messages: 3, bytes: 1 << 20, message: 1 << 20, since: time("2000-01-01") }
}

/// Opens a source on a blocking thread and goes on with `work` there.
async fn source<T: Send + 'static>(
    server: &MailServer,
    bounds: Bounds,
    work: impl FnOnce(&mut ImapSource) -> T + Send + 'static,
) -> T {
    let target = server.imap();
    let dialer = MapDialer::new().name(NAME, [target.ip()]).route(target, target);
    let network = Network::new(Arc::new(dialer), &Trust::nobody(), EgressRules::default());
    let settings = SyncSettings {
        endpoint: Endpoint {
            host: NAME.into(),
            port: target.port(),
            tls: TlsMode::StartTlsIfOffered,
            reach: Reach::Private,
        },
        username: ANN.into(),
        secret: SecretField::Password,
        inbox: "INBOX".into(),
    };
    tokio::task::spawn_blocking(move || {
        let secret = "secret".into();
        let session =
            ImapSession::open(&network, &settings, &secret, &mut Stages::new(), ImapLimits::default()).unwrap();
        let mut source = ImapSource::new(session, settings.inbox, bounds);
        let result = work(&mut source);
        source.close();
        result
    })
    .await
    .unwrap()
}

fn begin(source: &mut ImapSource, known: Option<FolderCursor>) -> Result<Beginning, Failure> {
    source.open("INBOX")?;
    source.begin(known, Part::Whole, None)
}

/// Everything that comes in at most `batches` batches, as a store would commit it; where the cursor stands then.
fn pour(
    source: &mut ImapSource,
    known: Option<FolderCursor>,
    batches: usize,
) -> (Vec<Fetched>, Option<FolderCursor>, Beginning) {
    let beginning = begin(source, known.clone()).unwrap();
    let (mut all, mut cursor) = (Vec::new(), known);
    for _ in 0..batches {
        let Some(batch) = source.next_batch().unwrap() else { break };
        assert!(batch.messages.len() <= source.bounds.messages);
        assert!(batch.messages.windows(2).all(|pair| pair[0].uid > pair[1].uid), "newest first");
        all.extend(batch.messages);
        cursor = Some(batch.cursor);
    }
    (all, cursor, beginning)
}

async fn sync(
    server: &MailServer,
    bounds: Bounds,
    known: Option<FolderCursor>,
    batches: usize,
) -> (Vec<Fetched>, Option<FolderCursor>, Beginning) {
    source(server, bounds, move |source| pour(source, known, batches)).await
}

fn uids(messages: &[Fetched]) -> Vec<u32> {
    messages.iter().map(|message| message.uid).collect()
}

const ALL: usize = usize::MAX;

#[tokio::test]
async fn a_first_sync_brings_everything_newest_first_and_the_next_one_nothing() {
    let server = with_mail(10).await;
    server.set_flags(ANN, "INBOX", 10, &["\\Seen"]).unwrap();
    let (all, cursor, beginning) = sync(&server, bounds(), None, ALL).await;
    assert_eq!(beginning, Beginning::First);
    assert_eq!(uids(&all), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(all[0].raw, mail(10));
    assert_eq!((all[0].size as usize, all[0].truncated), (mail(10).len(), false));
    assert_eq!(all[0].flags, ["\\Seen"]);
    assert_eq!(all[9].internal_date, Some(time("2026-01-01")));
    let known = cursor.clone().unwrap();
    assert_eq!((known.low, known.high, known.backfilled), (1, 10, true));
    let (none, same, beginning) = sync(&server, bounds(), cursor.clone(), ALL).await;
    assert_eq!((none, same, beginning), (vec![], cursor, Beginning::Resumed));
}

#[tokio::test]
async fn interrupted_after_any_batch_and_resumed_each_message_comes_exactly_once() {
    for interrupted_after in 0..=5 {
        let server = with_mail(13).await;
        let (mut seen, cursor, _) = sync(&server, bounds(), None, interrupted_after).await;
        // Meanwhile mail comes and goes, on both ends of what is known and in between.
        for number in 14..=18 {
            add(&server, number);
        }
        let gone = [1, 5, 9, 13, 15];
        server.remove(ANN, "INBOX", &gone).unwrap();
        let (more, cursor, _) = sync(&server, bounds(), cursor, 1).await;
        seen.extend(more);
        let (rest, cursor, _) = sync(&server, bounds(), cursor, ALL).await;
        seen.extend(rest);
        let distinct: BTreeSet<u32> = seen.iter().map(|message| message.uid).collect();
        assert_eq!(distinct.len(), seen.len(), "twice, after {interrupted_after}");
        for uid in (1..=18).filter(|uid| !gone.contains(uid)) {
            assert!(distinct.contains(&uid), "{uid} is missing after {interrupted_after}");
        }
        let cursor = cursor.unwrap();
        assert_eq!((cursor.high, cursor.backfilled), (18, true));
    }
}

#[tokio::test]
async fn a_folder_that_was_numbered_anew_starts_over_and_says_so() {
    let server = with_mail(4).await;
    let (_, cursor, _) = sync(&server, bounds(), None, ALL).await;
    let before = cursor.as_ref().unwrap().uid_validity;
    server.remove(ANN, "INBOX", &[1]).unwrap();
    server.set_uid_validity(ANN, "INBOX", before + 1).unwrap();
    let (all, cursor, beginning) = sync(&server, bounds(), cursor, ALL).await;
    assert_eq!(beginning, Beginning::Renumbered);
    assert_eq!(uids(&all), [3, 2, 1]);
    assert_eq!(cursor.unwrap().uid_validity, before + 1);
}

#[tokio::test]
async fn the_first_sync_reaches_back_only_so_far_and_old_mail_that_arrives_later_still_counts_as_new() {
    let server = with_mail(10).await;
    let recent = Bounds { since: time("2026-01-08"), ..bounds() };
    let (all, cursor, _) = sync(&server, recent, None, ALL).await;
    assert_eq!(uids(&all), [10, 9, 8]);
    assert!(cursor.as_ref().unwrap().backfilled);
    let moved_in = server.append_at(ANN, "INBOX", &mail(99), time("2020-01-01")).unwrap();
    let (all, cursor, _) = sync(&server, recent, cursor, ALL).await;
    assert_eq!(uids(&all), [moved_in]);
    assert_eq!(cursor.unwrap().high, moved_in);
    // Nothing at all in reach: the cursor stands above what there is.
    let none = Bounds { since: time("2026-12-01"), ..bounds() };
    let (all, cursor, _) = sync(&server, none, None, ALL).await;
    assert_eq!((all.len(), cursor.unwrap().high), (0, moved_in));
}

#[tokio::test]
async fn an_empty_folder_gets_a_cursor_and_its_first_mail_is_found() {
    let server = with_mail(0).await;
    let (all, cursor, _) = sync(&server, bounds(), None, ALL).await;
    assert!(all.is_empty() && cursor.as_ref().unwrap().backfilled);
    add(&server, 1);
    let (all, _, _) = sync(&server, bounds(), cursor, ALL).await;
    assert_eq!(uids(&all), [1]);
}

#[tokio::test]
async fn messages_that_vanish_between_two_commands_hold_nothing_up() {
    let server = with_mail(7).await;
    let at_work = server.clone();
    let (all, cursor) = source(&server, bounds(), move |source| {
        begin(source, None).unwrap();
        let first = source.next_batch().unwrap().unwrap();
        // Its facts are known already; its text will not come.
        at_work.remove(ANN, "INBOX", &[3, 1]).unwrap();
        let mut all = first.messages;
        let mut cursor = first.cursor;
        while let Some(batch) = source.next_batch().unwrap() {
            all.extend(batch.messages);
            cursor = batch.cursor;
        }
        (all, cursor)
    })
    .await;
    assert_eq!(uids(&all), [7, 6, 5, 4, 2]);
    assert!(cursor.backfilled);
}

#[tokio::test]
async fn batches_are_bounded_in_bytes_and_a_huge_message_comes_without_its_body() {
    let server = with_mail(2).await;
    let huge = [&mail(3)[..], &b"x".repeat(10_000)].concat();
    server.append(ANN, "INBOX", &huge).unwrap();
    let small = Bounds { messages: 10, bytes: 200, message: 5_000, ..bounds() };
    let batches = source(&server, small, |source| {
        begin(source, None).unwrap();
        std::iter::from_fn(|| source.next_batch().unwrap()).collect::<Vec<_>>()
    })
    .await;
    assert_eq!(batches.iter().map(|batch| uids(&batch.messages)).collect::<Vec<_>>(), [[3], [2], [1]]);
    let found = &batches[0].messages[0];
    assert!(found.truncated && found.size as usize == huge.len());
    assert_eq!(found.raw, b"Message-ID: <3@x>\r\nSubject: 3\r\n\r\n");
    assert_eq!(batches.iter().map(|batch| batch.remaining).collect::<Vec<_>>(), [2, 1, 0]);
}

#[tokio::test]
async fn a_message_that_the_server_cannot_read_does_not_hold_up_the_others() {
    let server = with_mail(3).await;
    // The last UID and the facts are given; the batch is refused, then the first of the single texts and its header.
    for passage in [3, 5, 8] {
        let refusal = Act::Reply("{tag} NO internal error".into());
        server.script(Rule::new(Point::ImapCommand("FETCH"), refusal).count(Count::Nth(passage)));
    }
    let (all, cursor, _) = sync(&server, bounds(), None, ALL).await;
    assert_eq!(uids(&all), [3, 2, 1]);
    let broken: Vec<&Fetched> = all.iter().filter(|message| message.truncated).collect();
    assert_eq!((broken.len(), broken[0].raw.len()), (1, 0));
    assert!(cursor.unwrap().backfilled);
}

#[tokio::test]
async fn a_server_that_throttles_is_obeyed_and_not_taken_for_a_broken_message() {
    let server = with_mail(3).await;
    let refusal = Act::Reply("{tag} NO [LIMIT] slow down".into());
    server.script(Rule::new(Point::ImapCommand("FETCH"), refusal).count(Count::Nth(3)));
    let failure = source(&server, bounds(), |source| {
        begin(source, None).unwrap();
        source.next_batch().unwrap_err()
    })
    .await;
    assert!(failure.advice.is_some());
}

#[tokio::test]
async fn a_connection_cut_in_mid_message_fails_the_batch_and_the_next_sync_has_it_all() {
    let server = with_mail(6).await;
    let rule = server.script(Rule::new(Point::ImapFetchLiteral, Act::Drop).count(Count::Nth(5)));
    let (seen, cursor) = source(&server, bounds(), |source| {
        begin(source, None).unwrap();
        let first = source.next_batch().unwrap().unwrap();
        source.next_batch().unwrap_err();
        (first.messages, first.cursor)
    })
    .await;
    server.clear(rule);
    let (rest, _, _) = sync(&server, bounds(), Some(cursor), ALL).await;
    assert_eq!(uids(&[seen, rest].concat()), [6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_server_without_uidnext_is_synced_and_one_without_uidvalidity_is_not() {
    let server = with_mail(2).await;
    let examine = |text: &str| Rule::new(Point::ImapCommand("EXAMINE"), Act::Before(text.as_bytes().to_vec()));
    let rule = server.script(examine("* OK [UIDNEXT 0] odd\r\n"));
    let (all, _, _) = sync(&server, bounds(), None, ALL).await;
    assert_eq!(uids(&all), [2, 1]);
    server.clear(rule);
    server.script(Rule::new(Point::ImapCommand("EXAMINE"), Act::Reply("* 2 EXISTS\n{tag} OK done".into())));
    let failure = source(&server, bounds(), |source| begin(source, None).unwrap_err()).await;
    assert_eq!((failure.kind, failure.stage), (FailureKind::Config, Stage::Select));
}
