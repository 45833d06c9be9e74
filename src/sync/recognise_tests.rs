//! Through the whole of ingest: parsed, recognised, committed.

use super::super::ingest::{FolderRole, Origin, Ready, commit, prepare};
use super::super::screen::Screen;
use super::super::source::{Fetched, WantedFolder};
use super::*;
use crate::domain::event::EventKind;
use crate::domain::list::ListQuery;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::{Content, State};
use crate::domain::message::FolderCursor;
use crate::domain::org_settings::OrgSettings;
use crate::domain::suppression::{Reason, Suppression};
use crate::runtime::{Runtime, SeededRandom};
use crate::store::{Store, cursor, events_after, get, list, messages_after, raw};
use crate::vault::{MasterKey, Vault};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

struct House {
    store: Store,
    mailbox: Mailbox,
    uid: AtomicU32,
    _folder: tempfile::TempDir,
}

/// The Message-ID of the house's first mailing.
const SENT: &str = "m1@our.example";

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let store = Store::open(&folder.path().join("store.redb"), 1 << 20, vault, Runtime::system()).unwrap();
        let mailbox = add_mailbox(&store, "me@our.example").await;
        Self { store, mailbox, uid: AtomicU32::new(0), _folder: folder }
    }

    /// A mailing that was accepted for these recipients.
    async fn sent(&self, message_id: &str, recipients: &[&str]) -> u64 {
        let recipients: Vec<_> = recipients
            .iter()
            .map(|address| {
                let outcome = json!({"state": "accepted", "at": "2026-01-01", "answer": "250 ok"});
                json!({"kind": "to", "name": null, "address": address, "outcome": outcome})
            })
            .collect();
        let mailing: Mailing = serde_json::from_value(json!({
            "id": 0, "mailbox_id": self.mailbox.id, "user_id": 1, "mailbox_address": "me@our.example",
            "created_at": "2026-01-01", "updated_at": "2026-01-01", "state": "delivered",
            "state_changed_at": "2026-01-01", "scheduled_at": null, "due": null, "mailing_type": "single",
            "message_id": message_id, "recipients": recipients, "delivered_at": "2026-01-01",
        }))
        .unwrap();
        let made = self.store.write(move |work| work.create_mailing(mailing.clone(), &Content::default()));
        made.await.unwrap().id
    }

    async fn receive(&self, raw: &str) -> Option<Message> {
        self.receive_in(&self.mailbox, raw.replace('\n', "\r\n").as_bytes()).await
    }

    async fn receive_in(&self, mailbox: &Mailbox, raw: &[u8]) -> Option<Message> {
        self.receive_as(mailbox, raw, None, None).await
    }

    /// As a provider with numbers of its own has it: of the message and of its thread.
    async fn receive_as(
        &self,
        mailbox: &Mailbox,
        raw: &[u8],
        provider_numbers: Option<(u64, u64)>,
        internal_date: Option<Timestamp>,
    ) -> Option<Message> {
        let uid = self.uid.fetch_add(1, Ordering::Relaxed) + 1;
        let mailbox: Mailbox = get(&self.store.read().unwrap(), mailbox.id).unwrap().unwrap();
        let screen = Arc::new(Screen::of(&self.store.read().unwrap(), &mailbox).unwrap());
        let folder = WantedFolder { name: "INBOX".into(), title: "INBOX".into(), role: FolderRole::Inbox };
        let origin = Origin::of(&mailbox, &folder, &screen);
        let size = u32::try_from(raw.len()).unwrap();
        let fetched = Fetched {
            uid,
            flags: Vec::new(),
            internal_date,
            size,
            raw: raw.to_vec(),
            truncated: false,
            provider_numbers,
        };
        let cursor_after =
            FolderCursor { uid_validity: 1, low: 1, high: uid, backfilled: true, ..FolderCursor::default() };
        let batch = Ready::of(vec![prepare(&origin, fetched)], Vec::new(), cursor_after);
        let committed = self.store.write(move |work| commit(work, &origin, &batch)).await.unwrap();
        let snapshot = self.store.read().unwrap();
        assert_eq!(cursor(&snapshot, mailbox.id, "INBOX").unwrap().unwrap().high, uid, "the cursor did not move");
        (committed > 0).then(|| list::<Message>(&snapshot, &ListQuery::all()).unwrap().items.pop().unwrap())
    }

    fn mailing(&self, id: u64) -> Mailing {
        get(&self.store.read().unwrap(), id).unwrap().unwrap()
    }

    fn suppressions(&self) -> Vec<Suppression> {
        list(&self.store.read().unwrap(), &ListQuery::all()).unwrap().items
    }

    fn events(&self) -> Vec<EventKind> {
        let events = events_after(&self.store.read().unwrap(), 0, 1000).unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn exclude(&self, mailbox: &str, organisation: &str) {
        let (id, mailbox, organisation) = (self.mailbox.id, mailbox.to_owned(), organisation.to_owned());
        self.store
            .write(move |work| {
                let before: Mailbox = get(work, id)?.unwrap();
                let mut after = before.clone();
                after.settings.prospect_email_exclusions = Some(mailbox.clone());
                work.update_mailbox(&before, after, &[])?;
                let settings =
                    OrgSettings { prospect_email_exclusions: Some(organisation.clone()), ..OrgSettings::default() };
                work.save_org_settings(&settings)
            })
            .await
            .unwrap();
    }
}

