//! Types and rules of the field, without I/O; time is an argument.
//!
//! What a mailbox, a mailing and a message are; which attributes they have (declared once in a [`resource::Resource`],
//! read by validation, serialization and listing); how a mailing's state moves; what a failure means. Calls nobody.

pub mod address;
pub mod attachment;
pub mod backoff;
pub mod bounce;
pub mod check;
pub mod classification;
pub mod connection;
pub mod event;
pub mod exclusions;
pub mod failure;
pub mod finding;
pub mod folder_choice;
pub mod limits;
pub mod link;
pub mod list;
pub mod mail_alias;
pub mod mailbox;
pub mod mailing;
pub mod message;
pub mod nearest;
pub mod org_settings;
pub mod problem;
pub mod recipient;
pub mod resource;
pub mod retention;
pub mod screening;
pub mod secret;
pub mod stages;
pub mod suppression;
pub mod suppression_list;
pub mod template;
pub mod thread;
pub mod time;
pub mod tracking;
pub mod user;
pub mod words;
