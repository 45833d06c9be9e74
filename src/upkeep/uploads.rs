//! Attachments and recipients that were made ahead of a mailing and that none has used for a day.

use crate::domain::attachment::LOOSE_FOR;
use crate::store::{Store, StoreError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often they are looked for.
const PERIOD: Duration = Duration::from_mins(15);
/// Attachments are large: few of them share a commit.
const ATTACHMENTS: usize = 4;
const RECIPIENTS: usize = 500;

/// Sweeps now and then until it is told to stop.
pub(super) async fn keep_swept(store: Store, stopping: CancellationToken) {
    loop {
        if let Err(error) = sweep(&store, &stopping).await {
            tracing::error!(%error, "uploads that nobody uses could not be removed");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Removes what is old enough now, batch by batch.
async fn sweep(store: &Store, stopping: &CancellationToken) -> Result<(), StoreError> {
    loop {
        let step = store.write_patiently(move |work| {
            let before = work.now().minus(LOOSE_FOR);
            let attachments = work.sweep_attachments(before, ATTACHMENTS)?;
            let recipients = work.sweep_recipients(before, RECIPIENTS)?;
            Ok::<_, StoreError>(attachments == ATTACHMENTS || recipients == RECIPIENTS)
        });
        if !step.await? || stopping.is_cancelled() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attachment::Attachment;
    use crate::domain::mailing::RecipientKind;
    use crate::domain::recipient::RecipientRecord;
    use crate::domain::time::Timestamp;
    use crate::runtime::{ManualClock, Runtime, SeededRandom};
    use crate::store::{attachment_content, get};
    use crate::vault::{MasterKey, Vault};
    use std::ops::ControlFlow;
    use std::sync::Arc;

    fn octets(store: &Store, id: u64) -> usize {
        let mut size = 0;
        let see = |octets: &[u8]| {
            size += octets.len();
            ControlFlow::Continue(())
        };
        attachment_content(&store.read().unwrap(), id, see).unwrap();
        size
    }

    #[tokio::test]
    async fn what_no_mailing_uses_for_a_day_is_forgotten_with_its_octets() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-07-08T18:40:47Z").unwrap()));
        let runtime = Runtime { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), ..Runtime::system() };
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let store = Store::open(&folder.path().join("store.redb"), 1 << 20, vault, runtime).unwrap();
        let fill = |work: &mut crate::store::Work| {
            let now = work.now();
            let attachment = Attachment {
                id: 0,
                user_id: 1,
                name: "a".into(),
                content_type: "a/b".into(),
                size: 0,
                created_at: now,
                complete: false,
            };
            let attachment = work.begin_attachment(attachment)?;
            work.put_attachment_chunk(attachment.id, 0, b"abc")?;
            work.put_attachment_chunk(attachment.id, 1, b"def")?;
            work.create_recipient(RecipientRecord {
                id: 0,
                mailing_id: None,
                mailbox_id: None,
                creator_id: 1,
                created_at: now,
                updated_at: now,
                kind: RecipientKind::To,
                address: "a@b".into(),
                primary: false,
                prospect_id: None,
                user_id: None,
            })?;
            Ok::<_, StoreError>(())
        };
        for _ in 0..6 {
            store.write(fill).await.unwrap();
        }
        clock.advance(LOOSE_FOR);
        store.write(fill).await.unwrap();
        let stopping = CancellationToken::new();
        sweep(&store, &stopping).await.unwrap();
        assert_eq!((1..=7).map(|id| octets(&store, id)).collect::<Vec<_>>(), [6; 7], "not before the day is over");
        clock.advance(Duration::from_millis(1));
        sweep(&store, &stopping).await.unwrap();
        let snapshot = store.read().unwrap();
        for id in 1..=7 {
            assert_eq!(get::<Attachment>(&snapshot, id).unwrap().is_some(), id == 7);
            assert_eq!(get::<RecipientRecord>(&snapshot, id).unwrap().is_some(), id == 7);
            assert_eq!(octets(&store, id), if id == 7 { 6 } else { 0 });
        }
    }
}
