//! From a mailing to the message that goes out: the same octets at every attempt.

use super::Parts;
use super::start::Started;
use crate::domain::address::{Address, Person};
use crate::domain::attachment::Attachment;
use crate::domain::failure::{Failure, FailureKind, Scope, Stage};
use crate::domain::link::{Link, LinkKey, Purpose, is_readable_on_the_way, target};
use crate::domain::mailing::{Content, Mailing, NO_PUBLIC_URL, Recipient, RecipientKind, UNSUBSCRIBE_PLACEHOLDER};
use crate::mime::{
    Attached, ComposeError, Composed, Octets, Outgoing, compose, escaped, html_with_last, html_with_signature,
    rewrite_links, text_from_html, text_with_signature, whole_text_from_html,
};
use crate::store::{Snapshot, Store, attachment_content, get};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::ops::ControlFlow;

/// What an address may hold in a `mailto:` as it is (RFC 6068 §2).
const ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'@').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Composes the message of an attempt, signed where there is a key for its author's domain.
pub(super) fn composed(parts: &Parts, started: &Started) -> Result<Composed, Failure> {
    let Started { mailing, content, mailbox, .. } = started;
    let frozen = content.frozen.as_ref();
    let from = Person {
        name: frozen.and_then(|frozen| frozen.from_name.clone()),
        address: address(sender(started), Scope::Mailbox)?,
    };
    let reply_to = content
        .reply_to
        .as_deref()
        .map(Person::parse)
        .transpose()
        .map_err(|problem| unfit(Scope::Message, &format!("replyTo is not a valid address: {problem}")))?;
    let to = people(&mailing.recipients, RecipientKind::To)?;
    let left_out = frozen.map(|frozen| frozen.left_out.as_slice()).unwrap_or_default();
    let mut cc = people(&mailing.recipients, RecipientKind::Cc)?;
    cc.retain(|person| !left_out.iter().any(|address| address == person.address.as_given()));
    let signature =
        frozen.and_then(|frozen| frozen.signature.as_deref()).filter(|signature| !signature.trim().is_empty());
    let signed = links(started)?;
    let unsubscribe = mailing.needs_unsubscribe_link().then(|| signed.as_ref().map(Signed::unsubscribe));
    let unsubscribe = unsubscribe.flatten().transpose()?;
    let opt_out = unsubscribe
        .as_deref()
        .map(|url| opt_out(frozen.and_then(|frozen| frozen.opt_out.as_deref()).unwrap_or_default(), url));
    let block: Vec<&str> = signature.into_iter().chain(opt_out.as_deref()).collect();
    let (html, text) = bodies(content, &block.join("\n<br>\n"), unsubscribe.as_deref());
    let html = html.map(|html| match &signed {
        Some(signed) => signed.tracked(&html, unsubscribe.as_deref()),
        None => html,
    });
    let mailto = signed.as_ref().and_then(Signed::mailto);
    let mut headers = unsubscribe.as_deref().map(|url| ways_out(url, mailto)).unwrap_or_default();
    headers.extend(content.headers.iter().cloned());
    let snapshot = parts.store.read()?;
    let stored = stored(&snapshot, &content.attachments)?;
    let attached: Vec<Attached> = stored
        .iter()
        .map(|stored| Attached {
            name: &stored.attachment.name,
            content_type: &stored.attachment.content_type,
            size: stored.attachment.size,
            octets: stored,
        })
        .collect();
    let outgoing = Outgoing {
        from: &from,
        reply_to: reply_to.as_ref(),
        to: &to,
        cc: &cc,
        subject: content.subject.as_deref().unwrap_or_default(),
        text: Some(&text),
        html: html.as_deref(),
        message_id: &mailing.message_id,
        date: frozen.map_or(mailbox.created_at, |frozen| frozen.date),
        in_reply_to: content.in_reply_to.as_deref(),
        references: &content.references,
        headers: &headers,
        attachments: &attached,
    };
    let mut composed = compose(&outgoing).map_err(|problem| match problem {
        // The store, not the message, is at fault.
        ComposeError::Unreadable(why) => Failure::temporary(Stage::Store, why),
        problem => unfit(Scope::Message, &problem.to_string()),
    })?;
    // At the frozen date: the same signature at every attempt.
    composed.bytes = parts
        .keyring
        .sign(from.address.domain_ascii(), composed.bytes, outgoing.date)
        .ok_or_else(|| unfit(Scope::Mailbox, "its DKIM key does not sign."))?;
    Ok(composed)
}

