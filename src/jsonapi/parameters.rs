//! The raw query string as decoded names and values, within bounds.

use super::error::{ErrorObject, clean};
use percent_encoding::percent_decode_str;

/// The longest query string, in octets.
const LONGEST: usize = 32_768;
const COUNT: usize = 300;

/// Decoded parameters. Of a name that is repeated only the last remains, at its place, except `…[]`, which is a list.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// What cannot be decoded is a complaint.
    pub fn parse(raw: &str, errors: &mut Vec<ErrorObject>) -> Self {
        let mut parameters = Self::default();
        if raw.len() > LONGEST || raw.split('&').count() > COUNT {
            let detail = format!("The query has more than {LONGEST} octets or more than {COUNT} parameters.");
            let mut error = ErrorObject::bad_parameter("", detail);
            // It is about no parameter in particular.
            error.source = None;
            errors.push(error);
            return parameters;
        }
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => parameters.set(name, value),
                (readable, _) => {
                    let name = readable.unwrap_or_else(|| clean(name));
                    errors.push(ErrorObject::bad_parameter(&name, "The parameter is not valid UTF-8."));
                }
            }
        }
        parameters
    }

    fn set(&mut self, name: String, value: String) {
        // Clients append empty parameters of their own to the links that they follow; the cursor of the link counts.
        if value.is_empty() && matches!(name.as_str(), "page[after]" | "page[before]") {
            return;
        }
        let list = name.ends_with("[]");
        self.pairs.retain(|(other, earlier)| *other != name || (list && *earlier != value));
        self.pairs.push((name, value));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// As HTML forms encode: `+` is a space.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// `filter[user][id]` as `filter` and `user`, `id`; `None` where the brackets do not pair up.
pub(super) fn brackets(name: &str) -> Option<(&str, Vec<&str>)> {
    let Some(open) = name.find('[') else { return Some((name, Vec::new())) };
    let (base, rest) = name.split_at(open);
    let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
    let path: Vec<&str> = inner.split("][").collect();
    path.iter().all(|part| !part.contains(['[', ']'])).then_some((base, path))
}
