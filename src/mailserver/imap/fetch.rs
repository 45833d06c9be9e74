use super::gmail;
use super::item::{Item, Section, part};
use super::parse::{Cursor, Fault};
use super::selected::{Place, Selected};
use super::sequence::SequenceSet;
use super::session::{Outcome, Session};
use crate::domain::time::Timestamp;
use crate::mailserver::folder::StoredMessage;
use crate::mailserver::script::Point;

impl Session {
    pub(super) async fn fetch(&mut self, arguments: &mut Cursor<'_>, by_uid: bool) -> Outcome {
        arguments.space()?;
        let set = arguments.sequence_set()?;
        arguments.space()?;
        let mut items = Item::list(arguments)?;
        let since = self.changed_since(arguments, by_uid)?;
        arguments.end()?;
        if since.is_some() && !items.contains(&Item::ModSequence) {
            items.push(Item::ModSequence);
        }
        if items.iter().any(|item| matches!(item, Item::GmailMessage | Item::GmailThread)) {
            self.speaks_of_gmail()?;
        }
        if items.contains(&Item::ModSequence) {
            self.speaks_of_mod_sequences()?;
        } else if self.dialect().mod_sequences && items.contains(&Item::Flags) {
            items.push(Item::ModSequence);
        }
        let selected = self.selected()?;
        if by_uid && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        let sees = !selected.read_only && items.iter().any(|item| matches!(item, Item::Section { peek: false, .. }));
        let mut places = selected.chosen(&set, by_uid);
        if let Some(since) = since {
            selected.keep_changed(&mut places, since.mod_sequence)?;
            if since.vanished {
                let vanished = selected.vanished_of(&set, since.mod_sequence)?;
                self.wire.put(vanished);
            }
        }
        for place in places {
            let Some((message, seen_now)) = self.selected()?.message(place.uid, sees)? else { continue };
            self.put_message(place, &message, &items, seen_now).await?;
        }
        Ok("FETCH done".into())
    }

    async fn put_message(
        &mut self,
        place: Place,
        message: &StoredMessage,
        items: &[Item],
        seen_now: bool,
    ) -> Result<(), Fault> {
        let dialect = self.dialect();
        let selected = self.selected()?;
        let flags = selected.flags(message.uid, &message.flags);
        let told = selected.told(message, dialect);
        self.wire.put(format!("* {} FETCH (", place.sequence));
        for (index, item) in items.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            match item {
                Item::Uid => self.wire.put(format!("{gap}UID {}", message.uid)),
                Item::Flags => self.wire.put(format!("{gap}FLAGS ({flags})")),
                Item::InternalDate => self.wire.put(format!("{gap}INTERNALDATE \"{}\"", date(message.date))),
                Item::Size => self.wire.put(format!("{gap}RFC822.SIZE {}", message.raw.len())),
                Item::ModSequence => self.wire.put(format!("{gap}MODSEQ ({})", message.mod_sequence)),
                Item::GmailMessage => self.wire.put(format!("{gap}X-GM-MSGID {}", message.number)),
                Item::GmailThread => self.wire.put(format!("{gap}X-GM-THRID {}", gmail::thread(message))),
                Item::Section { label, section, partial, .. } => {
                    self.wire.put(format!("{gap}{label} "));
                    self.put_literal(message, section, *partial).await?;
                }
            }
        }
        if seen_now && !items.contains(&Item::Flags) {
            self.wire.put(format!(" {told}"));
        }
        self.wire.put(")\r\n");
        self.wire.relieve().await?;
        Ok(())
    }

    async fn put_literal(
        &mut self,
        message: &StoredMessage,
        section: &Section,
        partial: Option<(u32, u32)>,
    ) -> Result<(), Fault> {
        let bytes = section.of(&message.raw);
        let bytes = part(&bytes, partial);
        self.wire.put(format!("{{{}}}\r\n", bytes.len()));
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        self.wire.put(half);
        self.pass(Point::ImapFetchLiteral, None).await?;
        self.wire.put(rest);
        self.shared.journal.count(|counts| counts.imap_literals += 1);
        Ok(())
    }
}

impl Selected {
    /// The messages of the view that a set means; numbers that nobody has are passed over.
    pub(super) fn chosen(&self, set: &SequenceSet, by_uid: bool) -> Vec<Place> {
        let ranges = set.resolve(self.last(by_uid));
        let number = |place: &Place| if by_uid { place.uid } else { place.sequence };
        self.places().filter(|place| ranges.contains(number(place))).collect()
    }

    /// Keeps the places of messages that came or changed after a mod-sequence.
    fn keep_changed(&self, places: &mut Vec<Place>, mod_sequence: u64) -> Result<(), Fault> {
        self.account.read(&self.folder, |folder| {
            let changed = |uid| folder.message(uid).is_some_and(|message| message.mod_sequence > mod_sequence);
            places.retain(|place| changed(place.uid));
        })?;
        Ok(())
    }

    /// A message as it is now, marked as seen if so wished, and whether it was not seen before. `None` if another
    /// session has removed it.
    fn message(&mut self, uid: u32, see: bool) -> Result<Option<(StoredMessage, bool)>, Fault> {
        let mut seen_now = false;
        if see {
            self.change(|folder| {
                folder.set_flags(uid, |flags| {
                    seen_now = !flags.contains("\\Seen");
                    flags.insert("\\Seen");
                });
            })?;
        }
        let message = self.account.read(&self.folder, |folder| folder.message(uid).cloned())?;
        Ok(message.map(|message| (message, seen_now)))
    }
}

/// INTERNALDATE, in UTC: `17-Jul-1996 02:44:25 +0000`.
fn date(date: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(date.millis()).unwrap_or_default();
    time.strftime("%d-%b-%Y %H:%M:%S +0000").to_string()
}