/// Who the message is from, in From and in the envelope: an alias where the mailing names one, else the mailbox.
pub(super) fn sender(started: &Started) -> &str {
    started.content.from_alias.as_deref().unwrap_or(&started.mailing.mailbox_address)
}

/// How much the attachments take once they are in the message, in whole mebibytes.
pub(super) fn mebibytes(store: &Store, started: &Started) -> Result<u32, Failure> {
    if started.content.attachments.is_empty() {
        return Ok(0);
    }
    let snapshot = store.read()?;
    let octets: u64 = stored(&snapshot, &started.content.attachments)?.iter().map(|one| one.attachment.size).sum();
    // Base64 with its line breaks: 78 octets for 57.
    Ok(u32::try_from((octets.saturating_mul(78) / 57) >> 20).unwrap_or(u32::MAX))
}

/// An attachment as the store has it.
struct Stored<'s> {
    snapshot: &'s Snapshot,
    attachment: Attachment,
}

impl Octets for Stored<'_> {
    fn show(&self, see: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let mut pass = |octets: &[u8]| {
            see(octets);
            ControlFlow::Continue(())
        };
        attachment_content(self.snapshot, self.attachment.id, &mut pass).map_err(|error| error.to_string())
    }
}

fn stored<'s>(snapshot: &'s Snapshot, ids: &[u64]) -> Result<Vec<Stored<'s>>, Failure> {
    ids.iter()
        .map(|id| match get::<Attachment>(snapshot, *id)? {
            Some(attachment) => Ok(Stored { snapshot, attachment }),
            None => Err(unfit(Scope::Message, &format!("the attachment {id} is gone."))),
        })
        .collect()
}

/// HTML and text with the signature in its place. The text of HTML alone is made before any link is tracked.
fn bodies(content: &Content, block: &str, unsubscribe: Option<&str>) -> (Option<String>, String) {
    let filled = |body: &str, url: &str| match unsubscribe {
        Some(_) => body.replace(UNSUBSCRIBE_PLACEHOLDER, url),
        None => body.to_owned(),
    };
    let written = content.html.as_ref().map(|html| filled(html, &escaped(unsubscribe.unwrap_or_default())));
    let html = written.as_ref().map(|html| match block {
        "" => html.clone(),
        block => html_with_signature(html, block),
    });
    let whole = html.as_deref().filter(|_| content.text.is_none()).and_then(whole_text_from_html);
    let mut text = whole.unwrap_or_else(|| {
        // HTML of which only a part becomes text, or none of the links: what stands below it is read for itself.
        let text = match (&content.text, &written) {
            (None, Some(html)) => text_from_html(html),
            (text, _) => filled(text.as_deref().unwrap_or_default(), unsubscribe.unwrap_or_default()),
        };
        if block.is_empty() { text } else { text_with_signature(&text, &text_from_html(block)) }
    });
    // A signature may be such HTML as well, or hide what follows it; who reads the text can opt out all the same.
    if let Some(url) = unsubscribe.filter(|url| !text.contains(url)) {
        text = format!("{}\n\n{url}", text.trim_end());
    }
    (html, text)
}

