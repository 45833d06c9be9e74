//! `postroom dkim`: the DNS records of the configured DKIM keys.

use super::arguments::Global;
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::config::{Config, Machine};
use crate::send::keyring::Keyring;
use serde_json::json;

/// The longest text in one string of a TXT record (RFC 1035 §3.3).
const STRING: usize = 255;

/// Prints what to publish, as lines of a zone file.
pub fn run(global: &Global, output: Output) -> Result<(), Failure> {
    let configuration = |text: String| Failure::new(Exit::Configuration, text);
    let loaded = Config::load(&global.overrides(), &Machine)?;
    let directory = loaded.config.send.dkim_keys.as_deref().ok_or_else(|| {
        configuration(
            "No DKIM keys are configured: set send.dkim_keys to a directory with files called \
             SELECTOR._domainkey.DOMAIN.pem."
                .to_owned(),
        )
    })?;
    let keys = Keyring::load(directory).map_err(|error| configuration(error.to_string()))?;
    let records: Vec<(String, String)> = keys.records().collect();
    let document = || {
        let records: Vec<_> =
            records.iter().map(|(name, value)| json!({"name": name, "type": "TXT", "value": value})).collect();
        json!({"records": records})
    };
    let line = |(name, value): &(String, String)| {
        let strings: Vec<&str> =
            (0..value.len()).step_by(STRING).map(|at| &value[at..value.len().min(at + STRING)]).collect();
        format!("{name}. IN TXT \"{}\"\n", strings.join("\" \""))
    };
    let values = || records.iter().map(|(_, value)| value.clone() + "\n").collect::<String>();
    output.show(document, values, || records.iter().map(line).collect())
}