async fn add_mailbox(store: &Store, email: &str) -> Mailbox {
    let mailbox: Mailbox = serde_json::from_value(json!({
        "id": 0, "user_id": 1, "creator_id": 1, "updater_id": 1, "generation": 1,
        "created_at": "2026-01-01", "updated_at": "2026-01-01", "settings": {"email": email},
    }))
    .unwrap();
    store.write(move |work| work.create_mailbox(mailbox.clone(), &[])).await.unwrap()
}

fn dsn(recipient: &str, status: &str, original: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.x.example\nTo: me@our.example\nSubject: Undelivered Mail Returned to Sender\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nSorry.\n--b\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.x.example\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\n--b\n\
         Content-Type: text/rfc822-headers\n\nMessage-ID: <{original}>\nSubject: hi\n\n--b--\n"
    )
}

fn arf(recipient: &str, original: &str) -> String {
    format!(
        "From: fbl@x.example\nSubject: complaint\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nA complaint.\n--b\n\
         Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: {recipient}\n--b\n\
         Content-Type: message/rfc822\n\nMessage-ID: <{original}>\n\nhi\n--b--\n"
    )
}

#[tokio::test]
async fn a_bounce_changes_mailing_recipient_and_suppressions_in_one_commit() {
    let house = House::new().await;
    let id = house.sent(SENT, &["ann@x.example"]).await;
    let message = house.receive(&dsn("ann@x.example", "5.1.1", SENT)).await.unwrap();
    assert_eq!((message.classification, message.mailing_id), (Classification::Bounce, Some(id)));
    assert_eq!(message.bounces[0].recipient.as_deref(), Some("ann@x.example"));
    let mailing = house.mailing(id);
    assert_eq!((mailing.state, mailing.bounced_at.is_some()), (State::Bounced, true));
    let [suppression] = house.suppressions().try_into().unwrap();
    assert_eq!((suppression.email.as_str(), suppression.reason), ("ann@x.example", Reason::HardBounce));
    assert_eq!((suppression.mailing_id, suppression.message_id), (Some(id), Some(message.id)));
    let events = house.events();
    for kind in [EventKind::MessageCreated, EventKind::SuppressionCreated, EventKind::MailingBounced] {
        assert_eq!(events.iter().filter(|found| **found == kind).count(), 1, "{kind:?}");
    }
    // The same report in another copy: once is enough.
    house.receive(&format!("X-Copy: 2\n{}", dsn("ann@x.example", "5.1.1", SENT))).await.unwrap();
    assert_eq!(house.events().iter().filter(|kind| **kind == EventKind::MailingBounced).count(), 1);
}

#[tokio::test]
async fn forged_reports_change_nothing() {
    let house = House::new().await;
    let id = house.sent(SENT, &["ann@x.example"]).await;
    let other = add_mailbox(&house.store, "other@our.example").await;
    let before = (house.mailing(id), house.suppressions());
    for (what, raw) in [
        ("an unknown Message-ID", dsn("ann@x.example", "5.1.1", "guessed@our.example")),
        ("a recipient of another mailing", dsn("bert@x.example", "5.1.1", SENT)),
        ("a complaint of a stranger", arf("bert@x.example", SENT)),
        ("a complaint with an unknown Message-ID", arf("ann@x.example", "guessed@our.example")),
    ] {
        let message = house.receive(&raw).await.unwrap();
        assert_eq!(message.mailing_id, None, "{what}");
        assert_eq!((house.mailing(id), house.suppressions()), before, "{what}");
    }
    let elsewhere = dsn("ann@x.example", "5.1.1", SENT);
    let message = house.receive_in(&other, elsewhere.as_bytes()).await.unwrap();
    assert_eq!((message.mailing_id, house.mailing(id)), (None, before.0), "in a mailbox that did not send it");
}

