//! Placeholders in a mailing: `{{name}}`, with a few filters, filled in from the variables that came with it.
//!
//! Light on purpose: no statements, no arithmetic, no files, no other templates. What a variable holds is never read as
//! a template again. A variable that is missing is an error, so that nobody is greeted as "Dear ,".

use super::check::breaks_a_line;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, filters};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// How many variables a mailing may have.
pub const VARIABLES: usize = 100;
/// How long the value of one may be, in characters.
pub const VALUE_LENGTH: usize = 10_000;
/// How long what comes out may be, in octets.
const OUTPUT: usize = 4 << 20;
/// How many steps a template may take; a placeholder takes about three.
const FUEL: u64 = 100_000;

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
            Value::Number(_) => return None,
            Value::String(text) if text.contains('\0') => "must not contain a NUL character.",
            Value::String(text) if text.chars().nth(VALUE_LENGTH).is_some() => {
                "has more than the 10000 characters that are allowed."
            }
            Value::String(_) => return None,
            _ => "must be a string or a number.",
        };
        Some((name.as_str(), why))
    })
}

/// Fills in the placeholders of `source`.
pub fn render(source: &str, medium: Medium, variables: &Map<String, Value>) -> Result<String, TemplateProblem> {
    check_placeholders(source)?;
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(move |_| match medium {
        Medium::Html => AutoEscape::Html,
        Medium::Line | Medium::Plain => AutoEscape::None,
    });
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("default", filters::default);
    let values: BTreeMap<&str, minijinja::Value> = variables
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.as_str().into(),
                // As it was written: 1.50 is a price.
                other => other.to_string().into(),
            };
            (name.as_str(), value)
        })
        .collect();
    let mut out = Bounded(Vec::with_capacity(source.len()));
    let wrong = |error: &minijinja::Error| wrong(error, source, variables);
    environment
        .template_from_str(source)
        .and_then(|template| template.render_captured_to(minijinja::Value::from(values), &mut out).map(drop))
        .map_err(|error| wrong(&error))?;
    let text = String::from_utf8(out.0).map_err(|_| TemplateProblem::TooLong)?;
    if medium == Medium::Line && text.chars().any(breaks_a_line) {
        return Err(TemplateProblem::LineBreak);
    }
    Ok(text)
}

fn wrong(error: &minijinja::Error, source: &str, variables: &Map<String, Value>) -> TemplateProblem {
    match error.kind() {
        ErrorKind::UndefinedError => TemplateProblem::Missing(
            placeholders(source)
                .map(|(_, inside)| name_of(inside))
                .find(|name| !variables.contains_key(*name))
                .map(str::to_owned),
        ),
        ErrorKind::WriteFailure | ErrorKind::OutOfFuel => TemplateProblem::TooLong,
        kind => TemplateProblem::Syntax { line: error.line().unwrap_or(1), why: kind.to_string() },
    }
}

/// The variable that a placeholder begins with.
fn name_of(inside: &str) -> &str {
    let inside = inside.trim_start_matches(['-', '+', ' ', '\t', '\r', '\n']);
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    &inside[..end]
}

/// Where placeholders begin, and what stands in them.
fn placeholders(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.match_indices("{{").filter_map(move |(at, _)| {
        let rest = &source[at + 2..];
        Some((at, &rest[..rest.find("}}")?]))
    })
}

/// Only names, filters and quoted texts: nothing that computes, loops or includes.
fn check_placeholders(source: &str) -> Result<(), TemplateProblem> {
    let line = |at: usize| source[..at].matches('\n').count() + 1;
    if let Some(at) = source.find("{%") {
        return Err(TemplateProblem::Syntax { line: line(at), why: "statements are not supported".into() });
    }
    for (at, inside) in placeholders(source) {
        let mut quote = None;
        let mut allowed = inside.len() <= 200;
        for c in inside.chars() {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if matches!(c, '"' | '\'') => quote = Some(c),
                None => allowed &= c.is_ascii_alphanumeric() || "_|()- \t\r\n".contains(c),
            }
        }
        if !allowed {
            return Err(TemplateProblem::Syntax { line: line(at), why: "only names and filters are supported".into() });
        }
    }
    Ok(())
}

/// Takes no more than it may.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.0.len() + octets.len() > OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
            "{% for x in y %}{% endfor %}",
            "{% include 'a' %}",
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
            render(&"{{x}}".repeat(100_000), Medium::Plain, &variables(json!({"x": ""}))),
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
