//! The octets of messages: raw and attachments, from the store and from the server.

use crate::peers::dovecot::{self, Dovecot};
use crate::support::client::{Answer, Client, Request};
use crate::support::instance::Instance;
use postroom::config::{ByteSize, Config};
use postroom::mailserver::{Act, Count, Gate, MailServer, Options, Point, Rule};
use postroom::store::look_through;
use serde_json::{Value, json};
use std::time::Duration;

const ANN: &str = "ann@mail.test";
const PASSWORD: &str = "ann's secret";

/// A mail of about three megabytes with two attachments and one name that is none.
fn large() -> Vec<u8> {
    let line = format!("{}\r\n", "A".repeat(76));
    let picture = line.repeat(40_000);
    format!(
        "Message-ID: <large@else.test>\r\nFrom: rosa@else.test\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nlook\r\n--b\r\n\
         Content-Type: text/html; name*=UTF-8''Gr%C3%BC%C3%9Fe.html\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n<script>alert(=31)</script>\r\n--b\r\n\
         Content-Type: image/png; name=\"../../etc/passwd\"\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{picture}\r\n--b--\r\n"
    )
    .into_bytes()
}

fn get(path: &str) -> Request<'_> {
    Request { method: "GET", path, headers: &[], body: None }
}

async fn download(client: &Client, path: &str) -> Answer {
    client.send(get(path)).await
}

