//! What a write makes of a mailbox, and the rules that look at the whole of it.

use crate::connect::effective::{EffectiveSettings, SendSettings, SyncSettings};
use crate::domain::connection::{Endpoint, TlsMode};
use crate::domain::mailbox::{Mailbox, SecretField, Settings};
use crate::domain::problem::Problem;
use crate::store::SecretChange;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The secrets that a write sets or clears. "" leaves a secret as it is, because forms post it.
pub(super) fn secret_changes(values: &Map<String, Value>) -> Vec<(SecretField, SecretChange)> {
    SecretField::ALL
        .into_iter()
        .filter_map(|field| {
            let change = match values.get(field.name())? {
                Value::String(text) if text.is_empty() => return None,
                Value::String(text) => SecretChange::Set(SecretString::from(text.clone())),
                _ => SecretChange::Clear,
            };
            Some((field, change))
        })
        .collect()
}

/// Which hosts an administrator has named: those may be private. Anybody else's edit of a host takes that away.
pub(super) fn set_reach(before: Option<&Mailbox>, after: &mut Mailbox, by_admin: bool) {
    let old = before.map(|mailbox| &mailbox.settings);
    let changed =
        |of: fn(&Settings) -> (&Option<String>, &Option<u16>)| old.is_none_or(|old| of(old) != of(&after.settings));
    let smtp = changed(|settings| (&settings.smtp_host, &settings.smtp_port));
    let imap = changed(|settings| (&settings.imap_host, &settings.imap_port));
    if smtp {
        after.smtp_reach_private = by_admin && after.settings.smtp_host.is_some();
    }
    if imap {
        after.imap_reach_private = by_admin && after.settings.imap_host.is_some();
    }
}

/// A stored secret never goes to a server, under a name or over a connection that its owner did not give it for: a
/// change of host, port, endpoint or user name, or a weaker TLS setting, must bring the secret along.
pub(super) fn secrets_left_behind(
    before: &Mailbox,
    after: &Mailbox,
    changes: &[(SecretField, SecretChange)],
) -> Vec<Problem> {
    let (old, new) = (EffectiveSettings::of(before), EffectiveSettings::of(after));
    let stored = |field: SecretField| {
        before.secrets.contains_key(&field) && !changes.iter().any(|(changed, _)| *changed == field)
    };
    let mut problems = Vec::new();
    let mut refuse = |field: SecretField, what: &str| {
        let name = field.name();
        problems.push(Problem::attribute(
            name,
            format!("{what} changed: send {name} along with it, or null to clear it. A stored secret is not used for settings it was not given for."),
        ));
    };
    if let Ok(SendSettings { endpoint, username, secret: Some(field) }) = &new.send
        && stored(*field)
    {
        let same = old.send.as_ref().is_ok_and(|old| {
            old.secret == Some(*field) && old.username == *username && still_as_safe(&old.endpoint, endpoint)
        });
        if !same {
            refuse(*field, "The SMTP server, user name or TLS setting");
        }
    }
    if let Ok(SyncSettings { endpoint, username, secret, .. }) = &new.sync
        && stored(*secret)
    {
        let same = old.sync.as_ref().is_ok_and(|old| {
            old.secret == *secret && old.username == *username && still_as_safe(&old.endpoint, endpoint)
        });
        if !same && !problems.iter().any(|problem| problem.place == Problem::attribute(secret.name(), "").place) {
            problems.push(Problem::attribute(
                secret.name(),
                format!("The IMAP server, user name or TLS setting changed: send {0} along with it, or null to clear it. A stored secret is not used for settings it was not given for.", secret.name()),
            ));
        }
    }
    if before.settings.ews_endpoint != after.settings.ews_endpoint
        && after.settings.ews_endpoint.is_some()
        && stored(SecretField::Password)
        && problems.is_empty()
    {
        problems.push(Problem::attribute(
            "password",
            "ewsEndpoint changed: send password along with it, or null to clear it.",
        ));
    }
    problems
}

/// Same server, and the connection at least as safe as before.
fn still_as_safe(old: &Endpoint, new: &Endpoint) -> bool {
    old.host == new.host && old.port == new.port && (old.tls == new.tls || new.tls != TlsMode::StartTlsIfOffered)
}

/// What an edit changes for the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Consequences {
    /// Sessions and failures of the old settings say nothing any more.
    pub sending: bool,
    pub syncing: bool,
    /// It is another account: folders are read from the start, messages matched by what they are.
    pub other_account: bool,
}

/// Whether it sends by other means: what became of copies says nothing any more.
pub(super) fn sends_elsewhere(before: &Mailbox, after: &Mailbox) -> bool {
    match (EffectiveSettings::of(before).send, EffectiveSettings::of(after).send) {
        (Ok(old), Ok(new)) => old.endpoint != new.endpoint || old.username != new.username,
        (old, new) => old.is_ok() != new.is_ok(),
    }
}

pub(super) fn consequences(before: &Mailbox, after: &Mailbox, changes: &[(SecretField, SecretChange)]) -> Consequences {
    let (old, new) = (EffectiveSettings::of(before), EffectiveSettings::of(after));
    let other_account = match (&old.sync, &new.sync) {
        (Ok(old), Ok(new)) => {
            old.endpoint.host != new.endpoint.host || old.username != new.username || old.inbox != new.inbox
        }
        _ => false,
    };
    let secrets = !changes.is_empty();
    Consequences {
        sending: secrets
            || old.send != new.send
            || before.settings.send_disabled != after.settings.send_disabled
            || before.settings.email != after.settings.email,
        syncing: secrets
            || old.sync != new.sync
            || before.settings.sync_disabled != after.settings.sync_disabled
            || before.settings.sync_folders != after.settings.sync_folders
            || before.settings.email != after.settings.email,
        other_account: other_account || before.key() != after.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mailbox(smtp_host: &str, user: &str, signature: &str) -> Mailbox {
        serde_json::from_value(json!({
            "id": 1, "user_id": 1, "creator_id": 1, "updater_id": 1, "created_at": "2026-01-01",
            "updated_at": "2026-01-01", "settings": {
                "email": "ann@demo.test", "smtpHost": smtp_host, "imapHost": "imap.demo.test", "username": user,
                "emailSignature": signature,
            },
        }))
        .unwrap()
    }

    #[test]
    fn another_server_or_log_in_for_sending_says_nothing_about_copies_yet() {
        let before = mailbox("smtp.demo.test", "ann", "Ann");
        for (after, elsewhere) in [
            (mailbox("smtp.demo.test", "ann", "Ann, on holiday"), false),
            (mailbox("relay.demo.test", "ann", "Ann"), true),
            (mailbox("smtp.demo.test", "bert", "Ann"), true),
        ] {
            assert_eq!(sends_elsewhere(&before, &after), elsewhere, "{:?}", after.settings);
        }
    }
}
