//! Servers that trickle, flood, reset and whisper in plaintext, end to end. What a hostile server costs is bounded in the
//! memory of the real binary; whose mailbox it is waits, and nobody else does. Order and counts decide, never time.

use crate::peers::authority::{Authority, Certificate, Issued};
use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::instance::Instance;
use crate::support::server::Server;
use postroom::mailserver::{Act, Gate, MailServer, Options, Point, Recipients, Rule};
use postroom::runtime::{Random, SeededRandom};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where a server stops being one. Each is what its reply belongs to.
const POINTS: [&str; 6] = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "."];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misdeed {
    /// A byte now and then of a reply that never ends.
    Trickle,
    /// A gigabyte of lines of one reply.
    Flood,
    /// A gigabyte of one line.
    Line,
    /// RST.
    Reset,
}

/// A server that does its work up to one point, and there what it must not.
struct Hostile {
    port: u16,
    /// How many clients came to the point.
    arrived: Arc<AtomicU64>,
    /// How many octets of misdeed a client took, at most.
    taken: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    async fn start(at: &'static str, misdeed: Misdeed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (arrived, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counts = (arrived.clone(), taken.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (arrived, taken) = counts.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    if friendly_until(&mut stream, at).await.is_ok() {
                        arrived.fetch_add(1, Ordering::Relaxed);
                        // However it ends, the client has had its part.
                        let _ = commit(&mut stream, misdeed, at, &taken).await;
                    }
                });
            }
        });
        Self { port, arrived, taken, task }
    }

    async fn reached(&self) {
        while self.arrived.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Converses as a server does, until the reply to `at` is due.
async fn friendly_until(stream: &mut BufReader<TcpStream>, at: &str) -> std::io::Result<()> {
    if at == "connect" {
        return Ok(());
    }
    stream.write_all(b"220 hello\r\n").await?;
    let mut in_message = false;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if in_message && line != ".\r\n" {
            continue;
        }
        if line.starts_with(at) {
            return Ok(());
        }
        let reply = match line.get(..4) {
            Some("DATA") => {
                in_message = true;
                "354 go\r\n"
            }
            Some("EHLO") => "250-hostile\r\n250 8BITMIME\r\n",
            _ => "250 2.0.0 OK\r\n",
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}

async fn commit(
    stream: &mut BufReader<TcpStream>,
    misdeed: Misdeed,
    at: &str,
    taken: &AtomicU64,
) -> std::io::Result<()> {
    let code = match at {
        "connect" => "220",
        "DATA" => "354",
        _ => "250",
    };
    match misdeed {
        Misdeed::Trickle => {
            for byte in format!("{code}-and so on\r\n").repeat(1_000_000).bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Misdeed::Flood | Misdeed::Line => {
            let line = if misdeed == Misdeed::Flood { "-and so on, and on\r\n" } else { " and on, without an end" };
            let block = format!("{code}{line}").repeat(3_000);
            while taken.load(Ordering::Relaxed) < 1 << 30 {
                stream.write_all(block.as_bytes()).await?;
                taken.fetch_add(block.len() as u64, Ordering::Relaxed);
            }
        }
        Misdeed::Reset => stream.get_ref().set_zero_linger()?,
    }
    Ok(())
}

fn settings(port: u16) -> Value {
    json!({"smtpHost": "127.0.0.1", "smtpPort": port})
}

fn content(subject: &str) -> Value {
    json!({"to": ["b@demo.test"], "subject": subject, "bodyText": "t"})
}

async fn friendly_server() -> MailServer {
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    MailServer::start(options).await.expect("the mail server starts")
}

/// The real binary, as an administrator has it.
struct Process {
    server: Server,
    client: Client,
    _home: Home,
}

impl Process {
    fn start() -> Self {
        let home = Home::new();
        let token = home.administrator();
        let server = Server::start(&home);
        let client = Client::new(&server.url, Some(&token));
        Self { server, client, _home: home }
    }

    async fn mailbox(&self, email: &str, port: u16) -> u64 {
        let attributes = json!({
            "email": email, "smtpHost": "127.0.0.1", "smtpPort": port, "smtpSsl": false, "sendThreshold": null,
            "maxMailingsPerDay": null, "maxMailingsPerWeek": null,
        });
        self.client.create("mailbox", "mailboxes", &attributes).await["id"].as_u64().expect("an id")
    }

    async fn mailing(&self, mailbox: u64, subject: &str) -> u64 {
        let document = json!({"data": {
            "type": "mailing", "attributes": content(subject),
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
        }});
        self.client.post("/api/v2/mailings", &document).await.expect(201).json["data"]["id"].as_u64().expect("an id")
    }

    async fn shown(&self, mailing: u64) -> Value {
        self.client.get(&format!("/api/v2/mailings/{mailing}")).await.expect(200).json["data"]["attributes"].clone()
    }

    async fn until(&self, mailing: u64, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1200 {
            let shown = self.shown(mailing).await;
            if wanted(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never as wanted: {:#}", self.shown(mailing).await);
    }
}

/// Twelve floods of a gigabyte and six tarpits: the process grows by no more than a few mebibytes, and whoever has a
/// server that works is served all the while.
#[tokio::test(flavor = "multi_thread")]
async fn floods_and_tarpits_cost_the_process_next_to_nothing_and_hold_up_nobody_else() {
    let (friendly, postroom) = (friendly_server().await, Process::start());
    // As many mailboxes and mailings as will meet hostile servers: what work costs without them.
    for number in 0..POINTS.len() * 3 {
        let mailbox = postroom.mailbox(&format!("warm{number}@demo.test"), friendly.smtp().port()).await;
        let mailing = postroom.mailing(mailbox, "warm").await;
        postroom.until(mailing, |shown| shown["state"] == "delivered").await;
    }
    let (before, warm) = (postroom.server.peak_memory(), friendly.accepted().len());

    let (mut stuck, mut flooded) = (Vec::new(), Vec::new());
    for at in POINTS {
        for misdeed in [Misdeed::Trickle, Misdeed::Flood, Misdeed::Line] {
            let hostile = Hostile::start(at, misdeed).await;
            let name = format!("{misdeed:?}{}@demo.test", at.replace('.', "dot"));
            let mailbox = postroom.mailbox(&name, hostile.port).await;
            let mailing = postroom.mailing(mailbox, "s").await;
            hostile.reached().await;
            if misdeed == Misdeed::Trickle {
                stuck.push((hostile, mailing, at));
            } else {
                flooded.push((hostile, mailing, at));
            }
        }
    }
    // A mailbox that was there before them and one that came after: all of theirs, in order.
    let late = postroom.mailbox("late@demo.test", friendly.smtp().port()).await;
    let mut mine = Vec::new();
    for number in 0..20 {
        for mailbox in [1, late] {
            mine.push(postroom.mailing(mailbox, &format!("{mailbox}.{number}")).await);
        }
    }
    for mailing in mine {
        let shown = postroom.until(mailing, |shown| shown["state"] == "delivered").await;
        assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown:#}");
    }
    assert_eq!(friendly.accepted().len(), warm + 40);
    for (hostile, mailing, at) in &stuck {
        // Still at it: nothing waited for them to end.
        assert_eq!(postroom.shown(*mailing).await["state"], "delivering", "{at}");
        assert_eq!(hostile.arrived.load(Ordering::Relaxed), 1, "{at}");
    }
    for (hostile, mailing, at) in &flooded {
        let shown = postroom.until(*mailing, |shown| shown["attempts"][0].is_object()).await;
        // Behind the final dot nobody can tell: the policy sends again. Nothing was accepted anywhere else.
        assert_eq!(shown["state"], "scheduled", "{at}: {shown:#}");
        assert_eq!(shown["retryCount"] == 1, *at != ".", "{at}: {shown:#}");
        // What the system's own buffers swallowed on the way; far from a gigabyte.
        assert!(hostile.taken.load(Ordering::Relaxed) < 100 << 20, "{at}");
    }
    let grown = postroom.server.peak_memory().saturating_sub(before);
    println!("peak memory {} KiB before, {} KiB more after", before >> 10, grown >> 10);
    assert!(grown < 24 << 20, "{grown} bytes for eighteen hostile servers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_doubt_behind_the_final_dot_and_nowhere_else() {
    for at in POINTS {
        let hostile = Hostile::start(at, Misdeed::Reset).await;
        let postroom = Instance::start().await;
        let mailbox = postroom.mailbox("ann@demo.test", settings(hostile.port)).await;
        let mailing = postroom.mailing(mailbox, content("s")).await;
        let shown = postroom.until("mailings", mailing, |shown| shown["attempts"][0].is_object()).await;
        let doubt = at == ".";
        assert_eq!((shown["state"].as_str(), shown["retryCount"] == 1), (Some("scheduled"), !doubt), "{at}: {shown:#}");
        let health = postroom.attributes("mailboxes", mailbox).await;
        assert_eq!(health["sendState"], if doubt { "ok" } else { "erroring" }, "{at}: {health:#}");
        assert_eq!(health["sentInDay"], u64::from(doubt), "{at}: what may have left counts, and nothing else");
        postroom.stop().await;
    }
}

/// A man in the middle puts a command's answer behind the consent to STARTTLS, to be read as if it came through TLS.
#[tokio::test(flavor = "multi_thread")]
async fn plaintext_behind_starttls_ends_the_session_before_any_secret() {
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue(Certificate::Good);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a server configuration");
    let options = Options { recipients: Recipients::Anybody, tls: Some(Arc::new(tls)), ..Options::default() };
    let hostile = MailServer::start(options).await.expect("the mail server starts");
    hostile.add_account("ann@demo.test", "ann's secret");
    let injected = b"250-hostile\r\n250 AUTH PLAIN\r\n".to_vec();
    hostile.script(Rule::new(Point::StartTls, Act::After(injected)));
    let postroom = Instance::start().await;
    let mut settings = settings(hostile.smtp().port());
    settings["password"] = json!("ann's secret");
    let mailbox = postroom.mailbox("ann@demo.test", settings).await;
    let mailing = postroom.mailing(mailbox, content("s")).await;
    let shown = postroom.until("mailings", mailing, |shown| shown["attempts"][0].is_object()).await;
    assert_eq!(shown["attempts"][0]["stage"], "startTls", "{shown:#}");
    assert!(shown["attempts"][0]["text"].as_str().is_some_and(|text| text.contains("unencrypted")), "{shown:#}");
    assert_eq!(hostile.connections().auth_attempts, 0);
    assert_eq!(hostile.accepted().len(), 0, "and no falling back to plaintext");
    postroom.stop().await;
}

/// Thousands wait in one mailbox, one has a server that holds everything, one a server that is down, one is at its limit:
/// each of the others gets its turn, however much waits beside it.
#[tokio::test(flavor = "multi_thread")]
async fn under_mixed_load_every_healthy_mailbox_gets_its_turn() {
    const BUSY: usize = 2_000;
    const HEALTHY: usize = 5;
    const EACH: usize = 20;
    let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("seed {seed}: POSTROOM_TEST_SEED={seed} repeats this run");
    let random = SeededRandom::new(seed);
    let mut config = postroom::config::Config::default();
    (config.send.workers, config.send.connections_per_host) = (12, 6);
    let workers = usize::try_from(config.send.workers).expect("a small number");
    let postroom = Instance::start_with(config).await;
    let (shared, slow, down) = (friendly_server().await, friendly_server().await, friendly_server().await);
    let gate = Gate::new();
    slow.script(Rule::new(Point::FinalDot, Act::Hold(gate.clone())));
    down.script(Rule::new(Point::SmtpConnect, Act::Reply("421 4.3.2 Down".into())));

    let with = |server: &MailServer, further: Value| {
        let mut all = settings(server.smtp().port());
        for (name, value) in further.as_object().expect("attributes") {
            all[name] = value.clone();
        }
        all
    };
    let busy = postroom.mailbox("busy@demo.test", with(&shared, json!({"sendDisabled": true}))).await;
    let stuck = postroom.mailbox("stuck@demo.test", with(&slow, json!({}))).await;
    let failing = postroom.mailbox("failing@demo.test", with(&down, json!({}))).await;
    let limit = json!({"sendThreshold": 2, "sendPeriod": 3600});
    let limited = postroom.mailbox("limited@demo.test", with(&shared, limit)).await;
    let mut healthy = Vec::new();
    for number in 0..HEALTHY {
        healthy.push(postroom.mailbox(&format!("healthy{number}@demo.test"), with(&shared, json!({}))).await);
    }
    for chunk in 0..BUSY / 50 {
        let many = (0..50).map(|number| postroom.mailing(busy, content(&format!("{}", chunk * 50 + number))));
        futures_util::future::join_all(many).await;
    }
    let enable = json!({"data": {"type": "mailbox", "id": busy, "attributes": {"sendDisabled": false}}});
    postroom.client.patch(&format!("/api/v2/mailboxes/{busy}"), &enable).await.expect(200);
    let of = |sender: &str| shared.accepted().iter().filter(|message| message.sender == sender).count();
    while of("busy@demo.test") < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The others come into a house that is full of the busy one's, in an order of the seed's.
    let mut wanted: Vec<u64> = [stuck, failing, limited].into_iter().chain(healthy.iter().copied()).collect();
    wanted = wanted.iter().flat_map(|mailbox| std::iter::repeat_n(*mailbox, EACH)).collect();
    for index in (1..wanted.len()).rev() {
        wanted.swap(index, usize::try_from(random.below(index as u64 + 1)).expect("an index"));
    }
    let before = of("busy@demo.test");
    let mut mailings = Vec::new();
    for mailbox in wanted {
        mailings.push((mailbox, postroom.mailing(mailbox, content("s")).await));
    }
    let queued = of("busy@demo.test");
    for (_, mailing) in mailings.iter().filter(|(mailbox, _)| healthy.contains(mailbox)) {
        let shown = postroom.until_state(*mailing, "delivered").await;
        assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown:#}");
    }
    // In the order of the server: how many of the busy one's went out after a healthy one's was queued and before it went.
    let accepted = shared.accepted();
    let is_healthy = |sender: &str| sender.starts_with("healthy");
    let last = accepted.iter().rposition(|message| is_healthy(&message.sender)).expect("they were sent");
    let overtaken =
        accepted[..last].iter().filter(|message| message.sender == "busy@demo.test").count().saturating_sub(queued);
    println!(
        "{before} of the busy mailbox before, {queued} when all was queued, {overtaken} more until the last of the others"
    );
    // A lane is 50 mailings: no more than one turn of every worker, twice over.
    assert!(overtaken <= 2 * 50 * workers, "{overtaken} of the busy mailbox came first");
    assert!(of("busy@demo.test") < BUSY || queued + 200 > BUSY, "the busy one was not waited for");
    for number in 0..HEALTHY {
        assert_eq!(of(&format!("healthy{number}@demo.test")), EACH);
    }
    assert_eq!(of("limited@demo.test"), 2);
    assert_eq!((slow.accepted().len(), down.accepted().len()), (0, 0));
    // The failing one is known to be down after the first: it costs one try, not one for each.
    let mut tries = 0;
    for (mailbox, mailing) in &mailings {
        let shown = postroom.attributes("mailings", *mailing).await;
        if *mailbox == failing {
            tries += shown["retryCount"].as_u64().expect("a count");
            assert!(["scheduled", "queued"].contains(&shown["state"].as_str().expect("a state")), "{shown:#}");
        } else if *mailbox == limited && shown["state"] != "delivered" {
            assert!(["scheduled", "queued"].contains(&shown["state"].as_str().expect("a state")), "{shown:#}");
        }
    }
    assert!((1..=4).contains(&tries), "{tries} tries");
    // All of the busy one's go out as well, once each; what was held goes when the server lets it.
    gate.open();
    for _ in 0..1200 {
        if of("busy@demo.test") == BUSY && slow.accepted().len() == EACH {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((of("busy@demo.test"), slow.accepted().len()), (BUSY, EACH));
    postroom.stop().await;
}
