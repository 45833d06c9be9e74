//! Why a mailing waits and until when: read from the same gate that decides, never stored.

use crate::api::Api;
use crate::domain::limits::Moment;
use crate::domain::mailbox::Mailbox;
use crate::domain::mailing::Mailing;
use crate::domain::time::Timestamp;
use crate::send::gate::{self, Gate, Question};
use crate::send::outlook::Outlook;
use crate::store::{Reader, StoreError, get, status};
use std::cell::RefCell;
use std::collections::HashMap;

/// Why a mailing waits, and until when.
#[derive(Default)]
pub(super) struct Delay {
    pub reason: Option<String>,
    pub next: Option<Timestamp>,
}

/// What the gate says to the mailings of one answer. A page may hold a thousand of one mailbox, and to all that go to as
/// many recipients it says the same: it is asked once.
#[derive(Default)]
pub(in crate::api) struct Gates(RefCell<HashMap<(u64, u64), Gate>>);

impl Gates {
    fn ask(
        &self,
        reader: &impl Reader,
        mailbox: &Mailbox,
        recipients: u64,
        (moment, outlook): (Moment, &Outlook),
    ) -> Result<Gate, StoreError> {
        let asked = (mailbox.id, recipients);
        if let Some(gate) = self.0.borrow().get(&asked) {
            return Ok(gate.clone());
        }
        let status = status(reader, mailbox.id)?;
        let gate = gate::ask(reader, &Question { mailbox, status: &status, recipients, moment, outlook })?;
        self.0.borrow_mut().insert(asked, gate.clone());
        Ok(gate)
    }
}

impl Mailing {
    pub(super) fn delay(&self, api: &Api, reader: &impl Reader, gates: &Gates) -> Result<Delay, StoreError> {
        if let Some(doubt) = &self.doubt {
            return Ok(Delay { reason: Some(doubt.explain()), next: Some(doubt.next) });
        }
        if !self.state.waits() {
            return Ok(Delay::default());
        }
        let now = api.store.runtime().clock.now();
        let Some(mailbox) = get::<Mailbox>(reader, self.mailbox_id)? else { return Ok(Delay::default()) };
        if let Some(due) = self.due.filter(|due| *due > now) {
            let failed = self.attempts.iter().rev().find(|attempt| attempt.code.is_none_or(|code| code >= 400));
            let last = failed.map(|attempt| attempt.text.clone());
            let reason = match (self.retry_at, last) {
                (Some(at), Some(text)) => format!("The last try failed and is repeated at {at}: {text}"),
                _ => format!("It is scheduled for {due}."),
            };
            return Ok(Delay { reason: Some(reason), next: Some(due) });
        }
        let recipients = u64::try_from(self.waiting().count()).unwrap_or(u64::MAX);
        let gate = gates.ask(reader, &mailbox, recipients, (api.store.moment(), &api.outlook))?;
        Ok(Delay { reason: gate.reason().map(str::to_owned), next: gate.opens_at() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{ManualClock, NoFailpoints, Runtime, SeededRandom};
    use crate::store::Store;
    use crate::store::powercut::Disk;
    use crate::vault::{MasterKey, Vault};
    use serde_json::json;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_gate_is_asked_once_about_each_mailbox_and_number_of_recipients() {
        let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
        let runtime = Runtime { clock, random: Arc::new(SeededRandom::new(1)), failpoints: Arc::new(NoFailpoints) };
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(7)));
        let store = Store::open_with(Disk::with_cut_at(u64::MAX), 1 << 20, vault, runtime).unwrap();
        let mailbox = |id: u64, disabled: bool| -> Mailbox {
            serde_json::from_value(json!({
                "id": id, "user_id": 1, "creator_id": 1, "updater_id": 1, "created_at": "2026-07-08",
                "updated_at": "2026-07-08", "settings": {"email": "ann@demo.test", "sendDisabled": disabled},
            }))
            .unwrap()
        };
        let (snapshot, outlook, gates) = (store.read().unwrap(), Outlook::default(), Gates::default());
        let says = |gates: &Gates, mailbox: &Mailbox, recipients: u64| {
            gates.ask(&snapshot, mailbox, recipients, (store.moment(), &outlook)).unwrap().reason().map(str::to_owned)
        };
        let disabled = says(&gates, &mailbox(1, true), 1).expect("a reason");
        assert!(disabled.contains("disabled"), "{disabled}");
        // Were it asked, it would say something else now.
        assert_eq!(says(&gates, &mailbox(1, false), 1).as_ref(), Some(&disabled));
        assert_ne!(says(&gates, &mailbox(2, false), 1).as_ref(), Some(&disabled));
        assert_ne!(says(&gates, &mailbox(1, false), 2).as_ref(), Some(&disabled));
        assert_ne!(says(&Gates::default(), &mailbox(1, false), 1).as_ref(), Some(&disabled));
    }
}
