//! `inReplyTo`: what a mailing answers, and with it the thread that it belongs to.

use crate::api::caller::Caller;
use crate::api::shown::Shows;
use crate::domain::check::breaks_a_line;
use crate::domain::mailing::{Content, Mailing};
use crate::domain::message::Message;
use crate::domain::problem::Problem;
use crate::jsonapi::ApiError;
use crate::store::{Reader, content as content_of, get, mailing_by_message_id, message_by_identity};
use serde_json::Value;

const SHAPE: &str = "inReplyTo must be a Message-ID such as <id@example.org>, or {\"type\": \"message\", \"id\": 1} with the type message or mailing.";

/// How many references are kept of a long thread: what the composer writes at most.
const REFERENCES: usize = 100;

/// Sets what `content` answers. What the caller may not see says nothing of its thread.
pub(super) fn answers(
    given: &Value,
    mailbox: Option<u64>,
    reader: &impl Reader,
    caller: &Caller,
    content: &mut Content,
    problems: &mut Vec<Problem>,
) -> Result<(), ApiError> {
    let thread = match given {
        Value::Null => None,
        Value::String(text) => {
            let Some(id) = message_id(text) else {
                problems.push(Problem::attribute("inReplyTo", SHAPE));
                return Ok(());
            };
            if content.in_reply_to.as_deref() == Some(id) {
                return Ok(());
            }
            Some(by_message_id(id, mailbox, reader, caller)?)
        }
        Value::Object(reference) => {
            let id = reference.get("id").and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok()));
            let found = match (reference.get("type").and_then(Value::as_str), id) {
                (Some("message" | "messages"), Some(id)) => match get::<Message>(reader, id)? {
                    Some(message) if message.is_visible(caller, reader)? => Some(of_message(&message)),
                    _ => None,
                },
                (Some("mailing" | "mailings"), Some(id)) => match get::<Mailing>(reader, id)? {
                    Some(mailing) if mailing.is_visible(caller, reader)? => Some(Some(of_mailing(reader, &mailing)?)),
                    _ => None,
                },
                _ => {
                    problems.push(Problem::attribute("inReplyTo", SHAPE));
                    return Ok(());
                }
            };
            match found {
                Some(Some(thread)) => Some(thread),
                Some(None) => {
                    problems.push(Problem::attribute(
                        "inReplyTo",
                        "That message has no Message-ID that could be answered.",
                    ));
                    return Ok(());
                }
                None => {
                    problems.push(Problem::attribute("inReplyTo", "There is no such message or mailing."));
                    return Ok(());
                }
            }
        }
        _ => {
            problems.push(Problem::attribute("inReplyTo", SHAPE));
            return Ok(());
        }
    };
    (content.in_reply_to, content.references) = match thread {
        Some(thread) => (Some(thread.answered), thread.references),
        None => (None, Vec::new()),
    };
    Ok(())
}

struct Thread {
    answered: String,
    references: Vec<String>,
}

impl Thread {
    fn new(answered: &str, above: impl IntoIterator<Item = String>) -> Self {
        let mut references: Vec<String> = above.into_iter().filter(|id| id != answered).collect();
        references.push(answered.to_owned());
        // The start of a thread and its latest messages say where it belongs.
        if references.len() > REFERENCES {
            references.drain(REFERENCES / 2..references.len() - REFERENCES / 2);
        }
        Self { answered: answered.to_owned(), references }
    }
}

fn by_message_id(id: &str, mailbox: Option<u64>, reader: &impl Reader, caller: &Caller) -> Result<Thread, ApiError> {
    if let Some(mailing) = mailing_by_message_id(reader, id)?
        && mailing.is_visible(caller, reader)?
    {
        return Ok(of_mailing(reader, &mailing)?);
    }
    let message = match mailbox {
        Some(mailbox) => message_by_identity(reader, mailbox, &format!("<{id}>"))?,
        None => None,
    };
    if let Some(message) = message.map(|id| get::<Message>(reader, id)).transpose()?.flatten()
        && message.is_visible(caller, reader)?
        && let Some(thread) = of_message(&message)
    {
        return Ok(thread);
    }
    Ok(Thread::new(id, []))
}

/// RFC 5322 §3.6.4: the references of what is answered, else what that answered, and its own identifier.
fn of_message(message: &Message) -> Option<Thread> {
    let id = message.message_id.as_deref().and_then(message_id)?;
    let above = if message.references.is_empty() && message.in_reply_to.len() == 1 {
        message.in_reply_to.clone()
    } else {
        message.references.clone()
    };
    Some(Thread::new(id, above))
}

fn of_mailing(reader: &impl Reader, mailing: &Mailing) -> Result<Thread, crate::store::StoreError> {
    Ok(Thread::new(&mailing.message_id, content_of(reader, mailing.id)?.references))
}

/// The identifier without its brackets, if a header field can carry it.
fn message_id(text: &str) -> Option<&str> {
    let text = text.trim();
    let id = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let fits = id.len() <= 900 && id.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte));
    let (left, right) = id.split_once('@')?;
    (fits && !left.is_empty() && !right.is_empty() && !id.chars().any(breaks_a_line)).then_some(id)
}
