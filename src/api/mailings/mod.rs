//! Mailings: list, show, create; while not yet sent also edit, delete, cancel and retry.
//!
//! `change.rs` turns a document into what the mailing would be with it, for creates and edits alike, with `texts.rs`,
//! `addressing.rs`, `enclosed.rs` and `thread.rs` for its parts. `view.rs` shows one, `delay.rs` why it waits. Whatever
//! races a send is decided in the unit of work that writes.

mod actions;
mod addressing;
mod change;
mod create;
mod delay;
mod edit;
mod enclosed;
mod texts;
mod thread;
mod view;

pub(super) use delay::Gates;

use super::path::at;
use super::shown::{list_all, show_one};
use crate::domain::mailing::Mailing;
use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(at("/mailings").get(list_all::<Mailing>).post(create::create))
        .service(at("/mailings/{id}").get(show_one::<Mailing>).patch(edit::update).delete(edit::delete))
        .service(at("/mailings/{id}/actions/{verb}").post(actions::act));
}
