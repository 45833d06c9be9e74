//! What has to be there before mail can flow: made through the API, over the local socket, as a person would.

use super::DemoError;
use super::stage::{ANN, BERT, CLARA, DORA, PASSWORD, Stage};
use crate::net::{Answer, HttpClient};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const ADMIN: &str = "olive@demo.example";
/// Bert's limit: mailings in so many seconds.
pub(super) const LIMIT: (u64, u64) = (2, 10);

/// A way to the API, and the mailboxes by their addresses. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seeded {
    client: Client,
    token: SecretString,
    mailboxes: BTreeMap<&'static str, u64>,
}

impl Seeded {
    /// The administrator's token.
    pub fn token(&self) -> &str {
        self.token.expose_secret()
    }

    /// Creates a mailing; its id.
    pub async fn mail(&self, from: &str, attributes: Value) -> Result<u64, DemoError> {
        let mailbox = self.mailboxes.get(from).copied().unwrap_or_default();
        let document = json!({"data": {
            "type": "mailing",
            "attributes": attributes,
            "relationships": {"mailbox": {"data": {"type": "mailbox", "id": mailbox}}},
        }});
        id_of(&self.client.post("/api/v2/mailings", Some(&document)).await?)
    }

    /// Asks for a sync of a mailbox now; of an address that is none of the demo's mailboxes there is nothing to ask.
    pub async fn sync(&self, address: &str) -> Result<(), DemoError> {
        match self.mailboxes.get(address) {
            Some(id) => self.client.post(&format!("/api/v2/mailboxes/{id}/actions/sync"), None).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

/// The first administrator, a token, and the mailboxes in their four states.
pub(super) async fn seed(socket: &Path, stage: &Stage) -> Result<Seeded, DemoError> {
    // Whoever may use the socket acts as the administrator; from the token on the demo is a client like any other.
    let mut client = Client { http: HttpClient::unix(socket)?, authorization: None };
    // Nameless, as the owner's name would be the sender's name of all four mailboxes.
    let admin = json!({"data": {"type": "user", "attributes": {"email": ADMIN}}});
    client.post("/api/v2/users", Some(&admin)).await?;
    let token = json!({"data": {"type": "token", "attributes": {"name": "demo"}}});
    let token = client.post("/api/v2/tokens", Some(&token)).await?;
    let token = token["meta"]["token"].as_str().ok_or_else(|| unexpected("POST /api/v2/tokens"))?;
    client.authorization = Some(format!("Bearer {token}").into());

    let mut mailboxes = BTreeMap::new();
    for (address, own) in cast() {
        let document = json!({"data": {"type": "mailbox", "attributes": attributes(address, own, stage)}});
        mailboxes.insert(address, id_of(&client.post("/api/v2/mailboxes", Some(&document)).await?)?);
    }
    Ok(Seeded { client, token: token.into(), mailboxes })
}

/// Who has a mailbox, and what is particular about it.
fn cast() -> [(&'static str, Value); 4] {
    let (threshold, period) = LIMIT;
    [
        (ANN, json!({"sendThreshold": null})),
        (BERT, json!({"sendThreshold": threshold, "sendPeriod": period})),
        (CLARA, json!({"password": "forgotten", "sendRequiresSync": false})),
        (DORA, json!({"syncDisabled": true})),
    ]
}

fn attributes(address: &str, own: Value, stage: &Stage) -> Value {
    let mut attributes = json!({
        "email": address,
        "password": PASSWORD,
        "smtpHost": stage.smtp().ip().to_string(),
        "smtpPort": stage.smtp().port(),
        // The demo's server has no certificate; plaintext goes to loopback only.
        "smtpSsl": false,
        "imapHost": stage.imap().ip().to_string(),
        "imapPort": stage.imap().port(),
        "imapSsl": false,
        "syncActiveFrequency": 10,
        "syncPassiveFrequency": 10,
    });
    if let (Some(all), Value::Object(own)) = (attributes.as_object_mut(), own) {
        all.extend::<Map<String, Value>>(own);
    }
    attributes
}

/// A client of the API over the local socket.
#[derive(Clone)]
struct Client {
    http: HttpClient,
    authorization: Option<SecretString>,
}

impl Client {
    async fn post(&self, path: &str, document: Option<&Value>) -> Result<Value, DemoError> {
        let mut headers = Vec::new();
        if document.is_some() {
            headers.push(("content-type", "application/vnd.api+json"));
        }
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization", authorization.expose_secret()));
        }
        let body = document.map(|document| document.to_string().into_bytes());
        read(&format!("POST {path}"), &self.http.request("POST", path, &headers, body).await?)
    }
}

/// The document of an answer that is none of failure.
fn read(request: &str, answer: &Answer) -> Result<Value, DemoError> {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if (200..300).contains(&answer.status) {
        return Ok(document);
    }
    let said = document["errors"].as_array().into_iter().flatten().filter_map(|error| error["detail"].as_str());
    let detail = format!("{} {}", answer.status, said.collect::<Vec<_>>().join(" "));
    Err(DemoError::Refused { request: request.to_owned(), detail })
}

fn id_of(document: &Value) -> Result<u64, DemoError> {
    document["data"]["id"].as_u64().ok_or_else(|| unexpected("A create"))
}

fn unexpected(request: &str) -> DemoError {
    DemoError::Refused { request: request.to_owned(), detail: "the answer is not the expected document".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_the_request_and_every_detail() {
        let body = br#"{"errors":[{"detail":"One."},{"detail":"Two."}]}"#;
        let answer = Answer { status: 422, headers: Vec::new(), body: body.to_vec() };
        let error = read("POST /x", &answer).unwrap_err();
        assert_eq!(error.to_string(), "POST /x was refused: 422 One. Two.");
    }
}
