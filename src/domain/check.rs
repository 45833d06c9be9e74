//! Attribute values of a write against their declaration: every problem at once.

use super::address::Address;
use super::nearest::nearest;
use super::problem::{Problem, ProblemCode};
use super::resource::{Access, Attribute, Form, Kind, Preset, Resource};
use super::time::Timestamp;
use serde_json::{Map, Value};

/// The writable attributes of a write that hold, normalised. Secrets are among them: keep it out of logs.
#[derive(Default)]
pub struct Checked {
    pub values: Map<String, Value>,
    pub problems: Vec<Problem>,
}

/// Checks what a client sent. Read-only and tolerated attributes are dropped; null passes wherever it may clear.
pub fn check(resource: &Resource, given: &Map<String, Value>) -> Checked {
    let mut checked = Checked::default();
    for (name, value) in given {
        let Some(attribute) = resource.attribute(name) else {
            if !resource.tolerated.contains(&name.as_str()) {
                checked.problems.push(unknown(resource, name));
            }
            continue;
        };
        if !attribute.writable() {
            continue;
        }
        if value.is_null() {
            if attribute.required {
                checked.problems.push(Problem::attribute(name, format!("{name} is required and cannot be null.")));
            } else {
                checked.values.insert(name.clone(), Value::Null);
            }
            continue;
        }
        match check_value(attribute, value) {
            Ok(value) => {
                checked.values.insert(name.clone(), value);
            }
            Err(problem) => checked.problems.push(problem),
        }
    }
    checked
}

/// What a create must carry and does not.
pub fn missing(resource: &Resource, given: &Map<String, Value>) -> Vec<Problem> {
    resource
        .attributes
        .iter()
        .filter(|attribute| attribute.required && !given.contains_key(attribute.name))
        .map(|attribute| Problem::attribute(attribute.name, format!("{} is required.", attribute.name)))
        .collect()
}

/// The declared values of what a create does not mention.
pub fn presets(resource: &Resource) -> Map<String, Value> {
    resource
        .attributes
        .iter()
        .filter(|attribute| attribute.access == Access::ReadWrite)
        .filter_map(|attribute| {
            let value = match attribute.preset {
                Preset::Null => return None,
                Preset::Boolean(value) => value.into(),
                Preset::Integer(value) => value.into(),
                Preset::Text(value) => value.into(),
            };
            Some((attribute.name.to_owned(), value))
        })
        .collect()
}

fn unknown(resource: &Resource, name: &str) -> Problem {
    let shown: String = name.chars().take(60).filter(|character| !character.is_control()).collect();
    let names = resource.attributes.iter().map(|attribute| attribute.name);
    let hint = match nearest(&shown, names) {
        Some(near) => format!(" Did you mean '{near}'?"),
        None => String::new(),
    };
    Problem::attribute(name, format!("A {} has no attribute '{shown}'.{hint}", resource.name))
}

/// Checks a value of one attribute, also of one that is read-only to most.
pub fn check_value(attribute: &Attribute, value: &Value) -> Result<Value, Problem> {
    let name = attribute.name;
    let refuse = |expected: &str| Problem::attribute(name, format!("{name} must be {expected}; got {}.", shape(value)));
    match attribute.kind {
        Kind::Boolean => value.as_bool().map(Value::from).ok_or_else(|| refuse("true or false")),
        Kind::Integer { min, max } => {
            let number = value.as_i64().ok_or_else(|| refuse("a whole number"))?;
            integer(attribute, number, min, max)
        }
        Kind::Time => {
            let text = value.as_str().ok_or_else(|| refuse("a date and time as a string"))?;
            let wrong = || Problem::attribute(name, format!("{name} must be {}.", Timestamp::expected_of(text)));
            let time = Timestamp::parse(text).ok_or_else(wrong)?;
            Ok(time.to_string().into())
        }
        Kind::Text { max } => {
            let text = value.as_str().ok_or_else(|| refuse("a string"))?;
            self::text(attribute, text, max)
        }
        Kind::Texts { items, max } => {
            let list = value.as_array().ok_or_else(|| refuse("a list of strings"))?;
            if list.len() > items {
                return Err(Problem::attribute(
                    name,
                    format!("{name} has {} entries; at most {items} are allowed.", list.len()),
                )
                .with_code(ProblemCode::TooLong));
            }
            list.iter()
                .enumerate()
                .map(|(at, item)| {
                    let other = || format!("{name} must be a list of strings; entry {} is {}.", at + 1, shape(item));
                    let item = item.as_str().ok_or_else(|| Problem::attribute(name, other()))?;
                    text(attribute, item, Some(max))
                })
                .collect()
        }
        Kind::Reference => match value {
            Value::String(given) => text(attribute, given, Some(998)),
            Value::Object(_) => Ok(value.clone()),
            _ => Err(refuse("a string or an object")),
        },
        Kind::Structure => {
            if value.is_object() {
                Ok(value.clone())
            } else {
                Err(refuse("an object"))
            }
        }
    }
}

