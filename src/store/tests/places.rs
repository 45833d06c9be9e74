use super::format_1::message;
use super::*;
use crate::domain::message::Message;
use crate::store::{Placed, ServerPlace};

const RAW: &[u8] = b"Message-ID: <1@example.org>\r\n\r\nHello\r\n";

/// A message that a server shows at several places; the record shows one that is left.
#[tokio::test]
async fn a_record_shows_what_a_place_that_is_left_shows() {
    let (runtime, _) = runtime();
    let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault(1), runtime).unwrap();
    let place = |folder: &'static str, uid| ServerPlace { mailbox: 1, folder, uid_validity: 4, uid };
    let id = store
        .write(move |work| {
            let flagged = |flags: &[&str]| flags.iter().map(ToString::to_string).collect::<Vec<_>>();
            let message = Message { flags: flagged(&["\\Seen"]), folder: "INBOX".into(), ..message() };
            let id = work.create_message(message, "<1@example.org>", RAW)?;
            let placed = |folder: &str, flags: &[&str]| Placed { folder: folder.into(), flags: flagged(flags) };
            work.place_message(&place("A", 7), id, &placed("A", &[]))?;
            work.place_message(&place("INBOX", 9), id, &placed("INBOX", &["\\Seen"]))?;
            work.place_message(&place("INBOX", 10), id, &placed("INBOX", &["$Label1", "\\Seen"]))?;
            Ok::<_, StoreError>(id)
        })
        .await
        .unwrap();
    let shown = || {
        let message = get::<Message>(&store.read().unwrap(), id).unwrap().unwrap();
        (message.folder, message.flags.join(" "), message.deleted_at.is_some())
    };
    for (gone, left) in [
        (place("INBOX", 9), ("INBOX", "$Label1 \\Seen", false)),
        (place("INBOX", 10), ("A", "", false)),
        (place("A", 7), ("A", "", true)),
    ] {
        store.write(move |work| work.vanish(&gone)).await.unwrap();
        assert_eq!(shown(), (left.0.to_owned(), left.1.to_owned(), left.2));
    }
}
