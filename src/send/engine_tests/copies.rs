//! Our own copies in the sent folder, and what they teach about the server.

use super::*;
use crate::domain::mailing::CopyState;

const ANN: &str = "ann@demo.test";

async fn bench(files: bool) -> Bench {
    let options = Options { file_sent_copies: files, ..Options::default() };
    Bench::on(options, SendConfig::default(), Stop::at("nowhere")).await
}

impl Bench {
    async fn synced(&self, policy: &str) -> u64 {
        let port = self.server.imap().port();
        let settings = json!({
            "imapHost": "127.0.0.1", "imapPort": port, "imapSsl": false, "sendRequiresSync": false,
            "saveSentCopy": policy,
        });
        self.mailbox("ann", settings).await
    }

    fn filed(&self) -> usize {
        self.server.messages(ANN, "Sent").unwrap().len()
    }

    fn files_copies(&self, mailbox: u64) -> Option<bool> {
        status(&self.store.read().unwrap(), mailbox).unwrap().files_sent_copies
    }

    /// Sends one, and lets the time pass that a server has to file its copy; what became of ours.
    async fn sent(&mut self, mailbox: u64) -> CopyState {
        let id = self.mailing(mailbox, &["b"]).await;
        self.until_state(id, State::Delivered).await;
        self.clock.advance(2 * MINUTE);
        let state = |mailing: &Mailing| mailing.sent_copy.as_ref().map(|copy| copy.state);
        let settled = |mailing: &Mailing| state(mailing).is_some_and(|state| state != CopyState::Wanted);
        state(&self.until_mailing(id, "filed", settled).await).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_files_no_copy_gets_ours_and_is_known_for_it_after_three() {
    let mut bench = bench(false).await;
    let mailbox = bench.synced("auto").await;
    for (filed, known) in [(1, None), (2, None), (3, Some(false)), (4, Some(false))] {
        assert_eq!(bench.sent(mailbox).await, CopyState::Filed);
        assert_eq!((bench.filed(), bench.files_copies(mailbox)), (filed, known));
    }
    // Its sent folder would say nothing about a doubt, so nobody asks there.
    bench.server.script(Rule::new(Point::FinalReply, Act::Drop).count(Count::First(1)));
    let before = bench.server.connections().imap;
    let id = bench.mailing(mailbox, &["b"]).await;
    let again = bench.until_mailing(id, "to be sent again", |mailing| mailing.doubt_resends == 1).await;
    bench.pass_until(again.retry_at);
    bench.until_state(id, State::Delivered).await;
    let asked = bench.server.connections().imap - before;
    assert!(asked <= 1, "for a copy that it may have, and not again and again: {asked}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_files_copies_gets_none_of_ours_and_is_known_for_it_at_once() {
    let mut bench = bench(true).await;
    let mailbox = bench.synced("auto").await;
    assert_eq!(bench.sent(mailbox).await, CopyState::Found);
    assert_eq!((bench.filed(), bench.files_copies(mailbox)), (1, Some(true)));
    // From then on nobody looks after each of them.
    let id = bench.mailing(mailbox, &["b"]).await;
    assert_eq!(bench.until_state(id, State::Delivered).await.sent_copy, None);
    assert_eq!(bench.filed(), 2);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_no_copies_gets_none() {
    let mut bench = bench(false).await;
    let mailbox = bench.synced("never").await;
    let id = bench.mailing(mailbox, &["b"]).await;
    assert_eq!(bench.until_state(id, State::Delivered).await.sent_copy, None);
    assert_eq!((bench.filed(), bench.server.connections().imap), (0, 0));
    bench.stop().await;
}

/// A sent folder that cannot be reached is waited for, and after an hour the policy decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_does_not_wait_for_ever_for_a_sent_folder_that_cannot_be_asked() {
    let mut bench = bench(true).await;
    let mailbox = bench.synced("auto").await;
    bench.server.script(Rule::new(Point::FinalReply, Act::Drop).count(Count::First(1)));
    bench.server.script(Rule::new(Point::ImapConnect, Act::Drop));
    let id = bench.mailing(mailbox, &["b"]).await;
    let since = bench.until_mailing(id, "in doubt", |mailing| mailing.doubt.is_some()).await.doubt.unwrap().since;
    let mut asked = 0;
    loop {
        let seen = |mailing: &Mailing| mailing.doubt.as_ref().is_none_or(|doubt| doubt.unanswered > asked);
        let Some(doubt) = bench.until_mailing(id, "asked", seen).await.doubt else { break };
        asked = doubt.unanswered;
        assert_eq!((bench.look(id).state, doubt.since), (State::Delivering, since));
        bench.pass_until(Some(doubt.next));
    }
    let waited = bench.clock.now().millis_since(since);
    assert!(waited >= 3_600_000 && asked >= 5, "{waited} ms, {asked} times");
    let again = bench.look(id);
    assert_eq!((again.state, again.doubt_resends, again.retry_count), (State::Scheduled, 1, 0));
    bench.stop().await;
}
