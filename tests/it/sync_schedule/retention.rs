//! What was forgotten is not synced again, whatever the server does with it.

use super::rig::{Fleet, PASSWORD, clock, mail_server, until};
use postroom::config::SyncConfig;
use postroom::mailserver::Options;
use postroom::store::look_through;
use serde_json::json;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
const ANN: &str = "ann@well.test";

fn mail(number: u32) -> Vec<u8> {
    format!("Message-ID: <{number}@x>\r\nFrom: x@example.org\r\nSubject: {number}\r\n\r\nbody\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_mail_is_not_synced_again_whatever_becomes_of_it_on_the_server() {
    for options in [Options::default(), Options::qresync()] {
        let clock = clock();
        let server = mail_server(&clock, options).await;
        server.add_account(ANN, PASSWORD);
        server.add_folder(ANN, "Archive").expect("Ann has an account");
        let config = SyncConfig { idle: 0, keep_messages: Some(10 * DAY), ..SyncConfig::default() };
        let retention = config.retention();
        let fleet = Fleet::start(clock, config, &[("well.test", Some(server.imap()))]).await;
        for (number, days) in [(1, 300), (2, 12), (3, 9), (4, 2)] {
            server.append_at(ANN, "INBOX", &mail(number), fleet.now().minus(days * DAY)).expect("Ann has an inbox");
        }
        let ann = fleet.mailbox("ann", "well.test", json!({"syncFolders": "Archive"})).await;
        let subjects = || {
            let mut all: Vec<u32> =
                fleet.messages().iter().map(|message| message.subject.as_ref().unwrap().parse().unwrap()).collect();
            all.sort_unstable();
            all
        };
        let sync = async || {
            let before = server.connections().logins;
            assert!(fleet.handle().sync_now(ann));
            until("a sync begins", || server.connections().logins > before).await;
            fleet.settled(&[ann]).await;
        };
        fleet.settled(&[ann]).await;
        assert_eq!(subjects(), [3, 4], "the first sync reaches back no further");

        fleet.clock.advance(2 * DAY);
        fleet.settled(&[ann]).await;
        let now = fleet.now();
        let old = look_through(&fleet.store.read().unwrap(), 0, 100, |message| retention.is_over(message, now));
        let old = old.expect("a read").found;
        assert_eq!(old.len(), 1);
        let forget = fleet.store.write(move |work| work.forget_messages(&old));
        forget.await.expect("it is forgotten");
        assert_eq!(subjects(), [4]);
        let log = *fleet.store.events().borrow();
        sync().await;
        assert_eq!((subjects(), *fleet.store.events().borrow()), (vec![4], log), "nothing is new");

        // Numbered anew, moved, and flagged: it is fetched at most, and not stored.
        server.set_uid_validity(ANN, "INBOX", 4_000_000_000).expect("Ann has an inbox");
        sync().await;
        assert_eq!(subjects(), [4]);
        let third = server.messages(ANN, "INBOX").expect("Ann has an inbox")[2].clone();
        server.append_at(ANN, "Archive", &third.raw, third.date).expect("Ann has an archive");
        server.remove(ANN, "INBOX", &[third.uid]).expect("Ann has an inbox");
        sync().await;
        assert_eq!(subjects(), [4]);
        server.append(ANN, "INBOX", &mail(5)).expect("Ann has an inbox");
        sync().await;
        assert_eq!(subjects(), [4, 5], "new mail comes as ever");
        fleet.stop().await;
        server.stop().await;
    }
}
