use super::*;
use crate::connect::effective::tests::mailbox;
use crate::domain::mailbox::{Mailbox, SecretField};
use crate::mailserver::{Act, MailServer, Options, Point, Rule};
use crate::net::authority::Authority;
use crate::net::{EgressRules, MapDialer, Network, Trust};
use crate::runtime::SeededRandom;
use crate::store::SecretChange;
use crate::vault::{MasterKey, Vault};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const NAME: &str = "mail.example";

struct Rig {
    server: MailServer,
    authority: Authority,
}

impl Rig {
    async fn new() -> Self {
        let authority = Authority::new();
        let tls = Some(authority.acceptor(NAME).config().clone());
        let server = MailServer::start(Options { tls, require_auth: true, ..Options::default() }).await.unwrap();
        server.add_account("ann@example.test", "right");
        Self { server, authority }
    }

    /// Tests a mailbox at `mail.example` with this password.
    async fn test(
        &self,
        side: Side,
        trust: &Trust,
        attributes: Value,
        password: &str,
    ) -> (Stages, Result<(), Failure>) {
        let public: IpAddr = "9.9.9.9".parse().unwrap();
        let at = |port| SocketAddr::new(public, port);
        let dialer = MapDialer::new()
            .name(NAME, [public])
            .route(at(465), self.server.smtps().unwrap())
            .route(at(587), self.server.smtp())
            .route(at(993), self.server.imaps().unwrap())
            .route(at(143), self.server.imap());
        let network = Network::new(Arc::new(dialer), trust, EgressRules::default());
        let vault = Vault::new(&MasterKey::ephemeral(&SeededRandom::new(1)));
        let draft: Mailbox = mailbox("example.test", attributes, &[]);
        let secrets = [(SecretField::Password, SecretChange::Set(password.into()))];
        Connector::new(network, vault).live_test(side, &Draft::new(&draft, &secrets)).await
    }
}

fn hosts() -> Value {
    json!({"imapHost": NAME, "smtpHost": NAME})
}

fn names(stages: &Stages) -> Vec<Stage> {
    stages.reports().iter().map(|report| report.stage).collect()
}

#[tokio::test]
async fn a_mailbox_that_works_passes_every_stage_and_leaves_no_trace() {
    use Stage::{
        Authentication, Capabilities, Dns, Egress, FolderList, Greeting, MailFrom, RcptTo, Rset, Select, StartTls, Tcp,
        Tls,
    };
    let rig = Rig::new().await;
    let (stages, result) = rig.test(Side::Send, &rig.authority.trust(), hosts(), "right").await;
    result.unwrap();
    let opened = [Dns, Egress, Tcp, Greeting, Capabilities, StartTls, Tls, Capabilities, Authentication];
    assert_eq!(names(&stages), [&opened[..], &[MailFrom, RcptTo, Rset]].concat());
    let (stages, result) = rig.test(Side::Sync, &rig.authority.trust(), hosts(), "right").await;
    result.unwrap();
    let opened = [Dns, Egress, Tcp, Tls, Greeting, Capabilities, Authentication];
    assert_eq!(names(&stages), [&opened[..], &[FolderList, Select]].concat());
    assert!(stages.reports().iter().all(|report| report.ok));
    assert!(rig.server.accepted().is_empty());
}

#[tokio::test]
async fn each_failure_names_its_stage_and_the_attribute_to_look_at() {
    let rig = Rig::new().await;
    let trust = rig.authority.trust();
    let with = |name: &str, value: Value| {
        let mut attributes = hosts();
        attributes[name] = value;
        attributes
    };
    for (side, attributes, password, stage, attribute) in [
        (Side::Sync, hosts(), "wrong", Stage::Authentication, "password"),
        (Side::Send, hosts(), "wrong", Stage::Authentication, "password"),
        (Side::Sync, with("imapHost", json!("nowhere.example")), "right", Stage::Dns, "imapHost"),
        (Side::Send, with("smtpHost", json!("nowhere.example")), "right", Stage::Dns, "smtpHost"),
        (Side::Send, with("smtpPort", json!(2525)), "right", Stage::Tcp, "smtpPort"),
        (Side::Send, with("smtpPort", json!(993)), "right", Stage::Greeting, "smtpHost"),
        (Side::Sync, with("imapPort", json!(80)), "right", Stage::Egress, "imapPort"),
        (Side::Sync, with("syncMethod", json!("ews")), "right", Stage::Settings, "syncMethod"),
        (Side::Send, with("smtpUsername", json!("relay")), "right", Stage::Settings, "smtpPassword"),
        (Side::Send, json!({}), "right", Stage::Settings, "smtpHost"),
        (Side::Sync, json!({}), "right", Stage::Settings, "imapHost"),
    ] {
        let (stages, result) = rig.test(side, &trust, attributes.clone(), password).await;
        let failure = result.unwrap_err();
        assert_eq!((failure.stage, blame(&failure, side)), (stage, attribute), "{attributes}: {failure}");
        let last = stages.reports().last().unwrap();
        assert_eq!((last.stage, last.ok), (stage, false), "{attributes}: {stages:?}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_fails_at_tls_and_no_credential_was_sent() {
    let rig = Rig::new().await;
    for (side, host) in [(Side::Send, "smtpHost"), (Side::Sync, "imapHost")] {
        let (_, result) = rig.test(side, &Trust::nobody(), hosts(), "right").await;
        let failure = result.unwrap_err();
        assert_eq!((failure.stage, blame(&failure, side)), (Stage::Tls, host));
    }
    assert_eq!(rig.server.connections().logins, 0);
}

#[tokio::test]
async fn refusals_after_the_log_in_keep_their_stage_and_the_servers_line() {
    let rig = Rig::new().await;
    let trust = rig.authority.trust();
    for (side, point, reply, stage) in [
        (Side::Send, Point::MailFrom, "550 5.4.5 Daily user sending limit exceeded", Stage::MailFrom),
        (Side::Send, Point::RcptTo, "550 5.1.1 who", Stage::RcptTo),
        (Side::Sync, Point::ImapCommand("LIST"), "{tag} NO no folders", Stage::FolderList),
        (Side::Sync, Point::ImapCommand("EXAMINE"), "{tag} NO no inbox", Stage::Select),
    ] {
        let rule = rig.server.script(Rule::new(point, Act::Reply(reply.into())));
        let (stages, result) = rig.test(side, &trust, hosts(), "right").await;
        let failure = result.unwrap_err();
        assert_eq!(failure.stage, stage);
        assert!(failure.server.is_some());
        if stage == Stage::MailFrom {
            assert_eq!(failure.kind, FailureKind::Quota);
        }
        assert_eq!(stages.reports().last().map(|report| (report.stage, report.ok)), Some((stage, false)));
        rig.server.clear(rule);
    }
}
