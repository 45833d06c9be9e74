//! Threads, kept with the messages: each message is in one from the commit that stores it. What its identifiers tie
//! together becomes one thread, within bounds; mailboxes never share one.

use super::codec::{Key, decode, encode, trailing_id};
use super::reader::{GO_ON, Keys, Reader, STOP};
use super::record::{Index, Record, get};
use super::tables::{MESSAGES_BY_THREAD, THREAD_MARKS, THREADS, THREADS_BY_MAILBOX_TIME, THREADS_BY_TIME, Table};
use super::{StoreError, Work};
use crate::domain::message::Message;
use crate::domain::thread::{Thread, marks};
use ring::digest::{SHA256, digest};

impl Record for Thread {
    const TABLE: Table = THREADS;
    const INDEXES: &'static [Index] = &[
        Index::by("mailbox.id", THREADS_BY_MAILBOX_TIME).sorted("lastMessageAt"),
        Index::all_sorted("lastMessageAt", THREADS_BY_TIME),
    ];
    const COUNTER: &'static str = "threads";

    fn id(&self) -> u64 {
        self.id
    }
}

/// One message brings no more messages than this into another thread; and a thread with more is not worked out anew.
const MOVED: u64 = 500;

fn mark_key(mailbox: u64, mark: &str) -> Vec<u8> {
    // Senders choose how long an identifier is.
    let hash = digest(&SHA256, mark.as_bytes());
    Key::new().id(mailbox).octets(&hash.as_ref()[..16]).build()
}

