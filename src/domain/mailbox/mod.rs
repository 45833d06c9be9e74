//! A mailbox: its settings, its sealed secrets, its health.

mod attributes;
mod folder_trouble;
mod status;

pub use attributes::{PROVIDERS, RESOURCE};
pub use folder_trouble::FolderTrouble;
pub use status::{Side, SideState, SideStatus, Status};

use super::address::{Address, md5_hash};
use super::exclusions;
use super::list::{Listed, Scalar};
use super::mailing::UNSUBSCRIBE_PLACEHOLDER;
use super::problem::Problem;
use super::secret::SealedSecret;
use super::time::Timestamp;
use super::user::User;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// An owner counts as active for this long after the last sign of it.
pub const ACTIVE: Duration = Duration::from_mins(10);

/// The writable attributes that are not secrets, named as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    pub auth_id: Option<u64>,
    pub doubt_policy: Option<String>,
    pub email: String,
    pub email_provider: Option<String>,
    pub email_signature: Option<String>,
    pub ews_endpoint: Option<String>,
    pub ews_ssl_verify_mode: Option<i64>,
    pub exchange_version: Option<String>,
    pub imap_host: Option<String>,
    pub imap_port: Option<u16>,
    pub imap_ssl: Option<bool>,
    pub max_emails_per_day: Option<u64>,
    pub max_mailings_per_day: Option<u64>,
    pub max_mailings_per_week: Option<u64>,
    pub opt_out_message: Option<String>,
    pub opt_out_signature: Option<String>,
    pub prospect_email_exclusions: Option<String>,
    pub save_sent_copy: Option<String>,
    pub send_disabled: Option<bool>,
    pub send_max_retries: Option<u32>,
    pub send_method: Option<String>,
    pub send_period: Option<u64>,
    pub send_requires_sync: Option<bool>,
    pub send_threshold: Option<u64>,
    pub smtp_host: Option<String>,
    pub smtp_port: Option<u16>,
    pub smtp_ssl: Option<bool>,
    pub smtp_username: Option<String>,
    pub spread_evenly: Option<bool>,
    pub sync_active_frequency: Option<u64>,
    pub sync_disabled: Option<bool>,
    pub sync_folders: Option<String>,
    pub sync_method: Option<String>,
    pub sync_outreach_folder: Option<bool>,
    pub sync_passive_frequency: Option<u64>,
    pub username: Option<String>,
}

impl Settings {
    /// These settings with the checked values of a write laid over them; an absent value stays, null clears.
    /// Values that are no setting (secrets, `validateSend`) are passed over.
    pub fn merged(&self, values: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut all = serde_json::to_value(self)?;
        if let Some(all) = all.as_object_mut() {
            for (name, value) in values {
                if let Some(slot) = all.get_mut(name) {
                    *slot = value.clone();
                }
            }
        }
        serde_json::from_value(all)
    }

    /// What the declaration of single attributes cannot say.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.sync_outreach_folder == Some(true) && self.exchange_version.as_deref() != Some("Exchange2007_SP1") {
            problems.push(Problem::attribute(
                "syncOutreachFolder",
                "syncOutreachFolder works with exchangeVersion Exchange2007_SP1 only.",
            ));
        }
        if let Some(problem) = self.prospect_email_exclusions.as_deref().and_then(exclusions::problem_of_lines) {
            problems.push(Problem::attribute("prospectEmailExclusions", problem));
        }
        if let Some(problem) = self.sync_folders.as_deref().and_then(super::folder_choice::problem) {
            problems.push(Problem::attribute("syncFolders", problem));
        }
        if self.email_signature.as_deref().is_some_and(|text| text.contains(UNSUBSCRIBE_PLACEHOLDER)) {
            let detail = format!(
                "emailSignature stands under every mailing, also under those without an unsubscribe link, and {UNSUBSCRIBE_PLACEHOLDER} is not replaced there. Put it into optOutSignature."
            );
            problems.push(Problem::attribute("emailSignature", detail));
        }
        problems
    }

    /// How long after a sync the next one is due: shorter while the owner is active.
    pub fn sync_frequency(&self, owner: Option<&User>, now: Timestamp) -> Duration {
        let active = owner
            .and_then(|owner| owner.last_active_at)
            .is_some_and(|at| now.millis_since(at) <= i64::try_from(ACTIVE.as_millis()).unwrap_or(i64::MAX));
        if active { self.active_frequency() } else { self.passive_frequency() }
    }

    /// How long after a sync the next one is due while the owner is active.
    pub fn active_frequency(&self) -> Duration {
        Duration::from_secs(self.sync_active_frequency.unwrap_or(600))
    }

    /// The same while the owner is not.
    pub fn passive_frequency(&self) -> Duration {
        Duration::from_secs(self.sync_passive_frequency.unwrap_or(1500))
    }

    /// The user name at the servers where none is set for one of them: the address.
    pub fn login(&self) -> &str {
        self.username.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.email)
    }
}

