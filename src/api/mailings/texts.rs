//! Subject and bodies, and the variables that fill in their placeholders. Without variables the texts are taken as they
//! are, whatever braces they hold.

use crate::domain::mailing::{Content, Templates};
use crate::domain::problem::Problem;
use crate::domain::template::{Medium, VARIABLES, render, wrong_variable};
use serde_json::{Map, Value};

/// Sets the texts of `content`, which holds what they were before, as a write asks.
pub(super) fn texts(values: &Map<String, Value>, content: &mut Content, problems: &mut Vec<Problem>) {
    let given = match values.get("variables") {
        None => None,
        Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(variables)) => Some(variables.clone()),
        Some(_) => {
            problems.push(Problem::attribute("variables", "variables must be an object of strings and numbers."));
            None
        }
    };
    let templates = content.templates.take();
    // None at all are as good as some: what is missing is said before anything is queued.
    let filled_in = matches!(values.get("variables"), Some(Value::Object(_)));
    if filled_in {
        // A text that was written back as it showed is still the template that it was made of.
        let template = |name: &str, shown: &Option<String>, source: Option<&Option<String>>| {
            let source = source.unwrap_or(shown);
            match values.get(name) {
                Some(given) if given.as_str() != shown.as_deref() => given.as_str().map(str::to_owned),
                _ => source.clone(),
            }
        };
        let templates = Templates {
            subject: template("subject", &content.subject, templates.as_ref().map(|all| &all.subject)),
            html: template("bodyHtml", &content.html, templates.as_ref().map(|all| &all.html)),
            text: template("bodyText", &content.text, templates.as_ref().map(|all| &all.text)),
        };
        content.variables = given.unwrap_or_default();
        if let Some(problem) = variables_problem(&content.variables) {
            problems.push(problem);
            return;
        }
        let mut fill = |name: &str, template: &Option<String>, medium: Medium| {
            let filled = template.as_deref().map(|source| render(source, medium, &content.variables)).transpose();
            filled.unwrap_or_else(|problem| {
                problems.push(Problem::attribute(name, format!("{name} {problem}")));
                None
            })
        };
        let subject = fill("subject", &templates.subject, Medium::Line);
        let html = fill("bodyHtml", &templates.html, Medium::Html);
        let text = fill("bodyText", &templates.text, Medium::Plain);
        (content.subject, content.html, content.text) = (subject, html, text);
        content.templates = Some(templates);
        return;
    }
    let cleared = given.is_some();
    let mut literal = false;
    for (name, field) in
        [("subject", &mut content.subject), ("bodyHtml", &mut content.html), ("bodyText", &mut content.text)]
    {
        if let Some(value) = values.get(name) {
            let text = value.as_str().map(str::to_owned);
            literal |= text != *field;
            *field = text;
        }
    }
    if cleared || literal {
        // What stands there now is no template's result any more.
        content.variables = Map::new();
    } else {
        content.templates = templates;
    }
}

fn variables_problem(variables: &Map<String, Value>) -> Option<Problem> {
    if variables.len() > VARIABLES {
        let detail = format!("A mailing has at most {VARIABLES} variables; this one has {}.", variables.len());
        return Some(Problem::attribute("variables", detail));
    }
    let (name, why) = wrong_variable(variables)?;
    let shown: String = name.chars().filter(|character| !character.is_control()).take(64).collect();
    Some(Problem::member("variables", name, format!("The variable '{shown}' {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(content: &mut Content, values: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        texts(values.as_object().unwrap(), content, &mut problems);
        problems
    }

    #[test]
    fn braces_without_variables_are_just_braces() {
        let mut content = Content::default();
        assert!(write(&mut content, &json!({"subject": "{{a}} {% b %}", "variables": null})).is_empty());
        assert_eq!(content.subject.as_deref(), Some("{{a}} {% b %}"));
        assert_eq!(content.templates, None);
    }

    #[test]
    fn no_variables_at_all_miss_what_a_text_uses() {
        let mut content = Content::default();
        assert_eq!(write(&mut content, &json!({"subject": "Hi {{a}}", "variables": {}})).len(), 1);
        let mut content = Content::default();
        assert!(write(&mut content, &json!({"subject": "Hi {{a}}", "variables": {"a": "Ann"}})).is_empty());
        assert_eq!(write(&mut content, &json!({"variables": {}})).len(), 1);
    }

    #[test]
    fn a_record_that_is_written_back_keeps_its_templates() {
        let mut content = Content::default();
        assert!(
            write(&mut content, &json!({"subject": "Hi {{a}}", "bodyText": "{{a}}", "variables": {"a": "{{b}}"}}))
                .is_empty()
        );
        assert_eq!(content.subject.as_deref(), Some("Hi {{b}}"));
        let first = content.clone();
        let back = json!({"subject": "Hi {{b}}", "bodyText": "{{b}}", "bodyHtml": null, "variables": {"a": "{{b}}"}});
        assert!(write(&mut content, &back).is_empty());
        assert_eq!(content, first);
        // Other variables fill in the same templates; another text replaces its own.
        assert!(write(&mut content, &json!({"bodyText": "Bye {{a}}", "variables": {"a": "Ann"}})).is_empty());
        assert_eq!((content.subject.as_deref(), content.text.as_deref()), (Some("Hi Ann"), Some("Bye Ann")));
        // A text without variables is taken as it is.
        assert!(write(&mut content, &json!({"bodyText": "{{c}}"})).is_empty());
        assert_eq!((content.subject.as_deref(), content.text.as_deref()), (Some("Hi Ann"), Some("{{c}}")));
        assert_eq!((content.templates, content.variables.len()), (None, 0));
    }

    #[test]
    fn every_text_that_misses_a_variable_is_blamed() {
        let problems =
            write(&mut Content::default(), &json!({"subject": "{{x}}", "bodyHtml": "{{y}}", "variables": {"a": 1}}));
        assert_eq!(
            problems.iter().map(|problem| problem.place.clone()).collect::<Vec<_>>(),
            [Problem::attribute("subject", "").place, Problem::attribute("bodyHtml", "").place,]
        );
        assert!(problems[0].detail.contains("'x'"), "{problems:?}");
    }
}
