//! Pours what a server had into the store: parsed, recognised, deduplicated, and committed together with the cursor,
//! so that a kill at any point resumes exactly.

use super::conversation;
use super::recognise::{Meaning, recognise};
use super::screen::Screen;
use super::source::{Fetched, Known, WantedFolder};
use crate::domain::classification::Classification;
use crate::domain::event::EventKind;
use crate::domain::mailbox::Mailbox;
use crate::domain::message::{Direction, FolderCursor, Message};
use crate::domain::retention::Retention;
use crate::domain::words::Words;
use crate::mime::{self, Incoming};
use crate::store::{
    Placed, Reader, ServerPlace, StoreError, WordsOfBatch, Work, get, mailing_by_message_id, message_by_identity, raw,
    status,
};
use std::sync::Arc;

/// What a folder is for; decides which way its messages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderRole {
    Inbox,
    Sent,
    /// Chosen beside these.
    Other,
}

/// A message made ready outside the writer thread.
#[derive(Clone)]
pub(super) struct Prepared {
    uid: u32,
    identity: String,
    message: Message,
    words: Words,
    meaning: Meaning,
    /// Everybody else in it is on a list of exclusions.
    is_excluded: bool,
    raw: Vec<u8>,
    /// The provider's own number of the message.
    provider_id: Option<u64>,
}

/// Where a batch comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub mailbox: u64,
    /// The settings that it was fetched with.
    pub generation: u64,
    /// The mailbox's own addresses, and whose mail is not stored.
    pub screen: Arc<Screen>,
    /// The server's name of the folder.
    pub folder: String,
    /// The name that people see.
    pub title: String,
    pub role: FolderRole,
    /// What is too old to be stored.
    pub retention: Retention,
}

impl Origin {
    pub fn of(mailbox: &Mailbox, folder: &WantedFolder, screen: &Arc<Screen>) -> Self {
        Self {
            mailbox: mailbox.id,
            generation: mailbox.generation,
            screen: screen.clone(),
            folder: folder.name.clone(),
            title: folder.title.clone(),
            role: folder.role,
            retention: Retention::default(),
        }
    }

    #[must_use]
    pub fn keeping(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// The mailbox alone, without a folder.
    pub fn of_mailbox(mailbox: &Mailbox) -> Self {
        let (name, title) = (String::new(), String::new());
        Self::of(mailbox, &WantedFolder { name, title, role: FolderRole::Other }, &Arc::default())
    }

    /// Where the server has one of the folder's messages.
    pub fn place(&self, uid_validity: u32, uid: u32) -> ServerPlace<'_> {
        ServerPlace { mailbox: self.mailbox, folder: &self.folder, uid_validity, uid }
    }
}

/// Parses one message. Never fails: what cannot be read is stored with a note.
pub(super) fn prepare(origin: &Origin, fetched: Fetched) -> Prepared {
    prepare_with(origin, fetched, mime::parse_with_words)
}

fn prepare_with(origin: &Origin, fetched: Fetched, parse: impl FnOnce(&[u8]) -> (Incoming, Words)) -> Prepared {
    let (mut incoming, words) = parse(&fetched.raw);
    let identity = identity(&fetched);
    let meaning = Meaning::of(&mut incoming);
    let message = message(origin, &fetched, incoming);
    let is_excluded = origin.screen.excludes(&message);
    let provider_id = fetched.provider_numbers.map(|(message, _)| message);
    Prepared { uid: fetched.uid, identity, message, words, meaning, is_excluded, raw: fetched.raw, provider_id }
}

/// What a message is known by.
fn identity(fetched: &Fetched) -> String {
    // Without its body a message is known by its size as well: it may have the header of another.
    let size = if fetched.truncated { u64::from(fetched.size) } else { 0 };
    mime::identity(&fetched.raw, size)
}

/// What a message is known by at a provider that has numbers of its own.
pub(super) fn provider_identity(number: u64) -> String {
    format!("provider:{number}")
}