impl Work<'_> {
    /// Finds or makes the thread of a message that is about to be stored, and notes it there.
    pub(super) fn thread(&mut self, message: &mut Message) -> Result<(), StoreError> {
        let marks = marks(message);
        let mut known: Vec<Thread> = Vec::new();
        for mark in &marks {
            let thread = self.thread_of_mark(message.mailbox_id, mark)?;
            if let Some(thread) = thread.filter(|thread| known.iter().all(|other| other.id != thread.id)) {
                known.push(thread);
            }
        }
        // The largest one takes the others in; of two of a size the older one.
        known.sort_by_key(|thread| (std::cmp::Reverse(thread.message_count), thread.id));
        let mut known = known.into_iter();
        let id = if let Some(before) = known.next() {
            let mut after = before.clone();
            after.add(message);
            self.put_record(Some(&before), &after)?;
            after.id
        } else {
            // A message begins one thread at most, which has its number.
            let thread = Thread { id: message.id, ..Thread::of(message) };
            self.put_record(None, &thread)?;
            thread.id
        };
        let mut left = MOVED;
        for other in known.rev() {
            let Some(after) = left.checked_sub(other.message_count) else { break };
            left = after;
            self.join_thread(&other, id)?;
        }
        for mark in &marks {
            self.put(THREAD_MARKS, &mark_key(message.mailbox_id, mark), &encode(&id)?)?;
        }
        message.thread_id = Some(id);
        Ok(())
    }

    /// Gives a message a thread that was stored before there were any.
    pub fn adopt_into_thread(&mut self, id: u64) -> Result<(), StoreError> {
        let Some(before) = get::<Message>(self, id)?.filter(|message| message.thread_id.is_none()) else {
            return Ok(());
        };
        let mut after = before.clone();
        self.thread(&mut after)?;
        self.put_record(Some(&before), &after)
    }

    /// Takes a message that goes out of its thread; the last one takes the thread along.
    pub(super) fn leave_thread(&mut self, message: &Message) -> Result<(), StoreError> {
        let Some(before) = message.thread_id.map(|id| get::<Thread>(self, id)).transpose()?.flatten() else {
            return Ok(());
        };
        if before.message_count > MOVED {
            let after = Thread { message_count: before.message_count - 1, ..before.clone() };
            return self.put_record(Some(&before), &after);
        }
        let mut left: Option<Thread> = None;
        for id in self.messages_of_thread(before.id)?.into_iter().filter(|id| *id != message.id) {
            let Some(other) = get::<Message>(self, id)? else { continue };
            match &mut left {
                Some(thread) => thread.add(&other),
                None => left = Some(Thread { id: before.id, ..Thread::of(&other) }),
            }
        }
        if let Some(after) = left {
            return self.put_record(Some(&before), &after);
        }
        self.remove_record(&before)?;
        for mark in marks(message) {
            let key = mark_key(message.mailbox_id, &mark);
            if self.with(THREAD_MARKS, &key, decode::<u64>)?.transpose()? == Some(before.id) {
                self.remove(THREAD_MARKS, &key)?;
            }
        }
        Ok(())
    }

    fn thread_of_mark(&self, mailbox: u64, mark: &str) -> Result<Option<Thread>, StoreError> {
        let id = self.with(THREAD_MARKS, &mark_key(mailbox, mark), decode::<u64>)?.transpose()?;
        // A thread that is gone may have left a mark behind.
        Ok(id.map(|id| get::<Thread>(self, id)).transpose()?.flatten())
    }

    fn join_thread(&mut self, other: &Thread, into: u64) -> Result<(), StoreError> {
        let Some(before) = get::<Thread>(self, into)? else { return Ok(()) };
        let mut whole = before.clone();
        for id in self.messages_of_thread(other.id)? {
            let Some(message) = get::<Message>(self, id)? else { continue };
            whole.add(&message);
            for mark in marks(&message) {
                self.put(THREAD_MARKS, &mark_key(message.mailbox_id, &mark), &encode(&into)?)?;
            }
            self.put_record(Some(&message), &Message { thread_id: Some(into), ..message.clone() })?;
        }
        self.remove_record(other)?;
        self.put_record(Some(&before), &whole)
    }

    /// A bounded number of the messages of a thread.
    fn messages_of_thread(&self, thread: u64) -> Result<Vec<u64>, StoreError> {
        let mut ids = Vec::new();
        let of_thread = Keys::prefix(Key::new().scalar(&thread.into()).build());
        self.scan(MESSAGES_BY_THREAD, of_thread, false, |key, _| {
            ids.push(trailing_id(key)?);
            if ids.len() as u64 > MOVED { STOP } else { GO_ON }
        })?;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::list::ListQuery;
    use crate::domain::time::Timestamp;
    use crate::runtime::{Runtime, SeededRandom};
    use crate::store::{Store, list};
    use crate::vault::{MasterKey, Vault};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn store(folder: &std::path::Path) -> Store {
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        Store::open(&folder.join("store.redb"), 1 << 20, vault, Runtime::system()).unwrap()
    }

    fn message(mailbox: u64, number: u64, answers: &[u64], subject: &str) -> Message {
        let named: Vec<String> = answers.iter().map(|id| format!("{id}@x")).collect();
        serde_json::from_value(serde_json::json!({
            "id": 0, "mailbox_id": mailbox, "direction": "inbound", "message_id": format!("{number}@x"),
            "in_reply_to": [], "references": named, "from": [{"name": null, "address": format!("{number}@people")}],
            "to": [], "cc": [], "bcc": [], "reply_to": [], "subject": subject, "snippet": format!("says {number}"),
            "sent_at": null, "received_at": Timestamp::from_millis(i64::try_from(number).unwrap()), "folder": "INBOX",
            "flags": [], "size": 3, "classification": "other", "attachments": [], "authentication_results": [],
            "parse_problems": [], "created_at": Timestamp::from_millis(0), "mailing_id": null,
        }))
        .unwrap()
    }

    async fn add(store: &Store, message: Message) -> u64 {
        let identity = format!("{:?}", message.message_id);
        store.write(move |work| work.create_message(message.clone(), &identity, b"")).await.unwrap()
    }

    fn threads(store: &Store) -> Vec<Thread> {
        list::<Thread>(&store.read().unwrap(), &ListQuery::all().size(5_000)).unwrap().items
    }

    /// The messages of each thread, by their numbers.
    fn members(store: &Store) -> BTreeSet<BTreeSet<u64>> {
        let mut found: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for message in list::<Message>(&store.read().unwrap(), &ListQuery::all().size(5_000)).unwrap().items {
            let number = message.message_id.unwrap().trim_end_matches("@x").parse().unwrap();
            found.entry(message.thread_id.unwrap()).or_default().insert(number);
        }
        let counted: BTreeMap<u64, u64> =
            threads(store).into_iter().map(|thread| (thread.id, thread.message_count)).collect();
        let expected: BTreeMap<u64, u64> = found.iter().map(|(id, of)| (*id, of.len() as u64)).collect();
        assert_eq!(counted, expected);
        found.into_values().collect()
    }

    #[tokio::test]
    async fn a_thread_grows_with_its_answers_and_shrinks_with_what_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let first = add(&store, message(1, 10, &[], "Plan")).await;
        add(&store, message(1, 30, &[10], "Re: Plan")).await;
        let middle = add(&store, message(1, 20, &[10], "Re: Plan")).await;
        add(&store, message(1, 40, &[], "Plan")).await;
        add(&store, message(2, 50, &[10], "Re: Plan")).await;
        let all = threads(&store);
        assert_eq!(all.len(), 3, "neither by subject, nor over mailboxes");
        let of_plan = &all[0];
        assert_eq!((of_plan.message_count, of_plan.mailbox_id), (3, 1));
        assert_eq!((of_plan.first_at.millis(), of_plan.last_at.millis()), (10, 30));
        assert_eq!((of_plan.subject.as_deref(), of_plan.snippet.as_str()), (Some("Plan"), "says 30"));
        assert_eq!(of_plan.participants.len(), 3);

        store.write(move |work| work.forget_messages(&[first])).await.unwrap();
        let of_plan = &threads(&store)[0];
        assert_eq!((of_plan.message_count, of_plan.first_at.millis()), (2, 20));
        assert_eq!(of_plan.subject.as_deref(), Some("Re: Plan"));
        // What answers the one that is gone still belongs to the others.
        add(&store, message(1, 60, &[10], "Re: Plan")).await;
        assert_eq!(threads(&store)[0].message_count, 3);
        let rest = [middle, 2, 6];
        store.write(move |work| work.forget_messages(&rest)).await.unwrap();
        assert_eq!(threads(&store).len(), 2);
    }

    #[tokio::test]
    async fn one_message_moves_a_bounded_number_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let count = MOVED + 1;
        store
            .write(move |work| {
                for number in 1..=count {
                    let answers = if number == 1 { vec![] } else { vec![1] };
                    work.create_message(message(1, number, &answers, "a"), &number.to_string(), b"")?;
                    let other = 10_000 + number;
                    let answers = if number == 1 { vec![] } else { vec![10_001] };
                    work.create_message(message(1, other, &answers, "b"), &other.to_string(), b"")?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        add(&store, message(1, 20_000, &[1, 10_001], "both")).await;
        let counts: BTreeSet<u64> = threads(&store).iter().map(|thread| thread.message_count).collect();
        assert_eq!(counts, BTreeSet::from([count, count + 1]), "the two stay apart");
        let named: Vec<u64> = (30_000..31_000).collect();
        add(&store, message(1, 29_999, &named, "names a thousand")).await;
        add(&store, message(1, 30_990, &[], "a new one")).await;
        add(&store, message(1, 30_001, &[], "an old one")).await;
        let of = |number: u64| {
            members(&store).into_iter().find(|members| members.contains(&number)).map_or(0, |members| members.len())
        };
        assert_eq!((of(30_990), of(30_001)), (2, 1), "only the newest of what is named counts");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// In whatever order messages come, those that name each other end in one thread.
        #[test]
        fn threads_are_what_is_tied_together(
            answers in proptest::collection::vec(proptest::collection::vec(0u64..12, 0..3), 12),
            order in Just((0u64..12).collect::<Vec<_>>()).prop_shuffle(),
            gone in proptest::collection::btree_set(0usize..12, 0..4),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let store = store(folder.path());
                let mut ids = Vec::new();
                for number in &order {
                    ids.push(add(&store, message(1, *number, &answers[usize::try_from(*number).unwrap()], "s")).await);
                }
                // Worked out by joining sets.
                let mut sets: Vec<BTreeSet<u64>> = Vec::new();
                for number in 0..12u64 {
                    let mut set: BTreeSet<u64> = answers[usize::try_from(number).unwrap()].iter().copied().collect();
                    set.insert(number);
                    sets.retain(|other| {
                        let apart = other.is_disjoint(&set);
                        if !apart {
                            set.extend(other);
                        }
                        apart
                    });
                    sets.push(set);
                }
                let expected: BTreeSet<BTreeSet<u64>> = sets.into_iter().collect();
                assert_eq!(members(&store), expected);
                let gone: Vec<u64> = gone.iter().map(|index| ids[*index]).collect();
                store.write(move |work| work.forget_messages(&gone)).await.unwrap();
                members(&store);
            });
        }
    }
}
