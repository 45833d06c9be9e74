//! How a resource is declared: once. Validation, serialization, filtering and sorting all read the declaration.

/// What a value may be. Lengths count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text {
        max: Option<usize>,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Boolean,
    /// RFC 3339, served in UTC with milliseconds.
    Time,
    /// A list of texts.
    Texts {
        items: usize,
        max: usize,
    },
    /// Any JSON object or list: as the server made it, or for the handler to check.
    Structure,
    /// A text, or an object that names a record by `type` and `id`.
    Reference,
}

/// Who may write and read an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    /// Kept by the server; ignored in a write, so that a record can be read, edited and written back whole.
    ReadOnly,
    /// Never in an answer.
    WriteOnly,
    /// Write-only and sealed by the vault: "" leaves it unchanged, null clears it.
    Secret,
}

/// What a text (or an integer) must look like, beyond its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text; only NUL is refused.
    Free,
    /// Ends in a header or a protocol command: no control characters.
    Line,
    /// An email address.
    Email,
    /// A host name or an IP address, without scheme, port or path.
    Host,
    /// An http or https URL without credentials.
    Url,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these numbers.
    OneOfNumbers(&'static [i64]),
}

/// What an attribute is when a create does not mention it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(&'static str),
}

/// One attribute of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    pub access: Access,
    pub form: Form,
    /// Null is refused and a create must carry it.
    pub required: bool,
    pub filterable: bool,
    pub sortable: bool,
    pub preset: Preset,
    /// What it is, in our own words: for the reference page and the OpenAPI document.
    pub about: &'static str,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            access: Access::ReadWrite,
            form: Form::Free,
            required: false,
            filterable: false,
            sortable: false,
            preset: Preset::Null,
            about,
        }
    }

    pub const fn text(name: &'static str, max: usize, about: &'static str) -> Self {
        Self::new(name, Kind::Text { max: Some(max) }, about)
    }

    /// A text without a length of its own; the request's size bounds it.
    pub const fn long_text(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Text { max: None }, about)
    }

    pub const fn texts(name: &'static str, items: usize, max: usize, about: &'static str) -> Self {
        Self::new(name, Kind::Texts { items, max }, about)
    }

    pub const fn integer(name: &'static str, min: i64, max: i64, about: &'static str) -> Self {
        Self::new(name, Kind::Integer { min, max }, about)
    }

    /// An identifier or a counter.
    pub const fn number(name: &'static str, about: &'static str) -> Self {
        Self::integer(name, 0, i64::MAX, about)
    }

    pub const fn boolean(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Boolean, about)
    }

    pub const fn time(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Time, about)
    }

    pub const fn structure(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Structure, about).read_only()
    }

    /// A structure that a client may write; its handler checks what is in it.
    pub const fn object(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Structure, about)
    }

    pub const fn reference(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Reference, about)
    }

    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }

    #[must_use]
    pub const fn write_only(mut self) -> Self {
        self.access = Access::WriteOnly;
        self
    }

    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.access = Access::Secret;
        self
    }

    #[must_use]
    pub const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Filterable and sortable.
    #[must_use]
    pub const fn listed(mut self) -> Self {
        self.filterable = true;
        self.sortable = true;
        self
    }

    #[must_use]
    pub const fn filterable(mut self) -> Self {
        self.filterable = true;
        self
    }

    #[must_use]
    pub const fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// May a client write it?
    pub const fn writable(&self) -> bool {
        !matches!(self.access, Access::ReadOnly)
    }

    /// May an answer carry it?
    pub const fn readable(&self) -> bool {
        matches!(self.access, Access::ReadWrite | Access::ReadOnly)
    }
}

/// How a related resource shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// `{"data": {"type", "id"}}` or `{"data": null}`.
    One,
    /// `{"data": [{"type", "id"}], "links": {"related"}, "meta": {"count"}}`.
    Many {
        /// The filter of the target's list that selects the related ones, for example `mailing`.
        filter: &'static str,
    },
    /// `{"data": [], "meta": {"count": 0}}`: a list of what there is none of here.
    Empty,
    /// `{"links": {"related"}}` to a filtered list of `target`.
    LinkedList {
        /// The filter of the target's list that selects the related ones, for example `mailbox`.
        filter: &'static str,
    },
}

/// One relationship of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Relationship {
    pub name: &'static str,
    /// The singular type of the other side.
    pub target: &'static str,
    pub linkage: Linkage,
    pub writable: bool,
    /// `filter[name][id]=`.
    pub filterable: bool,
    pub about: &'static str,
}

impl Relationship {
    pub const fn one(name: &'static str, target: &'static str, about: &'static str) -> Self {
        Self { name, target, linkage: Linkage::One, writable: false, filterable: false, about }
    }

    pub const fn many(name: &'static str, target: &'static str, filter: &'static str, about: &'static str) -> Self {
        Self { name, target, linkage: Linkage::Many { filter }, writable: false, filterable: false, about }
    }

    /// A list of what there is none of here.
    pub const fn empty(name: &'static str, target: &'static str, about: &'static str) -> Self {
        Self { name, target, linkage: Linkage::Empty, writable: false, filterable: false, about }
    }

    pub const fn linked(name: &'static str, target: &'static str, filter: &'static str, about: &'static str) -> Self {
        Self { name, target, linkage: Linkage::LinkedList { filter }, writable: false, filterable: false, about }
    }

    #[must_use]
    pub const fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    #[must_use]
    pub const fn filterable(mut self) -> Self {
        self.filterable = true;
        self
    }
}

/// A resource as the API shows it.
#[derive(Debug)]
pub struct Resource {
    /// The singular `type`.
    pub name: &'static str,
    /// The plural, as in the path.
    pub plural: &'static str,
    pub attributes: &'static [Attribute],
    pub relationships: &'static [Relationship],
    /// Attributes that real records of the Outreach API carry and that mean nothing here: accepted and ignored.
    pub tolerated: &'static [&'static str],
}

impl Resource {
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub fn relationship(&self, name: &str) -> Option<&'static Relationship> {
        self.relationships.iter().find(|relationship| relationship.name == name)
    }
}
