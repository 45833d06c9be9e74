//! Secrets with names of their own are planted wherever a secret can enter; afterwards nothing that came out of the
//! product, and nothing that it left on disk, may hold one in any spelling.

use crate::support::client::{Answer, Client};
use crate::support::instance::Instance;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use postroom::config::{LogConfig, LogFormat, LogLevel};
use postroom::mailserver::{Act, Count, MailServer, Options, Point, Recipients, Rule};
use postroom::ops::telemetry::{self, Reader};
use postroom::runtime::SystemClock;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const PASSWORD: &str = "canary-PASSWORD-7f3a/ü?+x";
const SECOND_PASSWORD: &str = "canary-CHANGED-91bc/ü?+x";
const SMTP_PASSWORD: &str = "canary-SMTPPASSWORD-5e2d=&x";
const SENDGRID: &str = "SG.canary-SENDGRID-c0ffee.42";
const WEBHOOK: &str = "canary-WEBHOOKKEY-beefed-42";
const REFUSED: &str = "canary-REFUSED-WITH-THE-REST-42";

/// Bytes that somebody can read later.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that this process logs from now on, at every level. Other tests' lines do no harm.
fn logs() -> Memory {
    let memory = Memory::default();
    let (output, config) = (memory.clone(), LogConfig { format: LogFormat::Text, level: LogLevel::Trace });
    let clock = Arc::new(SystemClock::new());
    let subscriber = telemetry::subscriber(&config, clock, Reader::Plain, move || output.clone());
    tracing::subscriber::set_global_default(subscriber).expect("nobody else listens in this process");
    memory
}

/// A client that remembers every answer.
struct Ear {
    client: Client,
    heard: Mutex<String>,
}

impl Ear {
    fn new(client: Client) -> Self {
        Self { client, heard: Mutex::default() }
    }

    fn hear(&self, answer: Answer) -> Answer {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend([format!("{:?}\n", answer.headers), answer.text.clone()]);
        // As a client would read it, without JSON's escapes.
        heard.push_str(&texts(&answer.json));
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.hear(self.client.get(path).await)
    }

    async fn act(&self, path: &str) -> Answer {
        self.hear(self.client.act(path).await)
    }

    async fn write(&self, method: &str, path: &str, attributes: &Value, id: Option<u64>) -> Answer {
        let mut document = json!({"data": {"type": "mailbox", "attributes": attributes}});
        if let Some(id) = id {
            document["data"]["id"] = json!(id);
        }
        let key = [("Idempotency-Key", "canary")];
        self.hear(self.client.write(method, path, &document, if method == "POST" { &key } else { &[] }).await)
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone().into_bytes()
    }
}

fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(all) => all.iter().map(texts).collect(),
        Value::Object(all) => all.iter().flat_map(|(name, value)| [name.clone(), "\n".into(), texts(value)]).collect(),
        _ => String::new(),
    }
}

/// A secret in every spelling in which it could leak: as it is, hexadecimal, percent-encoded, as JSON escapes it, and
/// Base64 wherever it may begin in a longer text.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![secret.to_vec(), hex(secret).into_bytes(), hex(secret).to_uppercase().into_bytes()];
    let percent = percent_encoding::percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    all.extend([percent.to_lowercase().into_bytes(), percent.into_bytes()]);
    if let Ok(text) = std::str::from_utf8(secret) {
        all.push(text.escape_default().to_string().into_bytes());
        all.push(format!("{text:?}").trim_matches('"').as_bytes().to_vec());
    }
    for offset in 0..3 {
        let padded = [vec![0; offset], secret.to_vec()].concat();
        for encoded in [BASE64_STANDARD.encode(&padded), BASE64_URL_SAFE.encode(&padded)] {
            // What shares a letter with its neighbours is left out.
            let end = encoded.trim_end_matches('=').len() - usize::from(encoded.ends_with('='));
            all.push(encoded.as_bytes()[[0, 2, 3][offset]..end].to_vec());
        }
    }
    all.sort();
    all.dedup();
    all
}

fn hex(octets: &[u8]) -> String {
    octets
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn occurrences(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|window| *window == needle).count()
}

#[track_caller]
fn absent(place: &str, haystack: &[u8], secret: &[u8]) {
    for spelling in spellings(secret) {
        assert_eq!(
            occurrences(haystack, &spelling),
            0,
            "{} as {} in {place}",
            secret.escape_ascii(),
            spelling.escape_ascii()
        );
    }
}

/// Every file below a folder, with its octets.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    found
}

