use super::gate::Gate;
use super::wire::Wire;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A place in a conversation where a rule can step in. Each is reached before the server acts, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the SMTP greeting.
    SmtpConnect,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS over SMTP. [`Act::After`] adds plaintext behind the reply, before the handshake.
    StartTls,
    /// The credentials of an AUTH are in.
    Auth,
    MailFrom,
    /// Each RCPT; [`When::recipient`] sees only the one that it names.
    RcptTo,
    Data,
    /// The first bytes of the message are in, the final dot has not been looked for. A reply in place of the usual one
    /// goes out here, and the rest of the message is swallowed.
    Body,
    /// The final dot is in; the message is not accepted yet.
    FinalDot,
    /// The message has been accepted and filed; the reply has not been sent.
    FinalReply,
    /// The reply to the final dot has been sent.
    AfterReply,
    Rset,
    Noop,
    Quit,
    /// Before the IMAP greeting.
    ImapConnect,
    /// A command by its verb in capitals; `FETCH` stands for `UID FETCH` too.
    ImapCommand(&'static str),
    /// The credentials of a LOGIN or AUTHENTICATE are in.
    ImapLogin,
    /// A literal of a FETCH response has been announced and half of it sent.
    ImapFetchLiteral,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Say this in place of the usual reply; the command has no effect. Line ends become CRLF, one is added at the end,
    /// and `{tag}` becomes the tag of the IMAP command. A reply that begins with `421` or `* BYE` closes the connection.
    Reply(String),
    /// The same, verbatim: nothing is added or replaced, and the connection goes on.
    Raw(Vec<u8>),
    /// Say this, verbatim, and then go on as usual.
    Before(Vec<u8>),
    /// Go on as usual and say this, verbatim, in one write behind the usual reply.
    After(Vec<u8>),
    /// Wait (in real time), then go on as usual.
    Delay(Duration),
    /// Wait until the test opens the gate, then go on as usual.
    Hold(Gate),
    /// Do what was asked, then close the connection in place of the (last, tagged) reply.
    AcceptThenDrop,
    /// Close the connection; the command has no effect.
    Drop,
    /// Say this, verbatim, then close the connection; the command has no effect.
    Last(Vec<u8>),
    /// Say this so many times over, verbatim, then go on as usual: a gigabyte costs the server one block.
    Flood(Vec<u8>, u64),
    /// Go on as usual, but put the second text wherever the first one stands in the answer (IMAP; as far as the answer
    /// fits into the 64 KiB that are collected before they are sent).
    Edit(Vec<u8>, Vec<u8>),
}

/// Which passages of a point a rule means. Addresses are compared without regard to case; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// The envelope sender.
    pub sender: Option<String>,
    /// One of the envelope recipients so far.
    pub recipient: Option<String>,
    /// The user who is logged in, or tries to.
    pub user: Option<String>,
    /// Which of the passages that match all of the above.
    pub count: Count,
}

/// Which of the matching passages, counted from 1 over all connections since the rule was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    #[default]
    Every,
    /// Only this one.
    Nth(u64),
    /// The first so many.
    First(u64),
    /// Every multiple of this (0 means none).
    EveryNth(u64),
}

impl Count {
    fn covers(self, passage: u64) -> bool {
        match self {
            Self::Every => true,
            Self::Nth(n) => passage == n,
            Self::First(n) => passage <= n,
            Self::EveryNth(n) => n != 0 && passage.is_multiple_of(n),
        }
    }
}

/// Where, when and what.
#[derive(Clone, Debug)]
pub struct Rule {
    pub at: Point,
    pub when: When,
    pub act: Act,
}

impl Rule {
    /// A rule for every passage of `at`.
    pub fn new(at: Point, act: Act) -> Self {
        Self { at, when: When::default(), act }
    }

    /// Only for this envelope sender.
    #[must_use]
    pub fn from(mut self, sender: &str) -> Self {
        self.when.sender = Some(sender.to_owned());
        self
    }

    /// Only for this recipient.
    #[must_use]
    pub fn to(mut self, recipient: &str) -> Self {
        self.when.recipient = Some(recipient.to_owned());
        self
    }

    /// Only for this user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.when.user = Some(user.to_owned());
        self
    }

    /// Only for some of the passages.
    #[must_use]
    pub fn count(mut self, count: Count) -> Self {
        self.when.count = count;
        self
    }
}

/// Names a rule, to take it away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

/// What a session knows when it comes to a point.
#[derive(Clone, Copy, Default)]
pub(super) struct Scene<'a> {
    pub sender: Option<&'a str>,
    pub recipients: &'a [String],
    pub user: Option<&'a str>,
    /// The tag of the IMAP command.
    pub tag: &'a str,
}

