//! Whole sessions whose server garbles one of its answers: random octets changed, cut out, doubled, swapped between
//! answers. Whatever comes, a call returns, and what it returns is about what was asked.
//!
//! Seeded; the seed is printed and `POSTROOM_TEST_SEED` repeats a run. `POSTROOM_TORTURE=long` plays a hundred times as
//! many.

use super::*;
use crate::connect::effective::SyncSettings;
use crate::domain::connection::{Endpoint, Reach, TlsMode};
use crate::domain::failure::Failure;
use crate::domain::mailbox::SecretField;
use crate::domain::stages::Stages;
use crate::net::{EgressRules, MapDialer, Network, Trust};
use crate::runtime::{Random, SeededRandom};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;

const SESSIONS: u64 = 400;
/// Long enough for any machine; only what must never happen takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const NAME: &str = "mail.example";
const PORT: u16 = 143;

/// What an honest server answers, in the order of the calls of [`converse`]; `{t}` is the tag.
const ANSWERS: [&str; 9] = [
    "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n",
    "* CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+ ENABLE CONDSTORE\r\n{t} OK done\r\n",
    "* CAPABILITY IMAP4rev1 IDLE\r\n{t} OK [CAPABILITY IMAP4rev1] welcome\r\n",
    "* LIST (\\HasNoChildren \\Sent) \"/\" \"Gesendet &AOQ-\"\r\n* LIST (\\Noselect) NIL {3}\r\na\"b\r\n\
     * LIST () \".\" INBOX\r\n{t} OK done\r\n",
    "* FLAGS (\\Seen $Label)\r\n* 4 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n\
     * OK [HIGHESTMODSEQ 715194045007] x\r\n* OK [PERMANENTFLAGS (\\*)] x\r\n{t} OK [READ-ONLY] done\r\n",
    "* SEARCH 1 3 5 8\r\n* 4 EXISTS\r\n{t} OK done\r\n",
    "* 4 FETCH (UID 8 FLAGS (\\Seen) INTERNALDATE \" 1-Jul-2026 02:44:25 +0000\" RFC822.SIZE 44)\r\n{t} OK done\r\n",
    "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286)\r\n\
     * 2 EXPUNGE\r\n* 2 FETCH (FLAGS (Junk) RFC822.SIZE 12 UID 5)\r\n* VANISHED (EARLIER) 3:9\r\n{t} OK done\r\n",
    "* 1 FETCH (UID 1 BODY[] {12}\r\nSubject: a\r\n)\r\n* 2 FETCH (BODY[] \"x\" UID 5)\r\n* 3 FETCH (UID 8 BODY[] NIL)\r\n\
     {t} OK done\r\n",
];

fn garbled(answer: &str, random: &SeededRandom) -> Vec<u8> {
    let mut bytes = answer.as_bytes().to_vec();
    let below = |limit: usize| usize::try_from(random.below(limit.max(1) as u64)).unwrap_or(0);
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        let end = (at + 1 + below(12)).min(bytes.len());
        match below(8) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = u8::try_from(below(256)).unwrap_or(0)),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                let times = 1 + below(300);
                drop(bytes.splice(at..at, part.repeat(times)));
            }
            3 => bytes.truncate(at),
            4 => {
                const BITS: [&[u8]; 12] = [
                    b"(",
                    b")",
                    b"\"",
                    b"{5}\r\n",
                    b"{4294967295}\r\n",
                    b"\r\n",
                    b"\0",
                    b"* BYE x\r\n",
                    b"\\",
                    b"NIL",
                    b"99999999999999999999",
                    b"* 1 FETCH (UID 4000000000 BODY[] {1}\r\nx)\r\n",
                ];
                drop(bytes.splice(at..at, BITS[below(BITS.len())].iter().copied()));
            }
            5 => {
                // Digits become other digits: lengths, UIDs, sizes.
                for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_digit()) {
                    if below(4) == 0 {
                        *byte = b'0' + u8::try_from(below(10)).unwrap_or(0);
                    }
                }
            }
            6 => {
                let other = ANSWERS[below(ANSWERS.len())].as_bytes();
                drop(bytes.splice(at..at, other[..below(other.len())].iter().copied()));
            }
            _ => {
                let nested = if below(2) == 0 { &b"("[..] } else { &b"(\"\" "[..] };
                drop(bytes.splice(at..at, nested.repeat(below(5_000))));
            }
        }
    }
    bytes
}

/// How long a client may think before it is taken to wait for more than the garbled answer gave it.
const THINKING: Duration = Duration::from_millis(20);

