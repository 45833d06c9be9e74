//! (being built)
use super::Parts;
use super::source::Source;
use crate::domain::failure::{Failure, Stage};
use crate::domain::mailbox::Mailbox;
use std::sync::Arc;

pub(super) fn open(_: &Arc<Parts>, _: &Mailbox) -> Result<Box<dyn Source>, Failure> {
    Err(Failure::config(Stage::Settings, "IMAP is not built yet."))
}