/// The opt-out below the signature: the mailbox's own words with the link in them, or with one added.
fn opt_out(words: &str, url: &str) -> String {
    let url = escaped(url);
    if words.contains(UNSUBSCRIBE_PLACEHOLDER) {
        return words.replace(UNSUBSCRIBE_PLACEHOLDER, &url);
    }
    let space = if words.trim().is_empty() { "" } else { " " };
    format!("{words}{space}<a href=\"{url}\">Unsubscribe</a>")
}

/// The fields that let a mail program offer the opt-out: by the link, or where a program does not follow links by a mail
/// (RFC 2369 §3.2), which stands last, as the first that a program understands counts. One click is enough (RFC 8058
/// §3.1) where nobody on the way can read or change it.
fn ways_out(url: &str, mailto: Option<String>) -> Vec<(String, String)> {
    let ways = std::iter::once(url.to_owned()).chain(mailto).map(|way| format!("<{way}>"));
    let ways = ways.collect::<Vec<_>>().join(", ");
    let one_click = (!is_readable_on_the_way(url)).then_some(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    let fields = std::iter::once(("List-Unsubscribe", ways.as_str())).chain(one_click);
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What the links of a message are made with.
struct Signed<'a> {
    base: &'a str,
    /// The address that reads opt-outs by mail.
    reads: Option<&'a str>,
    key: &'a LinkKey,
    mailing: &'a Mailing,
}

/// `None` for a mailing without links.
fn links(started: &Started) -> Result<Option<Signed<'_>>, Failure> {
    let Started { mailing, content, link_key, .. } = started;
    if !mailing.needs_links() {
        return Ok(None);
    }
    let frozen = content.frozen.as_ref().and_then(|frozen| frozen.links.as_ref());
    match (frozen, link_key) {
        (Some(links), Some(key)) => Ok({
            let reads = links.mailto.as_deref();
            Some(Signed { base: &links.base, reads, key, mailing })
        }),
        (None, _) => Err(unfit(Scope::Message, NO_PUBLIC_URL)),
        (Some(_), None) => Err(unfit(Scope::Message, "The key of its links is missing from the store.")),
    }
}

impl Signed<'_> {
    fn url(&self, path: &str, purpose: Purpose, detail: &str) -> String {
        format!("{}/{path}/{}", self.base, self.token(purpose, detail))
    }

    fn token(&self, purpose: Purpose, detail: &str) -> String {
        let Mailing { id, mailbox_id, .. } = *self.mailing;
        self.key.token(&Link { purpose, mailbox: mailbox_id, mailing: id, detail: detail.to_owned() })
    }

    /// The mail that opts the recipient out (RFC 6068): the sync of the mailbox reads the token in its subject.
    fn mailto(&self) -> Option<String> {
        let [recipient] = self.mailing.recipients.as_slice() else { return None };
        let address = Address::parse(self.reads?).ok()?.ascii();
        let token = self.token(Purpose::Unsubscribe, &recipient.address);
        Some(format!("mailto:{}?subject=unsubscribe%20{token}", utf8_percent_encode(&address, ADDRESS)))
    }

    /// The opt-out of the one recipient.
    fn unsubscribe(&self) -> Result<String, Failure> {
        match self.mailing.recipients.as_slice() {
            [recipient] => Ok(self.url("u", Purpose::Unsubscribe, &recipient.address)),
            _ => Err(unfit(Scope::Message, "A mailing with an unsubscribe link has exactly one recipient.")),
        }
    }

    /// The HTML with its links leading through us, all but the opt-out, and the picture whose loading is an open.
    fn tracked(&self, html: &str, unsubscribe: Option<&str>) -> String {
        let mut html = if self.mailing.track_links {
            rewrite_links(html, |found| {
                let target = target(found).filter(|_| Some(found) != unsubscribe)?;
                Some(self.url("c", Purpose::Click, &target))
            })
        } else {
            html.to_owned()
        };
        if self.mailing.track_opens {
            let url = escaped(&format!("{}.gif", self.url("o", Purpose::Open, "")));
            html = html_with_last(&html, &format!("<img src=\"{url}\" width=\"1\" height=\"1\" alt=\"\">"));
        }
        html
    }
}