#[test]
fn a_secret_is_found_in_every_spelling() {
    let secret = PASSWORD.as_bytes();
    for haystack in [
        format!("x{PASSWORD}x"),
        format!("{}", json!({ "p": PASSWORD })),
        format!("{PASSWORD:?}"),
        BASE64_STANDARD.encode(format!("\0ann\0{PASSWORD}")),
        BASE64_STANDARD.encode(format!("ann:{PASSWORD}")),
        BASE64_URL_SAFE.encode(format!("anna:{PASSWORD}tail")),
        hex(secret),
        percent_encoding::utf8_percent_encode(PASSWORD, percent_encoding::NON_ALPHANUMERIC).to_string(),
    ] {
        let found = spellings(secret).iter().any(|spelling| occurrences(haystack.as_bytes(), spelling) > 0);
        assert!(found, "{haystack}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_of_an_answer_a_log_or_the_data_directory() {
    let log = logs();
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    let echo = MailServer::start(options).await.expect("the mail server starts");
    let initial = BASE64_STANDARD.encode(format!("\0ann@demo.test\0{PASSWORD}"));
    for (number, reply) in [
        format!("535 5.7.8 No such password: {PASSWORD}"),
        format!("535 5.7.8 Cannot use AUTH PLAIN {initial}"),
        format!("535-5.7.8 Bad\n535-5.7.8 {PASSWORD}\n535 5.7.8 Go away"),
    ]
    .into_iter()
    .enumerate()
    {
        let nth = u64::try_from(number).unwrap() + 1;
        echo.script(Rule::new(Point::Auth, Act::Reply(reply)).count(Count::Nth(nth)));
    }
    let postroom = Instance::start().await;
    let made = json!({"data": {"type": "token", "attributes": {"name": "ours"}}});
    let made = postroom.client.post("/api/v2/tokens", &made).await.expect(201);
    let token = made.json["meta"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(occurrences(made.text.as_bytes(), token.as_bytes()), 1);
    let ear = Ear::new(postroom.client.with_token(&token));

    let settings = json!({
        "email": "ann@demo.test", "smtpHost": "127.0.0.1", "smtpPort": echo.smtp().port(), "smtpSsl": false,
        "imapHost": "127.0.0.1", "imapPort": 1, "imapSsl": false, "password": PASSWORD,
        "sendgridApiKey": SENDGRID, "sendgridWebhookKey": WEBHOOK, "sendMethod": "smtp", "sendRequiresSync": false,
    });
    refuse(&ear, &settings).await;
    let id = ear.write("POST", "/api/v2/mailboxes", &settings, None).await.expect(201).json["data"]["id"].clone();
    ear.write("POST", "/api/v2/mailboxes", &settings, None).await.expect(201);
    ear.write("POST", "/api/v2/mailboxes", &json!({"email": "x@demo.test", "password": PASSWORD}), None)
        .await
        .expect(422);
    let id = id.as_u64().expect("an id");
    let path = format!("/api/v2/mailboxes/{id}");

    // Live, against a server that repeats what it is given, and against none at all.
    ear.act(&format!("{path}/actions/testSend")).await.expect(422);
    let mailing = postroom.mailing(id, json!({"to": ["b@demo.test"], "subject": "s", "bodyText": "t"})).await;
    postroom.until("mailboxes", id, |shown| shown["sendState"] == "authFailed").await;
    repeated_later(&postroom, &ear).await;
    ear.write("PATCH", &path, &json!({"sendPeriod": 61, "validateSend": true}), Some(id)).await.expect(422);
    ear.act(&format!("{path}/actions/testSync")).await.expect(422);
    let nowhere = json!({
        "smtpHost": "127.0.0.1", "smtpPort": 1, "smtpUsername": "relay", "smtpPassword": SMTP_PASSWORD,
        "password": SECOND_PASSWORD, "validateSync": true,
    });
    ear.write("PATCH", &path, &nowhere, Some(id)).await.expect(422);
    let mut saved = nowhere.clone();
    saved["validateSync"] = json!(false);
    ear.write("PATCH", &path, &saved, Some(id)).await.expect(200);
    ear.act(&format!("{path}/actions/testSend")).await.expect(422);

    for path in [
        path.clone(),
        format!("{path}?include=user,creator&provideAuthorizationMeta=true"),
        format!("{path}/effectiveSettings"),
        format!("/api/v2/mailings/{mailing}?include=mailbox.user"),
        "/api/v2/mailboxes?include=user".into(),
        "/api/v2/mailings".into(),
        "/api/v2/messages".into(),
        "/api/v2/users".into(),
        "/api/v2/tokens".into(),
        "/api/v2/mailboxes?fields[mailbox]=password,smtpPassword,sendgridApiKey".into(),
        format!("/api/v2/mailboxes?filter[password]={SENDGRID}"),
        "/api/v2".into(),
    ] {
        ear.get(&path).await;
    }

    let key_file = std::fs::read(postroom.home().join("master.key")).expect("the key");
    let data = postroom.home().join("data");
    let left = postroom.stop_then(|| files(&data)).await;
    assert!(
        left.iter().any(|(name, octets)| name.contains("postroom.redb") && octets.len() > 4096),
        "the store was read"
    );

    let (heard, logged) = (ear.heard(), log.text());
    assert!(occurrences(&logged, b"postroom") > 0, "the log was listened to");
    assert!(occurrences(&heard, b"sendState") > 0 && occurrences(&heard, b"repeated the credential") > 0);
    let key = key_file.trim_ascii().rsplit(|octet| *octet == b':').next().expect("the key's own line");
    let key = BASE64_URL_SAFE_NO_PAD.decode(key).expect("the key is Base64");
    assert_eq!(key.len(), 32);
    for secret in [PASSWORD, SECOND_PASSWORD, SMTP_PASSWORD, SENDGRID, WEBHOOK, REFUSED, &token].map(str::as_bytes) {
        absent("an answer", &heard, secret);
        absent("the log", &logged, secret);
        for (name, octets) in &left {
            absent(name, octets, secret);
        }
    }
    for (name, octets) in left.iter().chain([&("an answer".to_owned(), heard), &("the log".to_owned(), logged)]) {
        absent(name, octets, &key);
    }
}

/// A server that takes the password and repeats it in what it says afterwards, over SMTP and over IMAP.
async fn repeated_later(postroom: &Instance, ear: &Ear) {
    let options = Options { recipients: Recipients::Anybody, ..Options::default() };
    let echo = MailServer::start(options).await.expect("the mail server starts");
    echo.add_account("later@demo.test", PASSWORD);
    let initial = BASE64_STANDARD.encode(format!("\0later@demo.test\0{PASSWORD}"));
    echo.script(Rule::new(Point::RcptTo, Act::Reply(format!("550 5.1.1 No {PASSWORD} here"))).to("rcpt@demo.test"));
    echo.script(Rule::new(Point::Data, Act::Reply(format!("554 5.6.0 {initial}"))).to("data@demo.test"));
    echo.script(
        Rule::new(Point::FinalDot, Act::Reply(format!("554-5.7.1 No\n554 5.7.1 {PASSWORD}"))).to("dot@demo.test"),
    );
    echo.script(
        Rule::new(Point::FinalReply, Act::Raw(format!("250 2.0.0 {PASSWORD}\r\n").into())).to("fine@demo.test"),
    );
    echo.script(Rule::new(Point::ImapCommand("LIST"), Act::Reply(format!("{{tag}} NO {PASSWORD}"))));
    let settings = json!({
        "smtpHost": "127.0.0.1", "smtpPort": echo.smtp().port(), "imapHost": "127.0.0.1",
        "imapPort": echo.imap().port(), "password": PASSWORD, "sendRequiresSync": false,
    });
    let id = postroom.mailbox("later@demo.test", settings).await;
    ear.act(&format!("/api/v2/mailboxes/{id}/actions/testSync")).await.expect(422);
    for (name, state) in [("rcpt", "failed"), ("data", "failed"), ("dot", "failed"), ("fine", "delivered")] {
        let to = format!("{name}@demo.test");
        let mailing = postroom.mailing(id, json!({"to": [to], "subject": "s", "bodyText": "t"})).await;
        let shown = postroom.until_state(mailing, state).await;
        assert!(shown["attempts"][0]["text"].as_str().expect("a text").contains("not shown"), "{shown:#}");
        ear.get(&format!("/api/v2/mailings/{mailing}")).await;
    }
    postroom.until("mailboxes", id, |shown| shown["syncErroredAt"].is_string()).await;
    ear.get(&format!("/api/v2/mailboxes/{id}")).await;
}

/// Requests that fail with secrets in them.
async fn refuse(ear: &Ear, settings: &Value) {
    for (name, value) in [
        ("imapPort", json!("993")),
        ("password", json!([REFUSED])),
        ("password", json!({"text": REFUSED})),
        ("password", json!(format!("{REFUSED}\r\n"))),
        ("password", json!(REFUSED.repeat(3000))),
        ("smtpPassword", json!({REFUSED: 1})),
        ("sendgridApiKey", json!([[REFUSED]])),
        ("sendgridWebhookKey", json!(format!("{REFUSED}\0"))),
        ("authId", json!(7)),
        ("sendMethod", json!(null)),
    ] {
        let mut attributes = settings.clone();
        attributes[name] = value;
        if name == "sendMethod" {
            (attributes["validateSend"], attributes["smtpPort"]) = (json!(true), json!(1));
        }
        ear.write("POST", "/api/v2/mailboxes", &attributes, None).await.expect(422);
    }
    for body in [
        format!(r#"{{"data":{{"type":"mailbox","attributes":{{"password":"{REFUSED}""#),
        format!(r#"{{"data":{{"type":"mailbox","attributes":{{"password":{REFUSED}}}}}}}"#),
        format!(r#"{{"data":{{"type":"mailbox","attributes":{{"password":"{REFUSED}\ud800"}}}}}}"#),
        format!(r#"{{"data":{{"type":"mailbox","attributes":"{REFUSED}"}}}}"#),
        format!(r#"{{"data":"{REFUSED}"}}"#),
        format!("password={REFUSED}"),
    ] {
        let headers = &[("Content-Type", "application/json")];
        let request = crate::support::client::Request {
            method: "POST",
            path: "/api/v2/mailboxes",
            headers,
            body: Some(body.as_bytes()),
        };
        let answer = ear.hear(ear.client.send(request).await.checked());
        assert!([400, 422].contains(&answer.status), "{}", answer.text);
    }
}
