//! Placeholders in a mailing: `{{name}}`, with a few filters, filled in from the variables that came with it.
//!
//! Light on purpose: no statements, no arithmetic, no files, no other templates. What a variable holds is never read as
//! a template again. A variable that is missing is an error, so that nobody is greeted as "Dear ,".

use super::check::breaks_a_line;
use minijinja::{Environment, ErrorKind, HtmlEscape, UndefinedBehavior, filters};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// How many variables a mailing may have.
pub const VARIABLES: usize = 100;
/// How long the value of one may be, in characters.
pub const VALUE_LENGTH: usize = 10_000;
/// How long what comes out may be, in octets.
const OUTPUT: usize = 4 << 20;
/// How many placeholders a text may have.
const PLACEHOLDERS: u32 = 10_000;
/// How many steps a placeholder may take; it takes about three.
const FUEL: u64 = 1_000;

/// What the text will be: decides whether variables are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// One line, as it is.
    Line,
    /// Text, as it is.
    Plain,
    /// HTML: what a variable holds shows as the text that it is.
    Html,
}

/// Why a template cannot be filled in; displays as the end of a sentence that begins with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateProblem {
    /// A placeholder names a variable that was not given.
    Missing(Option<String>),
    /// A placeholder is not of the kind that is allowed.
    Syntax {
        line: usize,
        why: String,
    },
    TooLong,
    /// With its variables the text is no longer a single line.
    LineBreak,
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Some(name)) => write!(f, "uses {{{{{name}}}}}, but variables has no '{name}'."),
            Self::Missing(None) => f.write_str("uses a variable that is not in variables."),
            Self::Syntax { line, why } => write!(
                f,
                "has a placeholder on line {line} that cannot be filled in ({why}). Placeholders look like {{{{name}}}} or {{{{name|upper}}}}."
            ),
            Self::TooLong => f.write_str("gets too long once its variables are filled in."),
            Self::LineBreak => {
                f.write_str("must be a single line without control characters, also once its variables are filled in.")
            }
        }
    }
}

/// The first variable that cannot be one: its name and what is wrong, as the end of a sentence.
pub fn wrong_variable(variables: &Map<String, Value>) -> Option<(&str, &'static str)> {
    variables.iter().find_map(|(name, value)| {
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Some((
                name.as_str(),
                "is no name for a variable: up to 64 letters, digits and underscores, no digit first.",
            ));
        }
        let why = match value {
            Value::String(text) if text.contains('\0') => "must not contain a NUL character.",
            Value::String(text) if text.chars().nth(VALUE_LENGTH).is_some() => {
                "has more than the 10000 characters that are allowed."
            }
            Value::String(_) | Value::Number(_) => return None,
            _ => "must be a string or a number.",
        };
        Some((name.as_str(), why))
    })
}

/// Fills in the placeholders of `source`. All else in it is text, whatever it looks like.
pub fn render(source: &str, medium: Medium, variables: &Map<String, Value>) -> Result<String, TemplateProblem> {
    let environment = environment();
    let values = minijinja::Value::from(
        variables.iter().map(|(name, value)| (name.as_str(), text_of(value))).collect::<BTreeMap<_, _>>(),
    );
    let mut filled = String::with_capacity(source.len());
    let mut rest = source;
    for count in 0.. {
        let Some((text, behind)) = rest.split_once("{{") else { break };
        filled.push_str(text);
        let at = source.len() - behind.len();
        let wrong =
            |why: &str| TemplateProblem::Syntax { line: source[..at].matches('\n').count() + 1, why: why.into() };
        let (inside, after) = behind.split_once("}}").ok_or_else(|| wrong("it does not end"))?;
        let inside = checked(inside).map_err(wrong)?;
        let missing = || {
            TemplateProblem::Missing(name_of(inside).filter(|name| !variables.contains_key(*name)).map(str::to_owned))
        };
        let value = environment.compile_expression(inside).and_then(|expression| expression.eval(values.clone()));
        let value = value.map_err(|error| match error.kind() {
            ErrorKind::UndefinedError => missing(),
            kind => wrong(&kind.to_string()),
        })?;
        if value.is_undefined() {
            return Err(missing());
        }
        let value = value.to_string();
        match medium {
            Medium::Html => filled.push_str(&HtmlEscape(&value).to_string()),
            Medium::Line | Medium::Plain => filled.push_str(&value),
        }
        if filled.len() > OUTPUT || count >= PLACEHOLDERS {
            return Err(TemplateProblem::TooLong);
        }
        rest = after;
    }
    filled.push_str(rest);
    if medium == Medium::Line && filled.chars().any(breaks_a_line) {
        return Err(TemplateProblem::LineBreak);
    }
    Ok(filled)
}

/// Knows a few filters and nothing else: no functions, no files, no other templates.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("default", filters::default);
    environment
}

