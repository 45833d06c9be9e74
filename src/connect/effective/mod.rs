//! Effective settings: what the workers use, and where each value came from.
//!
//! The record's own values come first, then what its other values imply, then the preset of `emailProvider`, then the
//! preset of the address's domain. Host, port and TLS come from one source as a unit; so do user name and password.

mod shown;

use super::credential::Draft;
use crate::domain::connection::{Endpoint, Reach, TlsMode};
use crate::domain::failure::{Failure, Stage};
use crate::domain::mailbox::{Mailbox, SecretField, Settings, Side};
use crate::providers::presets::{self, Login, Preset, Server};

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The attribute itself.
    Record,
    /// Another attribute of the record.
    Implied,
    /// What is known about the provider.
    Preset,
    /// Nobody said anything.
    Default,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Implied => "implied",
            Self::Preset => "preset",
            Self::Default => "default",
        }
    }
}

/// A way to send or to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Smtp,
    Imap,
    Sendgrid,
    Ews,
    GmailApi,
}

impl Method {
    /// The value of `sendMethod` or `syncMethod`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Sendgrid => "sendgrid",
            Self::Ews => "ews",
            Self::GmailApi => "gmail_api",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Smtp, Self::Imap, Self::Sendgrid, Self::Ews, Self::GmailApi].into_iter().find(|it| it.name() == name)
    }
}

/// What a worker needs to open a session for sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendSettings {
    pub endpoint: Endpoint,
    pub username: String,
    /// Which secret logs in; `None` for no log-in at all, as with a relay in the local network.
    pub secret: Option<SecretField>,
}

/// What a worker needs to open a session for syncing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    pub endpoint: Endpoint,
    pub username: String,
    pub secret: SecretField,
    /// The folder that counts as the inbox.
    pub inbox: String,
}

/// What the settings of a mailbox come down to.
#[derive(Clone, Debug)]
pub struct EffectiveSettings {
    /// How to send, or why it cannot work as things are set (a failure of kind `Config`).
    pub send: Result<SendSettings, Failure>,
    /// How to sync, or why it cannot work.
    pub sync: Result<SyncSettings, Failure>,
    /// `None`: nothing in the record says how this mailbox sends.
    pub send_method: Option<Method>,
    pub sync_method: Option<Method>,
    /// Whether sending waits for a recent sync (`sendRequiresSync`).
    pub send_requires_sync: bool,
    pub provider_type: &'static str,
    pub provider_id: u64,
    /// The presets that apply, for limits and for what a server does by itself.
    pub preset: Option<&'static Preset>,
    origins: Origins,
}

/// Where the values came from, side by side with the values themselves.
#[derive(Clone, Debug)]
struct Origins {
    send: SideOrigins,
    sync: SideOrigins,
    requires_sync: Source,
}

#[derive(Clone, Copy, Debug)]
struct SideOrigins {
    method: Source,
    host: Source,
    port: Source,
    tls: Source,
    username: Source,
}

/// A server with the origin of its parts.
struct Located {
    endpoint: Endpoint,
    host: Source,
    port: Source,
    tls: Source,
}

impl EffectiveSettings {
    /// What the stored mailbox comes down to.
    pub fn of(mailbox: &Mailbox) -> Self {
        Self::of_draft(&Draft::stored(mailbox))
    }

