//! What is set once for the whole organisation.

use super::list::{Listed, Scalar};
use super::problem::Problem;
use super::resource::{Attribute as A, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub static RESOURCE: Resource = Resource {
    name: "orgSetting",
    plural: "orgSettings",
    attributes: &[
        A::text("contactExclusions", 65_535, "Comma-separated address patterns; kept for a CRM."),
        A::text(
            "prospectEmailExclusions",
            65_535,
            "Comma-separated address patterns; in every mailbox a message whose correspondents all match is not stored.",
        ),
        A::text(
            "sendExclusions",
            65_535,
            "Comma-separated address patterns such as `*@example.com`; no mailbox sends to an address that matches.",
        ),
    ],
    relationships: &[],
    tolerated: &[],
};

/// The one record, with id 1. What nobody set is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrgSettings {
    pub contact_exclusions: Option<String>,
    pub prospect_email_exclusions: Option<String>,
    pub send_exclusions: Option<String>,
    pub updated_at: Timestamp,
}

impl OrgSettings {
    pub const ID: u64 = 1;

    /// These settings with the checked values of a write laid over them.
    #[must_use]
    pub fn merged(&self, values: &Map<String, Value>) -> Self {
        let pick = |name: &str, before: &Option<String>| match values.get(name) {
            Some(value) => value.as_str().map(str::to_owned),
            None => before.clone(),
        };
        Self {
            contact_exclusions: pick("contactExclusions", &self.contact_exclusions),
            prospect_email_exclusions: pick("prospectEmailExclusions", &self.prospect_email_exclusions),
            send_exclusions: pick("sendExclusions", &self.send_exclusions),
            updated_at: self.updated_at,
        }
    }

    /// Lists that cannot be meant.
    pub fn problems(&self) -> Vec<Problem> {
        [
            ("contactExclusions", &self.contact_exclusions),
            ("prospectEmailExclusions", &self.prospect_email_exclusions),
            ("sendExclusions", &self.send_exclusions),
        ]
        .into_iter()
        .filter_map(|(name, list)| Some(Problem::attribute(name, super::exclusions::problem(list.as_deref()?)?)))
        .collect()
    }
}

impl Listed for OrgSettings {
    fn field(&self, name: &str) -> Option<Scalar> {
        (name == "id").then_some(Self::ID.into())
    }
}
