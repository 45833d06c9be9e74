use super::*;
use crate::domain::suppression::{Reason, Suppression};

async fn suppress(store: &Store, reason: Reason, note: Option<&str>) -> (Suppression, bool) {
    // Whatever the spelling.
    let email = if reason.is_a_wish() { "Ann@Example.org" } else { "ann@example.ORG" };
    let mut wanted = Suppression::new(email, reason, reason.name(), Timestamp::default());
    wanted.note = note.map(str::to_owned);
    store.write(move |work| work.suppress(wanted.clone())).await.unwrap()
}

/// What is known of the one address after a second reason follows the first.
async fn after(first: Reason, second: Reason) -> Suppression {
    let store = open(&Disk::with_cut_at(u64::MAX)).unwrap();
    let (made, new) = suppress(&store, first, Some("first")).await;
    assert!(new);
    let (kept, new) = suppress(&store, second, None).await;
    assert!(!new && kept.id == made.id, "an address is suppressed once");
    let snapshot = store.read().unwrap();
    let all = list::<Suppression>(&snapshot, &ListQuery::all()).unwrap().items;
    assert_eq!(all, [kept]);
    assert_eq!(suppression_of(&snapshot, "ann@example.org").unwrap().as_ref(), all.first());
    all.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_wish_takes_the_place_of_every_other_reason_and_nothing_takes_its_place() {
    use Reason::{Complaint, HardBounce, Manual, Unsubscribe};
    for (first, second, holds) in [
        (HardBounce, Unsubscribe, Unsubscribe),
        (Manual, Unsubscribe, Unsubscribe),
        (HardBounce, Complaint, Complaint),
        (Manual, Complaint, Complaint),
        (Unsubscribe, HardBounce, Unsubscribe),
        (Unsubscribe, Manual, Unsubscribe),
        (Unsubscribe, Complaint, Unsubscribe),
        (Complaint, Unsubscribe, Complaint),
        (Complaint, HardBounce, Complaint),
        (HardBounce, Manual, HardBounce),
        (Manual, HardBounce, Manual),
    ] {
        let found = after(first, second).await;
        assert_eq!((found.reason, found.source.as_str()), (holds, holds.name()), "{first:?}, then {second:?}");
        assert_eq!(found.note.as_deref(), Some("first"), "what people noted stays");
    }
}