async fn message(postroom: &Instance) -> Value {
    for _ in 0..600 {
        let listed = postroom.client.get("/api/v2/messages").await.expect(200);
        if let Some(message) = listed.json["data"].get(0) {
            return message.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was synced");
}

fn settings(server: &MailServer) -> Value {
    json!({
        "imapHost": "127.0.0.1", "imapPort": server.imap().port(), "imapSsl": false, "password": PASSWORD,
        "sendDisabled": true,
    })
}

async fn server() -> MailServer {
    let server = MailServer::start(Options::default()).await.expect("a mail server on loopback");
    server.add_account(ANN, PASSWORD);
    server.append(ANN, "INBOX", &large()).expect("Ann has an inbox");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_given_out_decoded_and_never_to_be_rendered() {
    let server = server().await;
    let postroom = Instance::start().await;
    postroom.mailbox(ANN, settings(&server)).await;
    let message = message(&postroom).await;
    assert_eq!(message["attributes"]["bodyStored"], true);
    let id = message["id"].as_u64().expect("an id");
    let path = format!("/api/v2/messages/{id}");
    let attachments = message["attributes"]["attachments"].as_array().expect("a list").clone();
    assert_eq!(attachments.len(), 2);
    let part = |index: usize| format!("{path}/attachments/{}", attachments[index]["part"]);

    let page = download(&postroom.client, &part(0)).await;
    assert_eq!((page.status, page.octets.as_slice()), (200, &b"<script>alert(1)</script>"[..]));
    for (name, value) in [
        ("content-disposition", "attachment; filename=\"Gr__e.html\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.html"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let picture = download(&postroom.client, &part(1)).await;
    assert_eq!(picture.octets.len(), 40_000 * 57);
    assert_eq!(picture.header("content-disposition"), Some("attachment; filename=\"passwd\""));
    assert_eq!(picture.header("content-length"), Some("2280000"));

    let raw = download(&postroom.client, &format!("{path}/raw")).await;
    assert!(raw.octets == large(), "octet for octet");
    assert_eq!(raw.header("content-type"), Some("message/rfc822"));
    assert_eq!(raw.header("content-length").map(str::to_owned), Some(large().len().to_string()));
    for unknown in [format!("{path}/attachments/99"), format!("{path}/attachments/x"), "/api/v2/messages/99/raw".into()]
    {
        postroom.client.get(&unknown).await.expect(404);
    }
    postroom.stop().await;
    server.stop().await;
}

/// Forgets the octets of every message, as upkeep does where the configuration says so.
async fn forget_bodies(postroom: &Instance) {
    let store = postroom.app.store();
    let all = look_through(&store.read().expect("a snapshot"), 0, 100, |_| true).expect("a read").found;
    store.write(move |work| work.forget_bodies(&all)).await.expect("a commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_comes_from_dovecot() {
    let Some(dovecot) = Dovecot::start(&dovecot::Options::default()) else { return };
    dovecot.append(ANN, "INBOX", &large());
    let mut config = Config::default();
    config.net.extra_ca_file = Some(dovecot.authority_file.clone());
    // Too large to be stored whole.
    config.sync.message_size = ByteSize::mib(1);
    let postroom = Instance::start_with(config).await;
    let settings = json!({
        "imapHost": dovecot.host(), "imapPort": dovecot.imaps.port(), "imapSsl": true, "password": PASSWORD,
    });
    postroom.mailbox(ANN, settings).await;
    let message = message(&postroom).await;
    assert_eq!(message["attributes"]["bodyStored"], false);
    let raw = download(&postroom.client, &format!("/api/v2/messages/{}/raw", message["id"])).await;
    assert_eq!(raw.status, 200);
    assert!(raw.octets == large(), "{} octets of {}", raw.octets.len(), large().len());
    // It was looked at, not read.
    assert!(dovecot.list(ANN, "INBOX").iter().all(|listed| !format!("{:?}", listed.flags).contains("Seen")));
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_comes_from_the_server_unless_it_is_another_message() {
    let server = server().await;
    let postroom = Instance::start().await;
    let mailbox = postroom.mailbox(ANN, settings(&server)).await;
    let message = message(&postroom).await;
    let path = format!("/api/v2/messages/{}", message["id"]);
    let attachment = format!("{path}/attachments/{}", message["attributes"]["attachments"][1]["part"]);
    forget_bodies(&postroom).await;
    let client = &postroom.client;
    let shown = client.get(&path).await.expect(200);
    assert_eq!(shown.json["data"]["attributes"]["bodyStored"], false);
    assert!(shown.json["data"]["attributes"]["bodyText"].is_null());
    assert!(download(client, &format!("{path}/raw")).await.octets == large());
    assert_eq!(download(client, &attachment).await.octets.len(), 40_000 * 57);

    // Cut in the middle: fewer octets come, and the connection breaks rather than ending well.
    let cut = server.script(Rule::new(Point::ImapFetchLiteral, Act::Drop).count(Count::Nth(2)));
    assert!(client.try_send(get(&format!("{path}/raw"))).await.is_err());
    server.clear(cut);
    // Removed by somebody else after its first piece: what came is not taken for the whole.
    let gate = Gate::new();
    let second = server.script(Rule::new(Point::ImapFetchLiteral, Act::Hold(gate.clone())).count(Count::Nth(2)));
    let raw = format!("{path}/raw");
    let reading = client.try_send(get(&raw));
    let removing = async {
        gate.arrived(1).await;
        server.remove(ANN, "INBOX", &[1]).expect("Ann has an inbox");
        gate.open();
    };
    let (answer, ()) = tokio::join!(reading, removing);
    assert!(answer.is_err(), "{} octets of {}", answer.map_or(0, |answer| answer.octets.len()), large().len());
    server.clear(second);
    server.append(ANN, "INBOX", &large()).expect("Ann has an inbox");
    postroom.client.act(&format!("/api/v2/mailboxes/{mailbox}/actions/sync")).await.expect(200);
    for _ in 0..600 {
        if client.send(get(&raw)).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    forget_bodies(&postroom).await;
    // Nobody can log in.
    let refused = server.script(Rule::new(Point::ImapLogin, Act::Reply("{tag} NO [AUTHENTICATIONFAILED] no".into())));
    let answer = client.get(&format!("{path}/raw")).await.expect(409);
    let detail = answer.json["errors"][0]["detail"].as_str().expect("a detail");
    assert!(detail.contains("could not be asked"), "{detail}");
    server.clear(refused);
    assert!(download(client, &format!("{path}/raw")).await.octets == large(), "it works again");

    // Numbered anew: at that place may be another message.
    server.set_uid_validity(ANN, "INBOX", 4_000_000_000).expect("Ann has an inbox");
    let answer = client.get(&format!("{path}/raw")).await.expect(409);
    let detail = answer.json["errors"][0]["detail"].as_str().expect("a detail");
    assert!(detail.contains("no longer where it was last seen"), "{detail}");
    server.remove(ANN, "INBOX", &[1, 2]).expect("Ann has an inbox");
    client.get(&attachment).await.expect(409);
    postroom.stop().await;
    server.stop().await;
}