/// The secrets of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretField {
    Password,
    SmtpPassword,
    SendgridApiKey,
    SendgridWebhookKey,
}

impl SecretField {
    pub const ALL: [Self; 4] = [Self::Password, Self::SmtpPassword, Self::SendgridApiKey, Self::SendgridWebhookKey];

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SmtpPassword => "smtpPassword",
            Self::SendgridApiKey => "sendgridApiKey",
            Self::SendgridWebhookKey => "sendgridWebhookKey",
        }
    }
}

/// A mailbox as it is stored. Its health has a record of its own ([`Status`]), which changes far more often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mailbox {
    pub id: u64,
    pub user_id: u64,
    pub creator_id: u64,
    pub updater_id: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub settings: Settings,
    #[serde(default)]
    pub secrets: BTreeMap<SecretField, SealedSecret>,
    /// An administrator named the SMTP host: it may be private (the egress rule).
    #[serde(default)]
    pub smtp_reach_private: bool,
    /// The same for the IMAP host.
    #[serde(default)]
    pub imap_reach_private: bool,
    /// Counts the changes of what attempts and sessions depend on; a session of an older generation is not reused.
    #[serde(default)]
    pub generation: u64,
}

impl Mailbox {
    /// The address in the form that is compared for uniqueness.
    pub fn key(&self) -> String {
        address_key(&self.settings.email)
    }

    pub fn email_hash(&self) -> String {
        md5_hash(&self.settings.email)
    }
}

/// An address case-folded and IDNA-normalised, for comparing; what is no address is only lower-cased.
pub fn address_key(text: &str) -> String {
    Address::parse(text.trim()).map_or_else(|_| text.trim().to_lowercase(), |address| address.key())
}

impl Listed for Mailbox {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "email" => Scalar::Text(self.key()),
            "createdAt" => self.created_at.into(),
            "updatedAt" => self.updated_at.into(),
            "userId" | "user.id" => self.user_id.into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::presets;
    use crate::domain::resource::Access;
    use serde_json::json;

    #[test]
    fn every_writable_attribute_is_a_setting_or_a_secret_or_an_order() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        for attribute in RESOURCE.attributes {
            let is_setting = settings.get(attribute.name).is_some();
            let is_secret = SecretField::ALL.iter().any(|field| field.name() == attribute.name);
            match attribute.access {
                Access::ReadWrite => assert!(is_setting, "{}", attribute.name),
                Access::Secret => assert!(is_secret && !is_setting, "{}", attribute.name),
                Access::ReadOnly | Access::WriteOnly => assert!(!is_setting && !is_secret, "{}", attribute.name),
            }
        }
        for name in settings.as_object().unwrap().keys() {
            assert!(RESOURCE.attribute(name).is_some(), "{name} is not declared");
        }
    }

    #[test]
    fn a_write_tells_absent_null_and_value_apart() {
        let before =
            Settings { email: "ann@example.org".into(), ..Settings::default() }.merged(&presets(&RESOURCE)).unwrap();
        assert_eq!(before.send_threshold, Some(2));
        let values = json!({"sendThreshold": null, "imapHost": "imap.example.org", "password": "not a setting"});
        let after = before.merged(values.as_object().unwrap()).unwrap();
        assert_eq!(after.send_threshold, None);
        assert_eq!(after.imap_host.as_deref(), Some("imap.example.org"));
        assert_eq!(after.send_period, Some(60));
    }

    #[test]
    fn every_listed_attribute_can_be_listed() {
        let mailbox: Mailbox = serde_json::from_value(json!({
            "id": 1, "user_id": 1, "creator_id": 1, "updater_id": 1,
            "created_at": "2026-01-01", "updated_at": "2026-01-01", "settings": {"email": "a@b.example"}
        }))
        .unwrap();
        for attribute in RESOURCE.attributes.iter().filter(|attribute| attribute.filterable || attribute.sortable) {
            assert!(mailbox.field(attribute.name).is_some(), "{}", attribute.name);
        }
    }
}