#[tokio::test]
async fn a_bounce_that_does_not_blame_the_address_suppresses_nobody() {
    let house = House::new().await;
    for (number, status) in ["5.7.1", "5.2.2", "5.4.5", "4.4.7"].into_iter().enumerate() {
        let message_id = format!("m{number}@our.example");
        let id = house.sent(&message_id, &["ann@x.example"]).await;
        house.receive(&dsn("ann@x.example", status, &message_id)).await.unwrap();
        assert_eq!((house.mailing(id).state, house.suppressions().len()), (State::Bounced, 0), "{status}");
    }
}

#[tokio::test]
async fn a_complaint_suppresses_in_whichever_mailbox_it_comes() {
    let house = House::new().await;
    let id = house.sent(SENT, &["ann@x.example"]).await;
    let other = add_mailbox(&house.store, "abuse@our.example").await;
    let message = house.receive_in(&other, arf("ann@x.example", SENT).as_bytes()).await.unwrap();
    assert_eq!((message.classification, message.mailing_id), (Classification::Complaint, Some(id)));
    assert!(house.mailing(id).marked_as_spam_at.is_some());
    assert_eq!(house.suppressions()[0].reason, Reason::Complaint);
    assert!(house.events().contains(&EventKind::MailingMarkedAsSpam));
}

#[tokio::test]
async fn people_reply_and_machines_do_not() {
    let house = House::new().await;
    let id = house.sent(SENT, &["ann@x.example"]).await;
    let machines = [
        ("Subject: Automatic reply: hi", Classification::AutoReply),
        ("Auto-Submitted: auto-replied", Classification::AutoReply),
        ("X-Autoreply: yes", Classification::AutoReply),
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=b", Classification::Other),
    ];
    for (field, classification) in machines {
        let message = house.receive(&format!("From: ann@x.example\nIn-Reply-To: <{SENT}>\n{field}\n\nI am away")).await;
        let message = message.unwrap();
        assert_eq!((message.classification, message.mailing_id), (classification, Some(id)), "{field}");
        assert_eq!(house.mailing(id).state, State::Delivered, "{field}");
    }
    // What is sent to many answers nobody.
    let newsletter =
        "From: shop@y.example\nSubject: Sale\nPrecedence: bulk\nList-Unsubscribe: <https://y.example/u>\n\nSale!";
    assert_eq!(house.receive(newsletter).await.unwrap().classification, Classification::Other);
    // The subject alone proves nothing, and what we wrote ourselves is no reply.
    let same = house.receive("From: ann@x.example\nSubject: Re: hi\n\nThanks").await.unwrap();
    let own = house.receive(&format!("From: ME@our.example\nIn-Reply-To: <{SENT}>\n\nOne more thing")).await.unwrap();
    for message in [same, own] {
        assert_eq!((message.classification, message.mailing_id), (Classification::Other, None));
    }
    assert_eq!(house.mailing(id).state, State::Delivered);
    // Whoever answers, with our Message-ID anywhere among the ancestors.
    let references = format!("From: cora@y.example\nReferences: <x@y> <{SENT}> <z@y>\n\nAnn asked me to answer");
    let message = house.receive(&references).await.unwrap();
    assert_eq!((message.classification, message.mailing_id), (Classification::Reply, Some(id)));
    assert_eq!(house.mailing(id).state, State::Replied);
}