/// Plays one session after the other: honest answers but for the garbled one. It hangs up on a client that then waits.
fn play(listener: &TcpListener, sessions: &mpsc::Receiver<(usize, Vec<u8>)>) {
    while let Ok((turn, garbled)) = sessions.recv() {
        let Ok((stream, _)) = listener.accept() else { return };
        if stream.set_read_timeout(Some(THINKING)).is_err() {
            continue;
        }
        let mut stream = BufReader::new(stream);
        for (number, answer) in ANSWERS.iter().enumerate() {
            let mut line = String::new();
            if number > 0 && stream.read_line(&mut line).unwrap_or(0) == 0 {
                break;
            }
            let tag = line.split(' ').next().unwrap_or_default();
            let honest = answer.replace("{t}", tag).into_bytes();
            let said = if number == turn { with_tag(&garbled, tag) } else { honest };
            if stream.get_mut().write_all(&said).is_err() {
                break;
            }
        }
    }
}

fn with_tag(bytes: &[u8], tag: &str) -> Vec<u8> {
    match bytes.windows(3).position(|part| part == b"{t}") {
        Some(at) => [&bytes[..at], tag.as_bytes(), &bytes[at + 3..]].concat(),
        None => bytes.to_vec(),
    }
}

/// Everything that a sync asks, as far as it comes.
fn converse(session: &mut ImapSession) -> Result<(), Failure> {
    let folders = session.folders()?;
    assert!(folders.iter().all(|folder| folder.name.len() < 4 << 20));
    let state = session.examine("INBOX")?;
    assert!(state.uid_validity != Some(0) && state.uid_next != Some(0));
    let found = session.search(None, &(1..=100), None)?;
    assert!(found.is_sorted() && found.iter().all(|uid| (1..=100).contains(uid)));
    assert!(session.last_uid()? != Some(0));
    let facts = session.facts(&[1, 5, 8], Asked::default())?;
    assert!(facts.is_sorted_by(|one, next| one.uid < next.uid), "each once");
    assert!(facts.iter().all(|fact| [1, 5, 8].contains(&fact.uid)), "only what was asked for");
    let bodies = session.bodies(&[1, 5, 8], 100)?;
    assert!(bodies.is_sorted_by(|one, next| one.0 < next.0), "each once");
    assert!(bodies.iter().all(|(uid, _)| [1, 5, 8].contains(uid)), "only what was asked for");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_server_says_a_session_answers_and_invents_nothing() {
    let variable = |name: &str| std::env::var(name).ok();
    let seed = variable("POSTROOM_TEST_SEED").and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let sessions = if variable("POSTROOM_TORTURE").as_deref() == Some("long") { SESSIONS * 100 } else { SESSIONS };
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let (turns, played) = mpsc::channel();
    let server = std::thread::spawn(move || play(&listener, &played));

    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let dialer = MapDialer::new().name(NAME, [address]).route(SocketAddr::new(address, PORT), target);
    let network = Network::new(Arc::new(dialer), &Trust::nobody(), EgressRules::default());
    let endpoint = Endpoint { host: NAME.into(), port: PORT, tls: TlsMode::StartTlsIfOffered, reach: Reach::Private };
    let settings =
        SyncSettings { endpoint, username: "ann".into(), secret: SecretField::Password, inbox: "INBOX".into() };
    let limits = ImapLimits { connect: PATIENCE, step: PATIENCE, command: PATIENCE, ..ImapLimits::default() };
    let (mut whole, mut longest) = (0, Duration::ZERO);
    for number in 0..sessions {
        let turn = usize::try_from(random.below(ANSWERS.len() as u64)).unwrap();
        turns.send((turn, garbled(ANSWERS[turn], &random))).unwrap();
        let (network, settings, limits) = (network.clone(), settings.clone(), limits.clone());
        let begun = Instant::now();
        let outcome = tokio::task::spawn_blocking(move || {
            let mut session = ImapSession::open(&network, &settings, &"secret".into(), &mut Stages::new(), limits)?;
            converse(&mut session)
        });
        match outcome.await.unwrap_or_else(|panic| panic!("session {number}: {panic}")) {
            Ok(()) => whole += 1,
            Err(failure) => assert!(!failure.sentence.is_empty() && failure.explain().len() < 4096),
        }
        longest = longest.max(begun.elapsed());
        assert!(begun.elapsed() < PATIENCE, "session {number} waited for more than it was told");
    }
    drop(turns);
    server.join().unwrap();
    println!("{sessions} sessions, {whole} came to their end; the longest took {longest:?}");
    assert!(whole > 0, "some garbling does no harm");
}