/// What the rules ask of a session, delays and holds already served.
#[derive(Debug, Default)]
pub(super) struct Cue {
    /// Say this and do nothing.
    pub instead: Option<Vec<u8>>,
    /// Say this in addition, before or behind the usual reply.
    pub before: Vec<u8>,
    pub after: Vec<u8>,
    /// Act, then close without the reply.
    pub close_unanswered: bool,
    /// Close after what is said instead.
    pub close: bool,
    /// What to replace in the answer, and by what.
    pub edits: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Default)]
pub(super) struct Script {
    rules: Mutex<Vec<Held>>,
    next: AtomicU64,
}

struct Held {
    id: RuleId,
    rule: Rule,
    passages: u64,
}

impl Script {
    pub fn add(&self, rule: Rule) -> RuleId {
        let id = RuleId(self.next.fetch_add(1, Ordering::Relaxed));
        self.rules().push(Held { id, rule, passages: 0 });
        id
    }

    pub fn remove(&self, id: RuleId) {
        self.rules().retain(|held| held.id != id);
    }

    /// Asks the rules, waits where they say so, and returns what is left for the session to do.
    /// An error means that the connection ends here.
    pub async fn cue(&self, wire: &mut Wire, at: Point, scene: Scene<'_>) -> io::Result<Cue> {
        let mut cue = Cue::default();
        for act in self.acts(at, scene) {
            match act {
                Act::Reply(text) => {
                    cue.close = text.starts_with("421") || text.starts_with("* BYE");
                    cue.instead = Some(reply(&text, scene.tag));
                }
                Act::Raw(bytes) => cue.instead = Some(bytes),
                Act::Before(bytes) => cue.before.extend_from_slice(&bytes),
                Act::After(bytes) => cue.after.extend_from_slice(&bytes),
                Act::Delay(time) => {
                    wire.flush().await?;
                    tokio::time::sleep(time).await;
                }
                Act::Hold(gate) => {
                    wire.flush().await?;
                    gate.pass().await;
                }
                Act::AcceptThenDrop => cue.close_unanswered = true,
                Act::Drop => {
                    wire.flush().await?;
                    return Err(dropped());
                }
                Act::Last(bytes) => {
                    cue.instead = Some(bytes);
                    cue.close = true;
                }
                Act::Flood(block, times) => {
                    wire.put(std::mem::take(&mut cue.before));
                    for _ in 0..times {
                        wire.put(&block);
                        wire.relieve().await?;
                    }
                }
                Act::Edit(from, to) => cue.edits.push((from, to)),
            }
        }
        Ok(cue)
    }

    fn acts(&self, at: Point, scene: Scene<'_>) -> Vec<Act> {
        let mut acts = Vec::new();
        for held in self.rules().iter_mut().filter(|held| held.rule.at == at && held.rule.when.matches(scene)) {
            held.passages += 1;
            if held.rule.when.count.covers(held.passages) {
                acts.push(held.rule.act.clone());
            }
        }
        acts
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Held>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl When {
    fn matches(&self, scene: Scene<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        let recipient = self
            .recipient
            .as_deref()
            .is_none_or(|wanted| scene.recipients.iter().any(|found| found.eq_ignore_ascii_case(wanted)));
        recipient && fits(&self.sender, scene.sender) && fits(&self.user, scene.user)
    }
}

/// How a session ends because a rule said so.
pub(super) fn dropped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "dropped by a rule")
}

fn reply(text: &str, tag: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    for line in text.lines() {
        bytes.extend_from_slice(line.replace("{tag}", tag).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passages(rule: Rule, scenes: &[Scene<'_>]) -> Vec<bool> {
        let script = Script::default();
        let at = rule.at;
        script.add(rule);
        scenes.iter().map(|scene| !script.acts(at, *scene).is_empty()).collect()
    }

    #[test]
    fn a_rule_counts_only_the_passages_that_it_means() {
        let ann = ["Ann@example.test".to_owned()];
        let bob = ["bob@example.test".to_owned()];
        let (ann, bob) =
            (Scene { recipients: &ann, ..Scene::default() }, Scene { recipients: &bob, ..Scene::default() });
        let scenes = [ann, bob, ann, bob, ann];
        let rule = || Rule::new(Point::RcptTo, Act::Drop).to("ann@example.test");
        assert_eq!(passages(rule(), &scenes), [true, false, true, false, true]);
        assert_eq!(passages(rule().count(Count::Nth(2)), &scenes), [false, false, true, false, false]);
        assert_eq!(passages(rule().count(Count::First(2)), &scenes), [true, false, true, false, false]);
        assert_eq!(passages(rule().count(Count::EveryNth(3)), &scenes), [false, false, false, false, true]);
        assert_eq!(passages(rule().count(Count::EveryNth(0)), &scenes), [false; 5]);
        assert_eq!(passages(rule().from("x@example.test"), &scenes), [false; 5]);
    }

    #[test]
    fn a_reply_gets_crlf_and_the_tag() {
        assert_eq!(reply("250-a\n250 b", ""), b"250-a\r\n250 b\r\n");
        assert_eq!(reply("{tag} NO no\r\n", "a7"), b"a7 NO no\r\n");
    }
}