    /// The same for a mailbox that is about to be saved. Where an endpoint may go beyond the public internet is decided
    /// by whether an administrator named its host; what the configuration opens to everybody, the network knows itself.
    pub fn of_draft(draft: &Draft<'_>) -> Self {
        let mailbox = draft.mailbox();
        let settings = &mailbox.settings;
        let by_provider = given(settings.email_provider.as_ref()).and_then(presets::by_provider);
        let by_domain = presets::by_address(&settings.email);
        let preset_server =
            |pick: fn(&Preset) -> Option<Server>| by_provider.and_then(pick).or_else(|| by_domain.and_then(pick));
        let smtp = located(
            (given(settings.smtp_host.as_ref()), settings.smtp_port, settings.smtp_ssl),
            preset_server(|preset| preset.smtp),
            mailbox.smtp_reach_private,
            |_| 587,
        );
        let imap = located(
            (given(settings.imap_host.as_ref()), settings.imap_port, settings.imap_ssl),
            preset_server(|preset| preset.imap),
            mailbox.imap_reach_private,
            |ssl| if ssl { 993 } else { 143 },
        );
        let (send_method, send_method_from) = send_method(draft, smtp.is_some());
        let (sync_method, sync_method_from) = sync_method(settings, imap.is_some());
        let (send, send_username) = usable(Side::Send, send_method, Method::Smtp, smtp.as_ref())
            .and_then(|smtp| send_settings(draft, &smtp.endpoint))
            .map_or_else(|failure| (Err(failure), Source::Default), |(send, from)| (Ok(send), from));
        let (sync, sync_username) = usable(Side::Sync, sync_method, Method::Imap, imap.as_ref())
            .and_then(|imap| sync_settings(draft, &imap.endpoint))
            .map_or_else(|failure| (Err(failure), Source::Default), |(sync, from)| (Ok(sync), from));
        let (send_requires_sync, requires_sync) = match settings.send_requires_sync {
            Some(value) => (value, Source::Record),
            None => (sync.is_ok() && settings.sync_disabled != Some(true), Source::Implied),
        };
        let mut named = [&imap, &smtp].into_iter().flatten().filter(|server| server.host == Source::Record);
        let preset = by_provider
            .or_else(|| named.find_map(|server| presets::by_host(&server.endpoint.host)))
            .or_else(|| by_domain.filter(|_| settings.imap_host.is_none() && settings.smtp_host.is_none()));
        let (provider_id, provider_type) = preset.map_or(presets::OTHER, |preset| (preset.id, preset.name));
        Self {
            send,
            sync,
            send_method,
            sync_method,
            send_requires_sync,
            provider_type,
            provider_id,
            preset,
            origins: Origins {
                send: origins(send_method_from, smtp.as_ref(), send_username),
                sync: origins(sync_method_from, imap.as_ref(), sync_username),
                requires_sync,
            },
        }
    }

    /// Whether anything in the record says how this side works. What is configured may still be unusable.
    pub fn is_configured(&self, side: Side) -> bool {
        match side {
            Side::Send => self.send_method.is_some(),
            // An IMAP host that only a preset knows is no wish to sync where there is no password to do it with.
            Side::Sync => match &self.sync {
                Ok(_) => true,
                Err(_) => {
                    self.sync_method.is_some_and(|method| method != Method::Imap)
                        || self.origins.sync.method == Source::Record
                        || (self.sync_method.is_some() && self.origins.sync.host == Source::Record)
                }
            },
        }
    }
}

const INBOX: &str = "INBOX";

