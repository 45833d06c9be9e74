//! A mailbox that was synced well before its server goes bad: what is asked then is what changed.

use super::scene::{
    ANN, Comes, MESSAGES, OPENING, at, at_each, edit, ends_well, failed, mail, server_with, settings, settled, stored,
};
use crate::support::instance::Instance;
use crate::support::journal::one_sync;
use postroom::mailserver::{Act, Options, Rule};

/// A kind of server, by name.
type Kind = (&'static str, fn() -> Options);

const PLAIN: Kind = ("plain", Options::default);
const CONDSTORE: Kind = ("CONDSTORE", Options::condstore);
const QRESYNC: Kind = ("QRESYNC", Options::qresync);

async fn meets_later(postroom: &Instance, name: &str, (kind, options): Kind, rules: &[Rule], comes: Comes) {
    let server = server_with(options(), MESSAGES).await;
    let name = format!("{name}, {kind}");
    let mailbox = postroom.mailbox(&super::scene::address(), settings(&server)).await;
    let shown = settled(&postroom.client, mailbox, &name).await;
    assert_eq!(shown["syncState"], "ok", "{name}: {shown:#}");

    server.set_flags(ANN, "INBOX", 3, &["\\Seen", "\\Flagged"]).expect("Ann has an inbox");
    server.append(ANN, "INBOX", &mail(MESSAGES + 1)).expect("Ann has an inbox");
    let rules: Vec<_> = rules.iter().map(|rule| server.script(rule.clone())).collect();
    let shown = one_sync(&postroom.client, mailbox).await;
    match comes {
        Comes::To(stage) => failed(&shown, stage, &name),
        Comes::ToNothingOr(stage) if shown["syncState"] != "ok" => failed(&shown, stage, &name),
        Comes::ToNothingOr(_) => {}
        Comes::ToNothing => assert_eq!(shown["syncState"], "ok", "{name}: {shown:#}"),
    }
    assert!(stored(&postroom.client, mailbox).await.values().all(|ids| ids.len() == 1), "{name}");

    for rule in rules {
        server.clear(rule);
    }
    server.append(ANN, "INBOX", &mail(MESSAGES + 2)).expect("Ann has an inbox");
    server.set_flags(ANN, "INBOX", 4, &["\\Seen", "\\Flagged"]).expect("Ann has an inbox");
    one_sync(&postroom.client, mailbox).await;
    ends_well(postroom, mailbox, MESSAGES + 2, &name).await;
    // Of a server that counts changes and then says that there were none, nobody learns of them.
    let numbers = if name.starts_with("nothing to be found") { &[4][..] } else { &[3, 4] };
    for number in numbers {
        let path = format!("/api/v2/messages?filter[mailbox][id]={mailbox}&filter[messageId]=%3C{number}@demo.test%3E");
        let flags = postroom.client.get(&path).await.expect(200).json["data"][0]["attributes"]["flags"].clone();
        assert_eq!(flags, serde_json::json!(["\\Flagged", "\\Seen"]), "{name}: {number}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_a_server_garbles_are_asked_for_again() {
    let postroom = Instance::start().await;
    let raw = |bytes: &str| Act::Raw(bytes.into());
    for kind in [PLAIN, CONDSTORE, QRESYNC] {
        for (name, rules, comes) in [
            ("dropped", at("FETCH", &Act::Drop), Comes::To("fetch")),
            ("done and dropped", at("FETCH", &Act::AcceptThenDrop), Comes::To("fetch")),
            ("BYE", at("FETCH", &Act::Reply("* BYE Later".into())), Comes::To("fetch")),
            ("no IMAP", at("FETCH", &raw("HTTP/1.1 400 Bad Request\r\n\r\n")), Comes::To("fetch")),
            ("a UID beyond numbers", at("FETCH", &raw("* 1 FETCH (UID 99999999999)\r\n")), Comes::To("fetch")),
            ("a range beyond numbers", at("FETCH", &raw("* VANISHED (EARLIER) 1:99999999999\r\n")), Comes::To("fetch")),
            ("everything refused", at("FETCH", &Act::Reply("{tag} NO cannot".into())), Comes::ToNothingOr("fetch")),
            ("nothing to be found", at("FETCH", &Act::Reply("{tag} OK done".into())), Comes::ToNothingOr("fetch")),
            (
                "nothing listed",
                at("SEARCH", &Act::Reply("* SEARCH\n{tag} OK done".into())),
                Comes::ToNothingOr("fetch"),
            ),
            ("nothing there", at_each(&OPENING, &edit("* 13 EXISTS", "* 0 EXISTS")), Comes::ToNothingOr("fetch")),
            ("less there", at_each(&OPENING, &edit("* 13 EXISTS", "* 4 EXISTS")), Comes::ToNothingOr("fetch")),
            (
                "a pile",
                at("FETCH", &Act::Before(b"* 1 EXPUNGE\r\n* 9 EXISTS\r\n* 2 FETCH (FLAGS ())\r\n".to_vec())),
                Comes::ToNothing,
            ),
        ] {
            meets_later(&postroom, name, kind, &rules, comes).await;
        }
    }
    postroom.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abilities_that_a_server_only_claims_do_no_harm() {
    let postroom = Instance::start().await;
    let counts = |code: &str| edit("OK [HIGHESTMODSEQ", &format!("OK [{code}] x\r\n* OK [X-WAS"));
    for kind in [CONDSTORE, QRESYNC] {
        for (name, rules, comes) in [
            ("an empty list", at("ENABLE", &Act::Reply("* ENABLED\n{tag} OK done".into())), Comes::ToNothing),
            ("no list", at("ENABLE", &Act::Reply("{tag} OK done".into())), Comes::ToNothing),
            ("refused", at("ENABLE", &Act::Reply("{tag} BAD what?".into())), Comes::ToNothing),
            ("dropped", at("ENABLE", &Act::Drop), Comes::To("capabilities")),
            ("no mod-sequences", at_each(&OPENING, &counts("NOMODSEQ")), Comes::ToNothing),
            ("counted backwards", at_each(&OPENING, &counts("HIGHESTMODSEQ 1")), Comes::ToNothing),
            ("none", at_each(&OPENING, &counts("HIGHESTMODSEQ 0")), Comes::ToNothing),
            ("as high as it goes", at_each(&OPENING, &counts("HIGHESTMODSEQ 9223372036854775807")), Comes::ToNothing),
        ] {
            meets_later(&postroom, name, kind, &rules, comes).await;
        }
    }
    postroom.stop().await;
}