#[tokio::test]
#[allow(clippy::redundant_closure_for_method_calls, reason = "the method is not general enough in its lifetime")]
async fn an_opt_out_by_mail_counts_only_with_its_token() {
    let house = House::new().await;
    let id = house.sent(SENT, &["ann@x.example"]).await;
    let mailbox = house.mailbox.id;
    let link = |mailing| Link { purpose: Purpose::Unsubscribe, mailbox, mailing, detail: "ann@x.example".into() };
    let key = house.store.write(|work| work.link_key()).await.unwrap();
    let (token, of_one_gone) = (key.token(&link(id)), key.token(&link(999)));
    let forged = format!("{}{}", &token[..token.len() - 4], "AAAA");
    for raw in [
        "From: ann@x.example\nSubject: unsubscribe\n\nplease".to_owned(),
        format!("From: ann@x.example\nSubject: unsubscribe {forged}\n\n"),
        // Everybody's answer quotes a token.
        format!("From: ann@x.example\nSubject: Re: hi\n\nYes, gladly.\n\n> https://our.example/u/{token}\n"),
    ] {
        let message = house.receive(&raw).await.unwrap();
        assert_eq!(message.classification, Classification::Other, "{raw}");
        assert!(house.suppressions().is_empty() && house.mailing(id).unsubscribed_at.is_none(), "{raw}");
    }
    let message = house.receive(&format!("From: ann@x.example\nSubject: unsubscribe {token}\n\n")).await.unwrap();
    assert_eq!((message.classification, message.mailing_id), (Classification::Unsubscribe, Some(id)));
    assert!(house.mailing(id).unsubscribed_at.is_some());
    let [suppression] = house.suppressions().try_into().unwrap();
    assert_eq!((suppression.reason, suppression.source.as_str()), (Reason::Unsubscribe, "mail"));
    assert!(house.events().contains(&EventKind::MailingUnsubscribed));
    // In a person's own words above the quoted mail, years after the mailing is gone.
    house.store.write(move |work| work.delete_suppression(&suppression)).await.unwrap();
    let words = format!(
        "From: ann@x.example\nSubject: Re: hi\n\nPlease unsubscribe me!\n\n> https://our.example/u/{of_one_gone}\n"
    );
    assert_eq!(house.receive(&words).await.unwrap().classification, Classification::Unsubscribe);
    assert_eq!(house.suppressions()[0].email, "ann@x.example");
}

#[tokio::test]
async fn mail_among_the_excluded_is_not_stored_and_the_cursor_goes_on() {
    let house = House::new().await;
    house.exclude("*@home.example\n*@*.private.example", "boss@our.example, lawyer@law.example").await;
    let store = house.store.clone();
    let alias = json!({"id": 0, "mailbox_id": house.mailbox.id, "email": "info@our.example", "can_send": true,
        "created_at": "2026-01-01", "updated_at": "2026-01-01"});
    let alias: crate::domain::mail_alias::MailAlias = serde_json::from_value(alias).unwrap();
    store.write(move |work| work.create_alias(alias.clone())).await.unwrap();
    for (raw, is_stored) in [
        ("From: kid@home.example\nTo: me@our.example\n\nhi", false),
        ("From: kid@HOME.example\nTo: info@our.example\nCc: boss@our.example\n\nhi", false),
        ("From: x@a.private.example\nTo: me@our.example\n\nhi", false),
        ("From: info@our.example\nTo: lawyer@law.example\n\nhi", false),
        ("From: kid@home.example\nTo: me@our.example, customer@x.example\n\nhi", true),
        ("From: customer@x.example\nTo: me@our.example\n\nhi", true),
        ("From: me@our.example\nTo: info@our.example\n\nA note", true),
        ("Subject: nobody\n\nhi", true),
    ] {
        assert_eq!(house.receive(raw).await.is_some(), is_stored, "{raw}");
    }
}

#[tokio::test]
async fn what_concerns_our_mailings_is_recognised_and_kept_whoever_is_excluded() {
    let house = House::new().await;
    house.exclude("*@x.example\n*@mx.x.example", "").await;
    let replied = house.sent(SENT, &["ann@x.example"]).await;
    let bounced = house.sent("m2@our.example", &["bert@x.example"]).await;
    assert!(house.receive("From: ann@x.example\nTo: me@our.example\n\nprivate").await.is_none());
    let reply = house.receive(&format!("From: ann@x.example\nIn-Reply-To: <{SENT}>\n\nThanks")).await.unwrap();
    assert_eq!((reply.mailing_id, house.mailing(replied).state), (Some(replied), State::Replied));
    let report = house.receive(&dsn("bert@x.example", "5.1.1", "m2@our.example")).await.unwrap();
    assert_eq!((report.mailing_id, house.mailing(bounced).state), (Some(bounced), State::Bounced));
    // A report about other mail is as private as the rest.
    assert!(house.receive(&dsn("kid@x.example", "5.1.1", "other@our.example")).await.is_none());
}

