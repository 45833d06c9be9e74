//! What happens in the demo, scene by scene. A scene waits for the one before it, though not forever: the log then
//! shows what is missing, and the show goes on.

use super::DemoError;
use super::seed::Seeded;
use super::stage::{ANN, BERT, CLARA, DORA, GRACE, HENRY, NOBODY};
use crate::domain::mailing::{Mailing, State};
use crate::store::{Store, get};
use serde_json::json;
use std::time::Duration;

/// How long a scene waits for its end.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn play(seeded: &Seeded, store: &Store) -> Result<(), DemoError> {
    let mut letters = Vec::new();
    for attributes in [
        json!({
            "to": [format!("Bert Olsen <{BERT}>")],
            "subject": "Lunch on Friday?",
            "bodyText": "Hi Bert,\n\nlunch on Friday at noon, the usual place?\n\nAnn\n",
        }),
        json!({
            "to": [format!("Grace Hill <{GRACE}>")],
            "subject": "Our offer for the new pier",
            "bodyHtml": "<p>Dear Grace,</p><p>here is our offer. Does the <b>second week of May</b> suit you?</p><p>Ann</p>",
        }),
        json!({
            "to": [format!("Bert Olsen <{BERT}>")],
            "cc": [HENRY],
            "subject": "Minutes of Monday’s meeting",
            "bodyText": "Hello,\n\nthe minutes: we build the pier.\n\nAnn\n",
        }),
    ] {
        letters.push(seeded.mail(ANN, attributes).await?);
    }
    let offer = letters[1];
    reach(store, &letters, |state| !state.waits() && state != State::Delivering).await;
    // Grace answers, and the next sync of Ann's inbox recognises what.
    reach(store, &[offer], |state| state == State::Replied).await;

    let unknown = json!({"to": [NOBODY], "subject": "Is anybody there?", "bodyText": "Hello?\n"});
    let unknown = seeded.mail(ANN, unknown).await?;
    reach(store, &[unknown], |state| state == State::Failed).await;

    let text = "Dear all,\n\nthe pier opens on the first of June. Come and see!\n\nBert\n";
    for to in [ANN, CLARA, DORA, HENRY, ANN] {
        seeded.mail(BERT, json!({"to": [to], "subject": "The pier opens", "bodyText": text})).await?;
    }

    let hello = json!({"to": [ANN], "subject": "Back on Monday", "bodyText": "I am away until Monday.\n\nDora\n"});
    seeded.mail(DORA, hello).await?;
    let held = json!({"to": [DORA], "subject": "Keys", "bodyText": "Who has the keys to the pier?\n\nClara\n"});
    seeded.mail(CLARA, held).await?;
    Ok(())
}

/// Waits until all these mailings are where they should be; what was deleted meanwhile is not waited for.
async fn reach(store: &Store, mailings: &[u64], there: impl Fn(State) -> bool) {
    let mut events = store.events();
    let arrived = async {
        loop {
            events.borrow_and_update();
            let all = store.read().and_then(|snapshot| {
                let mut all = true;
                for id in mailings {
                    all &= get::<Mailing>(&snapshot, *id)?.is_none_or(|mailing| there(mailing.state));
                }
                Ok(all)
            });
            // A store that cannot be read says so in the log; waiting for it helps nobody.
            if all.unwrap_or(true) || events.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, arrived).await;
}
