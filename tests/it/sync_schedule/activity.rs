//! Who counts as being at work.

use crate::support::instance::Instance;
use postroom::domain::user::{Role, TokenKind};

#[tokio::test(flavor = "multi_thread")]
async fn people_who_work_with_an_application_are_active_and_machines_are_not() {
    let postroom = Instance::start().await;
    let ann = postroom.person("ann", Role::Member).await;
    let robot = postroom.person("robot", Role::Member).await;
    postroom.token_of_kind(ann.id, "ann-in-an-application", None, TokenKind::Person).await;
    let application = postroom.client.with_token("ann-in-an-application");
    application.get("/api/v2/mailboxes").await.expect(200);
    robot.client.get("/api/v2/mailboxes").await.expect(200);
    let active = postroom.until("users", ann.id, |shown| shown["lastActiveAt"].is_string()).await;
    assert_eq!(active["updatedAt"], active["createdAt"], "it is no edit");
    assert!(postroom.attributes("users", robot.id).await["lastActiveAt"].is_null());
    postroom.stop().await;
}