#[tokio::test]
async fn excluded_mail_counts_among_all_mail_of_the_day_and_once() {
    let house = House::new().await;
    house.exclude("*@home.example", "").await;
    let now = house.store.runtime().clock.now();
    let counted = || {
        let day = std::time::Duration::from_hours(24);
        messages_after(&house.store.read().unwrap(), house.mailbox.id, now.minus(day)).unwrap()
    };
    let dated = |id: &str| {
        format!(
            "From: kid@home.example\nTo: me@our.example\nMessage-ID: <{id}@home.example>\nDate: {}\n\nhi",
            rfc2822(now)
        )
    };
    for (id, count) in [("1", 1), ("2", 2), ("1", 2)] {
        assert!(house.receive(&dated(id)).await.is_none());
        assert_eq!(counted(), count, "{id}");
    }
    // Without a date it is dated by where it lies, and counts once wherever it lies.
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(house.receive("From: kid@home.example\nTo: me@our.example\n\nno date").await.is_none());
        assert_eq!(counted(), 3);
    }
}

#[tokio::test]
async fn a_reply_that_names_nothing_is_known_by_its_thread_in_whichever_order_they_come() {
    let copy = format!("Message-ID: <{SENT}>\nFrom: me@our.example\nTo: ann@x.example\nSubject: hi\n\nhi");
    let reply = "From: ann@x.example\nTo: me@our.example\nSubject: Re: hi\n\nyes";
    let away = "From: ann@x.example\nTo: me@our.example\nSubject: Re: hi\nAuto-Submitted: auto-replied\n\naway";
    let old = Timestamp::parse("2025-12-31").unwrap();
    for reply_first in [false, true] {
        let house = House::new().await;
        let id = house.sent(SENT, &["ann@x.example"]).await;
        let receive = async |raw: &str, numbers, date| {
            house.receive_as(&house.mailbox, raw.replace('\n', "\r\n").as_bytes(), Some(numbers), date).await
        };
        // Neither what is older than the mailing, nor a machine, nor another thread with the same subject.
        receive(&reply.replace("yes", "before"), (1, 70), Some(old)).await;
        receive(away, (2, 70), None).await;
        receive(&reply.replace("yes", "other thread"), (3, 71), None).await;
        if reply_first {
            receive(reply, (4, 70), None).await;
            assert_eq!(house.mailing(id).replied_at, None);
        }
        receive(&copy, (5, 70), None).await;
        if !reply_first {
            assert_eq!(house.mailing(id).replied_at, None, "the copy itself is no reply");
            receive(reply, (4, 70), None).await;
        }
        assert_eq!(house.mailing(id).state, State::Replied, "reply first: {reply_first}");
        let stored: Vec<Message> = list(&house.store.read().unwrap(), &ListQuery::all()).unwrap().items;
        let replies: Vec<_> = stored.iter().filter(|message| message.classification == Classification::Reply).collect();
        assert_eq!(replies.len(), 1);
        assert_eq!((replies[0].snippet.as_str(), replies[0].mailing_id), ("yes", Some(id)));
        let answered = house.events().into_iter().filter(|kind| *kind == EventKind::MailingReplied).count();
        assert!(answered <= 1, "{answered} events of one reply");
    }
}

fn rfc2822(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_millisecond(at.millis()).unwrap();
    jiff::fmt::rfc2822::to_string(&seconds.to_zoned(jiff::tz::TimeZone::UTC)).unwrap()
}

#[tokio::test]
async fn odd_messages_are_stored_with_what_is_wrong_and_byte_for_byte() {
    let house = House::new().await;
    let odd: [(&str, &[u8]); 7] = [
        ("nothing at all", b""),
        ("binary", b"\x00\x01\xff\xfe\x80\r\n\x00"),
        ("no header", b"just text\r\n"),
        ("a false charset", b"From: a@b.example\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\xfcn"),
        ("no boundary", b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--y\r\n\r\nhi"),
        (
            "a report of nothing",
            b"From: MAILER-DAEMON@x.example\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b",
        ),
        ("two senders", b"From: a@b.example\r\nFrom: c@d.example\r\n\r\nhi"),
    ];
    for (what, octets) in odd {
        let message = house.receive_in(&house.mailbox, octets).await.unwrap_or_else(|| panic!("{what} was dropped"));
        let kept = raw(&house.store.read().unwrap(), message.id).unwrap().unwrap_or_default();
        assert_eq!(kept, octets, "{what}");
        let tells = what == "a report of nothing" || !message.parse_problems.is_empty();
        assert!(tells, "{what}");
    }
}
