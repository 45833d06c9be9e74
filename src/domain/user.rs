//! Who may do what: users, their roles, and the tokens that speak for them.

use super::list::{Listed, Scalar};
use super::resource::{Attribute as A, Form, Relationship as R, Resource};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

pub static RESOURCE: Resource = Resource {
    name: "user",
    plural: "users",
    attributes: &[
        A::time("createdAt", "When the user was created.").read_only().listed(),
        A::text("email", 255, "The address the user is known by; it cannot change.")
            .read_only()
            .listed()
            .form(Form::Email),
        A::text("firstName", 255, "First name.").read_only().listed().form(Form::Line),
        A::time("lastActiveAt", "The last sign of activity; decides between the two sync frequencies.").read_only(),
        A::text("lastName", 255, "Last name.").read_only().listed().form(Form::Line),
        A::boolean("locked", "A locked user cannot sign in and their tokens do not work.").read_only().listed(),
        A::text("name", 512, "First and last name.").read_only(),
        A::text("role", 255, "admin, member or viewer.").read_only(),
        A::time("updatedAt", "When the user last changed.").read_only().listed(),
        A::text("username", 255, "The same as the address.").read_only().listed(),
    ],
    relationships: &[R::linked("mailboxes", "mailbox", "user", "The mailboxes the user owns.")],
    tolerated: &[],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Admin,
    Member,
    Viewer,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: u64,
    pub email: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub role: Role,
    pub locked: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub last_active_at: Option<Timestamp>,
}

impl User {
    /// One that is made now, without a name; its id is given with the record.
    pub fn new(email: &str, role: Role, now: Timestamp) -> Self {
        Self {
            id: 0,
            email: email.to_owned(),
            first_name: None,
            last_name: None,
            role,
            locked: false,
            created_at: now,
            updated_at: now,
            last_active_at: None,
        }
    }

    /// First and last name, where there is either.
    pub fn name(&self) -> Option<String> {
        let parts: Vec<&str> =
            [&self.first_name, &self.last_name].into_iter().filter_map(|part| part.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// May this user see what belongs to `owner`?
    pub fn may_see(&self, owner: u64) -> bool {
        self.role != Role::Member || self.id == owner
    }

    /// May this user change what belongs to `owner`?
    pub fn may_edit(&self, owner: u64) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Member => self.id == owner,
            Role::Viewer => false,
        }
    }
}

impl Listed for User {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "createdAt" => self.created_at.into(),
            "email" | "username" => Scalar::Text(super::mailbox::address_key(&self.email)),
            "firstName" => self.first_name.as_deref().into(),
            "lastName" => self.last_name.as_deref().into(),
            "locked" => self.locked.into(),
            "updatedAt" => self.updated_at.into(),
            _ => return None,
        })
    }
}

/// Who holds a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    /// A program that runs by itself: its calls say nothing about what people do.
    #[default]
    Machine,
    /// An application that a person signed in to and works with (OAuth): a call with it is a sign of activity.
    Person,
}

/// An API token as it is stored: only the hash of what its holder knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: u64,
    pub user_id: u64,
    pub name: Option<String>,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub kind: TokenKind,
}

impl Listed for Token {
    fn field(&self, name: &str) -> Option<Scalar> {
        Some(match name {
            "id" => self.id.into(),
            "createdAt" => self.created_at.into(),
            "user.id" => self.user_id.into(),
            _ => return None,
        })
    }
}
