//! `name=value` by the declaration of the mailbox's attributes.

use crate::cli::exit::Failure;
use crate::domain::mailbox::RESOURCE;
use crate::domain::nearest::nearest;
use crate::domain::resource::{Access, Attribute, Kind};
use serde_json::{Map, Value};

/// The attributes that `assignments` set; ranges and forms are the server's to check.
pub fn attributes(assignments: &[String]) -> Result<Map<String, Value>, Failure> {
    assignments.iter().map(|assignment| one(assignment)).collect()
}

fn one(assignment: &str) -> Result<(String, Value), Failure> {
    let Some((name, text)) = assignment.split_once('=') else {
        // What stands here may be a secret that was typed by mistake: it is not repeated.
        return Err(Failure::usage("Write what to change as name=value, such as sendThreshold=5 or username=null."));
    };
    let attribute = writable(name)?;
    if attribute.access == Access::Secret {
        return Err(Failure::usage(format!(
            "{name} is a secret, and arguments are seen by everybody on this machine. Use --secret {name}=FILE, or - for standard input."
        )));
    }
    let value = typed(attribute, text)
        .ok_or_else(|| Failure::usage(format!("{name}: '{text}' is not {}.", wanted(attribute))))?;
    Ok((name.to_owned(), value))
}

/// The secret attribute of this name.
pub fn secret(name: &str) -> Result<&'static str, Failure> {
    let attribute = writable(name)?;
    if attribute.access == Access::Secret {
        Ok(attribute.name)
    } else {
        Err(Failure::usage(format!("{name} is no secret: write {name}=value.")))
    }
}

fn writable(name: &str) -> Result<&'static Attribute, Failure> {
    match RESOURCE.attribute(name) {
        Some(attribute) if attribute.writable() => Ok(attribute),
        Some(_) => Err(Failure::usage(format!("{name} is kept by the server and cannot be set."))),
        None => {
            let names = RESOURCE.attributes.iter().filter(|attribute| attribute.writable());
            let hint = match nearest(name, names.map(|attribute| attribute.name)) {
                Some(near) => format!(" Did you mean {near}?"),
                None => String::new(),
            };
            Err(Failure::usage(format!("A mailbox has no attribute '{name}'.{hint}")))
        }
    }
}

/// The JSON value that a text stands for; `null` clears whatever it is.
fn typed(attribute: &Attribute, text: &str) -> Option<Value> {
    if text == "null" {
        return Some(Value::Null);
    }
    match attribute.kind {
        Kind::Boolean => text.parse::<bool>().ok().map(Value::from),
        Kind::Integer { .. } => text.parse::<i64>().ok().map(Value::from),
        Kind::Text { .. } | Kind::Time => Some(text.into()),
        Kind::Texts { .. } | Kind::Structure | Kind::Reference => serde_json::from_str(text).ok(),
    }
}

fn wanted(attribute: &Attribute) -> &'static str {
    match attribute.kind {
        Kind::Boolean => "true, false or null",
        Kind::Integer { .. } => "a whole number or null",
        _ => "JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn typed(assignments: &[&str]) -> Result<Value, String> {
        let assignments: Vec<String> = assignments.iter().map(|text| (*text).to_owned()).collect();
        attributes(&assignments).map(Value::Object).map_err(|failure| failure.text)
    }

    #[test]
    fn values_get_the_type_that_their_attribute_has() {
        let given =
            ["sendThreshold=5", "sendDisabled=true", "username=null", "smtpHost=25", "emailSignature=a=b", "imapHost="];
        let wanted = json!({
            "sendThreshold": 5, "sendDisabled": true, "username": null, "smtpHost": "25", "emailSignature": "a=b",
            "imapHost": "",
        });
        assert_eq!(typed(&given).unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_is_said_with_what_can() {
        for (given, said) in [
            ("sendThreshold=many", "whole number"),
            ("sendDisabled=yes", "true, false"),
            ("sendTreshold=5", "sendThreshold"),
            ("sendState=ok", "kept by the server"),
            ("password=hunter2", "--secret password=FILE"),
            ("hunter2", "name=value"),
        ] {
            let refusal = typed(&[given]).unwrap_err();
            assert!(refusal.contains(said), "{given}: {refusal}");
            assert!(!refusal.contains("hunter2"), "no secret is repeated: {refusal}");
        }
        assert!(secret("username").is_err() && secret("smtpPassword") == Ok("smtpPassword"));
    }
}