/// Who is handed to the server, in envelope form: the address with its domain in ASCII, each once. Beside them those who
/// are for the next message, as the provider takes no more at once.
pub(super) fn envelope_recipients(started: &Started) -> (Vec<(String, String)>, Vec<String>) {
    let mut recipients: Vec<(String, String)> = Vec::new();
    let mut left_over = Vec::new();
    let waiting: Vec<&Recipient> = started.mailing.waiting().collect();
    // At another try others come first: those who are put off must not keep the rest from being named at all.
    let tries = usize::try_from(started.mailing.retry_count).unwrap_or_default();
    let first = tries.saturating_mul(started.recipients) % waiting.len().max(1);
    for recipient in waiting[first..].iter().chain(&waiting[..first]) {
        let ascii =
            Address::parse(&recipient.address).map_or_else(|_| recipient.address.clone(), |address| address.ascii());
        if recipients.iter().any(|(_, other)| *other == ascii) {
            continue;
        }
        if recipients.len() < started.recipients {
            recipients.push((recipient.address.clone(), ascii));
        } else {
            left_over.push(recipient.address.clone());
        }
    }
    (recipients, left_over)
}

fn people(recipients: &[Recipient], kind: RecipientKind) -> Result<Vec<Person>, Failure> {
    recipients
        .iter()
        .filter(|recipient| recipient.kind == kind)
        .map(|recipient| {
            Ok(Person { name: recipient.name.clone(), address: address(&recipient.address, Scope::Message)? })
        })
        .collect()
}

fn address(text: &str, scope: Scope) -> Result<Address, Failure> {
    Address::parse(text).map_err(|problem| unfit(scope, &format!("{text} is not a valid address: {problem}")))
}

fn unfit(scope: Scope, why: &str) -> Failure {
    Failure::new(FailureKind::Permanent, scope, Stage::Settings, format!("The message cannot be composed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mail.example.org/u/token";

    fn text_of(html: &str, block: &str) -> String {
        let content = Content { html: Some(html.to_owned()), ..Content::default() };
        bodies(&content, block, Some(URL)).1
    }

    #[test]
    fn the_text_made_of_html_has_signature_and_opt_out_whatever_the_html_is() {
        let block = format!("<p>Ann of Demo</p>\n<br>\n{}", opt_out("", URL));
        let picture = format!("<img src=\"data:image/png;base64,{}\">", "A".repeat(1_200_000));
        let quoted = format!("{}{}", "<blockquote>".repeat(25), "words ".repeat(40_000));
        for html in ["<p>Hello</p>", &format!("<p>Hello</p>{picture}"), &format!("<p>Hello</p>{quoted}")] {
            let text = text_of(html, &block);
            let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is missing: {text:.200}"));
            assert!(at("Hello") < at("Ann of Demo") && at("Ann of Demo") < at(URL));
            assert_eq!(text.matches(URL).count(), 1);
        }
    }

    #[test]
    fn a_signature_that_hides_what_follows_does_not_hide_the_opt_out_from_the_text() {
        let block = format!("<p>Ann</p><!--\n<br>\n{}", opt_out("", URL));
        assert_eq!(text_of("<p>Hello</p>", &block), format!("Hello\n\nAnn\n\n{URL}"));
    }

    #[test]
    fn one_click_is_offered_over_https_alone() {
        let names = |url: &str| ways_out(url, None).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(URL), ["List-Unsubscribe", "List-Unsubscribe-Post"]);
        assert_eq!(names("http://mail.example.org/u/token"), ["List-Unsubscribe"]);
        assert_eq!(names("http://127.0.0.1:8025/u/token").len(), 2, "of a trial on this machine, nothing leaves it");
    }
}
