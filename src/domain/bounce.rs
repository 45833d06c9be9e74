//! Why a mail came back: what a report or a provider says of one recipient, sorted into what it means.

use super::failure::{EnhancedCode, clean};
use super::suppression::is_bad_address;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Whether there is any sense in mailing the address again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The refusal is for good.
    Hard,
    /// Another mail may arrive: a full mailbox, a server that did not answer, a limit.
    Soft,
}

/// What a mail came back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BounceReason {
    /// Nobody has this address.
    BadAddress,
    /// No mail goes to this domain.
    BadDomain,
    MailboxFull,
    /// The address exists and takes no mail.
    Disabled,
    /// Refused for what the mail is, or where it comes from: a rule, a filter, a reputation.
    Policy,
    TooLarge,
    /// A limit of our own account.
    SenderQuota,
    /// It was tried for days.
    Expired,
    Other,
}

impl BounceReason {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadAddress => "badAddress",
            Self::BadDomain => "badDomain",
            Self::MailboxFull => "mailboxFull",
            Self::Disabled => "disabled",
            Self::Policy => "policy",
            Self::TooLarge => "tooLarge",
            Self::SenderQuota => "senderQuota",
            Self::Expired => "expired",
            Self::Other => "other",
        }
    }
}

/// One recipient whom a mail did not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bounce {
    /// As the report names it, perhaps not at all; where mail was forwarded, whom it was forwarded to.
    pub recipient: Option<String>,
    /// Whom the mail was sent to, where the report tells it apart.
    #[serde(default)]
    pub original_recipient: Option<String>,
    /// The SMTP reply code.
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
    pub severity: Severity,
    pub reason: BounceReason,
    /// What the refusing server said, on one line of at most 500 characters.
    pub text: String,
}

impl Bounce {
    /// Sorts what was said of a recipient. Codes in the text count where there are none beside it, or none that say
    /// anything.
    pub fn new(recipient: Option<String>, status: Option<EnhancedCode>, text: &str) -> Self {
        let said = without_names(text, recipient.as_deref());
        let (code, spoken) = codes(&said);
        let enhanced = match status {
            // 5.0.0 says no more than "no", and the server may have said more.
            Some(EnhancedCode(class, 0, _)) => spoken.filter(|spoken| spoken.0 == class).or(status),
            Some(_) => status,
            None => spoken,
        };
        let reason = reason(enhanced, &said);
        let class = enhanced.map(|code| code.0).or(code.and_then(|code| u8::try_from(code / 100).ok()));
        let passes = matches!(reason, BounceReason::MailboxFull | BounceReason::Expired | BounceReason::SenderQuota)
            || class == Some(4)
            || (class.is_none() && reason == BounceReason::Other);
        let severity = if passes { Severity::Soft } else { Severity::Hard };
        Self { recipient, original_recipient: None, code, enhanced, severity, reason, text: clean(text) }
    }

    /// Whether it says that the address is bad, and will be for every mailing.
    pub fn is_of_the_address(&self) -> bool {
        self.severity == Severity::Hard
            && is_bad_address(self.enhanced, &without_names(&self.text, self.recipient.as_deref()))
    }

    /// The addresses that it may be about.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.original_recipient.iter().chain(&self.recipient).map(String::as_str)
    }
}

/// What was said without the addresses in it, and without the recipient's name between quotes: a name such as `spamtrap`
/// or `587` is nothing that a server says.
fn without_names<'t>(text: &'t str, recipient: Option<&str>) -> Cow<'t, str> {
    let text = without_addresses(text);
    let Some((name, _)) = recipient.and_then(|recipient| recipient.rsplit_once('@')) else { return text };
    let (name, lower) = (name.to_lowercase(), text.to_lowercase());
    let quoted = [('"', '"'), ('\'', '\''), ('<', '>'), ('(', ')'), ('[', ']')];
    let found = quoted.iter().map(|(open, close)| format!("{open}{name}{close}")).find(|quoted| lower.contains(quoted));
    found.map_or(text, |found| Cow::Owned(lower.replace(&found, "@")))
}

