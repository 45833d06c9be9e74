//! The values of filters, typed by the declaration of what they filter.

use super::error::clean;
use super::filter::{VALUE_LENGTH, VALUES};
use crate::domain::list::{Scalar, Test};
use crate::domain::mailbox::address_key;
use crate::domain::resource::{Form, Kind};
use crate::domain::time::Timestamp;
use std::time::Duration;

/// From the first to the last moment of a day.
const DAY: Duration = Duration::from_millis(86_399_999);

/// What is filtered: its name in [`crate::domain::list::Filter`] and its declaration.
pub(super) struct Field {
    pub name: String,
    kind: Kind,
    form: Form,
}

/// Why a filter cannot be.
#[derive(Debug)]
pub(super) struct Refusal {
    pub detail: String,
    /// A machine code of its own.
    pub id: Option<&'static str>,
}

impl Refusal {
    pub fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), id: None }
    }
}

/// Both ends of what a text means; they differ for a day only.
struct Span {
    from: Scalar,
    to: Scalar,
}

impl Field {
    pub fn new(name: String, kind: Kind, form: Form) -> Self {
        Self { name, kind, form }
    }

    /// The condition of `filter[name]=text`. Numbers and times have lists and ranges; texts have lists in the old
    /// syntax only, and no ranges, since names may hold two dots.
    pub fn test(&self, parameter: &str, text: &str, new_syntax: bool) -> Result<Test, Refusal> {
        match text {
            "__null__" => return Ok(Test::Null),
            "__notnull__" => return Ok(Test::NotNull),
            _ => {}
        }
        let is_time = self.kind == Kind::Time;
        if (is_time || matches!(self.kind, Kind::Integer { .. }))
            && let Some((from, to)) = text.split_once("..")
        {
            if is_time && new_syntax {
                let detail = format!("{parameter} takes no range with newFilterSyntax=true; use [gte] and [lte].");
                return Err(Refusal { detail, id: Some("filterParameter.invalidDatetimeFormat") });
            }
            let from = if from == "neginf" { None } else { Some(self.span(parameter, from, new_syntax)?.from) };
            let to = if to == "inf" { None } else { Some(self.span(parameter, to, new_syntax)?.to) };
            return Ok(Test::Range { from, to });
        }
        let is_text = matches!(self.kind, Kind::Text { .. });
        if (is_text && new_syntax) || !text.contains(',') {
            let Span { from, to } = self.span(parameter, text, new_syntax)?;
            return Ok(if from == to {
                Test::OneOf(vec![from])
            } else {
                Test::Range { from: Some(from), to: Some(to) }
            });
        }
        if text.split(',').count() > VALUES {
            return Err(Refusal::new(format!("{parameter} lists more than {VALUES} values.")));
        }
        let value = |item: &str| self.single(parameter, item.trim(), new_syntax);
        text.split(',').map(value).collect::<Result<_, _>>().map(Test::OneOf)
    }

    /// One value of `filter[name][]=`.
    pub fn listed(&self, parameter: &str, text: &str) -> Result<Scalar, Refusal> {
        self.single(parameter, text, true)
    }

    /// The value of `filter[name][gte]=`, or of `[lte]` where `upper`.
    pub fn end(&self, parameter: &str, text: &str, upper: bool) -> Result<Scalar, Refusal> {
        let Span { from, to } = self.span(parameter, text, true)?;
        Ok(if upper { to } else { from })
    }

    fn single(&self, parameter: &str, text: &str, new_syntax: bool) -> Result<Scalar, Refusal> {
        if text == "__null__" {
            return Ok(Scalar::Null);
        }
        let Span { from, to } = self.span(parameter, text, new_syntax)?;
        if from == to {
            Ok(from)
        } else {
            Err(Refusal::new(format!("{parameter} cannot list days; give a range of days, or times.")))
        }
    }

    fn span(&self, parameter: &str, text: &str, new_syntax: bool) -> Result<Span, Refusal> {
        if text.chars().nth(VALUE_LENGTH).is_some() {
            return Err(Refusal::new(format!("{parameter} has a value of more than {VALUE_LENGTH} characters.")));
        }
        let refuse = |expected: &str| {
            let id = (new_syntax && self.kind == Kind::Time).then_some("filterParameter.invalidDatetimeFormat");
            Refusal { detail: format!("{parameter} must be {expected}; got '{}'.", clean(text)), id }
        };
        let value = match self.kind {
            Kind::Integer { .. } => {
                let number = text.trim().parse().map_err(|_| refuse("a whole number"))?;
                Scalar::Integer(number)
            }
            Kind::Boolean => match text {
                "true" => Scalar::Boolean(true),
                "false" => Scalar::Boolean(false),
                _ => return Err(refuse("true or false")),
            },
            Kind::Time => {
                let text = text.trim();
                let time = time(text).ok_or_else(|| refuse("a day or an RFC 3339 date and time"))?;
                let to = if text.len() == "2026-07-08".len() { time.plus(DAY) } else { time };
                return Ok(Span { from: Scalar::Time(time), to: Scalar::Time(to) });
            }
            // An address holds no space: it was a plus sign that nobody encoded.
            Kind::Text { .. } if self.form == Form::Email => Scalar::Text(address_key(&text.trim().replace(' ', "+"))),
            Kind::Text { .. } => Scalar::Text(text.to_owned()),
            Kind::Texts { .. } | Kind::Structure | Kind::Reference => {
                return Err(Refusal::new(format!("{parameter}: there is nothing to compare it with.")));
            }
        };
        Ok(Span { from: value.clone(), to: value })
    }
}

/// A time whose `+02:00` may have lost its plus sign to decoding.
fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Timestamp::parse(&text.replace(' ', "+")))
}
