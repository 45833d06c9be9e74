//! Logging in (RFC 4954) with PLAIN (RFC 4616) or LOGIN.

use super::capabilities::Capabilities;
use super::classify::{broken, classify};
use super::command::has_control;
use super::reply::Reply;
use super::wire::Wire;
use crate::domain::failure::{Failure, Stage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use zeroize::Zeroizing;

/// A user name and its password.
#[derive(Clone, Debug)]
pub struct Credential {
    pub username: String,
    pub password: SecretString,
}

/// Logs in and returns the server's acceptance. Whether the connection may carry a credential at all was decided
/// before. One mechanism is tried: a second try with the same password would only bring a lock-out nearer.
pub(super) async fn log_in(
    wire: &mut Wire,
    offered: &Capabilities,
    credential: &Credential,
    limit: Duration,
) -> Result<Reply, Failure> {
    if has_control(&credential.username) || has_control(credential.password.expose_secret()) {
        return Err(Failure::config(
            Stage::Authentication,
            "The user name or the password contains a line break or another control character.",
        )
        .advice("Enter both again."));
    }
    let offers = |mechanism: &str| offered.auth.iter().any(|found| found == mechanism);
    if offers("PLAIN") {
        plain(wire, credential, limit).await
    } else if offers("LOGIN") {
        login(wire, credential, limit).await
    } else {
        Err(no_mechanism(wire.connection().host(), offered))
    }
}

fn no_mechanism(host: &str, offered: &Capabilities) -> Failure {
    if offered.auth.is_empty() {
        return Failure::config(
            Stage::Authentication,
            format!("{host} offers no log-in, but this mailbox has a password for sending."),
        )
        .advice("Check host, port and TLS; for a relay that wants no log-in, clear the password.");
    }
    Failure::config(
        Stage::Authentication,
        format!("{host} offers no log-in by password (it offers {}).", offered.auth.join(", ")),
    )
    .advice("The provider may have to switch password log-ins on for this mailbox.")
}

async fn plain(wire: &mut Wire, credential: &Credential, limit: Duration) -> Result<Reply, Failure> {
    let password = credential.password.expose_secret();
    let response = encoded(&Zeroizing::new(format!("\0{}\0{password}", credential.username)));
    let command = Zeroizing::new(format!("AUTH PLAIN {}", *response));
    let reply = ask(wire, &command, limit).await?;
    accepted(reply)
}

async fn login(wire: &mut Wire, credential: &Credential, limit: Duration) -> Result<Reply, Failure> {
    let password = credential.password.expose_secret();
    challenged(&ask(wire, "AUTH LOGIN", limit).await?)?;
    challenged(&ask(wire, &encoded(&credential.username), limit).await?)?;
    let response = encoded(password);
    let reply = ask(wire, &response, limit).await?;
    accepted(reply)
}

fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(text))
}

async fn ask(wire: &mut Wire, line: &str, limit: Duration) -> Result<Reply, Failure> {
    match wire.ask(line, limit).await {
        Ok(reply) => Ok(reply),
        Err(error) => Err(broken(Stage::Authentication, wire.connection().host(), &error)),
    }
}

fn challenged(reply: &Reply) -> Result<(), Failure> {
    if reply.code == 334 { Ok(()) } else { Err(classify(Stage::Authentication, reply)) }
}

fn accepted(reply: Reply) -> Result<Reply, Failure> {
    if reply.is_positive() { Ok(reply) } else { Err(classify(Stage::Authentication, &reply)) }
}