fn without_addresses(text: &str) -> Cow<'_, str> {
    let ends = |c: char| c.is_whitespace() || "<>()[]\"',;:".contains(c);
    let mut out = String::new();
    let mut from = 0;
    for (at, _) in text.match_indices('@') {
        if at < from {
            continue;
        }
        let start = text[from..at].rfind(ends).map_or(from, |found| {
            let last = text[from + found..].chars().next().map_or(1, char::len_utf8);
            from + found + last
        });
        let end = text[at..].find(ends).map_or(text.len(), |found| at + found);
        out.push_str(&text[from..start]);
        out.push('@');
        from = end;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// The SMTP reply code and the enhanced code in what a server said.
pub fn codes(text: &str) -> (Option<u16>, Option<EnhancedCode>) {
    let (mut code, mut enhanced) = (None, None);
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let mut before = ' ';
    let mut rest = super::failure::cut(text, 4_000);
    while let Some(start) = rest.find(digits) {
        if let Some(last) = rest[..start].chars().next_back() {
            before = last;
        }
        let end = rest[start..].find(|c| !digits(c)).map_or(rest.len(), |length| start + length);
        let after = rest[end..].chars().next().unwrap_or(' ');
        let run = rest[start..end].trim_end_matches('.');
        let stands_alone = !before.is_alphanumeric() && before != '_' && !after.is_alphanumeric() && after != '_';
        if stands_alone && is_reply_code(run) && !ends_with_port(&rest[..start]) {
            code = code.or_else(|| run.parse().ok());
        } else if stands_alone && enhanced.is_none() {
            enhanced = EnhancedCode::from_reply(run).filter(|found| found.0 != 2 && found.1 <= 7);
        }
        before = rest[..end].chars().next_back().unwrap_or(' ');
        rest = &rest[end..];
    }
    (code, enhanced)
}

/// RFC 5321 §4.2.1 with what is in use beside it (4yz and 7yz): 465 and 587 are ports.
fn is_reply_code(run: &str) -> bool {
    let digits = run.as_bytes();
    digits.len() == 3
        && matches!(digits[0], b'4' | b'5')
        && matches!(digits[1], b'0'..=b'5' | b'7')
        && digits[2].is_ascii_digit()
}

fn ends_with_port(before: &str) -> bool {
    let before = before.trim_end();
    before.len() >= 4 && before.as_bytes()[before.len() - 4..].eq_ignore_ascii_case(b"port")
}

/// The code first; where there is none that says anything, what is said.
fn reason(enhanced: Option<EnhancedCode>, text: &str) -> BounceReason {
    use BounceReason as Is;
    let said = said(text);
    let Some(EnhancedCode(_, subject, detail)) = enhanced else { return said };
    match (subject, detail) {
        (1, 1 | 3 | 4 | 6 | 10) => Is::BadAddress,
        (1, 2) | (4, 310 | 312) => Is::BadDomain,
        // Exchange Online: the directory does not have the recipient.
        (4, 1) if said == Is::BadAddress => Is::BadAddress,
        (4, 4) if said == Is::BadDomain => Is::BadDomain,
        (2, 1) => Is::Disabled,
        (2, 2) => Is::MailboxFull,
        (2, 3) | (3, 4) => Is::TooLarge,
        (4, 5) | (5, 3) | (1, 90) | (7, 232 | 233 | 236) => Is::SenderQuota,
        (4, 1 | 7 | 300 | 316) => Is::Expired,
        (7, _) if said == Is::SenderQuota => said,
        (1, 7 | 8) | (7, _) => Is::Policy,
        (0, _) | (1..=5, 0) => said,
        _ => Is::Other,
    }
}

/// What is said, in the words of the usual servers. What concerns us comes before what concerns the recipient: a filter
/// that says "user unknown" is still a filter. That somebody gave up comes last: it is said beside the reason why.
fn said(text: &str) -> BounceReason {
    let text = text.to_lowercase();
    WORDS
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|phrase| text.contains(phrase)))
        .map_or(BounceReason::Other, |(reason, _)| *reason)
}