fn message(origin: &Origin, fetched: &Fetched, incoming: Incoming) -> Message {
    let own = incoming.from.iter().any(|person| origin.screen.is_own(&person.address));
    let direction = if own || origin.role == FolderRole::Sent { Direction::Outbound } else { Direction::Inbound };
    let mut parse_problems = incoming.problems;
    if fetched.truncated {
        parse_problems.push("The message is larger than the size limit; only its header is stored.".into());
    }
    Message {
        id: 0,
        mailbox_id: origin.mailbox,
        direction,
        message_id: incoming.message_id,
        in_reply_to: incoming.in_reply_to,
        references: incoming.references,
        from: incoming.from,
        to: incoming.to,
        cc: incoming.cc,
        bcc: incoming.bcc,
        reply_to: incoming.reply_to,
        subject: incoming.subject,
        snippet: incoming.snippet,
        sent_at: incoming.sent_at,
        received_at: fetched.internal_date,
        folder: origin.title.clone(),
        flags: fetched.flags.clone(),
        size: u64::from(fetched.size),
        classification: Classification::Other,
        attachments: incoming.attachments,
        authentication_results: incoming.authentication_results,
        parse_problems,
        created_at: crate::domain::time::Timestamp::default(),
        mailing_id: None,
        deleted_at: None,
        thread_id: None,
        body_stored: !fetched.truncated,
        provider_thread: fetched.provider_numbers.map(|(_, thread)| thread.to_string()),
        by_content: true,
        bounces: Vec::new(),
    }
}

/// A batch that is ready to be committed.
#[derive(Clone, Default)]
pub(super) struct Ready {
    new: Vec<Prepared>,
    /// The words of all of `new`.
    words: WordsOfBatch,
    /// Stored already; only their places are new.
    known: Vec<Known>,
    cursor: FolderCursor,
}

impl Ready {
    pub fn of(new: Vec<Prepared>, known: Vec<Known>, cursor: FolderCursor) -> Self {
        let words = WordsOfBatch::of(new.iter().map(|prepared| &prepared.words));
        Self { new, words, known, cursor }
    }
}

/// Whether what was fetched for a mailbox still means anything: it may have been deleted, or have become another
/// account, while the fetch was under way.
pub(super) fn is_current(work: &Work, origin: &Origin) -> Result<bool, StoreError> {
    Ok(get::<Mailbox>(work, origin.mailbox)?.is_some_and(|mailbox| mailbox.generation == origin.generation))
}

/// Commits a batch and the cursor that it makes true; how many messages were new.
pub(super) fn commit(work: &mut Work, origin: &Origin, batch: &Ready) -> Result<usize, StoreError> {
    if let Some(shortage) = work.shortage().filter(|_| !batch.new.is_empty()) {
        return Err(StoreError::Full(shortage));
    }
    if !is_current(work, origin)? {
        return Ok(0);
    }
    let mut ids: Vec<Option<u64>> = Vec::with_capacity(batch.new.len());
    let mut files_copies = status(work, origin.mailbox)?.files_sent_copies;
    for prepared in &batch.new {
        let placed = Placed { folder: origin.title.clone(), flags: prepared.message.flags.clone() };
        let id = if let Some(id) = stored_as(work, origin.mailbox, prepared)? {
            work.restore_message(id, &placed)?;
            ids.push(None);
            id
        } else {
            let mut message = prepared.message.clone();
            message.created_at = work.now();
            let recognised = recognise(work, &mut message, &prepared.meaning)?;
            if message.received_at.is_some_and(|at| origin.retention.is_too_old(at, work.now())) {
                // What it says counts all the same.
                if let Some(consequences) = recognised.consequences {
                    work.follow(consequences, None)?;
                }
                work.pass_over(&origin.place(batch.cursor.uid_validity, prepared.uid))?;
                ids.push(None);
                continue;
            }
            if prepared.is_excluded && !recognised.concerns_us {
                work.count_excluded(&message, &prepared.identity)?;
                work.pass_over(&origin.place(batch.cursor.uid_validity, prepared.uid))?;
                ids.push(None);
                continue;
            }
            let by_message_id = message.message_id.as_ref().map(|id| format!("<{id}>"));
            let id = work.create_message(message, &prepared.identity, &prepared.raw)?;
            ids.push(Some(id));
            if let Some(identity) = by_message_id {
                work.identify_message(origin.mailbox, &identity, id)?;
            }
            if let Some(consequences) = recognised.consequences {
                work.follow(consequences, Some(id))?;
            }
            if prepared.message.provider_thread.is_some() {
                conversation::note(work, id, prepared.meaning.nature())?;
            }
            id
        };
        if let Some(number) = prepared.provider_id {
            work.identify_message(origin.mailbox, &provider_identity(number), id)?;
        }
        work.place_message(&origin.place(batch.cursor.uid_validity, prepared.uid), id, &placed)?;
        if origin.role == FolderRole::Sent {
            learn_from_copy(work, origin, &prepared.message, &mut files_copies)?;
        }
    }
    for known in &batch.known {
        let placed = Placed { folder: origin.title.clone(), flags: known.flags.clone() };
        work.restore_message(known.message, &placed)?;
        work.place_message(&origin.place(batch.cursor.uid_validity, known.uid), known.message, &placed)?;
    }
    work.index_words(&batch.words, &ids)?;
    work.put_cursor(origin.mailbox, &origin.folder, &batch.cursor)?;
    Ok(ids.into_iter().flatten().count())
}