/// A number as it was written.
fn text_of(value: &Value) -> minijinja::Value {
    match value {
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

/// What stands in a placeholder: names, filters and quoted texts, nothing that computes.
fn checked(inside: &str) -> Result<&str, &'static str> {
    let inside = inside.trim();
    let mut quote = None;
    for c in inside.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c.is_ascii_alphanumeric() || "_|() ".contains(c) => {}
            None => return Err("only names and filters are supported"),
        }
    }
    match inside.len() {
        0 => Err("it is empty"),
        1..=200 if name_of(inside).is_some() => Ok(inside),
        1..=200 => Err("it must begin with a name"),
        _ => Err("it is too long"),
    }
}

/// The variable that a placeholder begins with.
fn name_of(inside: &str) -> Option<&str> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    Some(&inside[..end]).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variables(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { unreachable!() };
        map
    }

    fn filled(source: &str, medium: Medium) -> Result<String, TemplateProblem> {
        let given = variables(json!({
            "name": "Ann <b>", "n": 7, "price": 1.5, "tricky": "{{name}} {% raw %}", "empty": "", "lines": "a\r\nBcc: b",
        }));
        render(source, medium, &given)
    }

    #[test]
    fn placeholders_are_filled_in_and_escaped_where_the_medium_is_html() {
        for (source, medium, expected) in [
            ("Dear {{name}},", Medium::Plain, "Dear Ann <b>,"),
            ("<p>Dear {{ name }}</p>", Medium::Html, "<p>Dear Ann &lt;b&gt;</p>"),
            ("{{n}} at {{price}}", Medium::Line, "7 at 1.5"),
            ("{{name|upper}} {{name | lower}}", Medium::Plain, "ANN <B> ann <b>"),
            ("{{nick|default(\"you\")}}", Medium::Plain, "you"),
            ("{{tricky}}", Medium::Plain, "{{name}} {% raw %}"),
            (
                "{% for x in y %}{{n}}{# no comment a{#b{c:d}}",
                Medium::Html,
                "{% for x in y %}7{# no comment a{#b{c:d}}",
            ),
            ("{{empty}}.", Medium::Plain, "."),
            ("no placeholder } { }}\n", Medium::Plain, "no placeholder } { }}\n"),
            ("trailing\r\nlines\r\n\r\n", Medium::Plain, "trailing\r\nlines\r\n\r\n"),
        ] {
            assert_eq!(filled(source, medium).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert_eq!(filled("a {{name}} {{ nmae }}", Medium::Plain), Err(TemplateProblem::Missing(Some("nmae".into()))));
        assert_eq!(filled("{{nmae|upper}}", Medium::Html), Err(TemplateProblem::Missing(Some("nmae".into()))));
    }

    #[test]
    fn nothing_computes_loops_or_reaches_out() {
        for source in [
            "{{ 'x' * 100000000 }}",
            "{{ name ~ name }}",
            "{{ name[0] }}",
            "{{ name.upper }}",
            "{{ name",
            "{{ }}",
            "{{ range(10) }}",
            "{{ name|safe }}",
            "{{ name|escape }}",
            "a\n{{ name|nope }}",
            "{{ {{name}} }}",
        ] {
            assert!(
                matches!(filled(source, Medium::Plain), Err(TemplateProblem::Syntax { .. })),
                "{source}: {:?}",
                filled(source, Medium::Plain)
            );
        }
        let Err(TemplateProblem::Syntax { line, .. }) = filled("a\nb\n{{ a + b }}", Medium::Plain) else { panic!() };
        assert_eq!(line, 3);
        let long = variables(json!({"x": "y".repeat(10_000)}));
        assert_eq!(render(&"{{x}}".repeat(1_000), Medium::Plain, &long), Err(TemplateProblem::TooLong));
        assert_eq!(
            render(&"{{x}}".repeat(10_002), Medium::Plain, &variables(json!({"x": ""}))),
            Err(TemplateProblem::TooLong)
        );
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(filled("{{lines}}", Medium::Line), Err(TemplateProblem::LineBreak));
        assert!(filled("{{lines}}", Medium::Plain).is_ok());
    }

    #[test]
    fn variables_are_strings_and_numbers_with_plain_names() {
        for (bad, name) in [
            (json!({"a b": 1}), "a b"),
            (json!({"": 1}), ""),
            (json!({"1a": 1}), "1a"),
            (json!({"ü": 1}), "ü"),
            (json!({"a": null}), "a"),
            (json!({"a": [1]}), "a"),
            (json!({"a": true}), "a"),
            (json!({"a": "x\u{0}"}), "a"),
            (json!({"a": "x".repeat(10_001)}), "a"),
        ] {
            assert_eq!(
                wrong_variable(&variables(bad.clone())).map(|(name, _)| name.to_owned()),
                Some(name.to_owned()),
                "{bad:.40}"
            );
        }
        assert_eq!(wrong_variable(&variables(json!({"first_name": "ü\n", "n1": -1.5}))), None);
    }
}