/// A value that says something: forms post empty strings for what is not set.
fn given(value: Option<&String>) -> Option<&str> {
    value.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn located(
    (host, port, ssl): (Option<&str>, Option<u16>, Option<bool>),
    preset: Option<Server>,
    reach_private: bool,
    default_port: impl Fn(bool) -> u16,
) -> Option<Located> {
    let source = |set: bool| if set { Source::Record } else { Source::Default };
    if let Some(host) = host {
        let tls_wanted = ssl.unwrap_or(true);
        let number = port.unwrap_or_else(|| default_port(tls_wanted));
        let reach = if reach_private { Reach::Private } else { Reach::Public };
        let tls = TlsMode::for_port(tls_wanted, number);
        return Some(Located {
            endpoint: Endpoint { host: host.to_owned(), port: number, tls, reach },
            host: Source::Record,
            port: source(port.is_some()),
            tls: source(ssl.is_some()),
        });
    }
    preset.map(|server| Located {
        endpoint: Endpoint {
            host: server.host.to_owned(),
            port: server.port,
            tls: TlsMode::for_port(true, server.port),
            reach: Reach::Public,
        },
        host: Source::Preset,
        port: Source::Preset,
        tls: Source::Preset,
    })
}

fn send_method(draft: &Draft<'_>, smtp_known: bool) -> (Option<Method>, Source) {
    let settings = &draft.mailbox().settings;
    if let Some(name) = given(settings.send_method.as_ref()) {
        return (Method::from_name(name), Source::Record);
    }
    let method = if draft.has(SecretField::SendgridApiKey) {
        Some(Method::Sendgrid)
    } else if given(settings.ews_endpoint.as_ref()).is_some() {
        Some(Method::Ews)
    } else {
        smtp_known.then_some(Method::Smtp)
    };
    (method, Source::Implied)
}

fn sync_method(settings: &Settings, imap_known: bool) -> (Option<Method>, Source) {
    if let Some(name) = given(settings.sync_method.as_ref()) {
        return (Method::from_name(name), Source::Record);
    }
    let google_grant = settings.auth_id.is_some() && settings.email_provider.as_deref() == Some("gmail_api");
    let method = if google_grant {
        Some(Method::GmailApi)
    } else if given(settings.ews_endpoint.as_ref()).is_some() {
        Some(Method::Ews)
    } else {
        imap_known.then_some(Method::Imap)
    };
    (method, Source::Implied)
}

/// The server, if the method is the one that is built and a server is known for it.
fn usable(side: Side, method: Option<Method>, built: Method, located: Option<&Located>) -> Result<&Located, Failure> {
    let (protocol, host) = match side {
        Side::Send => ("SMTP", "smtpHost"),
        Side::Sync => ("IMAP", "imapHost"),
    };
    match method {
        Some(method) if method != built => Err(Failure::config(
            Stage::Settings,
            format!("The {} method {} is not built yet.", side.name(), method.name()),
        )
        .advice(format!(
            "Set {}Method to {} and {host} to the server, or wait for a later version.",
            side.name(),
            built.name()
        ))),
        _ => located.ok_or_else(|| {
            Failure::config(Stage::Settings, format!("No {protocol} server is known for this mailbox."))
                .advice(format!("Set {host}, or an emailProvider whose servers are known."))
        }),
    }
}

fn send_settings(draft: &Draft<'_>, endpoint: &Endpoint) -> Result<(SendSettings, Source), Failure> {
    let settings = &draft.mailbox().settings;
    let own_name = given(settings.smtp_username.as_ref());
    let (username, from, secret) = if own_name.is_some() || draft.has(SecretField::SmtpPassword) {
        let secret = draft.has(SecretField::SmtpPassword).then_some(SecretField::SmtpPassword);
        if secret.is_none() && draft.has(SecretField::Password) {
            // The password of one account must not be shown to the server under the name of another.
            return Err(Failure::config(Stage::Settings, "smtpUsername is set, but smtpPassword is not.")
                .advice("Set smtpPassword, or clear smtpUsername to use username and password."));
        }
        match own_name {
            Some(name) => (name.to_owned(), Source::Record, secret),
            None => (settings.login().to_owned(), Source::Implied, secret),
        }
    } else {
        refuse_grant(settings)?;
        let (username, from) = login(settings, endpoint, |preset| preset.smtp);
        (username, from, draft.has(SecretField::Password).then_some(SecretField::Password))
    };
    Ok((SendSettings { endpoint: endpoint.clone(), username, secret }, from))
}

fn sync_settings(draft: &Draft<'_>, endpoint: &Endpoint) -> Result<(SyncSettings, Source), Failure> {
    let settings = &draft.mailbox().settings;
    refuse_grant(settings)?;
    if !draft.has(SecretField::Password) {
        return Err(Failure::config(Stage::Settings, "Syncing over IMAP needs a password, and none is set.")
            .advice("Set password; many providers want an app password there."));
    }
    let (username, from) = login(settings, endpoint, |preset| preset.imap);
    let inbox = if settings.sync_outreach_folder == Some(true) { "Outreach" } else { INBOX };
    let inbox = inbox.to_owned();
    Ok((SyncSettings { endpoint: endpoint.clone(), username, secret: SecretField::Password, inbox }, from))
}

/// A mailbox that signs in with a grant never falls back to a password.
fn refuse_grant(settings: &Settings) -> Result<(), Failure> {
    if settings.auth_id.is_none() {
        return Ok(());
    }
    Err(Failure::config(Stage::Settings, "Signing in with an OAuth grant (authId) is not built yet.")
        .advice("Clear authId and set a password, or wait for a later version."))
}

/// The user name of the mailbox's own account; where none is set, what this server takes.
fn login(settings: &Settings, endpoint: &Endpoint, pick: fn(&Preset) -> Option<Server>) -> (String, Source) {
    if let Some(name) = given(settings.username.as_ref()) {
        return (name.to_owned(), Source::Record);
    }
    let known = presets::by_host(&endpoint.host).and_then(pick);
    match (known.map(|server| server.login), settings.email.rsplit_once('@')) {
        (Some(Login::LocalPart), Some((local_part, _))) => (local_part.to_owned(), Source::Preset),
        _ => (settings.email.clone(), Source::Implied),
    }
}

fn origins(method: Source, server: Option<&Located>, username: Source) -> SideOrigins {
    let of = |pick: fn(&Located) -> Source| server.map_or(Source::Default, pick);
    SideOrigins { method, host: of(|it| it.host), port: of(|it| it.port), tls: of(|it| it.tls), username }
}

#[cfg(test)]
pub(super) mod tests;
