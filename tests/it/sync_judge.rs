//! What is stored is what the server has, whatever a third party does to the account and whenever the syncing process is
//! killed. The servers are real: Dovecot in three configurations, Cyrus.
//!
//! A third party makes random changes while the binary syncs and is ended with SIGKILL at random moments. After a few
//! quiet syncs the stored messages must be the server's: each once, in a folder that has it, with its flags; what the
//! server no longer has is marked as deleted and nothing else is; the event log announces each message once.
//!
//! Seeded; the seed is printed and `POSTROOM_TEST_SEED` repeats the operations. `POSTROOM_TORTURE=long` makes 500
//! operations and 60 kills per server, else a tenth of that.

mod run;
mod third_party;

use crate::peers::cyrus::{self, Cyrus};
use crate::peers::dovecot::{Dovecot, Notes, Offers, Options, Storage};
use third_party::{ANN, Doveadm, ImapClientParty, PASSWORD};

fn dovecot(offers: Offers, storage: Storage) -> Option<Dovecot> {
    let users = vec![(ANN.to_owned(), PASSWORD.to_owned())];
    Dovecot::start(&Options { users, offers, storage, notes: Notes::Conversations, ..Options::default() })
}

async fn judged_by_doveadm(offers: Offers, storage: Storage) -> Option<Dovecot> {
    let dovecot = dovecot(offers, storage)?;
    let server =
        run::Server { host: dovecot.host(), port: dovecot.imaps.port(), authority: dovecot.authority_file.clone() };
    run::judge(&server, &mut Doveadm::new(&dovecot)).await;
    Some(dovecot)
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_with_qresync() {
    judged_by_doveadm(Offers::Qresync, Storage::Maildir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_with_condstore_only() {
    let Some(dovecot) = judged_by_doveadm(Offers::Condstore, Storage::Mdbox).await else { return };
    let heard = dovecot.heard().to_ascii_uppercase();
    assert!(!heard.contains("QRESYNC") && !heard.contains("VANISHED"), "it does not offer QRESYNC");
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_with_neither() {
    let Some(dovecot) = judged_by_doveadm(Offers::Plain, Storage::Maildir).await else { return };
    let heard = dovecot.heard().to_ascii_uppercase();
    for word in ["QRESYNC", "VANISHED", "CONDSTORE", "CHANGEDSINCE", "ENABLE", "MODSEQ", "LIST-STATUS"] {
        assert!(!heard.contains(word), "it does not offer {word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cyrus() {
    let Some(server) = Cyrus::start() else { return };
    let mut party = ImapClientParty::new(&server);
    let server = run::Server {
        host: cyrus::HOST.to_owned(),
        port: server.imaps.port(),
        authority: server.authority_file.clone(),
    };
    run::judge(&server, &mut party).await;
}
