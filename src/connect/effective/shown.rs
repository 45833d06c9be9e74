//! Effective settings as `GET /mailboxes/{id}/effectiveSettings` shows them.

use super::{EffectiveSettings, INBOX, Method, SideOrigins, Source};
use crate::domain::connection::Endpoint;
use crate::domain::failure::Failure;
use crate::domain::mailbox::{SecretField, Side};
use serde_json::{Value, json};

impl EffectiveSettings {
    /// What `GET /mailboxes/{id}/effectiveSettings` shows: every value with its source. Of secrets, which one is used.
    pub fn to_json(&self) -> Value {
        let send = match &self.send {
            Ok(send) => session(self.origins.send, &send.endpoint, &send.username, send.secret),
            Err(failure) => problem(failure),
        };
        let sync = match &self.sync {
            Ok(sync) => {
                let mut shown = session(self.origins.sync, &sync.endpoint, &sync.username, Some(sync.secret));
                shown["inbox"] =
                    sourced(&sync.inbox, if sync.inbox == INBOX { Source::Default } else { Source::Record });
                shown
            }
            Err(failure) => problem(failure),
        };
        let side = |side, method: Option<Method>, from: Source, mut shown: Value| {
            shown["configured"] = json!(self.is_configured(side));
            shown["method"] = method.map_or(Value::Null, |method| sourced(method.name(), from));
            shown
        };
        json!({
            "providerType": self.provider_type,
            "providerId": self.provider_id,
            "preset": self.preset.map(|preset| preset.title),
            "sendRequiresSync": sourced(self.send_requires_sync, self.origins.requires_sync),
            "send": side(Side::Send, self.send_method, self.origins.send.method, send),
            "sync": side(Side::Sync, self.sync_method, self.origins.sync.method, sync),
        })
    }
}

fn session(from: SideOrigins, endpoint: &Endpoint, username: &str, secret: Option<SecretField>) -> Value {
    json!({
        "host": sourced(&endpoint.host, from.host),
        "port": sourced(endpoint.port, from.port),
        "tls": sourced(endpoint.tls, from.tls),
        "reach": endpoint.reach,
        "username": sourced(username, from.username),
        "password": { "set": secret.is_some(), "attribute": secret.map(SecretField::name) },
        "problem": null,
    })
}

fn problem(failure: &Failure) -> Value {
    json!({ "problem": { "detail": failure.sentence, "advice": failure.advice } })
}

fn sourced(value: impl serde::Serialize, from: Source) -> Value {
    json!({ "value": value, "source": from.name() })
}
