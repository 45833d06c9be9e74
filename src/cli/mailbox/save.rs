//! Adding and changing a mailbox.

use super::{find, standing, value};
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::cli::secret;
use crate::cli::session::Session;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Add {
    /// The address
    #[arg(value_name = "EMAIL")]
    email: String,
    /// Save without a live test
    #[arg(long)]
    no_validate: bool,
    /// Set a further attribute
    #[arg(long = "set", value_name = "NAME=VALUE")]
    further: Vec<String>,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    secrets: Secrets,
}

/// Where mail is sent and fetched; what is known about the provider where nothing is said.
#[derive(Debug, Args)]
#[command(next_help_heading = "Servers")]
struct Servers {
    /// The user name, if it is not the address
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    #[arg(long, value_name = "NAME", help = "The provider, such as gmail or office_365")]
    provider: Option<String>,
    /// The IMAP server, for syncing
    #[arg(long, value_name = "HOST")]
    imap_host: Option<String>,
    /// 993 where nothing is said
    #[arg(long, value_name = "PORT")]
    imap_port: Option<u16>,
    /// Do not insist on TLS for IMAP: STARTTLS where the server offers it
    #[arg(long)]
    no_tls_imap: bool,
    /// The SMTP server, for sending
    #[arg(long, value_name = "HOST")]
    smtp_host: Option<String>,
    /// 587 where nothing is said
    #[arg(long, value_name = "PORT")]
    smtp_port: Option<u16>,
    /// Do not insist on TLS for SMTP: STARTTLS where the server offers it
    #[arg(long)]
    no_tls_smtp: bool,
    /// The user name of a separate account for sending
    #[arg(long, value_name = "NAME")]
    smtp_username: Option<String>,
}

impl Servers {
    fn attributes(&self) -> Map<String, Value> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        [
            ("username", text(&self.username)),
            ("emailProvider", text(&self.provider)),
            ("imapHost", text(&self.imap_host)),
            ("imapPort", self.imap_port.map(Value::from)),
            ("imapSsl", self.no_tls_imap.then_some(Value::Bool(false))),
            ("smtpHost", text(&self.smtp_host)),
            ("smtpPort", self.smtp_port.map(Value::from)),
            ("smtpSsl", self.no_tls_smtp.then_some(Value::Bool(false))),
            ("smtpUsername", text(&self.smtp_username)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets (asked for on a terminal, where none of these is given)")]
struct Secrets {
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
    /// Read the password from a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read another secret, such as smtpPassword, from a file, or - for standard input
    #[arg(long = "secret", value_name = "NAME=FILE")]
    others: Vec<String>,
}

impl Secrets {
    /// What was given, by attribute.
    fn read(&self) -> Result<Vec<(&'static str, SecretString)>, Failure> {
        let mut wanted: Vec<(&'static str, &Path)> = Vec::new();
        if self.password_stdin {
            wanted.push(("password", Path::new("-")));
        }
        wanted.extend(self.password_file.as_deref().map(|path| ("password", path)));
        for other in &self.others {
            let Some((name, path)) = other.split_once('=') else {
                return Err(Failure::usage("--secret: write NAME=FILE, such as smtpPassword=/run/secrets/smtp."));
            };
            wanted.push((value::secret(name)?, Path::new(path)));
        }
        if wanted.iter().filter(|(_, path)| *path == Path::new("-")).count() > 1 {
            return Err(Failure::usage("Standard input can hold one secret only; put the others into files."));
        }
        wanted.into_iter().map(|(name, path)| Ok((name, secret::read(path)?))).collect()
    }
}

fn seal_in(attributes: &mut Map<String, Value>, secrets: &[(&'static str, SecretString)]) {
    for (name, secret) in secrets {
        attributes.insert((*name).to_owned(), secret.expose_secret().into());
    }
}

pub async fn add(add: &Add, session: &Session, output: Output) -> Result<(), Failure> {
    let mut attributes = add.servers.attributes();
    attributes.extend(value::attributes(&add.further)?);
    attributes.insert("email".to_owned(), add.email.as_str().into());
    let mut secrets = add.secrets.read()?;
    if secrets.is_empty()
        && let Some(password) = secret::ask(&format!("Password of {} (empty for none): ", add.email))?
    {
        secrets.push(("password", password));
    }
    seal_in(&mut attributes, &secrets);
    if !add.no_validate {
        // Where only one side's host is named, the other is not to be used. Named nowhere, both are the provider's.
        let has = |name: &str| attributes.get(name).is_some_and(Value::is_string);
        let (send, sync) = (has("smtpHost"), has("imapHost"));
        for (name, wanted) in [("validateSend", send || !sync), ("validateSync", sync || !send)] {
            attributes.entry(name).or_insert(wanted.into());
        }
        output.note(&format!("Testing the connection of {}…", add.email));
    }
    let body = json!({"data": {"type": "mailbox", "attributes": attributes}});
    let saved = session.call("POST", "/api/v2/mailboxes", Some(&body)).await.map_err(|failure| match failure {
        Failure { text, exit } if !add.no_validate && text.contains("live test") => {
            Failure::new(exit, text + "\nNothing was saved. To save it as it is: --no-validate")
        }
        other => other,
    })?;
    let mailbox = saved.record();
    let done = if add.no_validate { "saved, untested" } else { "connected" };
    let text = || format!("Mailbox {} ({}) is {done}: {}", mailbox.id(), mailbox.text("email"), standing(mailbox));
    output.show(|| saved.0.clone(), || mailbox.id(), text)
}

#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    name: super::Name,
    /// What to change
    #[arg(value_name = "NAME=VALUE")]
    changes: Vec<String>,
    #[command(flatten)]
    secrets: Secrets,
}

pub async fn set(set: &Set, session: &Session, output: Output) -> Result<(), Failure> {
    let mut attributes = value::attributes(&set.changes)?;
    seal_in(&mut attributes, &set.secrets.read()?);
    if attributes.is_empty() {
        return Err(Failure::usage("Nothing to change: write name=value, such as sendThreshold=5."));
    }
    let found = find(session, &set.name.mailbox).await?;
    let saved = change(session, &found, attributes).await?;
    let mailbox = saved.record();
    let text = || format!("Mailbox {} ({}) is saved: {}", mailbox.id(), mailbox.text("email"), standing(mailbox));
    output.show(|| saved.0.clone(), || mailbox.id(), text)
}

/// Writes attributes of an existing mailbox.
pub async fn change(
    session: &Session,
    found: &super::Found,
    attributes: Map<String, Value>,
) -> Result<crate::cli::answer::Document, Failure> {
    let body = json!({"data": {"type": "mailbox", "id": found.id, "attributes": attributes}});
    session.call("PATCH", &found.path(), Some(&body)).await
}
