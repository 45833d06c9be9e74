//! What is wrong with a request: collected, so that a person fixes it in one go.

/// What a problem is about; the protocol turns it into a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Attribute(String),
    /// A member of an attribute that is an object: the attribute's name, the member's.
    Member(String, String),
    Relationship(String),
    /// The document as a whole.
    Document,
}

/// The machine code of a problem (`id` of the error object).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    Invalid,
    TooLong,
    Duplicate,
}

/// One thing that is wrong with what a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub code: ProblemCode,
    /// Where, why and what to do, in a sentence.
    pub detail: String,
}

impl Problem {
    pub fn attribute(name: &str, detail: impl Into<String>) -> Self {
        Self { place: Place::Attribute(name.to_owned()), code: ProblemCode::Invalid, detail: detail.into() }
    }

    pub fn member(attribute: &str, member: &str, detail: impl Into<String>) -> Self {
        let place = Place::Member(attribute.to_owned(), member.to_owned());
        Self { place, code: ProblemCode::Invalid, detail: detail.into() }
    }

    pub fn relationship(name: &str, detail: impl Into<String>) -> Self {
        Self { place: Place::Relationship(name.to_owned()), code: ProblemCode::Invalid, detail: detail.into() }
    }

    #[must_use]
    pub fn with_code(mut self, code: ProblemCode) -> Self {
        self.code = code;
        self
    }
}
