//! From settings to a session that may speak for the mailbox: greeting, EHLO, STARTTLS, log-in.

use super::SmtpSettings;
use super::auth::log_in;
use super::capabilities::Capabilities;
use super::classify::{broken, classify};
use super::command::is_hello_name;
use super::reply::Reply;
use super::wire::{Wire, WireError};
use crate::connect::discretion::Discretion;
use crate::domain::failure::{Failure, Scope, Stage};
use crate::domain::stages::Stages;
use crate::net::{Network, StartTls};
use secrecy::ExposeSecret;
use std::time::Instant;

/// Opens a connection and takes it through every step; returns it with what the server offers now.
pub(super) async fn open(
    network: &Network,
    settings: &SmtpSettings,
    stages: &mut Stages,
) -> Result<(Wire, Capabilities), Failure> {
    if !is_hello_name(&settings.hello_name) {
        return Err(Failure::config(
            Stage::Settings,
            "The name for EHLO is neither a host name nor an address literal.",
        )
        .advice("Set the host name in the configuration."));
    }
    let limits = settings.timeouts;
    let (connection, start_tls) = network.open(&settings.endpoint, limits.connect, stages).await?;
    let discretion = settings.credential.as_ref().map_or_else(Discretion::default, |credential| {
        Discretion::about(&credential.username, credential.password.expose_secret())
    });
    let mut wire = Wire::new(connection, discretion);
    let begun = Instant::now();
    let greeting = wire.reply(limits.greeting).await;
    step(&wire, Stage::Greeting, begun, stages, greeting)?;
    let mut offered = hello(&mut wire, settings, stages).await?;
    if may_start_tls(&wire, start_tls, &offered, stages)? {
        wire = upgraded(wire, settings, stages).await?;
        offered = hello(&mut wire, settings, stages).await?;
    }
    if let Some(credential) = &settings.credential {
        let begun = Instant::now();
        match log_in(&mut wire, &offered, credential, limits.command).await {
            Ok(reply) => stages.passed(Stage::Authentication, begun.elapsed(), reply.line()),
            Err(failure) => return Err(note(stages, begun, failure)),
        }
    }
    Ok((wire, offered))
}

/// Decides about STARTTLS; an error where plaintext must not go on.
fn may_start_tls(
    wire: &Wire,
    start_tls: StartTls,
    offered: &Capabilities,
    stages: &mut Stages,
) -> Result<bool, Failure> {
    let connection = wire.connection();
    let sentence = match start_tls {
        StartTls::Done => return Ok(false),
        _ if offered.start_tls => return Ok(true),
        StartTls::IfOffered if connection.plaintext_allowed() => return Ok(false),
        StartTls::IfOffered => "which goes to loopback and private addresses only",
        StartTls::Required => "which this mailbox's settings rule out",
    };
    let failure = Failure::config(
        Stage::StartTls,
        format!("{} offers no STARTTLS; without it everything would be sent unencrypted, {sentence}.", connection.host()),
    )
    .advice("Use a port with TLS (465, or 587 with STARTTLS); if this server used to offer it, somebody may be listening in.");
    Err(note(stages, Instant::now(), failure))
}

/// STARTTLS (RFC 3207), and nothing of what was said before it.
async fn upgraded(mut wire: Wire, settings: &SmtpSettings, stages: &mut Stages) -> Result<Wire, Failure> {
    let begun = Instant::now();
    let reply = wire.ask("STARTTLS", settings.timeouts.command).await;
    step(&wire, Stage::StartTls, begun, stages, reply)?;
    if wire.has_more() {
        // Whatever follows the consent in plaintext may have been put there to be read as if it came through TLS.
        let failure = Failure::temporary(
            Stage::StartTls,
            format!("{} sent more than its consent to STARTTLS, unencrypted.", wire.connection().host()),
        )
        .advice("If it happens again, somebody may be tampering with the connection.");
        return Err(note(stages, begun, failure));
    }
    wire.upgrade(stages).await
}

/// EHLO, or HELO where the server does not know it.
async fn hello(wire: &mut Wire, settings: &SmtpSettings, stages: &mut Stages) -> Result<Capabilities, Failure> {
    let begun = Instant::now();
    let limit = settings.timeouts.command;
    let mut reply = wire.ask(&format!("EHLO {}", settings.hello_name), limit).await;
    if matches!(reply, Ok(Reply { code: 500 | 502, .. })) {
        reply = wire.ask(&format!("HELO {}", settings.hello_name), limit).await.map(|mut reply| {
            reply.lines.truncate(1);
            reply
        });
    }
    step(wire, Stage::Capabilities, begun, stages, reply).map(|reply| Capabilities::from_ehlo(&reply))
}

/// Records a step; only 2xx goes on.
fn step(
    wire: &Wire,
    stage: Stage,
    begun: Instant,
    stages: &mut Stages,
    reply: Result<Reply, WireError>,
) -> Result<Reply, Failure> {
    let host = wire.connection().host();
    match reply {
        Ok(reply) if reply.is_positive() => {
            tracing::debug!(host, stage = stage.name(), code = reply.code, "SMTP");
            stages.passed(stage, begun.elapsed(), reply.line());
            Ok(reply)
        }
        Ok(reply) => {
            let mut failure = classify(stage, &reply);
            if stage == Stage::StartTls && failure.scope == Scope::Host && reply.code / 100 == 5 {
                failure.sentence = format!("{host} offers STARTTLS and refuses it.");
            }
            Err(note(stages, begun, failure))
        }
        Err(error) => Err(note(stages, begun, broken(stage, host, &error))),
    }
}

/// Records the failure of a step: the server's own line where there is one.
fn note(stages: &mut Stages, begun: Instant, failure: Failure) -> Failure {
    let line = match (&failure.server, failure.code) {
        (Some(line), Some(code)) => format!("{code} {line}"),
        _ => failure.sentence.clone(),
    };
    tracing::debug!(stage = failure.stage.name(), line, "SMTP session failed");
    stages.failed(failure.stage, begun.elapsed(), line);
    failure
}
