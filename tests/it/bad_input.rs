//! What must not get in: every bad request is a 4xx that names the place, and leaves nothing behind.

mod mailboxes;
mod mailings;
mod queries;
mod requests;

use crate::support::client::{Answer, Client, MEDIA_TYPE, Request};
use crate::support::instance::Instance;
use postroom::domain::list::ListQuery;
use postroom::domain::mailbox::Mailbox;
use postroom::domain::mailing::Mailing;
use postroom::domain::user::{Token, User};
use postroom::store::{Record, Snapshot, latest_event, list};
use serde_json::{Value, json};

/// What there is: records of each kind, and how far the event log has come.
#[derive(Debug, PartialEq, Eq)]
struct Stock {
    records: [usize; 4],
    events: u64,
}

impl Stock {
    fn of(postroom: &Instance) -> Self {
        fn count<R: Record>(snapshot: &Snapshot) -> usize {
            list::<R>(snapshot, &ListQuery::all()).expect("a list").count.expect("a count").matches
        }
        let snapshot = postroom.app.store().read().expect("a snapshot");
        Self {
            records: [
                count::<Mailbox>(&snapshot),
                count::<Mailing>(&snapshot),
                count::<User>(&snapshot),
                count::<Token>(&snapshot),
            ],
            events: latest_event(&snapshot).expect("the log"),
        }
    }
}

/// An instance with one mailbox, 1, that has a password and a server.
struct Bench {
    postroom: Instance,
    stock: Stock,
}

impl Bench {
    async fn start() -> Self {
        let postroom = Instance::start().await;
        let settings = json!({"smtpHost": "smtp.example.org", "password": "a password", "sendDisabled": true});
        assert_eq!(postroom.mailbox("ann@example.org", settings).await, 1);
        let stock = Stock::of(&postroom);
        Self { postroom, stock }
    }

    /// Sends what must be refused with this status and machine code, and finds nothing changed.
    async fn refused(&self, client: &Client, request: Request<'_>, status: u16, id: &str) -> Answer {
        let answer = client.send(request).await.checked();
        let shown = format!("{} {}\n{}", request.method, request.path, answer.text);
        assert_eq!(answer.status, status, "{shown}");
        let errors = answer.json["errors"].as_array().expect("errors");
        for error in errors {
            for member in ["id", "title", "detail", "status"] {
                assert!(error[member].as_str().is_some_and(|text| !text.is_empty()), "no {member}: {shown}");
            }
            let detail = error["detail"].as_str().unwrap_or_default();
            assert!(!detail.chars().any(char::is_control) && detail.chars().count() < 600, "{shown}");
        }
        assert!(errors.iter().any(|error| error["id"] == id), "not {id}: {shown}");
        assert_eq!(Stock::of(&self.postroom), self.stock, "{shown}");
        answer
    }

    /// The same with a document from the administrator, and the place to blame.
    async fn refused_document(&self, method: &str, path: &str, document: &Value, expected: Expected<'_>) {
        let (body, Expected { status, id, blamed }) = (document.to_string(), expected);
        let headers = &[("Content-Type", MEDIA_TYPE)];
        let request = Request { method, path, headers, body: Some(body.as_bytes()) };
        let answer = self.refused(&self.postroom.client, request, status, id).await;
        assert!(sources(&answer).contains(&blamed.to_owned()), "not {blamed}: {path} {body:.300}\n{}", answer.text);
    }

    async fn stop(self) {
        self.postroom.stop().await;
    }
}

#[derive(Clone, Copy)]
struct Expected<'a> {
    status: u16,
    id: &'a str,
    blamed: &'a str,
}

/// Every place that the errors name.
fn sources(answer: &Answer) -> Vec<String> {
    let source = |error: &Value| -> String {
        let source = &error["source"];
        let named = ["pointer", "parameter", "header"].iter().find_map(|kind| source[kind].as_str());
        named.unwrap_or_default().to_owned()
    };
    answer.json["errors"].as_array().into_iter().flatten().map(source).collect()
}

/// What no line of a header or a command may carry.
const LINE_BREAKS: [&str; 6] = ["a\r\nBcc: eve@example.org", "a\nb", "a\rb", "a\0b", "a\u{2028}b", "a\u{85}b"];
