use super::scene::{MESSAGES, PASSWORD, SIZE, at, edit, failed, server, settled, stored};
use crate::support::binary::Home;
use crate::support::client::Client;
use crate::support::server::Server;
use postroom::mailserver::{Act, MailServer, Point, Rule};
use serde_json::{Value, json};

/// What the process may have had at its peak, in bytes.
const MEMORY: u64 = 128 << 20;

const GIGABYTE: u64 = 1 << 30;

/// The same block until a gigabyte is full.
fn gigabyte_of(block: &[u8]) -> Act {
    let block = block.repeat((64 << 10) / block.len());
    let times = GIGABYTE / block.len() as u64;
    Act::Flood(block, times)
}

async fn mailbox(client: &Client, server: &MailServer, number: usize) -> u64 {
    let mut attributes = super::scene::settings(server);
    attributes["email"] = json!(format!("ann{number}@demo.test"));
    client.create("mailbox", "mailboxes", &attributes).await["id"].as_u64().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_anything_costs_little_memory() {
    let home = Home::new();
    let token = home.administrator();
    let postroom = Server::start(&home);
    let client = Client::new(&postroom.url, Some(&token));
    let announced = |bytes: &[u8]| Act::Before(bytes.to_vec());
    let connect = |act| vec![Rule::new(Point::ImapConnect, act)];
    let both = |verb, first: Act, second: Act| [at(verb, &first), at(verb, &second)].concat();
    let cases: Vec<(&str, Vec<Rule>, &str)> = vec![
        ("greeting", connect(gigabyte_of(b"* OK hello ")), "greeting"),
        ("greetings", connect(gigabyte_of(b"* OK hello\r\n")), "capabilities"),
        ("capabilities", at("CAPABILITY", &gigabyte_of(b"* CAPABILITY IMAP4rev1\r\n")), "capabilities"),
        ("capability", both("CAPABILITY", announced(b"* CAPABILITY"), gigabyte_of(b" IMAP4rev1")), "capabilities"),
        ("log-in", at("LOGIN", &gigabyte_of(b"* OK almost\r\n")), "authentication"),
        ("folders", at("LIST", &gigabyte_of(b"* LIST () \"/\" x\r\n")), "folderList"),
        ("one line", at("FETCH", &gigabyte_of(b"x")), "fetch"),
        ("ten million UIDs", both("SEARCH", announced(b"* SEARCH"), gigabyte_of(b" 4000000")), "fetch"),
        ("UIDs in lines", at("SEARCH", &gigabyte_of(b"* SEARCH 1 2 3 4 5 6 7 8 9\r\n")), "fetch"),
        (
            "one literal",
            both("FETCH", announced(b"* 1 FETCH (UID 12 BODY[] {1073741824}\r\n"), gigabyte_of(b"x")),
            "fetch",
        ),
        ("small literals", at("FETCH", &gigabyte_of(b"* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n")), "fetch"),
        ("flags", at("FETCH", &gigabyte_of(b"* 1 FETCH (FLAGS (\\Seen))\r\n")), "fetch"),
        ("news", at("FETCH", &gigabyte_of(b"* 9 EXISTS\r\n* 1 EXPUNGE\r\n")), "fetch"),
        ("lists in lists", at("FETCH", &gigabyte_of(b"* 1 FETCH (BODYSTRUCTURE (((((\r\n")), "fetch"),
    ];
    for (number, (name, rules, stage)) in cases.into_iter().enumerate() {
        let server = server(MESSAGES).await;
        for rule in rules {
            server.script(rule);
        }
        let mailbox = mailbox(&client, &server, number).await;
        failed(&settled(&client, mailbox, name).await, stage, name);
        let memory = postroom.peak_memory();
        assert!(memory < MEMORY, "{name}: {} MB", memory >> 20);
        server.stop().await;
    }
    println!("peak memory after a gigabyte of each: {} MB", postroom.peak_memory() >> 20);
    assert!(postroom.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_come_without_their_bodies_and_large_ones_cost_little_memory() {
    let home = Home::new();
    let token = home.administrator();
    let postroom = Server::start(&home);
    let client = Client::new(&postroom.url, Some(&token));

    // Each is said to have a gigabyte.
    let giants = server(MESSAGES).await;
    for rule in at("FETCH", &edit(&format!("RFC822.SIZE {SIZE}"), "RFC822.SIZE 1073741824")) {
        giants.script(rule);
    }
    let id = mailbox(&client, &giants, 0).await;
    let shown = settled(&client, id, "giants").await;
    assert_eq!(shown["syncState"], "ok", "{shown:#}");
    let kept = stored(&client, id).await;
    assert_eq!(kept.len(), MESSAGES as usize, "{kept:?}");
    let first: Value = client.get(&format!("/api/v2/messages/{}", kept["<1@demo.test>"][0])).await.expect(200).json;
    let attributes = &first["data"]["attributes"];
    assert_eq!(attributes["size"], 1_073_741_824u64, "{attributes:#}");
    assert!(attributes["parseProblems"].as_array().is_some_and(|all| !all.is_empty()), "{attributes:#}");

    // Twenty honest ones of six megabytes.
    let large = server(0).await;
    for number in 1..=20 {
        let mut mail = format!("Message-ID: <{number}@demo.test>\r\nSubject: large\r\n\r\n").into_bytes();
        mail.extend(b"A line of a large message that goes on and on, as attachments do.\r\n".repeat(6 << 14));
        large.append(super::scene::ANN, "INBOX", &mail).expect("Ann has an inbox");
    }
    let id = mailbox(&client, &large, 1).await;
    let shown = settled(&client, id, "large").await;
    assert_eq!(shown["syncState"], "ok", "{shown:#}");
    assert_eq!(stored(&client, id).await.len(), 20);
    let memory = postroom.peak_memory();
    println!("peak memory after 20 messages of 6 MB: {} MB", memory >> 20);
    assert!(memory < MEMORY, "{} MB", memory >> 20);
    assert!(!postroom.logs().contains(PASSWORD));
    assert!(postroom.stop().success());
}