fn integer(attribute: &Attribute, number: i64, min: i64, max: i64) -> Result<Value, Problem> {
    let name = attribute.name;
    if let Form::OneOfNumbers(allowed) = attribute.form {
        if !allowed.contains(&number) {
            let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Problem::attribute(name, format!("{name} must be one of {allowed}; got {number}.")));
        }
    } else if !(min..=max).contains(&number) {
        return Err(Problem::attribute(name, format!("{name} must be between {min} and {max}; got {number}.")));
    }
    Ok(number.into())
}

fn text(attribute: &Attribute, text: &str, max: Option<usize>) -> Result<Value, Problem> {
    let name = attribute.name;
    let refuse = |why: &str| Err(Problem::attribute(name, format!("{name} {why}")));
    if let Some(max) = max {
        let length = text.chars().count();
        if length > max {
            return Err(Problem::attribute(
                name,
                format!("{name} has {length} characters; at most {max} are allowed."),
            )
            .with_code(ProblemCode::TooLong));
        }
    }
    if text.contains('\0') {
        return refuse("must not contain a NUL character.");
    }
    if !matches!(attribute.form, Form::Free) && text.chars().any(breaks_a_line) {
        return refuse("must be a single line without control characters.");
    }
    match attribute.form {
        Form::Email => {
            if let Err(problem) = Address::parse(text.trim()) {
                return refuse(&format!("is not a valid email address: {problem}"));
            }
            return Ok(text.trim().into());
        }
        Form::Host if !is_host(text) => {
            return refuse("must be a host name or an IP address, without scheme, port or path.");
        }
        Form::Url => {
            if let Err(why) = check_url(text) {
                return refuse(why);
            }
        }
        Form::OneOf(allowed) if !allowed.contains(&text) => {
            let shown: String = text.chars().take(40).collect();
            return refuse(&format!("must be one of {}; got '{shown}'.", allowed.join(", ")));
        }
        _ => {}
    }
    Ok(text.into())
}

/// Characters that end a line somewhere: controls, and the Unicode line and paragraph separators.
pub fn breaks_a_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

fn is_host(text: &str) -> bool {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty()
        || text.contains(|character: char| {
            character.is_whitespace() || "/:@?#[]\\%_,;'\"<>()!$&*+=`{|}~^".contains(character)
        })
    {
        return false;
    }
    let Ok(ascii) = idna::domain_to_ascii(name) else { return false };
    ascii.len() <= 253
        && ascii
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'))
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let url = url::Url::parse(text).map_err(|_| "must be an http or https URL.")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("must be an http or https URL.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry a user name or a password.");
    }
    Ok(())
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_i64() => "a whole number",
        Value::Number(_) => "a number that is not a whole number in range",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (attribute, value, expected) in [
            (Attribute::time("at", ""), json!("2026-07-08T18:40:47"), "at must be a date and time with its zone"),
            (
                Attribute::texts("to", 9, 9, ""),
                json!(["a", 5]),
                "to must be a list of strings; entry 2 is a whole number.",
            ),
            (Attribute::object("headers", ""), json!([]), "headers must be an object; got a list."),
        ] {
            let refused = check_value(&attribute, &value).unwrap_err();
            assert!(refused.detail.starts_with(expected), "{}", refused.detail);
        }
        assert!(check_value(&Attribute::object("headers", ""), &json!({})).is_ok());
    }
}
