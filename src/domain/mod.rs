//! Types and rules of the field, without I/O; time is an argument.
//!
//! What a mailbox, a mailing and a message are; which attributes they have (declared once, read by validation,
//! serialization and listing); how a mailing's state moves; what a failure means. Calls nobody.

pub mod connection;
pub mod failure;
pub mod nearest;
pub mod secret;
pub mod stages;
pub mod time;