/// The message that is stored already, if this one is.
fn stored_as(work: &mut Work, mailbox: u64, prepared: &Prepared) -> Result<Option<u64>, StoreError> {
    if let Some(id) = message_by_identity(work, mailbox, &prepared.identity)? {
        return Ok(Some(id));
    }
    // Messages used to be known by their Message-ID alone.
    let Some(message_id) = &prepared.message.message_id else { return Ok(None) };
    let Some(id) = message_by_identity(work, mailbox, &format!("<{message_id}>"))? else { return Ok(None) };
    let Some(known) = get::<Message>(work, id)?.filter(|known| !known.by_content) else { return Ok(None) };
    let Some(raw) = raw(work, id)? else { return Ok(None) };
    if ![0, known.size].iter().any(|size| mime::identity(&raw, *size) == prepared.identity) {
        return Ok(None);
    }
    work.identify_message(mailbox, &prepared.identity, id)?;
    Ok(Some(id))
}

/// A copy of a mailing that we did not file ourselves: the server files what it accepts. That settles the doubt about a
/// mailing too: it is asked about now.
fn learn_from_copy(
    work: &mut Work,
    origin: &Origin,
    message: &Message,
    known: &mut Option<bool>,
) -> Result<(), StoreError> {
    let Some(id) = &message.message_id else { return Ok(()) };
    let Some(before) = mailing_by_message_id(work, id)?.filter(|mailing| mailing.mailbox_id == origin.mailbox) else {
        return Ok(());
    };
    let may_be_ours = before.sent_copy.as_ref().is_some_and(|copy| copy.begun);
    // One that was also received may have been moved here by a person or a filter.
    let received = before.recipients.iter().any(|recipient| origin.screen.is_own(&recipient.address));
    if !may_be_ours && !received && *known != Some(true) {
        *known = Some(true);
        let mut health = status(work, origin.mailbox)?;
        health.files_sent_copies = *known;
        work.put_status(origin.mailbox, &health)?;
    }
    let mut after = before.clone();
    if !may_be_ours {
        // Whoever has it, the server had it from us.
        after.came_back(work.now());
    }
    if let Some(doubt) = &mut after.doubt {
        doubt.next = work.now();
    }
    if after != before {
        work.save_mailing(&before, &after)?;
        work.mailing_event(EventKind::MailingUpdated, &after)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::list::ListQuery;
    use crate::domain::mailing::{Content, Mailing};
    use crate::runtime::{Runtime, SeededRandom};
    use crate::store::{Store, cursor, list};
    use crate::vault::{MasterKey, Vault};
    use serde_json::{Value, json};

    async fn store_with_mailbox(folder: &std::path::Path) -> (Store, Mailbox) {
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let store = Store::open(&folder.join("store.redb"), 1 << 20, vault, Runtime::system()).unwrap();
        let mailbox: Mailbox = serde_json::from_value(json!({
            "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "generation": 1,
            "created_at": "2026-01-01", "updated_at": "2026-01-01", "settings": {"email": "ann@example.org"},
        }))
        .unwrap();
        let mailbox = store.write(move |work| work.create_mailbox(mailbox.clone(), &[])).await.unwrap();
        (store, mailbox)
    }

    fn origin_of(store: &Store, mailbox: &Mailbox, name: &str, role: FolderRole) -> Origin {
        let screen = Screen::of(&store.read().unwrap(), mailbox).unwrap();
        Origin::of(mailbox, &WantedFolder { name: name.into(), title: name.into(), role }, &Arc::new(screen))
    }

    fn fetched(uid: u32, raw: &str) -> Fetched {
        let raw = raw.replace('\n', "\r\n").into_bytes();
        let size = u32::try_from(raw.len()).unwrap();
        let flags = Vec::new();
        Fetched { uid, flags, internal_date: None, size, raw, truncated: false, provider_numbers: None }
    }

    fn cursor_at(uid: u32) -> FolderCursor {
        FolderCursor { uid_validity: 1, low: uid, high: uid, backfilled: true, ..FolderCursor::default() }
    }

    async fn ingest(store: &Store, origin: &Origin, uid: u32, raw: &str) -> usize {
        let batch = Ready::of(vec![prepare(origin, fetched(uid, raw))], Vec::new(), cursor_at(uid));
        let origin = origin.clone();
        store.write(move |work| commit(work, &origin, &batch)).await.unwrap()
    }

    /// A mailing of the mailbox that is in doubt, with what is known of our own copy.
    async fn doubtful(store: &Store, mailbox: u64, to: &str, sent_copy: Value) -> u64 {
        let mailing: Mailing = serde_json::from_value(json!({
            "id": 0, "mailbox_id": mailbox, "user_id": 1, "mailbox_address": "ann@example.org",
            "created_at": "2026-01-01", "updated_at": "2026-01-01", "state": "delivering",
            "state_changed_at": "2026-01-01", "mailing_type": "single", "message_id": "1@example.org",
            "recipients": [{"kind": "to", "name": null, "address": to}], "sent_copy": sent_copy,
            "doubt": {"since": "2026-01-01", "cause": "silence", "next": "2999-01-01"},
        }))
        .unwrap();
        let made = store.write(move |work| work.create_mailing(mailing.clone(), &Content::default()));
        made.await.unwrap().id
    }

    /// Whether a server files what it accepts is learned from what nobody else can have filed.
    #[tokio::test]
    async fn a_copy_that_is_not_ours_shows_that_the_server_files_copies_and_settles_a_doubt() {
        let begun = json!({"state": "wanted", "next": "2026-01-01", "begun": true});
        for (role, to, sent_copy, of_another, learned, asked_now) in [
            (FolderRole::Sent, "bert@example.org", Value::Null, false, Some(true), true),
            // It may be the one that we filed.
            (FolderRole::Sent, "bert@example.org", begun, false, None, true),
            // It may have been received, and moved.
            (FolderRole::Sent, "ann@example.org", Value::Null, false, None, true),
            (FolderRole::Inbox, "ann@example.org", Value::Null, false, None, false),
            (FolderRole::Sent, "bert@example.org", Value::Null, true, None, false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (store, mailbox) = store_with_mailbox(folder.path()).await;
            let id = doubtful(&store, mailbox.id + u64::from(of_another), to, sent_copy).await;
            let origin = origin_of(&store, &mailbox, "Folder", role);
            let raw = format!("Message-ID: <1@example.org>\nFrom: ann@example.org\nTo: {to}\n\nHello\n");
            ingest(&store, &origin, 1, &raw).await;
            let snapshot = store.read().unwrap();
            assert_eq!(status(&snapshot, mailbox.id).unwrap().files_sent_copies, learned, "{role:?} {to}");
            let doubt = get::<Mailing>(&snapshot, id).unwrap().unwrap().doubt.unwrap();
            assert_eq!(doubt.next <= store.moment().now, asked_now, "{role:?} {to}");
        }
    }

    #[tokio::test]
    async fn a_message_is_stored_once_whatever_its_folders_and_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mailbox) = store_with_mailbox(folder.path()).await;
        let inbox = origin_of(&store, &mailbox, "INBOX", FolderRole::Inbox);
        let sent = origin_of(&store, &mailbox, "Sent", FolderRole::Sent);
        let with_id = "Message-ID: <1@example.org>\nFrom: bert@example.org\n\nHello\n";
        assert_eq!(ingest(&store, &inbox, 1, with_id).await, 1);
        assert_eq!(ingest(&store, &sent, 7, with_id).await, 0);
        assert_eq!(ingest(&store, &inbox, 9, with_id).await, 0);
        // Without a Message-ID it is known by what it says.
        assert_eq!(ingest(&store, &inbox, 2, "From: bert@example.org\n\nHello\n").await, 1);
        assert_eq!(ingest(&store, &inbox, 3, "From: bert@example.org\n\nHello\n").await, 0);
        assert_eq!(list::<Message>(&store.read().unwrap(), &ListQuery::all()).unwrap().items.len(), 2);
    }

    #[tokio::test]
    async fn a_message_that_the_parser_panics_over_is_kept_as_it_came_and_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mailbox) = store_with_mailbox(folder.path()).await;
        let inbox = origin_of(&store, &mailbox, "INBOX", FolderRole::Inbox);
        let bad = fetched(1, "From: bert@example.org\nMessage-ID: <bad@example.org>\n\nworse");
        let octets = bad.raw.clone();
        let panicking = |_: &[u8]| (mime::contained(|| panic!("the parser has a fault")), Words::default());
        let new =
            vec![prepare_with(&inbox, bad, panicking), prepare(&inbox, fetched(2, "From: c@example.org\n\ngood"))];
        let batch = Ready::of(new, Vec::new(), cursor_at(2));
        let origin = inbox.clone();
        assert_eq!(store.write(move |work| commit(work, &origin, &batch)).await.unwrap(), 2);
        let snapshot = store.read().unwrap();
        assert_eq!(cursor(&snapshot, mailbox.id, "INBOX").unwrap().unwrap().high, 2);
        let stored = list::<Message>(&snapshot, &ListQuery::all()).unwrap().items;
        let kept = stored.iter().find(|message| !message.parse_problems.is_empty()).expect("a note on the message");
        assert_eq!(raw(&snapshot, kept.id).unwrap().unwrap(), octets);
        // It is known when it comes again.
        assert_eq!(
            ingest(&store, &inbox, 3, "From: bert@example.org\nMessage-ID: <bad@example.org>\n\nworse").await,
            0
        );
    }

    #[tokio::test]
    async fn a_batch_waits_for_room_on_the_disk_and_its_cursor_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mailbox) = store_with_mailbox(folder.path()).await;
        store.keep_free(100, || Ok(99));
        let origin = origin_of(&store, &mailbox, "INBOX", FolderRole::Inbox);
        let new = vec![prepare(&origin, fetched(1, "From: bert@example.org\n\nHello\n"))];
        let batch = Ready::of(new, Vec::new(), cursor_at(1));
        let refused = store.write_patiently(move |work| commit(work, &origin, &batch)).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        assert_eq!(cursor(&store.read().unwrap(), mailbox.id, "INBOX").unwrap(), None);
    }

    #[tokio::test]
    async fn a_batch_that_was_fetched_with_older_settings_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mailbox) = store_with_mailbox(folder.path()).await;
        let origin = origin_of(&store, &mailbox, "INBOX", FolderRole::Inbox);
        store
            .write(move |work| {
                let after = Mailbox { generation: 2, ..mailbox.clone() };
                work.update_mailbox(&mailbox, after, &[])
            })
            .await
            .unwrap();
        assert_eq!(ingest(&store, &origin, 1, "From: bert@example.org\n\nHello\n").await, 0);
        let snapshot = store.read().unwrap();
        assert_eq!(cursor(&snapshot, origin.mailbox, "INBOX").unwrap(), None);
        assert_eq!(list::<Message>(&snapshot, &ListQuery::all()).unwrap().items.len(), 0);
    }
}