const WORDS: [(BounceReason, &[&str]); 8] = [
    (
        BounceReason::SenderQuota,
        &[
            "exceeded the maximum number of recipients",
            "recipient limit",
            "recipient rate limit",
            "sending limit",
            "sending quota",
            "daily limit",
            "you have reached a limit",
            "too many messages from",
        ],
    ),
    (
        BounceReason::TooLarge,
        &[
            "message too large",
            "message too big",
            "message size exceeds",
            "exceeds size limit",
            "message is too large",
            "maximum message size",
            "exceeded the size limit",
            "exceeds the size limit",
        ],
    ),
    (
        BounceReason::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "mailbox exceeds",
            "over quota",
            "overquota",
            "quota exceeded",
            "exceeded storage",
            "exceeds allowed size",
            "disk quota",
            "inbox is full",
            "out of storage",
            "insufficient storage",
            "exceeded its quota",
            "mailbox quota",
            "postfach ist voll",
            "boîte pleine",
            "buzón lleno",
        ],
    ),
    (
        BounceReason::Policy,
        &[
            "spam",
            "blocked",
            "blacklist",
            "blocklist",
            "reputation",
            "policy",
            "prohibited",
            "spf",
            "dkim",
            "dmarc",
            "virus",
            "relaying denied",
            "relay access denied",
            "not permitted",
            "content rejected",
            "listed by",
            "unsolicited",
        ],
    ),
    (
        BounceReason::Disabled,
        &[
            "account has been disabled",
            "account is disabled",
            "mailbox disabled",
            "mailbox is disabled",
            "mailbox unavailable or disabled",
            "account disabled",
            "account suspended",
            "account is suspended",
            "account inactive",
            "inactive user",
            "no longer active",
            "mailbox is inactive",
            "user is inactive",
        ],
    ),
    (
        BounceReason::BadDomain,
        &[
            "host or domain name not found",
            "domain not found",
            "host unknown",
            "host not found",
            "couldn't find any host",
            "domain does not exist",
            "domain doesn't exist",
            "no mx or a records",
            "name service error",
            "unrouteable mail domain",
            "unrouteable address",
            "domain couldn't be found",
            "domain name not found",
            "bad destination host",
        ],
    ),
    (
        BounceReason::BadAddress,
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "user does not exist",
            "user doesn't exist",
            "doesn't have a",
            "no such mailbox",
            "mailbox does not exist",
            "mailbox not found",
            "unknown mailbox",
            "mailbox unavailable",
            "no mailbox here",
            "recipient does not exist",
            "no such recipient",
            "unknown recipient",
            "recipient unknown",
            "recipient not found",
            "recipient address rejected",
            "invalid recipient",
            "invalid mailbox",
            "address does not exist",
            "account does not exist",
            "account that you tried to reach does not exist",
            "couldn't be found",
            "could not be found",
            "address couldn't be found",
            "wasn't found at",
            "not listed in",
            "user not found",
            "no such address",
            "unknown address",
            "unbekannter empfänger",
            "empfänger unbekannt",
            "unbekannter benutzer",
            "utilisateur inconnu",
            "destinataire inconnu",
            "usuario desconocido",
            "utente sconosciuto",
        ],
    ),
    (
        BounceReason::Expired,
        &[
            "delivery time expired",
            "message expired",
            "retry timeout exceeded",
            "retry time exceeded",
            "retry time not reached for any host after a long failure",
            "maximum retry time",
            "been in the queue too long",
            "queue too long",
            "time limit exceeded",
            "lifetime",
            "connection timed out",
            "connection refused",
            "giving up",
            "could not be delivered for",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(text: &str) -> (Severity, BounceReason, bool) {
        let bounce = Bounce::new(None, None, text);
        (bounce.severity, bounce.reason, bounce.is_of_the_address())
    }

    #[test]
    fn what_servers_say_is_sorted_by_code_and_else_by_words() {
        use BounceReason as Is;
        use Severity::{Hard, Soft};
        for (text, severity, reason, suppresses) in [
            ("550 5.1.1 <a@b.example>: Recipient address rejected: User unknown", Hard, Is::BadAddress, true),
            ("550-5.1.1 The email account that you tried to reach does not exist.", Hard, Is::BadAddress, true),
            ("550 #5.1.0 Address rejected.", Hard, Is::Other, false),
            ("550 No such user here", Hard, Is::BadAddress, true),
            ("550 No such user here. Giving up on 192.0.2.1.", Hard, Is::BadAddress, true),
            ("Connection timed out. Giving up on 192.0.2.1.", Soft, Is::Expired, false),
            ("450 No such user here", Soft, Is::BadAddress, false),
            ("552 5.2.2 Mailbox full", Soft, Is::MailboxFull, false),
            ("552 user is over quota", Soft, Is::MailboxFull, false),
            ("550 5.2.1 The user you are trying to contact is inactive", Hard, Is::Disabled, true),
            ("550 5.7.1 Blocked: no such user", Hard, Is::Policy, false),
            ("554 Message rejected as spam, user unknown", Hard, Is::Policy, false),
            ("552 5.3.4 Message too large", Hard, Is::TooLarge, false),
            ("550 5.7.232 tenant limit", Soft, Is::SenderQuota, false),
            ("550 5.4.5 Daily sending limit exceeded", Soft, Is::SenderQuota, false),
            ("550 5.4.1 Recipient address rejected: Access denied.", Hard, Is::BadAddress, false),
            ("4.4.7 Delivery time expired", Soft, Is::Expired, false),
            ("550 5.4.310 DNS domain x.example does not exist", Hard, Is::BadDomain, false),
            ("Host or domain name not found. Name service error for name=x.example type=A", Hard, Is::BadDomain, false),
            ("550 5.1.2 no mail for that domain", Hard, Is::BadDomain, true),
            ("something", Soft, Is::Other, false),
            ("", Soft, Is::Other, false),
            ("<spamtrap.policy@x.example>: unknown user", Hard, Is::BadAddress, true),
            ("unknown user: spam@x.example", Hard, Is::BadAddress, true),
            ("550 <a@blocked.example>... User unknown", Hard, Is::BadAddress, true),
        ] {
            assert_eq!(sorted(text), (severity, reason, suppresses), "{text}");
        }
    }

    #[test]
    fn codes_are_found_and_addresses_of_machines_are_none() {
        for (text, code, enhanced) in [
            ("smtp; 550-5.1.1 x", Some(550), Some(EnhancedCode(5, 1, 1))),
            ("host mx[192.0.2.5] said: 550 (#5.2.2)", Some(550), Some(EnhancedCode(5, 2, 2))),
            ("#< #5.1.1 SMTP; 550>", Some(550), Some(EnhancedCode(5, 1, 1))),
            ("connect to 10.5.1.1:25", None, None),
            ("Remote_500_x 5500 a550", None, None),
            ("5.1.1.", None, Some(EnhancedCode(5, 1, 1))),
            ("connect to port 443, 587 or 465", None, None),
            ("Port 550 said 451", Some(451), None),
        ] {
            assert_eq!(codes(text), (code, enhanced), "{text}");
        }
    }

    #[test]
    fn a_status_that_says_nothing_gives_way_to_the_servers_own() {
        let bounce = Bounce::new(None, Some(EnhancedCode(5, 0, 0)), "smtp; 550 5.1.1 unknown");
        assert_eq!(bounce.enhanced, Some(EnhancedCode(5, 1, 1)));
        let bounce = Bounce::new(None, Some(EnhancedCode(5, 7, 1)), "smtp; 550 5.1.1 unknown");
        assert!(!bounce.is_of_the_address());
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_says_makes_it_panic(text in "[ 0-9.45a-z#\\PC]{0,80}") {
            let bounce = Bounce::new(None, None, &text);
            prop_assert!(!(bounce.is_of_the_address() && bounce.severity == Severity::Soft));
        }
    }
}
