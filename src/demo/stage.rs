//! The mail server of the demo and the people with an account there.

use crate::domain::address::Person;
use crate::mailserver::{Accepted, MailServer, Options};
use crate::mime::{Outgoing, compose, parse_summary};
use crate::net::MapDialer;
use crate::runtime::{Random, Runtime};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) const ANN: &str = "ann@demo.example";
pub(super) const BERT: &str = "bert@demo.example";
pub(super) const CLARA: &str = "clara@demo.example";
pub(super) const DORA: &str = "dora@demo.example";
/// Outside; answers whatever she gets.
pub(super) const GRACE: &str = "grace@partner.example";
/// Outside; never answers.
pub(super) const HENRY: &str = "henry@customer.example";
/// At the demo's own domain, yet without an account.
pub(super) const NOBODY: &str = "nobody@demo.example";

/// The password of every account. It guards nothing: the server is on loopback and ends with the demo. No line of the
/// server holds it by chance: such a line would be taken for one that gives the credential away, and not be shown.
pub(super) const PASSWORD: &str = "let-me-in";

/// How long Grace takes to write an answer.
const WRITING: Duration = Duration::from_secs(2);
/// Accepted messages that the server remembers; Grace reads them soon.
const REMEMBERED: usize = 100;

/// The running mail server.
pub(super) struct Stage {
    server: MailServer,
}

impl Stage {
    pub async fn start(runtime: &Runtime) -> io::Result<Self> {
        let server = MailServer::start(Options {
            hostname: "mail.demo.example".into(),
            clock: runtime.clock.clone(),
            require_auth: true,
            file_sent_copies: true,
            trace_headers: true,
            accepted_kept: REMEMBERED,
            ..Options::default()
        })
        .await?;
        for address in [ANN, BERT, CLARA, DORA, GRACE, HENRY] {
            server.add_account(address, PASSWORD);
        }
        Ok(Self { server })
    }

    pub fn server(&self) -> MailServer {
        self.server.clone()
    }

    pub fn smtp(&self) -> SocketAddr {
        self.server.smtp()
    }

    pub fn imap(&self) -> SocketAddr {
        self.server.imap()
    }

    /// The whole internet of the demo: this server.
    pub fn dialer(&self) -> MapDialer {
        let (smtp, imap) = (self.smtp(), self.imap());
        MapDialer::new().name("localhost", [IpAddr::V4(Ipv4Addr::LOCALHOST)]).route(smtp, smtp).route(imap, imap)
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Grace: reads what she gets and puts an answer into the sender's inbox, whose address then goes to `answered`.
pub(super) async fn answer_mail(server: MailServer, runtime: Runtime, answered: mpsc::Sender<String>) {
    let mut seen = 0;
    loop {
        let known = seen;
        let accepted = server.wait_accepted(known + 1).await;
        for mail in accepted.into_iter().filter(|mail| mail.sequence > known) {
            seen = mail.sequence;
            if !mail.recipients.iter().any(|recipient| recipient.eq_ignore_ascii_case(GRACE)) {
                continue;
            }
            tokio::time::sleep(WRITING).await;
            let Some(answer) = answer_to(&mail, &runtime) else { continue };
            // A sender without an account here waits for no answer.
            if server.append(&mail.sender, "INBOX", &answer).is_ok() {
                let _ = answered.try_send(mail.sender);
            }
        }
    }
}

/// `None` for what cannot be answered: no Message-ID, no sender.
fn answer_to(mail: &Accepted, runtime: &Runtime) -> Option<Vec<u8>> {
    let incoming = parse_summary(&mail.raw);
    let answered = incoming.message_id?;
    let to = Person::parse(&mail.sender).ok()?;
    let from = Person::parse(&format!("Grace Hill <{GRACE}>")).ok()?;
    let mut references = incoming.references;
    references.push(answered.clone());
    let outgoing = Outgoing {
        from: &from,
        reply_to: None,
        to: &[to],
        cc: &[],
        subject: &format!("Re: {}", incoming.subject.unwrap_or_default()),
        text: Some("Thank you, that suits us well.\n\nGrace\n"),
        html: None,
        message_id: &message_id(&*runtime.random),
        date: runtime.clock.now(),
        in_reply_to: Some(&answered),
        references: &references,
        headers: &[],
        attachments: &[],
    };
    compose(&outgoing).ok().map(|composed| composed.bytes)
}

fn message_id(random: &dyn Random) -> String {
    let mut bits = [0; 16];
    random.fill(&mut bits);
    format!("{:032x}@partner.example", u128::from_be_bytes(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::classification::Nature;

    fn accepted(raw: &str) -> Accepted {
        Accepted {
            sequence: 1,
            connection: 1,
            tls: false,
            user: None,
            sender: ANN.into(),
            recipients: vec![GRACE.into()],
            raw: raw.as_bytes().into(),
            bare_cr: false,
            bare_lf: false,
            at: crate::domain::time::Timestamp::default(),
            replied_at: None,
        }
    }

    #[test]
    fn an_answer_names_what_it_answers_and_comes_from_a_person() {
        let raw = "Message-ID: <2@demo.example>\r\nReferences: <1@demo.example>\r\nSubject: Offer\r\n\r\nHello\r\n";
        let answer = answer_to(&accepted(raw), &Runtime::system()).unwrap();
        let answer = parse_summary(&answer);
        assert_eq!(answer.in_reply_to, ["2@demo.example"]);
        assert_eq!(answer.references, ["1@demo.example", "2@demo.example"]);
        assert_eq!(answer.subject.as_deref(), Some("Re: Offer"));
        assert_eq!(answer.nature, Nature::Human);
        assert!(answer_to(&accepted("Subject: No identity\r\n\r\n"), &Runtime::system()).is_none());
    }
}
